"""Signals become an exception in the main thread, once: every undo step runs, and none is cut short."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from womm.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def as_exceptions() -> Iterator[Callable[[], None]]:
    """Raise Interrupted at the first INT, TERM or HUP; later ones do nothing, so that clean-up goes on.

    Yields `shield`: call it when cleaning up begins, and no signal is raised any more. A signal that
    was ignored at the start (nohup) stays ignored.
    """
    before = {s: signal.getsignal(s) for s in _SIGNALS}
    shielded = interrupted = False

    def shield() -> None:
        nonlocal shielded
        shielded = True

    def handler(signum: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if not shielded:
            shield()
            interrupted = True
            raise Interrupted(signum)

    for signum, old in before.items():
        if old is not signal.SIG_IGN:
            signal.signal(signum, handler)
    try:
        yield shield
    finally:
        # After an interruption all that is left is to end, and the user may still be pressing Ctrl-C.
        if not interrupted:
            for signum, old in before.items():
                signal.signal(signum, old)
