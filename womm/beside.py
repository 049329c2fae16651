"""Programs that run beside us: read from a thread, ended from another, or waiting for our own end.

The second half of process.py's door. They use the module subprocess: `sh` reads whole outputs.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import tempfile
import threading
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
        self._process = _started(argv, subprocess.PIPE, subprocess.DEVNULL, env)

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def lines(self) -> Iterator[str]:
        """What it says on stderr, line by line, until it ends."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            yield line.decode(errors="replace").rstrip("\n")

    def kill(self) -> None:
        """End it; to be called from any thread."""
        self._process.kill()

    def let_go(self) -> None:
        """Have it end by itself: its stdin does. To be called from any thread; lines() end when it has."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def end(self) -> str:
        """End it, unless it has ended; there is nothing more to say."""
        self._process.kill()
        # Leaving its own context closes the pipes, and waits for it.
        with self._process:
            return ""


class Joined(Heard):
    """One whose stdin and stdout are a connection to the Unix socket `path`: it ends when that is closed."""

    def __init__(self, argv: Sequence[str], path: str, *, env: Mapping[str, str]) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(path)
            self._process = _started(argv, self._socket.fileno(), self._socket.fileno(), env)
        except BaseException:
            self._socket.close()
            raise
        # It may be in the midst of something that has no end (dialling), and not look.
        threading.Thread(target=self._watch, name="link", daemon=True).start()

    def end(self) -> str:
        """End it, unless it has ended; there is nothing more to say."""
        # For the watch, too.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        return super().end()

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._socket, 0)
        poll.poll()
        self._process.kill()
        self._socket.close()


def _started(argv: Sequence[str], stdin: int, stdout: int, env: Mapping[str, str]) -> Stream:
    output.command(argv, {})
    return subprocess.Popen(
        [tool(argv[0]), *argv[1:]],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **env},
    )


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
