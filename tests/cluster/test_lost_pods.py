"""Pods that go away in mid-run: it costs time, not results, and where it can't be so, the job says why."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from kit import Done, Place, eventually, joblog, kubectl, new_namespace, objects, pods, rule
from register import Register

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("clean")]


def delete(place: Place, names: Sequence[str], *how: str) -> None:
    """Delete pods."""
    kubectl("--namespace", place.namespace, "delete", "pod", *names, *how)


def evict(place: Place, names: Sequence[str]) -> None:
    """Evict pods through the API, as draining a node does."""
    for name in names:
        eviction = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": name}}
        url = f"/api/v1/namespaces/{place.namespace}/pods/{name}/eviction"
        kubectl("create", "--raw", url, "-f", "-", stdin=json.dumps(eviction))


FORCE = ("--force", "--grace-period=0", "--wait=false")


def test_ten_pods_deleted_by_force_cost_500_jobs_nothing(
    none: Place, local_parallel: Callable[..., Done], tmp_path: Path, register: Register
) -> None:
    command = "for i in $(seq 20); do echo {}-$i; sleep 0.02; done"
    numbers = "".join(f"{n}\n" for n in range(500)).encode()
    path = tmp_path / "numbers"
    path.write_bytes(numbers)
    log = tmp_path / "joblog"
    options = ("--kube-pods", "4", "--procs-per-pod", "3", "--joblog", str(log), "--arg-file", str(path))
    with none.started("parallel", *options, "--", register.job(command)) as running:
        victims: set[str] = set()
        while len(victims) < 10:
            ready = running.until(lambda: [pod for pod in pods(none, running) if pod not in victims])
            rows = len(joblog(log)) if log.exists() else 0
            running.until(lambda rows=rows: log.exists() and len(joblog(log)) >= rows + 12)  # type: ignore[misc]
            delete(none, ready[:1], *FORCE)
            victims.add(ready[0])
        done = running.wait()
    local = local_parallel("--arg-file", str(path), "--", command.replace("sleep 0.02;", ""), cwd=none.path)
    assert (done.status, done.lines) == (0, local.lines)
    assert sorted(int(row[0]) for row in joblog(log)) == list(range(1, 501))
    assert {row[6] for row in joblog(log)} == {"0"}
    assert set(register.most.values()) == {1}
    # Some did run twice, and the user is told of each. He may be told of more: what was on its way to a pod
    # that had begun to end never signed in there. Of all these there are no more than the pod has jobslots.
    again = sum(count - 1 for count in register.runs.values())
    told = Counter(re.findall(r"(\S+) was lost \(.*\): its job runs again", done.messages))
    assert 0 < again <= sum(told.values()) == done.messages.count("its job runs again")
    assert set(told) <= victims
    assert max(told.values()) <= 3


@pytest.mark.parametrize(
    "remove",
    [
        lambda place, names: delete(place, names, *FORCE),
        lambda place, names: delete(place, names, "--wait=false"),
        evict,
    ],
    ids=["force", "gracefully", "evicted"],
)
def test_all_pods_deleted_at_once_and_replaced(
    none: Place, remove: Callable[[Place, Sequence[str]], None], register: Register
) -> None:
    jobs = [str(n) for n in range(24)]
    command = register.job("echo {} began; sleep 2; echo {} ended")
    with none.started(
        "parallel", "--kube-pods", "3", "--procs-per-pod", "2", "--", command, ":::", *jobs
    ) as running:
        running.until(lambda: len(register.runs) >= 8)
        remove(none, pods(none, running))
        done = running.wait()
    assert done.status == 0
    assert done.lines == sorted(f"{n} {what}" for n in jobs for what in ("began", "ended"))
    assert set(register.most.values()) == {1}


def test_a_pod_that_its_node_evicts_costs_its_jobs_nothing_and_the_reason_is_told(
    none: Place, register: Register
) -> None:
    # More of its node's disk than it may have: the kubelet looks every 10 s.
    limits = [{"type": "Container", "default": {"ephemeral-storage": "20Mi"}}]
    command = register.job(f"echo {{}} began; {register.held}; echo {{}} ended", "{} $HOSTNAME")
    with new_namespace("evicted") as namespace, rule(namespace, "LimitRange", limits=limits):
        place = Place(none.user, namespace, none.path)
        options = ("--kube-pods", "2", "--procs-per-pod", "2")
        with place.started("parallel", *options, "--", command, ":::", "1", "2", "3", "4") as running:
            running.until(lambda: register.living == 4)
            victim = pods(place, running)[0]
            lost = {name.split()[0] for name in register.runs if name.split()[1] == victim.encode()}
            fill = ("exec", victim, "-c", "womm", "--", "sh", "-c", "head -c 60M /dev/zero >/tmp/full")
            kubectl("--namespace", namespace, *fill)
            running.until(lambda: len(register.runs) == 4 + len(lost))
            phase = ("get", "pod", victim, "-o", "jsonpath={.status.phase}/{.status.reason}")
            assert kubectl("--namespace", namespace, *phase) == "Failed/Evicted"
            register.release()
            done = running.wait()
    assert done.status == 0, done.messages
    assert done.lines == sorted(f"{n} {what}" for n in range(1, 5) for what in ("began", "ended"))
    # Each on one pod, and those that were lost on another one as well.
    assert set(register.runs.values()) == {1}
    runs = Counter(name.split()[0] for name in register.runs)
    assert runs == {str(n).encode(): 1 + (str(n).encode() in lost) for n in range(1, 5)}
    told = re.findall(rf"{victim} was lost \((.*)\): its job runs again", done.messages)
    assert len(told) == len(lost)
    for reason in told:
        assert reason.startswith("Evicted: ")
        assert "ephemeral" in reason


def test_a_jobs_stdin_is_given_again(none: Place, tmp_path: Path, register: Register) -> None:
    # --pipe: each job's stdin is a pipe that can't be rewound, of less than the kept size.
    data = b"".join(b"%d\n" % n for n in range(400_000))
    path = tmp_path / "data"
    path.write_bytes(data)
    command = register.job("cat; sleep 3").replace("{}", "$PARALLEL_SEQ")
    script = 'womm --namespace "$1" parallel --kube-pods 2 --pipe --block 1M -k -- "$2" <"$3"'
    result: list[Done] = []
    thread = threading.Thread(
        target=lambda: result.append(none.shell(script, none.namespace, command, str(path)))
    )
    thread.start()
    try:
        eventually(lambda: len(register.runs) >= 2)
        found = objects(none.namespace, "pods", "-l", "app.kubernetes.io/managed-by=womm,womm.dev/task")
        delete(none, [found[0]["metadata"]["name"]], *FORCE)
    finally:
        thread.join()
    assert result[0].status == 0, result[0].messages
    assert result[0].out == data
    assert "its job runs again" in result[0].messages


def test_the_users_own_file_is_never_truncated(none: Place, tmp_path: Path, register: Register) -> None:
    # With -u the jobs write straight into it.
    command = register.job("echo {} began; sleep 5; echo {} ended")
    out = tmp_path / "out"
    out.write_text("mine\n")
    script = 'womm --namespace "$1" parallel --kube-pods 2 -u -- "$2" ::: 1 2 >>"$3"'
    result: list[Done] = []
    thread = threading.Thread(
        target=lambda: result.append(none.shell(script, none.namespace, command, str(out)))
    )
    thread.start()
    try:
        eventually(lambda: out.read_text().count("began") == 2)
        found = objects(none.namespace, "pods", "-l", "app.kubernetes.io/managed-by=womm,womm.dev/task")
        delete(none, [found[0]["metadata"]["name"]], *FORCE)
    finally:
        thread.join()
    assert result[0].status == 1
    lines = out.read_text().splitlines()
    assert lines[0] == "mine"
    assert (len(lines), lines.count("1 began"), lines.count("2 began")) == (4, 1, 1)
    assert "was lost before its job had ended (its pod was deleted)" in result[0].messages
    assert "can't run again: its output has gone out already" in result[0].messages
    assert set(register.runs.values()) == {1}


def test_line_buffer_fails_after_the_first_byte_and_not_before(none: Place, register: Register) -> None:
    silent = register.job("sleep 3; echo {} ended")
    with none.started("parallel", "--kube-pods", "1", "--lb", "--", silent, ":::", "1") as running:
        running.until(lambda: len(register.runs) == 1)
        delete(none, pods(none, running), *FORCE)
        done = running.wait()
    assert (done.status, done.out) == (0, b"1 ended\n")
    assert register.runs[b"1\n"] == 2


def test_no_rerun_lets_the_job_fail_and_says_so(none: Place, tmp_path: Path, register: Register) -> None:
    log = tmp_path / "joblog"
    options = ("--kube-pods", "2", "--no-rerun", "--joblog", str(log))
    command = register.job("sleep 4; echo {}")
    with none.started("parallel", *options, "--", command, ":::", "1", "2", "3") as running:
        running.until(lambda: len(register.runs) == 2)
        delete(none, pods(none, running)[:1], *FORCE)
        done = running.wait()
    assert done.status == 1
    assert "the job can't run again: --no-rerun" in done.messages
    assert sorted(row[6] for row in joblog(log)) == ["0", "0", "255"]
    assert set(register.runs.values()) == {1}


def test_a_job_that_kills_every_process_of_its_container_fails_with_the_reason(none: Place) -> None:
    # What the kernel does when the container's memory runs out.
    kill = "[ {} = 2 ] && kill -KILL -1; echo {}"
    done = none.parallel("--kube-mem", "64Mi", "--", kill, ":::", "1", "2", "3", pods=2)
    assert done.status == 1
    assert done.lines == ["1", "3"]
    assert "3 pods were lost with this job" in done.messages
    assert "out of memory at 64Mi: --kube-mem" in done.messages
