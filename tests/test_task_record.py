"""What this machine keeps of tasks that run by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Hermetic

from womm.errors import WommError
from womm.kubectl import Kube
from womm.runs import RESULTS
from womm.tasks import record
from womm.tasks.record import Record

KEPT = Record("abcdefgh", Kube("team", "east"), "/home/ann/wo\udcffrk", "/k", ("parallel", "--tag"))


def test_a_record_is_found_as_it_was_kept_until_it_is_forgotten(hermetic: Hermetic) -> None:
    assert (record.find("abcdefgh"), record.known()) == (None, [])
    KEPT.keep()
    assert (record.find("abcdefgh"), record.known()) == (KEPT, ["abcdefgh"])
    assert KEPT.path.stat().st_mode & 0o77 == 0
    KEPT.forget()
    assert (record.find("abcdefgh"), record.known()) == (None, [])


def test_results_are_expected_until_they_are_home(hermetic: Hermetic) -> None:
    KEPT.keep()
    assert not KEPT.has_results
    KEPT.write(RESULTS, b"{}")
    assert KEPT.has_results


@pytest.mark.parametrize("written", [b"", b"{}", b"[]", b"\xff"])
def test_a_record_that_is_broken_is_none(hermetic: Hermetic, written: bytes) -> None:
    KEPT.keep()
    (KEPT.path / "task").write_bytes(written)
    assert record.find("abcdefgh") is None


@pytest.mark.parametrize("task", ["", "../../etc", "abcdefg", "abcdefghi", "ABCDEFGH", "abcdefg\n"])
def test_what_is_no_id_is_refused_before_it_becomes_a_path(hermetic: Hermetic, task: str) -> None:
    with pytest.raises(WommError, match="is no task's id"):
        record.find(task)


def test_other_things_in_that_directory_are_no_tasks(hermetic: Hermetic) -> None:
    KEPT.keep()
    Path(KEPT.path.parent, "notes").mkdir()
    assert record.known() == ["abcdefgh"]
