"""`womm wait`: wait for the end of a task, and return its exit status."""

from __future__ import annotations

from collections.abc import Sequence

from womm.commands.arguments import Parser
from womm.kubectl import KubeChoice
from womm.tasks import follow
from womm.tasks.where import where


def make_parser() -> Parser:
    """What the verb understands."""
    parser = Parser("wait", "Wait until a task has ended; the exit status is the task's own.")
    parser.add_argument("task", metavar="ID", help="what `womm parallel --async` has printed")
    return parser


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns the task's exit status."""
    options, choice = make_parser().understand(arguments, choice)
    kube, _ = where(options.task, choice)
    return follow.wait_for(kube, options.task)
