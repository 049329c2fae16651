"""What a command line with --async asks for, and what it can't have."""

from __future__ import annotations

import pytest

from womm.errors import WommError
from womm.files import PARALLEL_OPTIONS
from womm.getopt import load_table
from womm.options import OURS, ParallelOptions, split
from womm.tasks.detached import Detached

TABLE = load_table(PARALLEL_OPTIONS, OURS)


def understood(*arguments: str) -> ParallelOptions:
    """The command line `womm parallel --async ARGUMENTS`."""
    return split(["--async", "--kube-pods", "2", *arguments], TABLE, {})


def asked(*arguments: str) -> Detached:
    """What such a command line asks for."""
    detached = understood(*arguments).detached
    assert detached is not None
    return detached


def test_without_async_there_is_nothing_of_the_kind() -> None:
    assert split(["--kube-pods", "2", "--", "echo"], TABLE, {}).detached is None


def test_options_and_command_are_as_they_would_be_without_it() -> None:
    options = ("-j", "3", "--tag", "-k", "--wd", ".", "--", "wc", "-l", "{}", ":::", "a b", "-x")
    plain = split(["--kube-pods", "2", *options], TABLE, {})
    found = asked(*options)
    assert (found.theirs, found.command) == (plain.theirs, plain.command)
    assert understood(*options).workers == plain.workers


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (("--", "echo"), True),
        (("--", "echo", ":::", "a"), False),
        (("--", "echo", "::::", "list"), False),
        (("--", "echo", "::::", "-"), True),
        (("--", "echo", "::::", "list", "-"), True),
        (("-a", "list", "--", "echo"), False),
        (("-a", "-", "--", "echo"), True),
        (("-a", "-", "--", "echo", ":::", "a"), True),
        (("--pipe", "--", "wc"), True),
        (("--pipe", "--", "wc", ":::", "a"), True),
    ],
)
def test_stdin_is_taken_along_where_gnu_parallel_reads_it(arguments: tuple[str, ...], stdin: bool) -> None:
    assert asked(*arguments).stdin is stdin


def test_files_of_arguments_are_taken_along_in_their_order() -> None:
    found = asked(
        "-a", "one", "--arg-file", "-", "--", "echo", "::::", "two", "-", ":::", "x", "::::+", "three"
    )
    assert found.files == ("one", "two", "three")
    assert found.theirs == ("--arg-file", "/work/file1", "--arg-file", "-")
    assert found.command == (
        "echo", "::::", "/work/file2", "-", ":::", "x", "::::+", "/work/file3",
    )  # fmt: skip


def test_files_beyond_those_that_have_a_place_are_refused() -> None:
    names = [str(number) for number in range(10)]
    assert asked("--", "echo", "::::", *names[:9]).files == tuple(names[:9])
    with pytest.raises(WommError, match="from 9 files at most"):
        asked("--", "echo", "::::", *names)


@pytest.mark.parametrize("option", ["-X", "-m", "--pipe", "--shuf", "--xargs"])
def test_where_jobs_have_no_number_of_their_own_nobody_can_go_on(option: str) -> None:
    assert not asked(option, "--", "echo").repeatable
    assert asked("-N", "2", "--", "echo").repeatable


def test_variables_that_jobs_get_are_named_one_by_one() -> None:
    assert asked("--env", "A,B", "--env", "C", "--", "echo").exported == ("A", "B", "C")
    with pytest.raises(WommError, match="--env _ can't be used with --async"):
        asked("--env", "_", "--", "echo")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--local-procs", "2"),
        ("--timeline", "run.html"),
        ("--results", "out"),
        ("--files",),
        ("--joblog", "log"),
        ("--resume", "--joblog", "log"),
        ("--return", "{}.out"),
        ("--transferfile", "{}"),
        ("--trc", "{}.out"),
        ("--basefile", "x"),
        ("--tmux",),
        ("--tty",),
        ("-p",),
    ],
)
def test_what_needs_this_machine_is_refused_with_the_way_out(arguments: tuple[str, ...]) -> None:
    with pytest.raises(WommError, match=r"can't be used with --async") as refused:
        asked(*arguments, "--", "echo", ":::", "a")
    assert refused.value.hint
