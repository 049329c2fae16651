"""Terminals that the agent gives to jobs."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_agent import Hub, Job, clean_up, eventually, marked

from womm.hub import frames

ON = frames.TERMINAL | frames.USERS_SHELL
# What an interactive bash of the tests writes to tell that it waits for a command.
READY = b"ready> "


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with a new agent, whose session's shell is bash."""
    made = Hub(f"task-{uuid.uuid4().hex}")
    made.shell = b"/bin/bash"
    assert made.dial().answer == "new"
    yield made
    clean_up(made.name)


class Terminal:
    """A job on a terminal of 30 rows and 100 columns."""

    def __init__(self, hub: Hub, command: str, number: int = 1, name: bytes = b"xterm-256color") -> None:
        self.hub, self.number = hub, number
        self.job: Job = hub.run(number, frames.on_terminal(name, 30, 100) + command.encode(), ON)

    def type(self, text: str | bytes) -> None:
        """Press these keys."""
        keys = text.encode() if isinstance(text, str) else text
        self.job.credit -= len(keys)
        self.hub.send(frames.INPUT, self.number, keys)

    def until(self, pattern: str) -> re.Match[bytes]:
        """Wait until the terminal shows this, and forget what it has shown until then."""
        self.hub.until(lambda: re.search(pattern.encode(), self.job.stdout))
        found = re.search(pattern.encode(), bytes(self.job.stdout))
        assert found is not None
        del self.job.stdout[: found.end()]
        return found

    def ends(self) -> int:
        """The status of the job, once it has ended."""
        return self.hub.finish(self.job)


@pytest.fixture
def bash(hub: Hub, tmp_path: Path) -> Terminal:
    """An interactive bash."""
    terminal = Terminal(hub, f"PS1='ready> ' HISTFILE={tmp_path}/history exec bash --norc -i")
    terminal.until(READY.decode())
    return terminal


def test_a_job_has_a_terminal_of_its_own(hub: Hub) -> None:
    job = Terminal(hub, "tty; stty size; echo $TERM; ps -o tty= -p $$; echo err >&2; exit 7")
    assert job.ends() == 7
    tty, size, term, controlling, err = job.job.stdout.decode().split("\r\n")[:-1]
    assert re.fullmatch(r"/dev/pts/\d+", tty)
    assert (size, term, f"/dev/{controlling}", err) == ("30 100", "xterm-256color", tty, "err")
    assert job.job.stderr == b""


def test_the_users_shell_is_a_login_shell_without_a_command(hub: Hub) -> None:
    shell = Terminal(hub, "")
    shell.type("shopt -q login_shell && echo is$((40 + 2))login $0; exit 3\n")
    shell.until("is42login -bash")
    assert shell.ends() == 3
    plain = hub.run(2, b"shopt -q login_shell || echo $0", frames.NO_STDIN | frames.USERS_SHELL)
    assert (hub.finish(plain), plain.stdout) == (0, b"bash\n")


def test_a_login_shell_reads_its_commands_from_a_pipe_too(hub: Hub) -> None:
    job = hub.run(1, b"", frames.USERS_SHELL)
    hub.feed(1, b"shopt -q login_shell && echo yes $0\necho err >&2\nexit 4\n")
    assert hub.finish(job) == 4
    assert (job.stdout, job.stderr) == (b"yes -bash\n", b"err\n")


def test_the_size_follows_the_users_and_programs_are_told(hub: Hub) -> None:
    job = Terminal(hub, "trap 'stty size; exit' WINCH; echo go; while :; do sleep 0.02; done")
    job.until("go")
    hub.send(frames.SIZE, 1, frames.size(1, 50, 132)[9:])
    job.until("50 132")
    assert job.ends() == 0


def test_ctrl_c_ends_what_runs_in_front_and_not_the_shell(bash: Terminal) -> None:
    bash.type("sleep 600\n")
    bash.hub.until(lambda: "sleep 600 " in map(command, marked(bash.hub.name)))
    bash.type(b"\x03")
    bash.until("ready> ")
    bash.type("echo status $?\n")
    bash.until("status 130")
    bash.type("exit 5\n")
    assert bash.ends() == 5


def command(pid: int) -> str:
    """The command line of a process; empty if it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def test_ctrl_z_stops_and_fg_goes_on(bash: Terminal) -> None:
    bash.type("cat\n")
    bash.hub.until(lambda: "cat " in map(command, marked(bash.hub.name)))
    bash.type("line\n")
    bash.until("line\r\nline\r\n")
    bash.type(b"\x1a")
    bash.until("Stopped.*cat")
    bash.type("fg\n")
    bash.until("\rcat\r\n")
    bash.type("more\n")
    bash.until("more\r\nmore")
    bash.type(b"\x04exit\n")
    assert bash.ends() == 0


@pytest.mark.parametrize(
    ("ends", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -HUP $$", 129), ("exit 255", 255)]
)
def test_the_status_is_the_shells(hub: Hub, ends: str, status: int) -> None:
    assert Terminal(hub, ends).ends() == status


def test_raw_bytes_pass_a_raw_terminal(hub: Hub) -> None:
    # Not Ctrl-S, Ctrl-Q and their like: with these settings they are bytes as all others.
    data = bytes(range(256)) * 40
    job = Terminal(hub, f"stty raw -echo; echo go; head -c {len(data)}")
    job.until("go\n")
    job.type(data)
    assert job.ends() == 0
    assert job.job.stdout == data


def test_all_of_a_long_output_comes_however_slowly_it_is_read(hub: Hub) -> None:
    hub.generous = False
    job = Terminal(hub, "stty -opost; seq 500000; exit 3")
    hub.until(lambda: len(job.job.stdout) == frames.WINDOW)
    hub.generous = True
    hub.send(frames.CREDIT, 1, frames.credit_for(1, 1, frames.WINDOW)[9:])
    assert job.ends() == 3
    assert job.job.stdout == b"".join(b"%d\n" % n for n in range(1, 500_001))


def test_what_stays_on_the_terminal_does_not_keep_its_shell(hub: Hub) -> None:
    job = Terminal(hub, "trap '' HUP; sleep 600 & seq 1000; exit 6")
    assert job.ends() == 6
    assert job.job.stdout.endswith(b"\n1000\r\n")
    # It may still write, to nobody, and it does not disturb the agent.
    assert Terminal(hub, "exit 0", 2).ends() == 0


def test_a_killed_terminal_hangs_up(hub: Hub, tmp_path: Path) -> None:
    job = Terminal(hub, f"trap 'echo gone >{tmp_path}/hup; exit' HUP; echo up; while :; do sleep 0.02; done")
    job.until("up")
    hub.send(frames.KILL, 1)
    assert hub.finish(job.job) == 0
    assert (tmp_path / "hup").read_text() == "gone\n"
    assert Terminal(hub, "exit 0", 2).ends() == 0


def test_the_agents_end_hangs_up_an_interactive_shell(bash: Terminal, tmp_path: Path) -> None:
    # It ignores TERM; KILLed, it would not write its history.
    bash.type("sleep 600 &\n")
    bash.until(r"\[1\] \d+")
    bash.hub.send(frames.QUIT)
    bash.hub.until_end()
    eventually(lambda: not marked(bash.hub.name))
    assert "sleep 600 &" in (tmp_path / "history").read_text()


def test_a_cut_channel_is_nothing_to_a_shell(bash: Terminal) -> None:
    bash.type("x=kept\n")
    bash.until("ready> ")
    bash.hub.channel.kill()
    bash.hub.until_end()
    bash.type("echo $x on $((6 * 7))\n")
    assert bash.hub.dial().answer == "same"
    bash.until("kept on 42")
    bash.type("exit 9\n")
    assert bash.ends() == 9


def test_the_agent_takes_no_terminal_for_its_own(hub: Hub) -> None:
    assert Terminal(hub, "exit 0").ends() == 0
    stat = Path(f"/proc/{hub.agent()}/stat").read_text()
    assert stat.rpartition(")")[2].split()[4] == "0"
    left = [os.readlink(fd) for fd in Path(f"/proc/{hub.agent()}/fd").iterdir()]
    assert not [target for target in left if "/pts/" in target or "ptmx" in target]


@pytest.mark.parametrize("wrong", [b"", b"\0\1", b"\0" * 5])
def test_a_size_of_another_length_is_refused(hub: Hub, wrong: bytes) -> None:
    Terminal(hub, "sleep 600")
    hub.send(frames.SIZE, 1, wrong)
    hub.until_end()
    eventually(lambda: not marked(hub.name))
