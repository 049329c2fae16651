"""A share over NFS is kept up: what becomes of it when its way to the server ends."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Hermetic

from womm.beside import Heard, Joined
from womm.errors import WommError
from womm.kubectl import Kube
from womm.link import Link
from womm.manifests import Nfs
from womm.runs import Run
from womm.shares import keeping
from womm.shares import nfs as shares_nfs
from womm.shares.keeping import Keeping
from womm.shares.nfs import Export

NEW, SAME = "womm-nfs: ready 2 1 new", "womm-nfs: ready 2 1 same"


class Way:
    """A way that says some lines, and ends when it is told to."""

    def __init__(self, *said: str, complaint: str = "") -> None:
        self.said, self.complaint = said, complaint
        self.over = threading.Event()

    def lines(self) -> Iterator[str]:
        """What it says."""
        yield from self.said
        self.over.wait(10)

    def kill(self) -> None:
        """End it."""
        self.over.set()

    def end(self) -> str:
        """End it."""
        self.over.set()
        return self.complaint


class Jobs:
    """What is told to the hub."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def doubt(self) -> None:
        """Note it."""
        self.heard.append("doubt")

    def condemn(self, pods: frozenset[str]) -> None:
        """Note it."""
        self.heard.append(f"condemn {' '.join(sorted(pods))}")

    def settle(self) -> None:
        """Note it."""
        self.heard.append("settle")


@pytest.fixture
def export(hermetic: Hermetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Export]:
    """An export, with a kubectl that notes how it is called, says what is in `deleted`, and does `end`."""
    for name in ("deleted", "end"):
        (tmp_path / name).touch()
    hermetic.stub("kubectl", f'#!/bin/sh\ncd {tmp_path}\necho "$@" >>calls\ncat deleted\n. ./end\n')
    monkeypatch.setattr(keeping, "_AGAIN", 0.01)
    monkeypatch.setattr(shares_nfs, "_DELETION", 0.5)
    run = Run("abcdefgh")
    nfs = Nfs("10.0.0.1", "0123456789abcdef" * 2, "/home/ann/work")
    yield Export(Kube("team", "east"), Link(run, "womm-server-1"), nfs, 1001, 1002)
    run.close()


def calls(tmp_path: Path) -> list[str]:
    """What kubectl was called with."""
    path = tmp_path / "calls"
    return path.read_text().splitlines() if path.exists() else []


def dialled(*ways: Way) -> tuple[Callable[[bool], Way], list[bool]]:
    """What dials these ways, one after the other, and with what it was called."""
    left, asked = list(ways), []

    def dial(again: bool) -> Way:
        asked.append(again)
        if not left:
            raise WommError("there is no other way", "none")
        return left.pop(0)

    return dial, asked


def until(check: Callable[[], bool]) -> None:
    """Wait for it."""
    for _ in range(500):
        if check():
            return
        threading.Event().wait(0.01)
    pytest.fail("it did not come")


def test_it_waits_for_the_server_and_says_what_that_says(export: Export) -> None:
    way = Way("Warning: a line of ssh's", NEW)
    over = threading.Event()
    kept = Keeping(export, Jobs(), dialled(way)[0], over.set)
    kept.start()
    view = kept.wait()
    assert (view.round_trip, view.age) == (0.002, 1.0)
    assert not over.is_set()
    kept.stop()
    assert over.is_set()
    assert way.over.is_set()
    assert not kept.is_alive()


@pytest.mark.parametrize(
    ("way", "why"),
    [
        (Way("server-nfs: no snapshot"), "server-nfs: no snapshot"),
        (Way("other", complaint="docker: no such image"), "docker: no such image"),
        (
            Way("rsync: No space left", "io.c", "main.c", "rsync: Broken pipe"),
            "rsync: No space left; …; rsync: Broken pipe",
        ),
        (Way(), "it ended"),
    ],
    ids=["the server says why", "the container does", "rsync says much", "nobody does"],
)
def test_a_first_way_that_fails_is_the_runs_error(export: Export, way: Way, why: str) -> None:
    way.over.set()
    dial, asked = dialled(way)
    kept = Keeping(export, Jobs(), dial)
    kept.start()
    with pytest.raises(WommError, match=why):
        kept.wait()
    kept.stop()
    assert asked == [False]


@pytest.mark.parametrize(
    ("said", "deleted"),
    [
        (SAME, []),
        (NEW, ["--context east --namespace team delete pods -l womm.dev/task=abcdefgh --wait=false -o name"]),
    ],
    ids=["the same", "another"],
)
def test_a_way_that_ends_is_begun_again_and_another_export_takes_other_pods(
    export: Export, tmp_path: Path, capfd: pytest.CaptureFixture[str], said: str, deleted: Sequence[str]
) -> None:
    (tmp_path / "deleted").write_text("pod/pod-2\npod/pod-1\n")
    first, second = Way(NEW), Way(said)
    dial, asked = dialled(first, second)
    jobs = Jobs()
    kept = Keeping(export, jobs, dial)
    kept.start()
    kept.wait()
    first.kill()
    until(lambda: asked == [False, True])
    # What the second one says is heard to its end.
    kept.stop()
    err = capfd.readouterr().err
    assert "/home/ann/work is out of the pods' reach" in err
    assert ("is within the pods' reach again" in err) == (said == SAME)
    assert calls(tmp_path) == list(deleted)
    # Ends that were told meanwhile count if it is the same, and in pods that stay.
    assert jobs.heard == ["doubt", *["doubt", "condemn pod-1 pod-2"] * len(deleted), "settle"]


@pytest.mark.parametrize("back", [False, True])
def test_the_export_of_a_snapshot_is_held_and_results_are_wanted_where_they_come_home(
    export: Export, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    held: list[list[str]] = []

    def heard(argv: list[str], *, env: Mapping[str, str]) -> Way:
        assert env == export.link.run.environment
        held.append(argv)
        return Way(NEW)

    monkeypatch.setattr(keeping, "Heard", heard)
    kept = keeping.eager(replace(export, back=back), Jobs(), "key")
    kept.start()
    kept.wait()
    kept.stop()
    words = ["hold", "abcdefgh", "key", export.nfs.path, "1001", "1002", *(["back"] if back else [])]
    assert [argv[argv.index("hold") :] for argv in held] == [words]


def test_that_another_export_has_lost_what_was_to_come_home_is_told_at_once(
    export: Export, capfd: pytest.CaptureFixture[str]
) -> None:
    first, jobs = Way(NEW), Jobs()
    kept = Keeping(replace(export, back=True), jobs, dialled(first, Way(NEW))[0])
    kept.start()
    kept.wait()
    first.kill()
    until(lambda: jobs.heard[-1:] == ["settle"])
    kept.stop()
    assert "womm: what jobs that have ended had changed may be lost\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("end", "why"),
    [("exit 1", "exit status 1"), ("exec sleep 60", "no end within 1 s")],
)
def test_of_pods_that_can_not_be_replaced_those_that_go_are_lost_and_the_others_keep_no_end_back(
    export: Export, tmp_path: Path, capfd: pytest.CaptureFixture[str], end: str, why: str
) -> None:
    (tmp_path / "deleted").write_text("pod/pod-1\n")
    (tmp_path / "end").write_text(end)
    first, jobs = Way(NEW), Jobs()
    kept = Keeping(export, jobs, dialled(first, Way(NEW))[0])
    kept.start()
    kept.wait()
    first.kill()
    until(lambda: jobs.heard == ["doubt", "doubt", "condemn pod-1", "settle"])
    kept.stop()
    assert f"the task's pods can't be replaced: {why}" in capfd.readouterr().err


def test_where_no_pod_can_be_replaced_at_all_the_share_is_kept_up_all_the_same(
    export: Export, hermetic: Hermetic, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second, jobs = Way(NEW), Way(NEW), Jobs()
    dial, asked = dialled(first, second, Way(SAME))
    kept = Keeping(export, jobs, dial)
    kept.start()
    kept.wait()
    hermetic.only("sh")
    first.kill()
    until(lambda: jobs.heard == ["doubt", "doubt", "condemn ", "settle"])
    second.kill()
    until(lambda: jobs.heard[4:] == ["doubt", "settle"])
    kept.stop()
    assert asked == [False, True, True]
    assert "the task's pods can't be replaced: kubectl is not installed" in capfd.readouterr().err


@pytest.mark.parametrize("said", [SAME, NEW])
def test_where_the_share_does_not_come_back_ends_count_after_a_time_until_it_does(
    export: Export, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], said: str
) -> None:
    monkeypatch.setattr(keeping, "_HELD", 0.2)
    there = threading.Event()
    first, jobs = Way(NEW), Jobs()
    ways = [first]

    def dial(_again: bool) -> Way:
        if ways:
            return ways.pop()
        if there.is_set():
            return Way(said)
        raise WommError("there is no server", "none")

    kept = Keeping(export, jobs, dial)
    kept.start()
    kept.wait()
    first.kill()
    until(lambda: jobs.heard == ["doubt", "settle"])
    # Now it takes as long as it takes to have pods replaced.
    monkeypatch.setattr(keeping, "_HELD", 60.0)
    there.set()
    back = "served anew" if said == NEW else "within the pods' reach again"
    heard = [""]

    def is_back() -> bool:
        heard[0] += capfd.readouterr().err
        return back in heard[0]

    until(is_back)
    kept.stop()
    assert jobs.heard[2:] == (["doubt", "condemn ", "settle"] if said == NEW else [])
    warning = "womm: /home/ann/work does not come back (there is no server): jobs' ends count again"
    assert heard[0].count(warning) == 1


def test_a_way_that_neither_ends_nor_is_ready_holds_no_end_back_for_ever(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_HELD", 0.1)
    first, jobs = Way(NEW), Jobs()
    kept = Keeping(export, jobs, dialled(first, Way())[0])
    kept.start()
    kept.wait()
    first.kill()
    until(lambda: jobs.heard == ["doubt", "settle"])
    kept.stop()
    assert jobs.heard == ["doubt", "settle"]


def test_a_bug_that_ends_the_keeping_holds_no_end_back(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    bugs: list[object] = []
    monkeypatch.setattr(threading, "excepthook", bugs.append)
    first, jobs = Way(NEW), Jobs()
    kept = Keeping(export, jobs, dialled(first, Way(f"{NEW} more"))[0])
    kept.start()
    kept.wait()
    first.kill()
    until(lambda: jobs.heard == ["doubt", "settle"])
    kept.stop()
    assert len(bugs) == 1


def test_when_the_task_is_over_its_end_is_no_news(
    export: Export, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    way = Way(NEW)
    dial, asked = dialled(way)
    kept = Keeping(export, Jobs(), dial)
    kept.start()
    kept.wait()
    kept.leave()
    way.kill()
    kept.join(10)
    assert asked == [False]
    assert calls(tmp_path) == []
    assert capfd.readouterr().err == ""
    kept.stop()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """What listens at a Unix socket below `tmp_path`."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        listening.settimeout(10)
        yield listening


def test_a_program_that_is_joined_speaks_with_who_listens(listener: socket.socket, tmp_path: Path) -> None:
    script = "import sys; print('asked', flush=True); print('got', input(), file=sys.stderr)"
    joined = Joined([sys.executable, "-c", script], str(tmp_path / "socket"), env={})
    connection = listener.accept()[0]
    with connection, connection.makefile("rb") as said:
        assert said.readline() == b"asked\n"
        connection.send(b"word\n")
        assert list(joined.lines()) == ["got word"]
        assert joined.end() == ""
        assert said.read() == b""


def test_a_joined_program_ends_with_its_connection_even_if_it_does_not_look(
    listener: socket.socket, tmp_path: Path
) -> None:
    joined = Joined(["sh", "-c", "echo on >&2; exec sleep 60"], str(tmp_path / "socket"), env={})
    lines = joined.lines()
    assert next(lines) == "on"
    listener.accept()[0].close()
    assert list(lines) == []
    joined.end()
    assert not joined.running


def test_a_program_can_be_told_to_end_by_itself() -> None:
    heard = Heard(["sh", "-c", "cat; echo last >&2"], env={})
    heard.let_go()
    assert list(heard.lines()) == ["last"]
    heard.end()


def test_a_program_that_is_heard_knows_that_we_live() -> None:
    heard = Heard(["sh", "-c", "echo ready >&2; exec cat"], env={})
    lines = heard.lines()
    assert next(lines) == "ready"
    heard.kill()
    assert list(lines) == []
    assert heard.end() == ""
