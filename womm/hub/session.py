"""A session's memory: what was sent and may have to be sent again, how much was received (pure)."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator

from womm.hub.frames import Frame, Splitter, Violation, acknowledge

# Bytes received after which an acknowledgement is due.
_DUE = 1 << 20
_HEADER = 9


class Session:
    """The hub's side of a session with an agent; it outlives its channels."""

    def __init__(self, key: str = "") -> None:
        self.key = key or secrets.token_hex(16)
        #: Bytes received, in whole frames.
        self.received = 0
        #: Bytes sent.
        self.sent = 0
        self._told = 0
        self._unacknowledged: deque[bytes] = deque()
        # Bytes sent before the first of these.
        self._dropped = 0
        self._splitter = Splitter()

    def begin_channel(self) -> None:
        """What a cut channel brought of a frame is forgotten: the frame will be sent again."""
        self._splitter = Splitter()

    def greeting(self, chunk: bytes) -> Frame | None:
        """Take in what a new channel brought; return its first frame, not counted. Raises Violation."""
        return next(self._splitter.feed(chunk), None)

    def keep(self, frame: bytes) -> bytes:
        """Note that `frame` is sent; returns it."""
        self._unacknowledged.append(frame)
        self.sent += len(frame)
        return frame

    def take(self, chunk: bytes) -> Iterator[Frame]:
        """Take in what a channel brought; yield its frames. Raises Violation."""
        for frame in self._splitter.feed(chunk):
            self.received += _HEADER + len(frame.payload)
            yield frame

    def due(self) -> bytes | None:
        """An acknowledgement to be sent, if one is due."""
        if self.received - self._told < _DUE:
            return None
        self._told = self.received
        return acknowledge(self.received)

    def acknowledged(self, count: int) -> None:
        """The other end has received `count` bytes. Raises Violation if that can't be."""
        if not self._dropped <= count <= self.sent:
            raise Violation(f"{count} bytes acknowledged, of {self.sent} sent")
        while self._unacknowledged and self._dropped + len(self._unacknowledged[0]) <= count:
            self._dropped += len(self._unacknowledged.popleft())

    def resume(self, count: int) -> Iterator[bytes]:
        """A new channel, and the other end has received `count` bytes: yield what is to be sent again."""
        self.acknowledged(count)
        skip = count - self._dropped
        for frame in self._unacknowledged:
            yield frame[skip:]
            skip = max(0, skip - len(frame))
