"""`womm logs`: what a task's jobs have printed, from the first byte on."""

from __future__ import annotations

from collections.abc import Sequence

from womm import values
from womm.commands.arguments import Parser
from womm.kubectl import KubeChoice
from womm.tasks import follow
from womm.tasks.where import where


def make_parser() -> Parser:
    """What the verb understands."""
    parser = Parser(
        "logs", "Print what a task's jobs have printed: their stdout on stdout, their stderr on stderr."
    )
    parser.add_argument("task", metavar="ID", help="what `womm parallel --async` has printed")
    parser.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="go on until the task ends; the exit status is then the task's",
    )
    parser.add_argument("--since", metavar="TIME", help="only what came in the last TIME (units: s, m, h, d)")
    parser.add_argument("--stderr", action="store_true", help="only their stderr")
    return parser


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns the exit status of a task that has ended, else 0."""
    options, choice = make_parser().understand(arguments, choice)
    since = None if options.since is None else values.duration("--since", options.since, "0")
    kube, _ = where(options.task, choice)
    return follow.show(kube, options.task, options.follow, since, "err" if options.stderr else "both")
