"""The user's terminal: lent to a shell in a pod, and given back as it was."""

from __future__ import annotations

import contextlib
import os
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from womm import output

if TYPE_CHECKING:
    from womm.runs import Run

# What makes the terminal at $1 usable again when nobody is left to give it back as it was.
_MEND = ("sh", "-c", 'stty -F "$1" sane 2>/dev/null || :', "sh")


def is_there() -> bool:
    """Whether the user types on stdin, and sees stdout."""
    return os.isatty(0) and os.isatty(1)


@contextlib.contextmanager
def taken() -> Iterator[bool]:
    """Have stdin and stdout be the terminal that questions are asked on; yields whether there is one."""
    try:
        there = os.open("/dev/tty", os.O_RDWR)
    except OSError:
        yield os.isatty(0)
        return
    others = {number: os.dup(number) for number in (0, 1) if not os.isatty(number)}
    try:
        for number in others:
            os.dup2(there, number)
        yield True
    finally:
        for number, other in others.items():
            os.dup2(other, number)
        for descriptor in (there, *others.values()):
            os.close(descriptor)


@contextlib.contextmanager
def mended_by(run_: Run) -> Iterator[None]:
    """Have the terminal made usable again by the run's keeper, if womm is killed in this context."""
    mend = [*_MEND, os.ttyname(0)]
    run_.undo_later(mend)
    try:
        yield
    finally:
        run_.forget(mend)


@contextlib.contextmanager
def lent(resized: Callable[[], None]) -> Iterator[None]:
    """Have every key reach the pod, and every byte from there the screen; call `resized` on a new size."""
    before = termios.tcgetattr(0)
    handler = signal.signal(signal.SIGWINCH, lambda _signum, _frame: resized())
    output.raw(True)
    try:
        # Not what was typed ahead is lost: TCSADRAIN, not TCSAFLUSH.
        tty.setraw(0, termios.TCSADRAIN)
        yield
    finally:
        output.raw(False)
        signal.signal(signal.SIGWINCH, handler)
        _give_back(before)


def _give_back(before: list[Any]) -> None:
    # It may be gone (HUP), or another program's by now: from the background this would stop us.
    with contextlib.suppress(termios.error, OSError):
        if os.tcgetpgrp(0) == os.getpgrp():
            termios.tcsetattr(0, termios.TCSADRAIN, before)
