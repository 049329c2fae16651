"""The only door to subprocesses: everything that womm starts on this machine starts here.

Captured commands run through the package `sh`. The two that `sh` can't carry use subprocess: the
foreground job runner (arguments of any bytes, default SIGPIPE, the user's own descriptors) and the
long-lived stream (a pipe that is read from a thread and ended from another).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from womm import signals
from womm.errors import CommandFailed, WommError

if TYPE_CHECKING:
    import psutil

#: The environment variable that marks every process of a run, so that runs.sweep finds what is
#: left of one whose client died.
RUN_VARIABLE = "WOMM_RUN"

#: The status of a command that took longer than it might (as timeout(1) has it).
TIMED_OUT = 124

# Seconds between two looks at a process that is waited for.
_GLANCE = 0.02

# sh raises for statuses that it isn't told of; deaths by a signal are negative.
_ANY_STATUS = list(range(-64, 256))


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status and its whole output."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are no UTF-8 are replaced."""
        return self.stdout.decode(errors="replace")


def tool(name: str, hint: str = "") -> str:
    """Return the path of the program `name`. Raises WommError with `hint` if there is none."""
    path = shutil.which(name)
    if path is None:
        raise WommError(f"{name} is not installed", hint or f"install {name} and try again")
    return path


def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    detached: bool = False,
) -> Done:
    """Run `argv` to its end and return its output. Raises CommandFailed unless it ends with 0.

    `env` is added to this process's own. With `detached` the terminal's Ctrl-C doesn't reach it: for
    cleaning up.
    """
    done = attempt(argv, stdin=stdin, cwd=cwd, env=env, detached=detached)
    if done.status != 0:
        raise CommandFailed(list(argv), done.status, done.stdout, done.stderr)
    return done


def probe(argv: Sequence[str]) -> bool:
    """Run `argv` and tell whether it ended with status 0; False, too, if there is no such program."""
    return shutil.which(argv[0]) is not None and attempt(argv).status == 0


def attempt(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    detached: bool = False,
    patience: float | None = None,
) -> Done:
    """Run `argv` to its end and return what it left, whatever its exit status.

    After `patience` seconds it is killed; its status is then TIMED_OUT. Raises WommError for an argument
    that is not valid UTF-8, which `sh` can't carry.
    """
    import sh  # noqa: PLC0415 - 0.15 s, and `womm --help` needs none of it

    for argument in argv:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise WommError(f"{argv[0]}: {argument!r} is not valid UTF-8", "choose another name") from error
    command = sh.Command(tool(argv[0]))
    done = None
    try:
        with signals.held():
            done = command(
                *argv[1:],
                # sh hands children a pty as stdout by default; kubectl and docker then colour and wrap.
                _tty_out=False,
                _in=stdin,
                _env={**os.environ, **(env or {})},
                _cwd=None if cwd is None else str(cwd),
                _ok_code=_ANY_STATUS,
                _new_session=detached,
                _timeout=patience,
                _bg=True,
                _bg_exc=False,
            )
        done.wait()
    except sh.TimeoutException:
        return Done(TIMED_OUT, b"", f"no end within {patience:.0f} s".encode())
    except BaseException:
        # An interrupted `kubectl create` left to itself could create after all has been deleted.
        if done is not None:
            _see_to_its_end(done.pid)
        raise
    status = done.exit_code if done.exit_code >= 0 else 128 - done.exit_code
    return Done(status, done.stdout, done.stderr)


def _see_to_its_end(pid: int, grace: float = 1.0) -> None:
    import psutil  # noqa: PLC0415 - only on the way out

    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if not _end_within([process], grace):
            return
    end_tree(pid, grace)


def show(argv: Sequence[str], *, cwd: Path | None = None) -> None:
    """Run `argv` with its whole output on the user's stderr. Raises CommandFailed unless it ends with 0."""
    status = subprocess.run(
        [tool(argv[0]), *argv[1:]], stdin=subprocess.DEVNULL, stdout=2, cwd=cwd, check=False
    ).returncode
    if status != 0:
        raise CommandFailed(list(argv), status, b"", b"its last lines are above")


def foreground(argv: Sequence[str | bytes], env: Mapping[str, str], *, aside: bool = False) -> int:
    """Run `argv` with the user's own stdin, stdout and stderr; return its exit status (128+n).

    With `aside` it has something to tell, not to do: its stdin is empty, and its stdout goes to stderr.

    When an exception (a signal's Interrupted) ends the wait, the process and all its descendants
    are ended first.
    """
    stdin, stdout = (subprocess.DEVNULL, 2) if aside else (None, None)
    process = None
    try:
        with signals.held():
            process = subprocess.Popen(argv, stdin=stdin, stdout=stdout, env=dict(env), restore_signals=True)
        while (status := process.poll()) is None:
            signals.check()
            time.sleep(_GLANCE)
    except BaseException:
        if process is not None:
            end_tree(process.pid)
            process.wait()
        raise
    return status if status >= 0 else 128 - status


Stream = subprocess.Popen[bytes]


@contextlib.contextmanager
def stream(argv: Sequence[str]) -> Iterator[Stream]:
    """Start `argv` with its stdout on a pipe, and end it at the exit of the context.

    Its session is its own: Ctrl-C in the terminal is womm's to handle, not kubectl's.
    """
    process = subprocess.Popen(
        [tool(argv[0]), *argv[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    # Leaving Popen's own context closes the pipes: a watch is begun again many times.
    with process:
        try:
            yield process
        finally:
            process.kill()


def end_tree(pid: int, grace: float = 1.0) -> None:
    """End the process `pid` and its descendants: TERM, then KILL after `grace` seconds."""
    import psutil  # noqa: PLC0415 - only on the way out

    try:
        root = psutil.Process(pid)
        family = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    end_all(family, grace)


def end_all(processes: Sequence[psutil.Process], grace: float = 1.0) -> None:
    """End these psutil processes: TERM, then KILL after `grace` seconds. One that is gone is fine."""
    import psutil  # noqa: PLC0415 - only on the way out

    for signum in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            try:
                process.send_signal(signum)
            except psutil.NoSuchProcess:
                continue
        processes = _end_within(processes, grace)
        if not processes:
            return


def _end_within(processes: Sequence[psutil.Process], grace: float) -> Sequence[psutil.Process]:
    # Returns those that have not ended after `grace` seconds.
    deadline = time.monotonic() + grace
    while (processes := [p for p in processes if not _has_ended(p)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return processes


def _has_ended(process: psutil.Process) -> bool:
    # A zombie has ended; who is to reap it may take its time.
    import psutil  # noqa: PLC0415 - only on the way out

    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
