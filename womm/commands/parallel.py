"""`womm parallel`: GNU parallel, its jobs in the pods of a deployment of their own."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from womm import joblog, joblogs, timeline, workers
from womm.config import LAZY
from womm.errors import WommError
from womm.files import PARALLEL_OPTIONS
from womm.getopt import BadOption, load_table
from womm.gnu import IN_PODS, NO_PROFILE, gnu_parallel, in_pods
from womm.joblogs import Record
from womm.kubectl import KubeChoice
from womm.logins import LoginFile
from womm.options import HELP, OURS, ParallelOptions, split
from womm.output import be_quiet, columns, data, progress, warn
from womm.retry import pasteable
from womm.runs import new_id
from womm.tasks.detached import Detached
from womm.workers import Here

if TYPE_CHECKING:
    from womm.hub.job import Rules

_USAGE = """\
Usage: womm parallel --kube-pods N [options] -- COMMAND [::: ARGUMENTS]
       find -type f | womm parallel --kube-pods 10 -- wc -l {}

Runs COMMAND as GNU parallel does, for each line of its input, in the pods of the cluster.
womm's options:
"""

_THEIRS = """\
All other options are GNU parallel's own: see `man parallel`, or `womm parallel --version`.
"""


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb. Returns GNU parallel's exit status, or that of conflicts."""
    try:
        options = split(arguments, load_table(PARALLEL_OPTIONS, OURS), os.environ)
    except BadOption as bad:
        return _its_own_message(bad)
    if options.help:
        data(help_text())
        return 0
    if options.answers:
        return gnu_parallel(options.theirs)
    if options.quiet:
        be_quiet()
    _demand(options)
    if options.workers.pods == 0:
        return _here(options, choice)
    wanted = options.workers
    here = workers.prepare(options.kube.beside(choice), wanted, options.trust)
    if options.detached is not None:
        return _by_itself(options, here, options.detached, choice)
    with ExitStack() as last, workers.taken_back() as undo:
        run_ = workers.new_run(undo)
        slots = wanted.pods * wanted.slots + options.local
        record = Record(options.log, run_.task, slots, run_.path, options.per_host)
        # Once the hub has written its notes, and before the run's directory goes.
        undo.callback(record.close)
        logins = LoginFile(run_, wanted.slots, f"womm-task-{run_.task}", options.per_host, options.local)
        task = workers.start(run_, wanted, here, undo, rules=_rules(options), ready=logins.write)
        ours = [*in_pods(run_, logins), *record.arguments]
        theirs = [*options.theirs, "--", *options.command]
        status = gnu_parallel([*ours, *theirs], run_.environment, modules=IN_PODS)
        # Also where what the jobs have changed can't come home.
        last.callback(_tell, record, options, choice)
    return task.status(status)


def _by_itself(options: ParallelOptions, here: Here, asked: Detached, choice: KubeChoice) -> int:
    from womm.tasks.submit import submit  # noqa: PLC0415 - only with --async

    if here.project.share == LAZY:
        raise WommError(
            "--async outlives this machine's link, and a lazy share is read over it",
            "`womm setup --share eager` sends the directory; or leave out --async",
        )
    again = None
    if options.log.again is not None:
        again = [*_as_words(choice), "parallel", *options.log.again]
    task = submit(here, options.workers, asked, _rules(options), again)
    progress(f"womm: task {task} runs by itself; `womm logs -f {task}` follows it, `womm status` lists all,")
    progress(f"womm: and `womm finish {task}` ends it and takes back what it keeps")
    data(f"{task}\n")
    return 0


def _here(options: ParallelOptions, choice: KubeChoice) -> int:
    # No pods: GNU parallel alone.
    with tempfile.TemporaryDirectory(prefix="womm-") as scratch:
        record = Record(options.log, new_id(), options.local, Path(scratch))
        ours = [*NO_PROFILE, "--jobs", str(options.local), *record.arguments]
        try:
            status = gnu_parallel([*ours, *options.theirs, "--", *options.command])
        finally:
            record.close()
    _tell(record, options, choice)
    return status


def _demand(options: ParallelOptions) -> None:
    # What the end of the run will need, before anything is begun. Raises WommError.
    if options.timeline is not None:
        timeline.demand(Path(options.timeline))
        if not joblogs.can_be_read(options.log):
            raise WommError(
                "--timeline draws from GNU parallel's joblog, and here there is none to read", "--joblog FILE"
            )
    if options.retries:
        joblogs.demand(options.log)


def _tell(record: Record, options: ParallelOptions, choice: KubeChoice) -> None:
    # What the run came to, after all of its own lines.
    for line in joblog.summary(record.rows, record.slots, columns()):
        progress(line)
    again = options.log.again
    if any(row.failed for row in record.rows) and record.again and again is not None:
        progress("womm: to run only those again:")
        progress(pasteable(["womm", *_as_words(choice), "parallel", *again, *record.retry]))
    if options.timeline is not None:
        try:
            page = timeline.page(f"womm: {record.task}", record.rows, timeline.read_notes(record.notes))
            timeline.write(Path(options.timeline), page)
        except WommError as error:
            # The jobs are done, whatever becomes of their picture.
            warn(error.message)


def _as_words(choice: KubeChoice) -> list[str]:
    # What stood before the verb.
    chosen = {
        "--namespace": choice.namespace,
        "--context": choice.context,
        "--kubeconfig": choice.kubeconfig,
    }
    return [word for name, value in chosen.items() if value is not None for word in (name, value)]


def _rules(options: ParallelOptions) -> Rules:
    # Here, not above: it takes 0.15 s, which other verbs can do without.
    from womm.hub.job import Rules  # noqa: PLC0415

    rerun = ""
    if not options.rerun:
        rerun = "--no-rerun"
    elif options.transfers:
        rerun = "its files went with the pod"
    elif options.per_host:
        rerun = "each pod runs its own"
    return Rules(rerun, options.grouped, options.transfers or options.per_host, options.workers.memory)


def help_text() -> str:
    """The text of `womm parallel --help`."""
    width = max(len(name) + len(argument) for name, argument, _ in HELP) + 3
    rows = [f"  {f'{name} {argument}':{width}}{meaning}\n" for name, argument, meaning in HELP]
    return _USAGE + "".join(rows) + _THEIRS


def _its_own_message(bad: BadOption) -> int:
    """Let GNU parallel say itself what it does not understand. Raises `bad` if it does understand."""
    typed, ours = bad.arguments[0].lstrip("-"), [o.names[0] for o in OURS]
    if typed.partition("=")[0] in ours:
        # It is no typing error, and none of GNU parallel's: its value is missing, or one too many.
        raise WommError(bad.message, "see `womm parallel --help`")
    near = difflib.get_close_matches(typed, ours, 1)
    if near:
        raise WommError(bad.message, f"did you mean --{near[0]}? See `womm parallel --help`")
    # The bad option stands last: one that lacks its value must not take another word for it.
    status = gnu_parallel(["--dry-run", *bad.arguments], aside=True)
    if status == 0:
        raise bad
    return status
