"""Results on their way home: a file server and a pod of this machine, the real scripts and the real rsync."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from conftest import Hermetic

from womm import server
from womm.errors import WommError
from womm.files import SCRIPTS
from womm.kubectl import Kube
from womm.runs import RESULTS, Run
from womm.shares import home
from womm.shares.home import Expected, Home

KEY = "key"

# Runs what a login would, here.
LOGIN = """\
#!/bin/sh
shift
[ "$1" != -- ] || shift
exec "$@"
"""


class World:
    """A directory of which something was sent, a run, and a file server that is a directory, too."""

    def __init__(self, hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.server = hermetic.root / "shared", hermetic.root / "server"
        self.run = Run()
        login = hermetic.stub("login", LOGIN)
        monkeypatch.setattr(Run, "login", property(lambda _: [str(login)]))
        monkeypatch.setattr(server, "_SCRIPT", str(SCRIPTS / "server-share"))
        monkeypatch.setenv("WOMM_ROOT", str(self.server))
        self.root.mkdir()
        (self.root / "file").write_text("sent")
        (self.server / "modules").mkdir(parents=True)
        sent = home.record(self.root, ["file"])
        expected = Expected(self.run.task, KEY, str(self.root), Kube("n", "c"))
        home.expect(self.run.write, expected, sent)
        self.home = Home(self.run, self.run.path, "pod", expected)
        # As `receive` and a pod leave it.
        self.place = self.server / "results" / self.run.task / "pods"
        self.place.mkdir(parents=True)

    def report(self, pod: str, text: str) -> None:
        """Have a pod change the file."""
        (self.place / pod / "files").mkdir(parents=True)
        (self.place / pod / "files" / "file").write_text(text)
        (self.place / pod / "report").write_bytes(b"")

    def steps(self) -> str:
        """What the run's end will do."""
        note = self.run.path / "undo"
        return note.read_text() if note.exists() else ""


@pytest.fixture
def world(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world in which nothing was changed yet."""
    made = World(hermetic, monkeypatch)
    yield made
    made.run.close()


def test_what_has_come_home_may_be_forgotten_by_the_server(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    world.report("pod-1", "a job's")
    assert "close" not in world.steps()
    world.home.bring()
    assert (world.root / "file").read_text() == "a job's"
    assert os.listdir(world.root) == ["file"]
    assert not world.home.conflicts
    assert not (world.run.path / RESULTS).exists()
    assert '"close"' in world.steps()
    assert capfd.readouterr().err == "womm: 1 file brought back\n"


def test_the_pod_that_reported_last_counts(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.report("pod-2", "early")
    world.report("pod-1", "late")
    # The order is that of the server's clock, whatever the pods' said.
    os.utime(world.place / "pod-2" / "report", (2e9, 2e9))
    os.utime(world.place / "pod-1" / "report", (1, 1))
    world.home.bring()
    aside = f"file.womm-conflict-{world.run.task}"
    assert {path.name: path.read_text() for path in world.root.iterdir()} == {"file": "late", aside: "early"}
    assert world.home.conflicts
    line = f"womm: conflict: file was changed on both sides; the pods' version is {aside}\n"
    assert line in capfd.readouterr().err


def test_without_a_report_nothing_is_fetched(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.home.bring()
    assert not (world.run.path / RESULTS).exists()
    assert capfd.readouterr().err == ""


def test_what_can_not_be_fetched_is_kept(world: World) -> None:
    world.report("pod-1", "a job's")
    shutil.rmtree(world.root)
    # rsync ends with 3 or 11 where it can't make a directory.
    with pytest.raises(
        WommError, match=r"^the jobs' results could not be fetched \(rsync failed: "
    ) as caught:
        world.home.bring()
    assert "is kept on the file server" in caught.value.hint
    assert (world.run.path / RESULTS).exists()
    assert "close" not in world.steps()
    world.root.mkdir()
    world.home.bring()
    assert [path.read_text() for path in world.root.iterdir()] == ["a job's"]


def test_what_can_not_be_put_in_place_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.report("pod-1", "a job's")

    def full(*_: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patches:
        patches.setattr(os, "replace", full)
        with pytest.raises(WommError, match=r"could not be put in place .*No space left on device"):
            world.home.bring()
    assert (world.run.path / RESULTS).exists()
    assert (world.root / "file").read_text() == "sent"
    world.home.bring()
    assert (world.root / "file").read_text() == "a job's"


def test_a_server_that_knows_nothing_of_the_task_has_lost_it_which_is_told_once(world: World) -> None:
    shutil.rmtree(world.place.parent)
    with pytest.raises(WommError, match="is lost: the file server was replaced meanwhile"):
        world.home.bring()
    assert not (world.run.path / RESULTS).exists()
