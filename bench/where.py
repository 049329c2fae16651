"""Where a machine's cpu goes while a program runs: by role what lasts, in one sum what starts and ends."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

#: What is left once all others are taken off the machine's own count: logins, jobs, whatever starts and ends.
BRIEF = "what starts and ends: logins, jobs"
# Seconds between two looks.
_GLANCE = 0.25

# A word of the command line, or the program's name, and the role; the first that fits.
_ROLES = (
    ("parallel --kube-pods", "womm: the hub"),
    ("vendor/parallel", "GNU parallel"),
    ("womm-agent", "agents (in the pods)"),
    (" exec -i ", "kubectl exec"),
    ("login.pl", BRIEF),
    ("head -c", "the job's program"),
    ("wc -c", "the job's program"),
    ("bench/run", "the benchmark itself"),
    ("kube-apiserver", "API server"),
    ("kubelet", "kubelet"),
    ("containerd", "containerd and its shims"),
    ("kubectl", "kubectl proxy"),
)
_OTHERS = "the rest of the cluster and of the machine"


def role(command: str) -> str:
    """The role of a process with this command line."""
    return next((role for word, role in _ROLES if word in command), _OTHERS)


class Watch:
    """Looks at all processes now and then: seconds of cpu by role, from its start on."""

    def __init__(self) -> None:
        self._roles: dict[tuple[int, float], str] = {}
        self._first: dict[tuple[int, float], float] = {}
        self._last: dict[tuple[int, float], float] = {}
        self._look(first=True)
        self._machine = _busy()

    def look(self) -> None:
        """Note what has been spent by now."""
        self._look(first=False)

    def spent(self) -> dict[str, float]:
        """Seconds by role, what starts and ends between two looks in one sum."""
        seconds: Counter[str] = Counter()
        for process, last in self._last.items():
            seconds[self._roles[process]] += last - self._first.get(process, 0.0)
        # Some of it was seen.
        del seconds[BRIEF]
        seconds[BRIEF] = max(0.0, _busy() - self._machine - sum(seconds.values()))
        return dict(seconds)

    def _look(self, *, first: bool) -> None:
        for process in psutil.process_iter():
            try:
                key = (process.pid, process.create_time())
                times = process.cpu_times()
                # Anew each time: what has just been forked takes its own name later.
                self._roles[key] = role(" ".join(process.cmdline()) or process.name())
            except psutil.Error:
                continue
            if first:
                self._first[key] = times.user + times.system
            self._last[key] = times.user + times.system


@contextmanager
def watched() -> Iterator[Callable[[], dict[str, float]]]:
    """Yield a function that tells, once the context has ended, what was spent in it, by role."""
    watch, over = Watch(), threading.Event()

    def go_on() -> None:
        while not over.wait(_GLANCE):
            watch.look()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    spent: dict[str, float] = {}
    try:
        yield lambda: spent
    finally:
        over.set()
        thread.join()
        watch.look()
        spent.update(watch.spent())


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)
