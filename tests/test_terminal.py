"""The user's terminal, as the hub and womm shell have it."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from fcntl import ioctl
from pathlib import Path

import pexpect
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_hub import World

from womm import output, terminal
from womm.commands.shell import text
from womm.errors import WommError
from womm.hub import frames
from womm.hub.calls import answer_of, call
from womm.hub.job import Rules
from womm.hub.terminal import Escape

# A lost pod is told of in 0.3 s, but twice, beside the cluster's tests, it took more than 20 s. Why is not
# known: `Shell.until` says who waited for what.
PATIENCE = 60.0


# --- The way out.


def taken(*pieces: bytes) -> tuple[bytes, bool]:
    """What is passed on of what was typed, and whether the way out was taken."""
    escape = Escape()
    passed = b"".join(escape.typed(piece) for piece in pieces)
    return passed, escape.taken


@pytest.mark.parametrize(
    ("keys", "passed", "is_taken"),
    [
        (b"~.", b"", True),
        (b"ls\r~.", b"ls\r", True),
        (b"ls\n~.", b"ls\n", True),
        (b"ls ~.", b"ls ~.", False),
        (b"cd ~\r", b"cd ~\r", False),
        (b"~/bin\r", b"~/bin\r", False),
        (b"~~.\r", b"~.\r", False),
        (b"~\r~.", b"~\r", True),
        (b"~~\r~~", b"~\r~", False),
    ],
)
def test_a_tilde_and_a_dot_at_the_beginning_of_a_line_are_the_way_out(
    keys: bytes, passed: bytes, is_taken: bool
) -> None:
    assert taken(keys) == (passed, is_taken)
    assert taken(*(bytes([key]) for key in keys)) == (passed, is_taken)


@given(st.lists(st.binary(max_size=8)))
def test_without_a_tilde_every_byte_is_passed_on(pieces: Sequence[bytes]) -> None:
    typed = [piece.replace(b"~", b"-") for piece in pieces]
    assert taken(*typed) == (b"".join(typed), False)


# --- What the shell is told.


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ([], b""),
        (["ls | wc -l"], b"ls | wc -l"),
        (["printf", "%s\n", "a b", ""], b"printf '%s\n' 'a b' ''"),
        (["echo", "\udcff"], b"echo '\xff'"),
    ],
)
def test_one_word_is_the_shells_and_several_stay_words(command: Sequence[str], told: bytes) -> None:
    assert text(command) == told


# --- Lent, and given back.


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal at our stdin; its other end."""
    ours, theirs = pty.openpty()
    stdin = os.dup(0)
    os.dup2(theirs, 0)
    # That the terminal is not this process's own, and so none in front, is a matter of tests.
    monkeypatch.setattr(os, "tcgetpgrp", lambda _fd: os.getpgrp())
    yield ours
    os.dup2(stdin, 0)
    for descriptor in (ours, theirs, stdin):
        os.close(descriptor)


def test_a_terminal_is_raw_while_it_is_lent_and_then_as_it_was(screen: int) -> None:
    before = termios.tcgetattr(0)

    def fail() -> None:
        with terminal.lent(lambda: None):
            assert not termios.tcgetattr(0)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert termios.tcgetattr(0) == before


def test_a_line_on_a_raw_terminal_ends_at_its_beginning(
    screen: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with terminal.lent(lambda: None):
        output.warn("one")
    output.warn("two")
    assert capfd.readouterr().err == "womm: one\r\nwomm: two\n"


def test_a_new_size_is_told(screen: int) -> None:
    sizes: list[os.terminal_size] = []
    with terminal.lent(lambda: sizes.append(os.get_terminal_size(0))):
        ioctl(screen, termios.TIOCSWINSZ, struct.pack("4H", 40, 90, 0, 0))
        os.kill(os.getpid(), signal.SIGWINCH)
        assert sizes == [os.terminal_size((90, 40))]


# --- Through the hub.


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world that ends with the test."""
    made = World(monkeypatch)
    yield made
    made.close()


class Shell:
    """A job with a terminal, by way of a hub and an agent; we are at the terminal's other end."""

    def __init__(self, world: World, command: str) -> None:
        self._world = world
        self.screen, self._theirs = pty.openpty()
        self.resize(30, 100)
        rules = Rules("it is a shell", flags=frames.USERS_SHELL, terminal=b"xterm")
        self.hub = world.start("p-1", rules=rules, shell=b"/bin/bash")
        # Raw, as it is lent to the pod.
        settings = termios.tcgetattr(self._theirs)
        settings[0] = settings[1] = settings[3] = 0
        termios.tcsetattr(self._theirs, termios.TCSANOW, settings)
        self.connection = call(world.run / "hub", "shell", command.encode(), [self._theirs] * 3)
        self.shown = b""

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal another size."""
        ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Press these keys."""
        os.write(self.screen, keys)

    def until(self, pattern: bytes) -> None:
        """Wait until the screen shows this."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.shown):
            if not select.select([self.screen], [], [], max(0, end - time.monotonic()))[0]:
                status = answer_of(self.connection, 0)
                pytest.fail(f"shown: {self.shown!r}; status: {status}\n{self._world.account()}")
            self.shown += os.read(self.screen, 4096)

    def status(self) -> int | None:
        """The job's, once it has ended."""
        return answer_of(self.connection, PATIENCE)

    def close(self) -> None:
        """Let go of it."""
        self.connection.close()
        os.close(self.screen)
        os.close(self._theirs)


def test_a_jobs_terminal_is_the_users(world: World) -> None:
    shell = Shell(world, "stty size; trap 'stty size; exit 4' WINCH; echo $TERM; while :; do sleep .02; done")
    shell.until(rb"30 100\r\nxterm\r\n")
    shell.resize(40, 90)
    shell.hub.resized()
    shell.until(rb"40 90\r\n")
    assert shell.status() == 4
    shell.close()


def test_the_way_out_needs_no_pod_that_answers(world: World) -> None:
    shell = Shell(world, "echo up; exec sleep 600")
    shell.until(b"up\r\n")
    world.unreachable.add("p-1")
    world.cut("p-1")
    shell.type(b"more\r~.")
    shell.until(b"womm: let go, as ~. asks\r\n")
    assert shell.status() == 255
    shell.close()


def test_a_shell_goes_on_where_its_channel_was_cut(world: World) -> None:
    shell = Shell(world, "echo up; read -r line; echo got $line; exit 3")
    shell.until(b"up\r\n")
    world.cut("p-1")
    shell.type(b"a line\r")
    shell.until(b"got a line\r\n")
    assert shell.status() == 3
    shell.close()


def test_a_shell_whose_pod_is_lost_says_so_at_the_beginning_of_a_line(world: World) -> None:
    shell = Shell(world, "echo up; exec sleep 600")
    shell.until(b"up\r\n")
    world.kill_container("p-1")
    shell.until(rb"womm: p-1 was lost .*\r\n")
    assert shell.status() == 255
    shell.close()


def test_a_call_without_a_hub_is_told(world: World) -> None:
    with pytest.raises(WommError, match="the run is over"):
        call(world.run / "none", "shell", b"true", [0, 1, 2])


def test_a_hub_that_ends_is_told(world: World) -> None:
    shell = Shell(world, "echo up; exec sleep 600")
    shell.until(b"up\r\n")
    stopping = threading.Thread(target=shell.hub.stop)
    stopping.start()
    with pytest.raises(WommError, match="has ended"):
        shell.status()
    stopping.join()
    shell.close()


def test_the_terminal_of_the_questions_is_a_programs_own_whatever_stdin_and_stdout_are(
    tmp_path: Path,
) -> None:
    program = """
import os
from womm import terminal
with terminal.taken() as there:
    os.system("test -t 0 && test -t 1 && echo within: $(tty)")
print(there, os.isatty(0), os.isatty(1))
"""
    (tmp_path / "program").write_text(program)
    line = f"{sys.executable} {tmp_path}/program </dev/null >{tmp_path}/said; cat {tmp_path}/said"
    child = pexpect.spawn("sh", ["-c", line], encoding="utf-8", timeout=60)
    child.expect(r"within: /dev/")
    child.expect_exact("True False False")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
