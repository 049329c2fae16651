"""`womm timeline`: a finished run as a page for a browser, drawn from its joblog."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from womm import joblogs, timeline
from womm.commands.arguments import Parser
from womm.errors import WommError
from womm.kubectl import KubeChoice
from womm.output import data


def make_parser() -> Parser:
    """What the verb understands."""
    parser = Parser(
        "timeline", "Draw the jobs of a run, pods × time, as one page for a browser; print it on stdout."
    )
    parser.add_argument("joblog", metavar="TASK-OR-FILE", help="a run's id (womm-task-ID), or a joblog")
    parser.add_argument("--output", metavar="FILE", help="write it there")
    return parser


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns 0."""
    options, _ = make_parser().understand(arguments, choice)
    if options.output is None and os.isatty(1):
        raise WommError("a page is no use on a terminal", "womm timeline --output run.html …")
    if options.output is not None:
        timeline.demand(Path(options.output))
    name = options.joblog.removeprefix("womm-task-")
    rows, notes = joblogs.find(name)
    text = timeline.page(f"womm: {name}", rows, timeline.read_notes(notes))
    if options.output is None:
        data(text)
    else:
        timeline.write(Path(options.output), text)
    return 0
