"""The client's ends of a job, in a real loop, with real files, pipes, sockets and devices."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import pty
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from womm.hub import streams
from womm.hub.streams import KEPT, Sink, Source

BIG = bytes(range(256)) * 4096
PATIENCE = 20.0


@contextmanager
def loop_() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of the test's own, closed at the end."""
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of the test's own."""
    with loop_() as made:
        yield made


def until(loop: asyncio.AbstractEventLoop, condition: Callable[[], object]) -> None:
    """Let the loop run until `condition` is true; fail after PATIENCE."""

    async def wait() -> None:
        end = loop.time() + PATIENCE
        while not condition():
            assert loop.time() < end, "it did not come true in time"
            await asyncio.sleep(0.001)

    loop.run_until_complete(wait())


def settle(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop do all that there is to do now, several times over."""

    async def wait() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    loop.run_until_complete(wait())


class Out:
    """A sink, and what it has told."""

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        self.passed = 0
        self.broken: list[int | None] = []
        # It takes over what it is given, as it does a descriptor that a login has sent.
        self.sink = Sink(loop, os.dup(descriptor), self._passed, self._broken)

    def _passed(self, n: int) -> None:
        self.passed += n

    def _broken(self, error: OSError) -> None:
        self.broken.append(error.errno)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe; the test may close its ends itself."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def unlinked(directory: Path, content: bytes = b"") -> int:
    """A file without a name, as GNU parallel makes them."""
    path = directory / "unlinked"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.write(descriptor, content)
    path.unlink()
    return descriptor


def whole(descriptor: int) -> bytes:
    return os.pread(descriptor, 1 << 30, 0)


def slow_reader(descriptor: int, got: bytearray, most: int = 1 << 16) -> threading.Thread:
    """A thread that reads to the end, in small pieces."""

    def read() -> None:
        while chunk := os.read(descriptor, most):
            got.extend(chunk)

    thread = threading.Thread(target=read)
    thread.start()
    return thread


# Sink


def test_a_file_of_the_jobs_own_can_be_taken_back(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    file = unlinked(tmp_path, b"before")
    out = Out(loop, file)
    assert (out.sink.own, out.sink.untouched) == (True, True)
    out.sink.write(BIG)
    assert (out.passed, out.sink.drained, out.sink.untouched) == (len(BIG), True, False)
    assert whole(file) == b"before" + BIG
    out.sink.rewind()
    assert out.sink.untouched
    assert whole(file) == b"before"
    out.sink.write(b"again")
    assert whole(file) == b"beforeagain"
    out.sink.close()
    os.close(file)


def test_a_file_is_taken_back_to_where_the_job_found_it(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    file = unlinked(tmp_path, b"0123456789")
    os.lseek(file, 4, os.SEEK_SET)
    out = Out(loop, file)
    out.sink.write(b"abc")
    assert whole(file) == b"0123abc789"
    out.sink.rewind()
    out.sink.write(b"xy")
    assert whole(file) == b"0123xyc789"
    out.sink.close()
    os.close(file)


def test_a_job_that_wrote_nothing_takes_nothing_back_from_a_file_that_others_write_to(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    # With -u: the user's own file, which he has unlinked, is every job's stdout.
    file = unlinked(tmp_path)
    lost, other = Out(loop, file), Out(loop, file)
    other.sink.write(b"the other job's")
    lost.sink.rewind()
    assert whole(file) == b"the other job's"
    lost.sink.write(b" and its own")
    assert whole(file) == b"the other job's and its own"
    for out in (lost, other):
        out.sink.close()
    os.close(file)


def test_a_users_file_is_never_taken_back(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"precious")
    file = os.open(path, os.O_RDWR)
    os.lseek(file, 0, os.SEEK_END)
    out = Out(loop, file)
    assert not out.sink.own
    out.sink.rewind()
    assert path.read_bytes() == b"precious"
    out.sink.write(b" and more")
    assert not out.sink.untouched
    out.sink.rewind()
    assert path.read_bytes() == b"precious and more"
    out.sink.close()
    os.close(file)


def test_appending_goes_to_the_end(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\n")
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    out = Out(loop, file)
    out.sink.write(b"b\n")
    assert path.read_bytes() == b"a\nb\n"
    out.sink.close()
    os.close(file)


def test_a_slow_reader_of_a_pipe_gets_everything(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int]
) -> None:
    read, write = pipe
    out = Out(loop, write)
    os.close(write)
    assert not out.sink.own
    for at in range(0, len(BIG), 100_000):
        out.sink.write(BIG[at : at + 100_000])
    # No more has gone out than the pipe takes.
    assert 0 < out.passed < len(BIG)
    assert not out.sink.drained
    got = bytearray()
    reader = slow_reader(read, got, most=1000)
    until(loop, lambda: out.sink.drained)
    assert (out.passed, out.broken) == (len(BIG), [])
    out.sink.close()
    reader.join(PATIENCE)
    assert bytes(got) == BIG


def test_the_callers_own_pipe_stays_a_blocking_one(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int]
) -> None:
    read, write = pipe
    out = Out(loop, write)
    out.sink.write(b"x")
    assert os.get_blocking(write)
    assert not fcntl.fcntl(write, fcntl.F_GETFL) & os.O_NONBLOCK
    source = In(loop, read)
    assert os.get_blocking(read)
    out.sink.close()
    source.source.close()


def test_the_callers_own_socket_stays_a_blocking_one(loop: asyncio.AbstractEventLoop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        out = Out(loop, theirs.fileno())
        out.sink.write(BIG)
        assert os.get_blocking(theirs.fileno())
        assert not out.sink.drained
        out.sink.close()


def test_the_callers_own_terminal_stays_a_blocking_one(loop: asyncio.AbstractEventLoop) -> None:
    leader, follower = pty.openpty()
    out = Out(loop, follower)
    out.sink.write(b"hello\n")
    until(loop, lambda: out.sink.drained)
    assert os.get_blocking(follower)
    assert os.read(leader, 100) == b"hello\r\n"
    out.sink.close()
    os.close(leader)
    os.close(follower)


def test_a_slow_reader_of_a_socket_gets_everything(loop: asyncio.AbstractEventLoop) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            out = Out(loop, theirs.fileno())
        out.sink.write(BIG)
        assert 0 < out.passed < len(BIG)
        got = bytearray()
        reader = slow_reader(ours.fileno(), got, most=1000)
        until(loop, lambda: out.sink.drained)
        assert out.passed == len(BIG)
        out.sink.close()
        reader.join(PATIENCE)
        assert bytes(got) == BIG


def test_bytes_stay_in_their_order_when_the_reader_catches_up(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int]
) -> None:
    read, write = pipe
    out = Out(loop, write)
    os.close(write)
    fcntl.fcntl(read, fcntl.F_SETPIPE_SZ, 4096)
    got = b""
    for n in range(200):
        out.sink.write(b"%07d\n" % n * 100)
        got += os.read(read, 700)
        settle(loop)
    reader = bytearray()
    thread = slow_reader(read, reader)
    until(loop, lambda: out.sink.drained)
    out.sink.close()
    thread.join(PATIENCE)
    assert got + bytes(reader) == b"".join(b"%07d\n" % n * 100 for n in range(200))
    assert out.passed == 200 * 800


@pytest.mark.parametrize("full", [False, True])
def test_a_reader_that_has_gone_is_told_once(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int], full: bool
) -> None:
    read, write = pipe
    out = Out(loop, write)
    if full:
        # It goes while the sink waits for it.
        out.sink.write(BIG)
        assert not out.sink.drained
    os.close(read)
    out.sink.write(b"more")
    until(loop, lambda: out.broken and out.sink.drained)
    assert out.broken == [errno.EPIPE]
    # What comes now counts as passed: the job is not to hang.
    before = out.passed
    out.sink.write(b"still more")
    assert out.passed == before + len(b"still more")
    assert (out.broken, out.sink.drained) == ([errno.EPIPE], True)
    out.sink.close()


def test_everything_is_passed_on_or_dropped_once_when_a_reader_goes(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int]
) -> None:
    read, write = pipe
    out = Out(loop, write)
    out.sink.write(BIG)
    os.close(read)
    until(loop, lambda: out.sink.drained)
    out.sink.write(BIG)
    assert out.passed <= 2 * len(BIG)
    assert out.broken == [errno.EPIPE]
    out.sink.close()


def test_a_socket_whose_reader_has_gone_is_told(loop: asyncio.AbstractEventLoop) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        out = Out(loop, theirs.fileno())
        ours.close()
        out.sink.write(b"x")
        assert out.broken in ([errno.EPIPE], [errno.ECONNRESET])
        out.sink.close()


def test_a_full_disk_is_told(loop: asyncio.AbstractEventLoop) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    out = Out(loop, full)
    out.sink.write(b"x")
    until(loop, lambda: out.broken)
    assert out.broken == [errno.ENOSPC]
    assert out.sink.drained
    out.sink.close()
    os.close(full)


@pytest.mark.parametrize("size", [1, len(BIG)])
def test_dev_null_takes_everything(loop: asyncio.AbstractEventLoop, size: int) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    out = Out(loop, null)
    out.sink.write(BIG[:size])
    until(loop, lambda: out.sink.drained)
    assert (out.passed, out.broken) == (size, [])
    out.sink.close()
    os.close(null)


def test_a_pipe_that_is_not_to_be_opened_anew_is_written_without_blocking(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_open_anew", lambda _descriptor, _how: None)
    read, write = pipe
    out = Out(loop, write)
    os.close(write)
    # It blocks: each write has to wait until there is room, or this test would hang here.
    out.sink.write(BIG)
    settle(loop)
    assert out.passed < len(BIG)
    assert not out.sink.drained
    got = bytearray()
    reader = slow_reader(read, got, most=1000)
    until(loop, lambda: out.sink.drained)
    assert (out.passed, out.broken) == (len(BIG), [])
    out.sink.close()
    reader.join(PATIENCE)
    assert bytes(got) == BIG


def test_two_sinks_on_a_pipe_that_is_not_to_be_opened_anew_do_not_block_each_other(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A job's stdout and stderr (2>&1), or two jobs' with -u: the loop finds both writable, and one fills it.
    monkeypatch.setattr(streams, "_open_anew", lambda _descriptor, _how: None)
    read, write = pipe
    first, second = Out(loop, write), Out(loop, write)
    os.close(write)
    first.sink.write(BIG)
    second.sink.write(BIG)
    # If one of them blocks, the loop's thread hangs here.
    settle(loop)
    for _ in range(2):
        first.sink._flush()
        second.sink._flush()
    assert not first.sink.drained
    assert not second.sink.drained
    got = bytearray()
    reader = slow_reader(read, got)
    until(loop, lambda: first.sink.drained and second.sink.drained)
    for out in (first, second):
        out.sink.close()
    reader.join(PATIENCE)
    assert len(got) == 2 * len(BIG)


def test_a_pipe_that_another_user_made_is_written_too(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refused(path: str, *how: Any) -> int:
        if str(path).startswith("/proc/self/fd/"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *how)

    monkeypatch.setattr(os, "open", refused)
    read, write = pipe
    out = Out(loop, write)
    out.sink.write(b"hello")
    until(loop, lambda: out.sink.drained)
    assert os.read(read, 100) == b"hello"
    out.sink.close()


def test_closing_lets_go_of_the_descriptor_and_of_what_waits(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int]
) -> None:
    read, write = pipe
    out = Out(loop, write)
    os.close(write)
    out.sink.write(BIG)
    out.sink.close()
    got = bytearray()
    slow_reader(read, got).join(PATIENCE)
    assert 0 < len(got) < len(BIG)
    settle(loop)


@given(st.lists(st.integers(0, 70_000), max_size=8), st.booleans())
@settings(deadline=None, max_examples=20)
def test_passed_sums_up_to_what_was_written(sizes: list[int], socket_: bool) -> None:
    read, write = (end.detach() for end in socket.socketpair()) if socket_ else os.pipe()
    with loop_() as loop:
        out = Out(loop, write)
        os.close(write)
        got = bytearray()
        reader = slow_reader(read, got)
        for size in sizes:
            out.sink.write(BIG[:size])
        until(loop, lambda: out.sink.drained)
        out.sink.close()
        reader.join(PATIENCE)
    os.close(read)
    assert bytes(got) == b"".join(BIG[:size] for size in sizes)
    assert out.passed == len(got)


# Source


class In:
    """A source, and what it has sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        self.sent = bytearray()
        self.ends = 0
        self.error: OSError | None = None
        self.source = Source(loop, os.dup(descriptor), self._send, self._end)

    def _send(self, data: bytes) -> None:
        assert self.ends == 0, "bytes after the end"
        assert data, "an empty piece says nothing"
        self.sent += data

    def _end(self, error: OSError | None) -> None:
        self.ends += 1
        self.error = error

    def again(self, credit: int) -> None:
        """Start anew."""
        self.sent.clear()
        self.ends = 0
        self.source.start(credit)


def test_dev_null_sends_nothing(loop: asyncio.AbstractEventLoop) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    got = In(loop, null)
    assert (got.source.null, got.source.can_rewind) == (True, True)
    got.source.start(100)
    settle(loop)
    assert (bytes(got.sent), got.ends) == (b"", 0)
    got.source.close()
    os.close(null)


def test_dev_zero_is_not_null_and_gives_as_much_as_there_is_credit_for(
    loop: asyncio.AbstractEventLoop,
) -> None:
    zero = os.open("/dev/zero", os.O_RDONLY)
    got = In(loop, zero)
    assert not got.source.null
    got.source.start(100_000)
    until(loop, lambda: len(got.sent) >= 100_000)
    settle(loop)
    assert got.sent == bytes(100_000)
    got.source.close()
    settle(loop)
    os.close(zero)


def test_a_file_is_read_from_where_it_stands_as_often_as_needed(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    file = unlinked(tmp_path, b"skipped" + BIG)
    os.lseek(file, len(b"skipped"), os.SEEK_SET)
    got = In(loop, file)
    assert not got.source.null
    assert got.source.can_rewind
    got.source.start(1000)
    assert (bytes(got.sent), got.ends) == (BIG[:1000], 0)
    got.source.stop()
    got.again(10 * len(BIG))
    assert (bytes(got.sent), got.ends) == (BIG, 1)
    # After its end, too.
    got.again(10 * len(BIG))
    assert (bytes(got.sent), got.ends) == (BIG, 1)
    got.source.close()
    os.close(file)


def test_an_empty_file_ends_at_once(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    file = unlinked(tmp_path)
    got = In(loop, file)
    got.source.start(1)
    assert (bytes(got.sent), got.ends) == (b"", 1)
    got.source.credit(100)
    assert got.ends == 1
    got.source.close()
    os.close(file)


def test_credit_is_kept_to_the_byte(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    file = unlinked(tmp_path, BIG)
    os.lseek(file, 0, os.SEEK_SET)
    got = In(loop, file)
    credit = 0
    got.source.start(0)
    for n in (0, 1, 7, 65_536, 100_001):
        credit += n
        got.source.credit(n)
        assert bytes(got.sent) == BIG[:credit]
    got.source.close()
    os.close(file)


def test_credit_is_kept_to_the_byte_with_a_pipe(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int]
) -> None:
    read, write = pipe
    os.write(write, BIG[:60_000])
    got = In(loop, read)
    credit = 10
    got.source.start(10)
    for n in (0, 1, 7, 4096, 20_000):
        credit += n
        got.source.credit(n)
        until(loop, lambda wanted=credit: len(got.sent) >= wanted)
        settle(loop)
        assert bytes(got.sent) == BIG[:credit]
    # What nobody has credit for stays in the pipe, for whoever reads it next.
    os.close(write)
    assert os.read(read, 100_000) == BIG[credit:60_000]
    got.source.close()


def test_a_pipe_is_read_as_it_comes_and_ends_once(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int]
) -> None:
    read, write = pipe
    got = In(loop, read)
    got.source.start(1 << 20)
    settle(loop)
    assert (bytes(got.sent), got.ends) == (b"", 0)
    os.write(write, b"one")
    until(loop, lambda: got.sent == b"one")
    assert got.ends == 0
    os.write(write, b"two")
    os.close(write)
    until(loop, lambda: got.ends)
    got.source.credit(5)
    settle(loop)
    assert (bytes(got.sent), got.ends) == (b"onetwo", 1)
    got.source.close()


def test_a_short_pipe_can_be_given_once_more(loop: asyncio.AbstractEventLoop, pipe: tuple[int, int]) -> None:
    read, write = pipe
    got = In(loop, read)
    got.source.start(1 << 20)
    os.write(write, b"first")
    until(loop, lambda: got.sent == b"first")
    # The pod is lost in the middle of it.
    got.source.stop()
    os.write(write, b"second")
    assert got.source.can_rewind
    got.again(7)
    until(loop, lambda: len(got.sent) >= 7)
    settle(loop)
    assert bytes(got.sent) == b"firstse"
    got.source.credit(100)
    os.close(write)
    until(loop, lambda: got.ends)
    assert bytes(got.sent) == b"firstsecond"
    # And after its end.
    got.source.stop()
    got.again(100)
    until(loop, lambda: got.ends)
    settle(loop)
    assert (bytes(got.sent), got.ends) == (b"firstsecond", 1)
    got.source.close()


@pytest.mark.parametrize(("size", "rewinds"), [(KEPT, True), (KEPT + 1, False)])
def test_a_pipe_is_kept_up_to_a_length(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int], size: int, rewinds: bool
) -> None:
    read, write = pipe
    content = (BIG * (size // len(BIG) + 1))[:size]

    def feed() -> None:
        os.write(write, content)
        os.close(write)

    feeder = threading.Thread(target=feed)
    got = In(loop, read)
    feeder.start()
    got.source.start(2 * size)
    until(loop, lambda: got.ends)
    feeder.join(PATIENCE)
    assert bytes(got.sent) == content
    assert got.source.can_rewind is rewinds
    if rewinds:
        got.again(2 * size)
        until(loop, lambda: got.ends)
        assert bytes(got.sent) == content
    got.source.close()


def test_a_socket_is_read_too(loop: asyncio.AbstractEventLoop) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        got = In(loop, theirs.fileno())
        got.source.start(100)
        with ours:
            ours.send(b"hello")
            until(loop, lambda: got.sent == b"hello")
        until(loop, lambda: got.ends)
        got.source.close()


def test_stopping_reads_no_further(loop: asyncio.AbstractEventLoop, pipe: tuple[int, int]) -> None:
    read, write = pipe
    got = In(loop, read)
    got.source.start(100)
    os.write(write, b"one")
    until(loop, lambda: got.sent == b"one")
    got.source.stop()
    os.write(write, b"two")
    got.source.credit(100)
    settle(loop)
    assert bytes(got.sent) == b"one"
    assert os.read(read, 100) == b"two"
    got.source.close()


def test_closing_lets_go_of_it(loop: asyncio.AbstractEventLoop, pipe: tuple[int, int]) -> None:
    read, write = pipe
    got = In(loop, read)
    os.close(read)
    got.source.start(100)
    got.source.close()
    settle(loop)
    with pytest.raises(BrokenPipeError):
        os.write(write, b"x")


def test_a_pipe_that_is_not_to_be_opened_anew_is_read_without_blocking(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_open_anew", lambda _descriptor, _how: None)
    read, write = pipe
    got = In(loop, read)
    # Nothing is there: a read would block, and this test hang.
    got.source.start(100)
    settle(loop)
    os.write(write, b"hello")
    until(loop, lambda: got.sent == b"hello")
    os.close(write)
    until(loop, lambda: got.ends)
    got.source.close()


def test_a_terminal_that_refuses_is_asked_again(
    loop: asyncio.AbstractEventLoop, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As one does that is read from the background with SIGTTIN ignored.
    refusals = [OSError(errno.EIO, "Input/output error")] * 2
    real = os.read
    monkeypatch.setattr(streams, "_TERMINAL_PATIENCE", 0.01)
    monkeypatch.setattr(streams.os, "isatty", lambda _descriptor: True)
    read, write = pipe
    got = In(loop, read)

    def refusing(descriptor: int, n: int) -> bytes:
        if refusals:
            raise refusals.pop()
        return real(descriptor, n)

    monkeypatch.setattr(streams.os, "read", refusing)
    os.write(write, b"hello")
    got.source.start(100)
    until(loop, lambda: got.sent == b"hello")
    assert refusals == []
    got.source.close()


def test_a_terminal_that_is_gone_has_ended(loop: asyncio.AbstractEventLoop) -> None:
    ours, theirs = pty.openpty()
    got = In(loop, theirs)
    got.source.start(100)
    settle(loop)
    os.close(ours)
    until(loop, lambda: got.ends)
    assert (bytes(got.sent), got.error) == (b"", None)
    got.source.close()
    os.close(theirs)


def test_a_directory_has_ended(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    got = In(loop, directory)
    got.source.start(100)
    until(loop, lambda: got.ends)
    got.source.close()
    os.close(directory)


def test_a_file_that_can_not_be_read_to_its_end_is_told(
    loop: asyncio.AbstractEventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(BIG)
    file = os.open(tmp_path / "file", os.O_RDONLY)
    got = In(loop, file)
    got.source.start(10)

    def stale(_descriptor: int, _n: int) -> bytes:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(streams.os, "read", stale)
    got.source.credit(100)
    assert (len(got.sent), got.ends) == (10, 1)
    assert got.error is not None
    assert got.error.errno == errno.ESTALE
    # No more is asked of it.
    got.source.credit(100)
    assert got.ends == 1
    got.source.close()
    os.close(file)
