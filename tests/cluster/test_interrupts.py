"""Whatever ends a run, nothing of it is left: in the cluster, and on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from kit import IMAGES, Done, Place, Running, eventually, good, keeper, kubectl, marked, names, rule

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("clean")]

PENDING = ("--kube-node-selector", "example.com/no-such=node")
# Seconds in which everything is gone, as is promised; seen here: 0.2 to 1.3.
SOON = 3.0
#: What has to be SOON is measured.
ALONE = pytest.mark.alone("how soon everything is gone is measured")
SLEEP = ("-u", "--", "echo here; sleep 600; : {}", ":::", "1", "2", "3")


def until_running(running: Running) -> None:
    running.until(lambda: b"here" in running.out)


def until_pending(running: Running) -> None:
    running.until(lambda: "a pod is waiting" in running.err)


def until_created(running: Running) -> None:
    running.task()


def until_copying(running: Running) -> None:
    running.until(lambda: "to the file server" in running.err)


def ended_soon(running: Running, *signals: int) -> Done:
    """Send `signals`; the end has to come soon."""
    since = time.monotonic()
    for signum in signals:
        running.process.send_signal(signum)
    done = running.wait()
    took = time.monotonic() - since
    print(f"all was gone {took:.2f} s after the signal")
    assert took < SOON
    assert "Traceback" not in done.messages
    return done


@ALONE
@pytest.mark.parametrize(
    ("signum", "share", "options", "until"),
    [
        (signal.SIGINT, "none", (), until_running),
        (signal.SIGTERM, "eager", (), until_running),
        # Were GNU parallel running by then, the first HUP would be its own.
        (signal.SIGHUP, "none", PENDING, until_created),
        (signal.SIGINT, "eager", (), until_created),
        (signal.SIGINT, "eager", PENDING, until_pending),
        (signal.SIGTERM, "none", PENDING, until_pending),
        (signal.SIGHUP, "eager", PENDING, until_copying),
    ],
    ids=[
        "INT-running",
        "TERM-running",
        "HUP-created",
        "INT-created",
        "INT-pending",
        "TERM-pending",
        "HUP-copying",
    ],
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
        done = ended_soon(running, signum)
    assert done.status == 128 + signum
    assert (" created" in done.messages) == done.messages.splitlines()[-1].endswith(" deleted")
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


@ALONE
def test_signals_again_and_again_do_not_stop_the_clean_up(eager: Place) -> None:
    with eager.started("parallel", "--kube-pods", "2", *SLEEP) as running:
        until_running(running)
        done = ended_soon(running, *[signal.SIGINT, signal.SIGTERM] * 20)
    assert done.status in (130, 143)
    assert eager.left() == []


@ALONE
def test_signals_while_a_run_finishes_change_nothing(none: Place) -> None:
    # Where there is a quota, the end of the pods is waited for.
    with (
        rule(none.namespace, "ResourceQuota", hard={"pods": "10"}),
        none.started("parallel", "--kube-pods", "1", "--", "echo", ":::", "done") as running,
    ):
        running.until(lambda: any(" wait --for=delete" in line for line in marked(none.user.mark)))
        done = ended_soon(running, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    assert (done.status, done.out) == (0, b"done\n")
    assert none.left() == []


def test_after_the_first_hup_running_jobs_end_and_no_other_begins(none: Place) -> None:
    # Three at once, as the kernel and the shell send them when a terminal is closed.
    jobs = ["--joblog", "log", "-u", "--", "echo here {}; sleep 6; echo there {}; exit 3", ":::", "1", "2"]
    with none.started("parallel", "--kube-pods", "1", *jobs) as running:
        until_running(running)
        for _ in range(3):
            running.process.send_signal(signal.SIGHUP)
        done = running.wait()
    # GNU parallel's own status: the number of jobs that failed.
    assert (done.status, done.out) == (1, b"here 1\nthere 1\n")
    assert "SIGHUP received. No new jobs will be started." in done.messages
    assert none.left() == []


@ALONE
def test_term_ends_a_run_that_waits_for_its_jobs_after_a_hup(none: Place) -> None:
    with none.started("parallel", "--kube-pods", "1", *SLEEP) as running:
        until_running(running)
        running.process.send_signal(signal.SIGHUP)
        running.until(lambda: "SIGHUP received" in running.err)
        assert ended_soon(running, signal.SIGTERM).status == 143
    assert none.left() == []


def test_with_nohup_a_run_goes_on_to_its_end(none: Place) -> None:
    # A shell's background job ignores INT, too.
    script = (
        'setsid nohup womm --namespace "$1" parallel --kube-pods 1 -u -- "echo {}; sleep 2" ::: 1 2 >out & '
        "until [ -s out ]; do sleep 0.1; done; kill -HUP -- -$!; kill -INT -- -$!; wait $!; echo $?; cat out"
    )
    done = none.shell(script, none.namespace)
    assert done.out.split() == [b"0", b"1", b"2"]
    assert none.left() == []


@pytest.fixture(scope="module")
def slow_base() -> Iterator[str]:
    """A base image on which a build never ends."""
    base = f"womm-test:{uuid.uuid4().hex[:8]}"
    dockerfile = (
        f"FROM {os.environ['WOMM_BASE_IMAGE']}\n"
        r"RUN cd /usr/local/bin && printf '#!/bin/sh\nexec sleep 6789\n' >apt-get && chmod +x apt-get"
    )
    good(["docker", "build", "--quiet", "--tag", base, "-"], stdin=dockerfile.encode())
    yield base
    good(["docker", "rmi", base])


def slow_steps() -> list[str]:
    """The processes of such builds."""
    return [line for line in good(["ps", "-eo", "args"]).splitlines() if line == "sleep 6789"]


@ALONE
@pytest.mark.sandbox("its docker's builds are processes of this machine")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_build_and_nothing_is_left(
    make_place: Callable[[str], Place], slow_base: str, tmp_path: Path, signum: int
) -> None:
    place = make_place(f"building-{signum}")
    options = ("--yes", "--share", "none", *IMAGES, "--base-image", slow_base)
    with place.started("setup", *options, own_group=True, TMPDIR=str(tmp_path)) as running:
        running.until(slow_steps)
        assert ended_soon(running, signum).status == 128 + signum
    assert slow_steps() == []
    assert [*tmp_path.iterdir(), *place.path.iterdir(), *place.left()] == []


@ALONE
def test_a_signal_ends_a_push_and_nothing_is_left(make_place: Callable[[str], Place], tmp_path: Path) -> None:
    # A registry that takes connections and never answers.
    place = make_place("pushing")
    with socket.create_server(("127.0.0.1", 0)) as registry:
        prefix = f"localhost:{registry.getsockname()[1]}/"
        options = ("--yes", "--share", "none", "--prefix", prefix)
        with place.started("setup", *options, TMPDIR=str(tmp_path)) as running:
            registry.settimeout(60)
            connection, _ = registry.accept()
            with connection:
                assert ended_soon(running, signal.SIGTERM, signal.SIGTERM).status == 143
    # It was the tiny image that is tried first, and it is gone.
    assert good(["docker", "images", "--quiet", f"{prefix}*"]) == ""
    assert [*tmp_path.iterdir(), *place.path.iterdir(), *place.left()] == []


@pytest.mark.parametrize("verb", ["setup", "parallel"])
def test_the_next_command_cleans_up_after_a_womm_that_was_killed_with_its_keeper(
    eager: Place, verb: str
) -> None:
    with eager.started("parallel", "--kube-pods", "2", *SLEEP) as running:
        until_running(running)
        task = running.task()
        os.kill(keeper(running), signal.SIGKILL)
        running.process.kill()
        running.process.wait()
    assert f"Deployment/{task}" in names(eager.namespace)
    assert marked(eager.user.mark) != []
    done = (
        eager.parallel("--", "echo", ":::", "x")
        if verb == "parallel"
        else eager.womm("setup", "--yes", "--share", "eager", *IMAGES)
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


#: Notes that the deployment is about to be created, and takes its time for it, as an admission webhook does.
SLOW_CREATE = """#!/bin/sh
case "$*" in
  *dry-run*) ;;
  *" create -f "*) touch {noted}; sleep 3 ;;
esac
exec {kubectl} "$@"
"""


def test_a_womm_that_is_killed_while_it_creates_leaves_nothing(none: Place, tmp_path: Path) -> None:
    kubectl_ = shutil.which("kubectl")
    assert kubectl_ is not None
    slow, noted = tmp_path / "kubectl", tmp_path / "noted"
    slow.write_text(SLOW_CREATE.format(noted=noted, kubectl=kubectl_))
    slow.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    with none.started("parallel", "--kube-pods", "1", *SLEEP, PATH=path) as running:
        running.until(noted.exists)
        running.process.kill()
        running.process.wait()
    # The keeper ends the create before it deletes: it has not been left to create afterwards.
    eventually(lambda: none.left() == [])


def test_a_living_run_is_not_swept(none: Place) -> None:
    with none.started("parallel", "--kube-pods", "1", *SLEEP) as running:
        until_running(running)
        done = none.parallel("--", "echo", ":::", "x")
        assert (done.status, done.out) == (0, b"x\n")
        assert "cleaning up" not in done.messages
        assert f"Deployment/{running.task()}" in names(none.namespace)
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
