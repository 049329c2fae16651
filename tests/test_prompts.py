"""Questions on a real pseudo-terminal: keys, Ctrl-C, few columns, a terminal that can do nothing."""

from __future__ import annotations

import os
import re
import sys

import pexpect
import pytest

from womm.prompts import Choice, titles

SHARES = (
    Choice("lazy", "lazily", "files come when a job opens them", "comes later"),
    Choice("eager", "eagerly", "each pod gets a copy"),
    Choice("none", "not at all", "jobs see an empty directory"),
)
ASK = """\
import sys
from womm import prompts, signals
from womm.errors import Interrupted
sys.path.insert(0, "tests")
from test_prompts import SHARES
try:
    with signals.as_exceptions():
        print("answer", repr(%s), flush=True)
except Interrupted as interrupted:
    sys.exit(128 + interrupted.signum)
"""
SELECT = 'prompts.select("How?", SHARES, "eager")'
SEVERAL = 'prompts.several("Which?", SHARES)'
TEXT = 'prompts.text("Name?", "abc", lambda line: "" if line.isalpha() else "letters only")'
CONFIRM = 'prompts.confirm("Sure?")'
TERMS = ("xterm-256color", "dumb", "")
DOWN, UP, CTRL_C, CTRL_D = "\x1b[B", "\x1b[A", "\x03", "\x04"


def asked(question: str, term: str, columns: int = 60) -> pexpect.spawn[str]:
    """A process that asks; at its question."""
    child = pexpect.spawn(
        sys.executable,
        ["-c", ASK % question],
        env={**os.environ, "TERM": term},
        dimensions=(24, columns),
        timeout=30,
        encoding="utf-8",
    )
    child.expect_exact({"s": "How?", "v": "Which?", "t": "Name?", "c": "Sure?"}[_kind(question)])
    # Its keys are read from here on.
    child.expect_exact("\x1b[?7h" if term.startswith("xterm") else "]")
    return child


def _kind(question: str) -> str:
    return {SELECT: "s", SEVERAL: "v", TEXT: "t", CONFIRM: "c"}[question]


def answer(child: pexpect.spawn[str]) -> str:
    """What the process printed, at its good end."""
    child.expect(r"answer (.*)\r\n")
    found = str(child.match.group(1))
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    return found


@pytest.mark.parametrize(
    ("question", "term", "keys", "expected"),
    [
        (SELECT, "xterm", "\r", "'eager'"),
        (SELECT, "xterm", f"{DOWN}\r", "'none'"),
        # What is barred is passed over.
        (SELECT, "xterm", f"{DOWN}{DOWN}\r", "'eager'"),
        (SELECT, "dumb", "\r", "'eager'"),
        (SELECT, "dumb", "1\r9\r3\r", "'none'"),
        (SELECT, "", "3\r", "'none'"),
        (SEVERAL, "xterm", "\r", "[]"),
        (SEVERAL, "xterm", f" {DOWN} \r", "['eager', 'none']"),
        (SEVERAL, "dumb", "\r", "[]"),
        (SEVERAL, "dumb", "1\r3 2\r", "['none', 'eager']"),
        (TEXT, "xterm", "\r", "'abc'"),
        (TEXT, "xterm", "9\r\x7f\r", "'abc'"),
        (TEXT, "dumb", "9\rx\r", "'x'"),
        (TEXT, "dumb", "\r", "'abc'"),
        (CONFIRM, "xterm", "y", "True"),
        (CONFIRM, "xterm", "\r", "False"),
        (CONFIRM, "dumb", "maybe\ry\r", "True"),
        (CONFIRM, "dumb", "\r", "False"),
        (CONFIRM, "xterm", CTRL_D, "False"),
        (CONFIRM, "dumb", CTRL_D, "False"),
    ],
)
def test_a_question_is_answered_with_keys_or_with_lines(
    question: str, term: str, keys: str, expected: str
) -> None:
    child = asked(question, term)
    child.send(keys)
    assert answer(child) == expected


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("question", [SELECT, SEVERAL, TEXT, CONFIRM])
def test_ctrl_c_at_any_question_is_an_interruption(question: str, term: str) -> None:
    child = asked(question, term)
    child.send(CTRL_C)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


@pytest.mark.parametrize("term", TERMS)
def test_the_end_of_the_input_at_a_question_without_a_no_is_an_interruption(term: str) -> None:
    child = asked(TEXT, term)
    # At the beginning of a line only is it the end.
    child.send("\x15" + CTRL_D)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


def test_what_is_barred_is_marked_and_says_why_once() -> None:
    child = asked(SELECT, "xterm", columns=100)
    shown = child.before
    child.send("\r")
    assert answer(child) == "'eager'"
    assert re.search(r"- lazily +files come when a job opens them \(not here: comes later\)", shown)
    assert "( )" not in shown


def test_a_dumb_terminal_gets_plain_lines_only() -> None:
    child = asked(SELECT, "dumb")
    child.send("\r")
    child.expect(pexpect.EOF)
    assert "\x1b" not in child.before


def test_choices_stand_in_a_line_each_where_all_fit_and_above_their_meanings_elsewhere() -> None:
    assert titles(SHARES, 80) == [
        "lazily      files come when a job opens them (not here: comes later)",
        "eagerly     each pod gets a copy",
        "not at all  jobs see an empty directory",
    ]
    assert titles(SHARES, 60)[0].splitlines() == [
        "lazily",
        "     files come when a job opens them (not here: comes",
        "     later)",
    ]
    assert all(len(line) < 40 for title in titles(SHARES, 40) for line in title.splitlines())
