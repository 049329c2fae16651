"""Joblogs on this machine: the one of a run, and those that are kept for later.

Kept are those that womm had GNU parallel write, by the run's id, below $XDG_STATE_HOME; beside each, what the
hub noted about it: which pod each job was given to. GNU parallel writes into the kept file itself: so it is
there however the run ends, and in no memory (the run's directory often is).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from womm import joblog, runs, signals, trust
from womm.errors import WommError
from womm.hub import places
from womm.joblog import Row
from womm.retry import Log

#: How many stay, the newest ones.
KEPT = 20

_LOG, _PLACES = ".tsv", ".places"
_SLOTS = b"slots\t"


class Record:
    """What is to be known of a run's jobs when it is over.

    `task` is the run's id, `scratch` a directory that goes with it, `slots` are all of its jobslots; `whole`:
    GNU parallel says itself where each job ran.
    """

    def __init__(self, log: Log, task: str, slots: int, scratch: Path, whole: bool = False) -> None:
        self.task, self.slots = task, slots
        self._log, self._scratch, self._whole = log, scratch, whole
        self.rows: list[Row] = []
        self.notes = b""
        #: Whether --retry-failed with the joblog runs the failed jobs.
        self.again = False
        #: For GNU parallel.
        self.arguments: tuple[str, ...] = ()
        self._path = Path(log.file) if log.file is not None else None
        self._stays = self._path is not None
        if log.addable:
            self._path = _new(task)
            self._stays = self._path is not None
            self._path = self._path or scratch / "joblog"
            self.arguments = ("--joblog", str(self._path))
        self._before = _size(self._path) if self._path is not None and log.appends else 0

    @property
    def retry(self) -> tuple[str, ...]:
        """The options with which GNU parallel runs the failed jobs; only where `again` is true."""
        return ("--retry-failed", "--joblog", str(self._path))

    def close(self) -> None:
        """The run is over: keep what stays. See what its jobs came to, unless it was interrupted."""
        if self._path is None:
            return
        if not self._whole:
            with contextlib.suppress(OSError):
                self.notes = (self._scratch / places.FILE).read_bytes()
        self.notes = _SLOTS + b"%d\n" % self.slots + self.notes
        if self._log.addable and self._is_empty(self._path):
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            return
        self._keep_notes(self._path)
        if not signals.received():
            self._see(self._path)

    @staticmethod
    def _is_empty(path: Path) -> bool:
        try:
            return not _names_jobs(path)
        except OSError:
            return True

    def _keep_notes(self, path: Path) -> None:
        # Beside a kept joblog that this run has added to, too.
        with contextlib.suppress(OSError, WommError):
            if path.resolve().parent == directory().resolve():
                with _private(path.with_suffix(_PLACES), os.O_APPEND) as descriptor:
                    os.write(descriptor, self.notes)

    def _see(self, path: Path) -> None:
        content = _content(path)
        rows = joblog.read(content)
        # A file that was appended to may have been replaced meanwhile.
        added = content[self._before :] if len(content) >= self._before else content
        self.rows = joblog.read(added) if self._before else rows
        if self._log.appends:
            # For each number that the joblog lacks GNU parallel retries an empty command.
            self.rows = [row for row in self.rows if row.command]
        failed = [row for row in self.rows if row.failed]
        more = self._log.appends and not self._log.mixes
        self.again = self._stays and joblog.once_more(rows, failed, more)


def keep(task: str, content: bytes, notes: bytes) -> Path | None:
    """Keep the joblog of a task that ran elsewhere, and what was noted; None if there is no place."""
    path = directory() / f"{task}{_LOG}"
    with contextlib.suppress(OSError, WommError):
        if not path.exists():
            _new(task)
        path.write_bytes(content)
        with _private(path.with_suffix(_PLACES), os.O_TRUNC) as descriptor:
            os.write(descriptor, notes)
        return path
    return None


def directory() -> Path:
    """Where they are kept. Raises WommError without a home."""
    return trust.directory() / "joblogs"


def find(name: str) -> tuple[list[Row], bytes]:
    """The rows of a joblog, a run's by its id or that of a file, and what was noted beside it.

    Raises WommError.
    """
    path = Path(name)
    if runs.ID.fullmatch(name):
        kept = directory() / f"{name}{_LOG}"
        if not kept.exists() and not path.exists():
            raise WommError(
                f"no joblog of run {name} is kept here", f"ls -t {directory()}; or name a joblog's file"
            )
        path = kept if kept.exists() else path
    try:
        rows = joblog.read(path.read_bytes())
    except OSError as error:
        raise WommError(f"{path} can't be read ({error.strerror})", "name a joblog, or a run's id") from error
    notes = b""
    with contextlib.suppress(OSError):
        notes = path.with_suffix(_PLACES).read_bytes() if path.suffix == _LOG else b""
    return rows, notes


def demand(log: Log) -> None:
    """See to it that there is a joblog with jobs to retry: GNU parallel would read commands from stdin.

    Raises WommError.
    """
    path = Path(log.file or "-")
    hint = "--retry-failed takes the commands from --joblog FILE"
    try:
        names_jobs = _names_jobs(path)
    except OSError as error:
        raise WommError(f"{path} can't be read ({error.strerror})", hint) from error
    if not names_jobs:
        raise WommError(f"{path} names no job to retry", hint)


def can_be_read(log: Log) -> bool:
    """Whether there will be a joblog that can be read when the run is over."""
    if log.addable:
        return True
    with contextlib.suppress(FileNotFoundError):
        return log.file is not None and stat.S_ISREG(os.stat(log.file).st_mode)
    return True


def _new(task: str) -> Path | None:
    # A file for the run's joblog; None where there is no place for one.
    with contextlib.suppress(OSError, WommError):
        where = directory()
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        where.chmod(0o700)
        _forget_old(where)
        path = where / f"{task}{_LOG}"
        with _private(path, os.O_EXCL):
            return path
    return None


def _forget_old(where: Path) -> None:
    # Not those of runs that still go on: GNU parallel writes there.
    at_work = runs.runs_directory()
    ages = {}
    for path in where.glob(f"*{_LOG}"):
        with contextlib.suppress(OSError):
            ages[path] = path.stat().st_mtime
    for path in sorted(ages, key=lambda path: ages[path], reverse=True)[KEPT - 1 :]:
        if not (at_work / path.stem).exists():
            path.with_suffix(_PLACES).unlink(missing_ok=True)
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _private(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _content(path: Path) -> bytes:
    # A pipe, or a terminal, would never end.
    with contextlib.suppress(OSError):
        if stat.S_ISREG(path.stat().st_mode):
            return path.read_bytes()
    return b""


def _names_jobs(path: Path) -> bool:
    # Whether a line follows the header's. Raises OSError.
    with path.open("rb") as file:
        return bool(file.readline() and file.readline())
