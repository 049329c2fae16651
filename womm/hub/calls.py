"""The logins' calls: each brings a command and three descriptors, and waits for a status."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from womm.errors import WommError
from womm.hub.job import Job, Wanted

# Bytes of one read; a login's call is 3 KB as a rule.
_CHUNK = 1 << 18
_LENGTH = struct.Struct("<I")
_STATUS = struct.Struct("<I")
# More bytes than any command line has.
_LONGEST_CALL = 32 << 20
_DESCRIPTORS = 3
# struct ucred: pid, uid, gid.
_PEER = struct.Struct("3i")


def listen(path: Path) -> socket.socket:
    """A socket at `path` for the logins of this user."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    # The directory is the user's alone; this is a second lock.
    path.chmod(0o600)
    listener.listen(4096)
    listener.setblocking(False)
    return listener


def call(path: Path, host: str, command: bytes, streams: Sequence[int]) -> socket.socket:
    """Ask the hub at `path` to run a job with these streams, as login.pl does; its answer will come here.

    Raises WommError if no hub is there.
    """
    message = host.encode() + b"\0\0" + command
    message = _LENGTH.pack(len(message)) + message
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
        sent = socket.send_fds(connection, [message], streams)
        connection.sendall(message[sent:])
    except OSError as error:
        connection.close()
        raise WommError(f"the run is over; this job was not started ({error.strerror})") from error
    return connection


def answer_of(connection: socket.socket, patience: float) -> int | None:
    """The status of the job that was asked for there; None if it does not come in `patience` seconds.

    Raises WommError if it never will.
    """
    if not select.select([connection], [], [], patience)[0]:
        return None
    answer = connection.recv(_STATUS.size)
    if len(answer) < _STATUS.size:
        raise WommError("the run has ended before this job")
    return int(_STATUS.unpack(answer)[0])


def accept(listener: socket.socket) -> socket.socket | None:
    """The next connection, if there is one and it is this user's (or root's)."""
    try:
        connection, _ = listener.accept()
    except OSError:
        # It has gone already, or there are too many open files: those that end make room.
        return None
    _, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if uid not in (os.getuid(), 0):
        connection.close()
        return None
    connection.setblocking(False)
    return connection


class Call:
    """A login's connection: its call comes in, with its descriptors; the job's status goes out."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: socket.socket,
        new: Callable[[Call, Wanted, tuple[int, int, int]], Job],
        over: Callable[[Call], None],
    ) -> None:
        self._loop, self._connection, self._new, self._over = loop, connection, new, over
        self._message = bytearray()
        self._descriptors: list[int] = []
        self._job: Job | None = None
        self._answered = False
        loop.add_reader(connection, self._readable)

    def answer(self, status: int) -> None:
        """Tell the login its job's status."""
        self._answered = True
        with contextlib.suppress(OSError):
            self._connection.send(_STATUS.pack(status))
        self._close()

    def resized(self) -> None:
        """The user's terminal has another size now."""
        if self._job is not None:
            self._job.resized()

    def drop(self) -> None:
        """Have nothing more to do with it: its job is cancelled, and its login learns nothing."""
        self._close()
        if self._job is not None:
            self._job.cancel()
        self._forget_descriptors()

    def _readable(self) -> None:
        try:
            data = self._receive() if self._job is None else self._connection.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            # The login has gone, and with it whoever wanted the job.
            self.drop()
        elif self._job is None:
            self._understand(data)

    def _receive(self) -> bytes:
        data, ancillary, _, _ = self._connection.recvmsg(
            _CHUNK, socket.CMSG_SPACE(_DESCRIPTORS * 4), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(payload[: len(payload) // 4 * 4])
                self._descriptors += received
        return data

    def _understand(self, data: bytes) -> None:
        self._message += data
        if len(self._message) < _LENGTH.size:
            return
        (length,) = _LENGTH.unpack_from(self._message)
        if length > _LONGEST_CALL:
            self.drop()
            return
        if len(self._message) < _LENGTH.size + length:
            return
        try:
            wanted = _unpack(bytes(self._message[_LENGTH.size : _LENGTH.size + length]))
            stdin, stdout, stderr = self._descriptors
        except ValueError:
            self.drop()
            return
        self._message.clear()
        self._descriptors = []
        job = self._new(self, wanted, (stdin, stdout, stderr))
        self._job = None if self._answered else job

    def _forget_descriptors(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []

    def _close(self) -> None:
        with contextlib.suppress(ValueError):
            self._loop.remove_reader(self._connection)
        self._connection.close()
        self._over(self)


def _unpack(message: bytes) -> Wanted:
    # Raises ValueError. The number is anybody's environment variable: what is none is as good as nothing.
    host, number, command = message.split(b"\0", 2)
    return Wanted(host.decode(errors="replace"), command, int(number) if number.isdigit() else 0)
