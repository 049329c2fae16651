"""A task that runs by itself, followed from here: what its jobs print, and its end."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import TypeVar

from womm.errors import WommError
from womm.kubectl import Kube
from womm.link import Link, linked
from womm.output import warn
from womm.process import Done, tap
from womm.server import GONE, task_script

T = TypeVar("T")

# How a login ends if the way to the server is lost.
_LOST = 255
# Seconds that a file server may take to come back; how often it may be lost without a byte in between.
_PATIENCE, _TRIES = 60.0, 5


class _Lost(Exception):
    """The way to the file server is lost."""


class _Unknown(WommError):
    """The file server knows nothing of the task."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"the file server knows of no task {task}",
            "it has been finished, or runs in another namespace (--namespace): `womm status` lists the tasks",
        )


def wait_for(kube: Kube, task: str) -> int:
    """Wait until the task has ended; return its exit status. Raises WommError if there is no such task."""
    return _again(kube, lambda link: int(_good(link.ask(*task_script("wait", task)), task).text))


def show(kube: Kube, task: str, follow: bool, since: float | None, which: str) -> int:
    """Print what its jobs have printed (`which`: both or err) and, with `follow`, will print.

    `since`: only what came in so many seconds. Returns the exit status of a task that has ended, else 0.
    Raises WommError if there is no such task.
    """
    # How much of each has been printed here: a way that is lost is begun again from there.
    seen = {1: 0, 2: 0}
    began = False

    def ask(link: Link) -> int:
        nonlocal began
        if since is not None and not began:
            words = _good(link.ask(*task_script("since", task, str(math.ceil(since)))), task).text.split()
            seen.update(zip((1, 2), map(int, words), strict=True))
        began = True
        argv = link.argv(
            *task_script("logs", task, str(seen[1]), str(seen[2]), "follow" if follow else "now", which)
        )
        status = tap(argv, lambda stream, chunk: _print(seen, stream, chunk), env=link.run.environment)
        _good(Done(status, b"", b""), task)
        ended = link.ask(*task_script("get", task, "status"))
        return int(ended.text) if ended.status == 0 else 0

    return _again(kube, ask, lambda: sum(seen.values()))


def _print(seen: dict[int, int], stream: int, chunk: bytes) -> None:
    while chunk:
        count = os.write(stream, chunk)
        seen[stream] += count
        chunk = chunk[count:]


def _again(kube: Kube, ask: Callable[[Link], T], progress: Callable[[], int] = lambda: 0) -> T:
    # Asks until there is an answer: a file server may be replaced, a cluster be away for a while.
    tries, before, lost = 0, progress(), False
    while True:
        try:
            with linked(kube, _PATIENCE) as link:
                return ask(link)
        except (_Lost, _Unknown) as trouble:
            # A new file server gets a running task anew from its coordinator, a little later.
            if isinstance(trouble, _Unknown) and (not lost or tries == _TRIES):
                raise
            lost = True
            tries = tries + 1 if progress() == before else 0
            before = progress()
            time.sleep(tries)
            if tries > _TRIES:
                raise WommError(
                    "the file server can't be reached", "`womm doctor` looks for the reason"
                ) from None
            warn("the way to the file server was lost; trying again")


def _good(done: Done, task: str) -> Done:
    if done.status == _LOST:
        raise _Lost
    if done.status == GONE:
        raise _Unknown(task)
    if done.status != 0:
        raise WommError(f"the file server can't tell of task {task}: {done.complaint}")
    return done
