"""`womm parallel` with as many real pods as there is room for."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections import Counter
from pathlib import Path

from bench.load import Load, check, ended, memory
from bench.measure import Wrong
from bench.place import Bench, eventually, kubectl

# Left to whoever else is on the cluster.
_SPARE = 10
# Seconds that all pods may take to start, and their jobs, and the end.
_START, _JOBS = 600, 300


def run(bench: Bench, wanted: int) -> Load:
    """Run three jobs for each pod, once all pods take some."""
    count = min(wanted, _room())
    small = ("--kube-pods", str(count), "-j1", "--kube-cpu", "1m", "--kube-mem", "32Mi")
    argv = [*bench.womm_parallel(*small), "--", "echo", "{}", "$(hostname)"]
    numbers = [str(number) for number in range(3 * count)]
    output, messages = bench.scratch("output"), bench.scratch("messages")
    with output.open("wb") as out, messages.open("wb") as err:
        start = time.monotonic()
        started = subprocess.Popen(
            argv, env=bench.environment, cwd=bench.place.path, stdin=subprocess.PIPE, stdout=out, stderr=err
        )
    with ended(started) as womm:
        assert womm.stdin is not None
        eventually(lambda: womm.poll() is not None or len(_logins(bench)) == count, _START)
        up = time.monotonic() - start
        with contextlib.suppress(BrokenPipeError):
            womm.stdin.write("".join(f"{number}\n" for number in numbers).encode())
            womm.stdin.close()
        start = time.monotonic()
        eventually(lambda: womm.poll() is not None or output.read_bytes().count(b"\n") == len(numbers), _JOBS)
        took = time.monotonic() - start
        needed = memory(womm.pid) if womm.poll() is None else (0.0, 0.0)
        if (status := womm.wait(_JOBS)) != 0:
            raise Wrong(f"womm ended with {status}: {messages.read_text()[-2000:]}")
    said = [line.split() for line in output.read_text().splitlines()]
    check(Counter(number for number, _ in said), dict.fromkeys(numbers, 1))
    hosts = len({host for _, host in said})
    return Load(f"real ({hosts} had jobs)", count, up, needed, len(numbers), took)


def _room() -> int:
    """How many more pods the cluster's nodes take."""
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    most = sum(int(node["status"]["allocatable"]["pods"]) for node in nodes)
    return most - len(kubectl("get", "pods", "--all-namespaces", "-o", "name").split()) - _SPARE


def _logins(bench: Bench) -> list[str]:
    """The pods in the login file of the user's only run."""
    runs: Path = bench.place.user.root / "run/womm"
    for file in runs.glob("*/logins"):
        # A pod's name goes on after the task's.
        return [line for line in file.read_text().splitlines() if line.count("-") > 2]
    return []
