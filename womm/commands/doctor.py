"""`womm doctor`: what womm needs, and whether it is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from womm import config
from womm.checks.finding import MISSING, Finding
from womm.checks.survey import survey
from womm.commands.arguments import Parser
from womm.kubectl import KubeChoice
from womm.output import data

#: The exit status if something is missing.
_ILL = 1


def make_parser() -> Parser:
    """What the verb understands."""
    parser = Parser("doctor", "Tell what womm needs, whether it is there, and what to do where it isn't.")
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="default: %(default)s"
    )
    parser.add_argument("--engine", choices=("docker", "podman"), help="the one to look for")
    return parser


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns 0 if nothing is missing, else 1."""
    options, choice = make_parser().understand(arguments, choice)
    findings = survey(choice, options.engine or config.remembered("engine"))
    if options.output == "json":
        data(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False) + "\n")
    else:
        data(table(findings))
    return _ILL if any(finding.state == MISSING for finding in findings) else 0


def table(findings: Sequence[Finding]) -> str:
    """The findings for people: a line each, and its fix below it."""
    wide = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:8} {finding.name:{wide}}  {' '.join(finding.text.split())}")
        if finding.fix:
            lines.append(f"{'':8} {'':{wide}}  → {finding.fix}")
    return "".join(f"{line}\n" for line in lines)
