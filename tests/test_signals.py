"""Signals, sent to real processes: what ends a run, what the job runner gets, what stays ignored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import eventually

pytestmark = pytest.mark.usefixtures("hermetic")

# A client that runs a job runner in the foreground: one that counts its HUPs in the file $1/hup, as GNU
# parallel has a handler of its own for HUP, and ends with status 7 once $1/finish exists.
CLIENT = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in filter(None, sys.argv[2].split(",")):
    signal.signal(int(number), signal.SIG_IGN)
from womm import signals
from womm.process import foreground
signals._ONE_HANGUP = float(sys.argv[3])
RUNNER = '''
for my $name (qw(HUP INT)) {
    $SIG{$name} = sub { open my $file, ">>", "$ARGV[0]/got"; print $file "$name "; };
}
open my $ready, ">", "$ARGV[0]/ready";
select undef, undef, undef, 0.02 until -e "$ARGV[0]/finish";
exit 7;
'''
try:
    with signals.as_exceptions():
        print(foreground(["perl", "-e", RUNNER, sys.argv[1]], {}))
        signals.shield()
        print("clean", flush=True)
        if sys.argv[4]:
            sys.stdin.readline()
            print("cleaned")
except BaseException as error:
    print(type(error).__name__, *error.args)
"""


class Client:
    """A womm whose job runner runs."""

    def __init__(self, process: subprocess.Popen[bytes], place: Path) -> None:
        self.process, self.place = process, place

    @property
    def got(self) -> list[str]:
        """The signals that the runner's handlers have seen."""
        path = self.place / "got"
        return path.read_text().split() if path.exists() else []

    def finish(self) -> str:
        """Let the runner end; return what the client tells."""
        (self.place / "finish").touch()
        return self.told()

    def told(self) -> str:
        """What the client tells until it ends."""
        return self.process.communicate(b"\n", timeout=20)[0].decode()


@contextmanager
def client(
    place: Path, *, ignored: tuple[int, ...] = (), one_hangup: float = 60, cleaning: str = ""
) -> Iterator[Client]:
    """Start a client that ignores the signals `ignored` from the start."""
    numbers = ",".join(str(int(number)) for number in ignored)
    argv = [sys.executable, "-c", CLIENT, str(place), numbers, str(one_hangup), cleaning]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        eventually((place / "ready").exists)
        yield Client(process, place)
        process.kill()


def test_the_first_hup_goes_to_the_job_runner_and_the_run_goes_on(tmp_path: Path) -> None:
    with client(tmp_path) as womm:
        womm.process.send_signal(signal.SIGHUP)
        eventually(lambda: womm.got)
        assert womm.finish() == "7\nclean\n"
    assert womm.got == ["HUP"]


def test_the_hups_of_a_closed_terminal_are_one(tmp_path: Path) -> None:
    with client(tmp_path) as womm:
        for _ in range(3):
            womm.process.send_signal(signal.SIGHUP)
            eventually(lambda: womm.got)
        assert womm.finish() == "7\nclean\n"
    assert womm.got == ["HUP"]


def test_a_later_hup_ends_the_run(tmp_path: Path) -> None:
    with client(tmp_path, one_hangup=0) as womm:
        womm.process.send_signal(signal.SIGHUP)
        eventually(lambda: womm.got)
        womm.process.send_signal(signal.SIGHUP)
        assert womm.told() == "Interrupted 1\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_int_and_term_end_a_run_that_has_had_its_hup(tmp_path: Path, signum: signal.Signals) -> None:
    with client(tmp_path) as womm:
        womm.process.send_signal(signal.SIGHUP)
        eventually(lambda: womm.got)
        womm.process.send_signal(signum)
        assert womm.told() == f"Interrupted {signum.value}\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_signal_breaks_the_clean_up(tmp_path: Path, signum: signal.Signals) -> None:
    with client(tmp_path, one_hangup=0, cleaning="yes") as womm:
        (tmp_path / "finish").touch()
        assert womm.process.stdout is not None
        assert [womm.process.stdout.readline() for _ in range(2)] == [b"7\n", b"clean\n"]
        for _ in range(3):
            womm.process.send_signal(signum)
        assert womm.told() == "cleaned\n"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
def test_what_was_ignored_at_the_start_is_ignored_by_womm_and_the_job_runner(
    tmp_path: Path, signum: signal.Signals
) -> None:
    with client(tmp_path, ignored=(signum,)) as womm:
        # The whole group gets it, as in a terminal.
        os.killpg(womm.process.pid, signum)
        assert womm.finish() == "7\nclean\n"
    assert womm.got == []


def test_term_ends_a_run_that_ignores_int_and_hup(tmp_path: Path) -> None:
    with client(tmp_path, ignored=(signal.SIGINT, signal.SIGHUP)) as womm:
        womm.process.send_signal(signal.SIGTERM)
        assert womm.told() == "Interrupted 15\n"
