"""A stand-in for the API server and a thousand pods: it takes execs and answers as womm's agent does.

    python -m bench.standin       prints its port on 127.0.0.1, and serves until its stdin ends

Each exec upgrade (`GET …/pods/NAME/exec`, v5 or v4.channel.k8s.io) is a coroutine: it reads the agent's
source, greets, answers pings, and every job ends with status 0 after having said its pod's name. What
it gets is acknowledged as ARCHITECTURE.md ("The frames") says.
"""

from __future__ import annotations

import asyncio
import re
import sys
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from womm.hub import frames

_SUBPROTOCOLS = [Subprotocol("v5.channel.k8s.io"), Subprotocol("v4.channel.k8s.io")]
_STDIN, _STDOUT, _STATUS, _CLOSE = 0, 1, 3, 255
_SUCCESS = b'{"metadata":{},"status":"Success"}'
_EXEC = re.compile(r"/api/v1/namespaces/[^/]+/pods/([^/]+)/exec")

# Bytes received after which an acknowledgement is due, and the length of a frame's header.
_DUE = 256 << 10
_HEADER = 9


class Agent:
    """One agent's end of a channel (pure): bytes in, bytes out."""

    def __init__(self, pod: str, source: int) -> None:
        self._pod = pod
        #: Bytes of the agent's source that are still to come.
        self._source = source
        self._splitter = frames.Splitter()
        self._received = self._told = 0
        self.ended = False

    def take(self, data: bytes) -> bytes:
        """What the agent answers to `data` on its stdin. Raises frames.Violation for garbage."""
        skipped = min(self._source, len(data))
        self._source -= skipped
        answers = [self._answer(frame) for frame in self._splitter.feed(data[skipped:])]
        if self._received - self._told >= _DUE:
            answers.append(self._acknowledge())
        return b"".join(answers)

    def _answer(self, frame: frames.Frame) -> bytes:
        if frame.type == frames.GREETING:
            return frames.encode(frames.GREETING, 0, b"\0".join((frames.VERSION, b"new", b"0", b"")))
        self._received += _HEADER + len(frame.payload)
        if frame.type == frames.PING:
            return self._acknowledge()
        if frame.type == frames.RUN:
            said = frames.encode(frames.STDOUT, frame.job, f"{self._pod}\n".encode())
            return said + frames.encode(frames.EXIT, frame.job, bytes(4))
        self.ended = self.ended or frame.type == frames.QUIT
        return b""

    def _acknowledge(self) -> bytes:
        self._told = self._received
        return frames.acknowledge(self._received)


async def channel(connection: ServerConnection) -> None:
    """Serve one exec."""
    assert connection.request is not None
    url = urlsplit(connection.request.path)
    pod = _EXEC.fullmatch(url.path)
    command = parse_qs(url.query).get("command", [])
    if pod is None or len(command) != 5:
        await connection.send(bytes([_STATUS]) + b'{"status":"Failure","message":"no such exec here"}')
        return
    agent = Agent(pod[1], int(command[3]))
    try:
        async for message in connection:
            if not isinstance(message, bytes) or message[0] == _CLOSE:
                return
            if message[0] == _STDIN and (answer := agent.take(message[1:])):
                await connection.send(bytes([_STDOUT]) + answer)
            if agent.ended:
                await connection.send(bytes([_STATUS]) + _SUCCESS)
                return
    except ConnectionClosed:
        return


async def listen() -> Server:
    """Begin to serve, on any port of 127.0.0.1."""
    return await serve(
        channel,
        "127.0.0.1",
        0,
        subprotocols=_SUBPROTOCOLS,
        compression=None,
        ping_interval=None,
        max_size=None,
        backlog=2048,
    )


def port_of(server: Server) -> int:
    """The port that it listens on."""
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


async def _main() -> None:
    async with await listen() as server:
        print(port_of(server), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
