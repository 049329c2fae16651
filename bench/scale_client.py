"""A hub by itself, with pods that are only told to be there: what its process needs can be measured.

    python -m bench.scale_client RUN TASK PODS

Prints the seconds until all channels are up, then serves RUN/hub until its stdin ends. The cluster is
KUBECONFIG's.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from bench.load import pods_of
from womm.hub.core import Settings
from womm.hub.hub import Hub
from womm.hub.job import Rules
from womm.kubectl import Kube
from womm.pods import PodState

NAME = "stand-in"


def _states(names: Sequence[str]) -> list[PodState]:
    return [
        PodState(name, f"container-of-{name}", running=True, usable=True, leaving=False, reason="")
        for name in names
    ]


def main(run: str, task: str, count: str) -> None:
    """Dial all pods, say when they are up, serve."""
    names = pods_of(task, int(count))
    all_up = threading.Event()

    def ready(takes: list[str]) -> None:
        if len(takes) == len(names):
            all_up.set()

    settings = Settings(Kube(NAME, NAME), task, Path(run), 2, b"/", b"", Rules(), {})
    start = time.monotonic()
    hub = Hub(settings, ready, lambda line: print(line, file=sys.stderr))
    hub.start()
    hub.see(_states(names))
    try:
        if not all_up.wait(300):
            sys.exit(f"not all channels came up: {hub.complaint}")
        print(time.monotonic() - start, flush=True)
        sys.stdin.read()
    finally:
        hub.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
