"""Signals become an exception in the main thread, once: every undo step runs, and none is cut short."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from womm.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Seconds in which several HUPs are one: when a terminal is closed, the kernel sends it, the shell sends
# it, and the kernel once more when the shell has ended.
_ONE_HANGUP = 5.0


@dataclass
class _State:
    """What has come so far, and what is to be done with what comes."""

    #: The signal that ends what we do.
    received: int | None = None
    holding: bool = False
    cleaning: bool = False
    #: Whether HUP is the job runner's, and when (monotonic) the first one came.
    to_runner: bool = False
    hung_up: float | None = None


_state = _State()


@contextmanager
def as_exceptions() -> Iterator[None]:
    """Raise Interrupted at the first INT, TERM or HUP; later ones do nothing, so that clean-up goes on.

    A signal that was ignored at the start (nohup) stays ignored, by all that is started from here, too:
    it is blocked, since a program may have a handler of its own for it, as GNU parallel has for HUP.
    """
    global _state  # noqa: PLW0603 - one process, one set of signals
    before = {s: signal.getsignal(s) for s in _SIGNALS}
    ignored = [s for s, old in before.items() if old is signal.SIG_IGN]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ignored)
    _state = _State()
    for signum in set(_SIGNALS) - set(ignored):
        signal.signal(signum, _handle)
    try:
        yield
    finally:
        # After an interruption all that is left is to end, and the user may still be pressing Ctrl-C.
        if _state.received is None:
            for signum in set(_SIGNALS) - set(ignored):
                signal.signal(signum, before[signum])
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def check() -> None:
    """Raise Interrupted if a signal has come that did not end what it should have ended.

    Waits call it now and then: Python drops an exception that a handler raises in a finalizer, and a
    signal that comes just before a blocking call waits for that call's end.
    """
    if _state.received is not None and not _state.cleaning:
        raise Interrupted(_state.received)


def received() -> bool:
    """Whether a signal has asked for the end."""
    return _state.received is not None


def shield() -> None:
    """Raise nothing any more: cleaning up begins."""
    _state.cleaning = True


@contextmanager
def held() -> Iterator[None]:
    """Keep a signal for the end of this context: for what must not be cut in two, as starting a process."""
    if threading.current_thread() is not threading.main_thread():
        # Signals are the main thread's.
        yield
        return
    _state.holding = True
    try:
        yield
    finally:
        _state.holding = False
    check()


@contextmanager
def hangups() -> Iterator[Callable[[], bool]]:
    """Leave the first HUP to the job runner, which starts nothing new then; a later one ends the run.

    Yields a function that tells whether one has come. Those of the first 5 s count as one.
    """
    _state.to_runner = True
    try:
        yield lambda: _state.hung_up is not None
    finally:
        _state.to_runner = False


def _handle(signum: int, _frame: FrameType | None) -> None:
    if signum == signal.SIGHUP and _is_the_runners():
        return
    if _state.received is not None:
        return
    _state.received = signum
    if not _state.holding:
        check()


def _is_the_runners() -> bool:
    # Whether a HUP that has come now is no reason to end.
    now = time.monotonic()
    if _state.hung_up is None:
        _state.hung_up = now if _state.to_runner else None
        return _state.to_runner
    return now - _state.hung_up < _ONE_HANGUP
