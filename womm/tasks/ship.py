"""What a task's jobs print, on its way to the file server, as it comes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from womm.errors import WommError
from womm.kubectl import Kube
from womm.link import Link, linked
from womm.output import debug
from womm.process import Done
from womm.server import GONE, task_script
from womm.tasks.marks import Place, safe

# How `server-task` ends if it has another state than was thought, and if another coordinator has begun.
OTHERWISE, TAKEN = 4, 5
# Seconds between two looks; until the next try of one that failed; that a file server may take to come back.
_EVERY, _AGAIN, _PATIENCE = 1.0, 5.0, 60.0
# How often the last of it is tried to be shipped.
_TRIES = 10
_CHUNK = 1 << 18


def size(path: Path) -> int:
    """How long a file is; 0 if it is not there."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def chunks(path: Path) -> Iterator[bytes]:
    """What a file holds."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _end(path: Path) -> bytes:
    # The last lines of a file that may be long, or missing.
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(0, size(path) - _CHUNK))
        return file.read()
    return b""


@dataclass(frozen=True)
class Files:
    """Where GNU parallel writes its stdout, stderr and joblog; where marks.pm notes what belongs together; if
    it counts them, how many jobs there are.

    The file server's copies have the same bytes at the same places.
    """

    out: Path
    err: Path
    log: Path
    marks: Path
    total: Path

    def sizes(self) -> Place:
        """How long they are."""
        return Place(size(self.out), size(self.err), size(self.log))

    def between(self, start: Place, end: Place) -> Iterator[bytes]:
        """The bytes from `start` to `end`: of stdout, then of stderr, then of the joblog."""
        for path, first, last in zip((self.out, self.err, self.log), start, end, strict=True):
            with path.open("rb") as file:
                file.seek(first)
                left = last - first
                while left and (chunk := file.read(min(_CHUNK, left))):
                    left -= len(chunk)
                    yield chunk


class Taken(WommError):
    """Another coordinator has the task by now."""

    def __init__(self) -> None:
        super().__init__("another coordinator has taken over")


class Server:
    """The file server, for one task: found again if it is replaced."""

    def __init__(self, kube: Kube, task: str, patience: float) -> None:
        self._kube, self._task = kube, task
        self._stack = ExitStack()
        self._link: Link | None = None
        self._connect(patience)

    def _connect(self, patience: float) -> Link:
        if self._link is None:
            self._link = self._stack.enter_context(linked(self._kube, patience))
        return self._link

    def close(self) -> None:
        """Let go of it."""
        self._link = None
        with suppress(WommError):
            self._stack.close()

    def ask(self, verb: str, *words: str) -> Done:
        """Run `server-task verb TASK words`, whatever its exit status. Raises WommError."""
        return self._try(lambda link: link.ask(*task_script(verb, self._task, *words)))

    def pour(self, chunks: Callable[[], Iterator[bytes]], verb: str, *words: str) -> Done:
        """The same, with the bytes that `chunks` gives, once for each try, as stdin."""
        return self._try(lambda link: link.pour(chunks(), *task_script(verb, self._task, *words)))

    def fetch(self, name: str, into: Path) -> None:
        """Have the task's file `name` in the file `into`. Raises WommError."""
        done = self._try(lambda link: link.fetch(into, *task_script("get", self._task, name)))
        if done.status != 0:
            raise WommError(f"the file server does not give the task's {name}: {done.complaint}")

    def _try(self, act: Callable[[Link], Done]) -> Done:
        # A pod that is gone is found out by the next question: another one may have taken its place.
        done = act(self._connect(_PATIENCE))
        if done.status == 255:
            debug(done.complaint)
            self.close()
            done = act(self._connect(_PATIENCE))
        return done


class Shipper(threading.Thread):
    """Copies the files to the server, from start() to stop().

    With `grouped` output never half a job's. `state` is what the server has; `restore` gives the task anew to
    one that has lost it (its volume went with its pod). `owner` is what the server calls this coordinator: if
    another one has begun, this process gets a TERM.
    """

    def __init__(
        self,
        server: Server,
        files: Files,
        state: Place,
        *,
        grouped: bool,
        owner: str,
        restore: Callable[[], None],
    ) -> None:
        super().__init__(name="shipper", daemon=True)
        self._server, self._files, self._grouped, self._restore = server, files, grouped, restore
        self._owner = owner
        self._state = state
        self._stopping = threading.Event()
        self._counted = False

    def run(self) -> None:
        """Ship until stop()."""
        pause = _EVERY
        while not self._stopping.wait(pause):
            try:
                self._ship(self._due())
                self._tell_total()
                pause = _EVERY
            except Taken:
                os.kill(os.getpid(), signal.SIGTERM)
                return
            except (OSError, WommError) as error:
                debug(f"not shipped yet: {error}")
                pause = _AGAIN

    def stop(self, whole: bool) -> None:
        """Ship what is left: all or, where the task is not over, what may be. Raises WommError."""
        self._stopping.set()
        if self.is_alive():
            self.join()
        for left in reversed(range(_TRIES if whole else 1)):
            try:
                self._ship(self._files.sizes() if whole else self._due())
                return
            except Taken:
                raise
            except WommError:
                # What is done is done: better wait for a file server than run jobs again.
                if left == 0:
                    raise
                time.sleep(_AGAIN)

    def _due(self) -> Place:
        sizes = self._files.sizes()
        if not self._grouped:
            # Rows are whole lines; so is what is written at once.
            return sizes
        return safe(sizes, _end(self._files.marks))

    def _tell_total(self) -> None:
        if not self._counted and size(self._files.total):
            self._server.pour(lambda: chunks(self._files.total), "put", "total")
            self._counted = True

    def _ship(self, end: Place, again: bool = False) -> None:
        start = self._state
        if end == start:
            return
        lengths = [last - first for first, last in zip(start, end, strict=True)]
        words = [*(str(number) for number in (*start, *lengths)), self._owner]
        done = self._server.pour(lambda: self._files.between(start, end), "commit", *words)
        if done.status in (GONE, OTHERWISE) and not again:
            # An answer was lost, and more has been written since: the server knows how far it is.
            begin = ["begin"]
            if done.status == GONE:
                self._restore()
                self._counted = False
                begin.append(self._owner)
            self._state = Place(*map(int, self._server.ask(*begin).text.split()))
            self._ship(end, again=True)
            return
        if done.status == TAKEN:
            raise Taken
        if done.status != 0:
            raise WommError(f"the file server does not take the jobs' output: {done.complaint}")
        self._state = end
