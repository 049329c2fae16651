"""Signals become an exception in the main thread, once: every undo step runs, and none is cut short."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from womm.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_shielded = False
_held: list[int] | None = None


def shield() -> None:
    """Raise no signal any more: cleaning up begins."""
    global _shielded  # noqa: PLW0603 - a process has one set of signal handlers
    _shielded = True


@contextmanager
def as_exceptions() -> Iterator[None]:
    """Raise Interrupted at the first INT, TERM or HUP; later ones do nothing, so that clean-up goes on.

    A signal that was ignored at the start (nohup) stays ignored.
    """
    global _shielded  # noqa: PLW0603 - as above
    before = {s: signal.getsignal(s) for s in _SIGNALS}
    _shielded = False
    for signum, old in before.items():
        if old is not signal.SIG_IGN:
            signal.signal(signum, _handle)
    try:
        yield
    finally:
        # After an interruption all that is left is to end, and the user may still be pressing Ctrl-C.
        if not _shielded:
            for signum, old in before.items():
                signal.signal(signum, old)


@contextmanager
def held() -> Iterator[None]:
    """Keep a signal for the end of this context: for what must not be cut in two, as starting a process."""
    global _held  # noqa: PLW0603 - as above
    if threading.current_thread() is not threading.main_thread():
        # Signals are the main thread's.
        yield
        return
    _held = []
    try:
        yield
    finally:
        kept, _held = _held, None
    if kept:
        _handle(kept[0], None)


def _handle(signum: int, _frame: FrameType | None) -> None:
    if _held is not None:
        _held.append(signum)
    elif not _shielded:
        shield()
        raise Interrupted(signum)
