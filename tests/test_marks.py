"""Where a copy of GNU parallel's output may end."""

from __future__ import annotations

from womm.tasks.marks import Place, safe


def test_before_the_first_job_all_is_gnu_parallels_own() -> None:
    assert safe(Place(0, 40, 66), b"") == Place(0, 40, 66)


def test_in_the_middle_of_a_jobs_output_the_copy_ends_before_it() -> None:
    assert safe(Place(15, 40, 66), b"b 10 40 66\n") == Place(10, 40, 66)


def test_a_note_that_is_half_written_does_not_count() -> None:
    assert safe(Place(9, 0, 66), b"b 0 0 66\ne 9 0 100\nb 9 0 10") == Place(9, 0, 100)


def test_between_two_jobs_what_is_said_meanwhile_may_be_copied() -> None:
    assert safe(Place(20, 77, 100), b"b 10 40 66\ne 20 40 100\n") == Place(20, 77, 100)


def test_sizes_that_are_older_than_the_last_note_do_not_hold_it_back() -> None:
    assert safe(Place(10, 40, 66), b"b 10 40 66\ne 20 41 100\n") == Place(20, 41, 100)
