"""What pods see of a directory over NFS, as the file server's lines say it, and as people read it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from womm.tasks import views
from womm.tasks.views import DOWN, READY, View

PATH = "0123456789abcdef" * 2


def test_the_nfs_servers_lines_are_read_and_others_passed_over() -> None:
    printed = (
        f"aaaaaaaa eager {PATH} ready 0\n"
        f"bbbbbbbb lazy {PATH} ready 60\n"
        f"cccccccc lazy {PATH} down 1 and more of a later version\n"
        f"dddddddd lazy {PATH} upside 1\n"
        f"eeeeeeee lazy {PATH} ready soon\n"
        f"ffffffff lazy {PATH} ready 9999999999\n"
        "\ngggggggg lazy\n"
    )
    assert views.told(0, printed) == {
        "aaaaaaaa": View(READY),
        "bbbbbbbb": View(READY, 60),
        "cccccccc": View(DOWN, 1),
    }


@given(st.text())
def test_no_line_of_a_file_server_breaks_the_list(printed: str) -> None:
    views.told(0, printed)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        # No NFS server any more; none that the file server can reach: nothing is served.
        (4, {}),
        (255, {}),
        # kubectl's own end; no such script; killed.
        (1, None),
        (127, None),
        (124, None),
    ],
)
def test_who_has_no_answer_knows_nothing_unless_there_is_nothing(
    status: int, expected: dict[str, View] | None
) -> None:
    assert views.told(status, f"aaaaaaaa eager {PATH} ready 0\n") == expected


@pytest.mark.parametrize(
    ("share", "via", "view", "shown"),
    [
        ("eager", "nfs", View(READY), "eager (nfs), ready"),
        ("eager", "nfs", View(DOWN), "eager (nfs), down"),
        ("eager", "nfs", None, "eager (nfs)"),
        ("eager", "copy", None, "eager (copy)"),
        ("lazy", "nfs", View(READY, 2), "lazy, age 2 s"),
        ("lazy", "nfs", View(DOWN, 2), "lazy, down"),
        ("lazy", "nfs", None, "lazy"),
        ("syncback", "copy", None, "syncback (copy)"),
        ("syncback", "nfs", View(READY), "syncback (nfs), ready"),
        ("eager", "", None, "eager"),
        ("none", "", None, "none"),
        ("", "", None, ""),
    ],
)
def test_people_read_a_share_with_its_state(share: str, via: str, view: View | None, shown: str) -> None:
    assert views.text(share, via, view) == shown
