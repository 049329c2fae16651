"""The end of processes on this machine: asked with TERM, made with KILL."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

# Seconds between two looks at processes that are to end.
_GLANCE = 0.02


def end_tree(pid: int, grace: float = 1.0) -> None:
    """End the process `pid` and its descendants: TERM, then KILL after `grace` seconds."""
    import psutil  # noqa: PLC0415 - only on the way out

    try:
        root = psutil.Process(pid)
        # Parents first: a shell whose child has been killed would go on with its next line.
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    end_all(family, grace)


def end_all(processes: Sequence[psutil.Process], grace: float = 1.0) -> None:
    """End these psutil processes: TERM, then KILL after `grace` seconds. One that is gone is fine, and so is
    one that is not ours to end (a `sudo docker`, root's): the terminal's Ctrl-C reaches that by itself."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        processes = _end_within([process for process in processes if _was_sent(process, signum)], grace)
        if not processes:
            return


def _was_sent(process: psutil.Process, signum: int) -> bool:
    import psutil  # noqa: PLC0415 - only on the way out

    try:
        process.send_signal(signum)
    except psutil.Error:
        return False
    return True


def see_to_its_end(pid: int, grace: float = 1.0) -> None:
    """Give the process `pid` `grace` seconds to end by itself, and then end it with its descendants."""
    import psutil  # noqa: PLC0415 - only on the way out

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if not _end_within([process], grace):
            return
    end_tree(pid, grace)


def _end_within(processes: Sequence[psutil.Process], grace: float) -> Sequence[psutil.Process]:
    # Returns those that have not ended after `grace` seconds.
    deadline = time.monotonic() + grace
    while (processes := [p for p in processes if not _has_ended(p)]) and time.monotonic() < deadline:
        time.sleep(_GLANCE)
    return processes


def _has_ended(process: psutil.Process) -> bool:
    # A zombie has ended; who is to reap it may take its time.
    import psutil  # noqa: PLC0415 - only on the way out

    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True
