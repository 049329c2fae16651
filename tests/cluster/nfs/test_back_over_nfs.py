"""What jobs change in a tree that all pods see over NFS comes back, whoever is killed on the way."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from kit import NODE2, Place, joblog, keeper, kubectl, pods
from servers import SLOW, SYSTEM, Servers, reshare

pytestmark = [pytest.mark.node2, pytest.mark.timeout(600), pytest.mark.usefixtures("clean")]


@pytest.fixture(scope="module")
def back(shared: Place) -> Place:
    """A directory whose changes come back over NFS."""
    for name in ("both", "gone"):
        (shared.path / name).write_text("sent\n")
    return reshare(shared, "syncback")


def left(servers: Servers) -> str:
    """What either server has of any run."""
    return servers.nfs("list") + servers.files("ls", "/srv/womm/results").out.decode()


CHANGES = """
case {} in
1)
  echo jobs >a; echo jobs >both; rm gone; chmod 700 sub/run
  mkdir made; echo new >made/new; ln -s new made/link
  ;;
2) cat made/link; while [ ! -e /tmp/go ]; do sleep 0.1; done ;;
esac
"""


def test_what_jobs_change_comes_back_and_what_was_changed_here_stays(servers: Servers, back: Place) -> None:
    arguments = ("--kube-pods", "1", "-j", "1", "--", CHANGES, ":::", "1", "2")
    with back.started("parallel", *arguments, **NODE2) as running:
        [pod] = running.until(lambda: pods(back, running))
        (back.path / "both").write_text("mine\n")
        kubectl("-n", servers.namespace, "exec", pod, "-c", "womm", "--", "touch", "/tmp/go")
        done = running.wait(SLOW)
        task = running.task().removeprefix("womm-task-")
    aside = f"both.womm-conflict-{task}"
    assert (done.status, done.out) == (120, b"new\n"), done.messages
    assert f"womm: conflict: both was changed on both sides; the pods' version is {aside}\n" in done.messages
    assert "womm: deleted in a pod, kept here: gone\n" in done.messages
    wanted = {"a": "jobs", "both": "mine", aside: "jobs", "gone": "sent", "made/new": "new"}
    assert {name: (back.path / name).read_text() for name in wanted} == {
        name: f"{text}\n" for name, text in wanted.items()
    }
    assert os.readlink(back.path / "made" / "link") == "new"
    assert (back.path / "sub" / "run").stat().st_mode & 0o777 == 0o700
    assert left(servers) == ""


def test_a_client_that_is_killed_leaves_what_jobs_that_had_ended_have_changed_to_the_next_womm(
    servers: Servers, back: Place, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    command = "echo {} >file-{}; [ {} = 1 ] || sleep 600"
    arguments = ("--kube-pods", "1", "-j", "1", "--joblog", str(log), "--", command, ":::", "1", "2")
    with back.started("parallel", *arguments, **NODE2) as running:
        running.until(lambda: log.exists() and joblog(log))
        os.kill(keeper(running), signal.SIGKILL)
        assert running.interrupt(signal.SIGKILL).status == -signal.SIGKILL
    assert servers.nfs("list").split()[1] == "eager"
    assert not (back.path / "file-1").exists()
    done = back.womm("finish", "--all", limit=SLOW)
    assert done.status == 0, done.messages
    assert "brought back" in done.messages
    assert (back.path / "file-1").read_text() == "1\n"
    assert left(servers) == ""


def test_what_is_lost_with_the_nfs_server_is_told_and_fails_the_run(
    servers: Servers, back: Place, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    numbers = [str(number) for number in range(12)]
    more = ("--kube-pods", "1", "-j", "2", "--joblog", str(log))
    command = "sleep 2; echo {} >number-{}"
    with back.started("parallel", *more, "--", command, ":::", *numbers, **NODE2) as running:
        running.until(lambda: log.exists() and len(joblog(log)) >= 2)
        ended = [row[-1].rpartition("-")[2] for row in joblog(log)]
        kubectl("-n", SYSTEM, "delete", "pods", "-l", f"app.kubernetes.io/name=womm-nfs-{servers.namespace}")
        done = running.wait(SLOW)
    came = {path.name.removeprefix("number-") for path in back.path.glob("number-*")}
    assert done.status == 125, done.messages
    assert "womm: what jobs that have ended had changed may be lost\n" in done.messages
    assert "may be lost (server-nfs: the NFS server was replaced" in done.messages
    assert not came & {*ended}
    assert came >= {*numbers[-2:]}
    assert left(servers) == ""
