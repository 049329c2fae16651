"""A hub with many simulated pods: bench.standin's, behind a real `kubectl proxy`.

The hub is a process by itself (bench.scale_client), without GNU parallel and without a watch; its jobs
come through the login, four at once.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.load import Load, check, ended, memory, pods_of
from bench.measure import Wrong
from bench.place import LIMIT, ROOT, Bench, good

_TASK = "simulate"
_LOGIN = ROOT / "womm/scripts/login.pl"


def run(bench: Bench, count: int) -> Load:
    """Dial `count` pods and run two jobs in each."""
    run_ = bench.scratch("hub-run")
    run_.mkdir(mode=0o700)
    with _serving([sys.executable, "-m", "bench.standin"], bench.environment) as (_, port):
        environment = {**bench.environment, "KUBECONFIG": str(_kubeconfig(bench, int(port)))}
        client = [sys.executable, "-m", "bench.scale_client", str(run_), _TASK, str(count)]
        with _serving(client, environment) as (process, up):
            pods = pods_of(_TASK, count)
            start = time.monotonic()
            check(_jobs(pods + pods, {**environment, "WOMM_RUN": str(run_)}), dict.fromkeys(pods, 2))
            took = time.monotonic() - start
            needed = memory(process.pid)
    return Load("simulated", count, float(up), needed, 2 * count, took)


def _jobs(pods: list[str], environment: dict[str, str]) -> Counter[str]:
    """Run a job in each of `pods`; count what they say, which is their pods' names."""

    def job(pod: str) -> str:
        argv = ["perl", str(_LOGIN), pod, "--", "true"]
        done = subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=LIMIT,
        )
        if done.returncode != 0:
            raise Wrong(f"a job in {pod} ended with {done.returncode}: {done.stderr.decode()}")
        return done.stdout.decode().strip()

    with ThreadPoolExecutor(4) as threads:
        return Counter(threads.map(job, pods))


def _kubeconfig(bench: Bench, port: int) -> Path:
    """A kubeconfig that leads to the stand-in."""
    path, name = bench.scratch("stand-in.kubeconfig"), "stand-in"
    for change in (
        ("set-cluster", name, f"--server=http://127.0.0.1:{port}"),
        ("set-context", name, f"--cluster={name}", f"--namespace={name}"),
        ("use-context", name),
    ):
        good(["kubectl", "--kubeconfig", path, "config", *change])
    return path


@contextlib.contextmanager
def _serving(argv: list[str], env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a program that prints a line when it serves, and does so until its stdin ends."""
    with ended(
        subprocess.Popen(argv, env=env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline().decode().strip()
        if not line:
            raise Wrong(f"{' '.join(argv)} ended with {process.wait(LIMIT)}")
        yield process, line
        process.stdin.close()
        process.wait(LIMIT)
