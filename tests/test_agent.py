"""The agent, as a process of this machine behind pipes, and the frames that drive it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import select
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from womm.hub import frames
from womm.hub.dial import agent_source, boot_source

PARALLEL = Path(__file__).parent.parent / "womm" / "vendor" / "parallel"
PATIENCE = 20.0
#: All channels of a test, to hang up in the end.
CHANNELS: list[subprocess.Popen[bytes]] = []

BOOT, SOURCE = boot_source(), agent_source()


def eventually(what: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until `what` is true."""
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def marked(text: str) -> list[int]:
    """The living processes with `text` in their command line or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            said = (process / "cmdline").read_bytes() + b"\0" + (process / "environ").read_bytes()
            if text.encode() in said and "\nState:\tZ" not in (process / "status").read_text():
                found.append(int(process.name))
    return found


# Linux's; and what the agent has pipes hold that are to hold much.
F_GETPIPE_SZ, WIDE = 1032, 1 << 18


def dial(name: str) -> subprocess.Popen[bytes]:
    """Start a dialer, as the hub does by way of the kubelet."""
    process = subprocess.Popen(
        ["perl", "-e", BOOT, str(len(SOURCE)), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={key: value for key, value in os.environ.items() if not key.startswith(("WOMM_", "PERL"))},
        bufsize=0,
    )
    assert process.stdin is not None
    CHANNELS.append(process)
    process.stdin.write(SOURCE)
    return process


def hang_up(channel: subprocess.Popen[bytes]) -> None:
    """Close our ends of a channel and see its dialer end."""
    for end in (channel.stdin, channel.stdout):
        assert end is not None
        with contextlib.suppress(BrokenPipeError):
            end.close()
    channel.wait(PATIENCE)


@dataclass
class Job:
    """What has come from a job."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    status: int | None = None
    credit: int = frames.WINDOW
    closed: bool = False


class Hub:
    """The hub's end of a session: sends, acknowledges, gives credit for what has come, and can dial again."""

    def __init__(self, name: str, dead_man: int = 60) -> None:
        self.name = name
        self.key = uuid.uuid4().hex
        self.dead_man = dead_man
        self.directory = b"/tmp"
        self.shell = b"/bin/sh"
        self.jobs: dict[int, Job] = {}
        self.sent = bytearray()
        self.told = 0  # how much of it the channel has
        self.acknowledged = 0
        self.received = 0
        self.generous = True
        self.keeps = True  # what the jobs write
        self.splitter = frames.Splitter()
        self.ended = False
        self.heard: list[frames.Frame] = []

    def dial(self) -> frames.Greeting:
        """Open a channel, and say what the agent has greeted with."""
        self.channel = dial(self.name)
        assert self.channel.stdin is not None
        assert self.channel.stdout is not None
        self.to, self.from_ = self.channel.stdin.fileno(), self.channel.stdout.fileno()
        greeting = frames.greet(self.key, self.received, self.dead_man, self.directory, self.shell)
        os.write(self.to, greeting)
        answer = frames.understand(self.read_greeting())
        self.ended = False
        self.told = answer.received
        os.set_blocking(self.to, False)
        return answer

    def read_greeting(self) -> frames.Frame:
        """The first frame, and not a byte beyond it."""
        splitter, found = frames.Splitter(), []
        while not found:
            assert select.select([self.from_], [], [], PATIENCE)[0]
            byte = os.read(self.from_, 1)
            assert byte
            found += splitter.feed(byte)
        return found[0]

    def send(self, type_: int, job: int = 0, payload: bytes = b"") -> None:
        """Have a frame to send."""
        self.sent += frames.encode(type_, job, payload)

    def run(self, number: int, command: str | bytes, flags: int = frames.NO_STDIN) -> Job:
        """Have a job started."""
        text = command.encode() if isinstance(command, str) else command
        self.jobs[number] = Job()
        self.send(frames.RUN, number, bytes([flags]) + text)
        return self.jobs[number]

    def step(self) -> None:
        """Send and receive what can be."""
        waiting = self.told < len(self.sent)
        readable, writable, _ = select.select([self.from_], [self.to] if waiting else [], [], 0.05)
        if writable:
            with contextlib.suppress(BrokenPipeError):
                self.told += os.write(self.to, self.sent[self.told : self.told + 262144])
        if readable:
            chunk = os.read(self.from_, 1 << 20)
            self.ended = not chunk
            self.received += len(chunk)
            for frame in self.splitter.feed(chunk):
                self.obey(frame)
            if self.received - self.acknowledged >= 1 << 18:
                self.acknowledged = self.received
                self.sent += frames.acknowledge(self.received)

    def obey(self, frame: frames.Frame) -> None:
        """Take in one frame."""
        self.heard = [*self.heard[-50:], frame]
        if frame.type == frames.ACKNOWLEDGE:
            assert frames.number(frame.payload) <= len(self.sent)
            return
        job = self.jobs[frame.job]
        assert job.status is None, f"{frame} after the end"
        if frame.type in (frames.STDOUT, frames.STDERR):
            stream = 1 if frame.type == frames.STDOUT else 2
            if self.keeps:
                (job.stdout if stream == 1 else job.stderr).extend(frame.payload)
            if self.generous:
                self.sent += frames.credit_for(frame.job, stream, len(frame.payload))
        elif frame.type == frames.CREDIT:
            job.credit += frames.number(frame.payload)
        elif frame.type == frames.CLOSED:
            job.closed = True
        elif frame.type == frames.EXIT:
            job.status = frames.number(frame.payload)
        else:
            pytest.fail(f"{frame}")

    def until(self, what: Callable[[], object], patience: float = PATIENCE) -> None:
        """Go on until `what` is true."""
        end = time.monotonic() + patience
        while not what():
            assert time.monotonic() < end, f"it never came true; last {self.heard[-3:]}"
            assert not self.ended, "the channel has ended"
            self.step()

    def finish(self, job: Job, patience: float = PATIENCE) -> int:
        """Wait for the job's end, and return its status as a shell tells it."""
        self.until(lambda: job.status is not None, patience)
        assert job.status is not None
        return 128 + (job.status & 127) if job.status & 127 else job.status >> 8

    def feed(self, number: int, data: bytes) -> None:
        """Send `data` as a job's stdin, within its credit, and its end."""
        job, at = self.jobs[number], 0
        while at < len(data) and not job.closed:
            self.until(lambda: (job.credit > 0 and len(self.sent) - self.told < 1 << 20) or job.closed)
            n = min(job.credit, 65536)
            job.credit -= len(data[at : at + n])
            self.send(frames.INPUT, number, data[at : at + n])
            at += n
        self.send(frames.END_OF_INPUT, number)

    def until_end(self) -> None:
        """Wait for the channel's end."""
        end = time.monotonic() + PATIENCE
        while not self.ended:
            assert time.monotonic() < end
            self.step()

    def agent(self) -> int:
        """The agent's process: not the dialer, and in a session of its own."""
        (pid,) = [pid for pid in marked(self.name) if pid != self.channel.pid and self._is_agent(pid)]
        return pid

    def _is_agent(self, pid: int) -> bool:
        # A job's process may end while it is looked at.
        with contextlib.suppress(OSError):
            said = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
            return os.getsid(pid) == pid and said == b"womm-agent " + self.name.encode()
        return False


def clean_up(name: str) -> None:
    """Kill all that a task has started, and close its channels."""

    def kill() -> bool:
        left = marked(name)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    eventually(kill)
    while CHANNELS:
        hang_up(CHANNELS.pop())


@pytest.fixture
def name() -> Iterator[str]:
    """A task's name."""
    name = f"task-{uuid.uuid4().hex}"
    yield name
    clean_up(name)


@pytest.fixture
def hub(name: str) -> Hub:
    """A hub with a new agent."""
    hub = Hub(name)
    assert hub.dial() == frames.Greeting("new", 0, "")
    return hub


def test_a_job_writes_and_ends(hub: Hub) -> None:
    job = hub.run(1, "echo out; echo err >&2; printf more; exit 3")
    assert hub.finish(job) == 3
    assert (job.stdout, job.stderr) == (b"out\nmore", b"err\n")


def test_the_status_is_the_jobs(hub: Hub) -> None:
    for number, status in enumerate((0, 1, 2, 100, 126, 127, 128, 254, 255), start=1):
        assert hub.finish(hub.run(number, f"exit {status}")) == status
    for number, sent in enumerate((1, 2, 9, 13, 15), start=20):
        job = hub.run(number, f"kill -{sent} $$")
        assert hub.finish(job) == 128 + sent
        assert job.status is not None
        assert job.status & 127 == sent


def test_many_jobs_at_once(hub: Hub) -> None:
    jobs = [hub.run(number, f"echo {number}") for number in range(1, 101)]
    hub.until(lambda: all(job.status == 0 for job in jobs))
    assert [job.stdout for job in jobs] == [b"%d\n" % number for number in range(1, 101)]


def test_random_bytes_go_both_ways(hub: Hub) -> None:
    data = os.urandom(20_000_000)
    job = hub.run(1, "cat; echo end >&2", 0)
    hub.feed(1, data)
    assert hub.finish(job, 60) == 0
    assert hashlib.sha256(job.stdout).digest() == hashlib.sha256(data).digest()
    assert job.stderr == b"end\n"


def test_stdin_ends(hub: Hub) -> None:
    job = hub.run(1, "cat; echo got the end", 0)
    hub.feed(1, b"in\n")
    assert hub.finish(job) == 0
    assert job.stdout == b"in\ngot the end\n"


def test_stdin_can_be_nothing(hub: Hub) -> None:
    job = hub.run(1, "cat; readlink /proc/self/fd/0")
    assert hub.finish(job) == 0
    assert job.stdout == b"/dev/null\n"


def test_a_job_has_no_end_of_another_ones_pipes(hub: Hub) -> None:
    cat = hub.run(1, "cat", 0)
    others = [hub.run(number, worker_that("sleep 600"), 0) for number in range(2, 6)]
    hub.until(lambda: len(marked_jobs(hub, "sleep")) >= 4)
    hub.feed(1, b"x")
    assert hub.finish(cat) == 0
    assert all(other.status is None for other in others)


def marked_jobs(hub: Hub, program: str) -> list[int]:
    """The jobs' processes that run `program`."""
    found = []
    for pid in marked(f"WOMM_TASK={hub.name}"):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(program.encode()):
                found.append(pid)
    return found


def worker_that(command: str) -> str:
    """What GNU parallel sends to run perl's `system COMMAND`."""
    text = f"exit(system(q\0{command}\0) >> 8)#"
    return f"exec perl -X -e GNU_Parallel_worker,eval+pack+q/H10000000/,join+q//,@ARGV {text.encode().hex()}"


def test_a_job_knows_its_place(hub: Hub) -> None:
    job = hub.run(7, "echo $PWD $SHELL $WOMM_TASK $WOMM_JOB; pwd")
    assert hub.finish(job) == 0
    assert job.stdout.decode() == f"/tmp /bin/sh {hub.name} 7\n/tmp\n"
    as_it_is = hub.run(8, "pwd; echo ${SHELL-none}", frames.NO_STDIN | frames.AS_IT_IS)
    assert hub.finish(as_it_is) == 0
    assert as_it_is.stdout.decode() == f"{Path.cwd()}\n{os.environ.get('SHELL', 'none')}\n"


def test_a_missing_directory_is_made_and_a_wrong_one_told(name: str, tmp_path: Path) -> None:
    hub = Hub(name)
    hub.directory = os.fsencode(tmp_path / "a b" / "ä\n")
    hub.dial()
    job = hub.run(1, "echo >here")
    assert hub.finish(job) == 0
    assert (tmp_path / "a b" / "ä\n" / "here").exists()
    hub.send(frames.QUIT)
    hub.until_end()
    (tmp_path / "file").touch()
    hub = Hub(name)
    hub.directory = os.fsencode(tmp_path / "file" / "x")
    hub.dial()
    job = hub.run(1, "echo ran")
    assert hub.finish(job) == 255
    assert job.stdout == b""
    text = f"womm: the directory {tmp_path}/file/x can't be entered, nor made: Not a directory\n"
    assert job.stderr.decode() == text


def test_a_command_may_hold_every_byte_and_be_long(hub: Hub) -> None:
    for number, size in enumerate((1, 119_990, 120_000, 131_073, 300_000), start=1):
        text = (bytes(range(1, 256)).replace(b"'", b"") * (size // 254 + 1))[:size]
        job = hub.run(number, b"printf %s '" + text + b'\'; echo " $# $0"')
        assert hub.finish(job) == 0
        # $0 of sh -c is the shell's own name.
        assert job.stdout.startswith(text)
        assert re.fullmatch(rb" 0 \S*sh\n", job.stdout[size:])


def test_what_a_job_leaves_running_does_not_keep_it(hub: Hub) -> None:
    job = hub.run(1, "yes & sleep 600 & echo $! >&2; exit 4")
    assert hub.finish(job) == 4
    assert os.getsid(int(job.stderr)) != os.getsid(0)


def test_killed_means_all_that_the_job_started(hub: Hub) -> None:
    job = hub.run(
        1,
        "sleep 600 & setsid sleep 600 & (setsid sh -c 'trap : TERM; while :; do sleep 1; done') & sleep 600",
    )
    other = hub.run(2, "sleep 600")
    hub.until(lambda: len(marked_jobs(hub, "sleep")) >= 5)
    began = time.monotonic()
    hub.send(frames.KILL, 1)
    assert hub.finish(job) == 128 + signal.SIGTERM
    hub.until(lambda: not marked("WOMM_JOB=1\0") or all_of(hub, 1) == [])
    assert time.monotonic() - began < 2.5
    assert all_of(hub, 2)
    assert other.status is None


def all_of(hub: Hub, number: int) -> list[int]:
    """The processes of a job."""
    found = []
    for pid in marked(f"WOMM_TASK={hub.name}\0"):
        with contextlib.suppress(OSError):
            if f"WOMM_JOB={number}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
    return found


def test_a_killed_job_that_ignores_it_is_killed_for_good(hub: Hub) -> None:
    job = hub.run(1, "trap 'echo no >&2' TERM; echo ready; while :; do sleep 0.1; echo more; done")
    hub.until(lambda: job.stdout)
    hub.send(frames.KILL, 1)
    began = time.monotonic()
    hub.finish(job)
    assert 0.5 < time.monotonic() - began < 2.5
    assert job.status == signal.SIGKILL
    assert job.stderr == b""


def test_a_killed_job_may_clean_up_and_say_so(hub: Hub, tmp_path: Path) -> None:
    job = hub.run(
        1, f"trap 'echo cleaning; touch {tmp_path}/clean; exit 5' TERM; echo up; while :; do sleep 0.01; done"
    )
    hub.until(lambda: job.stdout)
    hub.send(frames.KILL, 1)
    assert hub.finish(job) == 5
    assert (tmp_path / "clean").exists()
    assert job.stdout == b"up\n"


def test_a_killed_worker_is_gone_even_without_exec(hub: Hub) -> None:
    text = b"$SIG{TERM}='IGNORE'; fork; $|=1; print 'up'; sleep 1 while 1 #".hex()
    job = hub.run(1, f"exec perl -X -e GNU_Parallel_worker,eval+pack+q/H10000000/,join+q//,@ARGV {text}")
    hub.until(lambda: job.stdout == b"upup")
    assert len(marked(f"WOMM_TASK={hub.name}")) == 2
    hub.send(frames.KILL, 1)
    assert hub.finish(job) == 128 + signal.SIGKILL
    eventually(lambda: not marked(f"WOMM_TASK={hub.name}"))


def alone(script: str, *arguments: str) -> list[str]:
    """The lines that `script` prints, which has the agent's functions and variables, and no agent."""
    parts = SOURCE.decode().replace("\nmain();\n", "\n")
    done = subprocess.run(
        ["perl", "-", "name", *arguments],
        input=f"{parts}\npackage Womm::Agent; no strict; no warnings; {script}".encode(),
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode().splitlines()


def test_what_was_forked_just_before_the_kill_is_killed_by_the_next() -> None:
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
    first, second = (str(sleeper.pid) for sleeper in sleepers)
    looks = alone(
        """
        my @there = ([$ARGV[1]], [$ARGV[2]], []);
        *processes = sub { print "look\n"; @{ shift @there } };
        push @doomed, { number => 1, pid => 1, at => 0, by => "KILL", pause => 0.001 };
        while (@doomed) { kill_doomed(); select undef, undef, undef, patience() }
        """,
        first,
        second,
    )
    for sleeper in sleepers:
        assert sleeper.wait(PATIENCE) == -signal.SIGKILL
    assert looks == ["look"] * 3


def test_a_job_that_has_begun_a_moment_ago_and_has_no_session_yet_is_found() -> None:
    assert alone(
        """
        my ($job, $other) = map { fork // die or do { sleep 600; exit } } 1 .. 2;
        print map({ $_ == $job ? "job" : "other" } processes(undef, $job)), "\n";
        kill "KILL", $job, $other;
        """
    ) == ["job"]


def test_many_jobs_are_killed_after_one_look_at_the_processes() -> None:
    assert alone(
        """
        *processes = sub { print join(" ", sort { $a <=> $b } keys %{ shift() }), "\n"; () };
        for my $n (1 .. 5) { kill_job($jobs{$n} = { number => $n, pid => 100 + $n, output => {} }) }
        kill_doomed();
        $_->{at} = 0 for @doomed;
        kill_doomed();
        print scalar(@doomed), " left\n";
        """
    ) == ["1 2 3 4 5", "1 2 3 4 5", "0 left"]


def test_an_output_that_nobody_reads_ends_the_job(hub: Hub) -> None:
    job = hub.run(1, "exec yes")
    hub.until(lambda: job.stdout)
    hub.send(frames.BROKEN, 1, b"\1")
    assert hub.finish(job) == 128 + signal.SIGPIPE


def test_a_job_that_reads_no_more_says_so(hub: Hub) -> None:
    job = hub.run(1, "exec <&-; sleep 1; exit 5", 0)
    hub.feed(1, bytes(3_000_000))
    assert job.closed
    assert hub.finish(job) == 5


def test_a_cut_channel_loses_and_doubles_nothing(hub: Hub) -> None:
    job = hub.run(1, "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo $i; done; cat >&2", 0)
    data = os.urandom(3_000_000)
    for cut in range(1, 5):
        hub.until(lambda cut=cut: len(job.stdout) > cut * 20_000)
        # Some of what was sent may not have been heard, and the other way round.
        job.credit -= 100_000
        hub.send(frames.INPUT, 1, data[(cut - 1) * 100_000 : cut * 100_000])
        hub.step()
        hang_up(hub.channel)
        assert hub.dial().answer == "same"
    hub.until(lambda: job.stdout.endswith(b"\n30000\n"))
    hub.feed(1, data[400_000:])
    assert hub.finish(job) == 0
    assert job.stdout == b"".join(b"%d\n" % i for i in range(1, 30001))
    assert job.stderr == data


def test_a_job_ends_while_there_is_no_channel(hub: Hub, tmp_path: Path) -> None:
    job = hub.run(1, f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo done; exit 6")
    hub.until(lambda: all_of(hub, 1))
    hang_up(hub.channel)
    (tmp_path / "go").touch()
    eventually(lambda: not all_of(hub, 1))
    assert hub.dial().answer == "same"
    assert hub.finish(job) == 6
    assert job.stdout == b"done\n"


def test_a_second_dial_takes_over_from_a_channel_that_hangs(hub: Hub) -> None:
    job = hub.run(1, "sleep 600")
    hub.until(lambda: all_of(hub, 1))
    old = hub.channel
    assert hub.dial().answer == "same"
    old.wait(PATIENCE)
    assert hub.finish(hub.run(2, "exit 7")) == 7
    assert job.status is None


def test_a_greeting_that_was_long_on_its_way_costs_nothing(hub: Hub) -> None:
    # Of a dial that the hub has given up; it has had more since, and said so.
    late = Hub(hub.name)
    late.key, late.received = hub.key, hub.received
    talker = hub.run(1, f"head -c {3 << 20} /dev/zero; exec sleep 600")
    hub.until(lambda: len(talker.stdout) == 3 << 20 and hub.told == len(hub.sent))
    answer = hub.run(2, "echo here")
    # Once it has answered, it has taken in what was acknowledged before.
    assert hub.finish(answer) == 0
    late.channel = dial(hub.name)
    assert late.channel.stdin is not None
    late.channel.stdin.write(frames.greet(late.key, late.received, 60, b"/tmp", b"/bin/sh"))
    late.channel.wait(PATIENCE)
    assert hub.finish(hub.run(3, "exit 5")) == 5
    assert talker.status is None


def test_another_hub_is_refused(hub: Hub) -> None:
    job = hub.run(1, "sleep 600")
    hub.until(lambda: all_of(hub, 1))
    other = Hub(hub.name)
    assert other.dial().answer == "busy"
    other.until_end()
    assert hub.finish(hub.run(2, "exit 8")) == 8
    assert job.status is None


@pytest.mark.parametrize("channel", ["open", "cut"])
def test_jobs_end_with_the_dead_man_time(name: str, channel: str) -> None:
    hub = Hub(name, dead_man=1)
    hub.dial()
    hub.run(1, "trap '' TERM; while :; do sleep 0.1; done")
    hub.until(lambda: all_of(hub, 1))
    if channel == "cut":
        hang_up(hub.channel)
    eventually(lambda: not marked(name), 6)
    # It was not the jobs that have ended it.
    if channel == "open":
        assert hub.channel.wait(PATIENCE) == 0


def test_a_dial_alone_is_no_sign_of_life(name: str) -> None:
    # The hub may have given up on it, and counts from the cut.
    hub = Hub(name, dead_man=1)
    hub.dial()
    hub.run(1, "sleep 600")
    hub.until(lambda: all_of(hub, 1))
    end = time.monotonic() + 10
    while marked(f"WOMM_TASK={name}"):
        assert time.monotonic() < end, "dials have kept it alive"
        hang_up(hub.channel)
        # One that comes at the very end is answered by the next agent, or by none.
        with contextlib.suppress(AssertionError, BrokenPipeError):
            hub.dial()


def test_pings_keep_the_agent(name: str) -> None:
    hub = Hub(name, dead_man=1)
    hub.dial()
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        hub.heard.clear()
        hub.send(frames.PING)
        hub.until(lambda: hub.heard)
        assert hub.heard[0].type == frames.ACKNOWLEDGE
        assert frames.number(hub.heard[0].payload) <= hub.told
    assert hub.finish(hub.run(1, "exit 9")) == 9


def test_a_new_agent_kills_what_a_killed_one_left(hub: Hub) -> None:
    hub.run(1, "trap '' TERM; env -i sleep 600 & sleep 600")
    hub.run(2, worker_that("sleep 600"))
    hub.run(3, worker_that("setsid sleep 600 & exec env -i setsid sleep 600"))
    hub.until(lambda: len(marked(f"WOMM_TASK={hub.name}")) >= 5)
    os.kill(hub.agent(), signal.SIGKILL)
    hub.until_end()
    assert marked(f"WOMM_TASK={hub.name}")
    again = Hub(hub.name)
    assert again.dial().answer == "new"
    assert not marked(f"WOMM_TASK={hub.name}")
    assert again.finish(again.run(1, "exit 3")) == 3


@pytest.mark.parametrize("how", ["quit", "term"])
def test_the_agent_ends_with_its_jobs(hub: Hub, how: str) -> None:
    hub.run(1, "sleep 600")
    hub.run(2, worker_that('trap "" TERM; while :; do sleep 0.1; done'))
    hub.until(lambda: all_of(hub, 1) and all_of(hub, 2))
    began = time.monotonic()
    if how == "quit":
        hub.send(frames.QUIT)
    else:
        os.kill(hub.agent(), signal.SIGTERM)
    hub.until_end()
    hub.channel.wait(PATIENCE)
    assert time.monotonic() - began < 3
    # Its last act is to let go of the channel: it may not have ended yet.
    eventually(lambda: not marked(hub.name))


def memory(pid: int) -> int:
    """A process's resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_an_endless_writer_waits_for_credit(hub: Hub) -> None:
    hub.finish(hub.run(1, ":"))
    agent = hub.agent()
    before = memory(agent)
    hub.generous = False
    writer = hub.run(2, "exec yes")
    hub.until(lambda: len(writer.stdout) == frames.WINDOW)
    other = hub.run(3, "echo here")
    hub.finish(other)
    assert other.stdout == b"here\n"
    assert len(writer.stdout) == frames.WINDOW
    assert memory(agent) - before < 20_000_000


def test_a_hub_that_stops_reading_costs_no_memory(hub: Hub) -> None:
    hub.finish(hub.run(1, ":"))
    agent = hub.agent()
    before = memory(agent)
    for number in range(2, 12):
        hub.run(number, "exec yes")
    # Only sent: nothing is read.
    while hub.told < len(hub.sent):
        hub.told += os.write(hub.to, hub.sent[hub.told :])
    eventually(lambda: len(marked_jobs(hub, "yes")) == 10)
    eventually(lambda: idle(agent))
    assert memory(agent) - before < 20_000_000


def test_the_channels_pipes_are_wide_where_bulk_goes_and_only_there(hub: Hub) -> None:
    def held() -> list[int]:
        return [fcntl.fcntl(end, F_GETPIPE_SZ) for end in (hub.to, hub.from_)]

    narrow = held()
    hub.finish(hub.run(1, "echo little"))
    assert held() == narrow
    taker = hub.run(2, "wc -c", 0)
    hub.feed(2, bytes(3_000_000))
    hub.finish(taker)
    assert (taker.stdout, held()) == (b"3000000\n", [WIDE, narrow[1]])
    writer = hub.run(3, "head -c 3000000 /dev/zero")
    # Only sent: nothing is read for a while.
    while hub.told < len(hub.sent):
        hub.told += os.write(hub.to, hub.sent[hub.told :])
    eventually(lambda: held() == [WIDE, WIDE])
    hub.finish(writer)
    assert writer.stdout == bytes(3_000_000)


def idle(pid: int) -> bool:
    """Whether a process uses no processor for a while."""
    ticks = []
    for _ in range(2):
        ticks.append(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])
        time.sleep(0.3)
    return ticks[0] == ticks[1]


def test_a_job_that_never_reads_costs_no_memory(hub: Hub) -> None:
    hub.finish(hub.run(1, ":"))
    agent = hub.agent()
    before = memory(agent)
    deaf = hub.run(2, "exec sleep 600", 0)
    hub.send(frames.INPUT, 2, bytes(frames.WINDOW))
    hub.finish(hub.run(3, ":"))
    assert deaf.credit == frames.WINDOW + sum(
        frames.number(frame.payload) for frame in hub.heard if frame.type == frames.CREDIT and frame.job == 2
    )
    assert memory(agent) - before < 20_000_000


@pytest.mark.parametrize(
    "wrong",
    [
        frames.encode(frames.RUN, 1, b"\0touch ran"),
        frames.encode(frames.RUN, 0, b"\0touch ran"),
        frames.encode(frames.RUN, 3),
        frames.encode(frames.INPUT, 3, b"x"),
        frames.encode(frames.INPUT, 2, bytes(frames.WINDOW + 1)),
        frames.encode(frames.KILL, 99),
        frames.encode(frames.PING, 1),
        frames.encode(frames.PING, 0, b"x"),
        frames.encode(frames.BROKEN, 2, b"\3"),
        frames.encode(frames.CREDIT, 2, b"x"),
        frames.encode(frames.CREDIT, 2, b"\0\0\0\0\1"),
        frames.encode(frames.ACKNOWLEDGE, 0, b"\0\0\0\0\0\1\0\0"),
        frames.encode(frames.GREETING, 0, b""),
        frames.encode(ord("?"), 0, b""),
        b"R\0\0\0\3\x7f\xff\xff\xff",
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_what_is_against_the_rules_ends_all(hub: Hub, wrong: bytes) -> None:
    hub.run(1, ":")
    hub.run(2, "sleep 600", 0)
    hub.until(lambda: all_of(hub, 2))
    hub.finish(hub.jobs[1])
    hub.sent += wrong
    hub.until_end()
    eventually(lambda: not marked(hub.name))


def test_frames_for_ended_jobs_are_passed_over(hub: Hub) -> None:
    hub.finish(hub.run(5, ":"))
    hub.send(frames.INPUT, 5, b"x")
    hub.send(frames.KILL, 5)
    hub.send(frames.BROKEN, 5, b"\1")
    hub.sent += frames.credit_for(5, 1, 10)
    hub.send(frames.END_OF_INPUT, 3)
    assert hub.finish(hub.run(6, "exit 2")) == 2


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(greeted=st.booleans(), garbage=st.binary(min_size=9, max_size=300))
def test_garbage_is_refused(greeted: bool, garbage: bytes, tmp_path: Path) -> None:
    name = f"task-{uuid.uuid4().hex}"
    hub = Hub(name)
    hub.directory = os.fsencode(tmp_path)
    try:
        if greeted:
            hub.dial()
        else:
            hub.channel = dial(name)
            assert hub.channel.stdin is not None
            assert hub.channel.stdout is not None
            hub.to, hub.from_ = hub.channel.stdin.fileno(), hub.channel.stdout.fileno()
        # What is read as a frame that is not here yet in full is no violation: give it enough.
        hub.sent += garbage + b"\xff" * 100_000 if garbage[:1] not in b"RIZWBKPAQ" else b"\xff" + garbage
        hub.told = 0
        hub.until_end()
        assert not marked(f"WOMM_TASK={name}")
        assert list(tmp_path.iterdir()) == []
    finally:
        clean_up(name)


def workers(tmp_path: Path, *arguments: str) -> list[str]:
    """The commands that GNU parallel gives to its ssh."""
    log, ssh = tmp_path / "commands", tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\nshift 2\nprintf "%s\\n" "$*" >>{log}\n')
    ssh.chmod(0o755)
    log.unlink(missing_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PARALLEL")}
    subprocess.run(
        ["perl", str(PARALLEL), "--will-cite", "--ssh", str(ssh), "-S", "1/x", *arguments],
        stdin=subprocess.DEVNULL,
        env={**environment, "HOME": str(tmp_path), "SHELL": "/bin/sh"},
        check=False,
        timeout=60,
    )
    return [line for line in log.read_text().splitlines() if "GNU_Parallel_worker" in line]


@pytest.mark.parametrize(
    "arguments",
    [
        ["echo out {}; echo err >&2; exit 3", ":::", "a  b'"],
        ["--workdir", "/usr", "pwd; echo $PARALLEL_SEQ; kill -9 $$", ":::", "x"],
        ["--tag", "head -c {} /dev/zero | tr '\\0' x", ":::", "200000"],
        ["--env", "MINE", "echo $MINE; perl -e 'print STDIN->eof'", ":::", "1"],
        ["no-such-program-of-ours {}", ":::", "1"],
        ["echo " + "x" * 20_000 + "{}", ":::", "1"],
    ],
)
def test_gnu_parallels_worker_does_the_same_by_either_way(
    hub: Hub, tmp_path: Path, arguments: list[str]
) -> None:
    (command,) = workers(tmp_path, *arguments)
    by_shell = hub.run(1, command, frames.NO_STDIN | frames.BY_SHELL)
    at_once = hub.run(2, command)
    assert hub.finish(by_shell) == hub.finish(at_once)
    assert by_shell.stdout == at_once.stdout
    # GNU parallel's script has a random name.
    name = re.compile(rb"parallel#\w+")
    assert name.sub(b"", by_shell.stderr) == name.sub(b"", at_once.stderr)
    assert by_shell.stdout or by_shell.stderr


def test_what_looks_like_a_worker_but_is_not_goes_to_the_shell(hub: Hub) -> None:
    text = b"open F, '/proc/self/cmdline'; print <F>; exit 0#".hex()
    command = " ".join([*worker_that("").split(" ")[:-1], text])
    at_once, by_shell = hub.run(1, command), hub.run(2, command + " ''")
    assert (hub.finish(at_once), hub.finish(by_shell)) == (0, 0)
    assert b"GNU_Parallel_worker" not in at_once.stdout
    assert b"GNU_Parallel_worker" in by_shell.stdout


def test_a_worker_that_does_not_end_itself_fails(hub: Hub) -> None:
    broken = hub.run(1, " ".join([*worker_that("").split(" ")[:-1], b"die 'oh'#".hex()]))
    assert hub.finish(broken) == 255
    assert broken.stderr.startswith(b"oh at ")


def test_workers_draw_different_numbers(hub: Hub) -> None:
    text = b"print rand; exit 0#".hex()
    jobs = [hub.run(n, " ".join([*worker_that("").split(" ")[:-1], text])) for n in (1, 2, 3)]
    hub.until(lambda: all(job.status == 0 for job in jobs))
    assert len({bytes(job.stdout) for job in jobs}) == 3


def test_no_other_process_is_possible(name: str) -> None:
    hub = Hub(name)
    hub.dial()
    # Files in place of processes: limits on these do not hold for root.
    subprocess.run(["prlimit", f"--pid={hub.agent()}", "--nofile=9"], check=True)
    job = hub.run(1, "echo ran", 0)
    assert hub.finish(job) == 255
    assert job.stderr.startswith(b"womm: the pod can't start another process: ")
    hub.send(frames.QUIT)
    hub.until_end()


def test_a_source_that_ends_early_is_not_run() -> None:
    done = subprocess.run(
        ["perl", "-e", BOOT, "100", "x"], input=b"print 'ran';", capture_output=True, check=False, timeout=20
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        255,
        b"",
        b"womm: the agent did not arrive whole\n",
    )


def test_the_boot_is_short() -> None:
    assert len(BOOT) < 360
    assert b"'" not in SOURCE or b"__END__" not in SOURCE


@pytest.mark.parametrize(
    ("ends", "waits"),
    [("exit 0", False), ("exit 1", False), ("exit 128", False), ("exit 129", True), ("kill -9 $$", True)],
)
def test_only_a_death_is_told_a_moment_later(hub: Hub, ends: str, waits: bool) -> None:
    told = []
    for number in (1, 2, 3):
        job = hub.run(number, f"echo x; {ends}")
        hub.until(lambda job=job: job.stdout)
        began = time.monotonic()
        hub.finish(job)
        told.append(time.monotonic() - began)
    # This machine may be busy.
    assert max(told) > 0.15 if waits else min(told) < 0.15


def test_a_death_within_the_agents_own_is_not_told(hub: Hub) -> None:
    dead = hub.run(1, f"(sleep 0.05; kill -9 {hub.agent()}) & kill -9 $$")
    hub.until_end()
    assert dead.status is None


def test_nothing_is_told_after_the_agent_was_told_to_end(hub: Hub) -> None:
    # Both end on TERM: by it, and with a status that no death has.
    hub.run(1, "exec sleep 600")
    talker = hub.run(2, "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done")
    hub.until(lambda: talker.stdout and all_of(hub, 1))
    os.kill(hub.agent(), signal.SIGTERM)
    hub.until_end()
    assert hub.channel.wait(PATIENCE) == 70
    assert [job.status for job in hub.jobs.values()] == [None, None]
    assert talker.stdout == b"up\n"
    assert not marked(hub.name)


def test_workers_share_no_state(hub: Hub, tmp_path: Path) -> None:
    # Each sets what perl programs have: variables, subs, the environment, @ARGV, a handler, the umask.
    text = (
        f"open F, '>{tmp_path}/'.(0+$ENV{{WOMM_JOB}}); 1 until -e '{tmp_path}/1' and -e '{tmp_path}/2';"
        " push @got, $x, $ENV{MINE}, scalar(@ARGV), defined &mine, $SIG{USR1}, umask, $/;"
        " push @got, $0 =~ /WOMM_JOB=(.)/;"
        " $x = $ENV{WOMM_JOB}; $ENV{MINE} = $x; @ARGV = (1); *mine = sub {1}; $SIG{USR1} = 'IGNORE';"
        " umask 077; chdir '/'; $/ = undef; sleep 1; print join '|', @got, $x, $ENV{MINE}; exit $x#"
    ).encode()
    command = " ".join([*worker_that("").split(" ")[:-1], text.hex()])
    first, second = hub.run(1, command), hub.run(2, command)
    assert (hub.finish(first), hub.finish(second)) == (1, 2)
    third = hub.run(3, command)
    assert hub.finish(third) == 3
    mask = os.umask(0)
    os.umask(mask)
    for number, job in enumerate((first, second, third), start=1):
        n = str(number)
        assert job.stdout.decode().split("|") == ["", "", "0", "", "", str(mask), "\n", n, n, n]


@pytest.mark.parametrize("rest", [b"line1\nline2\n", b"", b"no end", os.urandom(300_000)])
def test_perl_that_reads_its_program_from_stdin_reads_on_where_that_ends(hub: Hub, rest: bytes) -> None:
    # As GNU parallel has it since 2026: its worker is sent by stdin, before the job's own.
    text = b'print "args @ARGV\\n"; while (<STDIN>) { print "in $_" }\n__END__\n' + rest
    here = subprocess.run(["perl", "-", "1"], input=text, capture_output=True, check=False, timeout=20)
    job = hub.run(1, "exec perl - 1", 0)
    hub.feed(1, text)
    assert hub.finish(job) == here.returncode == 0
    assert job.stdout == here.stdout
    assert job.stdout.startswith(b"args 1\n")
