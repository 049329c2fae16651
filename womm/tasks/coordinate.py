"""The coordinator: in the cluster, it sees a task to its end, as `womm parallel` would do here.

It keeps what it has in a volume of its own, and copies to the file server what is printed, as it comes. The
next one, if it is replaced, goes on from there.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from womm import joblog, signals, workers
from womm.errors import Interrupted, WommError
from womm.gnu import IN_PODS, gnu_parallel, in_pods
from womm.hub import places
from womm.joblog import Row
from womm.joblogs import Record
from womm.kubectl import Kube
from womm.logins import LoginFile
from womm.output import progress, warn
from womm.process import Done, attempt
from womm.retry import Log
from womm.runs import raise_file_limit
from womm.server import GONE
from womm.tasks.detached import WORK
from womm.tasks.marks import Place
from womm.tasks.order import Order, load
from womm.tasks.ship import Files, Server, Shipper, chunks, size
from womm.workers import Here

_CONTEXT = "cluster"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Seconds that a file server may take to start; that pods of an earlier coordinator may take to go, beyond the
# dead-man time.
_PATIENCE, _LEAVING = 600.0, 10
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
# Bytes of arguments that GNU parallel reads at once to count its jobs; more would be more of its memory.
_COUNTED = 16 << 20
# GNU parallel's exit status where more than 100 jobs have failed.
_MANY = 101
# A task that ended otherwise than by its jobs.
_FAILED = 255


def coordinate(task: str) -> None:
    """See the task to its end. Raises WommError for what the next try may do better."""
    work = Path(WORK)
    kube = inside(work)
    server = Server(kube, task, _PATIENCE)
    # The pod's name: each coordinator of a task has another one.
    owner = platform.node()
    try:
        begun = server.ask("begin", owner)
        if begun.status == GONE:
            warn(f"the file server knows nothing of task {task}")
            return
        state = Place(*map(int, _good(begun).text.split()))
        if server.ask("get", "status").status == 0:
            return
        order = load(_good(server.ask("get", "order")).stdout)
        _see_to_it(kube, server, order, work, state, owner=owner)
    finally:
        server.close()


def _see_to_it(kube: Kube, server: Server, order: Order, work: Path, state: Place, *, owner: str) -> None:
    files = Files(work / "out", work / "err", work / "joblog", work / "marks", work / "total")
    _fetch(server, order, files, work)
    restore = partial(_give, server, order, work)
    shipper = Shipper(server, files, state, grouped=order.grouped, owner=owner, restore=restore)
    with own_streams(files, work / "stdin"):
        shipper.start()
        try:
            if not order.repeatable and joblog.read(files.log.read_bytes()):
                warn("the coordinator was replaced, and these jobs can't be told apart: the task ends here")
                status = _FAILED
            else:
                again = order.repeatable and state.log > 0
                status = _work(kube, order, files, work, again=again, leave=partial(_leave, shipper))
        except WommError as error:
            warn(error.message)
            if error.hint:
                warn(f"→ {error.hint}")
            status = error.exit_code
    shipper.stop(whole=True)
    if (work / places.FILE).exists():
        server.pour(partial(chunks, work / places.FILE), "put", "places")
    _good(server.ask("end", str(status), owner))


def _leave(shipper: Shipper) -> NoReturn:
    # The next coordinator may be at work already: nothing in the cluster is to be taken back from it.
    signals.shield()
    with suppress(OSError, WommError):
        shipper.stop(whole=False)
    os._exit(_FAILED)


def _work(
    kube: Kube, order: Order, files: Files, work: Path, *, again: bool, leave: Callable[[], NoReturn]
) -> int:
    from womm.hub.job import Rules  # noqa: PLC0415 - it takes 0.15 s

    wanted = order.workers
    raise_file_limit(wanted.pods, wanted.slots)
    _see_off(kube, order)
    here = Here(Path(order.directory), order.project, kube, None, order.share, order.shell, order.cpu_limit)
    rules = Rules(order.rerun, order.grouped, order.pinned, wanted.memory)
    # The rows of an earlier coordinator's jobs count as well.
    log = Log(str(files.log), addable=False, again=None)
    with workers.taken_back() as undo:
        run_ = workers.new_run(undo, order.task)
        record = Record(log, order.task, wanted.pods * wanted.slots, run_.path)
        undo.callback(record.close)
        logins = LoginFile(run_, wanted.slots, f"womm-task-{order.task}", order.pinned, 0)
        ours = [*in_pods(run_, logins), "--joblog", str(files.log), *(["--resume"] if again else [])]
        marks = {
            "WOMM_MARKS": str(files.marks),
            "WOMM_OUT": str(files.out),
            "WOMM_ERR": str(files.err),
            "WOMM_LOG": str(files.log),
        }
        if order.repeatable and sum(size(work / name) for name in order.inputs) < _COUNTED:
            marks["WOMM_TOTAL"] = str(files.total)
        added = {**order.environment, **run_.environment, **marks}
        try:
            workers.start(run_, wanted, here, undo, rules=rules, ready=logins.write)
            theirs = [*order.theirs, "--", *order.command]
            status = gnu_parallel([*ours, *theirs], added, modules=(*IN_PODS, "marks"))
        except Interrupted:
            leave()
    with suppress(OSError), (work / places.FILE).open("ab") as kept:
        kept.write(record.notes)
    for line in joblog.summary(record.rows, record.slots, 80):
        progress(line)
    return whole(status, record.rows) if again else status


def whole(status: int, rows: Iterable[Row]) -> int:
    """The task's exit status: GNU parallel ended with `status`; `rows` are all jobs, earlier ones, too."""
    if status > _MANY:
        return status
    return min(_MANY, sum({row.seq: row.failed for row in rows}.values()))


def _fetch(server: Server, order: Order, files: Files, work: Path) -> None:
    (work / "stdin").touch()
    for name in order.inputs:
        server.fetch(name, work / name)
    # What an earlier coordinator has shipped: the copies have the same bytes at the same places.
    for name, path in (("out", files.out), ("err", files.err), ("joblog", files.log)):
        server.fetch(name, path)


def _give(server: Server, order: Order, work: Path) -> None:
    # All that _fetch has taken, to a server that has lost it; the rest is shipped again.
    for name in order.inputs:
        _good(server.pour(partial(chunks, work / name), "put", name))
    _good(server.pour(lambda: iter([order.dump()]), "put", "order"))


@contextmanager
def own_streams(files: Files, stdin: Path) -> Iterator[None]:
    """Have files as stdin, stdout and stderr, ours and those of what we start."""
    kept = [os.dup(number) for number in range(3)]
    paths = ((stdin, os.O_RDONLY), (files.out, _APPEND), (files.err, _APPEND))
    try:
        for number, (path, flags) in enumerate(paths):
            descriptor = os.open(path, flags, 0o600)
            os.dup2(descriptor, number)
            os.close(descriptor)
        yield
    finally:
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _see_off(kube: Kube, order: Order) -> None:
    # What an earlier coordinator has made, if there was one. Its agents have heard nothing since: their jobs
    # end in the dead-man time, and none of them is to run twice at once.
    task = f"womm-task-{order.task}"
    kube.run("delete", f"secret/{task}", "--ignore-not-found", "--wait=false")
    kube.run("delete", f"deployment/{task}", "--ignore-not-found", patience=_PATIENCE)
    seconds = order.workers.lost_after + _LEAVING
    ours = ("pods", "-l", f"womm.dev/task={order.task}")
    attempt(kube.argv("wait", "--for=delete", *ours, f"--timeout={seconds}s"), patience=2 * seconds)


def inside(work: Path) -> Kube:
    """The cluster as its own pods see it, for a kubectl that is told of a context: written to `work`."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    cluster = {"server": f"https://{host}:{port}", "certificate-authority": str(_ACCOUNT / "ca.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _CONTEXT, "cluster": cluster}],
        "users": [{"name": _CONTEXT, "user": {"tokenFile": str(_ACCOUNT / "token")}}],
        "contexts": [{"name": _CONTEXT, "context": {"cluster": _CONTEXT, "user": _CONTEXT}}],
    }
    path = work / "kubeconfig"
    path.write_text(json.dumps(config))
    return Kube((_ACCOUNT / "namespace").read_text().strip(), _CONTEXT, str(path))


def _good(done: Done) -> Done:
    if done.status != 0:
        raise WommError(f"the file server does not answer as it should: {done.complaint}")
    return done
