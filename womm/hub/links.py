"""One exec stream each: the bytes of a program in a pod, through a WebSocket or through `kubectl exec -i`."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from womm.beside import Background
from womm.kubectl import Kube

# Bytes per message: a whole piece of a job's input and its header.
_CHUNK = 128 << 10
# Channels of Kubernetes' subprotocol.
_STDIN, _STDOUT, _STDERR, _STATUS = range(4)
# Not v5: the API server translates that into SPDY, which costs it and the kubelet half as much again, and
# all that it adds is a half-close, for which there is a frame of ours.
_SUBPROTOCOLS = [Subprotocol("v4.channel.k8s.io")]

_EXIT_CODE = re.compile(r"command terminated with exit code (\d+)")
# Bytes of a stream's complaints that are kept.
_COMPLAINT = 4096


@dataclass(frozen=True)
class Ended:
    """Why a link ended. `status` is the remote program's exit status, None where nobody told it."""

    status: int | None = None
    reason: str = ""


class Codec(Protocol):
    """What lies between a socket's bytes and the remote program's."""

    #: Whether the remote program has been started, as far as can be known; whether it never will be; whether
    #: something on the way does not let this kind of stream pass.
    opened: bool
    refused: bool
    blocked: bool

    def opening(self) -> bytes:
        """What is sent first."""

    def encode(self, data: bytes) -> bytes:
        """What is sent for `data` on the program's stdin."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Take in what was received; yield the program's stdout."""

    def answer(self) -> bytes:
        """What has to be sent now because of what was received."""

    def ended(self) -> Ended:
        """Why it ended, once the socket has."""


class WebSocket:
    """The codec of Kubernetes' exec over WebSockets. Nothing of it blocks or reads."""

    def __init__(self, kube: Kube, pod: str, container: str, command: Sequence[str]) -> None:
        query = [("command", word) for word in command]
        query += [("container", container), *((s, "true") for s in ("stdin", "stdout", "stderr"))]
        path = f"/api/v1/namespaces/{kube.namespace}/pods/{pod}/exec"
        self._protocol = ClientProtocol(
            parse_uri(f"ws://localhost{path}?{urlencode(query)}"), subprotocols=_SUBPROTOCOLS, max_size=None
        )
        self.opened = self.refused = self.blocked = False
        self._early = self._answer = b""
        self._channel = -1
        self._complaint = b""
        self._status = b""

    def opening(self) -> bytes:
        """The upgrade request."""
        self._protocol.send_request(self._protocol.connect())
        return self.answer()

    def encode(self, data: bytes) -> bytes:
        """One message for each piece of `data`; nothing before the upgrade, nor once it is closing."""
        if not self.opened:
            self._early += data
            return b""
        if self._protocol.state is not State.OPEN:
            # It lasts until its end is read; the session keeps what is said, for the next link.
            return b""
        for at in range(0, len(data), _CHUNK):
            self._protocol.send_binary(bytes([_STDIN]) + data[at : at + _CHUNK])
        return self.answer()

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Yield what the remote program wrote; note its complaints and its status."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self.opened = self._protocol.handshake_exc is None
                self.refused = not self.opened
                self.blocked = self.refused and _blocks(event)
                self._early, early = b"", self._early
                self._answer += self.encode(early) if self.opened else b""
            elif isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                rest = memoryview(event.data)
                if event.opcode is Opcode.BINARY and rest:
                    self._channel, rest = rest[0], rest[1:]
                payload = bytes(rest)
                if payload and self._channel == _STDOUT:
                    yield payload
                else:
                    self._note(payload)

    def answer(self) -> bytes:
        """What waited for the upgrade, and what the protocol says by itself: pongs, the closing handshake."""
        self._answer, answer = b"", self._answer
        return answer + b"".join(self._protocol.data_to_send())

    def ended(self) -> Ended:
        """The status that the kubelet told, or why the upgrade failed."""
        refused = self._protocol.handshake_exc
        if isinstance(refused, InvalidStatus):
            return Ended(None, _refusal(refused.response))
        if refused is not None:
            return Ended(None, str(refused))
        complaint = self._complaint.decode(errors="replace").strip()
        if not self._status:
            return Ended(None, complaint or "the connection was cut")
        told = _told(self._status)
        return Ended(told.status, complaint or told.reason)

    def _note(self, payload: bytes) -> None:
        if self._channel == _STDERR:
            self._complaint = (self._complaint + payload)[:_COMPLAINT]
        elif self._channel == _STATUS:
            self._status = (self._status + payload)[:_COMPLAINT]


class Plain:
    """The codec of `kubectl exec -i`: none."""

    opened = True
    refused = blocked = False

    def __init__(self, process: Background) -> None:
        self._process = process

    def opening(self) -> bytes:
        """Nothing."""
        return b""

    def encode(self, data: bytes) -> bytes:
        """The data."""
        return data

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The data."""
        yield data

    def answer(self) -> bytes:
        """Nothing."""
        return b""

    def ended(self) -> Ended:
        """What kubectl said; its own status may be its own failure's."""
        told = self._process.end()
        code = _EXIT_CODE.search(told)
        return Ended(int(code[1]) if code else None, told)


class Link(asyncio.Protocol):
    """A socket and its codec. `received(bytes)` is called while it lasts, then `ended(Ended)` once."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._transport: asyncio.Transport | None = None
        # What is to be sent once the transport takes more.
        self._waiting: deque[bytes] = deque()
        self._paused = False
        self.received: Callable[[bytes], None] = lambda _data: None
        self.ended: Callable[[Ended], None] = lambda _why: None

    @property
    def opened(self) -> bool:
        """Whether the stream was opened: an upgrade that failed never was."""
        return self._codec.opened

    @property
    def blocked(self) -> bool:
        """Whether something on the way does not let this kind of stream pass."""
        return self._codec.blocked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send(self._codec.opening())

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        for chunk in self._codec.decode(data):
            self.received(chunk)
        self._send(self._codec.answer())
        if self._codec.refused:
            # The proxy keeps the connection for another request.
            self.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        """Called by the loop, once."""
        self._transport = None
        self._waiting.clear()
        self.ended(self._codec.ended())

    def pause_writing(self) -> None:
        """Called by the loop when the transport has enough.

        It would take more, into one buffer, which Python before 3.12 copies and moves again and again.
        """
        self._paused = True

    def resume_writing(self) -> None:
        """Called by the loop when the transport has little left."""
        self._paused = False
        self._pass_on()

    def write(self, data: bytes) -> None:
        """Send `data` to the remote program's stdin; nothing, if the link has ended."""
        if self._transport is not None:
            self._waiting.append(data)
            self._pass_on()

    def close(self) -> None:
        """End the link once what was written has gone out."""
        self._pass_on(all_of_it=True)
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the link now."""
        if self._transport is not None:
            self._transport.abort()

    def _pass_on(self, *, all_of_it: bool = False) -> None:
        while self._waiting and (all_of_it or not self._paused):
            self._send(self._codec.encode(self._waiting.popleft()))

    def _send(self, data: bytes) -> None:
        if data and self._transport is not None:
            self._transport.write(data)


async def open_websocket(path: str, codec: WebSocket) -> Link:
    """Connect through the proxy's Unix socket at `path`. Raises OSError."""
    _, link = await asyncio.get_running_loop().create_unix_connection(lambda: Link(codec), path)
    return link


async def open_plain(ours: socket.socket, codec: Plain) -> Link:
    """Take over our end of the socket that is kubectl's stdin and stdout."""
    _, link = await asyncio.get_running_loop().create_connection(lambda: Link(codec), sock=ours)
    return link


def _told(payload: bytes) -> Ended:
    # A metav1.Status: Success, NonZeroExitCode with the code among its causes, or another failure.
    try:
        status = json.loads(payload)
        if status.get("status") == "Success":
            return Ended(0)
        if status.get("reason") == "NonZeroExitCode":
            causes = status["details"]["causes"]
            return Ended(int(next(c["message"] for c in causes if c["reason"] == "ExitCode")))
        return Ended(None, str(status.get("message", "")))
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return Ended(None, payload.decode(errors="replace"))


def _blocks(response: Response) -> bool:
    # A gateway's own words. The API server's refusals are Status objects; what can't reach it says 5xx.
    return response.status_code < 500 and not _is_status(bytes(response.body or b""))


def _is_status(body: bytes) -> bool:
    try:
        return bool(json.loads(body)["kind"] == "Status")
    except (ValueError, KeyError, TypeError):
        return False


def _refusal(response: Response) -> str:
    body = bytes(response.body or b"")
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace").strip()[:200]
    return f"{response.status_code} {response.reason_phrase}: {message}".rstrip(": ")
