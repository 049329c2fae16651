"""What admission says of a pod, and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from womm.refusals import Refusal, is_open, of_deployment, understand

CREATING = 'Error from server (Forbidden): error when creating "/run/x/pod.yaml": '
SECURITY = 'violates PodSecurity "restricted:latest": runAsNonRoot != true (pod must not set it)'
EXCEEDED = "exceeded quota: q, requested: limits.cpu=3, used: limits.cpu=0, limited: limits.cpu=2"


def pod(reason: str) -> str:
    return f'pods "womm-task-x-abcde" is forbidden: {reason}'


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        (SECURITY, "pod-security.kubernetes.io/enforce"),
        ("unable to validate against any pod security policy: []", "--as-root"),
        (EXCEEDED, "--kube-cpu"),
        ("failed quota: q: must specify limits.ephemeral-storage for: womm", "LimitRange"),
        ("exceeded quota: q, requested: requests.ephemeral-storage=3Gi", ".wommignore"),
        ('Invalid value: "3Gi": must be less than or equal to ephemeral-storage limit', ".wommignore"),
        ("[maximum cpu usage per Container is 2, but limit is 3]", "LimitRange"),
        ("minimum memory usage per Pod is 1Gi, but request is 512Mi", "--kube-mem"),
        ("cpu max limit to request ratio per Container is 1, but provided ratio is 2", "LimitRange"),
        ("maximum memory usage per Pod is 1Gi.  No limit is specified", "--kube-mem"),
        ("something of tomorrow's", ""),
    ],
)
def test_a_refusal_is_quoted_with_its_way_out(reason: str, hint: str) -> None:
    found = understand(CREATING + pod(reason))
    assert found is not None
    assert found.reason == " ".join(reason.split())
    assert hint in found.hint
    assert bool(hint) == bool(found.hint)
    assert not found.demands_limit


@pytest.mark.parametrize(
    ("requested", "limited", "passes"),
    [
        ("limits.cpu=2", "limits.cpu=2", True),
        ("limits.cpu=500m,limits.memory=1Gi", "limits.cpu=1,limits.memory=1500M", True),
        ("limits.cpu=500m,limits.memory=2Gi", "limits.cpu=1,limits.memory=2G", False),
        ("pods=1", "pods=0", False),
        ("odd", "odd", False),
        ("cpu=1", "memory=1", False),
    ],
)
def test_a_quota_that_has_room_for_the_pod_alone_may_pass(requested: str, limited: str, passes: bool) -> None:
    found = understand(pod(f"exceeded quota: q, requested: {requested}, used: x=1, limited: {limited}"))
    assert found is not None
    assert found.passes == passes


def test_an_admission_webhook_is_quoted() -> None:
    denied = 'admission webhook "v.example.com" denied the request: no such luck'
    found = understand(f'Error from server (Forbidden): error when creating "p": {denied}')
    assert found is not None
    assert found.reason == denied
    assert "rule of this cluster's own" in found.hint


@pytest.mark.parametrize(
    "text",
    [
        CREATING + pod("failed quota: q: must specify limits.cpu for: share,womm"),
        CREATING + pod("failed quota: q: must specify limits.cpu,requests.storage"),
        CREATING + pod("maximum cpu usage per Pod is 2.  No limit is specified"),
        CREATING
        + pod(
            "[maximum cpu usage per Container is 2.  No limit is specified, minimum cpu usage per Pod is 1]"
        ),
        CREATING
        + pod("cpu max limit to request ratio per Pod is 1, but no limit is specified or limit is 0"),
        'The Pod "womm-task-x-1" is invalid: \n* spec.containers[0].resources.requests: Invalid value: "1":'
        " must be less than or equal to cpu limit of 500m",
        'The Pod "womm-task-x-1" is invalid: spec.containers[0].resources.requests: Invalid value: "1":'
        " must be less than or equal to cpu limit",
    ],
)
def test_where_a_limit_of_cpus_would_help_it_is_told(text: str) -> None:
    found = understand(text)
    assert found is not None
    assert found.demands_limit
    assert "\n" not in found.reason


@pytest.mark.parametrize(
    ("text", "is_open_"),
    [
        (CREATING + 'pods is forbidden: User "bob" cannot create resource "pods" in API group ""', True),
        ('Error from server (BadRequest): admission webhook "x" does not support dry run', True),
        ('Error from server (InternalError): failed calling webhook "x": connection refused', True),
        (CREATING + pod('error looking up service account n/d: serviceaccount "d" not found'), True),
        ('Error from server (NotFound): error when creating "p": namespaces "nosuch" not found', False),
        ("error: You must be logged in to the server (Unauthorized)", False),
        ("", False),
    ],
)
def test_what_says_nothing_of_the_pod_is_no_refusal(text: str, is_open_: bool) -> None:
    for before in ("", "Warning: would violate PodSecurity\n", "E1122 19:44:47.3 4271 memcache.go:287] no\n"):
        assert understand(before + text) is None
        assert is_open(before + text) == is_open_


def deployment(kind: str, status: str, message: str) -> dict[str, Any]:
    other = {
        "type": "Available",
        "status": "False",
        "message": "Deployment does not have minimum availability.",
    }
    return {"status": {"conditions": [other, {"type": kind, "status": status, "message": message}]}}


def test_a_deployment_whose_pods_are_refused_says_so() -> None:
    found = of_deployment(deployment("ReplicaFailure", "True", pod(EXCEEDED)))
    assert found is not None
    assert found.reason == EXCEEDED
    assert not found.passes


@pytest.mark.parametrize(
    "message",
    [
        'Internal error occurred: failed calling webhook "v": connection refused',
        'pods is forbidden: User "system:serviceaccount:kube-system:replicaset-controller" cannot create',
    ],
)
def test_what_is_not_understood_of_a_deployment_is_quoted_and_may_pass(message: str) -> None:
    assert of_deployment(deployment("ReplicaFailure", "True", message)) == Refusal(message, passes=True)


@pytest.mark.parametrize(
    "fine",
    [
        {},
        {"status": {}},
        deployment("ReplicaFailure", "False", pod(EXCEEDED)),
        deployment("Progressing", "True", pod(EXCEEDED)),
        deployment("ReplicaFailure", "True", pod('error looking up service account n/d: "d" not found')),
    ],
)
def test_a_deployment_without_lasting_trouble_is_not_refused(fine: dict[str, Any]) -> None:
    assert of_deployment(fine) is None
