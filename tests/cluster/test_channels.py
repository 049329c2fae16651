"""Channels and logins that end: jobs die with their logins, a cut channel is redialled, nothing grows."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from kit import (
    MARK,
    ROOT,
    Place,
    Running,
    command_line,
    environment_of,
    eventually,
    joblog,
    keeper,
    names,
    pods,
)
from machine import STATE, is_alive
from register import Register

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("clean"),
    pytest.mark.alone("how soon jobs end is measured, and the API server is killed"),
]

# Beside its main process, a job leaves one in the background, one in a session of its own, and one that
# does not heed TERM.
FAMILY = "sleep 600 & setsid sleep 600 & setsid env --ignore-signal=TERM sleep 600 & sleep 600; wait"
# Seconds from the login's end to that of all that its job has started, as is promised; one is from TERM to
# KILL, and 1.0 to 1.1 are seen here.
SOON = 2.0


def processes() -> list[int]:
    """All processes of this machine, those in pods included."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def of_run(running: Running, *words: str) -> list[int]:
    """The pids of the run's processes on this machine with all these words in their command lines."""
    run = running.task().removeprefix("womm-task-")
    return [
        pid
        for pid in processes()
        if Path(environment_of(pid).get("WOMM_RUN", "")).name == run
        and all(word in command_line(pid) for word in words)
    ]


def proxy(running: Running) -> int:
    """The pid of the run's `kubectl proxy`."""
    [pid] = running.until(lambda: of_run(running, "kubectl", "--unix-socket"))
    return pid


def agents(running: Running) -> list[int]:
    """The pids, on this machine, of the agents in the run's pods."""
    name = f"womm-agent {running.task().removeprefix('womm-task-')}"
    return [pid for pid in processes() if command_line(pid).startswith(name)]


def container_of(agent: int) -> list[int]:
    """The pids of all that runs in an agent's container."""

    def space(pid: int) -> str:
        try:
            return os.readlink(f"/proc/{pid}/ns/pid")
        except OSError:
            return ""

    return [pid for pid in processes() if space(pid) == space(agent)]


def until(running: Running, check: Callable[[], bool]) -> float:
    """Wait until `check` is true, and return the time."""
    running.until(check)
    return time.time()


# --- A job dies with its login.


def by_timeout(running: Running, log: Path) -> float:
    def row() -> list[str] | None:
        return next((row for row in joblog(log) if row[0] == "1"), None)

    ended = running.until(row)
    assert ended is not None
    return float(ended[2]) + float(ended[3])


def by_kill(running: Running, _log: Path) -> float:
    # The job's number is in the environment that GNU parallel gives its logins.
    [login] = [pid for pid in of_run(running, "login.pl") if environment_of(pid).get("PARALLEL_SEQ") == "1"]
    os.kill(login, signal.SIGKILL)
    return time.time()


@pytest.mark.parametrize(
    ("options", "end"), [(("--timeout", "5"), by_timeout), ((), by_kill)], ids=["timeout", "SIGKILL"]
)
def test_a_job_whose_login_is_killed_is_gone_while_its_pod_lives(
    none: Place,
    tmp_path: Path,
    register: Register,
    options: Sequence[str],
    end: Callable[[Running, Path], float],
) -> None:
    log = tmp_path / "joblog"
    command = register.job(f"[ {{}} = 1 ] || {{ sleep 2; exit; }}; {FAMILY}")
    jobs = [str(n) for n in range(1, 8)]
    arguments = ("--kube-pods", "1", "-j", "2", "--joblog", str(log), *options, "--", command, ":::", *jobs)
    with none.started("parallel", *arguments) as running:
        running.until(lambda: register.together[b"1\n"] and log.exists())
        # Not before its family has come.
        running.until(lambda: register.runs[b"2\n"])
        ended = end(running, log)
        gone = running.until(lambda: register.end_of(b"1\n"))
        done = running.wait()
    print(f"the job was gone {gone - ended:.2f} s after its login")
    assert gone - ended < SOON
    # The pod outlived it: jobs began there afterwards.
    assert register.began[-1][0] > gone
    assert done.status == 1
    assert register.runs == {f"{n}\n".encode(): 1 for n in jobs}


def test_halt_now_ends_the_jobs(none: Place, register: Register) -> None:
    command = register.job(f"[ {{}} = 1 ] && {{ sleep 2; exit 7; }}; {FAMILY}")
    done = none.parallel("-j", "3", "--halt", "now,fail=1", "--", command, ":::", "1", "2", "3")
    assert done.status == 7
    gone = eventually(lambda: register.living == 0 and max(at for at, _ in register.ended), 5)
    ended = register.end_of(b"1\n")
    print(f"the jobs were gone {gone - ended:.2f} s after the one that failed")
    assert gone - ended < SOON


def test_ctrl_c_ends_the_jobs(none: Place, register: Register) -> None:
    arguments = ("--kube-pods", "1", "-j", "2", "--", register.job(FAMILY), ":::", "1", "2")
    with none.started("parallel", *arguments, own_group=True) as running:
        running.until(lambda: register.living == 2)
        os.killpg(running.process.pid, signal.SIGINT)
        pressed = time.time()
        gone = until(running, lambda: register.living == 0)
        assert running.wait().status == 130
    print(f"the jobs were gone {gone - pressed:.2f} s after Ctrl-C")
    assert gone - pressed < SOON


def test_jobs_end_by_themselves_when_the_client_and_its_keeper_are_gone(
    none: Place, register: Register
) -> None:
    options = ("--kube-pods", "1", "-j", "2", "--lost-after", "5")
    with none.started("parallel", *options, "--", register.job(FAMILY), ":::", "1", "2") as running:
        running.until(lambda: register.living == 2)
        task = running.task()
        os.kill(keeper(running), signal.SIGKILL)
        running.process.kill()
        running.process.wait()
        killed = time.monotonic()
        eventually(lambda: register.living == 0, 15)
        took = time.monotonic() - killed
    print(f"the jobs were gone {took:.2f} s after womm")
    assert took < 10
    # It was not the end of their pod that ended them.
    assert f"Deployment/{task}" in names(none.namespace)
    assert none.parallel("--", "echo", ":::", "x").lines == ["x"]


def test_the_keeper_takes_everything_back_when_womm_is_killed(eager: Place, register: Register) -> None:
    options = ("--kube-pods", "2", "--", register.job(FAMILY), ":::", "1", "2", "3")
    with eager.started("parallel", *options) as running:
        running.until(lambda: register.living == 2)
        running.task()
        running.process.kill()
        running.process.wait()
        began = time.monotonic()
        eventually(lambda: eager.left() == [], 60)
    print(f"all was gone {time.monotonic() - began:.2f} s after womm")
    # The pods are ended by then, and with them the jobs, in the kubelet's own time.
    eventually(lambda: register.living == 0, 15)


def test_a_short_dead_man_time_kills_no_idle_job(none: Place, register: Register) -> None:
    # The pings have to come more often than that.
    done = none.parallel("--lost-after", "5", "-u", "--", register.job("sleep 12; echo {}"), ":::", "1")
    assert (done.status, done.out) == (0, b"1\n")
    assert register.runs[b"1\n"] == 1


# --- A cut channel is redialled.


COUNT = "for i in $(seq 1 {}); do echo {{}}-$i; sleep 0.1; done"


def counted(jobs: Sequence[str], lines: int) -> list[str]:
    """The lines that so many jobs of COUNT print."""
    return sorted(f"{job}-{n}" for job in jobs for n in range(1, lines + 1))


def test_a_proxy_that_is_killed_twice_costs_no_line(none: Place, register: Register) -> None:
    jobs = [str(n) for n in range(1, 7)]
    command = register.job(COUNT.format(80))
    options = ("--kube-pods", "2", "-j", "3", "--line-buffer")
    with none.started("parallel", *options, "--", command, ":::", *jobs) as running:
        for lines in (60, 240):
            running.until(lambda lines=lines: running.out.count(b"\n") > lines)  # type: ignore[misc]
            os.kill(proxy(running), signal.SIGKILL)
        done = running.wait()
    assert (done.status, done.lines) == (0, counted(jobs, 80))
    assert register.runs == {f"{job}\n".encode(): 1 for job in jobs}


@pytest.mark.sandbox("its API server is killed and started again")
def test_an_api_server_that_restarts_costs_no_line(none: Place, register: Register) -> None:
    jobs = [str(n) for n in range(1, 5)]
    command = register.job(COUNT.format(150))
    options = ("--kube-pods", "2", "-j", "2", "-u")
    with none.started("parallel", *options, "--", command, ":::", *jobs) as running:
        running.until(lambda: running.out.count(b"\n") > 40)
        server = int((STATE / "pid" / "apiserver").read_text().split()[0])
        os.kill(server, signal.SIGKILL)
        eventually(lambda: not is_alive(server))
        began = time.monotonic()
        subprocess.run([ROOT / "sandbox" / "up"], check=True, capture_output=True)
        print(f"the API server was away for {time.monotonic() - began:.1f} s")
        assert running.process.poll() is None
        done = running.wait()
    assert (done.status, done.lines) == (0, counted(jobs, 150))
    assert register.runs == {f"{job}\n".encode(): 1 for job in jobs}


@contextmanager
def frozen(pids: Sequence[int]) -> Iterator[None]:
    """Processes that stand still as long as the context lasts."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.sandbox("the processes in a pod are stopped from this machine")
def test_a_pod_that_stands_still_is_given_up_and_kills_its_job_when_it_goes_on(
    none: Place, register: Register
) -> None:
    # A node that hangs: nothing in the pod can do anything, and nobody says that the pod is gone.
    command = register.job("echo {} began; for i in $(seq 20); do sleep 0.5; done; echo {} ended")
    options = ("--kube-pods", "2", "-j", "2", "--lost-after", "5")
    with none.started("parallel", *options, "--", command, ":::", "1", "2") as running:
        running.until(lambda: register.living == 2)
        victim = agents(running)[0]
        with frozen(container_of(victim)):
            began = time.monotonic()
            running.until(lambda: max(register.runs.values()) == 2)
            print(f"its job ran again after {time.monotonic() - began:.1f} s")
            assert time.monotonic() - began > 5
            assert (
                "was lost (its channel was cut and could not be had back): its job runs again" in running.err
            )
        [again] = [name for name, runs in register.runs.items() if runs == 2]
        began = time.monotonic()
        running.until(lambda: register.together[again] == 1)
        took = time.monotonic() - began
        done = running.wait()
    print(f"the old copy was gone {took:.2f} s after the pod went on")
    assert took < SOON
    assert (done.status, done.lines) == (0, ["1 began", "1 ended", "2 began", "2 ended"])


# --- No growth.


def memory(pid: int) -> float:
    """What a process holds, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


@pytest.mark.sandbox("the memory of a process in a pod is read from this machine")
def test_writers_without_a_reader_and_readers_that_do_not_read_cost_no_memory(
    none: Place, register: Register
) -> None:
    options = ("--kube-pods", "1", "-j", "6", "-u")
    with none.started("parallel", *options, "--", register.job("sleep 600"), ":::", "1") as running:
        running.until(lambda: register.living == 1)
        [pod] = pods(none, running)
        run = f"{none.user.root}/run/womm/{running.task().removeprefix('womm-task-')}"
        env = {**none.user.environment, "WOMM_RUN": run, MARK: none.user.mark}
        login = ["perl", "-X", f"{run}/scripts/login.pl", pod]

        def quick() -> float:
            began = time.monotonic()
            subprocess.run([*login, "true"], env=env, stdin=subprocess.DEVNULL, check=True, timeout=30)
            return time.monotonic() - began

        quick()
        watched = {"womm": running.process.pid, "proxy": proxy(running), "agent": agents(running)[0]}
        before = {name: memory(pid) for name, pid in watched.items()}
        nothing, out = os.pipe()
        with (
            open("/dev/zero", "rb") as zeros,
            subprocess.Popen(["cat"], stdin=zeros, stdout=subprocess.PIPE) as cat,
        ):
            endless = [
                subprocess.Popen([*login, "yes"], env=env, stdin=subprocess.DEVNULL, stdout=out),
                subprocess.Popen([*login, "sleep 600"], env=env, stdin=cat.stdout),
                subprocess.Popen([*login, "sleep 600"], env=env, stdin=subprocess.DEVNULL),
            ]
            os.close(out)
            os.read(nothing, 2)
            times = []
            began = time.monotonic()
            while time.monotonic() - began < 10:
                times.append(quick())
            after = {name: memory(pid) for name, pid in watched.items()}
            for process in endless:
                assert process.poll() is None
                process.kill()
                process.wait()
            cat.kill()
        os.close(nothing)
        running.interrupt(signal.SIGINT)
    grown = {name: round(after[name] - before[name], 1) for name in watched}
    print(f"grown by {grown} MB; {len(times)} other jobs took {statistics.median(times):.3f} s each")
    assert max(grown.values()) < 20, grown
    assert statistics.median(times) < 1
