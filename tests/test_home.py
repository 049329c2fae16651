"""Results on their way home: a file server and a pod of this machine, the real scripts and the real rsync."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import pytest
from conftest import Hermetic

from womm import server
from womm.errors import WommError
from womm.files import SCRIPTS
from womm.kubectl import Kube
from womm.link import Link
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
        self._hermetic, self._patches = hermetic, monkeypatch
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

    def over_nfs(self, script: str) -> Home:
        """The way home from the NFS server, for which `script` speaks: its first argument is `results`."""
        stub = self._hermetic.stub("server-nfs", f"#!/bin/sh\n{script}\n")
        self._patches.setattr(server, "_NFS_SCRIPT", str(stub))
        expected = Expected(self.run.task, KEY, str(self.root), Kube("n", "c"), nfs=True)
        self.run.write(RESULTS, json.dumps(asdict(expected)).encode())
        return Home(self.run, self.run.path, "pod", home.expected_at(self.run.path))


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
    assert "is kept in the cluster" in caught.value.hint
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


#: Has the NFS server's version of the file where server-share finds it, as server-nfs does.
FETCH = 'mkdir -p "{0}/nfs/files" && echo "a job\'s" >"{0}/nfs/files/file" && : >"{0}/nfs/report"'


def test_over_nfs_the_file_server_fetches_the_results_first_and_both_servers_forget_them_then(
    world: World,
) -> None:
    way = world.over_nfs(f'[ "$*" = "results {world.run.task}" ] && {FETCH.format(world.place)}')
    assert "close" not in world.steps()
    way.bring()
    assert (world.root / "file").read_text() == "a job's\n"
    assert not (world.run.path / RESULTS).exists()
    steps = json.loads(world.steps())["last"]
    assert [argv[-3:] for argv in steps] == [
        ["close", world.run.task, KEY],
        [server.nfs_script("close")[0], "close", world.run.task],
    ]


def test_results_that_the_nfs_server_can_not_give_now_are_kept(world: World) -> None:
    way = world.over_nfs('echo "server-nfs: the NFS server can\'t be reached" >&2; exit 255')
    with pytest.raises(
        WommError, match=r"could not be fetched \(server-nfs: the NFS server can't be rea"
    ) as caught:
        way.bring()
    assert "the next womm command tries again" in caught.value.hint
    assert (world.run.path / RESULTS).exists()
    assert "close" not in world.steps()


def test_results_that_went_with_the_nfs_server_are_lost_which_is_told_once(world: World) -> None:
    way = world.over_nfs("exit 3")
    with pytest.raises(WommError, match="is lost: the NFS server was replaced meanwhile"):
        way.bring()
    assert not (world.run.path / RESULTS).exists()
    # The file server has its snapshot.
    assert '"close"' in world.steps()


def test_of_results_that_are_not_whole_there_comes_what_there_is_and_the_run_fails(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    way = world.over_nfs(f"{FETCH.format(world.place)}; echo first >&2; echo 'server-nfs: why' >&2; exit 5")
    with pytest.raises(WommError, match=r"may be lost \(server-nfs: why\)") as caught:
        way.bring()
    assert caught.value.exit_code == 125
    assert (world.root / "file").read_text() == "a job's\n"
    assert not (world.run.path / RESULTS).exists()
    assert capfd.readouterr().err == "womm: first\nwomm: 1 file brought back\n"


def test_a_later_womm_ends_the_pods_first_where_they_have_it_over_nfs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    @contextmanager
    def linked(_kube: Kube, _patience: float) -> Iterator[Link]:
        told.append("linked")
        yield Link(world.run, "pod")

    monkeypatch.setattr(home, "linked", linked)
    monkeypatch.setattr(home, "end_pods", lambda _kube, task: told.append(f"end {task}"))
    monkeypatch.setattr(Home, "bring", lambda _: told.append("bring"))
    home.complete(world.run.path, "")
    world.over_nfs("exit 0")
    home.complete(world.run.path, "")
    assert told == ["linked", "bring", "linked", f"end {world.run.task}", "bring"]
