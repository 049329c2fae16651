"""The door to subprocesses, tried with real processes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from conftest import Hermetic, eventually

from womm.errors import CommandFailed, WommError
from womm.process import attempt, end_tree, foreground, probe, run, show, stream, tool

pytestmark = pytest.mark.usefixtures("hermetic")

BYTES = bytes(range(256)) * 4


def shell(script: str, *arguments: str) -> list[str]:
    return ["sh", "-c", script, "sh", *arguments]


def python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(script), *arguments]


def test_bytes_of_any_kind_go_in_and_come_out() -> None:
    done = run(shell("cat; printf err >&2"), stdin=BYTES)
    assert (done.status, done.stdout, done.stderr) == (0, BYTES, b"err")


def test_ten_megabytes_come_out_whole() -> None:
    done = run(["head", "-c", "10000000", "/dev/zero"])
    assert done.stdout == bytes(10_000_000)


def test_ten_megabytes_go_in_and_come_out_whole() -> None:
    big = hashlib.sha512(b"womm").digest() * 160_000
    assert run(["cat"], stdin=big).stdout == big


def test_a_program_that_does_not_read_its_stdin_is_fine() -> None:
    assert run(["true"], stdin=bytes(1_000_000)).status == 0


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
    assert foreground(shell(f"kill -{signum.value} $$"), os.environ) == 128 + signum


def test_a_failure_without_a_word_tells_its_status() -> None:
    with pytest.raises(CommandFailed, match="exit status 3"):
        run(shell("exit 3"))


def test_a_missing_program_is_told_with_a_way_out() -> None:
    call: Callable[[list[str]], object]
    for call in (run, attempt, show):
        with pytest.raises(WommError, match="no-such-program is not installed") as caught:
            call(["no-such-program"])
        assert caught.value.hint
    with pytest.raises(WommError, match="not installed"), stream(["no-such-program"]):
        pass
    assert not probe(["no-such-program"])


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
        with stream(python(OWN_DESCRIPTORS)) as process:
            assert process.stdout is not None
            assert process.stdout.read() == b"[0, 1, 2, 3]\n"
        capfdbinary.readouterr()
        assert foreground(python(OWN_DESCRIPTORS), os.environ) == 0
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
        status = foreground(shell("cat; echo err >&2; exit 9"), os.environ)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
    captured = capfdbinary.readouterr()
    assert (status, captured.out, captured.err) == (9, BYTES, b"err\n")


def test_the_foreground_takes_arguments_of_any_bytes(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert foreground([b"printf", rb"%s|%s", b"\xff\xfe", "\udcff"], os.environ) == 0
    assert capfdbinary.readouterr().out == b"\xff\xfe|\xff"


def test_the_foreground_gets_the_default_sigpipe(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    # Python ignores SIGPIPE, and children inherit that: `yes | head` would complain.
    assert (
        foreground(shell("grep SigIgn /proc/self/status; exec 2>/dev/null; yes | head -n 1"), os.environ) == 0
    )
    ignored, _, line = capfdbinary.readouterr().out.partition(b"\n")
    assert int(ignored.split()[1], 16) & 1 << (signal.SIGPIPE - 1) == 0
    assert line == b"y\n"


def test_the_foreground_has_the_environment_that_it_is_given(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("MINE", "1")
    assert foreground(["/usr/bin/env"], {"GIVEN": "2"}) == 0
    assert capfdbinary.readouterr().out == b"GIVEN=2\n"


TREE = """
import os, subprocess, sys, time
from womm import signals
from womm.process import foreground
# A child, and a grandchild that has left its process group and ignores TERM.
script = '''
setsid sh -c 'trap "" TERM; echo $$ >"$1/grandchild"; while :; do sleep 1; done' sh "$1" &
echo $$ >"$1/child"; wait
'''
try:
    with signals.as_exceptions():
        foreground(["sh", "-c", script, "sh", sys.argv[1]], os.environ)
except BaseException as error:
    print(type(error).__name__, *error.args)
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_foreground_ends_the_whole_tree(tmp_path: Path, signum: signal.Signals) -> None:
    child, grandchild = tmp_path / "child", tmp_path / "grandchild"
    with subprocess.Popen(python(TREE, str(tmp_path)), stdout=subprocess.PIPE) as client:
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
        attempt(["sh", "-c", sys.argv[1], "sh", sys.argv[2]])
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


def test_a_tree_is_ended_with_descendants_that_ignore_term(tmp_path: Path) -> None:
    script = (
        'trap "" TERM; (trap "" TERM; echo >"$1/ready"; while :; do sleep 1; done) & wait; wait; sleep 99'
    )
    process = subprocess.Popen(shell(script, str(tmp_path)))
    eventually((tmp_path / "ready").exists)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(family) >= 2
    end_tree(process.pid, grace=0.1)
    process.wait(timeout=10)
    eventually(lambda: not any(alive(member) for member in family))


def test_ending_what_is_gone_is_fine() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    end_tree(process.pid)


def test_a_stream_is_read_as_it_comes_and_ended_at_the_end() -> None:
    with stream(shell("echo one; cat; exec sleep 99")) as process:
        assert process.stdout is not None
        # stdin is at its end, so `cat` ends, too.
        assert process.stdout.readline() == b"one\n"
        assert os.getsid(process.pid) == process.pid
        assert process.poll() is None
    assert process.returncode == -signal.SIGKILL


def test_a_stream_is_ended_by_an_exception_too() -> None:
    with pytest.raises(ZeroDivisionError), stream(["sleep", "99"]) as process:
        raise ZeroDivisionError
    assert process.returncode == -signal.SIGKILL


def test_an_unexpected_kubectl_or_docker_fails_loudly_in_these_tests(hermetic: Hermetic) -> None:
    for name in ("kubectl", "docker"):
        done = attempt([name, "version"])
        assert done.status == 99
        assert done.stderr.startswith(b"unexpected call in a test")
