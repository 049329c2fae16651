"""The follower of a task's pods, with a kubectl of the test's own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Hermetic, eventually
from test_pods import event, pod

from womm import follow
from womm.follow import Follower
from womm.kubectl import Kube
from womm.pods import PodState


class Hub:
    """What the follower has told."""

    complaint = ""
    reached = True

    def __init__(self) -> None:
        self.pods: Sequence[PodState] = []
        self.leaving: set[str] = set()
        self.ended: list[str] = []

    def see(self, pods: Sequence[PodState]) -> None:
        """The task's pods."""
        self.pods = pods
        self.leaving |= {pod.name for pod in pods if pod.leaving}

    def end(self, reason: str) -> None:
        """Nothing more begins."""
        self.ended.append(reason)


class Scene:
    """A follower whose kubectl runs `watch`, or `deployment`; $N is the watch's number."""

    def __init__(self, hermetic: Hermetic) -> None:
        self._root, self._stub = hermetic.root, hermetic.stub
        self.hub = Hub()
        self._follower: Follower | None = None
        for name in ("a", "b"):
            (self._root / name).write_text(json.dumps(event("ADDED", pod(name))))

    def begin(self, watch: str, deployment: str = "echo '{}'", pods: int = 1) -> None:
        """Follow."""
        script = f"""#!/bin/bash
            cd {self._root}
            case $* in
              *watch*) echo "$WOMM_RUN" >>watches; N=$(wc -l <watches); {watch} ;;
              *) echo "$WOMM_RUN" >>questions; {deployment} ;;
            esac
        """
        self._stub("kubectl", script)
        spec: Any = SimpleNamespace(id="x", name="womm-task-x", pods=pods, nodes={}, arch="amd64")
        self._follower = Follower(Kube("n", "c"), spec, self.hub, {"WOMM_RUN": "this-run"})
        self._follower.start()

    def lines(self, name: str) -> list[str]:
        """What was noted of each call."""
        path = self._root / name
        return path.read_text().splitlines() if path.exists() else []

    def sees(self, *names: str) -> bool:
        """Whether the hub knows these pods."""
        return sorted(pod.name for pod in self.hub.pods) == sorted(names)

    def close(self) -> None:
        """End it."""
        if self._follower is not None:
            self._follower.stop()


@pytest.fixture
def scene(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A follower that is quick."""
    for name, value in (("_AGAIN", 0.02), ("_SELDOM", 0.1), ("_SETTLING", 0.1), ("_PATIENCE", 0.1)):
        monkeypatch.setattr(follow, name, value)
    made = Scene(hermetic)
    yield made
    made.close()


def test_a_new_watch_that_says_nothing_yet_does_not_make_pods_deleted(scene: Scene) -> None:
    # The API server hangs, or a credential plugin takes its time.
    scene.begin("[ $N -gt 1 ] || exec cat a; exec sleep 99")
    eventually(lambda: scene.sees("a") and len(scene.lines("watches")) == 2)
    # Meanwhile the deployment is asked: it knows if there is nothing to be told of.
    eventually(lambda: scene.lines("questions"))
    time.sleep(0.3)
    assert scene.hub.leaving == set()


def test_a_pod_that_a_new_watch_does_not_tell_of_was_deleted(scene: Scene) -> None:
    scene.begin("[ $N -gt 1 ] || exec cat a; cat b; exec sleep 99")
    eventually(lambda: scene.hub.leaving == {"a"})


def test_a_deployment_that_takes_its_time_keeps_no_pod_waiting(scene: Scene) -> None:
    scene.begin("until [ -s questions ]; do sleep 0.02; done; cat a; exec sleep 99", "exec sleep 99")
    eventually(lambda: scene.sees("a"), seconds=10)


def test_complaints_do_not_stop_the_watch(scene: Scene) -> None:
    scene.begin("head -c 300000 /dev/zero >&2; cat a; exec sleep 99")
    eventually(lambda: scene.sees("a"), seconds=10)


def test_a_watch_that_does_not_begin_is_tried_less_and_less_often_and_told_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(follow, "_FAILURES", 3)
    scene.begin("[ $N -gt 1 ] || exec cat a; echo 'error: You must be logged in' >&2; exit 1")
    eventually(lambda: len(scene.lines("watches")) > 7)
    told = "womm: the pods can't be watched, and it is tried again: error: You must be logged in\n"
    assert capfd.readouterr().err == told
    assert (scene.hub.ended, scene.hub.leaving) == ([], set())


def test_a_process_that_can_not_be_had_for_now_does_not_end_the_task(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [BlockingIOError(11, "Resource temporarily unavailable")] * 2
    real = follow.stream

    def stream(*arguments: Any, **more: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return real(*arguments, **more)

    monkeypatch.setattr(follow, "stream", stream)
    scene.begin("cat a; exec sleep 99")
    eventually(lambda: scene.sees("a"))
    assert scene.hub.ended == []


def test_all_that_is_started_is_marked_as_the_runs(scene: Scene) -> None:
    scene.begin("cat a; exec sleep 99", pods=2)
    eventually(lambda: scene.lines("questions"))
    assert set(scene.lines("watches") + scene.lines("questions")) == {"this-run"}
