"""Signals become an exception in the main thread, once: every undo step runs, and none is cut short."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from womm.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def as_exceptions() -> Iterator[None]:
    """Raise Interrupted at the first INT, TERM or HUP; later ones do nothing, so that clean-up goes on.

    A signal that was ignored at the start (nohup) stays ignored.
    """
    before = {s: signal.getsignal(s) for s in _SIGNALS}
    seen = False

    def handler(signum: int, _frame: FrameType | None) -> None:
        nonlocal seen
        if not seen:
            seen = True
            raise Interrupted(signum)

    for signum, old in before.items():
        if old is not signal.SIG_IGN:
            signal.signal(signum, handler)
    try:
        yield
    finally:
        for signum, old in before.items():
            signal.signal(signum, old)
