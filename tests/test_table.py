"""How tasks are shown: to people, as wide as their terminal, and to programs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from womm.tasks import table
from womm.tasks.listing import Row
from womm.tasks.views import DOWN, READY, View

ROW = Row(
    id="blhqwudx",
    kind="foreground",
    status="RUNNING",
    created="2026-11-28T22:30:00Z",
    age=3000,
    cpu="1",
    memory="512Mi",
    ready=1,
    pods=1,
    directory="/home/audrey/proj/supercool",
    command="parallel -- sleep 1; echo {}",
    share="eager",
    machine="ab12" * 16,
    version="0.1.0",
    exit_status=None,
    done=None,
    failed=None,
    total=None,
)
BARE = replace(
    ROW, id="aaaaaaaa", status="UNKNOWN", created="", age=None, cpu="", memory="", ready=None, pods=None,
    directory="", command="", share="", machine="", version="",
)  # fmt: skip


def test_a_task_is_a_line_below_the_columns_names() -> None:
    assert table.text([ROW, BARE], "ab12").splitlines() == [
        "ID        AGE  STATUS   CPU  MEM    HEALTH  PWD                          COMMAND",
        "blhqwudx  50m  RUNNING  1    512Mi  1/1     "
        "/home/audrey/proj/supercool  parallel -- sleep 1; echo {}",
        "aaaaaaaa  -    UNKNOWN  -    -      -       -                            -",
    ]


def test_the_wide_table_has_jobs_share_and_machine_besides() -> None:
    counted = replace(ROW, done=7, failed=2, total=120)
    assert table.text([counted, BARE], ROW.machine, wide=True).splitlines() == [
        "ID        AGE  STATUS   CPU  MEM    HEALTH  DONE  FAILED  TOTAL  SHARE  MACHINE  "
        "PWD                          COMMAND",
        "blhqwudx  50m  RUNNING  1    512Mi  1/1     7     2       120    eager  here     "
        "/home/audrey/proj/supercool  parallel -- sleep 1; echo {}",
        "aaaaaaaa  -    UNKNOWN  -    -      -       -     -       -      -      -        "
        "-                            -",
    ]
    assert "eager  ab12ab12  /home" in table.text([counted], "another", wide=True)


LAZY = replace(ROW, share="lazy", via="nfs", view=View(READY, 2))


def test_a_share_over_nfs_is_shown_with_its_state_in_any_table() -> None:
    names, lazy, other = table.text([LAZY, ROW], ROW.machine).splitlines()
    assert names.split() == ["ID", "AGE", "STATUS", "CPU", "MEM", "HEALTH", "SHARE", "PWD", "COMMAND"]
    assert "  1/1     lazy, age 2 s  /home" in lazy
    assert "  1/1     eager          /home" in other
    down = table.text([replace(LAZY, view=View(DOWN))], ROW.machine, wide=True)
    assert "  lazy, down  here  " in down


@pytest.mark.parametrize(
    ("age", "shown"),
    [
        (None, "-"), (0, "0s"), (59, "59s"), (119, "119s"), (120, "2m"), (3000, "50m"), (7199, "119m"),
        (7200, "2h"), (172799, "47h"), (172800, "2d"), (86400 * 400, "400d"),
    ],
)  # fmt: skip
def test_an_age_has_two_or_three_digits(age: int | None, shown: str) -> None:
    assert table.age(age) == shown


def test_what_is_longer_than_a_terminals_line_is_cut() -> None:
    whole = table.text([ROW], "")
    longest = len(whole.splitlines()[1])
    assert table.text([ROW], "", width=longest) == whole
    cut = table.text([ROW], "", width=longest - 1).splitlines()[1]
    assert cut == whole.splitlines()[1][:-2] + "…"
    # The last column first, and then the others.
    assert table.text([ROW], "", width=90).splitlines()[1].endswith("supercool  parallel -- slee…")
    assert table.text([ROW], "", width=60).splitlines()[1].endswith("audrey/pr…")
    assert table.text([ROW], "", width=1).splitlines() == ["…", "…"]


def test_wide_characters_take_two_columns_and_accents_none() -> None:
    rows = [replace(ROW, directory=directory) for directory in ("/home/", "/家家", "/e\u0301")]
    plain, wide, accented = (line.index("parallel") for line in table.text(rows, "").splitlines()[1:])
    # By their columns all commands begin at the same place: by characters, two wide ones are two fewer.
    assert (wide - plain, accented - plain) == (-2, 1)
    assert table.text([replace(ROW, command="家" * 50)], "", width=80).splitlines()[1].endswith("家…")


HARM = "a\nb\x1b[31m\r\x9b2J\u202e\x7f\tc"


def test_nothing_of_a_tasks_text_is_a_terminals_command() -> None:
    for text in (
        table.text(
            [replace(ROW, command=HARM, directory=HARM, id=HARM, share=HARM, cpu=HARM)], "", wide=True
        ),
        table.as_json([replace(ROW, command=HARM, directory=HARM, machine=HARM)], ""),
    ):
        assert all(line.isprintable() for line in text.split("\n"))
    assert r"a\nb\x1b[31m\r\x9b2J\u202e\x7f\tc" in table.text([replace(ROW, command=HARM)], "")


@given(st.text(), st.integers(1, 200))
def test_every_line_fits_whatever_the_task_says(text: str, width: int) -> None:
    shown = table.text([replace(ROW, command=text, directory=text)], "", width=width)
    assert len(shown.split("\n")) == 3
    assert all(table._columns(line) <= width for line in shown.split("\n"))
    (item,) = json.loads(table.as_json([replace(ROW, command=text)], ""))
    assert item["command"] == text


def test_the_json_has_all_that_is_known() -> None:
    (item, bare) = json.loads(
        table.as_json([replace(ROW, done=7, failed=2, exit_status=2), BARE], ROW.machine)
    )
    assert item == {
        "id": "blhqwudx",
        "kind": "foreground",
        "status": "RUNNING",
        "created": "2026-11-28T22:30:00Z",
        "age": 3000,
        "cpu": "1",
        "memory": "512Mi",
        "directory": "/home/audrey/proj/supercool",
        "command": "parallel -- sleep 1; echo {}",
        "share": "eager",
        "view": {"via": "", "state": "", "age": None},
        "machine": ROW.machine,
        "version": "0.1.0",
        "exit_status": 2,
        "pods": {"ready": 1, "wanted": 1},
        "jobs": {"done": 7, "failed": 2, "total": None},
        "here": True,
    }
    assert (bare["here"], bare["age"], bare["pods"]) == (False, None, {"ready": None, "wanted": None})
    (lazy,) = json.loads(table.as_json([LAZY], ""))
    assert (lazy["share"], lazy["view"]) == ("lazy", {"via": "nfs", "state": "ready", "age": 2})
    assert table.as_json([], "") == "[]\n"
