"""`womm status`: the tasks of a namespace, and how they fare."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from womm import config
from womm.commands.arguments import Parser
from womm.errors import WommError
from womm.kubectl import Kube, KubeChoice, resolve
from womm.output import data, progress, warn
from womm.tasks import table
from womm.tasks.listing import Row
from womm.tasks.look import Looker, Seen
from womm.tasks.watch import demand_terminal, watch
from womm.tasks.where import chosen_here

_MORE = """
ORPHANED: nobody has renewed the task's lease for 3 minutes. UNKNOWN: there is no lease to tell by.
"""


def make_parser() -> Parser:
    """What the verb understands."""
    parser = Parser("status", "Show the tasks that you have begun on this machine, and how they fare.")
    parser.epilog = _MORE
    parser.add_argument("task", metavar="ID", nargs="*", help="only these, wherever they were begun")
    parser.add_argument(
        "-A", "--all-machines", action="store_true", help="those of all machines and users of the namespace"
    )
    parser.add_argument("--watch", action="store_true", help="go on showing them, every 2 s, until Ctrl-C")
    parser.add_argument(
        "-o", "--output", choices=("wide", "json"), help="more columns, or all that is known, for programs"
    )
    return parser


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns 0, whatever became of the tasks."""
    options, choice = make_parser().understand(arguments, choice)
    if options.watch:
        if options.output == "json":
            raise WommError("--watch draws a table, and -o json is for programs", "leave out either")
        demand_terminal()
    wanted = [word.removeprefix("womm-task-").removeprefix("womm-async-") for word in options.task]
    kube, ours = resolve(choice.over(chosen_here())), config.machine()
    looker = Looker(kube)

    def choose(seen: Seen) -> list[Row]:
        return looker.with_views(chosen(seen.rows, wanted, None if options.all_machines else ours))

    def drawn(seen: Seen, rows: Sequence[Row]) -> str:
        if not rows:
            return _nothing(seen, wanted, kube)
        return table.text(rows, ours, options.output == "wide", _width())

    def again() -> str:
        found = looker.look()
        return drawn(found, choose(found))

    seen = looker.look()
    _tell(seen.without)
    rows = choose(seen)
    missing = sorted(set(wanted) - {row.id for row in rows})
    if options.watch and not missing:
        watch(drawn(seen, rows), again)
    if options.output == "json":
        data(table.as_json(rows, ours))
    elif rows:
        data(drawn(seen, rows))
    elif not wanted:
        progress(_nothing(seen, wanted, kube).rstrip("\n"))
    if missing:
        raise WommError(
            f"there is no task {', '.join(missing)} in namespace {kube.namespace}",
            "`womm status -A` shows all that there are; --namespace NAME looks elsewhere",
        )
    return 0


def chosen(rows: Sequence[Row], wanted: Sequence[str], machine: str | None) -> list[Row]:
    """Those rows that were asked for: by id, else those of `machine`, or all where it is None."""
    if wanted:
        return [row for row in rows if row.id in wanted]
    return [row for row in rows if machine is None or row.machine == machine]


def _tell(without: Sequence[str]) -> None:
    for lack in without:
        warn(lack)
    if without:
        warn("→ `womm cluster-setup --user-role` prints the rights, for an administrator")


def _nothing(seen: Seen, wanted: Sequence[str], kube: Kube) -> str:
    where = f"in namespace {kube.namespace}"
    if wanted:
        return f"womm: there is no task {', '.join(wanted)} {where} any more\n"
    if not seen.rows:
        return f"womm: no tasks {where}\n"
    return f"womm: no tasks of yours from this machine {where}; {len(seen.rows)} of others: -A shows them\n"


def _width() -> int | None:
    # What is no terminal takes lines of any length.
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
