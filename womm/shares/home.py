"""What jobs have changed comes home: it is fetched from the file server, and merged with what is here."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from womm import config, output, server, trust
from womm.errors import CommandFailed, WommError
from womm.kubectl import Kube
from womm.link import linked
from womm.output import progress, warn
from womm.process import attempt, run
from womm.runs import RESULTS, Run
from womm.shares import ignore, tree
from womm.shares.merge import Plan
from womm.shares.settle import Settling
from womm.shares.tree import Known
from womm.task import end_pods

# The run's file that holds what was sent.
_SENT = "sent"
# Seconds that a file server may take to start when a later womm asks it.
_PATIENCE = 5.0
_KEPT = "what the jobs have changed is kept in the cluster; the next womm command tries again"


@dataclass(frozen=True)
class Expected:
    """What is to come home: whose (`key` is its directory's name on the server), where to, and where from.

    `nfs`: the NFS server has it.
    """

    task: str
    key: str
    directory: str
    kube: Kube
    nfs: bool = False


def record(directory: Path, names: Iterable[str]) -> dict[str, Known]:
    """What is at `names` in the directory, to be compared with later; what is as it was is not read again."""
    note = _note(directory)
    known: dict[str, Known] = {}
    with suppress(OSError, ValueError, TypeError, WommError):
        known = tree.load(note.read_bytes())
    now = time.time_ns()
    looks = ((name, tree.look(os.path.join(directory, name), known.get(name))) for name in names)
    with _shown("womm: reading what is to be sent"):
        found = {name: seen for name, seen in looks if seen is not None}
    with suppress(OSError, WommError):
        # Without it the next run reads all files again.
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = note.with_name(f".{note.name}-{os.getpid()}")
        temporary.write_bytes(tree.dump(tree.settled(found, now)))
        temporary.replace(note)
    return found


def expect(write: Callable[[str, bytes], None], expected: Expected, sent: Mapping[str, Known]) -> None:
    """Note what is to come home, in a directory whose files `write` replaces.

    If it is a run's own, a later womm sees to it, too, from now on.
    """
    write(_SENT, tree.dump(sent))
    write(RESULTS, json.dumps(asdict(expected)).encode())


class Home:
    """The way home. `path` holds what expect() has written: it is `run_`'s own directory, or a dead run's.

    `run_` has a hub, which knows the file server's `pod`. `conflicts` counts once bring() has ended.
    """

    def __init__(self, run_: Run, path: Path, pod: str, expected: Expected) -> None:
        self._run, self._path, self._pod, self._expected = run_, path, pod, expected
        self.conflicts = False

    def bring(self) -> None:
        """Fetch, merge, put in place; the run's end has the servers forget it.

        Raises WommError: all is kept then, but for what they do not have any more.
        """
        expected = self._expected
        missing = self._gather() if expected.nfs else None
        try:
            place, *reports = self._reports()
            if reports:
                with _shown("womm: bringing back what jobs have changed"):
                    merged = self._merge(place, [Path(report).parent.name for report in reversed(reports)])
                _tell(*merged)
        except CommandFailed as failure:
            raise WommError(f"the jobs' results could not be fetched ({failure.message})", _KEPT) from failure
        except OSError as error:
            raise WommError(f"the jobs' results could not be put in place ({error})", _KEPT) from error
        closing = server.closing(expected.kube, self._pod, expected.task, expected.key)
        # By copy the pods' end takes its time, too.
        self._run.undo_later(closing, last=expected.nfs)
        if expected.nfs:
            self._run.undo_later(server.nfs_closing(expected.kube, self._pod, expected.task), last=True)
        (self._path / RESULTS).unlink()
        if missing is not None:
            raise missing

    def _gather(self) -> WommError | None:
        # Have the file server fetch what the NFS server has: it keeps it for us then, and for a later womm.
        # Returns what there is to say if that is not all. Raises WommError.
        argv = [*self._run.login, self._pod, "--", *server.nfs_script("results", self._expected.task)]
        done = attempt(argv, env=self._run.environment, detached=True)
        if done.status == server.GONE:
            return WommError(
                "what the jobs have changed is lost: the NFS server was replaced meanwhile", "run them again"
            )
        if done.status == server.PARTLY:
            *details, why = done.complaint.splitlines()
            for line in details:
                warn(line)
            return WommError(f"some of what the jobs have changed may be lost ({why})", "run those again")
        if done.status != 0:
            raise WommError(f"the jobs' results could not be fetched ({done.complaint})", _KEPT)
        return None

    def _reports(self) -> list[str]:
        # Where they are on the server; each pod's report, the latest last.
        script = server.script("results", self._expected.task, self._expected.key)
        argv = [*self._run.login, self._pod, "--", *script]
        try:
            return run(argv, env=self._run.environment, detached=True).text.splitlines()
        except CommandFailed as failure:
            if failure.status != server.GONE:
                raise
            (self._path / RESULTS).unlink()
            raise WommError(
                "what the jobs have changed is lost: the file server was replaced meanwhile", "run them again"
            ) from failure

    def _merge(self, place: str, pods: Sequence[str]) -> tuple[Plan, int]:
        # Returns how many files were put in place, too.
        root = Path(self._expected.directory)
        # In the directory: then what has come is not written twice, but renamed.
        staging = root / f"{ignore.STAGING}{self._expected.task}"
        self._fetch(place, staging)
        sent = tree.load((self._path / _SENT).read_bytes())
        settling = Settling(self._expected.task, root, staging, sent)
        plan = settling.settle(pods)
        self.conflicts = bool(plan.conflicts)
        return plan, settling.count

    def _fetch(self, place: str, staging: Path) -> None:
        argv = ["rsync", "--archive", "--no-owner", "--no-group", "--no-devices", "--no-specials", "--sparse"]
        argv += ["--delete", "--modify-window=-1", "--timeout=120", f"--rsh={' '.join(self._run.login)}"]
        run([*argv, f"{self._pod}:{place}/", f"{staging}/"], env=self._run.environment, detached=True)


def complete(path: Path, kubeconfig: str) -> None:
    """Bring home what a dead run has left on the servers. Raises WommError.

    `path` is the run's directory, `kubeconfig` what its KUBECONFIG was.
    """
    expected = expected_at(path)
    with _kubeconfig(kubeconfig), linked(expected.kube, _PATIENCE) as link:
        if expected.nfs:
            # What they have still to write is written when they are gone.
            end_pods(expected.kube, expected.task)
        Home(link.run, path, link.pod, expected).bring()


def expected_at(path: Path) -> Expected:
    """What expect() has written below `path`. Raises WommError."""
    try:
        fields = json.loads((path / RESULTS).read_bytes())
        return Expected(**{**fields, "kube": Kube(**fields["kube"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WommError(
            f"{path / RESULTS} can't be read ({error})", f"if it never can: rm -r {path}"
        ) from error


@contextmanager
def _kubeconfig(variable: str) -> Iterator[None]:
    # The shell that this womm is called in may have another one.
    before = os.environ.get("KUBECONFIG")
    if variable:
        os.environ["KUBECONFIG"] = variable
    try:
        yield
    finally:
        if variable and before is None:
            del os.environ["KUBECONFIG"]
        elif before is not None:
            os.environ["KUBECONFIG"] = before


@contextmanager
def _shown(line: str) -> Iterator[None]:
    # On a terminal, while it lasts.
    output.status(line)
    try:
        yield
    finally:
        output.status("")


def _tell(plan: Plan, count: int) -> None:
    if count:
        progress(f"womm: {count} {'file' if count == 1 else 'files'} brought back")
    for path, asides in plan.conflicts.items():
        names = ", ".join(map(trust.shown, asides))
        warn(f"conflict: {trust.shown(path)} was changed on both sides; the pods' version is {names}")
    for path in plan.deleted:
        warn(f"deleted in a pod, kept here: {trust.shown(path)}")


def _note(directory: Path) -> Path:
    return trust.directory() / "sent" / config.identity(directory)[:32]
