"""The hub in its own thread, with real logins and real agents, which are processes of this machine."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
from conftest import eventually

from womm.beside import background
from womm.hub import channel as channels
from womm.hub import core, frames, places
from womm.hub.core import Settings, choose
from womm.hub.dial import DialFailed, Dialler, Place, Proxy
from womm.hub.hub import Hub
from womm.hub.job import Rules
from womm.hub.links import Ended, Link, Plain, WebSocket, open_plain
from womm.kubectl import Kube
from womm.pods import PodState
from womm.problems import killed
from womm.process import RUN_VARIABLE

SCRIPTS = Path(__file__).parent.parent / "womm" / "scripts"
PATIENCE = 20

# Plays `kubectl exec`: tells the status of the program as that does.
EXEC = '"$@"; s=$?; [ $s = 0 ] || echo "command terminated with exit code $s" >&2; exit $s'


def alive(process: psutil.Process) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def running(name: str, container: str = "1") -> PodState:
    """A pod that takes jobs."""
    return PodState(name, container, running=True, usable=True, leaving=False, reason="")


def ended(name: str, reason: str = "", *, leaving: bool = False) -> PodState:
    """A pod whose container has ended."""
    return PodState(name, "1", running=False, usable=False, leaving=leaving, reason=reason)


class World:
    """A hub, its run's directory, and pods that are agents on this machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Short: a socket's path has 108 bytes.
        self.run = Path(tempfile.mkdtemp(prefix="womm-", dir="/tmp"))
        self.bed = self.run / "bed"
        self.bed.mkdir()
        self.task = uuid.uuid4().hex[:12]
        self.dials: list[str] = []
        self.unreachable: set[str] = set()
        #: Why they are.
        self.why = "no route to host"
        #: Programs in the place of a pod's agent.
        self.fakes: dict[str, Sequence[str]] = {}
        self.ready: list[list[str]] = []
        self.told: list[str] = []
        self.tell: Callable[[str], None] = self.told.append
        self.logins: list[subprocess.Popen[bytes]] = []
        self._hub: Hub | None = None
        for name in list(os.environ):
            if name.startswith(("WOMM_", "PERL")):
                monkeypatch.delenv(name)
        world = self

        async def open_(_self: Dialler, _transport: str, place: Place) -> Link:
            world.dials.append(place.pod)
            if place.pod in world.unreachable:
                raise DialFailed(world.why)
            *boot, length, _ = place.command
            argv = [*world.fakes.get(place.pod, boot), length, world.name(place.pod)]
            ours, theirs = socket.socketpair()
            with theirs:
                process = background(["sh", "-c", EXEC, "sh", *argv], stdio=theirs.fileno(), env={})
            return await open_plain(ours, Plain(process))

        monkeypatch.setattr(Dialler, "open", open_)

    def name(self, pod: str) -> str:
        """The name of a pod's agent: on this machine they share what pods have each of their own."""
        return f"{self.task}-{pod}"

    def start(self, *pods: str, rules: Rules | None = None, **settings: Any) -> Hub:
        """Start the hub, and let it have these pods."""
        chosen = Settings(
            kube=Kube("n", "c"),
            task=self.task,
            run=self.run,
            slots=1,
            directory=os.fsencode(self.bed),
            shell=b"/bin/sh",
            rules=Rules() if rules is None else rules,
            environment={RUN_VARIABLE: str(self.run)},
            transport="exec",
        )
        self._hub = Hub(replace(chosen, **settings), self.ready.append, self.tell)
        self._hub.start()
        if pods:
            self._hub.see([running(pod) for pod in pods])
            eventually(lambda: self.taking() == sorted(pods))
        return self._hub

    @property
    def hub(self) -> Hub:
        """The hub that was started."""
        assert self._hub is not None
        return self._hub

    def taking(self) -> list[str]:
        """The pods that take jobs, as the hub has told."""
        return self.ready[-1] if self.ready else []

    def login(
        self, host: str, command: str, stdin: Any = subprocess.DEVNULL, **streams: Any
    ) -> subprocess.Popen[bytes]:
        """Have a job run, as GNU parallel does."""
        chosen = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        login = subprocess.Popen(
            ["perl", "-X", str(SCRIPTS / "login.pl"), host, "--", command],
            stdin=stdin,
            env={**os.environ, RUN_VARIABLE: str(self.run)},
            **chosen,
        )
        self.logins.append(login)
        return login

    def agents(self, pod: str) -> list[psutil.Process]:
        """The agent of a pod: the one of its processes that leads a session."""
        return [process for process in self.processes(pod) if os.getsid(process.pid) == process.pid]

    def dialers(self, pod: str) -> list[psutil.Process]:
        """What holds the channel to a pod's agent."""
        return [process for process in self.processes(pod) if os.getsid(process.pid) != process.pid]

    def processes(self, pod: str) -> list[psutil.Process]:
        """The agent and the dialers of a pod."""
        found = []
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                if words[-1:] == [self.name(pod)] and words[0] in ("perl", "womm-agent") and alive(process):
                    os.getsid(process.pid)
                    found.append(process)
            except (psutil.Error, ProcessLookupError):
                continue
        return found

    def marked(self) -> list[psutil.Process]:
        """All processes that jobs have started, and all that has the task's name."""
        found = []
        for process in psutil.process_iter():
            try:
                said = [*process.cmdline(), process.environ().get("WOMM_TASK", "")]
            except psutil.Error:
                continue
            if any(self.task in word for word in said) and alive(process):
                found.append(process)
        return found

    def kill_agent(self, pod: str) -> None:
        """Kill the agent alone; what it has started lives on."""
        (agent,) = self.agents(pod)
        agent.kill()
        eventually(lambda: not alive(agent))

    def kill_container(self, pod: str) -> None:
        """Kill everything in a pod, as the kernel does when memory runs out."""
        doomed = []
        for process in self.marked():
            # It may have ended with one that was killed before. The stand-in for kubectl is not in the pod.
            with suppress(psutil.NoSuchProcess):
                words, environ = process.cmdline(), process.environ()
                mine = self.name(pod) in (words[-1], environ.get("WOMM_TASK"))
                if mine and EXEC not in words:
                    doomed.append(process)
        # The kernel is quick; on a busy machine an agent would have the time to tell of its jobs' deaths.
        for signum in (signal.SIGSTOP, signal.SIGKILL):
            for process in doomed:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signum)

    def cut(self, pod: str) -> None:
        """Cut the channel to a pod's agent."""
        (dialer,) = self.dialers(pod)
        dialer.kill()

    def account(self) -> str:
        """Who waits for what: the dials, where the hub's thread is, each process of the task."""
        lines = [f"dials: {self.dials}; told: {self.told}; complaint: {self.hub.complaint!r}"]
        if (frame := sys._current_frames().get(self.hub.ident or 0)) is not None:
            lines += [line.rstrip() for line in traceback.format_stack(frame)[-3:]]
        for process in self.marked():
            with suppress(psutil.Error, OSError):
                waits = Path(f"/proc/{process.pid}/wchan").read_text()
                name = " ".join(process.cmdline())
                lines.append(f"{process.pid} of {process.ppid()}: {process.status()} in {waits}: {name[:40]}")
        return "\n".join(lines)

    def file(self, name: str) -> Path:
        """A file of the jobs' directory."""
        return self.bed / name

    def close(self) -> None:
        """End it all."""
        if self._hub is not None:
            self._hub.stop()
            self._hub = None
        for process in self.marked():
            process.kill()
        for login in self.logins:
            login.kill()
            login.wait()
            for stream in (login.stdin, login.stdout, login.stderr):
                if stream is not None:
                    stream.close()
        shutil.rmtree(self.run, ignore_errors=True)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world that ends with the test."""
    made = World(monkeypatch)
    yield made
    made.close()


def finish(login: subprocess.Popen[bytes], stdin: bytes | None = None) -> tuple[int, bytes, bytes]:
    """Wait for a job: status, stdout, stderr."""
    out, err = login.communicate(stdin, timeout=PATIENCE)
    return login.returncode, out, err


def content(file: IO[bytes]) -> bytes:
    """What is in a file that somebody else writes."""
    return os.pread(file.fileno(), 1 << 30, 0)


#: Writes "begin", notes that it runs, and ends once there is a file `release`.
STAYS = "echo begin; echo $$ >run.$$; until [ -e release ]; do sleep 0.02; done; echo end"


def runs(world: World) -> list[psutil.Process]:
    """The processes of the jobs that run STAYS, those that are to be killed, too."""
    found = []
    for path in world.bed.glob("run.*"):
        try:
            process = psutil.Process(int(path.name.removeprefix("run.")))
        except psutil.NoSuchProcess:
            continue
        found += [process] if alive(process) else []
    return found


def started(world: World) -> int:
    """How many jobs have run STAYS."""
    return len(list(world.bed.glob("run.*")))


# Which pod


@pytest.mark.parametrize(
    ("wanted", "free", "pinned", "pod"),
    [
        ("a", {}, False, None),
        ("a", {"a": 1, "b": 5}, False, "a"),
        ("a.2", {"a": 1, "b": 5}, False, "a"),
        ("a", {"a": 0, "b": 1}, False, "b"),
        ("a", {"a": 0, "b": 1}, True, "a"),
        ("a", {"a": -1, "b": 0}, False, None),
        ("a", {"b": 1, "c": 2}, True, "c"),
        ("a", {"b": 0}, True, None),
        ("womm-task-x", {"b": 1}, False, "b"),
    ],
)
def test_which_pod_a_job_goes_to(wanted: str, free: dict[str, int], pinned: bool, pod: str | None) -> None:
    assert choose(wanted, free, pinned) == pod


# Jobs


def test_a_job_has_streams_of_its_own_and_a_status(world: World) -> None:
    world.start("p-1")
    assert finish(world.login("p-1", "echo out; echo err >&2; exit 3")) == (3, b"out\n", b"err\n")
    assert finish(world.login("p-1", "exit 0")) == (0, b"", b"")
    assert finish(world.login("p-1", "kill -TERM $$")) == (143, b"", b"")
    assert finish(world.login("p-1", "exit 255")) == (255, b"", b"")


def test_a_job_gets_its_stdin(world: World) -> None:
    world.start("p-1")
    data = bytes(range(256)) * 20_000
    assert finish(world.login("p-1", "cat", stdin=subprocess.PIPE), data) == (0, data, b"")
    assert finish(world.login("p-1", "cat")) == (0, b"", b"")
    # One that reads nothing of it ends, too.
    assert finish(world.login("p-1", "true", stdin=subprocess.PIPE), data) == (0, b"", b"")


def test_a_job_runs_in_the_users_directory_whatever_its_words(world: World) -> None:
    world.start("p-1")
    assert finish(world.login("p-1", "pwd; printf '%s|' 'a  b' \"$SHELL\" \xff")) == (
        0, f"{world.bed}\na  b|/bin/sh|".encode() + "\xff|".encode(), b"",
    )  # fmt: skip


def test_a_job_waits_for_a_pod(world: World) -> None:
    world.start()
    login = world.login(f"womm-task-{world.task}", "echo out")
    world.hub.see([])
    world.hub.see([PodState("p-1", "", running=False, usable=False, leaving=False, reason="")])
    assert login.poll() is None
    assert not world.hub.reached
    world.hub.see([running("p-1")])
    assert finish(login) == (0, b"out\n", b"")
    assert world.hub.reached
    assert world.ready[0] == ["p-1"]
    # And once more: GNU parallel may have missed it.
    eventually(lambda: world.ready == [["p-1"]] * 2)


def test_pods_are_told_once_more_when_the_first_job_comes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GNU parallel, which waited for its input, takes the file as it is now for what it read at its start.
    monkeypatch.setattr(core, "_LAST_REMINDER", 0.0)
    world.start("p-1")
    assert world.ready == [["p-1"]]
    for _ in range(2):
        assert finish(world.login("p-1", "true"))[0] == 0
    assert world.ready == [["p-1"]] * 2


def test_pods_that_can_not_be_told_take_jobs_all_the_same_and_are_told_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "_REMINDER", 0.01)
    monkeypatch.setattr(core, "_LAST_REMINDER", 0.02)
    refusals = [OSError(errno.ENOSPC, "No space left on device")] * 6

    class Full(list[list[str]]):
        """What can't be told at first."""

        def append(self, pods: list[str]) -> None:
            if refusals:
                raise refusals.pop()
            super().append(pods)

    world.ready = Full()
    world.start()
    login = world.login("p-1", "echo out")
    world.hub.see([running("p-1")])
    assert finish(login) == (0, b"out\n", b"")
    eventually(lambda: world.taking() == ["p-1"])
    complaint = "GNU parallel can't be told of the pods that take jobs: [Errno 28] No space left on device"
    eventually(lambda: world.told == [complaint])


def test_a_job_waits_for_a_pod_that_can_be_reached(world: World) -> None:
    world.unreachable.add("p-1")
    world.start()
    world.hub.see([running("p-1")])
    login = world.login("p-1", "echo out")
    eventually(lambda: world.hub.complaint)
    assert world.hub.complaint == "no route to host"
    assert (login.poll(), world.hub.reached, world.taking()) == (None, False, [])
    world.unreachable.clear()
    assert finish(login) == (0, b"out\n", b"")
    assert world.hub.reached


def test_a_job_for_a_pod_that_has_gone_runs_in_another(world: World) -> None:
    world.start("p-1", "p-2")
    world.hub.see([ended("p-1", leaving=True), running("p-2")])
    eventually(lambda: world.taking() == ["p-2"])
    assert finish(world.login("p-1", "echo $WOMM_TASK")) == (0, f"{world.name('p-2')}\n".encode(), b"")


def test_a_job_goes_to_the_pod_that_was_named_and_to_its_other_logins(world: World) -> None:
    world.start("p-1", "p-2")
    for host in ("p-1", "p-2", "p-1.1"):
        told = f"{world.name(host.partition('.')[0])}\n".encode()
        assert finish(world.login(host, "echo $WOMM_TASK")) == (0, told, b"")


def test_it_is_noted_in_which_pod_each_job_of_gnu_parallels_ran(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start("p-1", "p-2")
    monkeypatch.setenv("PARALLEL_SEQ", "7")
    assert finish(world.login("p-2", "true"))[0] == 0
    # The pod that was named is not always the one that runs it.
    world.hub.see([ended("p-1", leaving=True), running("p-2")])
    eventually(lambda: world.taking() == ["p-2"])
    monkeypatch.setenv("PARALLEL_SEQ", "12")
    assert finish(world.login("p-1.1", "true"))[0] == 0
    for none in ("", "x", "-1"):
        monkeypatch.setenv("PARALLEL_SEQ", none)
        assert finish(world.login("p-2", "true"))[0] == 0
    world.hub.stop()
    rows = [line.split("\t") for line in (world.run / places.FILE).read_text().splitlines()]
    assert [(seq, pod) for seq, _, pod in rows] == [("7", "p-2"), ("12", "p-2")]
    assert all(abs(time.time() - float(at)) < PATIENCE for _, at, _ in rows)


@pytest.mark.parametrize("broken", ["/dev/full", "/proc/self/no"])
def test_jobs_run_though_it_can_not_be_noted_where(
    world: World, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    (world.run / places.FILE).symlink_to(broken)
    monkeypatch.setattr(places, "_BUFFER", 2)
    monkeypatch.setenv("PARALLEL_SEQ", "1")
    world.start("p-1")
    for _ in range(2):
        assert finish(world.login("p-1", "echo ran")) == (0, b"ran\n", b"")


def test_a_pod_that_is_asked_to_end_gets_no_more_jobs_but_keeps_those_it_has(world: World) -> None:
    world.start("p-1", "p-2")
    login = world.login("p-1", STAYS)
    eventually(lambda: started(world) == 1)
    world.hub.see([replace(running("p-1"), usable=False, leaving=True), running("p-2")])
    eventually(lambda: world.taking() == ["p-2"])
    assert finish(world.login("p-1", "echo $WOMM_TASK"))[1] == f"{world.name('p-2')}\n".encode()
    world.file("release").touch()
    assert finish(login) == (0, b"begin\nend\n", b"")
    assert started(world) == 1


def test_no_pod_has_more_jobs_than_slots(world: World) -> None:
    world.start("p-1", "p-2", slots=2)
    # Each notes how many run in its pod while it does.
    count = "touch on.$WOMM_TASK.$WOMM_JOB; set -- on.$WOMM_TASK.*; echo $# >count.$$"
    stays = "until [ -e release ]; do sleep 0.02; done"
    done = "rm on.$WOMM_TASK.$WOMM_JOB"
    logins = [world.login("p-1", f"{count}; {stays}; {done}") for _ in range(12)]
    eventually(lambda: len(list(world.bed.glob("count.*"))) == 4)
    world.file("release").touch()
    assert [finish(login)[0] for login in logins] == [0] * 12
    counts = [int(path.read_text()) for path in world.bed.glob("count.*")]
    assert len(counts) == 12
    assert max(counts) == 2


@pytest.mark.parametrize("command", ["exec sleep 99", "trap '' TERM; while :; do sleep 0.1; done"])
def test_a_job_ends_with_its_login(world: World, command: str) -> None:
    world.start("p-1")
    login = world.login("p-1", f"echo $$ >run.$$; {command}")
    eventually(lambda: runs(world))
    (job,) = runs(world)
    login.kill()
    login.wait()
    eventually(lambda: not alive(job), seconds=3)
    # Its slot is free again.
    assert finish(world.login("p-1", "echo next")) == (0, b"next\n", b"")


def test_a_login_that_goes_while_it_waits_costs_nothing(world: World) -> None:
    world.start("p-1")
    first = world.login("p-1", STAYS)
    eventually(lambda: started(world) == 1)
    second = world.login("p-1", "touch never")
    third = world.login("p-1", "echo third")
    second.kill()
    second.wait()
    world.file("release").touch()
    assert finish(first)[0] == 0
    assert finish(third) == (0, b"third\n", b"")
    assert not world.file("never").exists()


def test_a_reader_that_has_gone_ends_the_job_as_it_would_here(world: World) -> None:
    world.start("p-1")
    login = world.login("p-1", "yes")
    assert login.stdout is not None
    assert login.stdout.read(2) == b"y\n"
    login.stdout.close()
    assert login.wait(PATIENCE) == 128 + signal.SIGPIPE


def test_output_that_can_not_be_written_is_no_success(world: World) -> None:
    world.start("p-1")
    with open("/dev/full", "wb", buffering=0) as full:
        status, _, err = finish(world.login("p-1", "echo out; sleep 99", stdout=full))
    assert status == 255
    assert b"can't be written: No space left on device" in err


# Pods that are lost


def grouped(
    world: World, host: str, command: str, stdin: int = subprocess.DEVNULL
) -> tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]:
    """A job with output files of its own, as GNU parallel makes them with --group."""
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - the test closes them
    return world.login(host, command, stdin, stdout=out, stderr=err), out, err


def test_a_job_whose_agent_was_killed_runs_again_and_its_output_counts_once(world: World) -> None:
    world.start("p-1")
    login, out, err = grouped(world, "p-1", f"echo why >&2; {STAYS}")
    with out, err:
        eventually(lambda: content(out) == b"begin\n" and content(err) == b"why\n")
        (first,) = runs(world)
        world.kill_agent("p-1")
        eventually(lambda: started(world) == 2)
        # What the dead agent has left must not run beside its successor.
        assert not alive(first)
        world.file("release").touch()
        assert login.wait(PATIENCE) == 0
        assert (content(out), content(err)) == (b"begin\nend\n", b"why\n")
    eventually(lambda: world.told == ["p-1 was lost (its agent died): its job runs again"])


def test_a_job_runs_again_with_its_input(world: World) -> None:
    world.start("p-1")
    login, out, err = grouped(world, "p-1", f"read -r a; echo $a; {STAYS}; cat", subprocess.PIPE)
    assert login.stdin is not None
    with out, err, login.stdin as stdin:
        stdin.write(b"one\ntwo\n")
        stdin.flush()
        eventually(lambda: content(out) == b"one\nbegin\n")
        world.kill_agent("p-1")
        world.file("release").touch()
        stdin.write(b"three\n")
        stdin.close()
        assert login.wait(PATIENCE) == 0
        assert content(out) == b"one\nbegin\nend\ntwo\nthree\n"


def test_a_job_whose_output_has_gone_out_does_not_run_again(world: World) -> None:
    world.start("p-1")
    login = world.login("p-1", STAYS)
    assert login.stdout is not None
    assert login.stdout.readline() == b"begin\n"
    world.kill_agent("p-1")
    status, out, err = finish(login)
    assert (status, out) == (255, b"")
    assert err.startswith(b"womm: p-1 was lost before its job had ended (its agent died)")
    assert b"its output has gone out already" in err
    assert (started(world), world.told) == (1, [])
    # The pod takes jobs again.
    assert finish(world.login("p-1", "echo next")) == (0, b"next\n", b"")


def test_a_job_that_has_said_nothing_yet_runs_again_whatever_its_output_is(world: World) -> None:
    world.start("p-1")
    login = world.login("p-1", STAYS.removeprefix("echo begin; "))
    eventually(lambda: started(world) == 1)
    world.kill_agent("p-1")
    world.file("release").touch()
    assert finish(login) == (0, b"end\n", b"")
    assert started(world) == 2


@pytest.mark.parametrize("rerun", ["--no-rerun", "its files went with the pod"])
def test_a_job_that_may_not_run_again_does_not(world: World, rerun: str) -> None:
    world.start("p-1", rules=Rules(rerun=rerun))
    login, out, err = grouped(world, "p-1", STAYS)
    with out, err:
        eventually(lambda: content(out) == b"begin\n")
        world.kill_agent("p-1")
        assert login.wait(PATIENCE) == 255
        assert content(err).decode() == (
            "womm: p-1 was lost before its job had ended (its agent died), "
            f"and the job can't run again: {rerun}\n"
        )
    assert started(world) == 1


def test_ungrouped_output_is_not_taken_back_even_from_a_file_of_the_jobs_own(world: World) -> None:
    # GNU parallel has read it already (--line-buffer).
    world.start("p-1", rules=Rules(own_files=False))
    login, out, err = grouped(world, "p-1", STAYS)
    with out, err:
        eventually(lambda: content(out) == b"begin\n")
        world.kill_agent("p-1")
        assert login.wait(PATIENCE) == 255
        assert content(out) == b"begin\n"


def test_a_job_that_kills_three_pods_is_given_up(world: World) -> None:
    world.start("p-1")
    login, out, err = grouped(world, "p-1", STAYS)
    with out, err:
        for n in (1, 2, 3):
            eventually(lambda n=n: started(world) == n and content(out) == b"begin\n")
            world.kill_agent("p-1")
        assert login.wait(PATIENCE) == 255
        assert content(err) == b"womm: 3 pods were lost with this job; the last, p-1: its agent died\n"
    eventually(lambda: (started(world), len(world.told)) == (3, 2))


def test_a_container_whose_memory_ran_out_is_told_so(world: World) -> None:
    world.start("p-1", rules=Rules(memory="64Mi"))
    login = world.login("p-1", STAYS)
    assert login.stdout is not None
    assert login.stdout.readline() == b"begin\n"
    world.kill_container("p-1")
    status, _, err = finish(login)
    assert status == 255
    assert killed("64Mi") in err.decode()


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (ended("p-1", leaving=True), "its pod was deleted"),
        (ended("p-1", "Evicted: the node was low on memory"), "Evicted: the node was low on memory"),
        (ended("p-1"), "its container ended"),
        (replace(running("p-1", "2"), reason="out of memory at 64Mi: --kube-mem", usable=False),
         "out of memory at 64Mi: --kube-mem"),
    ],
)  # fmt: skip
def test_a_job_whose_container_has_ended_runs_again_elsewhere(
    world: World, state: PodState, reason: str
) -> None:
    world.start("p-1")
    login, out, err = grouped(world, "p-1", f"echo $WOMM_TASK; {STAYS}")
    with out, err:
        eventually(lambda: content(out) == f"{world.name('p-1')}\nbegin\n".encode())
        world.unreachable.add("p-1")
        world.kill_container("p-1")
        world.hub.see([state, running("p-2")])
        eventually(lambda: started(world) == 2)
        world.file("release").touch()
        assert login.wait(PATIENCE) == 0
        assert content(out) == f"{world.name('p-2')}\nbegin\nend\n".encode()
    eventually(lambda: world.told == [f"p-1 was lost ({reason}): its job runs again"])
    assert world.taking() == ["p-2"]


def test_a_container_that_was_started_anew_takes_jobs_again(world: World) -> None:
    world.start("p-1")
    login, out, err = grouped(world, "p-1", STAYS)
    with out, err:
        eventually(lambda: content(out) == b"begin\n")
        world.unreachable.add("p-1")
        world.kill_container("p-1")
        world.hub.see([running("p-1", "2")])
        world.unreachable.clear()
        world.file("release").touch()
        assert login.wait(PATIENCE) == 0
        assert content(out) == b"begin\nend\n"
    assert started(world) == 2


def test_the_end_of_a_container_that_is_told_late_is_not_its_successors(world: World) -> None:
    world.start("p-1")
    login, out, err = grouped(world, "p-1", STAYS)
    with out, err:
        eventually(lambda: content(out) == b"begin\n")
        world.kill_container("p-1")
        # The redial was faster than the watch.
        eventually(lambda: started(world) == 2)
        world.hub.see([ended("p-1", "out of memory")])
        world.hub.see([running("p-1", "2")])
        eventually(lambda: world.taking() == ["p-1"])
        world.file("release").touch()
        assert login.wait(PATIENCE) == 0
        assert content(out) == b"begin\nend\n"
    eventually(lambda: (started(world), len(world.told)) == (2, 1))
    # What is told of the second one counts.
    world.unreachable.add("p-1")
    world.hub.see([replace(ended("p-1", "NodeLost"), container="2"), running("p-2")])
    eventually(lambda: world.taking() == ["p-2"] and not world.processes("p-1"))


def test_an_agent_that_lives_though_its_container_is_told_to_be_gone_is_ended_first(
    world: World,
) -> None:
    # It was dialled after the container had been started anew, and before the watch told so.
    world.start("p-1")
    login, out, err = grouped(world, "p-1", f"trap '' TERM; {STAYS}")
    with out, err:
        eventually(lambda: started(world) == 1)
        (first,) = runs(world)
        world.hub.see([running("p-1", "2")])
        eventually(lambda: started(world) == 2)
        assert not alive(first)
        world.file("release").touch()
        assert login.wait(PATIENCE) == 0
        assert content(out) == b"begin\nend\n"


@pytest.mark.parametrize("reached", [True, False])
def test_a_pod_that_leaves_and_can_not_be_reached_is_not_dialled_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch, reached: bool
) -> None:
    # Its node is lost, or it was deleted by force and the stream was cut without a status.
    monkeypatch.setattr(channels, "_MARGIN", 0.0)
    hub = world.start(*["p-1"] * reached, dead_man=1)
    world.unreachable.add("p-1")
    if reached:
        (dialer,) = world.dialers("p-1")
        kubectl = dialer.parent()
        assert kubectl is not None
        kubectl.kill()
        dialer.kill()
    hub.see([running("p-1")])
    eventually(lambda: len(world.dials) > 1)
    hub.see([replace(running("p-1"), usable=False, leaving=True)])
    assert hub._core is not None
    eventually(lambda: hub._core._channels == {})


def test_the_end_of_a_job_that_may_have_failed_of_its_share_is_told_if_that_is_there(world: World) -> None:
    hub = world.start("p-1")
    hub.doubt()
    login, out, err = grouped(world, "p-1", "echo out; exit 3")
    with out, err:
        eventually(lambda: content(out) == b"out\n")
        with pytest.raises(subprocess.TimeoutExpired):
            login.wait(0.5)
        hub.settle()
        assert (login.wait(PATIENCE), content(out)) == (3, b"out\n")
    # And of one that ends later.
    assert finish(world.login("p-1", "exit 4"))[0] == 4


def test_a_job_that_ended_while_its_share_was_gone_runs_again_with_other_pods(world: World) -> None:
    hub = world.start("p-1")
    hub.doubt()
    once = world.file("once")
    command = f"[ -e {once} ] || {{ touch {once}; echo stale >&2; exit 1; }}; echo good"
    login, out, err = grouped(world, "p-1", command)
    with out, err:
        eventually(lambda: content(err) == b"stale\n")
        hub.condemn(frozenset({"p-1"}))
        hub.settle()
        # The pod has its grace; that the way flaps meanwhile does not make its ends good.
        hub.doubt()
        hub.settle()
        with pytest.raises(subprocess.TimeoutExpired):
            login.wait(0.5)
        world.unreachable.add("p-1")
        world.kill_container("p-1")
        hub.see([ended("p-1", leaving=True), running("p-2")])
        assert (login.wait(PATIENCE), content(out), content(err)) == (0, b"good\n", b"")


def held(world: World, pod: str) -> int:
    """How many ends of a pod's jobs are held back."""
    assert world.hub._core is not None
    return len(world.hub._core._channels[pod]._jobs._held or {})


@pytest.mark.parametrize("rules", [Rules(rerun="--no-rerun"), Rules(own_files=False)])
def test_an_end_that_is_known_is_told_where_the_job_can_not_run_again(world: World, rules: Rules) -> None:
    hub = world.start("p-1", rules=rules)
    hub.doubt()
    login, out, err = grouped(world, "p-1", "echo out; exit 3")
    with out, err:
        eventually(lambda: held(world, "p-1") == 1)
        world.unreachable.add("p-1")
        world.kill_container("p-1")
        hub.see([ended("p-1", leaving=True), running("p-2")])
        assert (login.wait(PATIENCE), content(out), content(err)) == (3, b"out\n", b"")
        assert world.told == []


def test_a_pod_that_dies_after_a_jobs_end_was_not_killed_by_it(world: World) -> None:
    hub = world.start("p-1")
    hub.doubt()
    login, out, err = grouped(world, "p-1", "echo >run.$$; exit 3")
    with out, err:
        for n in (1, 2, 3, 4):
            eventually(lambda n=n: (started(world), held(world, "p-1")) == (n, 1))
            world.kill_agent("p-1")
        eventually(lambda: started(world) == 5)
        hub.settle()
        assert (login.wait(PATIENCE), content(err)) == (3, b"")


@pytest.mark.parametrize("command", ["echo begin", STAYS])
def test_a_job_whose_login_goes_while_its_share_is_gone_leaves_its_slot(world: World, command: str) -> None:
    hub = world.start("p-1")
    hub.doubt()
    login, out, err = grouped(world, "p-1", command)
    with out, err:
        eventually(lambda: content(out) == b"begin\n" and held(world, "p-1") == (command != STAYS))
        waiting = world.login("p-1", "echo waiting >&2; echo done")
        assert hub._core is not None
        eventually(lambda: len(hub._core._queue) == 1)
        login.kill()
        eventually(lambda: not hub._core._queue)
        assert waiting.stderr is not None
        assert waiting.stderr.readline() == b"waiting\n"
        hub.settle()
        assert finish(waiting) == (0, b"done\n", b"")


def test_a_pod_that_begins_while_others_are_deleted_tells_its_jobs_ends(world: World) -> None:
    hub = world.start("p-1")
    hub.doubt()
    hub.see([running("p-1"), running("p-2")])
    eventually(lambda: world.taking() == ["p-1", "p-2"])
    hub.condemn(frozenset({"p-1", "p-3"}))
    hub.settle()
    assert finish(world.login("p-2", "exit 3"))[0] == 3
    # One that is to go may be reached for the first time only now.
    hub.see([running("p-1"), running("p-2"), running("p-3")])
    eventually(lambda: world.taking() == ["p-1", "p-2", "p-3"])
    for name in ("p-1", "p-3"):
        with pytest.raises(subprocess.TimeoutExpired):
            world.login(name, "exit 3").wait(0.5)


def test_pods_that_were_deleted_are_not_the_jobs_fault(world: World) -> None:
    world.start("p-1")
    login, out, err = grouped(world, "p-1", STAYS)
    with out, err:
        for n in (1, 2, 3, 4):
            eventually(lambda n=n: started(world) == n and content(out) == b"begin\n")
            world.unreachable.add(f"p-{n}")
            world.kill_container(f"p-{n}")
            gone = [ended(f"p-{m}", leaving=True) for m in range(1, n + 1)]
            world.hub.see([*gone, running(f"p-{n + 1}")])
        world.file("release").touch()
        assert login.wait(PATIENCE) == 0
    assert started(world) == 5


def test_a_container_that_ends_while_its_stream_stays_open_is_lost_all_the_same(world: World) -> None:
    # A node that is gone says nothing: only the API tells.
    world.start("p-1")
    login, out, err = grouped(world, "p-1", STAYS)
    with out, err:
        eventually(lambda: content(out) == b"begin\n")
        for process in world.processes("p-1"):
            process.suspend()
        world.unreachable.add("p-1")
        world.hub.see([ended("p-1", "NodeLost"), running("p-2")])
        eventually(lambda: started(world) == 2)
        world.file("release").touch()
        assert login.wait(PATIENCE) == 0
        assert content(out) == b"begin\nend\n"
        for process in world.processes("p-1"):
            process.resume()


# Channels that are cut


def test_a_cut_channel_is_had_back_and_nothing_is_lost_or_doubled(world: World) -> None:
    world.start("p-1")
    (agent,) = world.agents("p-1")
    # More than the window and the pipe take: it runs all the while.
    login = world.login("p-1", "seq 1 400000")
    assert login.stdout is not None
    want = b"".join(b"%d\n" % n for n in range(1, 400_001))
    got = b""
    for n in range(1, 4):
        got += login.stdout.read(100_000)
        eventually(lambda n=n: len(world.dials) == n and len(world.dialers("p-1")) == 1)
        eventually(lambda: world.taking() == ["p-1"])
        world.cut("p-1")
        eventually(lambda n=n: len(world.dials) > n)
    got += login.stdout.read()
    assert login.wait(PATIENCE) == 0
    assert got == want
    assert world.agents("p-1") == [agent]
    assert world.told == []


def test_input_survives_a_cut_channel_too(world: World) -> None:
    world.start("p-1")
    login = world.login("p-1", "cat >all; wc -c <all", subprocess.PIPE)
    assert login.stdin is not None
    data = b"".join(b"%d\n" % n for n in range(1, 400_001))
    for n, at in enumerate((0, 900_000, 1_800_000), 1):
        login.stdin.write(data[at : at + 900_000])
        login.stdin.flush()
        eventually(lambda n=n: len(world.dials) == n and len(world.dialers("p-1")) == 1)
        world.cut("p-1")
        eventually(lambda n=n: len(world.dials) > n)
    assert finish(login, data[2_700_000:]) == (0, b"%d\n" % len(data), b"")
    assert world.file("all").read_bytes() == data


def test_a_job_that_ends_while_its_channel_is_cut_has_ended(world: World) -> None:
    world.start("p-1")
    login = world.login("p-1", STAYS)
    eventually(lambda: started(world) == 1)
    world.unreachable.add("p-1")
    world.cut("p-1")
    eventually(lambda: world.taking() == [])
    world.file("release").touch()
    eventually(lambda: not runs(world))
    assert login.poll() is None
    world.unreachable.clear()
    assert finish(login) == (0, b"begin\nend\n", b"")
    assert started(world) == 1


def test_a_channel_that_can_not_be_had_back_is_given_up_after_the_dead_man_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_MARGIN", 0.5)
    world.start("p-1", "p-2", dead_man=1)
    login, out, err = grouped(world, "p-1", f"echo $WOMM_TASK; {STAYS}")
    with out, err:
        eventually(lambda: content(out).endswith(b"begin\n"))
        (first,) = runs(world)
        world.unreachable.add("p-1")
        world.cut("p-1")
        eventually(lambda: started(world) == 2)
        # Not before the first one was over: the agent has killed it.
        assert not alive(first)
        world.file("release").touch()
        assert login.wait(PATIENCE) == 0
        assert content(out) == f"{world.name('p-2')}\nbegin\nend\n".encode()
    eventually(
        lambda: (
            world.told == ["p-1 was lost (its channel was cut and could not be had back): its job runs again"]
        )
    )


def test_a_pod_that_does_not_even_refuse_costs_no_more_than_the_dead_man_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_MARGIN", 0.5)
    world.start("p-1", "p-2", dead_man=1)
    login, out, err = grouped(world, "p-1", STAYS)
    with out, err:
        eventually(lambda: started(world) == 1)
        world.fakes["p-1"] = fake("", greets=False)
        began = time.monotonic()
        world.cut("p-1")
        eventually(lambda: started(world) == 2)
        # Much less than a greeting may take.
        assert 1 < time.monotonic() - began < 5
        world.file("release").touch()
        assert login.wait(PATIENCE) == 0


def test_a_bug_in_a_channel_costs_its_jobs_the_dead_man_time(
    world: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(channels, "_MARGIN", 0.0)
    world.start("p-1", dead_man=1)
    login, out, err = grouped(world, "p-1", STAYS)
    with out, err:
        eventually(lambda: len(runs(world)) == 1)
        (first,) = runs(world)
        with monkeypatch.context() as patch:
            patch.setattr(frames, "PING", "no number")
            eventually(lambda: world.taking() == [])
        eventually(lambda: started(world) == 2)
        assert not alive(first)
        world.file("release").touch()
        assert login.wait(PATIENCE) == 0
    assert "a bug of womm's" in capfd.readouterr().err


# Gateways


class Gateway:
    """Between the hub and a world's pods: lets WebSockets pass, or answers their upgrade with `refusal`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refusal = b""
        self.ways: list[tuple[str, str]] = []
        # It keeps the connections of those that it has refused.
        self.kept: list[socket.socket] = []
        monkeypatch.setattr(Proxy, "start", lambda _self: None)
        beyond = Dialler.open

        async def open_(dialler: Dialler, transport: str, place: Place) -> Link:
            self.ways.append((place.pod, transport))
            if transport == "exec" or not self.refusal:
                return await beyond(dialler, transport, place)
            ours, theirs = socket.socketpair()
            theirs.sendall(self.refusal)
            codec = WebSocket(Kube("n", "c"), place.pod, place.container, place.command)
            loop = asyncio.get_running_loop()
            _, link = await loop.create_connection(lambda: Link(codec), sock=ours)
            self.kept.append(theirs)
            return link

        monkeypatch.setattr(Dialler, "open", open_)


@pytest.fixture
def gateway(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """A gateway before the world's pods."""
    made = Gateway(monkeypatch)
    yield made
    world.close()
    for connection in made.kept:
        connection.close()


BLOCKED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 14\r\n\r\nno WebSockets\r\n"
AWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\nwait\r\n"


@pytest.mark.parametrize("refusal", [BLOCKED, AWAY])
def test_where_no_websocket_was_ever_opened_any_failure_leads_to_exec(
    world: World, gateway: Gateway, refusal: bytes
) -> None:
    gateway.refusal = refusal
    world.start("p-1", transport="auto")
    assert gateway.ways == [("p-1", "websocket"), ("p-1", "exec")]
    assert finish(world.login("p-1", "echo out")) == (0, b"out\n", b"")
    # Now it is known.
    world.hub.see([running("p-1"), running("p-2")])
    eventually(lambda: world.taking() == ["p-1", "p-2"])
    assert gateway.ways[2:] == [("p-2", "exec")]


def test_a_gateway_that_blocks_websockets_after_they_worked_is_passed_by_exec(
    world: World, gateway: Gateway
) -> None:
    world.start("p-1", transport="auto")
    login = world.login("p-1", STAYS)
    eventually(lambda: started(world) == 1)
    gateway.refusal = BLOCKED
    world.cut("p-1")
    world.file("release").touch()
    assert finish(login) == (0, b"begin\nend\n", b"")
    assert gateway.ways == [("p-1", "websocket"), ("p-1", "websocket"), ("p-1", "exec")]
    # It was that channel's way out, no verdict for the others.
    gateway.refusal = b""
    world.hub.see([running("p-1"), running("p-2")])
    eventually(lambda: world.taking() == ["p-1", "p-2"])
    assert gateway.ways[3:] == [("p-2", "websocket")]


def test_an_outage_after_websockets_worked_costs_no_kubectl(world: World, gateway: Gateway) -> None:
    world.start("p-1", transport="auto")
    gateway.refusal = AWAY
    world.cut("p-1")
    eventually(lambda: len(gateway.ways) == 4)
    gateway.refusal = b""
    assert finish(world.login("p-1", "echo out")) == (0, b"out\n", b"")
    assert set(gateway.ways) == {("p-1", "websocket")}


def test_one_slow_pod_is_no_reason_to_leave_the_way_to_all_others(tmp_path: Path) -> None:
    # All were dialled before anything was known.
    dialler = Dialler(Kube("n", "c"), Proxy(Kube("n", "c"), tmp_path, [], {}), "auto", {})
    dialler.proven("websocket")
    dialler.proven("exec")
    assert dialler.candidates()[0] == "websocket"


# Agents that don't keep to the protocol

FAKE = """
import os, struct, sys
def take(n):
    data = b""
    while len(data) < n:
        data += os.read(0, n - len(data)) or sys.exit()
    return data
def frame():
    kind, job, length = struct.unpack(">cII", take(9))
    return kind, job, take(length)
def send(kind, job, payload, length=None):
    data = struct.pack(">cII", kind, job, len(payload) if length is None else length) + payload
    while data:
        data = data[os.write(1, data):]
script, greets, length, _ = sys.argv[1:]
take(int(length))
frame()
if greets:
    send(b"H", 0, b"womm1\\0new\\0" + b"0\\0")
    while frame()[0] != b"R":
        pass
exec(script)
while True:
    frame()
"""


def fake(script: str, *, greets: bool = True) -> list[str]:
    """A program in an agent's place: it greets as one, and runs `script` when it is to run a job."""
    return [sys.executable, "-S", "-c", FAKE, script, "greets" if greets else ""]


@pytest.mark.parametrize(
    "misdeed",
    [
        "send(b'O', 7, b'not mine')",
        "send(b'X', 7, bytes(4))",
        "send(b'W', 7, bytes(4))",
        "send(b'O', 0, b'nobodys')",
        "send(b'O', 1, bytes((2 << 20) + 1))",
        "send(b'E', 1, bytes((2 << 20) + 1))",
        "send(b'O', 1, b'', (4 << 20) + 1)",
        "send(b'?', 1, b'')",
        "send(b'R', 1, b'\\0touch hacked')",
        "send(b'X', 1, bytes(3))",
        "send(b'W', 1, struct.pack('>I', 1))",
        "send(b'W', 1, struct.pack('>Q', 1 << 60))",
        "send(b'A', 0, struct.pack('>Q', 1 << 40))",
        "send(b'A', 0, b'')",
        "send(b'X', 1, bytes(4)); send(b'X', 1, bytes(4))",
    ],
)
def test_what_an_agent_has_no_right_to_say_ends_its_channel(
    world: World, monkeypatch: pytest.MonkeyPatch, misdeed: str
) -> None:
    monkeypatch.setattr(channels, "_MARGIN", 0.0)
    world.fakes["p-1"] = fake(misdeed)
    world.start("p-1", "p-2", dead_man=1)
    (liar,) = [p for p in world.marked() if p.name().startswith("python")]
    login, out, err = grouped(world, "p-1", "echo $WOMM_TASK")
    with out, err:
        login.wait(5)
        if "X', 1, bytes(4))" in misdeed:
            # The job had ended when it went wrong: it is believed so far.
            assert (login.returncode, content(out)) == (0, b"")
            eventually(lambda: not alive(liar))
        else:
            assert (login.returncode, content(out)) == (0, f"{world.name('p-2')}\n".encode())
            assert not alive(liar)
            eventually(lambda: len(world.told) == 1)
        assert not world.file("hacked").exists()
        assert world.hub.is_alive()


def test_output_beyond_what_its_reader_takes_ends_the_channel_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_MARGIN", 0.0)
    world.fakes["p-1"] = fake("send(b'O', 1, b'a' * (2 << 20)); send(b'O', 1, b'b' * (1 << 18))")
    world.start("p-1", "p-2", dead_man=1)
    (liar,) = [p for p in world.marked() if p.name().startswith("python")]
    # Nobody reads: no more credit was given than at the start.
    login = world.login("p-1", "true")
    eventually(lambda: not alive(liar))
    status, out, err = finish(login)
    assert (status, out) == (255, b"a" * (2 << 20))
    assert b"its output has gone out already" in err


@pytest.mark.parametrize(
    "greeting",
    [
        "send(b'H', 0, b'womm2\\0new\\0' + b'0\\0')",
        "send(b'H', 0, b'womm1\\0good\\0' + b'0\\0')",
        "send(b'H', 1, b'womm1\\0new\\0' + b'0\\0')",
        "send(b'O', 1, b'hello')",
        "send(b'H', 0, b'womm1\\0busy\\0' + b'0\\0another run uses this pod')",
        "send(b'H', 0, b'womm1\\0same\\0' + b'99\\0')",
        "send(b'H', 0, b'', (4 << 20) + 1)",
        "sys.exit('no such file')",
    ],
)
def test_an_agent_that_does_not_greet_gets_no_jobs(world: World, greeting: str) -> None:
    world.fakes["p-1"] = fake(greeting, greets=False)
    hub = world.start()
    hub.see([running("p-1")])
    login = world.login("p-1", "echo $WOMM_TASK")
    eventually(lambda: hub.complaint)
    if "busy" in greeting:
        assert hub.complaint == "another run uses this pod"
    if "exit" in greeting:
        assert "no such file" in hub.complaint
    assert (login.poll(), hub.reached, world.ready) == (None, False, [])
    hub.see([running("p-1"), running("p-2")])
    assert finish(login) == (0, f"{world.name('p-2')}\n".encode(), b"")


# The user


def test_a_user_who_takes_no_messages_for_now_does_not_stop_the_hub(world: World) -> None:
    # stderr is a pager that is full.
    reads = threading.Event()
    told: list[str] = []

    def blocked(line: str) -> None:
        reads.wait(PATIENCE)
        told.append(line)

    world.tell = blocked
    world.start("p-1")
    login, out, err = grouped(world, "p-1", STAYS)
    with out, err:
        eventually(lambda: content(out) == b"begin\n")
        world.kill_agent("p-1")
        world.file("release").touch()
        assert login.wait(PATIENCE) == 0
    assert told == []
    reads.set()
    eventually(lambda: told == ["p-1 was lost (its agent died): its job runs again"])


# The end


def test_after_its_end_no_job_begins_and_those_that_run_go_on(world: World) -> None:
    world.start("p-1")
    first = world.login("p-1", STAYS)
    eventually(lambda: started(world) == 1)
    second = world.login("p-1", "touch never")
    # It waits in the hub: a third one is answered after it.
    world.hub.end("the deployment is gone; this job was not started")
    told = b"womm: the deployment is gone; this job was not started\n"
    assert finish(second) == (255, b"", told)
    assert finish(world.login("p-1", "touch never")) == (255, b"", told)
    world.file("release").touch()
    assert finish(first) == (0, b"begin\nend\n", b"")
    assert not world.file("never").exists()


def test_a_job_that_is_lost_after_the_end_fails_and_does_not_wait_for_ever(world: World) -> None:
    world.start("p-1")
    login, out, err = grouped(world, "p-1", STAYS)
    with out, err:
        eventually(lambda: content(out) == b"begin\n")
        world.hub.end("the deployment is gone; this job was not started")
        world.unreachable.add("p-1")
        world.kill_container("p-1")
        world.hub.see([ended("p-1", leaving=True)])
        assert login.wait(PATIENCE) == 255
        assert content(err) == (
            b"womm: p-1 was lost (its pod was deleted); the deployment is gone; this job was not started\n"
        )


def test_stopping_leaves_no_process(world: World) -> None:
    hub = world.start("p-1", "p-2")
    world.login("p-1", STAYS)
    world.login("p-2", f"trap '' TERM; {STAYS}")
    eventually(lambda: started(world) == 2)
    waiting = world.login("p-1", "touch never")
    jobs = runs(world)
    hub.stop()
    assert not hub.is_alive()
    assert finish(waiting)[0] == 255
    assert [job for job in jobs if alive(job)] == []
    eventually(lambda: world.marked() == [])
    # Nobody listens any more.
    assert finish(world.login("p-1", "true")) == (
        255,
        b"",
        b"womm: the run is over; this job was not started\n",
    )
    # Once more is fine.
    hub.stop()
    assert not world.file("never").exists()


def test_stopping_leaves_no_login_that_waits(world: World) -> None:
    world.start("p-1")
    login = world.login("p-1", STAYS)
    eventually(lambda: started(world) == 1)
    world.hub.stop()
    assert login.wait(2) == 255


def test_stopping_without_a_pod_is_quick(world: World) -> None:
    hub = world.start()
    hub.stop()
    assert not hub.is_alive()
    assert "hub" not in [thread.name for thread in threading.enumerate()]


def test_a_channel_ends_even_if_its_dial_fails_at_that_moment() -> None:
    class Silent(Dialler):
        """Opens a link on which nobody says anything."""

        agent = b""

        def __init__(self) -> None:
            self.links: list[Link] = []

        def candidates(self) -> tuple[str, ...]:
            return ("exec",)

        def try_next(self, _failed: Link | None) -> bool:
            return False

        async def open(self, _transport: str, _place: Place) -> Link:
            self.links.append(Link(Plain(process)))
            return self.links[-1]

    async def end() -> None:
        dialler = Silent()
        channel = channels.Channel(Place("p", "c", (), b"/", b"sh", ""), dialler, 1, 30, lambda: None)
        while not dialler.links:
            await asyncio.sleep(0)
        dialler.links[0].ended(Ended(1))
        done, _ = await asyncio.wait({asyncio.ensure_future(channel.quit())}, timeout=5)
        assert done

    process = background(["true"], env={})
    asyncio.run(end())
    process.end()


# Who may ask


def as_another(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How to start a process that is another user's for the hub."""
    if os.getuid() == 0:
        return {"user": 65534, "group": 65534, "extra_groups": []}
    # Then the hub is another user's for us.
    monkeypatch.setattr("womm.hub.calls.os.getuid", lambda: 4711)
    return {}


def ask(world: World, scripts: Path, who: dict[str, Any]) -> tuple[int, bytes, bytes]:
    """Call the login as that user."""
    done = subprocess.run(
        ["perl", "-X", str(scripts / "login.pl"), "p-1", "--", "touch hacked"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, RUN_VARIABLE: str(world.run)},
        cwd="/",
        timeout=PATIENCE,
        check=False,
        **who,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def public_scripts() -> Iterator[Path]:
    """A copy of login.pl that every user can read."""
    directory = Path(tempfile.mkdtemp(prefix="womm-", dir="/tmp"))
    directory.chmod(0o755)
    shutil.copy(SCRIPTS / "login.pl", directory)
    yield directory
    shutil.rmtree(directory)


def test_the_socket_is_in_a_directory_of_the_users_own(world: World) -> None:
    world.start()
    assert world.run.stat().st_mode & 0o777 == 0o700
    assert (world.run / "hub").stat().st_mode & 0o777 == 0o600


def test_another_user_is_refused_even_if_the_way_is_open(
    world: World, monkeypatch: pytest.MonkeyPatch, public_scripts: Path
) -> None:
    who = as_another(monkeypatch)
    world.start("p-1")
    if who:
        # By the directory; and then by the socket's own mode.
        assert ask(world, public_scripts, who)[2] == b"womm: the run is over; this job was not started\n"
        world.run.chmod(0o755)
        assert ask(world, public_scripts, who)[2] == b"womm: the run is over; this job was not started\n"
    world.run.chmod(0o755)
    (world.run / "hub").chmod(0o666)
    assert ask(world, public_scripts, who) == (255, b"", b"womm: the run has ended before this job\n")
    assert not world.file("hacked").exists()


@pytest.mark.parametrize(
    "call",
    [
        b"",
        b"\0\0\0\0",
        b"\x05\0\0\0p-1\0x",
        b"\x03\0\0\0p-1",
        b"\xff\xff\xff\xffx",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_call_that_is_none_is_hung_up_on(world: World, call: bytes) -> None:
    world.start("p-1")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(PATIENCE)
        caller.connect(str(world.run / "hub"))
        caller.send(call)
        caller.shutdown(socket.SHUT_WR)
        # It need not have read all of it.
        with suppress(ConnectionResetError):
            assert caller.recv(10) == b""
    assert finish(world.login("p-1", "echo next")) == (0, b"next\n", b"")


def test_a_call_that_is_too_long_is_hung_up_on_and_not_run_in_part(world: World) -> None:
    world.start("p-1")
    with socket.socket(socket.AF_UNIX) as caller, open("/dev/null", "r+b") as null:
        caller.settimeout(PATIENCE)
        caller.connect(str(world.run / "hub"))
        call = b"\xff\xff\xff\x7f" + f"p-1\0\0touch {world.file('hacked')}".encode()
        socket.send_fds(caller, [call], [null.fileno()] * 3)
        with suppress(ConnectionResetError):
            assert caller.recv(10) == b""
    assert finish(world.login("p-1", "echo next")) == (0, b"next\n", b"")
    assert not world.file("hacked").exists()


def test_a_call_may_come_in_pieces(world: World) -> None:
    world.start("p-1")
    read, write = os.pipe()
    with socket.socket(socket.AF_UNIX) as caller, open("/dev/null", "rb") as null:
        caller.settimeout(PATIENCE)
        caller.connect(str(world.run / "hub"))
        command = b"p-1\0\0echo " + b"x" * 500_000
        call = len(command).to_bytes(4, "little") + command
        socket.send_fds(caller, [call[:1]], [null.fileno(), write, write])
        os.close(write)
        got = bytearray()

        def drain() -> None:
            while chunk := os.read(read, 1 << 16):
                got.extend(chunk)

        reader = threading.Thread(target=drain)
        reader.start()
        for at in range(1, len(call), 99_999):
            caller.sendall(call[at : at + 99_999])
        assert caller.recv(10) == bytes(4)
        reader.join(PATIENCE)
    os.close(read)
    assert got == b"x" * 500_000 + b"\n"


def test_a_transfer_to_a_pod_beside_the_tasks_is_no_job(world: World) -> None:
    hub = world.start(others={"server": "files"})
    out = finish(world.login("server", "pwd; echo ${SHELL-none}"))
    assert out == (0, f"{os.getcwd()}\n{os.environ.get('SHELL', 'none')}\n".encode(), b"")
    assert (world.dials, world.ready, hub.reached) == (["server"], [], False)
    hub.leave("server")
    eventually(lambda: world.processes("server") == [])


def test_a_transfer_to_a_pod_that_is_gone_fails_at_once(world: World) -> None:
    world.unreachable.add("server")
    world.why = '404 Not Found: pods "server" not found'
    world.start(others={"server": "files"})
    status, out, err = finish(world.login("server", "pwd"))
    assert (status, out) == (255, b"")
    assert err == b'womm: server can\'t be reached: 404 Not Found: pods "server" not found\n'
