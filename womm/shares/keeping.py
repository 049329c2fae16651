"""A share over NFS is kept up as long as its task lives: made again if a server is replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from womm import signals
from womm.beside import Heard
from womm.errors import WommError
from womm.output import debug, progress, warn
from womm.server import nfs_script
from womm.shares.nfs import WITHOUT, Export

# Seconds between two tries, at first and at most; that the first one may take.
_AGAIN, _SELDOM, _PATIENCE = 1.0, 8.0, 90.0
# Seconds for which jobs' ends wait for the share. A server's next pod takes a minute or so; where there will
# be none, a job that has nothing to do with the directory must not wait for ever.
_HELD = 300.0
# Lines of a way's complaints that are told as they are.
_FEW = 3
#: How the line begins by which the server says that pods can see the directory.
READY = "womm-nfs: ready "


class Way(Protocol):
    """A program through which the NFS server knows that the task lives; it ends if that one does."""

    def lines(self) -> Iterator[str]:
        """What it says on stderr, until it ends."""

    def kill(self) -> None:
        """Have it end."""

    def end(self) -> str:
        """See to its end; what else there was to say."""


class Jobs(Protocol):
    """Whoever hears of the jobs' ends (the hub)."""

    def doubt(self) -> None:
        """Hold them back: jobs may have failed only because the share was gone."""

    def condemn(self, pods: frozenset[str]) -> None:
        """These are being deleted: no end that has not been told yet counts there, whatever is settled."""

    def settle(self) -> None:
        """Ends count again."""


@dataclass(frozen=True)
class View:
    """What the server says of an export: the link's round trip, how old what pods see can be, in seconds; and
    whether it is the one that was there before."""

    round_trip: float
    age: float
    same: bool


class Keeping(threading.Thread):
    """Keeps a task's export up, from start() to stop(). `dial` begins a way; its argument: once more.

    Where another export takes its place, nothing that pods have open is good any more: they are replaced.
    Before that is known, jobs may have failed of it: a node that reaches the new server has "stale file
    handle" at once. `over` is called when there will be no more ways.
    """

    def __init__(
        self, export: Export, jobs: Jobs, dial: Callable[[bool], Way], over: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(name="share", daemon=True)
        self._export, self._jobs, self._dial, self._over = export, jobs, dial, over
        self._changed = threading.Condition()
        self._view: View | None = None
        self._why = ""
        self._way: Way | None = None
        # While ends are held back: what has them told after a time.
        self._limit: threading.Timer | None = None
        self._stopping = False

    def wait(self) -> View:
        """Wait until pods can see the directory. Raises WommError if the first try fails."""
        with self._changed:
            waited = 0.0
            while self._view is None and not self._why and waited < _PATIENCE:
                self._changed.wait(0.1)
                waited += 0.1
                signals.check()
            if self._view is not None:
                return self._view
        raise WommError(
            f"this directory can't be served: {self._why or f'no answer within {_PATIENCE:.0f} s'}",
            WITHOUT,
        )

    def leave(self) -> None:
        """The task is over: what ends from now on is not begun again. What there is stays until stop()."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Let go."""
        self.leave()
        with self._changed:
            way = self._way
        if way is not None:
            way.kill()
        if self.is_alive():
            self.join()
        self._over()

    def run(self) -> None:
        """Begin a way, again and again until stop()."""
        try:
            self._keep()
        finally:
            # A bug, too, may have ended it, and nobody else has the ends told.
            self._believe()

    def _keep(self) -> None:
        pause = _AGAIN
        while True:
            reached, why = self._go()
            if reached:
                pause = _AGAIN
            with self._changed:
                if self._stopping:
                    return
                self._why = why
                if self._view is None:
                    self._changed.notify_all()
                    return
                debug(f"the share's way has ended: {why}")
                self._changed.wait_for(lambda: self._stopping, pause)
            pause = min(2 * pause, _SELDOM)

    def _go(self) -> tuple[bool, str]:
        # One way, to its end. Returns whether it led anywhere, and why it ended.
        said: list[str] = []
        try:
            with self._changed:
                if self._stopping:
                    return False, ""
                self._way = way = self._dial(self._view is not None)
        except (OSError, WommError) as error:
            return False, str(error)
        reached = False
        for line in way.lines():
            if line.startswith(READY):
                reached = True
                self._hear(line)
            else:
                said.append(line)
        complaint = way.end()
        with self._changed:
            self._way = None
            if reached and not self._stopping:
                self._doubt()
                warn(f"{self._export.nfs.directory} is out of the pods' reach; jobs wait until it is back")
        return reached, complaint or _gist(said) or "it ended"

    def _hear(self, line: str) -> None:
        trip, age, what = line.removeprefix(READY).split()
        with self._changed:
            before, self._view = self._view, View(float(trip) / 1000, float(age), what == "same")
            self._changed.notify_all()
        if before is None:
            return
        directory = self._export.nfs.directory
        if self._view.same:
            self._believe()
            progress(f"womm: {directory} is within the pods' reach again")
            return
        warn(f"{directory} is served anew: its pods are replaced, and their jobs run again")
        if self._export.back:
            warn("what jobs that have ended had changed may be lost")
        # After a long time without it ends count, and they must not while pods go.
        self._doubt()
        self._jobs.condemn(self._export.replace_pods())
        # Pods that stay though they should go must not keep their jobs for ever.
        self._believe()

    def _doubt(self) -> None:
        # Hold ends back, but from now on for no longer than _HELD.
        def over() -> None:
            with self._changed:
                if self._limit is not limit or self._stopping:
                    return
                self._believe()
            directory = self._export.nfs.directory
            warn(f"{directory} does not come back ({self._why}): jobs' ends count again")

        limit = threading.Timer(_HELD, over)
        limit.daemon = True
        with self._changed:
            if self._limit is not None:
                self._limit.cancel()
            self._limit = limit
            self._jobs.doubt()
        limit.start()

    def _believe(self) -> None:
        # Ends count again, if they didn't.
        with self._changed:
            if self._limit is not None:
                self._limit.cancel()
                self._limit = None
                self._jobs.settle()


def _gist(said: Sequence[str]) -> str:
    # What went wrong first, and last: what rsync says in between follows from it.
    return "; ".join(said if len(said) <= _FEW else [said[0], "…", said[-1]])


def eager(export: Export, jobs: Jobs, key: str) -> Keeping:
    """Keeps up the export of a snapshot; `key` is what the file server calls the directory."""
    words = nfs_script("hold", export.task, key, *export.words, *(["back"] if export.back else []))

    def dial(again: bool) -> Way:
        return Heard(export.argv(again, *words), env=export.link.run.environment)

    return Keeping(export, jobs, dial)
