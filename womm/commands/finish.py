"""`womm finish`: take back what a task keeps in the cluster; its results come home first."""

from __future__ import annotations

from collections.abc import Sequence

from womm import config
from womm.commands.arguments import Parser
from womm.errors import WommError
from womm.kubectl import KubeChoice, resolve
from womm.output import progress, warn
from womm.runs import sweep
from womm.tasks import record
from womm.tasks.finish import Finisher
from womm.tasks.look import Looker
from womm.tasks.where import chosen_here, where
from womm.workers import CONFLICTS


def make_parser() -> Parser:
    """What the verb understands."""
    parser = Parser(
        "finish",
        "Bring home what tasks have changed, and delete what they keep in the cluster, logs included.",
    )
    parser.add_argument("task", metavar="ID", nargs="*", help="what `womm parallel --async` has printed")
    parser.add_argument("--all", action="store_true", help="all tasks that were started on this machine")
    parser.add_argument("--force", action="store_true", help="end those that still run, without a question")
    return parser


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns 0, or the status of a merge with conflicts."""
    options, choice = make_parser().understand(arguments, choice)
    if bool(options.task) == options.all:
        raise WommError("which tasks?", "womm finish ID…, or --all; `womm status` lists them")
    sweep()
    tasks = options.task or _all(choice)
    for task in tasks:
        record.check_id(task)
    conflicts, trouble = False, None
    for task in tasks:
        try:
            kube, recorded = where(task, choice)
            conflicts |= Finisher(kube, task, recorded, options.force, bool(options.all)).finish()
        except WommError as error:
            # The others can be finished all the same.
            if len(tasks) == 1:
                raise
            trouble = error
            warn(f"{task}: {error.message}")
            if error.hint:
                warn(f"→ {error.hint}")
    if trouble is not None:
        return trouble.exit_code
    return CONFLICTS if conflicts else 0


def _all(choice: KubeChoice) -> list[str]:
    # Those with a record, wherever they are; and those of this machine that are seen here.
    kube = resolve(choice.over(chosen_here()))
    seen = [row.id for row in Looker(kube).look().rows if row.machine == config.machine()]
    tasks = sorted({*seen, *record.known()})
    if not tasks:
        progress("womm: no task of this machine is left")
    return tasks
