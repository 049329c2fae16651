"""`womm setup` in a real pseudo-terminal: its questions are waited for, and answered with keys."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pexpect
from kit import IMAGES, LIMIT, Place, good

from womm.testbed.base import local_name

BASE = os.environ.get("WOMM_BASE_IMAGE", "")
DOWN, UP, CTRL_C = "\x1b[B", "\x1b[A", "\x03"
#: Erases what stands in a line already.
CLEAR = "\x15"
#: What Ctrl-C at a question says: before the shell, and once there is something to be lost.
UNCHANGED = "womm: interrupted; nothing is changed\r\n"
KEPT = "womm: what was installed is kept: `womm setup` goes on with it\r\n"
#: Answers every question that comes before the shell, but for the namespace and the base image.
ANSWERED = ("--share", "none", "--pull-secret", "", *IMAGES)


@contextmanager
def wizard(
    place: Place,
    *arguments: str,
    argv: tuple[str, ...] = (),
    debug: bool = False,
    columns: int = 100,
    **env: str,
) -> Iterator[pexpect.spawn[str]]:
    """`womm setup` in a terminal."""
    command = [*argv, "womm", *(["--debug"] if debug else []), "setup", *arguments]
    child = pexpect.spawn(
        command[0],
        command[1:],
        cwd=str(place.path),
        env={**place.user.environment, "TERM": "xterm-256color", **env},
        dimensions=(40, columns),
        timeout=LIMIT,
        encoding="utf-8",
    )
    # Shown if the test fails.
    child.logfile_read = sys.stdout
    try:
        yield child
    finally:
        child.close(force=True)


def reply(child: pexpect.spawn[str], question: str, keys: str = "\r") -> None:
    """Wait for a question and answer it."""
    child.expect_exact(question)
    # Its end, from where on keys are read; in lines, the place where one types.
    child.expect(r"\x1b\[\?7h|[]:>] $")
    child.send(keys)


def in_shell(child: pexpect.spawn[str], line: str) -> None:
    """Type one line at the local shell's prompt."""
    child.expect_exact("(womm) ")
    child.expect_exact("$ ")
    child.sendline(line)


def status(child: pexpect.spawn[str]) -> int:
    """Wait for the end."""
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None
    return int(child.exitstatus)


def interrupt(child: pexpect.spawn[str], question: str, said: str) -> None:
    """Press Ctrl-C at a question: womm ends with one line more, which is `said`."""
    reply(child, question, CTRL_C)
    child.expect_exact(said)
    assert "Traceback" not in child.before
    assert status(child) == 130
    assert child.before == ""


def left(place: Place) -> list[str]:
    """What the place's testbed has left in docker."""
    label = f"label=womm.dev/directory={place.path}"
    containers = good(["docker", "ps", "--all", "--quiet", "--filter", label]).split()
    return containers + good(["docker", "images", "--quiet", local_name(str(place.path), "*")]).split()
