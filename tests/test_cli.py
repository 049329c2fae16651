"""The command line itself: what is answered, what is refused, and how it ends."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest
from conftest import Hermetic, eventually

from womm import __version__, cli, gnu
from womm.commands import cluster_setup, parallel
from womm.errors import Interrupted, WommError

pytestmark = pytest.mark.usefixtures("hermetic")

Argv = list[str]


def call(argv: Argv, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run womm to its end; whatever happens, no traceback is shown."""
    done = subprocess.run(
        argv, input=stdin, capture_output=True, env={**os.environ, **environ}, timeout=60, check=False
    )
    assert b"Traceback" not in done.stderr, done.stderr
    assert b"Exception ignored" not in done.stderr, done.stderr
    return done


# It is interrupted by the first module that is looked for under this name.
INTERRUPTED = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "womm.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
signal.signal(signal.SIGINT, getattr(signal, sys.argv.pop(1)))
from womm.__main__ import main
sys.exit(main())
"""


def test_a_ctrl_c_while_womm_is_being_loaded_ends_it_without_a_word() -> None:
    done = call([sys.executable, "-c", INTERRUPTED, "default_int_handler", "--version"])
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_a_ctrl_c_that_is_ignored_stays_ignored_while_womm_is_being_loaded() -> None:
    assert call([sys.executable, "-c", INTERRUPTED, "SIG_IGN", "--version"]).returncode == 0


def test_the_version_is_told_on_stdout(womm: Argv) -> None:
    done = call([*womm, "--version"])
    assert (done.returncode, done.stdout, done.stderr) == (0, f"womm {__version__}\n".encode(), b"")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_the_help_names_every_verb(option: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main([option]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert all(f"\n  {verb} " in out for verb, _, _ in cli.VERBS)


@pytest.mark.parametrize("verb", [verb for verb, _, _ in cli.VERBS])
def test_every_verb_has_a_help_that_needs_nothing(hermetic: Hermetic, womm: Argv, verb: str) -> None:
    hermetic.only("sh")
    done = call([*womm, verb, "--help"])
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"womm {verb}".encode() in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ([], "what shall womm do?", "womm --help"),
        (["paralel"], "unknown command paralel", "did you mean `womm parallel`?"),
        (["cluster_setup"], "unknown command cluster_setup", "did you mean `womm cluster-setup`?"),
        (["xyzzy"], "unknown command xyzzy", "womm --help"),
        (["--nonsense", "parallel"], "unknown option --nonsense", "womm --help"),
        (["--quiet=yes", "parallel"], "unknown option --quiet=yes", "womm --help"),
        (["--namespace"], "--namespace needs an argument", "womm --help"),
        (["setup", "--nonsense"], "--nonsense", "womm setup --help"),
        (["setup", "--share", "half"], "half", "womm setup --help"),
        (["cluster-setup", "--im", "x"], "--im", "womm cluster-setup --help"),
    ],
)
def test_what_womm_does_not_understand_is_refused_with_the_way_out(
    arguments: list[str], message: str, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 125
    out, err = capfd.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("womm: ")
    assert message in first
    assert second.startswith("womm: → ")
    assert hint in second


def test_arguments_of_any_bytes_are_refused_as_they_are(womm: Argv) -> None:
    done = call([*womm, os.fsdecode(b"\xff\xfe")])
    assert done.returncode == 125
    assert b"unknown command \xff\xfe\n" in done.stderr


def test_an_error_is_told_on_stderr_with_its_own_status(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> int:
        raise WommError("it broke", "mend it", exit_code=7)

    monkeypatch.setattr(parallel, "run", fail)
    assert cli.main(["--quiet", "parallel"]) == 7
    assert capfd.readouterr() == ("", "womm: it broke\nwomm: → mend it\n")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_is_128_and_the_signals_number(
    monkeypatch: pytest.MonkeyPatch, signum: signal.Signals
) -> None:
    def interrupted(*_: object) -> int:
        raise Interrupted(signum)

    monkeypatch.setattr(parallel, "run", interrupted)
    assert cli.main(["parallel"]) == 128 + signum


def test_ctrl_c_at_a_verb_that_waits_ends_it_without_a_traceback(hermetic: Hermetic, womm: Argv) -> None:
    waiting = hermetic.root / "waiting"
    hermetic.stub("kubectl", f"#!/bin/sh\necho >{waiting}\nexec sleep 99\n")
    argv = [*womm, "cluster-setup", "--no-nfs", "--image", "x"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, start_new_session=True) as process:
        eventually(waiting.exists)
        os.killpg(process.pid, signal.SIGINT)
        stderr = process.communicate(timeout=20)[1]
    assert process.returncode in (128 + signal.SIGINT, -signal.SIGINT)
    assert b"Traceback" not in stderr


@pytest.mark.parametrize(
    "arguments", [["--help"], ["parallel", "--help"], ["setup", "--help"], ["--version"]]
)
def test_a_reader_that_has_gone_ends_womm_quietly(womm: Argv, arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run([*womm, *arguments], stdout=write, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_a_stdout_that_takes_nothing_is_told(womm: Argv, where: str) -> None:
    done = call(["sh", "-c", f'"$@" --version {where}', "sh", *womm])
    assert done.returncode == 125
    assert done.stderr.startswith(b"womm: standard output ")


def test_a_closed_stderr_stops_nobody(womm: Argv) -> None:
    done = call(["sh", "-c", '"$@" --version 2>&-; "$@" nonsense 2>&-', "sh", *womm])
    assert (done.returncode, done.stdout) == (125, f"womm {__version__}\n".encode())


@pytest.mark.parametrize(
    "before",
    [["--namespace", "n"], ["--namespace=n"], ["-n", "n"], ["--context", "c", "--namespace", "n"]],
)
def test_options_before_the_verb_reach_it(
    before: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*before, "cluster-setup", "--no-nfs", "--image", "x"]) == 0
    assert 'namespace: "n"' in capfd.readouterr().out


def test_quiet_silences_progress_and_no_errors(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from womm.output import progress, warn

    def speak(*_: object) -> int:
        progress("progress")
        warn("warning")
        return 0

    monkeypatch.setattr(cluster_setup, "run", speak)
    assert cli.main(["cluster-setup"]) == 0
    assert capfd.readouterr().err == "progress\nwomm: warning\n"
    assert cli.main(["--quiet", "cluster-setup"]) == 0
    assert capfd.readouterr().err == "womm: warning\n"


def test_debug_shows_commands_and_nothing_does_without_it(hermetic: Hermetic, womm: Argv) -> None:
    hermetic.stub("kubectl", "#!/bin/sh\nexit 1\n")
    arguments = ["--context", "a b", "cluster-setup", "--no-nfs", "--image", "x"]
    quiet, loud = call([*womm, *arguments]), call([*womm, "--debug", *arguments])
    assert b"+ " not in quiet.stderr
    (line,) = [line for line in loud.stderr.decode().splitlines() if line.startswith("+ ")]
    assert shlex.split(line)[1:5] == ["kubectl", "config", "view", "--minify"]
    assert "a b" in shlex.split(line)
    # Nothing else changes.
    assert (loud.returncode, loud.stdout) == (quiet.returncode, quiet.stdout)


# womm parallel, as far as it goes without a cluster.


@pytest.fixture
def will_cite(hermetic: Hermetic) -> Path:
    """The file in which GNU parallel remembers that the user read its notice."""
    return hermetic.home / ".parallel" / "will-cite"


def test_the_citation_dialogue_is_gnu_parallels_own_and_remembered(womm: Argv, will_cite: Path) -> None:
    child = pexpect.spawn(womm[0], [*womm[1:], "parallel", "--citation"], timeout=20, encoding="utf-8")
    child.expect("@software{tange")
    child.expect("Type: 'will cite' and press enter.")
    assert not will_cite.exists()
    child.sendline("will cite")
    child.expect("The citation notice is now silenced")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert will_cite.exists()


def test_the_citation_dialogue_reads_the_users_stdin(womm: Argv, will_cite: Path) -> None:
    done = call([*womm, "parallel", "--citation"], b"what?\nwill cite\n")
    assert done.returncode == 0
    assert (done.stdout + done.stderr).count(b"Type: 'will cite' and press enter.") == 2
    assert will_cite.exists()


def test_gnu_parallels_version_needs_no_cluster(womm: Argv) -> None:
    done = call([*womm, "parallel", "--version"])
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"GNU parallel 2")


def test_a_dry_run_needs_no_cluster(womm: Argv, will_cite: Path) -> None:
    will_cite.parent.mkdir()
    will_cite.touch()
    argv = [*womm, "parallel", "--kube-pods", "3", "-k", "--dry-run", "--", "echo {}", ":::", "a b", "c"]
    done = call(argv, PARALLEL="--no-such-option", POSIXLY_CORRECT="1")
    assert (done.returncode, done.stdout) == (0, b"echo 'a b'\necho c\n"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no-such", "--", "x"], b"Unknown option: no-such"),
        (["--kube-pods", "2", "-k@", "--", "x"], b"Unknown option: @"),
        (["--job", "3", "--", "x"], b"Option job is ambiguous (joblog, jobs)"),
        (["--nice=x", "--", "x"], b'Value "x" invalid for option nice (number expected)'),
        (["--bar=3", "--", "x"], b"Option bar does not take an argument"),
        (["--template", "x", "--", "x"], b'Option template, key "x", requires a value'),
        (["--jobs="], b"Option jobs requires an argument"),
        (["--load"], b"Option load requires an argument"),
    ],
)
def test_an_option_that_gnu_parallel_refuses_gets_its_own_message_and_status(
    womm: Argv, arguments: list[str], message: bytes
) -> None:
    done = call([*womm, "parallel", *arguments])
    assert done.returncode == 255
    assert done.stderr.splitlines()[0] == message


def test_what_gnu_parallel_must_not_see_is_taken_out_of_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dropped = ("PARALLEL", "PARALLEL_SHELL", "PARALLEL_SSH", "PARALLEL_CSH", "POSIXLY_CORRECT")
    for name in (*dropped, "PARALLEL_HOME", "KEPT"):
        monkeypatch.setenv(name, "x")
    # In GNU parallel's place, a program that tells its environment.
    stand_in = tmp_path / "parallel"
    stand_in.write_text('print map { "$_=$ENV{$_}\\n" } keys %ENV;')
    monkeypatch.setattr(gnu, "PARALLEL", stand_in)
    assert cli.main(["parallel", "--version"]) == 0
    environment = dict(line.split("=", 1) for line in capfd.readouterr().out.splitlines())
    assert not set(dropped) & set(environment)
    assert (environment["PARALLEL_HOME"], environment["KEPT"]) == ("x", "x")
    assert environment["RSYNC_OLD_ARGS"] == "1"


def test_a_directory_that_was_not_set_up_is_refused(womm: Argv, tmp_path: Path) -> None:
    done = subprocess.run(
        [*womm, "parallel", "--kube-pods", "1", "--", "x"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 125
    assert done.stderr.splitlines()[0] == b"womm: this directory is not set up"


@pytest.mark.parametrize(
    "arguments", [["parallel", "--kube-pods", "1", "--", "x"], ["setup", "--yes", "--prefix", "r/"]]
)
def test_a_directory_that_is_gone_is_refused(womm: Argv, tmp_path: Path, arguments: list[str]) -> None:
    script = 'mkdir "$1" && cd "$1" && rmdir "$1" && shift && exec "$@"'
    done = call(["sh", "-c", script, "sh", str(tmp_path / "gone"), *womm, *arguments])
    assert done.returncode == 125
    assert done.stderr.splitlines()[0] == b"womm: this directory is gone"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("--kubepods", "--kube-pods"), ("--kube-pod=3", "--kube-pods"), ("--kube-memory", "--kube-mem")],
)
def test_a_typing_error_in_an_option_of_ours_names_the_nearest(womm: Argv, typed: str, meant: str) -> None:
    done = call([*womm, "parallel", typed, "3", "--", "x"])
    assert (done.returncode, done.stdout) == (125, b"")
    assert f"did you mean {meant}?" in done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kube-pods"], "--kube-pods needs an argument"),
        (["--quiet=3", "--", "x"], "--quiet takes no argument"),
    ],
)
def test_an_option_of_ours_that_is_written_out_is_no_typing_error(
    womm: Argv, arguments: list[str], message: str
) -> None:
    done = call([*womm, "parallel", *arguments])
    assert done.returncode == 125
    assert done.stderr.decode().startswith(f"womm: {message}\n")
    assert "did you mean" not in done.stderr.decode()


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "womm: → make room there; TMPDIR"),
        (errno.EACCES, "womm: → see who may write there; TMPDIR"),
        (errno.EMFILE, "womm: → let programs open more files"),
        (errno.E2BIG, "womm: → the arguments are too long"),
        (errno.EIO, "Input/output error: /x\n"),
    ],
)
def test_what_the_machine_refuses_is_told_with_the_way_out_of_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int, hint: str
) -> None:
    def refused(_arguments: list[str]) -> int:
        raise OSError(number, os.strerror(number), "/x")

    monkeypatch.setattr(cli, "_dispatch", refused)
    assert cli.main(["doctor"]) == 125
    said = capfd.readouterr().err
    assert said.startswith(f"womm: this machine can't go on: {os.strerror(number)}: /x\n")
    assert hint in said
    assert said.count("→") == (number != errno.EIO)


def test_what_gnu_parallel_says_of_a_bad_option_is_no_output_of_jobs(womm: Argv) -> None:
    done = call([*womm, "parallel", "--nosuch", "--", "x"], stdin=b"a\n")
    assert done.stdout == b""
    assert b"Unknown option: nosuch" in done.stderr


@pytest.mark.parametrize("descriptors", ["<&-", "2>&-", "<&- 2>&-"])
def test_closed_descriptors_are_nobody_elses(womm: Argv, descriptors: str) -> None:
    script = (
        "import os, sys; from womm import cli; cli.main(['--version']);"
        "[os.fstat(n) for n in range(3)]; print(os.readlink('/proc/self/fd/0'))"
    )
    shell = f'exec "$0" -c "$1" {descriptors}'
    done = call(["bash", "-c", shell, sys.executable, script], stdin=b"")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == f"womm {__version__}".encode()
    assert "<&-" not in descriptors or done.stdout.splitlines()[1] == b"/dev/null"
