"""Programs that run beside us: read from a thread, ended from another, or waiting for our own end.

The second half of process.py's door. They use the module subprocess: `sh` reads whole outputs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from womm import output
from womm.process import tool

# Bytes of a program's complaints that are of interest.
_COMPLAINT = 4096
# Seconds in which a program ends whose input has ended.
_LAST = 3.0

Stream = subprocess.Popen[bytes]


@contextlib.contextmanager
def stream(argv: Sequence[str], *, env: Mapping[str, str], stderr: int = subprocess.PIPE) -> Iterator[Stream]:
    """Start `argv` with its stdout on a pipe, and end it at the exit of the context.

    `env` is added to our own environment.

    Its session is its own: Ctrl-C in the terminal is womm's to handle, not kubectl's.
    """
    output.command(argv, {})
    process = subprocess.Popen(
        [tool(argv[0]), *argv[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
        env={**os.environ, **env},
    )
    # Leaving Popen's own context closes the pipes: a watch is begun again many times.
    with process:
        try:
            yield process
        finally:
            process.kill()


class Background:
    """A program that runs beside us: `kubectl proxy`, a `kubectl exec`."""

    def __init__(self, process: Stream, complaints: IO[bytes]) -> None:
        self._process, self._complaints = process, complaints

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def end(self) -> str:
        """Kill it, unless it has ended; return what it said on stderr (4 KiB of it)."""
        self._process.kill()
        self._process.wait()
        if self._complaints.closed:
            return ""
        with self._complaints as file:
            # A file, not a pipe: nobody reads while it runs.
            return os.pread(file.fileno(), _COMPLAINT, 0).decode(errors="replace").strip()


def background(argv: Sequence[str], *, stdio: int | None = None, env: Mapping[str, str]) -> Background:
    """Start `argv` beside us, with `stdio` as its stdin and stdout; `env` is added to our own.

    Its session is its own, and what it makes (a socket) is the user's alone.
    """
    output.command(argv, {})
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 - Background closes it
    standard = subprocess.DEVNULL if stdio is None else stdio
    try:
        process = subprocess.Popen(
            [tool(argv[0]), *argv[1:]],
            stdin=standard,
            stdout=standard,
            stderr=complaints,
            start_new_session=True,
            umask=0o077,
            env={**os.environ, **env},
        )
    except BaseException:
        complaints.close()
        raise
    return Background(process, complaints)


class Heard:
    """A program that is listened to: what it says on stderr, until it ends or end() is called.

    Its stdin is open for as long, and so tells it that we live. `env` is added to our own.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str]) -> None:
        output.command(argv, {})
        self._process = _started(argv, subprocess.PIPE, subprocess.DEVNULL, subprocess.PIPE, env)

    def lines(self) -> Iterator[str]:
        """What it says on stderr, line by line, until it ends."""
        return _lines(self._process)

    def kill(self) -> None:
        """End it; to be called from any thread."""
        self._process.kill()

    def end(self) -> str:
        """End it, unless it has ended; there is nothing more to say."""
        _end(self._process)
        return ""


class Tied:
    """Two programs that speak with each other alone: each one's stdout is the other's stdin.

    `there` is listened to, and either's end is both's. `env` is added to our own, for both.
    """

    def __init__(self, here: Sequence[str], there: Sequence[str], *, env: Mapping[str, str]) -> None:
        output.command(here, {})
        output.command(there, {})
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - end() closes it
        self._here = _started(here, subprocess.PIPE, subprocess.PIPE, self._complaints.fileno(), env)
        assert self._here.stdin is not None
        assert self._here.stdout is not None
        # What one of them closes is to be an end for the other: we keep nothing of it open.
        with self._here.stdin as stdin, self._here.stdout as stdout:
            try:
                self._there = _started(there, stdout.fileno(), stdin.fileno(), subprocess.PIPE, env)
            except BaseException:
                _end(self._here)
                raise

    def lines(self) -> Iterator[str]:
        """What `there` says on stderr, line by line, until it ends."""
        return _lines(self._there)

    def kill(self) -> None:
        """End `there`, and so both; to be called from any thread."""
        self._there.kill()

    def end(self) -> str:
        """End both, unless they have ended; return what `here` said on stderr (4 KiB of it)."""
        _end(self._there)
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Its input has ended. What it has begun elsewhere (a container) would survive its being killed.
            self._here.wait(_LAST)
        _end(self._here)
        with self._complaints as file:
            return os.pread(file.fileno(), _COMPLAINT, 0).decode(errors="replace").strip()


def _started(argv: Sequence[str], stdin: int, stdout: int, stderr: int, env: Mapping[str, str]) -> Stream:
    return subprocess.Popen(
        [tool(argv[0]), *argv[1:]],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        env={**os.environ, **env},
    )


def _lines(process: Stream) -> Iterator[str]:
    assert process.stderr is not None
    for line in process.stderr:
        yield line.decode(errors="replace").rstrip("\n")


def _end(process: Stream) -> None:
    process.kill()
    # Leaving its own context closes the pipes, and waits for it.
    with process:
        pass


class Keeper:
    """A program that waits for our end: told of it by end(), or by our death."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd="/", start_new_session=True
        )

    def end(self) -> None:
        """All is well: there is nothing to be done for us."""
        with contextlib.suppress(OSError):
            self._process.communicate(b"done\n")
