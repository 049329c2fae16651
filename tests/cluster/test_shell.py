"""womm shell: a terminal in a pod, pipes without one, the ways it ends."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pexpect
import pytest
from kit import LIMIT, Place, created, environment_of, eventually, kubectl, names

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("clean")]

#: Seconds from a shell's end until its deployment is gone, as is promised; seen here: 0.4 to 0.7.
GONE = 3.0
#: What has to be GONE is measured.
ALONE = pytest.mark.alone("how soon everything is gone is measured")
PROMPT = "ready> "
# Echoes come first, and bash colours them: what is awaited is never in what was typed.
SIX_TIMES_SEVEN = "$((6 * 7))"


class Terminal:
    """womm on a pseudo-terminal of its own, of 30 rows and 100 columns."""

    def __init__(self, place: Place, argv: list[str], **env: str) -> None:
        self.place = place
        self.child: pexpect.spawn[bytes] = pexpect.spawn(
            argv[0],
            argv[1:],
            cwd=str(place.path),
            env={**place.user.environment, "TERM": "xterm-256color", "SHELL": "/bin/bash", **env},
            dimensions=(30, 100),
            timeout=LIMIT,
        )
        self.child.delaybeforesend = None

    def type(self, keys: str | bytes) -> None:
        """Press these keys."""
        self.child.send(keys)

    def until(self, pattern: str) -> bytes:
        """Wait until the screen shows this; return it, and forget all up to it."""
        self.child.expect(pattern)
        shown = self.child.after
        assert isinstance(shown, bytes)
        return shown

    def ready(self) -> None:
        """Wait for the shell's own prompt, and give it a plain one. What is typed is not what it prints."""
        self.type(f"PS1='{PROMPT[:2]}''{PROMPT[2:]}'; bind 'set enable-bracketed-paste off'; x=kept\r")
        self.until(PROMPT)

    def ends(self) -> int:
        """Wait for womm's end, and return its status."""
        self.child.expect(pexpect.EOF)
        self.child.close()
        assert self.child.exitstatus is not None
        return self.child.exitstatus

    def said(self) -> str:
        """What was shown last."""
        return (self.child.before or b"").decode()


def womm(place: Place, *arguments: str) -> list[str]:
    """The command line of `womm shell`."""
    return ["womm", "--namespace", place.namespace, "shell", *arguments]


@contextmanager
def typed(place: Place, *arguments: str, argv: list[str] | None = None) -> Iterator[Terminal]:
    """A womm shell on a terminal, and no trace of it afterwards."""
    terminal = Terminal(place, argv or womm(place, *arguments))
    try:
        yield terminal
    finally:
        terminal.child.close(force=True)


def run_of(terminal: Terminal) -> tuple[str, str]:
    """The task's name, and its pod."""
    terminal.until(r"deployment\.apps/womm-task-\w+ created")
    task = created(terminal.child.after.decode())
    found = eventually(lambda: kubectl("-n", terminal.place.namespace, "get", "pods", "-o", "name"))
    [pod] = [name for name in found.split() if task in name]
    return task, pod.removeprefix("pod/")


@ALONE
def test_a_terminal_in_a_pod_is_as_one_here(none: Place) -> None:
    with typed(none) as terminal:
        terminal.ready()
        terminal.type("tty; stty size; echo $TERM; pwd; shopt -q login_shell && echo $0\r")
        terminal.until(rf"/dev/pts/\d+\r\n30 100\r\nxterm-256color\r\n{none.path}\r\n-bash\r\n")
        terminal.until(PROMPT)

        terminal.child.setwinsize(50, 132)
        eventually(lambda: size(terminal) == b"50 132")

        terminal.type("sleep 100\r")
        in_front(terminal, "sleep")
        terminal.type("\x03")
        terminal.until(PROMPT)
        terminal.type("echo status $?, x is $x\r")
        terminal.until("status 130, x is kept")

        terminal.type("cat\r")
        in_front(terminal, "cat")
        terminal.type("\x1a")
        terminal.until("Stopped")
        terminal.type("fg\r")
        in_front(terminal, "cat")
        terminal.type("again\r")
        terminal.until("again\r\nagain\r\n")
        terminal.type("\x04")

        # A program that takes each key, as an editor does.
        terminal.type("stty raw -echo; echo go on; head -c 256 | sha256sum; stty sane\r")
        terminal.until("go on\n")
        keys = bytes(range(256))
        terminal.type(keys)
        terminal.until(hashlib.sha256(keys).hexdigest())
        terminal.type("exit 7\r")
        begun = time.monotonic()
        assert terminal.ends() == 7
        took = time.monotonic() - begun
        print(f"all was gone {took:.2f} s later")
        assert took < GONE
    # The pods of a deleted deployment are marked for deletion a moment later.
    eventually(lambda: names(none.namespace) == [])


def size(terminal: Terminal) -> bytes:
    """What stty says in the pod."""
    terminal.type("stty size\r")
    return terminal.until(r"\d+ \d+")


def in_front(terminal: Terminal, program: str, mark: str = "WOMM_JOB") -> None:
    """Wait until `program`, which has the variable `mark`, is what its terminal listens to."""

    def runs() -> bool:
        for process in Path("/proc").iterdir():
            with suppress(OSError, IndexError, ValueError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                if words[0].decode() == program and mark in environment_of(int(process.name)):
                    assert terminal.child.isalive()
                    state = (process / "stat").read_text().rpartition(")")[2].split()
                    # Its process group is the one that has the terminal.
                    return state[2] == state[5]
        return False

    eventually(runs)


def test_the_terminal_is_given_back_as_it_was(none: Place) -> None:
    script = """stty -ixon erase ^H; before=$(stty -g); "$@"; status=$?
        [ "$before" = "$(stty -g)" ] && echo given back; exit $status"""
    with typed(none, argv=["bash", "-c", script, "bash", *womm(none, "--transport", "exec")]) as terminal:
        terminal.ready()
        terminal.type("kill -9 $$\r")
        terminal.until("given back")
        assert terminal.ends() == 137


def test_a_cut_connection_is_nothing_to_a_shell(none: Place) -> None:
    with typed(none) as terminal:
        terminal.ready()
        [proxy] = [
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdecimal()
            and environment_of(int(process.name)).get("WOMM_RUN", "").startswith(str(none.user.root))
            and b"--unix-socket" in (process / "cmdline").read_bytes()
        ]
        os.kill(proxy, signal.SIGKILL)
        terminal.type(f"echo $x {SIX_TIMES_SEVEN}\r")
        terminal.until("kept 42")
        # The way out where nothing answers.
        terminal.type("\r~.")
        terminal.until("womm: let go, as ~. asks\r\n")
        assert terminal.ends() == 255


def test_a_shell_whose_pod_is_deleted_ends_and_says_so(none: Place) -> None:
    with typed(none) as terminal:
        _, pod = run_of(terminal)
        terminal.ready()
        kubectl("-n", none.namespace, "delete", "pod", pod, "--force", "--grace-period=0")
        terminal.until(rf"womm: {pod} was lost [^\r]*\(its pod was deleted\)[^\r]*\r\n")
        assert terminal.ends() == 255


@ALONE
def test_a_terminal_that_is_closed_takes_its_pod_along(none: Place) -> None:
    with typed(none) as terminal:
        terminal.ready()
        terminal.child.ptyproc.fileobj.close()
        begun = time.monotonic()
        eventually(lambda: names(none.namespace) == [])
        took = time.monotonic() - begun
        print(f"all was gone {took:.2f} s later")
        assert took < GONE
        eventually(lambda: not terminal.place.user.runs())


def test_a_killed_womm_leaves_a_terminal_that_can_be_used(none: Place) -> None:
    script = '"$@"; echo status $?; read -r line; echo "read $line"'
    with typed(none, argv=["bash", "-c", script, "bash", *womm(none)]) as terminal:
        terminal.ready()
        [child] = Path(f"/proc/{terminal.child.pid}/task/{terminal.child.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        terminal.until("status 137")
        eventually(lambda: termios.tcgetattr(terminal.child.child_fd)[3] & termios.ICANON)
        terminal.type("a line\r")
        terminal.until("read a line")
        eventually(lambda: none.left() == [])


# --- Without a terminal.


def test_without_a_terminal_bytes_and_statuses_pass_as_they_are(none: Place) -> None:
    data = os.urandom(20_000_000)
    done = none.womm("shell", "--quiet", "--", "tee /dev/stderr; exit 3", stdin=data)
    assert (done.status, done.out, done.err) == (3, data, data)


def test_one_word_is_the_shells_and_several_are_a_program_and_its_arguments(none: Place) -> None:
    several = none.womm("shell", "--", "printf", "%s|", "a b", "$HOME", "", "it's", "*")
    assert (several.status, several.out) == (0, b"a b|$HOME||it's|*|")
    one = none.womm("shell", "--", "printf '%s|' a b; kill -TERM $$")
    assert (one.status, one.out) == (128 + signal.SIGTERM, b"a|b|")


def test_a_script_on_stdin_is_run_by_a_login_shell(none: Place) -> None:
    # With the PATH that jobs have, though a login shell's profile sets one of its own.
    path = none.womm("shell", "--", "echo $PATH").out
    done = none.womm("shell", stdin=b"shopt -q login_shell && echo $0\ntty\necho $PATH\nexit 9\n")
    assert (done.status, done.out) == (9, b"-bash\nnot a tty\n" + path)


def test_a_pod_that_waits_is_explained(none: Place) -> None:
    with none.started("shell", "--kube-cpu", "999", "--", "true") as running:
        running.until(lambda: re.search("a pod is waiting: .*Insufficient cpu", running.err))
        running.until(lambda: "womm: waiting for the pod …" in running.err)
        done = running.interrupt(signal.SIGINT)
    assert done.status == 128 + signal.SIGINT
