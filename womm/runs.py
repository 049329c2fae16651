"""Runs on this machine: each has a private directory, and whatever outlives its client is swept.

The directory holds what the login script reads, the login file, and `undo`: the commands that take
back what the run made elsewhere. Its client holds a lock on it; one that nobody holds is a dead run's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import resource
import secrets
import shlex
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from womm.beside import Keeper
from womm.ending import end_all
from womm.errors import WommError
from womm.files import SCRIPTS
from womm.output import warn
from womm.process import RUN_VARIABLE, Done, attempt, tool
from womm.threads import Pool, answer

# Seconds that taking something back may take: at the end of its own run, and in its keeper; and when a later
# womm does it, whose user waits for something else.
_PATIENCE = 60.0
_SHORT_PATIENCE = 8.0

# What the keeper runs when the client has died.
_SWEEP = "from womm.runs import sweep_for_the_dead; sweep_for_the_dead()"

#: The run's file that is there as long as results of its jobs are to be brought home (shares/home.py).
RESULTS = "results"
# What is said of a thing that is not there, or just goes: by kubectl, docker, podman.
_GONE = re.compile(rb"NotFound|no such container|removal of container \S+ is already in", re.IGNORECASE)

_MANY_FILES = 1 << 16

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
#: A run's id, which is its task's.
ID = re.compile(r"[a-z]{8}")


@dataclass(frozen=True)
class _Step:
    # What take_back() runs, and calls then; `last`: after all others.
    argv: list[str]
    then: Callable[[], None]
    last: bool


class Run:
    """One run: `task` is its id (8 letters), `path` its private directory."""

    def __init__(self, task: str | None = None) -> None:
        self.task = task or new_id()
        directory = runs_directory()
        self.path = directory / self.task
        self._undo: list[_Step] = []
        # The heartbeat's thread adds to it, too.
        self._writing = threading.Lock()
        # The shell that the next womm is called in may have another one.
        self._kubeconfig = _absolute(os.environ.get("KUBECONFIG", ""))
        with _exclusively(directory):
            self.path.mkdir(mode=0o700)
            self._lock = _lock(self.path)
        # A link: programs that split their shell's name at blanks get a path that has none.
        (self.path / "scripts").symlink_to(SCRIPTS)
        self._keeper = Keeper(["bash", "-p", str(SCRIPTS / "keeper"), sys.executable, "-c", _SWEEP])

    @property
    def login(self) -> list[str]:
        """What runs a command in a pod, as ssh would: the pod's name and the command follow."""
        return [tool("perl"), "-X", f"{self.path}/scripts/login.pl"]

    def login_by(self, words: Sequence[str]) -> list[str]:
        """The same for much data: `words`, a `kubectl exec` without the pod's name, take the hub's place."""
        if self._kubeconfig:
            # rsync runs in another directory.
            words = ["env", f"KUBECONFIG={self._kubeconfig}", *words]
        self.write("exec", b"".join(os.fsencode(word) + b"\0" for word in words))
        return [tool("perl"), f"{self.path}/scripts/login-exec.pl"]

    @property
    def environment(self) -> dict[str, str]:
        """What marks the run's processes, and tells its scripts where they are."""
        return {RUN_VARIABLE: str(self.path)}

    def write(self, name: str, content: bytes, mtime: float | None = None) -> None:
        """Replace the run's file `name` as a whole, with the modification time `mtime` if given."""
        replace(self.path / name, content, mtime)

    def undo_later(
        self, argv: Sequence[str], then: Callable[[], None] = lambda: None, *, last: bool = False
    ) -> None:
        """Have take_back() run `argv` and, if it succeeds, call `then`; with `last`, after all that is not.

        If this client dies before, a later womm runs it.
        """
        with self._writing:
            self._undo.append(_Step(list(argv), then, last))
            self._write_undo()

    def forget(self, argv: Sequence[str]) -> None:
        """`argv` need not be run any more."""
        with self._writing:
            self._undo = [step for step in self._undo if step.argv != list(argv)]
            self._write_undo()

    def forget_all(self) -> None:
        """Nothing of what was recorded need be run any more."""
        with self._writing:
            self._undo = []
            self._write_undo()

    def take_back(self) -> None:
        """Run what was recorded, side by side: each program takes its time. What fails is told, and kept."""
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only on the way out

        left = []
        for last in (False, True):
            steps = [step for step in self._undo if step.last == last]
            with ThreadPoolExecutor(max(1, len(steps))) as pool:
                good = list(pool.map(lambda step: _take_back(step.argv, self._kubeconfig, _PATIENCE), steps))
            for step, is_good in zip(steps, good, strict=True):
                if is_good:
                    step.then()
                else:
                    left.append(step)
        self._undo = left
        with contextlib.suppress(OSError):
            # On a full disk the old note stays: what was taken back once may be taken back again.
            self._write_undo()

    def _write_undo(self) -> None:
        steps = ([step.argv for step in self._undo if step.last == last] for last in (False, True))
        self.write("undo", _note(self._kubeconfig, *steps))

    def close(self) -> None:
        """End what is left of the run's processes. Its directory stays if something is left to do."""
        self._keeper.end()
        _end_processes(self.path)
        if not self._undo and not (self.path / RESULTS).exists():
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def new_id() -> str:
    """A task's id that no other has."""
    return "".join(secrets.choice(_LETTERS) for _ in range(8))


def runs_directory() -> Path:
    """The user's private directory for runs: in $XDG_RUNTIME_DIR, else in /tmp. Made if it is missing.

    Raises WommError where somebody else owns it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # GNU parallel and rsync split commands at blanks: only a plain path will do.
    usable = re.fullmatch(r"/[A-Za-z0-9_./-]{1,60}", runtime) and os.access(runtime, os.W_OK)
    path = Path(runtime) / "womm" if usable else Path(f"/tmp/womm-{os.getuid()}")  # noqa: S108 - checked below
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise WommError(f"{path} can't be made ({error.strerror})", "set XDG_RUNTIME_DIR") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise WommError(f"{path} is somebody else's", "set XDG_RUNTIME_DIR to a directory of yours")
    path.chmod(0o700)
    return path


def raise_file_limit(pods: int, slots: int) -> None:
    """Let this process and its children open files enough. Raises WommError if they may not."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A channel each; three descriptors and the login's connection per job; the rest is GNU parallel's
    # affair, in a process of its own, and it makes do with fewer jobs at once.
    needed = 100 + pods * (2 + 4 * slots)
    unlimited = most == resource.RLIM_INFINITY
    if needed > most and not unlimited:
        raise WommError(
            f"{pods} pods with {slots} jobs each take {needed} open files, and the limit is {most}",
            "raise it (ulimit -Hn, or /etc/security/limits.conf), or take fewer pods or jobs",
        )
    # Not without limit: there are programs that close whatever they might have open.
    wanted = max(now, needed, _MANY_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if unlimited else min(wanted, most), most))


def sweep(patience: float = _SHORT_PATIENCE) -> None:
    """See to what dead runs left: their processes here, their jobs' results, their objects in the cluster.

    For these, `patience` seconds in all: what can't be taken back by then is left to the next sweep.
    """
    with _dead_runs() as paths, Pool() as pool:
        notes = {}
        for path in paths:
            warn(f"cleaning up after run {path.name}, which did not end as it should")
            _end_processes(path)
            notes[path] = _recorded(path)
            _bring_home(path, notes[path][0])
        deadline = time.monotonic() + patience
        # What comes last may end what keeps results.
        is_home = [path for path in paths if not (path / RESULTS).exists()]
        for turn, taken in enumerate((paths, is_home)):
            steps = [
                (path, argv, pool.submit(_take_back, argv, kubeconfig, max(0, deadline - time.monotonic())))
                for path in taken
                for kubeconfig, undo in [notes[path]]
                for argv in undo[turn]
            ]
            for path in taken:
                notes[path][1][turn] = [argv for of, argv, done in steps if of == path and not answer(done)]
        for path, (kubeconfig, left) in notes.items():
            if any(left) or (path / RESULTS).exists():
                warn(f"→ the next womm command tries again; if it never can: rm -r {path}")
                with contextlib.suppress(OSError):
                    # On a full disk the old note stays.
                    replace(path / "undo", _note(kubeconfig, *left))
            else:
                shutil.rmtree(path, ignore_errors=True)


def sweep_for_the_dead() -> None:
    """What the keeper does: nobody waits for it, and its stderr is the user's terminal."""
    try:
        sweep(_PATIENCE)
    except (OSError, WommError) as error:
        warn(f"could not clean up: {error}")


def _bring_home(path: Path, kubeconfig: str) -> None:
    if (path / RESULTS).exists():
        from womm.shares.home import complete  # noqa: PLC0415 - it has runs of its own

        try:
            complete(path, kubeconfig)
        except WommError as error:
            warn(error.message)


@contextlib.contextmanager
def _dead_runs() -> Iterator[list[Path]]:
    # They are locked for as long as the context lasts.
    locks: dict[Path, int] = {}
    directory = runs_directory()
    with _exclusively(directory):
        for path in directory.iterdir():
            with contextlib.suppress(OSError):
                locks[path] = _lock(path)
    try:
        yield list(locks)
    finally:
        for lock in locks.values():
            os.close(lock)


@contextlib.contextmanager
def _exclusively(directory: Path) -> Iterator[None]:
    # A run whose directory is made but not locked yet must not look dead to another womm.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int:
    # Python's descriptors are not inherited by children, so the lock ends with its process.
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def replace(path: Path, content: bytes, mtime: float | None = None) -> None:
    """Have `content` in the file `path`, which is the old one or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(content)
    if mtime is not None:
        os.utime(temporary, (mtime, mtime))
    temporary.replace(path)


def _note(kubeconfig: str, undo: Sequence[Sequence[str]], last: Sequence[Sequence[str]]) -> bytes:
    return json.dumps({"kubeconfig": kubeconfig, "undo": undo, "last": last}).encode()


def _recorded(path: Path) -> tuple[str, list[list[list[str]]]]:
    # The kubeconfig; what is to be run, and what is to be run after it.
    try:
        recorded = json.loads((path / "undo").read_text())
        # A womm of an earlier commit has nothing that comes last.
        return recorded["kubeconfig"], [recorded["undo"], recorded.get("last", [])]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        # Not valid: the machine went down while it was written.
        return "", [[], []]


def _take_back(argv: Sequence[str], kubeconfig: str, patience: float) -> bool:
    env = {"KUBECONFIG": kubeconfig} if kubeconfig else {}
    try:
        done = attempt(argv, env=env, detached=True, patience=patience)
    except WommError as missing:
        done = Done(127, b"", missing.message.encode())
    if done.status != 0 and not _GONE.search(done.stderr):
        warn(f"could not clean up: {shlex.join(argv)}: {done.stderr.decode(errors='replace').strip()}")
        return False
    return True


def _absolute(kubeconfig: str) -> str:
    return ":".join(os.path.abspath(part) for part in kubeconfig.split(":") if part)


def _end_processes(path: Path) -> None:
    import psutil  # noqa: PLC0415 - only on the way out

    mark = str(path)
    left = []
    for process in psutil.process_iter():
        try:
            # The client itself does not carry the mark; all that it starts for the run does.
            if process.environ().get(RUN_VARIABLE) == mark:
                left.append(process)
        except psutil.Error:
            continue
    end_all(left)
