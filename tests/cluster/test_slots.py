"""Pods are used as they come, each slot all the time and none too often; what jobs say arrives whole."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from kit import Place, joblog, kubectl, pods
from register import Register

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("clean"),
    pytest.mark.alone("how well slots are used is measured"),
]

# Seconds from a pod's container that runs to its first job, as is promised; seen here: 0.4 to 1.1.
SOON = 1.5


class Watch:
    """When each pod of a namespace was first seen to run, and to be on its way out (time.time)."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.running: dict[str, float] = {}
        self.leaving: dict[str, float] = {}
        self._process = process
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no longer."""
        self._process.kill()
        self._thread.join()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            pod = json.loads(line)
            name = pod["metadata"]["name"]
            states = pod["status"].get("containerStatuses", [])
            if any("running" in container["state"] for container in states):
                self.running.setdefault(name, time.time())
            if "deletionTimestamp" in pod["metadata"]:
                self.leaving.setdefault(name, time.time())


@contextmanager
def watched(place: Place) -> Iterator[Watch]:
    """A watch of the place's pods."""
    argv = ["kubectl", "--namespace", place.namespace, "get", "pods", "--watch", "-o", "jsonpath={@}{'\\n'}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        watch = Watch(process)
        try:
            yield watch
        finally:
            watch.end()


class Sampled:
    """The login file, looked at all the time."""

    def __init__(self, path: Path) -> None:
        self.seen: Counter[str] = Counter()
        self._path, self._end = path, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no longer."""
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.003):
            try:
                self.seen[self._path.read_text()] += 1
            except FileNotFoundError:
                return


def first_starts(register: Register) -> dict[str, float]:
    """When the first job began in each pod: jobs sign in with its name."""
    starts: dict[str, float] = {}
    for at, name in register.began:
        starts.setdefault(name.decode().strip(), at)
    return starts


def test_pods_get_jobs_as_soon_as_they_run_and_none_when_they_leave(none: Place, register: Register) -> None:
    command = register.job("sleep 0.5; : {}", "$(hostname)")
    jobs = [str(n) for n in range(70)]
    with watched(none) as watch:
        options = ("--kube-pods", "2", "-j", "2")
        with none.started("parallel", *options, "--", command, ":::", *jobs) as running:
            sampled = Sampled(
                none.user.root / "run" / "womm" / running.task().removeprefix("womm-task-") / "logins"
            )
            running.until(lambda: len(set(register.runs)) == 2)
            first = pods(none, running)
            kubectl("--namespace", none.namespace, "delete", "pod", first[0], "--wait=false")
            running.until(lambda: len(set(register.runs)) == 3)
            # Late in the run, all of them at once.
            running.until(lambda: sum(register.runs.values()) > 35)
            second = pods(none, running)
            kubectl("--namespace", none.namespace, "delete", "pod", *second, "--wait=false")
            running.until(lambda: len(set(register.runs)) == 5)
            done = running.wait()
            sampled.end()
    assert done.status == 0
    starts = first_starts(register)
    took = {pod: round(at - watch.running[pod], 2) for pod, at in starts.items()}
    print(f"from Running to the first job: {took}")
    # The first two wait for GNU parallel's own start.
    assert max(took.values()) < SOON
    for pod, left in watch.leaving.items():
        late = [at - left for at, name in register.began if name.decode().strip() == pod and at > left + 0.3]
        assert late == [], pod
    assert len(watch.leaving) >= 3
    # All went, so there was a time without any; the file was never without a line.
    assert any("/womm-task-" in text and text.count("\n") == 1 for text in sampled.seen)
    assert all(text.strip() for text in sampled.seen)


def test_slots_are_used_nearly_all_the_time(none: Place, tmp_path: Path, register: Register) -> None:
    log = tmp_path / "joblog"
    command = register.job("sleep 2; : {}", "$(hostname)")
    jobs = [str(n) for n in range(120)]
    done = none.parallel("-j", "2", "--joblog", str(log), "--", command, ":::", *jobs, pods=10)
    assert done.status == 0
    assert len(joblog(log)) == 120
    end = max(float(row[2]) + float(row[3]) for row in joblog(log))
    starts = first_starts(register)
    assert len(starts) == 10
    # A pod's slots are there from its first job on.
    there = sum(2 * (end - at) for at in starts.values())
    use = 120 * 2 / there
    print(f"slot use {use:.0%}; the last pod came {max(starts.values()) - min(starts.values()):.1f} s late")
    assert use >= 0.85
    assert max(register.most.values()) == 2


def test_more_than_nine_slots_start_at_once(none: Place, register: Register) -> None:
    command = register.job("sleep 2; : {}", "$(hostname)")
    done = none.parallel("--procs-per-pod", "12", "--", command, ":::", *map(str, range(48)), pods=2)
    assert done.status == 0
    assert list(register.most.values()) == [12, 12]
    times = sorted(at for at, _ in register.began)
    print(f"the first 24 jobs began within {times[23] - times[0]:.2f} s")


def intervals(rows: Sequence[list[str]], local: bool) -> list[tuple[float, float]]:
    """When jobs ran on this machine, or in the pods."""
    chosen = [row for row in rows if (row[1] == ":") == local]
    return [(float(row[2]), float(row[2]) + float(row[3])) for row in chosen]


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """How many of these overlap, at most."""
    # Clocks and their last digits: what ends now and what begins now do not overlap.
    steps = sorted([(begin + 0.01, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    now = most = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def test_local_slots_take_their_share_and_the_pods_are_full(none: Place, tmp_path: Path) -> None:
    log = tmp_path / "joblog"
    options = ("--local-procs", "2", "-j", "2", "--joblog", str(log))
    jobs = [str(n) for n in range(60)]
    done = none.parallel(*options, "--", "hostname; sleep 1; : {}", ":::", *jobs, pods=2)
    assert (done.status, len(done.lines)) == (0, 60)
    rows = joblog(log)
    here, there = intervals(rows, local=True), intervals(rows, local=False)
    assert len(here) + len(there) == 60
    assert most_at_once(here) == 2
    assert most_at_once(there) == 4
    # While jobs are left, from when both pods take some.
    last = max(begin for begin, _ in here + there)
    full = sorted(begin for begin, _ in there)[3]
    used = sum(max(0.0, min(end, last) - max(begin, full)) for begin, end in there)
    print(f"{len(here)} of 60 jobs here; the pods were used to {used / (4 * (last - full)):.0%}")
    assert used / (4 * (last - full)) >= 0.85


def test_without_pods_nothing_of_a_cluster_is_needed(none: Place, tmp_path: Path) -> None:
    log = tmp_path / "joblog"
    options = ("--local-procs", "2", "--joblog", str(log))
    done = none.parallel(
        *options, "--", "echo {}; sleep 0.5", ":::", *"123456", pods=0, KUBECONFIG="/dev/null"
    )
    assert (done.status, done.lines) == (0, list("123456"))
    assert done.err == b""
    assert most_at_once(intervals(joblog(log), local=True)) == 2
    refused = none.parallel("--", "echo", ":::", "1", pods=0, KUBECONFIG="/dev/null")
    assert (refused.status, refused.out) == (125, b"")
    assert "--kube-pods takes a whole number above 0, not '0'" in refused.messages


# --- Output is whole.


@contextmanager
def busy(place: Place, namespace: str, pod: str) -> Iterator[None]:
    """A loop that keeps a pod's processor busy for 10 s."""
    argv = [
        "kubectl",
        "--namespace",
        namespace,
        "exec",
        pod,
        "--",
        "timeout",
        "10",
        "sh",
        "-c",
        "while :; do :; done",
    ]
    with subprocess.Popen(argv, env=place.user.environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def test_two_thousand_jobs_under_load_lose_nothing(none: Place) -> None:
    numbers = none.path / "numbers"
    numbers.write_text("".join(f"{n}\n" for n in range(2000)))
    arguments = ("--kube-pods", "3", "-j", "3", "--arg-file", str(numbers), "--", "echo {}; echo not {} >&2")
    with none.started("parallel", *arguments) as running:
        running.until(lambda: running.out)
        with busy(none, none.namespace, pods(none, running)[0]):
            done = running.wait()
    assert done.status == 0
    assert sorted(map(int, done.out.split())) == list(range(2000))
    told = [line for line in done.messages.splitlines() if line.startswith("not ")]
    assert sorted(told) == sorted(f"not {n}" for n in range(2000))


@pytest.mark.parametrize("how", [("-u",), ("-k",)], ids=["ungrouped", "grouped"])
def test_a_hundred_million_random_bytes_come_back_as_they_went(
    none: Place, tmp_path: Path, how: Sequence[str]
) -> None:
    data = os.urandom(100_000_000)
    began = time.monotonic()
    # One record: GNU parallel cuts between records.
    options = ("--pipe", "--recend", "", "--block", "200M", *how)
    done = none.parallel(*options, "--", "cat", stdin=data)
    print(f"{time.monotonic() - began:.1f} s")
    assert done.status == 0
    assert len(done.out) == len(data)
    assert hashlib.sha256(done.out).digest() == hashlib.sha256(data).digest()


def ends(place: Place, log: Path, job: str, arguments: Sequence[str]) -> Mapping[str, str]:
    """The exit status in the joblog, by the job's argument."""
    place.parallel("-j", "4", "--joblog", str(log), "--", job, ":::", *arguments)
    return {arguments[int(row[0]) - 1]: row[6] for row in joblog(log)}


def test_exit_statuses_and_deaths_by_signals_pass(none: Place, tmp_path: Path) -> None:
    statuses = [str(status) for status in range(256)]
    found = ends(none, tmp_path / "statuses", "exit {}", statuses)
    assert found == {status: status for status in statuses}
    signals = {"TERM": "143", "KILL": "137", "INT": "130", "SEGV": "139", "USR1": "138"}
    assert ends(none, tmp_path / "signals", "kill -{} $$", list(signals)) == signals
