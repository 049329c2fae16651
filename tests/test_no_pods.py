"""A task whose pods are not even made: what is said, what is waited for and for how long."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Hermetic, eventually

from womm import follow, kubectl
from womm.errors import WommError
from womm.follow import Follower
from womm.kubectl import Kube
from womm.manifests import TaskSpec
from womm.pods import PodState
from womm.preflight import Preflight
from womm.process import Done, attempt
from womm.runs import Run

pytestmark = pytest.mark.usefixtures("hermetic")

KUBE = Kube("team", "prod")
TASK = TaskSpec(
    "abcdefgh",
    "/work",
    "true",
    "r/i@sha256:0",
    "amd64",
    2,
    "1",
    "1Gi",
    1000,
    1000,
    "ann",
    "/home",
    "ab",
    "none",
)

# It answers with the files of its directory: `tried` of a dry run, `deployment` if there is one, `events` of
# pods as they come.
KUBECTL = """\
#!/bin/sh
cd "${0%/*}/../cluster" || exit
case "$*" in
  *"--dry-run=server"*) [ ! -e slow ] || sleep "$(cat slow)"; [ ! -s tried ] || { cat tried >&2; exit 1; } ;;
  *"get deployment"*) [ ! -e deployment ] || exec cat deployment
    echo 'Error from server (NotFound): deployments.apps "x" not found' >&2; exit 1 ;;
  *"--raw /version"*) [ ! -e silent ] || exec sleep 60 ;;
  *"--watch"*) exec tail -n +1 -f events ;;
esac
"""
USED_UP = (
    'pods "womm-task-x-1" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2'
)
TOO_MUCH = (
    'pods "womm-task-x-1" is forbidden: exceeded quota: q, requested: cpu=3, used: cpu=0, limited: cpu=2'
)
WEBHOOK = 'Internal error occurred: failed calling webhook "v.example.com": connection refused'


class Hub:
    """A hub that reaches the pods that it sees."""

    complaint = ""

    def __init__(self) -> None:
        self.reached = False

    def see(self, pods: Sequence[PodState]) -> None:
        self.reached = any(pod.usable for pod in pods)

    def end(self, reason: str) -> None:
        raise AssertionError(reason)


@pytest.fixture
def cluster(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the answers of a stub of kubectl are; a cluster without pods."""
    hermetic.stub("kubectl", KUBECTL)
    monkeypatch.setattr(follow, "_PATIENCE", 0.2)
    directory = hermetic.root / "cluster"
    directory.mkdir()
    (directory / "events").touch()
    refuse(directory, "")
    return directory


def refuse(cluster: Path, why: str) -> None:
    """Let the deployment say why it has no pods; "": nothing."""
    failure = {"type": "ReplicaFailure", "status": "True", "message": why}
    content = json.dumps({"status": {"conditions": [failure] if why else []}})
    (cluster / "new").write_text(content)
    (cluster / "new").rename(cluster / "deployment")


@contextmanager
def following() -> Iterator[Follower]:
    follower = Follower(KUBE, TASK, Hub(), {})
    follower.start()
    try:
        yield follower
    finally:
        follower.stop()


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (USED_UP, "no pod can run: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"),
        (WEBHOOK, f"no pod can run: {WEBHOOK}"),
        ("", "no pod can run: the cluster makes no pods for its deployment"),
    ],
    ids=["quota", "webhook", "silence"],
)
def test_what_may_pass_is_told_and_waited_for_no_longer_than_is_permitted(
    cluster: Path, capfd: pytest.CaptureFixture[str], why: str, told: str
) -> None:
    refuse(cluster, why)
    with following() as follower, pytest.raises(WommError) as caught:
        follower.wait_for_pod(1)
    assert caught.value.message == told
    assert "--pending-timeout 1h waits longer" in caught.value.hint
    assert ("womm: 0 of 2 pods: the cluster refuses more: " in capfd.readouterr().err) == bool(why)


def test_what_no_waiting_mends_ends_the_task(cluster: Path) -> None:
    refuse(cluster, TOO_MUCH)
    with following() as follower, pytest.raises(WommError, match="cluster refuses its pods: exceeded quota"):
        follower.wait_for_pod(60)


def test_a_task_goes_on_when_its_pods_are_made_after_all(
    cluster: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refuse(cluster, USED_UP)
    said = ""

    def is_told() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return "0 of 2 pods" in said

    with following() as follower:
        eventually(is_told)
        running = {"name": "womm", "state": {"running": {}}, "restartCount": 0}
        pod: dict[str, Any] = {"kind": "Pod", "metadata": {"name": "p"}}
        pod["status"] = {"phase": "Running", "containerStatuses": [running]}
        (cluster / "events").write_text(json.dumps({"type": "ADDED", "object": pod}))
        follower.wait_for_pod(60)


def test_the_time_that_pods_may_wait_begins_when_something_keeps_them_from_running(cluster: Path) -> None:
    # As after an image that took its time to come: that is no trouble, and none of its minutes count.
    def tell(*conditions: dict[str, str]) -> None:
        pod = {"kind": "Pod", "metadata": {"name": "p"}, "status": {"conditions": conditions}}
        with (cluster / "events").open("a") as file:
            file.write(json.dumps({"type": "MODIFIED", "object": pod}))

    with following() as follower:
        tell()
        began = time.monotonic()
        teller = threading.Timer(2, tell, ({"type": "PodScheduled", "status": "False", "message": "full"},))
        teller.start()
        with pytest.raises(WommError, match="no pod can run: full"):
            follower.wait_for_pod(1)
    assert time.monotonic() - began >= 3


def test_a_deployment_whose_creation_takes_long_is_not_told_to_be_deleted(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cluster / "deployment").unlink()
    asked: list[bytes] = []

    def noted(argv: Sequence[str], **more: Any) -> Done:
        done = attempt(argv, **more)
        asked.append(done.stderr)
        return done

    monkeypatch.setattr(follow, "attempt", noted)
    with following() as follower:
        eventually(lambda: sum(b"NotFound" in said for said in asked) > 1)
        assert follower.failure is None
        # It is, once it was there.
        with pytest.raises(WommError, match="somebody has deleted it"):
            follower.wait_for_pod(60)


@pytest.fixture
def tried(cluster: Path) -> Iterator[Callable[[str], TaskSpec]]:
    """Return a function that tries a pod, of which the cluster says this."""
    run = Run()

    def try_it(said: str) -> TaskSpec:
        (cluster / "tried").write_text(said)
        preflight = Preflight(KUBE, run, TASK)
        preflight.start()
        return preflight.result()

    yield try_it
    run.close()


def test_a_quota_that_others_use_up_stops_no_task(
    tried: Callable[[str], TaskSpec], capfd: pytest.CaptureFixture[str]
) -> None:
    assert tried(f"Error from server (Forbidden): {USED_UP}") == TASK
    told = "womm: the cluster takes no pod for now: exceeded quota: q, requested: pods=1, used: pods=2, "
    assert capfd.readouterr().err.startswith(told)


def test_a_quota_that_is_too_small_for_one_pod_does(tried: Callable[[str], TaskSpec]) -> None:
    with pytest.raises(WommError, match="refuses the task's pods: exceeded quota"):
        tried(f"Error from server (Forbidden): {TOO_MUCH}")


def test_webhooks_may_take_their_time(
    tried: Callable[[str], TaskSpec], cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubectl, "_FIRST", 0.5)
    (cluster / "slow").write_text("1")
    assert tried("") == TASK


def test_a_cluster_that_is_silent_is_told_before_webhooks_would_have_had_their_time(
    tried: Callable[[str], TaskSpec], cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubectl, "_FIRST", 0.5)
    monkeypatch.setattr(kubectl, "_ANSWER", 1.0)
    (cluster / "slow").write_text("60")
    (cluster / "silent").touch()
    with pytest.raises(WommError, match=r"cluster does not answer: .* within 1 s"):
        tried("")
