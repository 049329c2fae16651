"""Who runs a task says so, as long as it runs, whatever the cluster does meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from conftest import Hermetic, eventually
from test_manifests import TASK

from womm import complaints
from womm.complaints import Forbidden
from womm.errors import WommError
from womm.process import Done
from womm.runs import Run
from womm.tasks import heartbeat
from womm.tasks.heartbeat import Heartbeat

FORBIDDEN = (
    b'Error from server (Forbidden): error when creating "lease.yaml": leases.coordination.k8s.io is '
    b'forbidden: User "ann" cannot create resource "leases" in API group "coordination.k8s.io" in the '
    b'namespace "team"'
)


class Cluster:
    """kubectl's part: `answers` are what the next questions get, then all is well; None: no answer."""

    def __init__(self, *answers: Done | None) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def argv(self, *words: str) -> list[str]:
        return ["true", *words]

    def attempt(self, *words: str, patience: float, env: Mapping[str, str]) -> Done:
        assert patience > 0
        assert env
        self.asked.append(words[0])
        answer = self.answers.pop(0) if self.answers else Done(0, b"", b"")
        if answer is None:
            raise WommError("the cluster does not answer")
        return answer

    def explain(self, stderr: bytes) -> WommError:
        return complaints.explain(stderr.decode(), complaints.Place("team", "east", "https://x", ""))


@pytest.fixture
def run(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A run; its heart beats quickly."""
    for name in ("_FIRST", "_AGAIN", "EVERY"):
        monkeypatch.setattr(heartbeat, name, 0.01)
    made = Run()
    yield made
    made.close()


def recorded(run: Run) -> bool:
    """Whether the run's end deletes the Lease."""
    return (
        "lease/womm-task-abcdefgh" in Path(run.path / "undo").read_text()
        if (run.path / "undo").exists()
        else False
    )


def test_a_lease_is_made_and_renewed_and_goes_with_the_run(run: Run) -> None:
    cluster = Cluster()
    beating = Heartbeat(cluster, run, TASK)  # type: ignore[arg-type]
    beating.start()
    eventually(lambda: len(cluster.asked) > 3)
    beating.stop()
    assert not beating.is_alive()
    assert cluster.asked[:3] == ["create", "patch", "patch"]
    assert recorded(run)
    run.take_back()
    assert not recorded(run)


def test_a_cluster_that_is_away_for_a_while_is_asked_again(run: Run) -> None:
    failed = Done(1, b"", b"The connection to the server x was refused")
    cluster = Cluster(None, failed, Done(0, b"", b""), None, failed, None)
    beating = Heartbeat(cluster, run, TASK)  # type: ignore[arg-type]
    beating.start()
    eventually(lambda: len(cluster.asked) > 8)
    beating.stop()
    assert cluster.asked[:8] == ["create"] * 3 + ["patch"] * 5
    run.take_back()


def test_a_lease_that_is_there_already_is_renewed(run: Run) -> None:
    cluster = Cluster(Done(1, b"", b'Error from server (AlreadyExists): leases "x" already exists'))
    beating = Heartbeat(cluster, run, TASK)  # type: ignore[arg-type]
    beating.start()
    eventually(lambda: len(cluster.asked) > 1)
    beating.stop()
    assert cluster.asked[:2] == ["create", "patch"]
    run.take_back()


def test_who_may_make_no_leases_has_none_and_nothing_to_take_back(run: Run) -> None:
    cluster = Cluster(Done(1, b"", FORBIDDEN))
    assert isinstance(cluster.explain(FORBIDDEN), Forbidden)
    beating = Heartbeat(cluster, run, TASK)  # type: ignore[arg-type]
    beating.start()
    beating.join(5)
    assert not beating.is_alive()
    assert (cluster.asked, recorded(run)) == (["create"], False)


def test_a_short_run_asks_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_FIRST", 60.0)
    cluster = Cluster()
    beating = Heartbeat(cluster, run, TASK)  # type: ignore[arg-type]
    beating.start()
    began = time.monotonic()
    beating.stop()
    assert time.monotonic() - began < 5
    assert (cluster.asked, recorded(run)) == ([], False)
