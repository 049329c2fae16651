"""Runs: private, locked while their client lives, swept by their keeper or a later womm when it has died."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import Hermetic, eventually

from womm import runs
from womm.errors import WommError
from womm.process import RUN_VARIABLE
from womm.runs import Run, runs_directory, sweep

pytestmark = pytest.mark.usefixtures("hermetic")

# A client that holds a run and starts, for it, a child and a child that left its session (a double
# fork); it tells their numbers and the run's directory, and then waits to be killed.
CLIENT = """
import json, os, subprocess, sys
from womm.runs import Run
run = Run()
for argv in json.loads(sys.argv[1]):
    run.undo_later(argv)
environment = {**os.environ, **run.environment}
child = subprocess.Popen(["sleep", "99"], env=environment)
script = 'setsid sleep 99 >/dev/null & echo $!'
orphan = subprocess.run(["sh", "-c", script], env=environment, stdout=subprocess.PIPE).stdout
print(json.dumps([str(run.path), child.pid, int(orphan)]), flush=True)
sys.stdin.read()
"""


class Client:
    """A womm in a process of its own that holds a run."""

    def __init__(self, *undo: list[str]) -> None:
        argv = [sys.executable, "-c", CLIENT, json.dumps(undo)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        path, *pids = json.loads(self.process.stdout.readline())
        self.path = Path(path)
        self.children = [psutil.Process(pid) for pid in pids]
        (self.keeper,) = keepers(self.process.pid)

    def kill(self, *, keeper: bool = True) -> None:
        """End the client without a chance to clean up, and its keeper before it unless that is to act."""
        if keeper:
            self.keeper.kill()
            eventually(lambda: not alive(self.keeper))
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End all that is left of it."""
        for process in (self.keeper, *self.children):
            if alive(process):
                process.kill()
        with self.process:
            self.process.kill()


def keepers(parent: int | None = None) -> list[psutil.Process]:
    """The living keepers that `parent` (None: this process) has started."""
    return [
        child
        for child in psutil.Process(parent).children()
        if alive(child) and any(word.endswith("/keeper") for word in child.cmdline())
    ]


def one_keeper() -> psutil.Process:
    """The only keeper of this process; its command line may be empty for a moment after its start."""
    eventually(lambda: len(keepers()) == 1)
    return keepers()[0]


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    made: list[Client] = []
    yield made
    for client in made:
        client.close()


def note(log: Path, word: str, status: int = 0, stderr: str = "") -> list[str]:
    """A command that writes `word` to `log`, says `stderr`, and ends with `status`."""
    return ["sh", "-c", f'echo {word} >>"$1"; echo "$2" >&2; exit {status}', "sh", str(log), stderr]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_run_has_a_private_directory_of_its_own(hermetic: Hermetic) -> None:
    old = os.umask(0)
    try:
        first, second = Run(), Run()
    finally:
        os.umask(old)
    assert first.path.parent == hermetic.runtime / "womm"
    assert first.path != second.path
    assert mode(first.path) == mode(first.path.parent) == 0o700
    assert first.task.isalpha()
    assert len(first.task) == 8
    assert first.environment == {RUN_VARIABLE: str(first.path)}
    first.close()
    second.close()
    assert list(runs_directory().iterdir()) == []


def test_what_gnu_parallel_calls_as_its_ssh_asks_the_runs_own_hub(hermetic: Hermetic) -> None:
    run = Run()
    # GNU parallel splits it at blanks.
    assert " ".join(run.login).split() == run.login
    with socket.socket(socket.AF_UNIX) as hub:
        hub.bind(str(run.path / "hub"))
        hub.listen()
        argv = [*run.login, "pod", "--", "true"]
        with subprocess.Popen(argv, env={**os.environ, **run.environment}) as login:
            hub.settimeout(20)
            connection, _ = hub.accept()
            with connection:
                assert connection.recv(100)[4:] == b"pod\0\0true"
                connection.send(struct.pack("<I", 77))
    assert login.returncode == 77
    run.close()


def test_what_takes_the_hubs_place_has_its_own_words_and_a_kubeconfig_that_is_good_anywhere(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "./mine")
    hermetic.stub("kubectl", '#!/bin/sh\nprintf "%s\\n" "$KUBECONFIG" "$@"\n')
    run = Run()
    login = run.login_by(["kubectl", "--context", "a b", "exec", "-i"])
    # rsync splits it at blanks.
    assert " ".join(login).split() == login
    argv = [*login, "pod", "echo", "here"]
    environment = {**os.environ, **run.environment}
    # Files, not pipes: what the login has passed to a hub that takes nothing stays open as long as the hub.
    said = tmp_path / "said"
    with socket.socket(socket.AF_UNIX) as hub, said.open("w") as stdout:
        # It watches, and says nothing.
        hub.bind(str(run.path / "hub"))
        hub.listen()
        subprocess.run(argv, env=environment, cwd="/", stdout=stdout, check=True)
    words = ["--context", "a b", "exec", "-i", "pod", "--", "sh", "-c", "echo here"]
    assert said.read_text().splitlines() == [f"{tmp_path}/mine", *words]
    run.close()


def test_a_file_of_a_run_is_replaced_as_a_whole() -> None:
    run = Run()
    run.write("pods", b"a\n")
    before = os.open(run.path / "pods", os.O_RDONLY)
    run.write("pods", b"b\n", mtime=1_000_000.0)
    # Whoever has the old one open reads it to its end.
    assert os.read(before, 10) == b"a\n"
    os.close(before)
    assert (run.path / "pods").read_bytes() == b"b\n"
    assert (run.path / "pods").stat().st_mtime == 1_000_000.0
    assert sorted(os.listdir(run.path)) == ["pods", "scripts"]
    run.close()


def test_a_directory_with_other_modes_is_made_private(hermetic: Hermetic) -> None:
    (hermetic.runtime / "womm").mkdir(mode=0o755)
    assert mode(runs_directory()) == 0o700


def test_somebody_elses_directory_is_refused(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> None:
    runs_directory()
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    with pytest.raises(WommError, match="somebody else's") as caught:
        runs_directory()
    assert "XDG_RUNTIME_DIR" in caught.value.hint


def test_a_link_to_somewhere_else_is_refused(hermetic: Hermetic, tmp_path: Path) -> None:
    (hermetic.runtime / "womm").symlink_to(tmp_path)
    with pytest.raises(WommError, match="somebody else's"):
        runs_directory()


def test_a_file_in_its_place_is_refused(hermetic: Hermetic) -> None:
    (hermetic.runtime / "womm").write_text("")
    with pytest.raises(WommError, match="can't be made"):
        runs_directory()


@pytest.mark.parametrize(
    "odd", ["", "relative", "/no such", "/with\nline", "/tmp/no-such-directory", "/" + "x" * 90]
)
def test_an_odd_xdg_runtime_dir_falls_back_to_tmp(monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", odd)
    assert runs_directory() == Path(f"/tmp/womm-{os.getuid()}")


def test_a_run_with_a_blank_in_its_runtime_directory_falls_back(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = hermetic.root / "a b"
    blank.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(blank))
    assert runs_directory() == Path(f"/tmp/womm-{os.getuid()}")


def test_a_dead_clients_run_is_swept(
    clients: list[Client], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    client = Client(note(log, "first"), note(log, "second"), note(log, "third"))
    clients.append(client)
    client.kill()
    assert all(alive(child) for child in client.children)
    sweep()
    assert [child for child in client.children if alive(child)] == []
    assert sorted(log.read_text().split()) == ["first", "second", "third"]
    assert not client.path.exists()
    assert f"cleaning up after run {client.path.name}" in capfd.readouterr().err
    sweep()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_clients_run_is_swept_by_its_keeper(
    clients: list[Client], tmp_path: Path, signum: signal.Signals
) -> None:
    log = tmp_path / "log"
    client = Client(note(log, "first"), note(log, "second"))
    clients.append(client)
    client.process.send_signal(signum)
    client.process.wait()
    eventually(lambda: not client.path.exists())
    assert sorted(log.read_text().split()) == ["first", "second"]
    assert [child for child in client.children if alive(child)] == []
    eventually(lambda: not alive(client.keeper))


def test_the_keeper_of_one_run_leaves_another_that_lives(clients: list[Client], tmp_path: Path) -> None:
    dead, living = Client(), Client(note(tmp_path / "log", "undone"))
    clients += [dead, living]
    dead.kill(keeper=False)
    eventually(lambda: not dead.path.exists() and not alive(dead.keeper))
    assert all(alive(process) for process in (living.keeper, *living.children))
    assert living.path.is_dir()
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_ends_no_keeper(clients: list[Client], signum: signal.Signals) -> None:
    client = Client()
    clients.append(client)
    # The shell has set its traps once it waits for its line.
    ignored = eventually_ignores(client.keeper, signum)
    client.keeper.send_signal(signum)
    client.kill(keeper=False)
    eventually(lambda: not client.path.exists())
    assert ignored


def eventually_ignores(process: psutil.Process, signum: signal.Signals) -> bool:
    """Wait until `process` ignores `signum`."""
    status = Path(f"/proc/{process.pid}/status")

    def ignores() -> bool:
        line = next(line for line in status.read_text().splitlines() if line.startswith("SigIgn"))
        return bool(int(line.split()[1], 16) >> signum - 1 & 1)

    eventually(ignores)
    return ignores()


def test_after_an_orderly_end_the_keeper_does_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = Run()
    keeper = one_keeper()
    run.undo_later(note(log, "undone"))
    run.close()
    assert not alive(keeper)
    # What could not be undone is left to the next womm.
    assert run.path.is_dir()
    assert not log.exists()
    sweep()
    assert log.read_text() == "undone\n"
    assert not run.path.exists()


def test_a_run_whose_keeper_was_killed_ends_as_ever() -> None:
    run = Run()
    keeper = one_keeper()
    keeper.kill()
    run.close()
    assert not run.path.exists()


def test_a_live_run_is_left_alone(
    clients: list[Client], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    client = Client(note(tmp_path / "log", "undone"))
    clients.append(client)
    sweep()
    assert all(alive(child) for child in client.children)
    assert client.path.is_dir()
    assert not (tmp_path / "log").exists()
    assert capfd.readouterr().err == ""


def test_results_that_can_not_be_brought_home_yet_keep_their_run(
    clients: list[Client], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    client = Client()
    clients.append(client)
    (client.path / runs.RESULTS).write_text("{}")
    client.kill()
    sweep()
    assert "can't be read" in capfd.readouterr().err
    assert (client.path / runs.RESULTS).exists()
    monkeypatch.setattr("womm.shares.home.complete", lambda path, _: (path / runs.RESULTS).unlink())
    sweep()
    assert not client.path.exists()


def test_a_run_that_ends_leaves_results_that_did_not_come_home_to_the_next_womm() -> None:
    run_ = Run()
    run_.write(runs.RESULTS, b"{}")
    run_.close()
    assert (run_.path / runs.RESULTS).exists()


def test_the_sweep_of_one_run_leaves_the_processes_of_another(clients: list[Client]) -> None:
    dead, living = Client(), Client()
    clients += [dead, living]
    dead.kill()
    sweep()
    assert [alive(child) for child in [*dead.children, *living.children]] == [False, False, True, True]
    assert (dead.path.exists(), living.path.exists()) == (False, True)


def test_an_undo_that_fails_is_told_and_kept_for_the_next_sweep(
    clients: list[Client], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    client = Client(note(log, "a"), note(log, "fails", 1, "no route"), note(log, "c"))
    clients.append(client)
    client.kill()
    sweep()
    assert sorted(log.read_text().split()) == ["a", "c", "fails"]
    told = capfd.readouterr().err
    assert "could not clean up" in told
    assert "no route" in told
    assert len(json.loads((client.path / "undo").read_text())["undo"]) == 1
    log.unlink()
    sweep()
    assert log.read_text().split() == ["fails"]


def test_what_is_not_there_any_more_counts_as_undone(
    clients: list[Client], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = 'Error from server (NotFound): pods "x" not found'
    client = Client(note(tmp_path / "log", "gone", 1, missing))
    clients.append(client)
    client.kill()
    sweep()
    assert not client.path.exists()
    assert "could not clean up" not in capfd.readouterr().err


@pytest.mark.parametrize("content", [b"", b"[\xff"])
def test_an_undo_file_that_cannot_be_read_stops_nobody(clients: list[Client], content: bytes) -> None:
    client = Client(["true"])
    clients.append(client)
    client.kill()
    (client.path / "undo").write_bytes(content)
    sweep()
    assert not client.path.exists()


def test_an_empty_directory_of_a_dead_run_is_swept(clients: list[Client]) -> None:
    (runs_directory() / "abandoned").mkdir()
    sweep()
    assert list(runs_directory().iterdir()) == []


def test_a_run_that_is_being_made_does_not_look_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    # A sweep that starts between the making of the directory and its lock waits for the lock.
    lock = runs._lock
    sweeper = threading.Thread(target=sweep)

    def slow(path: Path) -> int:
        if not sweeper.ident:
            sweeper.start()
            eventually(lambda: waits_for_a_lock() or not sweeper.is_alive())
        return lock(path)

    monkeypatch.setattr(runs, "_lock", slow)
    run = Run()
    sweeper.join(timeout=20)
    assert run.path.is_dir()
    run.close()


def waits_for_a_lock() -> bool:
    """Whether a thread of this process waits for a flock, as the kernel tells it."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f" {os.getpid()} " in line for line in lines)


def test_a_run_takes_back_what_it_recorded_and_forgets_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    run = Run()
    good, bad = note(log, "good"), note(log, "bad", 1, "why not")
    told = []
    for argv in (good, bad):
        run.undo_later(argv, lambda argv=argv: told.append(argv))  # type: ignore[misc]
    assert json.loads((run.path / "undo").read_text())["undo"] == [good, bad]
    run.take_back()
    assert "why not" in capfd.readouterr().err
    assert told == [good]
    assert json.loads((run.path / "undo").read_text())["undo"] == [bad]
    run.close()
    # It stays for the sweep, because something could not be undone.
    assert run.path.is_dir()
    sweep()
    assert sorted(log.read_text().split()) == ["bad", "bad", "good"]


def test_a_run_takes_back_all_at_once(tmp_path: Path) -> None:
    # Each waits for the other one to have begun.
    run = Run()
    script = 'touch "$1/$2"; until [ -e "$1/$3" ]; do sleep 0.02; done'
    for ours, other in (("a", "b"), ("b", "a")):
        run.undo_later(["sh", "-c", script, "sh", str(tmp_path), ours, other])
    run.take_back()
    run.close()
    assert not run.path.exists()


def test_what_comes_last_is_taken_back_after_all_else(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = Run()
    run.undo_later(note(log, "export"), last=True)
    run.undo_later(["sh", "-c", 'sleep 0.5; echo pods >>"$1"', "sh", str(log)])
    run.take_back()
    run.close()
    assert log.read_text().split() == ["pods", "export"]
    assert not run.path.exists()


def test_a_later_womm_keeps_to_that_order(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = Run()
    run.undo_later(note(log, "export", 1, "still there"), last=True)
    run.undo_later(["sh", "-c", 'sleep 0.5; echo pods >>"$1"', "sh", str(log)])
    run.close()
    sweep()
    assert log.read_text().split() == ["pods", "export"]
    assert [*json.loads((run.path / "undo").read_text())["undo"]] == []
    sweep()
    assert log.read_text().split() == ["pods", "export", "export"]


def test_what_comes_last_waits_until_a_later_womm_has_brought_the_results_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    run = Run()
    run.undo_later(note(log, "export"), last=True)
    run.undo_later(note(log, "pods"))
    run.write(runs.RESULTS, b"{}")
    run.close()

    def complete(path: Path, _kubeconfig: str) -> None:
        with log.open("a") as file:
            file.write("home\n")
        if log.read_text().split() == ["home"]:
            raise WommError("not now")
        (path / runs.RESULTS).unlink()

    monkeypatch.setattr("womm.shares.home.complete", complete)
    sweep()
    assert log.read_text().split() == ["home", "pods"]
    sweep()
    assert log.read_text().split() == ["home", "pods", "home", "export"]
    assert not run.path.exists()


def test_a_dead_run_is_undone_with_the_kubeconfig_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "its own:/and/another")
    client = Client(["sh", "-c", f'printf %s "$KUBECONFIG" >{told}'])
    client.kill()
    monkeypatch.setenv("KUBECONFIG", "/somebody/elses")
    sweep()
    client.close()
    assert told.read_text() == f"{tmp_path}/its own:/and/another"
    assert os.environ["KUBECONFIG"] == "/somebody/elses"


def test_what_dead_runs_left_is_taken_back_all_at_once(clients: list[Client], tmp_path: Path) -> None:
    # Each waits for the other three to have begun: the next womm's user waits for one of them, not for all.
    words = ["a", "b", "c", "d"]
    script = 'touch "$0/begun-$1"; until [ "$(echo "$0"/begun-?)" = "$2" ]; do sleep 0.02; done'
    all_ = " ".join(f"{tmp_path}/begun-{word}" for word in words)
    a, b, c, d = (["sh", "-c", script, str(tmp_path), word, all_] for word in words)
    clients += [Client(a, b), Client(c, d)]
    for client in clients:
        client.kill()
    sweep()
    assert not any(client.path.exists() for client in clients)


def test_on_a_full_disk_what_is_left_to_do_stays_noted(
    clients: list[Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(note(tmp_path / "log", "fails", 1, "no route"))
    clients.append(client)
    client.kill()
    before = (client.path / "undo").read_text()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(Path, "write_text", full)
    sweep()
    assert (client.path / "undo").read_text() == before


def test_a_keeper_in_trouble_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def troubled(_patience: float) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "sweep", troubled)
    exec(runs._SWEEP)
    assert capfd.readouterr().err == "womm: could not clean up: [Errno 28] No space left on device\n"


def test_an_undo_that_never_ends_is_given_up_told_and_kept(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    client = Client(["sleep", "99"])
    client.kill()
    sweep(0.5)
    client.close()
    messages = capfd.readouterr().err
    assert "no end within" in messages
    assert f"rm -r {client.path}" in messages
    assert json.loads((client.path / "undo").read_text())["undo"] == [["sleep", "99"]]


def test_a_run_that_ends_leaves_neither_processes_nor_files() -> None:
    run = Run()
    child = subprocess.Popen(["sleep", "99"], env={**os.environ, **run.environment})
    other = subprocess.Popen(["sleep", "99"])
    run.close()
    child.wait(timeout=10)
    assert other.poll() is None
    other.kill()
    other.wait()
    assert not run.path.exists()


def test_processes_that_ignore_term_are_killed(tmp_path: Path) -> None:
    run = Run()
    script = 'trap "" TERM; echo >"$1/ready"; while :; do sleep 1; done'
    child = subprocess.Popen(["sh", "-c", script, "sh", str(tmp_path)], env={**os.environ, **run.environment})
    eventually((tmp_path / "ready").exists)
    family = [psutil.Process(child.pid), *psutil.Process(child.pid).children()]
    run.close()
    child.wait(timeout=10)
    assert not any(alive(process) for process in family)


LIMITS = """
import resource, sys
from womm.errors import WommError
from womm.runs import raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[1])))
try:
    raise_file_limit(int(sys.argv[2]), int(sys.argv[3]))
except WommError as error:
    print(error.message)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("hard", "pods", "slots", "expected"),
    [
        (4096, 10, 2, "4096 4096"),
        (1024, 10, 100, "10 pods with 100 jobs each take 4120 open files, and the limit is 1024\n64 1024"),
        (1024, 154, 1, "1024 1024"),
        (1024, 155, 1, "155 pods with 1 jobs each take 1030 open files, and the limit is 1024\n64 1024"),
    ],
)
def test_the_limit_of_open_files_is_raised_or_named(hard: int, pods: int, slots: int, expected: str) -> None:
    argv = [sys.executable, "-c", LIMITS, *map(str, (hard, pods, slots))]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip() == expected
