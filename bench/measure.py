"""Programs run to their end and measured: time, output, and the cpu of all that they started."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_PR_SET_CHILD_SUBREAPER = 36


class Wrong(Exception):
    """What was measured did not do what it should: its figures mean nothing."""


@dataclass(frozen=True)
class Measured:
    """What a program took: seconds from start to end, seconds of cpu; and its stdout."""

    seconds: float
    cpu: float
    out: bytes


def measured(
    argv: Sequence[str | Path],
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
    stdin: Path | None = None,
    stdout: Path | None = None,
) -> Measured:
    """Run `argv` from the file `stdin` (else nothing), with stdout into the file `stdout` (else kept).

    The cpu is the user's and the system's, of the program and of all that it started, also of what
    outlived its parent. Raises Wrong unless it ends with 0.
    """
    before = {child.pid for child in psutil.Process().children()}
    with (
        open(stdin or os.devnull, "rb") as source,
        open(stdout, "wb") if stdout else tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        start = time.monotonic()
        process = subprocess.Popen(argv, env=dict(env), cwd=cwd, stdin=source, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            messages = os.pread(err.fileno(), 1000, 0).decode(errors="replace")
            raise Wrong(f"{argv[0]} … {argv[-1]} ended with {process.returncode}: {messages}")
        cpu = usage.ru_utime + usage.ru_stime + _orphans(before)
        return Measured(seconds, cpu, b"" if stdout else os.pread(out.fileno(), 1 << 26, 0))


def adopt_orphans() -> None:
    """Become the parent of what outlives its own: its cpu is counted too."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def latency(argv: Sequence[str], env: Mapping[str, str], times: int) -> list[float]:
    """Seconds that each of `times` runs of `argv` takes, one after the other. Raises Wrong if one fails."""
    null = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    took = []
    for _ in range(times):
        start = time.monotonic()
        pid = os.posix_spawnp(argv[0], argv, dict(env), file_actions=null)
        _, status = os.waitpid(pid, 0)
        took.append(time.monotonic() - start)
        if status != 0:
            raise Wrong(f"{argv} ended with {os.waitstatus_to_exitcode(status)}")
    return took


def _orphans(before: set[int]) -> float:
    cpu = 0.0
    for child in psutil.Process().children():
        if child.pid not in before:
            pid, _, usage = os.wait4(child.pid, os.WNOHANG)
            cpu += usage.ru_utime + usage.ru_stime if pid else 0.0
    return cpu
