"""What jobs change comes back: merged with what was changed here, whatever is lost on the way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import Place, call, keeper, kubectl, objects, pods

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("clean")]

WAIT = "while [ ! -e /tmp/go ]; do sleep 0.1; done"


@pytest.fixture(scope="module")
def back(make_place: Callable[[str], Place]) -> Place:
    """A directory whose changes come back, with some files in it."""
    place = make_place("syncback")
    (place.path / "sub").mkdir()
    for name in ("same", "theirs", "ours", "both", "gone", "sub/kept"):
        (place.path / name).write_text("sent\n")
    return place.setup("syncback")


def go(place: Place, pod: str) -> None:
    """Let the job in a pod go on."""
    kubectl("--namespace", place.namespace, "exec", pod, "-c", "womm", "--", "touch", "/tmp/go")


def here(path: Path) -> set[str]:
    """The names of what is in a directory."""
    return {entry.name for entry in path.iterdir()}


def test_what_jobs_change_comes_back_and_what_was_changed_here_stays(back: Place) -> None:
    command = (
        "echo new >new; echo jobs >theirs; echo jobs >both; rm gone; chmod 755 sub/kept;"
        f" {WAIT}; echo out >>sub/new; : {{}}"
    )
    with back.started("parallel", "--kube-pods", "1", "--", command, ":::", "1") as running:
        [pod] = running.until(lambda: pods(back, running))
        (back.path / "ours").write_text("mine\n")
        (back.path / "both").write_text("mine\n")
        go(back, pod)
        done = running.wait()
        task = running.task().removeprefix("womm-task-")
    aside = f"both.womm-conflict-{task}"
    assert done.status == 120, done.messages
    assert f"womm: conflict: both was changed on both sides; the pods' version is {aside}\n" in done.messages
    assert "womm: deleted in a pod, kept here: gone\n" in done.messages
    wanted = {"new": "new", "theirs": "jobs", "ours": "mine", "both": "mine", "gone": "sent", aside: "jobs"}
    for name, text in {**wanted, "sub/new": "out"}.items():
        assert (back.path / name).read_text() == f"{text}\n"
    assert (back.path / "sub/kept").stat().st_mode & 0o777 == 0o755
    assert here(back.path) == {".womm", "same", "sub", *wanted}
    # The next run begins with all that, and a shell is one, too.
    again = back.womm("shell", "--quiet", "--", "cat both new; echo made >in-a-shell")
    assert (again.status, again.out, again.messages) == (0, b"mine\nnew\n", "")
    assert (back.path / "in-a-shell").read_text() == "made\n"


def test_an_interrupted_run_brings_what_jobs_that_had_ended_have_changed(
    make_place: Callable[[str], Place], tmp_path: Path
) -> None:
    place = make_place("interrupted").setup("syncback")
    log = tmp_path / "log"
    command = "echo {} >file-{}; [ {} = 1 ] || sleep 600"
    arguments = ("--kube-pods", "1", "--jobs", "1", "--joblog", str(log), "--", command, ":::", "1", "2")
    with place.started("parallel", *arguments) as running:
        running.until(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
        done = running.interrupt(signal.SIGINT)
    assert done.status == 130, done.messages
    assert "file-1" in here(place.path)


def test_all_kinds_of_files_and_names_come_back(make_place: Callable[[str], Place]) -> None:
    place = make_place("kinds").setup("syncback")
    script = r"""
mkdir -p empty 'a b' $'new\nline' $'\xff\xfe' closed
echo 1 >$'new\nline'/$'\xff'; echo 2 >'-n'; echo 3 >'a b/*'; echo 5 >closed/file; chmod 0555 closed
ln -s '../a b' empty.link; ln -s nowhere dangling; echo 4 >run; chmod 0751 run
: >nothing; truncate -s 3M hole; echo end >>hole; mkfifo fifo; echo 6 >$'\xfe'; ln run hard"""
    (place.path / "script").write_text(script)
    listing = r"""
find . -mindepth 1 -type d -printf 'd %#m %P\0' | sort -z
find . ! -name .womm ! -type p ! -type d -printf '%y %#m %s %l %P\0' | sort -z
find . -type f ! -name .womm -print0 | sort -z | xargs -0 sha256sum -z"""
    done = place.parallel("--quiet", "--", f"bash script; {listing}; : {{}}", ":::", "1")
    assert (done.status, done.messages) == (0, "")
    found = call(["bash", "-c", listing], cwd=place.path)
    assert found.out.split(b"\0") == done.out.split(b"\0")
    assert len(found.out.split(b"\0")) > 20
    (place.path / "closed").chmod(0o755)


def test_a_lost_pod_loses_nothing_that_was_reported_and_a_second_version_is_kept(
    make_place: Callable[[str], Place], tmp_path: Path
) -> None:
    place = make_place("lost").setup("syncback")
    # The first job's pod is lost after its end was told; the second job has a version of its own.
    log = tmp_path / "log"
    command = f"echo {{}} >file; echo {{}} >only-{{}}; [ {{}} = 1 ] || {{ {WAIT}; }}"
    arguments = ("--kube-pods", "1", "--jobs", "1", "--joblog", str(log), "--", command, ":::", "1", "2")
    with place.started("parallel", *arguments) as running:
        [first] = running.until(lambda: pods(place, running))
        running.until(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
        kubectl("--namespace", place.namespace, "delete", "pod", first, "--force", "--grace-period=0")
        second = running.until(lambda: [pod for pod in pods(place, running) if pod != first])[0]
        go(place, second)
        done = running.wait()
        task = running.task().removeprefix("womm-task-")
    assert done.status == 120, done.messages
    aside = f"file.womm-conflict-{task}"
    wanted = {"file": "2\n", aside: "1\n", "only-1": "1\n", "only-2": "2\n"}
    assert {name: (place.path / name).read_text() for name in here(place.path) - {".womm"}} == wanted


def test_a_client_that_is_killed_while_results_come_back_leaves_whole_files_and_the_next_run_completes_them(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("killed").setup("syncback")
    make = "mkdir d; for i in $(seq 400); do seq 20000 >d/$i; done; echo 2 >last; : {}"
    with place.started("parallel", "--kube-pods", "1", "--", make, ":::", "1") as running:
        running.task()
        own = keeper(running)
        staging = running.until(lambda: list(place.path.glob(".womm-results-*/*")))
        assert staging
        os.kill(own, signal.SIGKILL)
        assert running.interrupt(signal.SIGKILL).status == -signal.SIGKILL
    whole = call(["seq", "20000"]).out
    arrived = list((place.path / "d").glob("*")) if (place.path / "d").exists() else []
    assert all(path.read_bytes() == whole for path in arrived if not path.name.startswith("."))
    assert not (place.path / "last").exists()
    done = place.parallel("--", "ls | wc -l; ls d | wc -l; : {}", ":::", "1")
    assert (done.status, done.out) == (0, b"2\n400\n"), done.messages
    assert here(place.path) == {".womm", "d", "last"}
    assert all(path.read_bytes() == whole for path in (place.path / "d").iterdir())


def test_a_job_whose_changes_can_not_reach_the_server_fails_and_one_that_can_wait_for_it_does_not(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("away").setup("syncback")
    server = ("--namespace", place.namespace)
    command = f"{WAIT}; rm /tmp/go; echo {{}} >file-{{}}"

    arguments = ("--kube-pods", "1", "--", command, ":::")
    with place.started("parallel", *arguments, "1") as running:
        [pod] = running.until(lambda: pods(place, running))
        # Its container starts anew, with the same volume; the stream may be cut by that.
        call(["kubectl", *server, "exec", "deployment/womm-server", "--", "bash", "-c", "kill 1"])
        go(place, pod)
        done = running.wait()
    [found] = objects(place.namespace, "pods", "-l", "app.kubernetes.io/name=womm-server")
    assert found["status"]["containerStatuses"][0]["restartCount"] == 1
    assert (done.status, here(place.path)) == (0, {".womm", "file-1"}), done.messages
    try:
        with place.started("parallel", "--lost-after", "5", *arguments, "2") as running:
            [pod] = running.until(lambda: pods(place, running))
            kubectl(*server, "scale", "deployment/womm-server", "--replicas=0")
            running.until(
                lambda: not objects(place.namespace, "pods", "-l", "app.kubernetes.io/name=womm-server")
            )
            go(place, pod)
            done = running.wait()
        assert done.status == 125
        assert (
            "womm: what this job has changed could not be sent to the file server within 5 s" in done.messages
        )
        assert "womm: the jobs' results could not be fetched (" in done.messages
        assert "womm: to run only those again:\n" in done.messages
    finally:
        kubectl(*server, "scale", "deployment/womm-server", "--replicas=1")
        kubectl(*server, "rollout", "status", "deployment/womm-server", "--timeout=120s")
    assert not (place.path / "file-2").exists()
    # The server's place for them went with its pod, and that is said once.
    after = place.parallel("--", "ls; : {}", ":::", "1")
    assert (after.status, after.out) == (0, b"file-1\n"), after.messages
    assert (
        "womm: what the jobs have changed is lost: the file server was replaced meanwhile\n" in after.messages
    )
