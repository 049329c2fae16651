"""womm.getopt reads command lines as the real Getopt::Long does, with GNU parallel's own table."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from womm.errors import WommError
from womm.files import PARALLEL, PARALLEL_OPTIONS
from womm.getopt import BadOption, Option, Table, Token, load_table, parse

TOOL = Path(__file__).resolve().parent.parent / "tools" / "parallel-options"
TABLE = load_table(PARALLEL_OPTIONS)
NAMES = sorted({name for option in TABLE.theirs for name in option.names})
LETTERS = [name for name in NAMES if len(name) == 1]

Perl = Callable[[Sequence[str]], dict[str, Any]]

pytestmark = pytest.mark.usefixtures("hermetic")


@pytest.fixture(scope="module")
def perl() -> Iterator[Perl]:
    """The real Getopt::Long: one process that answers every question."""
    process = subprocess.Popen(
        [TOOL, PARALLEL, "--parse-lines"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, process.stdin as questions, process.stdout as answers:

        def ask(arguments: Sequence[str]) -> dict[str, Any]:
            # Perl sees bytes: a character for each of them, there and back.
            chars = [argument.encode("utf-8", "surrogateescape").decode("latin-1") for argument in arguments]
            questions.write(json.dumps(chars) + "\n")
            questions.flush()
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

        yield ask


def text(latin: str) -> str:
    """The string that Python makes of the bytes that Perl printed."""
    return latin.encode("latin-1").decode("utf-8", "surrogateescape")


def same_value(token: Token, value: str) -> bool:
    """Whether Perl's `value` is the token's: Perl turns numbers into numbers, and words them anew."""
    given = token.value
    if token.option.value == "none":
        return given is None and value == "1"
    if token.option.type == "string":
        return (given or "") == text(value)
    if not given:
        return value == "0"
    # Perl drops `_` from a number of its own argument; in a bundle it reads up to the first one.
    return float(value) in {perl_number(given.replace("_", "")), perl_number(given)}


def perl_number(given: str) -> float:
    """What Perl's 0+$given is."""
    match = re.match(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", given)
    return float(match.group()) if match else 0.0


# Getopt::Long 2.52 means a decimal point and takes any character ("\\." in double quotes); later ones
# don't. What no version's manual says is left out.
_ANY_POINT = re.compile(r"[0-9_][^.0-9_eE][0-9_]", re.DOTALL)


def has_odd_fraction(arguments: Sequence[str]) -> bool:
    """Whether Getopt::Long might take one of these for a number with another sign than a point."""
    return any(_ANY_POINT.search(argument) for argument in arguments)


# Arguments near to the ways in which options are written, and arguments of any text.
starters = st.sampled_from(["-", "--", "+", "---", ""])
values = st.one_of(
    st.sampled_from(
        [
            "",
            "4",
            "-4",
            "+4",
            "1_0",
            "_1",
            "-_1",
            "1.5",
            ".5",
            "1.",
            "1e3",
            "1e",
            "4\n",
            "4x",
            "x",
            "0x10",
            "a=b",
            "=",
            "a=",
            "-",
            "--",
            "+",
            "-\n",
            "+\n",
            "--\n",
            "-k",
            "--k",
            "+k",
            ":::",
            "é",
            "\udcff",
        ]
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4),
)
names = st.sampled_from(NAMES).flatmap(
    lambda name: st.sampled_from([name, name.upper(), name[: max(1, len(name) // 2)], name[:-1], name[:3]])
)
long_options = st.builds("".join, st.tuples(starters, names, st.sampled_from(["", "="]), values))
bare_options = st.builds("".join, st.tuples(st.sampled_from(["--", "+"]), names))
bundles = st.builds(
    lambda letters, value: f"-{''.join(letters)}{value}",
    st.lists(st.sampled_from(LETTERS), min_size=1, max_size=4),
    values,
)
lines = st.lists(st.one_of(long_options, bare_options, bare_options, bundles, values), max_size=6)


@settings(max_examples=500, deadline=None)
@given(arguments=lines)
@example(arguments=["--template", "x", "cmd"])
@example(arguments=["--template", "x=y", "cmd"])
@example(arguments=["--template=x", "cmd"])
@example(arguments=["--nice", "1_0", "cmd"])
@example(arguments=["--nice", "10\n", "cmd"])
@example(arguments=["--nice=10\n", "cmd"])
@example(arguments=["--nice=10\n\n", "cmd"])
@example(arguments=["-l", "2\n", "cmd"])
@example(arguments=["-l2\n", "cmd"])
@example(arguments=["-i", "+", "cmd"])
@example(arguments=["-i", "-\n", "cmd"])
@example(arguments=["-i", "--\n", "cmd"])
@example(arguments=["--\u212aeep-order", "cmd"])
@example(arguments=["--dry-run\n", "cmd"])
@example(arguments=["+", "cmd"])
@example(arguments=["", "cmd"])
def test_options_values_rest_and_refusals_are_those_of_getopt_long(perl: Perl, arguments: list[str]) -> None:
    assume(not has_odd_fraction(arguments))
    theirs = perl(arguments)
    if not theirs["ok"]:
        with pytest.raises(BadOption):
            parse(arguments, TABLE)
        return
    ours = parse(arguments, TABLE)
    assert ours.rest == [text(argument) for argument in theirs["rest"]]
    pairs = list(zip(ours.tokens, theirs["options"], strict=True))
    for token, (name, value) in pairs:
        assert name in token.option.names
        assert same_value(token, value), (token, value)


@settings(max_examples=200, deadline=None)
@given(arguments=lines)
def test_what_is_passed_on_says_the_same_again(perl: Perl, arguments: list[str]) -> None:
    assume(not has_odd_fraction(arguments))
    try:
        ours = parse(arguments, TABLE)
    except BadOption:
        assert not perl(arguments)["ok"]
        return
    raw = [argument for token in ours.tokens for argument in token.raw]
    again = perl([*raw, "--", *ours.rest])
    assert again["ok"]
    assert again["options"] == perl(arguments)["options"]
    assert [text(argument) for argument in again["rest"]] == ours.rest


@pytest.mark.parametrize("arguments", [["--", "a"], ["-k", "--", "a"], ["-j", "4", "--"]])
def test_a_terminator_is_told_from_a_word(arguments: list[str]) -> None:
    assert parse(arguments, TABLE).terminated
    assert not parse([a for a in arguments if a != "--"], TABLE).terminated


def test_an_options_value_is_no_terminator() -> None:
    parsed = parse(["--wd", "--", "--", "a"], TABLE)
    assert [(t.name, t.value, t.raw) for t in parsed.tokens] == [
        (parsed.tokens[0].name, "--", ("--wd", "--"))
    ]
    assert "wd" in parsed.tokens[0].option.names
    assert (parsed.rest, parsed.terminated) == (["a"], True)


def test_our_options_count_only_when_they_are_written_out() -> None:
    ours = Option(("kube-pods",), "required", "string")
    table = Table(TABLE.theirs, (ours,))
    assert parse(["--kube-pods", "3"], table).tokens == [Token(ours, "3", ("--kube-pods", "3"))]
    assert parse(["--kube-pods=3"], table).tokens == [Token(ours, "3", ("--kube-pods=3",))]
    for shortened in ("--kube-pod", "--kube", "+kube-pods", "--KUBE-PODS"):
        with pytest.raises(BadOption):
            parse([shortened, "3"], table)


def test_a_refusal_carries_the_arguments_that_gnu_parallel_can_be_shown() -> None:
    for arguments, shown in [
        (["-k", "--no-such", "x"], ["--no-such"]),
        (["--nice=x"], ["--nice=x"]),
        (["--nice", "x"], ["--nice", "x"]),
        (["-k@"], ["-@"]),
        (["--template", "x"], ["--template", "x"]),
    ]:
        with pytest.raises(BadOption) as caught:
            parse(arguments, TABLE)
        assert caught.value.arguments == shown


def test_a_missing_table_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(WommError, match="GNU parallel is missing") as caught:
        load_table(tmp_path / "none.json")
    assert "make vendor" in caught.value.hint
