"""What many pods cost their client, and how that is read."""

from __future__ import annotations

import contextlib
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psutil

from bench.measure import Wrong
from bench.place import LIMIT


@dataclass(frozen=True)
class Load:
    """Seconds until `pods` were up and that `jobs` took; MB of womm itself and of its kubectls."""

    name: str
    pods: int
    up: float
    memory: tuple[float, float]
    jobs: int
    took: float


def pods_of(task: str, count: int) -> list[str]:
    """The names of a task's simulated pods."""
    return [f"womm-task-{task}-{number}" for number in range(count)]


def memory(client: int) -> tuple[float, float]:
    """MB of the process `client`, and of all kubectl below it."""
    kubectls = 0
    for process in psutil.Process(client).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            kubectls += process.memory_info().rss if process.name() == "kubectl" else 0
    return psutil.Process(client).memory_info().rss / 1e6, kubectls / 1e6


def check(got: Counter[str], expected: Mapping[str, int]) -> None:
    """Raise Wrong unless everything came as often as it should."""
    if got != expected:
        wrong = [(name, got[name], expected.get(name, 0)) for name in {*got, *expected}]
        wrong = [each for each in wrong if each[1] != each[2]]
        raise Wrong(f"{len(wrong)} lines too often or too seldom: (line, got, expected) {wrong[:5]}")


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End the process with the context, if it has not ended by itself."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(LIMIT)
