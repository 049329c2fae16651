"""A node that is gone from one moment to the next costs its jobs time, and nothing else."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import pytest
from kit import NODE2, Place, eventually, objects
from machine import STATE
from register import Register

pytestmark = [pytest.mark.node2, pytest.mark.timeout(900), pytest.mark.usefixtures("clean")]

#: The processor of one of the nodes is computed.
SLOW = 300.0
#: Seconds without a ping after which an agent kills its jobs: the least that may be asked for.
DEAD_MAN = 5


def test_the_jobs_of_a_node_that_is_gone_run_again_on_another_one(none: Place, register: Register) -> None:
    # The second node's. The next `sandbox/up` that is asked for it starts another one.
    machine = int((STATE / "pid" / "node2").read_text().split()[0])
    command = register.job(f"echo {{}} began; {register.held}; echo {{}} ended", "{} $HOSTNAME")
    options = ("--kube-pods", "4", "--procs-per-pod", "1", "--lost-after", str(DEAD_MAN))
    # No selector: its pods may be on both nodes.
    tolerated = ("--kube-toleration", NODE2["WOMM_KUBE_TOLERATION"])
    jobs = ("1", "2", "3", "4")
    with none.started("parallel", *options, *tolerated, "--", command, ":::", *jobs) as running:
        eventually(lambda: register.living == len(jobs), SLOW)
        task = running.task().removeprefix("womm-task-")
        found = objects(none.namespace, "pods", "-l", f"womm.dev/task={task}")
        node = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in found}
        at_first = dict(name.decode().split() for name in register.runs)
        lost = {job for job, pod in at_first.items() if node[pod] == "node2"}
        assert 0 < len(lost) < len(jobs)
        killed = time.time()
        os.kill(machine, signal.SIGKILL)
        # The others end, and make room.
        register.release()
        done = running.wait()
        ended = time.time()
    took = [round(began - killed, 1) for began, _ in register.began[len(jobs) :]]
    late = ended - max(at for at, _ in register.ended)
    print(f"{len(lost)} jobs ran again after {took} s; womm ended {late:.1f} s after the last one")
    assert done.status == 0, done.messages
    assert done.lines == sorted(f"{job} {what}" for job in jobs for what in ("began", "ended"))
    # The agent may have lived, for all that was known. Kubernetes itself takes 40 s to notice.
    assert min(took) > DEAD_MAN
    assert max(took) < 30
    assert set(register.runs.values()) == {1}
    assert Counter(name.decode().split()[0] for name in register.runs) == {
        job: 1 + (job in lost) for job in jobs
    }
    assert {node[pod] for name, pod in (run.decode().split() for run in register.runs) if name in lost} == {
        "node2",
        "womm-sandbox",
    }
    # Its pods are not to be had back, and nobody waits for them.
    assert late < 20
