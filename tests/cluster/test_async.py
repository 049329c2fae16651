"""Tasks that outlive the terminal: what they print, how they end, what becomes of them when things break."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import ROOT, Place, account, eventually, kubectl, may, names, objects
from machine import STATE, is_alive

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("clean"),
]

# Long enough to be met at work, all of them in a few seconds.
JOB = "sleep 0.3; echo {}; echo {} >&2"


def begun(place: Place, *arguments: str, stdin: bytes = b"", pods: int = 2) -> str:
    """Start a task; return its id."""
    done = place.parallel("--async", *arguments, stdin=stdin, pods=pods)
    assert done.status == 0, done.messages
    task = done.out.decode().strip()
    assert f"job.batch/womm-async-{task} created\n" in done.messages
    assert f"`womm logs -f {task}`" in done.messages
    return task


def numbered(count: int) -> list[str]:
    """The lines of so many jobs, sorted."""
    return sorted(str(number) for number in range(1, count + 1))


def lines(count: int) -> bytes:
    """GNU parallel's input for them."""
    return "".join(f"{number}\n" for number in range(1, count + 1)).encode()


def coordinator(place: Place, task: str) -> str:
    """The name of the coordinator's pod that runs now, or ""."""
    found = [
        pod["metadata"]["name"]
        for pod in objects(place.namespace, "pods", "-l", f"womm.dev/async={task}")
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]
    return found[0] if found else ""


def stored(place: Place) -> list[str]:
    """The tasks that the file server knows."""
    server = ("exec", "deploy/womm-server", "--", "/opt/womm/scripts/server-task", "list")
    return [line.split()[0] for line in kubectl("--namespace", place.namespace, *server).splitlines()]


def finished(place: Place, task: str, *more: str, status: int = 0) -> str:
    """Finish the task; return what womm said."""
    done = place.womm("finish", task, *more)
    assert done.status == status, done.messages
    assert f"womm: task {task} is finished\n" in done.messages
    assert task not in stored(place)
    return done.messages


def test_a_task_runs_on_by_itself_and_is_followed_and_finished(none: Place) -> None:
    task = begun(none, "--", JOB, stdin=lines(20))
    followed = none.womm("logs", "-f", task)
    assert followed.status == 0, followed.messages
    assert followed.lines == numbered(20)
    assert sorted(line for line in followed.messages.splitlines() if line.isdecimal()) == numbered(20)
    # The worker pods went with the last job; what they printed stays.
    eventually(lambda: names(none.namespace, "deployments") == [], 20)
    again = none.womm("logs", task)
    assert (again.status, again.out) == (0, followed.out)
    only = none.womm("logs", "--stderr", task)
    assert (only.out, only.err) == (b"", again.err)
    assert none.womm("wait", task).status == 0
    [row] = [row for row in json.loads(none.womm("status", "-o", "json").out) if row["id"] == task]
    assert (row["status"], row["jobs"]) == ("COMPLETE", {"done": 20, "failed": 0, "total": 20})
    assert "to run only those again" not in finished(none, task)
    assert "there is no task" in none.womm("finish", task).messages
    gone = none.womm("logs", task)
    assert gone.status == 125
    assert f"the file server knows of no task {task}" in gone.messages


def test_the_exit_status_is_the_tasks_and_the_failed_jobs_can_be_run_again(none: Place) -> None:
    task = begun(none, "-j", "2", "--", "echo {}; exit {}", ":::", *"01203")
    assert none.womm("wait", task).status == 3
    logs = none.womm("logs", "-f", task)
    assert (logs.status, logs.lines) == (3, ["0", "0", "1", "2", "3"])
    assert "womm: 3 of 5 jobs failed" in logs.messages
    [row] = [row for row in json.loads(none.womm("status", "-o", "json").out) if row["id"] == task]
    assert (row["status"], row["jobs"]) == ("FAILED", {"done": 5, "failed": 3, "total": 5})
    said = finished(none, task).splitlines()
    command = said[said.index("womm: 3 of 5 jobs failed; to run only those again:") + 1]
    retried = none.shell(command)
    assert (retried.status, retried.lines) == (3, ["1", "2", "3"])
    drawn = none.womm("timeline", task)
    assert drawn.out.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    "how", [["--force", "--grace-period=0"], ["--wait=false"]], ids=["by force", "gracefully"]
)
def test_a_coordinator_that_is_deleted_costs_no_line_and_doubles_none(none: Place, how: list[str]) -> None:
    # The first coordinator sees one of them fail.
    task = begun(none, "-j", "2", "--", "sleep 1; echo {}; [ {} != 3 ]", stdin=lines(40))
    with none.started("logs", "-f", task) as logs:
        logs.until(lambda: len(logs.out.splitlines()) >= 4)
        first = coordinator(none, task)
        assert first
        kubectl("--namespace", none.namespace, "delete", "pod", first, *how)
        done = logs.wait()
    assert (done.status, done.lines) == (1, numbered(40))
    rows = kubectl(
        "--namespace", none.namespace, "exec", "deploy/womm-server", "--",
        "/opt/womm/scripts/server-task", "get", task, "joblog",
    )  # fmt: skip
    assert sorted(row.split("\t")[0] for row in rows.splitlines()[1:]) == numbered(40)
    finished(none, task)


@pytest.mark.sandbox("its API server is killed and started again")
@pytest.mark.alone("others need the API server")
def test_an_api_server_that_restarts_is_no_matter_to_a_task_or_to_who_follows_it(none: Place) -> None:
    task = begun(none, "--", "sleep 1; echo {}", stdin=lines(30))
    with none.started("logs", "-f", task) as logs:
        logs.until(lambda: len(logs.out.splitlines()) >= 2)
        server = int((STATE / "pid" / "apiserver").read_text().split()[0])
        os.kill(server, signal.SIGKILL)
        eventually(lambda: not is_alive(server))
        subprocess.run([ROOT / "sandbox" / "up"], check=True, capture_output=True)
        done = logs.wait()
    assert (done.status, done.lines) == (0, numbered(30))
    finished(none, task)


def test_a_file_server_that_is_replaced_gets_a_running_task_again(none: Place) -> None:
    task = begun(none, "-j", "2", "--", "sleep 1; echo {}", stdin=lines(60))
    with none.started("logs", "-f", task) as logs:
        logs.until(lambda: len(logs.out.splitlines()) >= 4)
        kubectl("--namespace", none.namespace, "delete", "pod", "-l", "app.kubernetes.io/name=womm-server")
        done = logs.wait()
    assert (done.status, done.lines) == (0, numbered(60)), done.messages
    assert none.womm("logs", task).lines == numbered(60)
    finished(none, task)


def test_a_womm_that_is_killed_when_the_task_is_made_takes_nothing_with_it(none: Place) -> None:
    arguments = ("parallel", "--async", "--kube-pods", "2", "--", JOB, ":::", *"123")
    with none.started(*arguments) as womm:
        womm.until(lambda: "job.batch/womm-async-" in womm.err)
        task = womm.err.split("womm-async-")[1].split()[0]
        womm.interrupt(signal.SIGKILL)
    assert none.womm("wait", task).status == 0
    assert none.womm("logs", task).lines == ["1", "2", "3"]
    finished(none, task)


def test_a_womm_that_is_killed_while_it_sends_leaves_nothing(none: Place) -> None:
    def uploading() -> bool:
        return bool(stored(none))

    # Its writer goes on as long as the test.
    reader, writer = os.pipe()
    os.write(writer, lines(1000))
    with none.started("parallel", "--async", "--kube-pods", "2", "--", "wc", stdin=reader) as womm:
        os.close(reader)
        womm.until(uploading)
        womm.interrupt(signal.SIGKILL)
    os.close(writer)
    # The keeper takes it back.
    eventually(lambda: stored(none) == [], 30)
    assert names(none.namespace, "jobs") == []


def test_100_megabytes_of_stdin_arrive_whole(none: Place, tmp_path: Path) -> None:
    size = 100_000_000
    big = tmp_path / "big"
    with big.open("wb") as file:
        # Lines, because --pipe cuts there.
        line = bytes(range(32, 127)) + b"\n"
        file.write(line * (size // len(line)) + b"x" * (size % len(line)))
    done = none.shell(
        'womm -n "$2" parallel --async --kube-pods 2 --pipe --block 10M -- wc -c <"$1"',
        str(big),
        none.namespace,
    )
    assert done.status == 0, done.messages
    task = done.out.decode().strip()
    counted = none.womm("logs", "-f", task)
    assert counted.status == 0, counted.messages
    assert sum(map(int, counted.lines)) == size
    finished(none, task)


def test_files_of_arguments_come_along(none: Place) -> None:
    (none.path / "list").write_text("a\nb\n")
    task = begun(none, "-a", "list", "--", "echo {}")
    (none.path / "list").unlink()
    assert none.womm("logs", "-f", task).lines == ["a", "b"]
    finished(none, task)
    missing = none.parallel("--async", "-a", "nowhere", "--", "echo")
    assert missing.status == 125
    assert "nowhere can't be read" in missing.messages


def test_what_jobs_change_comes_home_when_the_task_is_finished(make_place: Callable[[str], Place]) -> None:
    place = make_place("back")
    (place.path / "in").write_text("in\n")
    place.setup("syncback")
    task = begun(place, "--", "cp in {}", ":::", "one", "two", pods=1)
    assert place.womm("wait", task).status == 0
    assert not (place.path / "one").exists()
    assert "womm: 2 files brought back\n" in finished(place, task)
    assert [(place.path / name).read_text() for name in ("one", "two")] == ["in\n", "in\n"]


def test_a_running_task_is_ended_from_elsewhere_only_when_asked_to(none: Place, tmp_path: Path) -> None:
    task = begun(none, "--", "echo {}; sleep 600", ":::", "1", pods=1)
    refused = none.womm("finish", task, cwd=tmp_path)
    assert refused.status == 125
    assert f"{task} still runs: parallel -- echo {{}}; sleep 600 ::: 1 in {none.path}" in refused.messages
    assert f"womm finish --force {task}" in refused.messages
    with none.started("logs", "-f", task) as logs:
        said = finished(none, task, "--force")
        assert "still runs" in said
        assert logs.wait().status == 125


@pytest.mark.parametrize("option", ["--local-procs=1", "--timeline=run.html", "--results=out"])
def test_what_needs_this_machine_is_refused(none: Place, option: str) -> None:
    done = none.parallel("--async", option, "--", "echo", ":::", "1")
    assert done.status == 125
    assert "can't be used with --async" in done.messages
    assert "→" in done.messages


def test_a_foreign_deployment_of_such_a_name_is_nobodys_task(none: Place) -> None:
    foreign = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "womm-task-foreignx"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "x"}},
            "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [{"name": "x", "image": "x"}]},
            },
        },
    }
    kubectl("--namespace", none.namespace, "create", "-f", "-", stdin=json.dumps(foreign))
    try:
        assert json.loads(none.womm("status", "-A", "-o", "json").out) == []
        assert "there is no task foreignx" in none.womm("finish", "foreignx").messages
        assert names(none.namespace, "deployments") == ["Deployment/womm-task-foreignx"]
    finally:
        kubectl("--namespace", none.namespace, "delete", "deployment", "womm-task-foreignx")


@pytest.fixture
def programmers(none: Place, tmp_path: Path) -> list[Path]:
    """The kubeconfigs of two who have the Role that `cluster-setup --user-role` prints, and nothing else."""
    place = ("--namespace", none.namespace)
    kubectl("create", "-f", "-", stdin=none.womm("cluster-setup", "--user-role").out.decode())
    paths = []
    for name in ("ann", "ben"):
        kubectl(*place, "create", "serviceaccount", name)
        who = f"--serviceaccount={none.namespace}:{name}"
        kubectl(*place, "create", "rolebinding", f"womm-{name}", "--role=womm-user", who)
        eventually(
            lambda name=name: may(
                f"system:serviceaccount:{none.namespace}:{name}", none.namespace, "create", "jobs"
            )
        )
        paths.append(tmp_path / name)
        account(none.namespace, name, paths[-1])
    return paths


def test_two_users_tasks_run_side_by_side(none: Place, programmers: list[Path]) -> None:
    tasks = {}
    for path in programmers:
        done = none.womm(
            "--kubeconfig", str(path), "parallel", "--async", "--kube-pods", "1", "-j", "2", "--",
            f"sleep 0.5; echo {path.name} {{}}", ":::", *"123456",
        )  # fmt: skip
        assert done.status == 0, done.messages
        tasks[path.name] = done.out.decode().strip()
    for name, task in tasks.items():
        logs = none.womm("logs", "-f", task)
        assert (logs.status, logs.lines) == (0, [f"{name} {number}" for number in "123456"]), logs.messages
    finished(none, tasks["ann"])
    assert none.womm("wait", tasks["ben"]).status == 0
    finished(none, tasks["ben"])


@pytest.mark.timeout(600)
def test_10_000_jobs_lose_no_line(none: Place) -> None:
    task = begun(none, "-j", "3", "--", "echo {}", stdin=lines(10_000), pods=3)
    logs = none.womm("logs", "-f", task, limit=500)
    assert (logs.status, logs.lines) == (0, numbered(10_000))
    [row] = [row for row in json.loads(none.womm("status", "-o", "json").out) if row["id"] == task]
    assert (row["status"], row["jobs"]) == ("COMPLETE", {"done": 10_000, "failed": 0, "total": 10_000})
    finished(none, task)
