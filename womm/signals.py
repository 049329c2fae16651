"""Signals become an exception in the main thread, once: every undo step runs, and none is cut short."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from womm.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_received: int | None = None
_holding = False
_cleaning = False


@contextmanager
def as_exceptions() -> Iterator[None]:
    """Raise Interrupted at the first INT, TERM or HUP; later ones do nothing, so that clean-up goes on.

    A signal that was ignored at the start (nohup) stays ignored.
    """
    global _received, _cleaning
    before = {s: signal.getsignal(s) for s in _SIGNALS}
    _received, _cleaning = None, False
    for signum, old in before.items():
        if old is not signal.SIG_IGN:
            signal.signal(signum, _handle)
    try:
        yield
    finally:
        # After an interruption all that is left is to end, and the user may still be pressing Ctrl-C.
        if _received is None:
            for signum, old in before.items():
                signal.signal(signum, old)


def check() -> None:
    """Raise Interrupted if a signal has come that did not end what it should have ended.

    Waits call it now and then: Python drops an exception that a handler raises in a finalizer, and a
    signal that comes just before a blocking call waits for that call's end.
    """
    if _received is not None and not _cleaning:
        raise Interrupted(_received)


def shield() -> None:
    """Raise nothing any more: cleaning up begins."""
    global _cleaning  # noqa: PLW0603 - as above
    _cleaning = True


@contextmanager
def held() -> Iterator[None]:
    """Keep a signal for the end of this context: for what must not be cut in two, as starting a process."""
    global _holding  # noqa: PLW0603 - as above
    if threading.current_thread() is not threading.main_thread():
        # Signals are the main thread's.
        yield
        return
    _holding = True
    try:
        yield
    finally:
        _holding = False
    check()


def _handle(signum: int, _frame: FrameType | None) -> None:
    global _received  # noqa: PLW0603 - as above
    if _received is not None:
        return
    _received = signum
    if not _holding:
        check()
