"""A namespace's tasks, from the objects as kubectl prints them."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from womm.config import COPY, NFS
from womm.tasks import listing
from womm.tasks.listing import (
    ASYNC,
    COMPLETE,
    FAILED,
    FOREGROUND,
    ORPHANED,
    RUNNING,
    STALE,
    UNKNOWN,
    Counts,
    Row,
    counts,
    rows,
    seconds,
)

#: The API server's present time.
NOW = 1_800_000_000.0
TASK = "blhqwudx"
NOTES = {
    "womm.dev/version": "0.1.0",
    "womm.dev/directory": "/home/audrey/proj/supercool",
    "womm.dev/command": "parallel -- sleep 1; echo {}",
    "womm.dev/machine": "ab12",
    "womm.dev/share": "eager",
}


def moment(ago: float) -> str:
    """The time `ago` seconds before NOW, as Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - ago))


def named(kind: str, ago: float, task: str) -> dict[str, Any]:
    """An object of a task's, as it begins."""
    api, of, label = {
        "Deployment": ("apps/v1", "task", "womm.dev/task"),
        "Job": ("batch/v1", "async", "womm.dev/async"),
        "Lease": ("coordination.k8s.io/v1", "task", "womm.dev/task"),
    }[kind]
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {
            "name": f"womm-{of}-{task}",
            "namespace": "team",
            "uid": "8c5e0b1c-5c3e-4a6c-a3f0-0b8a52a0f6a7",
            "creationTimestamp": moment(ago),
            "labels": {"app.kubernetes.io/managed-by": "womm", label: task},
        },
    }


def deployment(ago: float = 3000, task: str = TASK, **notes: str) -> dict[str, Any]:
    """A task's workers."""
    made = named("Deployment", ago, task)
    made["metadata"]["annotations"] = {**NOTES, **{f"womm.dev/{name}": text for name, text in notes.items()}}
    back = {"name": "back", "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}}
    womm = {"name": "womm", "resources": {"requests": {"cpu": "1", "memory": "512Mi"}}}
    made["spec"] = {"replicas": 2, "template": {"spec": {"containers": [back, womm]}}}
    made["status"] = {"replicas": 2, "readyReplicas": 1, "observedGeneration": 1}
    return made


def job(ago: float = 3000, task: str = TASK, **status: Any) -> dict[str, Any]:
    """A task's coordinator; `status` is what the Job controller says."""
    made = named("Job", ago, task)
    asked = {"womm.dev/cpu": "500m", "womm.dev/memory": "1Gi", "womm.dev/pods": "2"}
    made["metadata"]["annotations"] = {**NOTES, **asked}
    made["status"] = status
    return made


def condition(kind: str, status: str = "True") -> dict[str, Any]:
    """A Job's status that says so."""
    return {"conditions": [{"type": kind, "status": status, "reason": "BackoffLimitExceeded"}]}


def lease(ago: float | None, task: str = TASK, told: float | None = None, **spec: Any) -> dict[str, Any]:
    """A task's heartbeat: taken by the server `ago` seconds ago, when the sender's clock showed `told`."""
    made = named("Lease", 3000, task)
    told = ago if told is None else told
    made["spec"] = {"holderIdentity": "c", "leaseDurationSeconds": 180, **spec}
    if told is not None:
        made["spec"]["renewTime"] = moment(told).replace("Z", ".123456Z")
    if ago is not None:
        owned = {"f:spec": {"f:holderIdentity": {}, "f:renewTime": {}}}
        made["metadata"]["managedFields"] = [
            # Who labels it does not renew it.
            {
                "manager": "kubectl-label",
                "operation": "Update",
                "time": moment(1),
                "fieldsV1": {"f:metadata": {}},
            },
            {"manager": "kubectl-create", "operation": "Update", "time": moment(3000), "fieldsV1": owned},
            {"manager": "kubectl-patch", "operation": "Update", "time": moment(ago), "fieldsV1": owned},
        ]
    return made


def one(*objects: Any, told: Counts | None = None) -> Row:
    """The only task among these objects."""
    (row,) = rows(objects, {TASK: told} if told else {}, NOW)
    return row


def test_a_foreground_task_is_what_its_deployment_says() -> None:
    assert one(deployment(), lease(20)) == Row(
        id=TASK,
        kind=FOREGROUND,
        status=RUNNING,
        created=moment(3000),
        age=3000,
        cpu="1",
        memory="512Mi",
        ready=1,
        pods=2,
        directory="/home/audrey/proj/supercool",
        command="parallel -- sleep 1; echo {}",
        share="eager",
        machine="ab12",
        version="0.1.0",
        exit_status=None,
        done=None,
        failed=None,
        total=None,
        via="",
        view=None,
    )


def volumes(*found: Any) -> dict[str, Any]:
    """A task's workers, with these volumes."""
    made = deployment()
    made["spec"]["template"]["spec"]["volumes"] = list(found)
    return made


@pytest.mark.parametrize(
    ("workers", "via"),
    [
        (volumes({"name": "share", "emptyDir": {}}), COPY),
        (volumes({"name": "share", "nfs": {"server": "10.96.0.7", "path": "/0"}}), NFS),
        (volumes({"name": "share", "persistentVolumeClaim": {"claimName": "womm-nfs"}}), NFS),
        (volumes(None, {"name": "other", "emptyDir": {}}), ""),
        (volumes(), ""),
    ],
)
def test_how_pods_see_the_directory_their_volumes_tell(workers: dict[str, Any], via: str) -> None:
    assert one(workers).via == via


def test_a_coordinators_pods_have_copies_also_where_they_are_not_there() -> None:
    assert one(job(active=1)).via == COPY
    alone = job(active=1)
    alone["metadata"]["annotations"]["womm.dev/share"] = "none"
    assert one(alone).via == ""


@pytest.mark.parametrize(
    ("age", "heartbeat", "status"),
    [
        (3000, 20, RUNNING),
        (3000, STALE - 1, RUNNING),
        (3000, STALE + 1, ORPHANED),
        # Younger than the time in which a heartbeat must come, and yet begun by nobody who lives.
        (200, 199, ORPHANED),
        (5, None, RUNNING),
        (STALE - 1, None, RUNNING),
        (STALE, None, UNKNOWN),
        (90_000, None, UNKNOWN),
        # The clock of our own that had to serve is behind.
        (-3600, None, RUNNING),
    ],
)
def test_a_foreground_task_lives_as_long_as_its_lease_is_renewed(
    age: float, heartbeat: float | None, status: str
) -> None:
    leases = [lease(heartbeat)] if heartbeat is not None else []
    row = one(deployment(age), *leases)
    assert (row.status, row.age) == (status, max(0, age))


@pytest.mark.parametrize(
    ("told", "known", "status"),
    [
        ({"active": 1}, Counts(None, 3, 0), RUNNING),
        ({}, Counts(0, 3, 0), COMPLETE),
        ({}, Counts(7, 3, 1), FAILED),
        (condition("Failed"), Counts(None, 3, 0), FAILED),
        (condition("Failed"), None, FAILED),
        (condition("Failed", "False"), None, RUNNING),
        # What the task came to counts more than how its coordinator ended.
        (condition("Failed"), Counts(0, 3, 0), COMPLETE),
        (condition("Complete"), Counts(1, 3, 1), FAILED),
        (condition("Complete"), None, UNKNOWN),
        (condition("Complete"), Counts(None, 3, 1), UNKNOWN),
    ],
)
def test_an_async_task_is_over_when_the_file_server_or_its_job_says_so(
    told: dict[str, Any], known: Counts | None, status: str
) -> None:
    row = one(job(**told), deployment(), lease(20), told=known)
    assert (row.kind, row.status) == (ASYNC, status)
    assert (row.done, row.failed) == ((known.done, known.failed) if known else (None, None))
    assert row.exit_status == (known.status if known else None)


@pytest.mark.parametrize(
    ("active", "age", "heartbeat", "status"),
    [
        (1, 3000, 20, RUNNING),
        (1, 3000, 200, ORPHANED),
        (1, 3000, None, RUNNING),
        (0, 10, None, RUNNING),
        (0, 3000, None, UNKNOWN),
    ],
)
def test_an_async_task_that_is_not_over_lives_as_its_lease_or_else_its_job_says(
    active: int, age: float, heartbeat: float | None, status: str
) -> None:
    leases = [lease(heartbeat)] if heartbeat is not None else []
    assert one(job(age, active=active), *leases).status == status


def test_only_the_servers_clock_says_when_a_heartbeat_came() -> None:
    # The sender's clock is hours ahead or behind.
    assert one(deployment(), lease(20, told=9000)).status == RUNNING
    assert one(deployment(), lease(400, told=-9000)).status == ORPHANED


def test_a_heartbeat_of_which_the_server_notes_nothing_is_where_its_sender_says() -> None:
    assert one(deployment(), lease(None, told=20)).status == RUNNING
    assert one(deployment(), lease(None, told=400)).status == ORPHANED
    # One that was never renewed is none.
    assert one(deployment(), lease(None)).status == UNKNOWN


def test_a_lease_of_another_length_says_so() -> None:
    assert one(deployment(), lease(300, leaseDurationSeconds=600)).status == RUNNING
    assert one(deployment(), lease(40, leaseDurationSeconds=30)).status == ORPHANED
    assert one(deployment(), lease(300, leaseDurationSeconds=0)).status == ORPHANED


def test_an_async_task_whose_workers_have_gone_says_what_they_were() -> None:
    over = one(job(**condition("Complete")), told=Counts(0, 10, 0))
    assert (over.cpu, over.memory, over.ready, over.pods) == ("500m", "1Gi", None, 2)
    # Before there are any, none is ready.
    begun = one(job(10, active=1))
    assert (begun.ready, begun.pods, begun.directory) == (0, 2, NOTES["womm.dev/directory"])
    there = one(job(active=1), deployment(), lease(1))
    assert (there.cpu, there.memory, there.ready, there.pods) == ("1", "512Mi", 1, 2)


def test_how_many_jobs_there_are_is_known_where_they_were_counted() -> None:
    assert one(job(active=1), told=Counts(None, 7, 2, 120)).total == 120
    assert one(job(active=1), told=Counts(None, 7, 2)).total is None
    assert listing.counts("abcdefgh - 3 2 7 2 120\n") == {"abcdefgh": Counts(None, 7, 2, 120)}
    assert listing.counts("abcdefgh 0 3 2 7 2 -\n") == {"abcdefgh": Counts(0, 7, 2)}


def test_the_oldest_task_stands_first() -> None:
    found = rows([deployment(10, "bbbbbbbb"), job(99, "cccccccc"), deployment(10, "aaaaaaaa")], {}, NOW)
    assert [row.id for row in found] == ["cccccccc", "aaaaaaaa", "bbbbbbbb"]


def foreign(**metadata: Any) -> dict[str, Any]:
    """A task's deployment, but for this."""
    made = deployment()
    made["metadata"] |= metadata
    return made


@pytest.mark.parametrize(
    "strange",
    [
        foreign(labels={}),
        foreign(labels=None),
        foreign(labels={"app.kubernetes.io/managed-by": "helm", "womm.dev/task": TASK}),
        foreign(labels={"app.kubernetes.io/managed-by": "womm", "app.kubernetes.io/name": "womm-server"}),
        foreign(name="womm-task-x"),
        foreign(name="something"),
        foreign(deletionTimestamp=moment(3)),
        {**deployment(), "kind": "ReplicaSet"},
        {**job(), "kind": "CronJob"},
        {**deployment(), "metadata": None},
        lease(3),
        {}, None, [], "text", 3,
    ],
)  # fmt: skip
def test_what_is_no_task_of_ours_is_passed_over(strange: Any) -> None:
    assert rows([strange, deployment(task="aaaaaaaa")], {"x": Counts(0, 1, 1)}, NOW)[0].id == "aaaaaaaa"
    assert len(rows([strange, deployment(task="aaaaaaaa")], {}, NOW)) == 1


def test_a_task_that_is_being_finished_is_none_any_more() -> None:
    going = job()
    going["metadata"]["deletionTimestamp"] = moment(1)
    assert rows([going, deployment(), lease(3)], {}, NOW) == []
    # Its workers go first, when its jobs are done.
    leaving = foreign(deletionTimestamp=moment(1))
    assert one(leaving, job(), told=Counts(0, 1, 0)).status == COMPLETE


def test_a_task_of_another_version_is_shown_as_far_as_it_is_known() -> None:
    bare = deployment()
    bare["metadata"]["annotations"] = None
    bare["spec"] = {"template": {"spec": {"containers": [{"name": "other"}, None]}}}
    del bare["status"]
    row = one(bare)
    assert (row.id, row.status, row.age) == (TASK, UNKNOWN, 3000)
    assert (row.cpu, row.memory, row.directory, row.command, row.machine) == ("",) * 5
    assert (row.pods, row.total) == (None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WHOLE = [volumes({"name": "share", "emptyDir": {}}), job(active=1, **condition("Failed")), lease(20)]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything in a JSON value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path, *(place for key in keys for place in places(value[key], (*path, key)))]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([place for place in places(WHOLE) if place]), JSON)
def test_whatever_stands_anywhere_in_an_object_nothing_fails(place: tuple[Any, ...], strange: Any) -> None:
    objects = copy.deepcopy(WHOLE)
    within: Any = objects
    for key in place[:-1]:
        within = within[key]
    within[place[-1]] = strange
    found = rows(objects, {}, NOW)
    assert len(found) <= 1
    assert all(row.status in (RUNNING, COMPLETE, FAILED, ORPHANED, UNKNOWN) for row in found)
    json.dumps([row.__dict__ for row in found])


def test_the_file_servers_lines_are_read_and_others_passed_over() -> None:
    told = (
        "aaaaaaaa 0 100 20 7 0\n"
        "bbbbbbbb - 100 20 7 2\n"
        "cccccccc . 0 0 0 0\n"
        "dddddddd 255 1 2 3 3 and more of a later version\n"
        "eeeeeeee 0 1 2\n"
        "\nffffffff 0 0 0 x y\n"
        "gggggggg 0 0 0 99999999999999999999999999 0\n"
    )
    assert counts(told) == {
        "aaaaaaaa": Counts(0, 7, 0),
        "bbbbbbbb": Counts(None, 7, 2),
        "cccccccc": Counts(None, 0, 0),
        "dddddddd": Counts(255, 3, 3),
    }
    assert counts("") == {}


@given(st.text())
def test_no_line_of_a_file_server_breaks_the_list(told: str) -> None:
    counts(told)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-28T23:20:58Z", 1795908058.0),
        ("2026-11-28T23:20:58.250000Z", 1795908058.25),
        ("1970-01-01T00:00:00Z", 0.0),
        ("2026-11-28T23:20:58+01:00", None),
        ("2026-13-28T23:20:58Z", None),
        ("2026-11-28", None),
        ("", None), (None, None), (12, None), ("٢٠٢٦-11-28T23:20:58Z", None),
    ],
)  # fmt: skip
def test_times_are_read_as_kubernetes_writes_them(text: object, expected: float | None) -> None:
    assert seconds(text) == expected


def test_the_kinds_of_status_are_words_of_their_own() -> None:
    assert len({listing.RUNNING, COMPLETE, FAILED, ORPHANED, UNKNOWN}) == 5
