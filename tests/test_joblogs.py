"""Joblogs on this machine: what a run leaves, what stays, what is found again."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from conftest import Hermetic

from womm import joblogs, signals
from womm.errors import WommError
from womm.joblogs import KEPT, Record
from womm.retry import Log
from womm.runs import runs_directory

HEADER = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"


@pytest.fixture
def scratch(hermetic: Hermetic) -> Path:
    """The run's directory."""
    path = hermetic.root / "scratch"
    path.mkdir()
    return path


def row(seq: int, status: int = 0, command: str = "true") -> str:
    """A joblog's line."""
    return f"{seq}\tp\t100.000\t     1.000\t0\t0\t{status}\t0\t{command}\n"


def kept() -> Path:
    """Where joblogs are kept."""
    return joblogs.directory()


def names() -> list[str]:
    """What is kept."""
    return sorted(path.name for path in kept().iterdir())


def log_of(record: Record) -> Path:
    """The file that GNU parallel is told to write."""
    assert record.arguments[0] == "--joblog"
    return Path(record.arguments[1])


def test_a_run_has_a_private_joblog_that_stays(scratch: Path) -> None:
    record = Record(Log(), "abcdefgh", 4, scratch)
    path = log_of(record)
    assert path == kept() / "abcdefgh.tsv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept().stat().st_mode) == 0o700
    path.write_text(HEADER + row(1) + row(2, 3, "x"))
    (scratch / "places").write_text("1\t100.0\tpod\n")
    record.close()
    assert [(r.seq, r.status) for r in record.rows] == [(1, 0), (2, 3)]
    assert record.again
    assert record.retry == ("--retry-failed", "--joblog", str(path))
    assert record.notes == b"slots\t4\n1\t100.0\tpod\n"
    rows, notes = joblogs.find("abcdefgh")
    assert (rows, notes) == (record.rows, record.notes)
    assert joblogs.find(str(path)) == (rows, notes)
    assert stat.S_IMODE((kept() / "abcdefgh.places").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", HEADER])
def test_a_run_without_jobs_leaves_nothing(scratch: Path, content: str) -> None:
    record = Record(Log(), "abcdefgh", 4, scratch)
    log_of(record).write_text(content)
    record.close()
    assert (record.rows, names()) == ([], [])


def test_an_interrupted_run_has_no_summary_but_its_joblog_stays(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record(Log(), "abcdefgh", 4, scratch)
    log_of(record).write_text(HEADER + row(1, 1))
    monkeypatch.setattr(signals, "received", lambda: True)
    record.close()
    assert (record.rows, names()) == ([], ["abcdefgh.places", "abcdefgh.tsv"])


def test_the_newest_stay_and_those_of_runs_that_go_on(scratch: Path) -> None:
    kept().mkdir(parents=True)
    for n in range(KEPT + 3):
        for suffix in ("tsv", "places"):
            path = kept() / f"old{n:05}.{suffix}"
            path.write_text(HEADER + row(1))
            os.utime(path, (n, n))
    (runs_directory() / "old00001").mkdir()
    Record(Log(), "abcdefgh", 1, scratch)
    stay = ["abcdefgh.tsv", *(f"old{n:05}.tsv" for n in (1, *range(4, KEPT + 3)))]
    assert [name for name in names() if name.endswith(".tsv")] == stay
    assert {name.partition(".")[0] for name in names()} == {name.partition(".")[0] for name in stay}


@pytest.mark.parametrize("home", ["/proc/self/x", "/dev/null/x", "file"])
def test_where_nothing_can_be_kept_the_failed_jobs_are_known_all_the_same(
    hermetic: Hermetic, scratch: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (hermetic.root / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(hermetic.root / home))
    record = Record(Log(), "abcdefgh", 1, scratch)
    assert log_of(record) == scratch / "joblog"
    log_of(record).write_text(HEADER + row(1, 1))
    record.close()
    assert ([r.seq for r in record.rows], record.again) == ([1], False)


def test_the_users_own_joblog_is_read_where_it_is(scratch: Path) -> None:
    own = scratch / "own"
    own.write_text("what is written over")
    record = Record(Log(str(own), addable=False), "abcdefgh", 1, scratch)
    assert record.arguments == ()
    own.write_text(HEADER + row(1, 1))
    record.close()
    assert ([r.seq for r in record.rows], record.again) == ([1], True)
    assert record.retry[-1] == str(own)
    assert not kept().exists()


def test_of_a_joblog_that_is_added_to_only_what_is_new_counts(scratch: Path) -> None:
    own = scratch / "own"
    before = HEADER + row(1) + row(2, 1, "b") + row(3, 1, "c")
    own.write_text(before)
    record = Record(Log(str(own), appends=True, addable=False), "abcdefgh", 1, scratch)
    # An empty command is what GNU parallel makes of a number that the joblog lacks.
    own.write_text(before + row(2) + row(3, 1, "c") + row(4, 0, ""))
    record.close()
    assert ([(r.seq, r.status) for r in record.rows], record.again) == ([(2, 0), (3, 1)], True)


def test_a_joblog_that_was_replaced_meanwhile_is_read_whole(scratch: Path) -> None:
    own = scratch / "own"
    own.write_text(HEADER + row(1, 1) * 9)
    record = Record(Log(str(own), appends=True, addable=False), "abcdefgh", 1, scratch)
    own.write_text(HEADER + row(7, 1))
    record.close()
    assert [r.seq for r in record.rows] == [7]


def test_a_retry_is_not_proposed_where_other_runs_jobs_would_run(scratch: Path) -> None:
    own = scratch / "own"
    own.write_text(row(9, 1, "another"))
    record = Record(Log(f"+{own}", appends=True, addable=False), "abcdefgh", 1, scratch)
    own.write_text(row(9, 1, "another") + row(1, 1, "b"))
    record.close()
    assert ([r.seq for r in record.rows], record.again) == ([1], False)


def test_what_a_retry_of_a_kept_joblog_ran_where_is_kept_beside_it(scratch: Path) -> None:
    first = Record(Log(), "abcdefgh", 2, scratch)
    path = log_of(first)
    path.write_text(HEADER + row(1, 1))
    (scratch / "places").write_text("1\t100.0\tpod\n")
    first.close()
    (scratch / "places").write_text("1\t200.0\tanother\n")
    again = Record(Log(str(path), appends=True, addable=False), "ijklmnop", 3, scratch)
    again.close()
    assert joblogs.find("abcdefgh")[1] == b"slots\t2\n1\t100.0\tpod\nslots\t3\n1\t200.0\tanother\n"


def test_of_jobs_that_each_pod_has_gnu_parallel_says_where_they_ran(scratch: Path) -> None:
    own = scratch / "own"
    (scratch / "places").write_text("1\t100.0\tpod\n")
    record = Record(Log(str(own), addable=False), "abcdefgh", 2, scratch, whole=True)
    own.write_text(HEADER + row(1, 1))
    record.close()
    assert record.notes == b"slots\t2\n"


@pytest.mark.parametrize("name", ["abcdefgh", "nowhere/log", "."])
def test_what_is_not_there_is_said(hermetic: Hermetic, name: str) -> None:
    with pytest.raises(WommError) as caught:
        joblogs.find(name)
    assert caught.value.hint


def test_a_file_that_is_named_as_runs_are_is_found(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hermetic.root)
    (hermetic.root / "abcdefgh").write_text(HEADER + row(5))
    assert [r.seq for r in joblogs.find("abcdefgh")[0]] == [5]


@pytest.mark.parametrize(
    ("log", "can"),
    [
        (Log(), True),
        (Log("not-there", addable=False), True),
        (Log("file", addable=False), True),
        (Log("+file", addable=False), True),
        (Log("/dev/null", addable=False), False),
        (Log("-", addable=False), False),
        (Log("", addable=False), False),
        (Log(addable=False), False),
    ],
)
def test_it_is_known_before_a_run_whether_its_joblog_can_be_read(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch, log: Log, can: bool
) -> None:
    monkeypatch.chdir(hermetic.root)
    (hermetic.root / "file").touch()
    assert joblogs.can_be_read(log) is can
