"""What the programmers of a namespace have to be allowed, and what for (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

#: The columns in which the cluster's answers to `reviews` are to be printed.
ANSWERS = (
    'jsonpath={.spec.resourceAttributes.verb}{" "}{.spec.resourceAttributes.resource}'
    '{"/"}{.spec.resourceAttributes.subresource}{" "}{.status.allowed}{"\\n"}'
)


@dataclass(frozen=True)
class Right:
    """`verbs` on `resource` (RESOURCE or RESOURCE/SUBRESOURCE) of API group `group` ("": the core's)."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    reason: str


#: What it takes to run a task: the coordinator's rights.
TASK = (
    Right(
        "apps",
        "deployments",
        ("get", "list", "watch", "create", "delete"),
        "kubectl delete lists and watches a deployment until it is gone; else it would wait for ever.",
    ),
    Right("", "secrets", ("create", "delete"), "The secret of an eager share."),
    Right(
        "",
        "pods",
        ("get", "list", "watch"),
        "Followed by kubectl get --watch; exec looks at the one it enters.",
    ),
    Right("", "services", ("list",), "The file server is found by its label."),
    Right(
        "",
        "pods/exec",
        ("get", "create"),
        "kubectl exec asks for get (WebSocket, up to 1.34) or for create (SPDY, and all from 1.35 on).",
    ),
    Right(
        "coordination.k8s.io",
        "leases",
        ("get", "create", "patch", "delete"),
        "A task's heartbeat: whoever runs it renews its lease; orphans are told by that.",
    ),
)
#: What programmers have to be allowed.
USER = (
    *TASK,
    Right("", "pods", ("create",), "kubectl create --dry-run=server: would the namespace take such a pod?"),
    Right("", "pods/log", ("get",), "kubectl logs: the last words of a pod that died."),
    Right("coordination.k8s.io", "leases", ("list",), "womm status tells by them which tasks are alive."),
    Right(
        "batch", "jobs", ("get", "list", "watch", "create", "delete"), "A task's coordinator, with --async."
    ),
)

#: What the file server has to be allowed, to take away what tasks without a sign of life have left.
SERVER = (
    Right(
        "coordination.k8s.io",
        "leases",
        ("list", "delete"),
        "The tasks' signs of life: looked at; that of a task which was taken away goes, too.",
    ),
    Right(
        "apps",
        "deployments",
        ("list", "delete"),
        "kubectl delete -l lists those that have the task's label: others are never touched.",
    ),
    Right(
        "",
        "secrets",
        ("delete",),
        "That of a share, by its name: who may list secrets may read all of the namespace.",
    ),
)

#: What the NFS server has to be allowed, in the whole cluster.
NFS = (Right("", "nodes", ("get", "list"), "Their addresses: nobody else may mount a share."),)

#: Those that only eager shares take, as `refused` names them.
EAGER = frozenset({"create secrets", "delete secrets", "list services"})
#: Those that only --async and status take; a cluster role `edit` of Kubernetes 1.20 has no leases.
ASYNC = frozenset(
    f"{verb} {right.resource}"
    for right in USER
    for verb in right.verbs
    if right.resource in ("jobs", "leases")
)


def reviews(rights: Iterable[Right], namespace: str) -> str:
    """The questions whether the user has these rights, as one JSON document for `kubectl create -f`."""
    items = []
    for right in rights:
        resource, _, subresource = right.resource.partition("/")
        for verb in right.verbs:
            asked = {"namespace": namespace, "group": right.group, "verb": verb}
            asked |= {"resource": resource, "subresource": subresource}
            items.append(
                {
                    "apiVersion": "authorization.k8s.io/v1",
                    "kind": "SelfSubjectAccessReview",
                    "spec": {"resourceAttributes": asked},
                }
            )
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def refused(answers: str) -> list[str]:
    """The rights, as `create pods/exec`, that `answers` (printed as ANSWERS says) do not grant."""
    words = (line.split() for line in answers.splitlines())
    return [f"{verb} {resource.rstrip('/')}" for verb, resource, *allowed in words if allowed != ["true"]]
