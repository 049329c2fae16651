"""womm status: what runs is seen by whoever may look, by the cluster's clock, and what is foreign is not."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kit import Place, account, call, eventually, kubectl, may

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("clean")]

LABELS = {"app.kubernetes.io/managed-by": "womm"}
JOB = 'echo "here {}"; sleep 600; :'


def listed(place: Place, *arguments: str) -> list[dict[str, Any]]:
    """What `womm status -o json` prints; it has nothing to complain of."""
    done = place.womm("status", "-o", "json", *arguments)
    assert (done.status, done.messages) == (0, ""), done.messages
    found: list[dict[str, Any]] = json.loads(done.out)
    return found


def seen(place: Place, task: str, *arguments: str) -> dict[str, Any]:
    """The one task of this id among all that `womm status -A` prints."""
    [found] = [item for item in listed(place, "-A", *arguments) if item["id"] == task]
    return found


@contextmanager
def deployed(
    place: Place, name: str, labels: dict[str, str], annotations: dict[str, str] | None = None
) -> Iterator[None]:
    """A deployment of this name, without pods."""
    chosen = {"app": name}
    container = {"name": "womm", "image": "none.example/none"}
    template = {"metadata": {"labels": chosen}, "spec": {"containers": [container]}}
    metadata = {"name": name, "labels": labels, "annotations": annotations or {}}
    spec = {"replicas": 0, "selector": {"matchLabels": chosen}, "template": template}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    kubectl("-n", place.namespace, "create", "-f", "-", stdin=json.dumps(made))
    try:
        yield
    finally:
        kubectl("-n", place.namespace, "delete", "deployment", name)


@contextmanager
def leased(place: Place, task: str, seconds: int, renewed: str) -> Iterator[None]:
    """A task's lease for so many seconds, which was renewed then by its sender's clock."""
    metadata = {"name": f"womm-task-{task}", "labels": {**LABELS, "womm.dev/task": task}}
    spec = {"leaseDurationSeconds": seconds, "renewTime": renewed}
    made = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    kubectl("-n", place.namespace, "create", "-f", "-", stdin=json.dumps(made))
    try:
        yield
    finally:
        kubectl("-n", place.namespace, "delete", "lease", metadata["name"])


def test_a_task_is_seen_while_it_runs_and_is_gone_afterwards(none: Place) -> None:
    options = ("--kube-pods", "1", "--kube-cpu", "0.2", "--kube-mem", "100Mi", "-u")
    (none.path / "sub").mkdir(exist_ok=True)
    with none.started("parallel", *options, "--", JOB, ":::", "x", cwd=none.path / "sub") as running:
        running.until(lambda: b"here x" in running.out)
        task = running.task().removeprefix("womm-task-")
        # The deployment learns of its pod a moment later.
        eventually(lambda: seen(none, task)["pods"] == {"ready": 1, "wanted": 1}, 20)
        done = none.womm("status")
        wide = none.womm("status", "-o", "wide", task)
        [item] = listed(none)
        assert running.interrupt(signal.SIGINT).status == 130
    assert (done.status, done.messages) == (0, "")
    header, row = done.out.decode().splitlines()
    assert header.split() == ["ID", "AGE", "STATUS", "CPU", "MEM", "HEALTH", "PWD", "COMMAND"]
    assert re.fullmatch(rf"{task}  \d+s +RUNNING  200m  100Mi  1/1 +{none.path}/sub  parallel -- .*", row), (
        row
    )
    assert re.search(r" 1/1 +- +- +- +none +here ", wide.out.decode().splitlines()[1])
    assert item["id"] == task
    assert (item["kind"], item["share"], item["here"]) == ("foreground", "none", True)
    assert item["command"].endswith(f"-- {JOB} ::: x")
    gone = none.womm("status")
    assert (gone.status, gone.out) == (0, b"")
    assert gone.messages == f"womm: no tasks in namespace {none.namespace}\n"
    asked = none.womm("status", task)
    assert (asked.status, asked.out) == (125, b"")
    assert f"there is no task {task} in namespace {none.namespace}" in asked.messages


def test_a_foreign_deployment_is_no_task(none: Place) -> None:
    with deployed(none, "womm-task-x", {"app": "theirs"}), deployed(none, "theirs", LABELS):
        assert listed(none, "-A") == []


def test_tasks_of_other_machines_and_versions_are_shown_to_who_asks_for_all(none: Place) -> None:
    ours = {**LABELS, "womm.dev/task": "aaaaaaaa"}
    notes = {"womm.dev/machine": "another", "womm.dev/command": "shell \x1b[31m"}
    other = {**LABELS, "womm.dev/task": "bbbbbbbb"}
    with deployed(none, "womm-task-aaaaaaaa", ours, notes), deployed(none, "womm-task-bbbbbbbb", other):
        done = none.womm("status")
        assert (done.status, done.out) == (0, b"")
        assert "2 of others: -A shows them" in done.messages
        assert {item["id"]: item["here"] for item in listed(none, "-A")} == {
            "aaaaaaaa": False,
            "bbbbbbbb": False,
        }
        text = none.womm("status", "-A").out.decode()
    assert r"shell \x1b[31m" in text
    assert "\x1b" not in text


def test_a_heartbeat_counts_by_the_servers_clock_and_no_other(none: Place) -> None:
    task = "cccccccc"
    place = ("-n", none.namespace)
    with deployed(none, f"womm-task-{task}", {**LABELS, "womm.dev/task": task}):
        with leased(none, task, 180, "2001-01-01T00:00:00.000000Z"):
            found = seen(none, task)
            assert found["status"] == "RUNNING"
            assert found["age"] < 60
        with leased(none, task, 5, "2099-01-01T00:00:00.000000Z"):
            eventually(lambda: seen(none, task)["status"] == "ORPHANED", 30)
            patch = {"spec": {"renewTime": "2001-01-01T00:00:00.000000Z", "leaseDurationSeconds": 60}}
            kubectl(*place, "patch", "lease", f"womm-task-{task}", "--type=merge", "-p", json.dumps(patch))
            assert seen(none, task)["status"] == "RUNNING"


def test_who_may_list_deployments_alone_is_shown_them_and_told_what_lacks(
    none: Place, tmp_path: Path
) -> None:
    place, who = ("-n", none.namespace), f"system:serviceaccount:{none.namespace}:looker"
    kubectl(*place, "create", "serviceaccount", "looker")
    kubectl(*place, "create", "role", "looker", "--verb=get,list", "--resource=deployments.apps")
    kubectl(*place, "create", "rolebinding", "looker", "--role=looker", f"--user={who}")
    eventually(lambda: may(who, none.namespace, "list", "deployments.apps"))
    account(none.namespace, "looker", tmp_path / "kubeconfig")
    with deployed(none, "womm-task-dddddddd", {**LABELS, "womm.dev/task": "dddddddd"}):
        done = none.womm("status", "-A", "--kubeconfig", str(tmp_path / "kubeconfig"))
    assert done.status == 0, done.messages
    assert done.out.decode().splitlines()[1].startswith("dddddddd ")
    clock, jobs, leases, way_out = done.messages.splitlines()
    assert clock.startswith("womm: the cluster does not tell its time: ")
    assert jobs.startswith("womm: you may not list jobs: ")
    assert leases.startswith("womm: you may not list leases: ")
    assert "womm cluster-setup --user-role" in way_out


def test_a_namespace_that_is_not_there_is_told(none: Place) -> None:
    done = none.womm("status", "--namespace", "womm-no-such")
    assert (done.status, done.out) == (125, b"")
    assert "there is no namespace womm-no-such in " in done.messages


def test_nothing_stays_of_a_look_and_it_is_a_short_one(none: Place) -> None:
    begin = time.monotonic()
    assert listed(none, "-A") == []
    # About 1 s; the rest is for a busy machine.
    assert time.monotonic() - begin < 8
    left = call(["kubectl", "-n", none.namespace, "get", "leases", "-o", "name"])
    assert (left.status, b"womm" in left.out) == (0, False)
