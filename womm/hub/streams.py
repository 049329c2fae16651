"""The client's ends of a job: the descriptors that its login handed over."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import stat
from collections.abc import Callable

#: Bytes of a job's stdin that are kept for a second run of it, where it can't be read again.
KEPT = 2 << 20

# Read and written at once.
_CHUNK = 1 << 16
# A pipe that polls writable takes so much without blocking (POSIX: PIPE_BUF).
_ATOMIC = 4096
# Seconds after which a terminal is asked again that refused to be read from the background.
_TERMINAL_PATIENCE = 1.0

_NULL = os.makedev(1, 3)


class Sink:
    """A job's stdout or stderr: takes bytes at once, passes them on as fast as their reader reads.

    `passed(n)` is called as n bytes have gone out, `broken(error)` when no more will be taken.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        passed: Callable[[int], None],
        broken: Callable[[OSError], None],
    ) -> None:
        self._loop, self._passed, self._broken = loop, passed, broken
        status = os.fstat(descriptor)
        self._regular = stat.S_ISREG(status.st_mode)
        #: Whether the output is in a file of the job's own, which nobody else can see.
        self.own = self._regular and status.st_nlink == 0
        self._length = status.st_size
        self._position = os.lseek(descriptor, 0, os.SEEK_CUR) if self._regular else 0
        self.untouched = True
        self._buffer = bytearray()
        self._waiting = self._dead = False
        self._descriptor, self._socket, self._most = _writable(descriptor, status.st_mode)

    def write(self, data: bytes) -> None:
        """Pass `data` on, now or later."""
        self.untouched = False
        if self._dead:
            self._passed(len(data))
            return
        if not self._buffer and self._most != _ATOMIC:
            data = data[self._push(data) :]
        if data and not self._dead:
            self._buffer += data
            self._wait()

    @property
    def drained(self) -> bool:
        """Whether everything has gone out."""
        return not self._buffer

    def rewind(self) -> None:
        """Take back everything that has been written; only where `own` or `untouched`."""
        # What was not written by this job may be another one's: a user's file need not have a name either.
        if self.own and not self.untouched:
            os.ftruncate(self._descriptor, self._length)
            os.lseek(self._descriptor, self._position, os.SEEK_SET)
        self.untouched = True

    def close(self) -> None:
        """Let go of the descriptor."""
        self._stop_waiting()
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._descriptor)

    def _wait(self) -> None:
        if self._waiting:
            return
        try:
            self._loop.add_writer(self._descriptor, self._flush)
            self._waiting = True
        except PermissionError:
            # What can't be polled (/dev/null, some devices) doesn't block either.
            self._most = _CHUNK
            while self._buffer and not self._dead:
                self._flush()

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._loop.remove_writer(self._descriptor)
            self._waiting = False

    def _flush(self) -> None:
        sent = self._push(bytes(self._buffer[: self._most]))
        del self._buffer[:sent]
        if not self._buffer or self._dead:
            self._buffer.clear()
            self._stop_waiting()
            # The last bytes have gone out: a job that has ended can be told so.
            self._passed(0)

    def _push(self, data: bytes) -> int:
        # Returns how many bytes went out; all of them, if nobody wants them any more.
        sent = 0
        view = memoryview(data)
        try:
            while sent < len(data):
                if self._socket is not None:
                    sent += self._socket.send(view[sent:], socket.MSG_DONTWAIT)
                elif self._most == _ATOMIC and not _poll(self._descriptor, select.POLLOUT):
                    # Another sink on the same pipe has filled it since the loop looked.
                    break
                else:
                    sent += os.write(self._descriptor, view[sent:])
        except BlockingIOError:
            pass
        except OSError as error:
            self._dead = True
            sent = len(data)
            self._broken(error)
        if sent:
            self._passed(sent)
        return sent


class Source:
    """A job's stdin: read no further than there is credit for, and kept for a second run if it is short.

    `send(bytes)` and then `end(None)` are called; `end(error)` where a file can't be read to its end.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        send: Callable[[bytes], None],
        end: Callable[[OSError | None], None],
    ) -> None:
        self._loop, self._send, self._end = loop, send, end
        status = os.fstat(descriptor)
        #: Whether there is nothing to read: the job gets the pod's own /dev/null.
        self.null = stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL
        self._regular = stat.S_ISREG(status.st_mode)
        self._position = os.lseek(descriptor, 0, os.SEEK_CUR) if self._regular else 0
        if stat.S_ISFIFO(status.st_mode) and _is_over(descriptor):
            # GNU parallel gives most jobs a pipe that has ended: nothing need be sent of it.
            self.null = True
        self._descriptor = descriptor if self.null else _readable(descriptor, status.st_mode)
        self._kept: bytearray | None = None if self._regular else bytearray()
        self._at = 0
        #: Credit that is left.
        self.unused = 0
        self._ended = self._waiting = False
        self._stopped = True

    @property
    def can_rewind(self) -> bool:
        """Whether all of it can be given once more."""
        return self.null or self._regular or self._kept is not None

    def start(self, credit: int) -> None:
        """Begin, from the beginning, with so much credit."""
        self._at, self.unused, self._stopped = 0, credit, False
        if self._regular:
            self._ended = False
            os.lseek(self._descriptor, self._position, os.SEEK_SET)
        if not self.null:
            self._pump()

    def credit(self, n: int) -> None:
        """`n` more bytes may be sent."""
        self.unused += n
        self._pump()

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped = True
        self._stop_waiting()

    def close(self) -> None:
        """Let go of the descriptor."""
        self.stop()
        os.close(self._descriptor)

    def _pump(self) -> None:
        while not self._stopped and self.unused > 0:
            if self._kept is not None and self._at < len(self._kept):
                chunk = bytes(self._kept[self._at : self._at + min(_CHUNK, self.unused)])
            elif self._ended:
                self.stop()
                self._end(None)
                return
            elif self._regular:
                try:
                    chunk = self._read()
                except OSError as error:
                    self.stop()
                    self._end(error)
                    return
                self._ended = not chunk
            else:
                self._wait()
                return
            self._pass(chunk)
        if self.unused <= 0:
            self._stop_waiting()

    def _pass(self, chunk: bytes) -> None:
        if chunk:
            self._at += len(chunk)
            self.unused -= len(chunk)
            self._send(chunk)

    def _wait(self) -> None:
        if self._waiting:
            return
        try:
            self._loop.add_reader(self._descriptor, self._readable_now)
            self._waiting = True
        except PermissionError:
            # Not to be polled, so it does not block: a device like /dev/zero.
            self._loop.call_soon(self._readable_now)

    def _stop_waiting(self) -> None:
        if self._waiting:
            self._loop.remove_reader(self._descriptor)
            self._waiting = False

    def _readable_now(self) -> None:
        if self._stopped or self.unused <= 0:
            return
        try:
            chunk = self._read()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EIO and os.isatty(self._descriptor):
                # Background processes may not read a terminal; maybe the user brings us to the front.
                self._stop_waiting()
                self._loop.call_later(_TERMINAL_PATIENCE, self._pump)
                return
            # A directory, a terminal that is gone: a program would be told so, and go on as at the end.
            chunk = b""
        self._ended = not chunk
        if self._kept is not None:
            self._kept += chunk
            if len(self._kept) > KEPT:
                self._kept = None
        self._pass(chunk)
        self._pump()

    def _read(self) -> bytes:
        return os.read(self._descriptor, min(_CHUNK, self.unused))


def _writable(descriptor: int, mode: int) -> tuple[int, socket.socket | None, int]:
    # O_NONBLOCK belongs to the open file, which GNU parallel and the user's shell share with us: a
    # pipe or terminal is opened anew. Returns the descriptor, its socket, and bytes per write.
    if stat.S_ISSOCK(mode):
        return descriptor, socket.socket(fileno=descriptor), _CHUNK
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return descriptor, None, _CHUNK
    opened = _open_anew(descriptor, os.O_WRONLY)
    return (descriptor, None, _ATOMIC) if opened is None else (opened, None, _CHUNK)


def _readable(descriptor: int, mode: int) -> int:
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return descriptor
    opened = _open_anew(descriptor, os.O_RDONLY)
    return descriptor if opened is None else opened


def _is_over(pipe: int) -> bool:
    # Nothing in it, and nobody left who writes.
    return _poll(pipe, select.POLLIN) == [(pipe, select.POLLHUP)]


def _poll(descriptor: int, event: int) -> list[tuple[int, int]]:
    poll = select.poll()
    poll.register(descriptor, event)
    return poll.poll(0)


def _open_anew(descriptor: int, how: int) -> int | None:
    with contextlib.suppress(OSError):
        opened = os.open(f"/proc/self/fd/{descriptor}", how | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        os.close(descriptor)
        return opened
    # Another user's pipe, say (sudo): it is read and written only when it is ready.
    return None
