"""The hub: a thread that takes the logins' calls, gives each job to a pod, and its output back."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from womm.errors import WommError
from womm.hub.calls import listen
from womm.hub.core import Core, Settings
from womm.output import warn
from womm.pods import PodState

# Seconds that the thread may take to begin, and to end; that its last words to the user may take.
_PATIENCE, _LAST_WORDS = 5.0, 1.0


def _named(what: Mapping[str, Any]) -> str:
    bug = what.get("exception")
    return str(what["message"]) if bug is None else f"{what['message']}: {bug!r}"


class _Teller(threading.Thread):
    """Tells the user: a terminal or pager that takes nothing for now must not stop the hub."""

    def __init__(self) -> None:
        super().__init__(name="teller", daemon=True)
        self._lines: queue.SimpleQueue[tuple[Callable[[str], None], str] | None] = queue.SimpleQueue()

    def tell(self, how: Callable[[str], None], line: str) -> None:
        """Call `how(line)` after what was told before."""
        self._lines.put((how, line))

    def run(self) -> None:
        """Tell until stop()."""
        while (told := self._lines.get()) is not None:
            told[0](told[1])

    def stop(self) -> None:
        """Tell what is left, if the user takes it now."""
        self._lines.put(None)
        self.join(_LAST_WORDS)


class Hub(threading.Thread):
    """Serves the socket `hub` in the run's directory until stop().

    `ready(names)` is called, in this thread, with the names of the pods that take jobs, whenever they
    change; `tell(line)`, in another one, with what the user should know.
    """

    def __init__(
        self, settings: Settings, ready: Callable[[list[str]], None], tell: Callable[[str], None]
    ) -> None:
        super().__init__(name="hub", daemon=True)
        self._settings, self._ready = settings, ready
        self._teller = _Teller()
        self._tell = functools.partial(self._teller.tell, tell)
        self._warn = functools.partial(self._teller.tell, warn)
        self._loop = asyncio.new_event_loop()
        self._listener = listen(settings.run / "hub")
        self._core: Core | None = None
        self._begun = threading.Event()

    @property
    def complaint(self) -> str:
        """What the last try to reach a pod failed of, as long as none has been reached."""
        return self._core.complaint if self._core is not None else ""

    @property
    def reached(self) -> bool:
        """Whether a pod takes jobs, or did."""
        return self._core is not None and self._core.reached

    def run(self) -> None:
        """Serve until stop()."""
        asyncio.set_event_loop(self._loop)
        # A bug is told in one line, and is no reason for the other jobs to fail.
        self._loop.set_exception_handler(lambda _loop, what: self._warn(f"a bug of womm's: {_named(what)}"))
        self._teller.start()
        try:
            self._loop.run_until_complete(self._serve())
        except (OSError, WommError) as error:
            self._warn(f"jobs can't be taken any more: {error}")
        finally:
            self._teller.stop()
            self._begun.set()
            self._loop.close()

    def see(self, pods: Sequence[PodState]) -> None:
        """The task's pods are these now; to be called from any thread."""
        self._call(lambda core: core.see(pods))

    def end(self, reason: str) -> None:
        """Start no further job: those that wait fail with `reason`."""
        self._call(lambda core: core.end(reason))

    def doubt(self) -> None:
        """What the pods' jobs work with may be gone: their ends are held back until settle()."""
        self._call(lambda core: core.doubt())

    def condemn(self, pods: frozenset[str]) -> None:
        """These are being deleted: no end that has not been told yet counts; their jobs run again."""
        self._call(lambda core: core.condemn(pods))

    def settle(self) -> None:
        """What the other pods' jobs work with is there, or counts as if it were: their ends are told."""
        self._call(lambda core: core.settle())

    def resized(self) -> None:
        """The user's terminal has another size now: its jobs are told."""
        self._call(lambda core: core.resized())

    def leave(self, pod: str) -> None:
        """End the channel to a pod that was reached by name."""
        self._call(lambda core: core.leave(pod))

    def stop(self) -> None:
        """End all jobs and channels, and the thread."""
        self._call(lambda core: core.stopping.set())
        self.join(timeout=_PATIENCE)

    def _call(self, what: Callable[[Core], None]) -> None:
        self._begun.wait(_PATIENCE)
        core = self._core
        if core is not None:
            with contextlib.suppress(RuntimeError):
                # The loop is closed: nothing is left to be told.
                self._loop.call_soon_threadsafe(what, core)

    async def _serve(self) -> None:
        self._core = core = Core(self._settings, self._ready, self._tell)
        self._begun.set()
        self._loop.add_reader(self._listener, core.accept, self._listener)
        try:
            await core.stopping.wait()
        finally:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            await core.close()
