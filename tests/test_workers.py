"""In which order a task over NFS whose changes come home is taken back, also when its client has died."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Hermetic
from test_manifests import TASK

from womm import server, workers
from womm.errors import WommError
from womm.kubectl import Kube
from womm.link import Link
from womm.manifests import Nfs, TaskSpec
from womm.runs import RESULTS, Run, sweep
from womm.server import Server
from womm.shares import home, keeping
from womm.shares.copy import Pushed
from womm.shares.home import Expected, Home
from womm.shares.nfs import Export
from womm.values import Workers

KUBE = Kube("team", "dev")
NFS = Nfs("10.0.0.8", "0" * 32, "/home/ann")


class Noted:
    """Notes what is called of it, by these names."""

    def __init__(self, log: Path, **names: str) -> None:
        self._log, self._names = log, names

    def __getattr__(self, name: str) -> Any:
        """What notes it; all else is done silently."""
        return lambda *_: say(self._log, self._names[name]) if name in self._names else None


def say(log: Path, word: str) -> None:
    """Note it."""
    with log.open("a") as file:
        file.write(f"{word}\n")


def noting(log: Path, word: str) -> list[str]:
    """A program that notes it."""
    return ["sh", "-c", f"echo {word} >>{log}"]


class World:
    """A task that is about to begin, and what is noted of its end."""

    def __init__(self, hermetic: Hermetic, patches: pytest.MonkeyPatch) -> None:
        self.log = hermetic.root / "log"
        self.run, self.undo = Run(), ExitStack()
        patches.setattr(server, "nfs_closing", lambda *_: noting(self.log, "export"))
        patches.setattr(server, "closing", lambda *_: noting(self.log, "share"))
        patches.setattr(Export, "located", lambda _: NFS)
        kept = Noted(self.log, leave="leave", stop="stop")
        patches.setattr(keeping, "eager", lambda *_: kept)
        patches.setattr(workers, "begin", lambda *_, **__: self.begun())
        patches.setattr(workers, "Follower", lambda *_: Noted(self.log, stop="follower"))
        patches.setattr(workers, "Heartbeat", lambda *_: Noted(self.log))
        patches.setattr(workers, "create", self.create)
        patches.setattr(Home, "_gather", lambda _: say(self.log, "results"))
        patches.setattr(Home, "_reports", lambda _: ["place"])
        self.spec: TaskSpec | None = None

    def begun(self) -> Any:
        """A task of which nothing is in the cluster yet, with the hub's undo step."""
        self.undo.callback(say, self.log, "hub")
        here = SimpleNamespace(engine=None, project=SimpleNamespace(directory="/home/ann"))
        found = Server("womm-server-1", "10.0.0.7", "image")
        export = Export(KUBE, Link(self.run, found.pod), NFS, 1, 1, True)
        begun = workers.Begun(self.run, here, None, lambda: TASK, found, None, export)  # type: ignore[arg-type]
        return replace_push(begun, self.pushed)

    def pushed(self) -> Pushed:
        """What the file server has."""
        closing = server.closing(KUBE, "womm-server-1", self.run.task, "key")
        self.run.undo_later(closing, last=True)
        return Pushed(closing, (Expected(self.run.task, "key", "/home/ann", KUBE, nfs=True), {}))

    def create(self, _kube: Kube, run: Run, spec: TaskSpec, _undo: ExitStack) -> None:
        """Have pods."""
        self.spec = spec
        run.undo_later(noting(self.log, "pods"))

    def start(self) -> workers.Task:
        """Start it."""
        self.undo.callback(self.run.close)
        self.undo.callback(self.run.take_back)
        here = SimpleNamespace(kube=KUBE)
        rules: Any = None
        return workers.start(self.run, Workers(pods=1), here, self.undo, rules=rules, ready=lambda _: None)  # type: ignore[arg-type]

    def noted(self) -> list[str]:
        """What was noted."""
        return self.log.read_text().split()

    def steps(self) -> dict[str, list[list[str]]]:
        """What a later womm would find."""
        found: dict[str, list[list[str]]] = json.loads((self.run.path / "undo").read_text())
        return {turn: found[turn] for turn in ("undo", "last")}


def replace_push(begun: workers.Begun, pushed: Any) -> Any:
    """That, but for what is pushed."""
    return SimpleNamespace(**{**vars(begun), "push": pushed})


@pytest.fixture
def world(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> World:
    """One."""
    return World(hermetic, monkeypatch)


def test_the_pods_go_then_results_come_home_and_then_the_servers_forget_them(world: World) -> None:
    world.start()
    assert world.spec == replace(TASK, nfs=NFS)
    assert (world.run.path / RESULTS).exists()
    world.undo.close()
    noted = world.noted()
    assert noted[:5] == ["follower", "leave", "pods", "results", "leave"]
    assert sorted(noted[5:7]) == ["export", "share"]
    assert noted[7:] == ["stop", "hub"]
    assert not world.run.path.exists()


def test_results_that_do_not_come_home_keep_export_and_share(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gather(_home: Home) -> None:
        raise WommError("the NFS server can't be reached")

    world.start()
    monkeypatch.setattr(Home, "_gather", gather)
    with pytest.raises(WommError, match="can't be reached"):
        world.undo.close()
    assert world.noted() == ["follower", "leave", "pods", "leave", "stop", "hub"]
    assert (world.run.path / RESULTS).exists()
    assert world.steps() == {"undo": [], "last": []}


def test_while_the_task_runs_a_later_womm_finds_the_pods_and_the_results_to_be_brought(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start()
    assert world.steps() == {"undo": [noting(world.log, "pods")], "last": []}
    # As its client's death does.
    world.run.close()
    monkeypatch.setattr(home, "complete", lambda path, _: (say(world.log, "home"), (path / RESULTS).unlink()))
    sweep()
    assert world.noted() == ["home", "pods"]
    assert not world.run.path.exists()
