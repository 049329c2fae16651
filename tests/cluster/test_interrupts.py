"""Whatever ends a run, nothing of it is left: in the cluster, and on this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence

import pytest
from kit import Place, Running, kubectl, marked, names

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("clean")]

PENDING = ("--kube-node-selector", "example.com/no-such=node")
SLEEP = ("-u", "--", "echo here; sleep 600; : {}", ":::", "1", "2", "3")


def until_running(running: Running) -> None:
    running.until(lambda: b"here" in running.out)


def until_pending(running: Running) -> None:
    running.until(lambda: "a pod is waiting" in running.err)


def until_created(running: Running) -> None:
    running.task()


@pytest.mark.parametrize(
    ("signum", "share", "options", "until"),
    [
        (signal.SIGINT, "none", (), until_running),
        (signal.SIGTERM, "eager", (), until_running),
        (signal.SIGHUP, "none", (), until_created),
        (signal.SIGINT, "eager", PENDING, until_pending),
        (signal.SIGTERM, "none", PENDING, until_pending),
    ],
    ids=["INT-running", "TERM-running", "HUP-created", "INT-pending", "TERM-pending"],
)
def test_a_signal_ends_a_run_and_nothing_is_left(
    request: pytest.FixtureRequest,
    signum: int,
    share: str,
    options: Sequence[str],
    until: Callable[[Running], None],
) -> None:
    place: Place = request.getfixturevalue(share)
    with place.started("parallel", "--kube-pods", "2", *options, *SLEEP) as running:
        until(running)
        done = running.interrupt(signum)
    assert done.status == 128 + signum
    assert done.messages.splitlines()[-1].endswith(" deleted")
    assert "Traceback" not in done.messages
    assert place.left() == []


def test_ctrl_c_in_the_terminal_ends_a_run_and_nothing_is_left(none: Place) -> None:
    # Ctrl-C reaches every process of the terminal's foreground group at once.
    with none.started("parallel", "--kube-pods", "2", *SLEEP, own_group=True) as running:
        until_running(running)
        os.killpg(running.process.pid, signal.SIGINT)
        done = running.wait()
    assert done.status == 130
    assert done.messages.splitlines()[-1].endswith(" deleted")
    assert none.left() == []


def test_signals_again_and_again_do_not_stop_the_clean_up(eager: Place) -> None:
    with eager.started("parallel", "--kube-pods", "2", *SLEEP) as running:
        until_running(running)
        for _ in range(20):
            running.process.send_signal(signal.SIGINT)
            running.process.send_signal(signal.SIGTERM)
        done = running.wait()
    assert done.status in (130, 143)
    assert eager.left() == []


@pytest.mark.parametrize("verb", ["setup", "parallel"])
def test_the_next_command_cleans_up_after_a_womm_that_was_killed(eager: Place, verb: str) -> None:
    with eager.started("parallel", "--kube-pods", "2", *SLEEP) as running:
        until_running(running)
        task = running.task()
        running.process.kill()
        running.process.wait()
    assert f"deployment.apps/{task}" in names(eager.namespace)
    assert marked(eager.user.mark) != []
    done = (
        eager.parallel("--", "echo", ":::", "x")
        if verb == "parallel"
        else eager.womm("setup", "--yes", "--share", "eager", "--prefix", "localhost:5000/")
    )
    assert done.status == 0
    run = task.removeprefix("womm-task-")
    assert f"womm: cleaning up after run {run}, which did not end as it should" in done.messages
    assert eager.left() == []
    pod = kubectl("--namespace", eager.namespace, "get", "pods", "-o", "name").split()[0]
    shares = kubectl(
        "--namespace", eager.namespace, "exec", pod, "--", "find", "/srv/womm", "-name", f"*{run}*"
    )
    assert shares == ""


def test_a_living_run_is_not_swept(none: Place) -> None:
    with none.started("parallel", "--kube-pods", "1", *SLEEP) as running:
        until_running(running)
        done = none.parallel("--", "echo", ":::", "x")
        assert (done.status, done.out) == (0, b"x\n")
        assert "cleaning up" not in done.messages
        assert f"deployment.apps/{running.task()}" in names(none.namespace)
        assert running.interrupt(signal.SIGTERM).status == 143


def test_a_deployment_that_somebody_deletes_ends_the_run(none: Place) -> None:
    jobs = ["--line-buffer", "--", "echo here {}; sleep 100", ":::", "1", "2", "3"]
    with none.started("parallel", "--kube-pods", "1", *jobs) as running:
        until_running(running)
        kubectl("--namespace", none.namespace, "delete", "deployment", running.task())
        done = running.wait()
    # Not a job is called done, those that were waiting included.
    assert done.status == 3
    assert "somebody has deleted it" in done.messages
    assert none.left() == []


def test_a_closed_stdout_ends_the_run(none: Place) -> None:
    womm = 'womm --namespace "$1" parallel --kube-pods 1 --line-buffer -- "yes {}" ::: a'
    script = womm + " | head -n 2; echo ${PIPESTATUS[0]}"
    done = none.shell(script, none.namespace)
    assert done.out.split()[:2] == [b"a", b"a"]
    assert done.out.split()[2] != b"0"
    assert none.left() == []
