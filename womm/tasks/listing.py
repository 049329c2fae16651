"""A namespace's tasks and how they fare, from its objects and what the file server tells of them (pure).

Whatever is not as this version of womm writes it is passed over, or counts as not known: there are other
versions, objects of others, and objects that are half gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from womm.problems import CONTAINER
from womm.tasks import views
from womm.tasks.views import View

RUNNING, COMPLETE, FAILED, ORPHANED, UNKNOWN = "RUNNING", "COMPLETE", "FAILED", "ORPHANED", "UNKNOWN"
#: The kinds of tasks: run by the womm that began it, or by a coordinator in the cluster.
FOREGROUND, ASYNC = "foreground", "async"

#: Seconds without a heartbeat (one a minute) after which nobody is taken to run a task any more, where its
#: lease doesn't say. A younger task need not have made its lease yet.
STALE = 180

_ID, _COORDINATED = "womm.dev/task", "womm.dev/async"
_NOTE = "womm.dev/"
_KINDS = {"Deployment": "deployment", "Job": "job", "Lease": "lease"}
# Beyond it no number of jobs, pods or bytes is one.
_DIGITS = re.compile(r"[0-9]{1,15}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?Z", re.ASCII)


@dataclass(frozen=True)
class Counts:
    """What the file server tells of a task: its exit status once it is over, and how many jobs have ended.

    `total`: how many there are, if they were counted.
    """

    status: int | None
    done: int
    failed: int
    total: int | None = None


@dataclass(frozen=True)
class Row:
    """One task. Texts are as the cluster has them, "" where nothing is known; so are numbers that are None.

    `created` and `age` are by the API server's clock; `cpu` and `memory` are a pod's, as quantities; `ready`
    of `pods` take jobs; of `done` jobs `failed` have failed, of `total`. `via`: how pods see the directory
    (config.NFS, config.COPY), and `view`: what they see of it over NFS, once that was asked.
    """

    id: str
    kind: str
    status: str
    created: str
    age: int | None
    cpu: str
    memory: str
    ready: int | None
    pods: int | None
    directory: str
    command: str
    share: str
    machine: str
    version: str
    exit_status: int | None
    done: int | None
    failed: int | None
    total: int | None
    via: str = ""
    view: View | None = None


@dataclass
class _Objects:
    deployment: Mapping[str, Any] = field(default_factory=dict)
    job: Mapping[str, Any] = field(default_factory=dict)
    lease: Mapping[str, Any] = field(default_factory=dict)


def rows(objects: Iterable[Any], told: Mapping[str, Counts], now: float) -> list[Row]:
    """The tasks among `objects`, the oldest first.

    `told` is what the file server tells of them, `now` the API server's present time (since 1970).
    """
    tasks: dict[str, _Objects] = {}
    for thing in objects:
        kind, labels = _text(_at(thing, "kind")), _at(thing, "metadata", "labels")
        if _at(labels, "app.kubernetes.io/managed-by") != "womm":
            continue
        task = _text(_at(labels, _COORDINATED if kind == "Job" else _ID))
        prefix = "womm-async-" if kind == "Job" else "womm-task-"
        if task and _at(thing, "metadata", "name") == prefix + task and kind in _KINDS:
            setattr(tasks.setdefault(task, _Objects()), _KINDS[kind], thing)
    found = [_row(task, its, told.get(task), now) for task, its in tasks.items() if _is_there(its)]
    return sorted(found, key=lambda row: (row.created, row.id))


def counts(told: str) -> dict[str, Counts]:
    """The lines of the file server's `list`: TASK STATUS OUT ERR DONE FAILED TOTAL."""
    found = {}
    for line in told.splitlines():
        words = line.split()
        numbers = [_number(word) for word in (*words[1:7], "")]
        if len(words) >= 6 and numbers[3] is not None and numbers[4] is not None:
            found[words[0]] = Counts(numbers[0], numbers[3], numbers[4], numbers[5])
    return found


def seconds(text: object) -> float | None:
    """A time as Kubernetes writes it (2026-11-28T23:20:58Z, or with a fraction), as seconds since 1970."""
    match = _TIME.fullmatch(_text(text))
    if match is None:
        return None
    try:
        moment = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return moment.timestamp() + float(match[2] or 0)


def _is_there(its: _Objects) -> bool:
    # A lease alone is no task, and what is being deleted is none any more; the deployment of a task whose
    # coordinator goes will go, too.
    main = its.job or its.deployment
    return bool(main) and _at(main, "metadata", "deletionTimestamp") is None


def _row(task: str, its: _Objects, known: Counts | None, now: float) -> Row:
    main = its.job or its.deployment
    begun = seconds(_at(main, "metadata", "creationTimestamp"))
    age = None if begun is None else max(0, int(now - begun))
    cpu, memory = _resources(its.deployment)
    deployed = _number(_at(its.deployment, "spec", "replicas"))
    ready = _number(_at(its.deployment, "status", "readyReplicas")) or 0
    status, share = _status(its, known, now, age), _note(main, "share")
    volumes = _at(its.deployment, "spec", "template", "spec", "volumes")
    return Row(
        id=task,
        kind=ASYNC if its.job else FOREGROUND,
        status=status,
        created=_text(_at(main, "metadata", "creationTimestamp")),
        age=age,
        cpu=cpu or _note(main, "cpu"),
        memory=memory or _note(main, "memory"),
        # Those of a task that is over have gone.
        ready=ready if its.deployment or status == RUNNING else None,
        pods=_number(_note(main, "pods")) if deployed is None else deployed,
        directory=_note(main, "directory"),
        command=_note(main, "command"),
        share=share,
        machine=_note(main, "machine"),
        version=_note(main, "version"),
        exit_status=known.status if known is not None else None,
        done=known.done if known is not None else None,
        failed=known.failed if known is not None else None,
        total=known.total if known is not None else None,
        via=views.via(share, volumes, detached=bool(its.job)),
    )


def _status(its: _Objects, known: Counts | None, now: float, age: int | None) -> str:
    if its.job:
        if known is not None and known.status is not None:
            return COMPLETE if known.status == 0 else FAILED
        if _holds(its.job, "Failed"):
            return FAILED
        if _holds(its.job, "Complete"):
            # The coordinator has ended well. How its task ended, only the file server knew.
            return UNKNOWN
    renewed = _renewed(its.lease)
    if renewed is not None:
        patience = _number(_at(its.lease, "spec", "leaseDurationSeconds")) or STALE
        return RUNNING if now - renewed < patience else ORPHANED
    if its.job and _number(_at(its.job, "status", "active")):
        return RUNNING
    return RUNNING if age is not None and age < STALE else UNKNOWN


def _renewed(lease: Mapping[str, Any]) -> float | None:
    # When the server took the last heartbeat. spec.renewTime is what the sender's clock showed.
    entries = _at(lease, "metadata", "managedFields")
    taken = [
        when
        for entry in (entries if isinstance(entries, list) else [])
        if _at(entry, "fieldsV1", "f:spec", "f:renewTime") is not None
        and (when := seconds(_at(entry, "time"))) is not None
    ]
    return max(taken) if taken else seconds(_at(lease, "spec", "renewTime"))


def _resources(deployment: Mapping[str, Any]) -> tuple[str, str]:
    # What each pod asks for its jobs.
    containers = _at(deployment, "spec", "template", "spec", "containers")
    for container in containers if isinstance(containers, list) else []:
        if _at(container, "name") == CONTAINER:
            asked = _at(container, "resources", "requests")
            return _text(_at(asked, "cpu")), _text(_at(asked, "memory"))
    return "", ""


def _holds(job: Mapping[str, Any], condition: str) -> bool:
    conditions = _at(job, "status", "conditions")
    return any(
        _at(one, "type") == condition and _at(one, "status") == "True"
        for one in (conditions if isinstance(conditions, list) else [])
    )


def _note(thing: Mapping[str, Any], name: str) -> str:
    return _text(_at(thing, "metadata", "annotations", _NOTE + name))


def _at(value: Any, *path: str) -> Any:
    # What stands there; None where nothing does.
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return value if type(value) is int and value >= 0 else None
