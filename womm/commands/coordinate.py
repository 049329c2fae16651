"""`womm coordinate`: what the coordinator of a task runs, in the cluster. Not for people."""

from __future__ import annotations

from collections.abc import Sequence

from womm.commands.arguments import Parser
from womm.kubectl import KubeChoice
from womm.tasks.coordinate import coordinate


def make_parser() -> Parser:
    """What the verb understands."""
    parser = Parser(
        "coordinate", "See a task to its end, in the cluster: what `womm parallel --async` starts there."
    )
    parser.add_argument("task", metavar="ID")
    return parser


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns 0, whatever the task's exit status."""
    options, _ = make_parser().understand(arguments, choice)
    coordinate(options.task)
    return 0
