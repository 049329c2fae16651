"""The file server as the client sees it: found, waited for, refused with the way out."""

from __future__ import annotations

from typing import Any

import pytest

from womm import __version__, config, server
from womm.errors import WommError
from womm.kubectl import Kube

pytestmark = pytest.mark.usefixtures("hermetic")

KUBE = Kube("team", "prod")


def items(*, version: str = __version__, ready: str = "True", deleted: bool = False) -> list[dict[str, Any]]:
    pod_meta: dict[str, Any] = {"name": "womm-server-1"}
    if deleted:
        pod_meta["deletionTimestamp"] = "now"
    template = {"spec": {"containers": [{"image": "r/womm-server:1@sha256:0"}]}}
    return [
        {
            "kind": "Deployment",
            "metadata": {"labels": {"app.kubernetes.io/version": version}},
            "spec": {"template": template},
        },
        {"kind": "Service", "metadata": {}, "spec": {"clusterIP": "10.0.0.7"}},
        {"kind": "Pod", "metadata": pod_meta, "status": {"conditions": [{"type": "Ready", "status": ready}]}},
    ]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[list[dict[str, Any]]]:
    """What kubectl finds, one call after the other; the last one stays."""
    todo: list[list[dict[str, Any]]] = []

    def get(_kube: Kube, *_arguments: str) -> dict[str, Any]:
        return {"items": todo.pop(0) if len(todo) > 1 else todo[0]}

    monkeypatch.setattr(Kube, "get", get)
    monkeypatch.setattr(Kube, "check", lambda _kube: None)
    return todo


def test_a_server_that_is_ready_is_found(answers: list[list[dict[str, Any]]]) -> None:
    answers.append(items())
    assert server.find(KUBE) == server.Server("womm-server-1", "10.0.0.7", "r/womm-server:1@sha256:0")


def test_a_servers_architecture_and_volume_are_its_deployments(answers: list[list[dict[str, Any]]]) -> None:
    found = items()
    spec = found[0]["spec"]["template"]["spec"]
    spec["nodeSelector"] = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}
    spec["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    answers.append(found)
    assert (server.find(KUBE).arch, server.find(KUBE).lasting) == ("arm64", False)
    spec["volumes"].append({"name": "shares", "persistentVolumeClaim": {"claimName": "womm-server"}})
    assert server.find(KUBE).lasting


@pytest.mark.parametrize("missing", [slice(0, 1), slice(1, 2), slice(0, 3)])
def test_without_a_server_the_command_that_makes_one_is_told(
    answers: list[list[dict[str, Any]]], missing: slice
) -> None:
    found = items()
    del found[missing]
    answers.append(found)
    with pytest.raises(WommError, match="no womm file server in namespace team") as caught:
        server.wait_for(KUBE)
    assert "--namespace team cluster-setup --build --prefix REGISTRY/" in caught.value.hint
    config.remember("prefix", "r.example/x/")
    with pytest.raises(WommError) as caught:
        server.wait_for(KUBE)
    assert "--prefix r.example/x/ | kubectl --context prod apply -f -" in caught.value.hint


def test_a_server_of_another_version_is_refused_with_what_mends_it(
    answers: list[list[dict[str, Any]]],
) -> None:
    answers.append(items(version="0.0.9"))
    with pytest.raises(WommError, match=r"is of womm 0\.0\.9, and this is womm") as caught:
        server.wait_for(KUBE)
    assert "kubectl --context prod apply -f -" in caught.value.hint


def test_a_server_that_is_starting_is_waited_for_and_told_of_once(
    answers: list[list[dict[str, Any]]], capfd: pytest.CaptureFixture[str]
) -> None:
    answers += [items()[:2], items(ready="False"), items(deleted=True), items()]
    assert server.wait_for(KUBE).pod == "womm-server-1"
    assert capfd.readouterr().err == "womm: waiting for the file server to start\n"


def test_what_keeps_a_server_from_starting_is_told_while_it_is_waited_for(
    answers: list[list[dict[str, Any]]], capfd: pytest.CaptureFixture[str]
) -> None:
    pending = items(ready="False")
    unschedulable = {"type": "PodScheduled", "status": "False", "message": "1 Insufficient cpu."}
    pending[2]["status"]["conditions"].append(unschedulable)
    answers += [pending, pending, items()]
    server.wait_for(KUBE)
    assert capfd.readouterr().err == "womm: waiting for the file server to start: 1 Insufficient cpu.\n"


def test_a_server_that_can_never_start_is_not_waited_for(answers: list[list[dict[str, Any]]]) -> None:
    broken = items(ready="False")
    state = {"waiting": {"reason": "ErrImagePull", "message": "r/womm-server:1: not found"}}
    broken[2]["status"]["containerStatuses"] = [{"name": "server", "state": state}]
    answers.append(broken)
    with pytest.raises(WommError, match=r"can't start: ErrImagePull: r/womm-server:1: not found") as caught:
        server.wait_for(KUBE)
    assert "womm cluster-setup --build" in caught.value.hint


def test_a_server_whose_pod_is_refused_is_not_waited_for(answers: list[list[dict[str, Any]]]) -> None:
    refused = items()[:2]
    why = 'pods "womm-server-1" is forbidden: exceeded quota: q'
    refused[0]["status"] = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": why}]}
    answers.append(refused)
    with pytest.raises(WommError, match=r"refuses the file server's pod: exceeded quota: q$"):
        server.wait_for(KUBE)


def test_a_server_whose_quota_others_use_up_is_waited_for(
    answers: list[list[dict[str, Any]]], capfd: pytest.CaptureFixture[str]
) -> None:
    waiting = items()[:2]
    why = "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
    message = f'pods "womm-server-1" is forbidden: {why}'
    waiting[0]["status"] = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": message}]}
    answers += [waiting, items()]
    assert server.wait_for(KUBE).pod == "womm-server-1"
    assert capfd.readouterr().err == f"womm: waiting for the file server to start: {why}\n"


def test_a_server_that_never_starts_is_given_up(answers: list[list[dict[str, Any]]]) -> None:
    answers.append(items(ready="False"))
    with pytest.raises(server.NotReady) as caught:
        server.wait_for(KUBE, patience=0)
    assert "describe pods" in caught.value.hint
