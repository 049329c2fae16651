"""The only door to subprocesses: what womm starts on this machine starts here, or (beside us) in beside.py.

Captured commands run through the package `sh`. Those that are listened to while they run, and those that have
the user's own descriptors, as the job runner (arguments of any bytes, default SIGPIPE), use the module
subprocess, because `sh` can't carry them, or is slow at it.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from womm import output, signals
from womm.ending import end_tree, see_to_its_end
from womm.errors import CommandFailed, WommError

#: The environment variable that marks every process of a run, so that runs.sweep finds what is
#: left of one whose client died.
RUN_VARIABLE = "WOMM_RUN"

#: The status of a command that took longer than it might (as timeout(1) has it).
TIMED_OUT = 124

# Seconds between two looks at a process that is waited for; in which one that was killed is a zombie.
_GLANCE, _REAPED = 0.02, 1.0
# Seconds that a program which is listened to may be silent before signals are looked for; bytes of a read.
_LULL, _CHUNK = 0.5, 1 << 16

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

    @property
    def complaint(self) -> str:
        """What it complained of; its exit status, if it said nothing."""
        return self.stderr.decode(errors="replace").strip() or f"exit status {self.status}"


def tool(name: str, hint: str = "") -> str:
    """Return the path of the program `name`. Raises WommError with `hint` if there is none."""
    path = shutil.which(name)
    if path is None:
        raise WommError(f"{name} is not installed", hint or f"install {name} and try again")
    return path


def run(
    argv: Sequence[str],
    *,
    stdin: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    detached: bool = False,
    patience: float | None = None,
) -> Done:
    """Run `argv` to its end and return its output. Raises CommandFailed unless it ends with 0.

    `env` is added to this process's own. With `detached` the terminal's Ctrl-C doesn't reach it: for
    cleaning up. `patience`: see attempt.
    """
    done = attempt(argv, stdin=stdin, cwd=cwd, env=env, detached=detached, patience=patience)
    if done.status != 0:
        raise CommandFailed(list(argv), done.status, done.stdout, done.stderr)
    return done


def probe(argv: Sequence[str], *, patience: float | None = None) -> bool:
    """Run `argv` and tell whether it ended with status 0 (within `patience` seconds).

    False, too, if there is no such program.
    """
    return shutil.which(argv[0]) is not None and attempt(argv, patience=patience).status == 0


def attempt(
    argv: Sequence[str],
    *,
    stdin: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    detached: bool = False,
    patience: float | None = None,
) -> Done:
    """Run `argv` to its end and return what it left, whatever its exit status.

    After `patience` seconds it is killed; its status is then TIMED_OUT. Raises WommError for a program that
    this machine can't run, and for an argument that is not valid UTF-8, which `sh` can't carry.
    """
    import sh  # noqa: PLC0415 - 0.15 s, and `womm --help` needs none of it

    for argument in argv:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise WommError(f"{argv[0]}: {argument!r} is not valid UTF-8", "choose another name") from error
    path = tool(argv[0])
    command = sh.Command(path)
    output.command(argv, env or {}, stdin)
    done = None
    try:
        given = b"" if stdin is None else stdin.read_bytes()
        with signals.held():
            done = command(
                *argv[1:],
                # sh hands children a pty as stdout by default; kubectl and docker then colour and wrap.
                _tty_out=False,
                _in=given,
                _env={**os.environ, **(env or {})},
                _cwd=None if cwd is None else str(cwd),
                _ok_code=_ANY_STATUS,
                _new_session=detached,
                _bg=True,
                _bg_exc=False,
            )
        pid = done.pid
        # With its descendants: a login plugin that hangs holds kubectl's streams open.
        with _alarm(patience, lambda: end_tree(pid, _REAPED / 2)) as has_rung:
            done.wait()
        if has_rung():
            return Done(TIMED_OUT, done.stdout, f"no end within {patience:.0f} s".encode())
    except sh.ForkException as failure:
        # Its text is a traceback of the child's, and the last line of that the reason.
        reason = re.findall(r"\[Errno \d+\] ([^:\n]+)", str(failure))[-1:] or ["it can't be started"]
        raise WommError(
            f"{argv[0]} can't be run: {reason[0]}", f"{path} is no program of this machine: install it anew"
        ) from None
    except BaseException:
        # An interrupted `kubectl create` left to itself could create after all has been deleted.
        if done is not None:
            see_to_its_end(done.pid)
        raise
    status = done.exit_code if done.exit_code >= 0 else 128 - done.exit_code
    return Done(status, done.stdout, done.stderr)


@contextlib.contextmanager
def _alarm(patience: float | None, ring: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    # Calls `ring` after `patience` seconds, unless the context has ended, and waits for its end. Yields
    # whether it has. (sh's own timeout is a thread that may outlive an interruption, and then Python waits
    # for it at its end.)
    rung = threading.Event()

    def wake() -> None:
        rung.set()
        ring()

    timer = threading.Timer(patience or 0, wake)
    timer.daemon = True
    if patience is not None:
        timer.start()
    try:
        yield rung.is_set
    finally:
        timer.cancel()
        if rung.is_set():
            timer.join()


def show(argv: Sequence[str], *, cwd: Path | None = None) -> None:
    """Run `argv` with its whole output on the user's stderr. Raises CommandFailed unless it ends with 0.

    An exception (a signal's Interrupted) ends it as it ends foreground's.
    """
    output.command(argv, {})
    with _attended([tool(argv[0]), *argv[1:]], stdin=subprocess.DEVNULL, stdout=2, cwd=cwd) as process:
        status = _wait(process)
    if status != 0:
        raise CommandFailed(list(argv), status, b"", b"its last lines are above")


def listen(
    argv: Sequence[str],
    hear: Callable[[bytes], None],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Done:
    """Run `argv` to its end, and call `hear` with what it prints, as it comes.

    Returns its exit status (128+n) and what it said on stderr. An exception ends it as it ends foreground's.
    """
    output.command(argv, env or {})
    whole = {**os.environ, **(env or {})}
    with (
        tempfile.TemporaryFile() as complaints,
        _attended(
            [tool(argv[0]), *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            cwd=cwd,
            env=whole,
        ) as process,
    ):
        assert process.stdout is not None
        with process.stdout as stream:
            while True:
                signals.check()
                if select.select([stream], [], [], _LULL)[0]:
                    if not (chunk := os.read(stream.fileno(), _CHUNK)):
                        break
                    hear(chunk)
        status = _wait(process)
        return Done(status, b"", os.pread(complaints.fileno(), _CHUNK, 0))


def tap(
    argv: Sequence[str], hear: Callable[[int, bytes], None], *, env: Mapping[str, str] | None = None
) -> int:
    """Run `argv` to its end; call `hear(1, …)` with what it prints, `hear(2, …)` with what it complains of.

    As it comes. Returns its exit status (128+n). An exception ends it as it ends foreground's.
    """
    output.command(argv, env or {})
    whole = {**os.environ, **(env or {})}
    with _attended(
        [tool(argv[0]), *argv[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=whole,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        with process.stdout as out, process.stderr as err:
            numbers = {out.fileno(): 1, err.fileno(): 2}
            while numbers:
                signals.check()
                for descriptor in select.select(list(numbers), [], [], _LULL)[0]:
                    if chunk := os.read(descriptor, _CHUNK):
                        hear(numbers[descriptor], chunk)
                    else:
                        del numbers[descriptor]
        return _wait(process)


def pour(
    argv: Sequence[str],
    chunks: Iterable[bytes] = (),
    *,
    env: Mapping[str, str] | None = None,
    into: Path | None = None,
) -> Done:
    """Run `argv` to its end with `chunks` as its stdin, taken as it reads them; return what it left.

    What it prints may be long with `into`, the file that is then made of it. An exception, of `chunks` too,
    ends it as it ends foreground's.
    """
    output.command(argv, env or {})
    whole = {**os.environ, **(env or {})}
    with (
        tempfile.TemporaryFile() if into is None else into.open("w+b") as said,
        tempfile.TemporaryFile() as complaints,
        _attended(
            [tool(argv[0]), *argv[1:]], stdin=subprocess.PIPE, stdout=said, stderr=complaints, env=whole
        ) as process,
    ):
        assert process.stdin is not None
        # Its end tells why it reads no more.
        with contextlib.suppress(BrokenPipeError), process.stdin as stream:
            for chunk in chunks:
                stream.write(chunk)
        status = _wait(process)
        printed = os.pread(said.fileno(), _CHUNK, 0) if into is None else b""
        return Done(status, printed, os.pread(complaints.fileno(), _CHUNK, 0))


def foreground(
    argv: Sequence[str | bytes],
    env: Mapping[str, str],
    *,
    without: Collection[str] = (),
    aside: bool = False,
) -> int:
    """Run `argv` with the user's own stdin, stdout and stderr; return its exit status (128+n).

    `env` is added to our own environment, but for the variables that are named in `without`.

    With `aside` it has something to tell, not to do: its stdin is empty, and its stdout goes to stderr.

    When an exception (a signal's Interrupted) ends the wait, the process and all its descendants
    are ended first. The first HUP is no such signal: `argv` gets it, to do with it what it does.
    """
    unset = [word for name in without if name in os.environ for word in ("-u", name)]
    output.command(["env", *unset, *argv] if unset else argv, env)
    stdin, stdout = (subprocess.DEVNULL, 2) if aside else (None, None)
    whole = {name: value for name, value in os.environ.items() if name not in without}
    with (
        signals.hangups() as hung_up,
        _attended(argv, stdin=stdin, stdout=stdout, env={**whole, **env}) as process,
    ):
        return _wait(process, hung_up)


def interact(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Run `argv` with the user's own streams; return its exit status (128+n). Any signal ends it.

    `env` is added to our own environment.
    """
    output.command(argv, env)
    with _attended(argv, env={**os.environ, **env}) as process:
        return _wait(process)


@contextlib.contextmanager
def _attended(argv: Sequence[str | bytes], **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    # Starts `argv`; an exception ends it, with all its descendants.
    process = None
    try:
        with signals.held():
            process = subprocess.Popen(argv, restore_signals=True, **how)
        yield process
    except BaseException:
        if process is not None:
            end_tree(process.pid)
            # What is not ours to end (root's, by sudo) is not waited for, either.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_REAPED)
        raise


def _wait(process: subprocess.Popen[bytes], hung_up: Callable[[], bool] = lambda: False) -> int:
    # Returns the exit status (128+n). In a closed terminal the process has had the HUP from the kernel,
    # too; for GNU parallel a second one is the same as the first.
    passed_on = False
    while (status := process.poll()) is None:
        signals.check()
        if hung_up() and not passed_on:
            passed_on = True
            process.send_signal(signal.SIGHUP)
        time.sleep(_GLANCE)
    return status if status >= 0 else 128 - status
