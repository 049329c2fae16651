"""The frames between hub and agent: bytes to frames and back (pure). ARCHITECTURE.md documents them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

#: Bytes that may be on their way per job and stream before the receiver gives more credit.
WINDOW = 2 << 20
#: The longest payload, in bytes.
LONGEST = 4 << 20
#: The version of these frames, in both greetings.
VERSION = b"womm1"

# To the agent.
RUN, INPUT, END_OF_INPUT, BROKEN, KILL, SIZE, PING, QUIT = b"RIZBKSPQ"
# To the hub.
STDOUT, STDERR, CLOSED, EXIT = b"OECX"
# Both ways.
GREETING, CREDIT, ACKNOWLEDGE = b"HWA"

#: Flags of RUN.
NO_STDIN, BY_SHELL, AS_IT_IS, TERMINAL, USERS_SHELL = 1, 2, 4, 8, 16

_HEADER = struct.Struct(">BII")
_SIZE = struct.Struct(">HH")
_CREDIT_FOR = struct.Struct(">BI")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")


class Violation(Exception):
    """The other end does not keep to the protocol."""


class Frame(NamedTuple):
    """One frame; `job` is 0 where no job is meant."""

    type: int
    job: int
    payload: bytes


def encode(type_: int, job: int = 0, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return _HEADER.pack(type_, job, len(payload)) + payload


def credit_for(job: int, stream: int, n: int) -> bytes:
    """A CREDIT frame to the agent: `n` more bytes of stdout (1) or stderr (2)."""
    return encode(CREDIT, job, _CREDIT_FOR.pack(stream, n))


def on_terminal(name: bytes, rows: int, columns: int) -> bytes:
    """What stands before the command of a job with the flag TERMINAL; `name` is its TERM."""
    return _SIZE.pack(rows, columns) + name + b"\0"


def size(job: int, rows: int, columns: int) -> bytes:
    """A SIZE frame."""
    return encode(SIZE, job, _SIZE.pack(rows, columns))


def acknowledge(received: int) -> bytes:
    """An ACKNOWLEDGE frame."""
    return encode(ACKNOWLEDGE, 0, _U64.pack(received))


def number(payload: bytes) -> int:
    """The number that a CREDIT, EXIT or ACKNOWLEDGE frame from the agent carries. Raises Violation."""
    if len(payload) == _U32.size:
        return int(_U32.unpack(payload)[0])
    if len(payload) == _U64.size:
        return int(_U64.unpack(payload)[0])
    raise Violation(f"a number of {len(payload)} bytes")


class Splitter:
    """Cuts a stream of bytes into frames, however it arrives."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Take in `chunk`; yield each frame that is complete now. Raises Violation for one too long."""
        self._bytes += chunk
        at, have = 0, len(self._bytes)
        try:
            while have - at >= _HEADER.size:
                type_, job, length = _HEADER.unpack_from(self._bytes, at)
                if length > LONGEST:
                    raise Violation(f"a frame of {length} bytes")
                end = at + _HEADER.size + length
                if end > have:
                    return
                with memoryview(self._bytes) as view:
                    frame = Frame(type_, job, bytes(view[at + _HEADER.size : end]))
                at = end
                yield frame
        finally:
            del self._bytes[:at]


@dataclass(frozen=True)
class Greeting:
    """The agent's greeting: whether it knows this session, how much of it, and why it says no."""

    answer: str
    received: int
    reason: str


def greet(key: str, received: int, dead_man: int, directory: bytes, shell: bytes) -> bytes:
    """The hub's greeting; `key` is the session's."""
    fields = (VERSION, key.encode(), b"%d" % received, b"%d" % dead_man, directory, shell)
    return encode(GREETING, 0, b"\0".join(fields))


def understand(frame: Frame) -> Greeting:
    """Read the agent's greeting. Raises Violation if it is none."""
    fields = frame.payload.split(b"\0")
    if frame.type != GREETING or frame.job or len(fields) != 4 or fields[0] != VERSION:
        raise Violation("no greeting")
    answer = fields[1].decode(errors="replace")
    if answer not in ("new", "same", "busy") or not fields[2].isdigit():
        raise Violation("no greeting")
    return Greeting(answer, int(fields[2]), fields[3].decode(errors="replace"))
