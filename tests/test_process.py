"""The door to subprocesses, tried with real processes."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from conftest import Hermetic, eventually

from womm import output
from womm.beside import background, stream
from womm.errors import CommandFailed, WommError
from womm.process import TIMED_OUT, attempt, foreground, listen, probe, run, show, tool

pytestmark = pytest.mark.usefixtures("hermetic")

BYTES = bytes(range(256)) * 4


def shell(script: str, *arguments: str) -> list[str]:
    return ["sh", "-c", script, "sh", *arguments]


def python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(script), *arguments]


def written(directory: Path, content: bytes) -> Path:
    path = directory / "stdin"
    path.write_bytes(content)
    return path


def test_bytes_of_any_kind_go_in_and_come_out(tmp_path: Path) -> None:
    done = run(shell("cat; printf err >&2"), stdin=written(tmp_path, BYTES))
    assert (done.status, done.stdout, done.stderr) == (0, BYTES, b"err")


def test_ten_megabytes_come_out_whole() -> None:
    done = run(["head", "-c", "10000000", "/dev/zero"])
    assert done.stdout == bytes(10_000_000)


def test_ten_megabytes_go_in_and_come_out_whole(tmp_path: Path) -> None:
    big = hashlib.sha512(b"womm").digest() * 160_000
    assert run(["cat"], stdin=written(tmp_path, big)).stdout == big


def test_a_program_that_does_not_read_its_stdin_is_fine(tmp_path: Path) -> None:
    assert run(["true"], stdin=written(tmp_path, bytes(1_000_000))).status == 0


def test_without_stdin_the_end_of_file_is_seen_at_once() -> None:
    assert run(["cat"]).stdout == b""
    assert attempt(["cat"], detached=True).stdout == b""


def test_no_terminal_is_played() -> None:
    assert run(shell("test -t 0 || test -t 1 || test -t 2 || echo none")).text == "none\n"


def test_text_replaces_what_is_no_utf8() -> None:
    assert run(["printf", r"\377a"]).text == "\ufffda"


@pytest.mark.parametrize("status", [1, 2, 77, 126, 127, 255])
def test_an_exit_status_is_told(status: int) -> None:
    done = attempt(shell(f"echo out; echo why >&2; exit {status}"))
    assert (done.status, done.stdout, done.stderr) == (status, b"out\n", b"why\n")
    with pytest.raises(CommandFailed) as caught:
        run(shell(f"echo out; echo why >&2; exit {status}"))
    failure = caught.value
    assert (failure.status, failure.stdout, failure.stderr) == (status, b"out\n", b"why\n")
    assert failure.argv[0] == "sh"
    assert failure.message == "sh failed: why"
    assert not probe(shell(f"exit {status}"))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL, signal.SIGPIPE, signal.SIGINT])
def test_a_death_by_signal_is_128_and_its_number(signum: signal.Signals) -> None:
    assert attempt(shell(f"kill -{signum.value} $$")).status == 128 + signum
    assert foreground(shell(f"kill -{signum.value} $$"), {}) == 128 + signum


def test_a_failure_without_a_word_tells_its_status() -> None:
    with pytest.raises(CommandFailed, match="exit status 3"):
        run(shell("exit 3"))


def test_a_missing_program_is_told_with_a_way_out() -> None:
    call: Callable[[list[str]], object]
    for call in (run, attempt, show):
        with pytest.raises(WommError, match="no-such-program is not installed") as caught:
            call(["no-such-program"])
        assert caught.value.hint
    with pytest.raises(WommError, match="not installed"), stream(["no-such-program"], env={}):
        pass
    assert not probe(["no-such-program"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [("<html>404</html>\n", "Exec format error"), ("#!/no/such/program\n", "No such file or directory")],
)
def test_a_program_that_cannot_be_executed_is_told_with_a_way_out(
    hermetic: Hermetic, content: str, reason: str
) -> None:
    path = hermetic.stub("broken", content)
    call: Callable[[list[str]], object]
    for call in (run, attempt, probe):
        with pytest.raises(WommError) as caught:
            call(["broken"])
        assert caught.value.message == f"broken can't be run: {reason}"
        assert str(path) in caught.value.hint


def test_a_tool_is_found_or_refused_with_its_hint() -> None:
    assert os.access(tool("sh"), os.X_OK)
    with pytest.raises(WommError) as caught:
        tool("no-such-program", "get one")
    assert caught.value.hint == "get one"


def test_the_environment_is_added_to_and_the_directory_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", "kept")
    done = run(shell('echo "$KEPT $ADDED"; pwd -P'), env={"ADDED": "added"}, cwd=tmp_path)
    assert done.text.splitlines() == ["kept added", str(tmp_path.resolve())]


def test_arguments_arrive_as_they_are() -> None:
    arguments = ["", " ", "a b", "*", "$HOME", "é", "\n", '"', "'", "-x", "\\"]
    done = attempt(["printf", r"%s\0", *arguments])
    assert done.stdout.decode().split("\0")[:-1] == arguments


def test_an_argument_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(WommError, match="not valid UTF-8"):
        attempt(["echo", "\udcff"])


def test_an_environment_and_a_directory_may_hold_any_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "\udcff"
    odd.mkdir()
    monkeypatch.setenv("ODD", "\udcfe")
    done = run(shell('printf %s "$ODD$ADDED$PWD"'), cwd=odd, env={"ADDED": "\udcfd"})
    assert done.stdout == b"\xfe\xfd" + os.fsencode(odd)


def test_a_detached_program_is_out_of_reach_of_the_terminals_signals() -> None:
    script = "import os; print(os.getsid(0) == os.getpid())"
    assert run(python(script), detached=True).text == "True\n"


OWN_DESCRIPTORS = "import os; print(sorted(int(fd) for fd in os.listdir('/proc/self/fd')))"


def test_children_get_no_leaked_descriptors(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    # The listing's own descriptor is the 3.
    leaky = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
    try:
        for descriptor in leaky:
            os.set_inheritable(descriptor, True)
        assert run(python(OWN_DESCRIPTORS)).text == "[0, 1, 2, 3]\n"
        with stream(python(OWN_DESCRIPTORS), env={}) as process:
            assert process.stdout is not None
            assert process.stdout.read() == b"[0, 1, 2, 3]\n"
        capfdbinary.readouterr()
        assert foreground(python(OWN_DESCRIPTORS), {}) == 0
        assert capfdbinary.readouterr().out == b"[0, 1, 2, 3]\n"
    finally:
        for descriptor in leaky:
            os.close(descriptor)


def test_what_is_shown_goes_to_stderr_all_of_it(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    show(shell("echo out; echo err >&2; cat"))
    captured = capfdbinary.readouterr()
    assert (captured.out, captured.err) == (b"", b"out\nerr\n")
    with pytest.raises(CommandFailed) as caught:
        show(shell("exit 4"))
    assert caught.value.status == 4


def test_the_foreground_has_the_users_own_descriptors(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "in").write_bytes(BYTES)
    saved = os.dup(0)
    try:
        with open(tmp_path / "in", "rb") as file:
            os.dup2(file.fileno(), 0)
        status = foreground(shell("cat; echo err >&2; exit 9"), {})
    finally:
        os.dup2(saved, 0)
        os.close(saved)
    captured = capfdbinary.readouterr()
    assert (status, captured.out, captured.err) == (9, BYTES, b"err\n")


def test_the_foreground_takes_arguments_of_any_bytes(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert foreground([b"printf", rb"%s|%s", b"\xff\xfe", "\udcff"], {}) == 0
    assert capfdbinary.readouterr().out == b"\xff\xfe|\xff"


def test_the_foreground_gets_the_default_sigpipe(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    # Python ignores SIGPIPE, and children inherit that: `yes | head` would complain.
    assert foreground(shell("grep SigIgn /proc/self/status; exec 2>/dev/null; yes | head -n 1"), {}) == 0
    ignored, _, line = capfdbinary.readouterr().out.partition(b"\n")
    assert int(ignored.split()[1], 16) & 1 << (signal.SIGPIPE - 1) == 0
    assert line == b"y\n"


def test_the_foregrounds_environment_is_ours_with_what_is_given_and_without_what_is_named(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for name in ("KEPT", "DROPPED", "REPLACED"):
        monkeypatch.setenv(name, "mine")
    argv = ["/usr/bin/env", "-0"]
    without = ("DROPPED", "NEVER_SET", "ADDED")
    assert foreground(argv, {"ADDED": "a\nb", "REPLACED": "new"}, without=without) == 0
    got = dict(line.split(b"=", 1) for line in capfdbinary.readouterr().out.split(b"\0")[:-1])
    assert got == {
        **{name: value for name, value in os.environb.items() if name != b"DROPPED"},
        b"ADDED": b"a\nb",
        b"REPLACED": b"new",
    }
    assert os.environ["DROPPED"] == "mine"


TREE = """
import os, subprocess, sys, time
from womm import signals
from womm.process import foreground, listen, show
# A child, and a grandchild that has left its process group and ignores TERM.
script = '''
setsid sh -c 'trap "" TERM; echo $$ >"$1/grandchild"; while :; do sleep 1; done' sh "$1" &
echo $$ >"$1/child"; wait
'''
try:
    with signals.as_exceptions():
        CALL
except BaseException as error:
    print(type(error).__name__, *error.args)
"""


@pytest.mark.parametrize(
    ("call", "signum"),
    [
        ("foreground({}, {{}})", signal.SIGINT),
        ("foreground({}, {{}})", signal.SIGTERM),
        ("show({})", signal.SIGINT),
        ("show({})", signal.SIGTERM),
        ("show({})", signal.SIGHUP),
        ("listen({}, print)", signal.SIGTERM),
    ],
)
def test_an_interruption_ends_the_whole_tree(tmp_path: Path, call: str, signum: signal.Signals) -> None:
    child, grandchild = tmp_path / "child", tmp_path / "grandchild"
    script = TREE.replace("CALL", call.format('["sh", "-c", script, "sh", sys.argv[1]]'))
    with subprocess.Popen(python(script, str(tmp_path)), stdout=subprocess.PIPE) as client:
        eventually(
            lambda: child.exists() and grandchild.exists() and child.read_text() and grandchild.read_text()
        )
        processes = [psutil.Process(int(path.read_text())) for path in (child, grandchild)]
        client.send_signal(signum)
        assert client.communicate(timeout=20)[0].decode() == f"Interrupted {signum.value}\n"
    eventually(lambda: not any(alive(process) for process in processes))


CAPTURED = """
import sys
from womm import signals
from womm.process import attempt
try:
    with signals.as_exceptions():
        attempt(["sh", "-c", sys.argv[1], "sh", sys.argv[2]], patience=60)
except BaseException as error:
    print(type(error).__name__, *error.args)
"""


def interrupted(script: str, directory: Path) -> psutil.Process:
    """Interrupt a client that runs `script`, once it has written $1/pid; return the script's process."""
    with subprocess.Popen(python(CAPTURED, script, str(directory)), stdout=subprocess.PIPE) as client:
        eventually(lambda: (directory / "pid").exists() and (directory / "pid").read_text())
        process = psutil.Process(int((directory / "pid").read_text()))
        # Again and again, as a user would: only the first one counts.
        for _ in range(5):
            client.send_signal(signal.SIGINT)
        (directory / "interrupted").touch()
        assert client.communicate(timeout=20)[0] == b"Interrupted 2\n"
    return process


def test_a_command_that_is_about_to_end_is_seen_to_its_end_by_an_interruption(tmp_path: Path) -> None:
    wait = 'until [ -e "$1/interrupted" ]; do sleep 0.02; done'
    interrupted(f'echo $$ >"$1/pid"; {wait}; echo created >"$1/done"', tmp_path)
    assert (tmp_path / "done").read_text() == "created\n"


def test_a_command_that_has_a_time_limit_leaves_no_thread_that_python_would_wait_for(tmp_path: Path) -> None:
    before = threading.enumerate()
    running: list[threading.Thread] = []

    def look() -> None:
        eventually((tmp_path / "begun").exists)
        running.extend(thread for thread in threading.enumerate() if thread not in before)
        (tmp_path / "seen").touch()

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    script = 'touch "$1/begun"; until [ -e "$1/seen" ]; do sleep 0.02; done'
    assert attempt(shell(script, str(tmp_path)), patience=60).status == 0
    assert [thread.name for thread in running if not thread.daemon] == []
    assert len(running) > 1


def test_a_command_that_is_late_is_killed() -> None:
    done = attempt(["sleep", "99"], patience=0.3)
    assert (done.status, done.stderr) == (TIMED_OUT, b"no end within 0 s")


def test_a_command_that_is_late_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    # As kubectl is with a login plugin that waits for somebody to log in; it holds the streams, too.
    script = 'sh -c \'trap "" TERM; echo $$ >"$1/plugin"; while :; do sleep 1; done\' sh "$1"; :'
    assert attempt(shell(script, str(tmp_path)), patience=1).status == TIMED_OUT
    plugin = int((tmp_path / "plugin").read_text())
    assert not any(process.pid == plugin and alive(process) for process in psutil.process_iter())


def test_a_command_that_takes_long_is_ended_by_an_interruption(tmp_path: Path) -> None:
    process = interrupted('echo $$ >"$1/pid"; sleep 99; echo created >"$1/done"', tmp_path)
    assert not alive(process)
    assert not (tmp_path / "done").exists()


def alive(process: psutil.Process) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_program_is_heard_while_it_runs_and_its_end_is_told(tmp_path: Path) -> None:
    heard: list[bytes] = []

    def hear(chunk: bytes) -> None:
        heard.append(chunk)
        (tmp_path / "go").touch()

    script = (
        "printf one; until [ -e go ]; do sleep 0.01; done; printf two; printf err >&2; cat; echo $A; kill $$"
    )
    done = listen(shell(script), hear, cwd=tmp_path, env={"A": "env"})
    assert heard[0] == b"one"
    assert b"".join(heard) == b"onetwoenv\n"
    assert (done.status, done.stdout, done.stderr) == (128 + signal.SIGTERM, b"", b"err")


def test_a_program_that_is_heard_is_ended_by_an_exception() -> None:
    processes: list[psutil.Process] = []

    def hear(chunk: bytes) -> None:
        processes.append(psutil.Process(int(chunk)))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        listen(shell("printf $$; exec sleep 99"), hear)
    assert not alive(processes[0])


def test_a_stream_is_read_as_it_comes_and_ended_at_the_end() -> None:
    with stream(shell("echo one; cat; exec sleep 99"), env={}) as process:
        assert process.stdout is not None
        # stdin is at its end, so `cat` ends, too.
        assert process.stdout.readline() == b"one\n"
        assert os.getsid(process.pid) == process.pid
        assert process.poll() is None
    assert process.returncode == -signal.SIGKILL


def test_a_stream_is_ended_by_an_exception_too() -> None:
    with pytest.raises(ZeroDivisionError), stream(["sleep", "99"], env={}) as process:
        raise ZeroDivisionError
    assert process.returncode == -signal.SIGKILL


def test_an_unexpected_kubectl_or_docker_fails_loudly_in_these_tests(hermetic: Hermetic) -> None:
    for name in ("kubectl", "docker"):
        done = attempt([name, "version"])
        assert done.status == 99
        assert done.stderr.startswith(b"unexpected call in a test")


@pytest.fixture
def debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    """What --debug does."""
    monkeypatch.setattr(output, "_debugging", False)
    output.show_commands()


ODD = ["a b", "", "*", "$HOME", "it's", 'say "x"', "é\n", "\\", "~", "#", "a=b"]


def shown(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """The commands on stderr, without the mark before each."""
    printed = capfd.readouterr().err
    return [line.removeprefix("+ ") for line in printed.split("\n+ ")] if printed else []


@pytest.mark.usefixtures("debugging")
def test_each_command_is_shown_as_it_can_be_typed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stdin = written(tmp_path, b"given").rename(tmp_path / "std in")
    done = run(["printenv", "ODD"], stdin=stdin, env={"ODD": "o d'd"})
    assert done.text == "o d'd\n"
    (line,) = shown(capfd)
    assert shlex.split(line) == ["ODD=o d'd", "printenv", "ODD", f"<{stdin}"]
    assert line.startswith("ODD=")
    # It is typed again: a shell understands it.
    again = subprocess.run(["sh", "-c", line], capture_output=True, check=True)
    assert again.stdout == done.stdout


@pytest.mark.usefixtures("debugging")
def test_a_shown_command_reads_the_file_that_it_was_given(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stdin = written(tmp_path, BYTES)
    assert run(["cat"], stdin=stdin).stdout == BYTES
    (line,) = shown(capfd)
    assert subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout == BYTES


@pytest.mark.usefixtures("debugging")
def test_words_of_any_kind_are_shown_as_one_word_each(capfd: pytest.CaptureFixture[str]) -> None:
    argv = ["printf", "%s|", *ODD]
    done = run(argv)
    (line,) = shown(capfd)
    assert shlex.split(line) == argv
    assert subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout == done.stdout


@pytest.mark.usefixtures("debugging")
def test_whatever_starts_a_program_shows_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert probe(["true", "probe"])
    show(["true", "show"])
    assert foreground(["true", "foreground"], {"A": "1"}) == 0
    listen(["true", "listen"], print, env={"A": "1"})
    with stream(["true", "stream"], env={}):
        pass
    background(["true", "background"], env={}).end()
    assert shown(capfd) == [
        "true probe", "true show", "A=1 true foreground", "A=1 true listen",
        "true stream", "true background\n",
    ]  # fmt: skip


@pytest.mark.usefixtures("debugging")
def test_what_is_taken_out_of_the_environment_is_shown(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DROPPED", "x")
    argv = ["printenv", "A", "DROPPED"]
    assert foreground(argv, {"A": "1"}, without=("DROPPED", "NEVER_SET")) == 1
    (line,) = shown(capfd)
    assert shlex.split(line) == ["A=1", "env", "-u", "DROPPED", *argv]
    again = subprocess.run(["sh", "-c", line], capture_output=True, check=False)
    assert (again.returncode, again.stdout) == (1, b"1\n")


@pytest.mark.usefixtures("debugging")
def test_bytes_that_are_no_utf8_are_shown_as_they_are(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert foreground([b"true", b"\xff\xfe"], {}) == 0
    assert capfdbinary.readouterr().err == b"+ true '\xff\xfe'\n"


def test_without_the_wish_no_command_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    run(["true"], env={"A": "1"})
    assert foreground(["true"], {}) == 0
    assert capfd.readouterr() == ("", "")
