"""GNU parallel's joblog, read as GNU parallel writes it, and the summary of a run with failures."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from conftest import Hermetic
from hypothesis import given
from hypothesis import strategies as st

from womm.files import PARALLEL
from womm.joblog import (
    NAMED,
    Row,
    duration,
    harmless,
    in_use,
    once_more,
    read,
    shortened,
    summary,
    survives,
    wall,
)

HEADER = b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"


def job(seq: int = 1, start: float = 0.0, seconds: float = 1.0, status: int = 0, **more: object) -> Row:
    """A row; `more`: host, signal, command."""
    given_ = {"host": "h", "signal": 0, "command": "true", **more}
    return Row(seq=seq, start=start, seconds=seconds, status=status, **given_)  # type: ignore[arg-type]


def written(row: Row) -> bytes:
    """The line that GNU parallel writes for this job (sub print_joblog)."""
    command = os.fsencode(row.command).replace(b"\n", b"\0")
    times = f"{row.start:.3f}\t{row.seconds:10.3f}"
    return f"{row.seq}\t{row.host}\t{times}\t0\t5\t{row.status}\t{row.signal}\t".encode() + command + b"\n"


commands = st.binary().map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))
jobs = st.builds(
    Row,
    seq=st.integers(1, 10**9),
    host=st.sampled_from([":", "womm-task-abcdefgh-5d8f-xyz12", "womm-task-abcdefgh-5d8f-xyz12.1"]),
    start=st.integers(0, 4 * 10**12).map(lambda ms: ms / 1000),
    seconds=st.integers(0, 10**9).map(lambda ms: ms / 1000),
    status=st.integers(-2, 255),
    signal=st.integers(0, 64),
    command=commands,
)


@given(st.lists(jobs))
def test_every_row_that_gnu_parallel_writes_is_read_whatever_its_command(rows: list[Row]) -> None:
    assert read(HEADER + b"".join(map(written, rows))) == rows
    # --joblog +FILE has no header.
    assert read(b"".join(map(written, rows))) == rows


@given(st.binary())
def test_what_is_no_joblog_has_no_rows_or_some(content: bytes) -> None:
    read(content)
    assert read(content.replace(b"\t", b" ")) == []


def test_a_row_that_is_not_finished_does_not_count() -> None:
    whole = HEADER + written(job(1)) + written(job(2, command="echo a"))
    for cut in range(1, 10):
        assert [row.seq for row in read(whole[:-cut])] == [1]


def test_gnu_parallels_own_rows_are_read(hermetic: Hermetic) -> None:
    log = hermetic.root / "log"
    script = "printf '\\t'; [ {} != 9 ] || kill -9 $$\nexit {}"
    argv = ["perl", PARALLEL, "--will-cite", "--joblog", log, "-k", "--timeout", "1", script]
    subprocess.run([*argv, ":::", "0", "3", "9"], check=False, capture_output=True)
    rows = sorted(read(log.read_bytes()), key=lambda row: row.seq)
    assert [row.command for row in rows] == [script.replace("{}", n) for n in "039"]
    assert [row.how for row in rows][1:] == ["exit status 3", "killed by KILL"]
    assert [row.failed for row in rows] == [False, True, True]
    assert all(row.host == ":" and row.start > 1.7e9 and row.seconds < 60 for row in rows)
    subprocess.run([*argv[:-1], "exec sleep", ":::", "30"], check=False, capture_output=True)
    assert [row.how for row in read(log.read_bytes())] == ["timed out"]


def test_slots_are_in_use_while_jobs_run() -> None:
    rows = [job(1, 10, 4), job(2, 10, 1), job(3, 12, 2)]
    assert (wall(rows), in_use(rows, 2)) == (4, 7 / 8)
    assert (wall([]), in_use([], 3), in_use([job(seconds=0)], 1)) == (0, 1, 1)


@given(st.lists(jobs, min_size=1), st.integers(1, 1000))
def test_no_more_than_all_of_the_slots_time_is_in_use(rows: list[Row], slots: int) -> None:
    assert 0 <= in_use(rows, slots) <= 1


def test_a_run_that_went_well_has_no_summary() -> None:
    assert summary([job(1), job(2)], 2, 80) == []
    assert summary([], 2, 80) == []


def test_the_summary_names_the_failed_jobs_in_their_order() -> None:
    rows = [
        job(3, 2, 8, 1, command="convert c.png"),
        job(1, 0, 1),
        job(2, 1, 1, 137, signal=9, command="b\x1b[31m\n"),
        job(12, 0, 1, -1, signal=15, command="sleep 9"),
    ]
    assert summary(rows, 2, 80) == [
        "womm: 3 of 4 jobs failed in 10.0 s; 2 jobslots were 55% in use",
        "womm:    2  killed by KILL  b\\x1b[31m\\n",
        "womm:    3  exit status 1   convert c.png",
        "womm:   12  timed out       sleep 9",
    ]


@given(st.lists(jobs), st.integers(20, 200))
def test_the_summary_is_short_narrow_and_harmless(rows: list[Row], width: int) -> None:
    lines = summary(rows, 3, width)
    failed = sum(row.failed for row in rows)
    assert len(lines) == (0 if failed == 0 else 1 + min(failed, NAMED) + (failed > NAMED))
    assert all(line.isprintable() for line in lines)
    assert all(len(line) <= width for line in lines[1 : 1 + NAMED])
    assert failed <= NAMED or lines[-1] == f"womm:   … and {failed - NAMED} more"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本", 4, "日本"), ("日本語", 4, "日…"), ("", 1, "")],
)
def test_a_text_is_shortened_to_columns(text: str, width: int, shown: str) -> None:
    assert shortened(text, width) == shown


def test_what_a_terminal_could_obey_is_shown_in_words() -> None:
    assert harmless("a\x1b]0;x\x07\u202eé\udcff\t") == "a\\x1b]0;x\\x07\\u202eé\\xff\\t"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (9.994, "9.99 s"),
        (9.996, "10.0 s"),
        (59.96, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3599.7, "1 h 0 min"),
        (12000, "3 h 20 min"),
    ],
)
def test_a_time_is_told_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_failed_jobs_can_be_retried_if_the_joblog_says_what_they_were() -> None:
    failed = [job(2, status=1, command="b"), job(5, status=1, command="e")]
    assert once_more([job(1), *failed], failed, more=False)
    # --onall counts on each host from 1: a success hides another host's failure.
    assert not once_more([job(2), *failed], failed, more=False)
    assert not once_more([*failed, failed[0]], [*failed, failed[0]], more=False)
    # Appended to other jobs' log: they, too, would run; that is right where they are this run's own.
    other = job(7, status=1)
    assert not once_more([other, *failed], failed, more=False)
    assert once_more([other, *failed], failed, more=True)
    assert not once_more([*failed, job(2, status=1, command="another")], failed, more=True)


TEXTS = ["plain $x", "é", "日é", "naïve 日", "\udcff", "日\udcff", "a\nb", "\x85"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_command_survives_retry_failed_as_far_as_gnu_parallel_keeps_it(
    hermetic: Hermetic, text: str
) -> None:
    log = hermetic.root / "log"
    command = f"printf %s '{text}'"
    log.write_bytes(HEADER + written(job(1, status=1, command=command)))
    argv = ["perl", PARALLEL, "--will-cite", "--retry-failed", "--joblog", log]
    out = subprocess.run(argv, check=False, capture_output=True, stdin=subprocess.DEVNULL).stdout
    assert (out == os.fsencode(text)) is survives(command)


def test_a_large_joblog_is_read_soon_enough_to_be_read_after_each_run() -> None:
    content = HEADER + written(job(1, command="x" * 80)) * 20_000
    assert len(read(content)) == 20_000


def test_the_joblog_of_nothing_is_empty(tmp_path: Path) -> None:
    assert read(b"") == read(HEADER) == []
