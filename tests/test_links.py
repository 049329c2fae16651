"""The codec of Kubernetes' exec over WebSockets, against a real server's protocol fed by hand."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from womm.beside import background
from womm.hub.links import Ended, Link, Plain, WebSocket, open_plain, open_websocket
from womm.kubectl import Kube

COMMAND = ("perl", "-e", "print 'é & ü=1'\n", "")
STDIN, STDOUT, STDERR, STATUS = range(4)
V5, V4 = Subprotocol("v5.channel.k8s.io"), Subprotocol("v4.channel.k8s.io")

SUCCESS = json.dumps({"metadata": {}, "status": "Success"}).encode()
KILLED = json.dumps(
    {
        "status": "Failure",
        "message": "command terminated with non-zero exit code: exit status 137",
        "reason": "NonZeroExitCode",
        "details": {
            "causes": [{"reason": "Other", "message": "x"}, {"reason": "ExitCode", "message": "137"}]
        },
    }
).encode()
INTERNAL = json.dumps(
    {"status": "Failure", "message": "error executing command in container", "reason": "InternalError"}
).encode()

CAUSELESS = b'{"reason": "NonZeroExitCode", "details": {"causes": []}}'
CODELESS = b'{"reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": "x"}]}}'


class Server:
    """The API server's end, and the codec under test with what it has told."""

    def __init__(self, speaks: Sequence[Subprotocol] = (V5, V4)) -> None:
        self.protocol = ServerProtocol(subprotocols=speaks, max_size=None)
        self.codec = WebSocket(Kube("team", "prod"), "pod-1", "womm", COMMAND)
        self.heard: list[Frame] = []
        self.said = bytearray()
        self.deliver(self.codec.opening())
        (self.request,) = self.events
        assert isinstance(self.request, Request)

    def deliver(self, data: bytes) -> None:
        """Give the server what the codec wants to be sent."""
        self.protocol.receive_data(data)
        self.events = self.protocol.events_received()
        self.heard += [event for event in self.events if isinstance(event, Frame)]

    def outgoing(self) -> bytes:
        """What the server has to say now."""
        return b"".join(self.protocol.data_to_send())

    def accept(self) -> None:
        """Answer the request as one who agrees to it."""
        self.protocol.send_response(self.protocol.accept(self.request))

    def say(self, channel: int, data: bytes) -> None:
        """A message on a channel."""
        self.protocol.send_binary(bytes([channel]) + data)

    def transmit(self, cuts: Sequence[int] = ()) -> bytes:
        """Bring what the server said to the codec, cut there, and its answers back; return the output."""
        raw = self.outgoing()
        borders = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
        output = b""
        for begin, end in itertools.pairwise(borders):
            output += b"".join(self.codec.decode(raw[begin:end]))
            self.deliver(self.codec.answer())
        return output

    def stdin(self) -> bytes:
        """What came for the program."""
        assert all(frame.opcode is Opcode.BINARY and frame.data[:1] == bytes([STDIN]) for frame in self.heard)
        return b"".join(bytes(frame.data[1:]) for frame in self.heard)

    def opened(self) -> Server:
        """This one, once the upgrade is done."""
        self.accept()
        assert self.transmit() == b""
        assert self.codec.opened
        return self


def response(status: int, body: bytes, **headers: str) -> bytes:
    """A refusal as it comes off the wire."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_the_request_asks_for_the_command_as_it_is() -> None:
    server = Server()
    url = urlsplit(server.request.path)
    assert url.path == "/api/v1/namespaces/team/pods/pod-1/exec"
    query = parse_qsl(url.query, keep_blank_values=True)
    assert [value for name, value in query if name == "command"] == list(COMMAND)
    assert ("container", "womm") in query
    assert {("stdin", "true"), ("stdout", "true"), ("stderr", "true")} <= set(query)
    assert "tty" not in dict(query)


def test_only_the_subprotocol_that_the_api_server_need_not_translate_is_offered() -> None:
    offered = Server().request.headers["Sec-WebSocket-Protocol"]
    assert [name.strip() for name in offered.split(",")] == [V4]


@pytest.mark.parametrize("speaks", [[V4], [V5, V4], [V4, V5]])
def test_every_server_that_speaks_it_will_do(speaks: list[Subprotocol]) -> None:
    server = Server(speaks).opened()
    assert server.protocol.subprotocol == V4
    server.say(STDOUT, b"hello")
    assert server.transmit() == b"hello"


def test_what_is_said_before_the_upgrade_waits_for_it_in_order() -> None:
    server = Server()
    assert not server.codec.opened
    assert server.codec.encode(b"one ") == b""
    assert server.codec.encode(b"two ") == b""
    assert server.codec.answer() == b""
    server.opened()
    server.deliver(server.codec.encode(b"three"))
    assert server.stdin() == b"one two three"


def test_nothing_is_said_after_the_upgrade_that_nobody_has_said() -> None:
    server = Server().opened()
    assert server.heard == []


def test_stdin_goes_in_pieces_that_the_api_server_passes_on() -> None:
    server = Server().opened()
    data = bytes(range(256)) * 1000
    server.deliver(server.codec.encode(data))
    assert server.stdin() == data
    assert max(len(frame.data) for frame in server.heard) <= (128 << 10) + 1
    assert server.codec.encode(b"") == b""


def test_channels_are_told_apart() -> None:
    server = Server().opened()
    server.say(STDOUT, b"out1 ")
    server.say(STDERR, b"perl: not ")
    server.say(STDOUT, b"\x01\x02\x03")
    server.say(STDERR, b"found\n")
    # What a server sends at once when a stream is opened: nothing, on each.
    for channel in (STDOUT, STDERR, STATUS):
        server.say(channel, b"")
    server.say(9, b"who knows")
    assert server.transmit() == b"out1 \x01\x02\x03"
    assert server.codec.ended() == Ended(None, "perl: not found")


def test_an_empty_message_and_a_text_are_passed_over() -> None:
    server = Server().opened()
    server.protocol.send_binary(b"")
    server.protocol.send_text(b"\x01text")
    server.say(STDOUT, b"out")
    assert server.transmit() == b"out"


def test_complaints_have_an_end() -> None:
    server = Server().opened()
    for _ in range(100):
        server.say(STDERR, b"x" * 1000)
    server.transmit()
    assert len(server.codec.ended().reason) == 4096


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (SUCCESS, Ended(0, "")),
        (KILLED, Ended(137, "")),
        (INTERNAL, Ended(None, "error executing command in container")),
        (b"garbage \xff", Ended(None, "garbage \ufffd")),
        (b"[]", Ended(None, "[]")),
        (b"null", Ended(None, "null")),
        (b'{"status": "Failure"}', Ended(None, "")),
        (b'{"reason": "NonZeroExitCode"}', Ended(None, '{"reason": "NonZeroExitCode"}')),
        (CODELESS, Ended(None, CODELESS.decode())),
        (CAUSELESS, Ended(None, CAUSELESS.decode())),
    ],
)
def test_the_status_is_the_kubelets(status: bytes, told: Ended) -> None:
    server = Server().opened()
    server.say(STATUS, status)
    assert server.transmit() == b""
    assert server.codec.ended() == told


def test_what_the_program_complained_of_is_the_reason_and_the_status_stays() -> None:
    server = Server().opened()
    server.say(STDERR, b"no such file\n")
    server.say(STATUS, KILLED)
    server.transmit()
    assert server.codec.ended() == Ended(137, "no such file")


def test_without_a_status_the_connection_was_cut() -> None:
    server = Server().opened()
    server.say(STDOUT, b"some")
    assert server.transmit() == b"some"
    assert server.codec.ended() == Ended(None, "the connection was cut")


FORBIDDEN = json.dumps(
    {"kind": "Status", "status": "Failure", "message": 'pods "p" is forbidden: no exec for you', "code": 403}
).encode()


@pytest.mark.parametrize(
    ("raw", "reason", "blocked"),
    [
        # The API server's own word on the pod: another way leads to no other.
        (response(403, FORBIDDEN), '403 Forbidden: pods "p" is forbidden: no exec for you', False),
        (response(403, b"<h3>Unauthorized</h3>\n"), "403 Forbidden: <h3>Unauthorized</h3>", True),
        (response(404, b""), "404 Not Found", True),
        # A gateway or `kubectl proxy` that does not reach the API server.
        (response(500, b"\xff" * 1000), "500 Internal Server Error: " + "\ufffd" * 200, False),
        (response(400, b"[1]"), "400 Bad Request: [1]", True),
        (response(200, b'{"message": 7}'), "200 OK: 7", True),
    ],
)
@given(cuts=st.lists(st.integers(0, 5000), max_size=5))
@settings(deadline=None, max_examples=10)
def test_a_refused_upgrade_tells_why(raw: bytes, reason: str, blocked: bool, cuts: list[int]) -> None:
    server = Server()
    server.codec.encode(b"early")
    borders = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    for begin, end in itertools.pairwise(borders):
        assert list(server.codec.decode(raw[begin:end])) == []
        # What waited is not for those who refuse.
        assert server.codec.answer() == b""
    assert not server.codec.opened
    assert server.codec.blocked == blocked
    assert server.codec.ended() == Ended(None, reason)


def test_an_upgrade_that_is_no_upgrade_is_told() -> None:
    server = Server()
    answer = server.protocol.accept(server.request)
    del answer.headers["Sec-WebSocket-Accept"]
    answer.headers["Sec-WebSocket-Accept"] = "wrong"
    assert list(server.codec.decode(answer.serialize())) == []
    assert not server.codec.opened
    ended = server.codec.ended()
    assert ended.status is None
    assert "Sec-WebSocket-Accept" in ended.reason


def test_what_is_no_http_at_all_is_told() -> None:
    server = Server()
    assert list(server.codec.decode(b"SSH-2.0-OpenSSH_9.2\r\n")) == []
    assert not server.codec.opened
    ended = server.codec.ended()
    assert ended.status is None
    assert ended.reason


def test_a_connection_that_ends_before_its_answer_is_told() -> None:
    codec = WebSocket(Kube("n", "c"), "p", "womm", ["true"])
    codec.opening()
    assert codec.ended().status is None
    assert codec.ended().reason


def test_a_ping_is_answered_at_once() -> None:
    server = Server().opened()
    server.protocol.send_ping(b"are you there?")
    assert server.transmit() == b""
    (pong,) = server.heard
    assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"are you there?")


def test_a_closing_handshake_is_answered_and_the_status_kept() -> None:
    server = Server().opened()
    server.say(STATUS, SUCCESS)
    server.protocol.send_close(1000)
    server.transmit()
    (close,) = server.heard
    assert close.opcode is Opcode.CLOSE
    assert server.codec.ended() == Ended(0, "")


def test_what_is_said_while_it_is_closing_is_not_sent_and_no_mistake() -> None:
    server = Server().opened()
    server.say(STDOUT, b"last words")
    server.protocol.send_close(1000)
    # All of it arrives at once: who hears the words may answer, and somebody may ping before the end is read.
    answers = [server.codec.encode(b"answer") for _ in server.codec.decode(server.outgoing())]
    assert [*answers, server.codec.encode(b"ping")] == [b"", b""]
    server.deliver(server.codec.answer())
    assert [frame.opcode for frame in server.heard] == [Opcode.CLOSE]


def test_a_message_may_come_in_fragments_with_others_work_between() -> None:
    server = Server().opened()
    server.protocol.send_binary(bytes([STDOUT]) + b"\x01one ", fin=False)
    server.protocol.send_continuation(b"\x02two ", fin=False)
    server.protocol.send_ping(b"")
    server.protocol.send_continuation(b"", fin=False)
    server.protocol.send_continuation(b"\x03three", fin=True)
    server.say(STDERR, b"why")
    assert server.transmit() == b"\x01one \x02two \x03three"
    assert server.codec.ended().reason == "why"


def test_a_status_may_come_in_fragments() -> None:
    server = Server().opened()
    server.protocol.send_binary(bytes([STATUS]) + SUCCESS[:5], fin=False)
    server.protocol.send_continuation(SUCCESS[5:], fin=True)
    assert server.transmit() == b""
    assert server.codec.ended() == Ended(0, "")


def test_the_channels_number_may_come_alone() -> None:
    server = Server().opened()
    server.protocol.send_binary(bytes([STDERR]), fin=False)
    server.protocol.send_continuation(b"why", fin=True)
    server.protocol.send_binary(bytes([STDOUT]), fin=False)
    server.protocol.send_continuation(b"out", fin=True)
    assert server.transmit() == b"out"
    assert server.codec.ended().reason == "why"


messages = st.lists(
    st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(max_size=300), st.integers(0, 3)), max_size=8
)


@given(messages, st.lists(st.integers(0, 5000), max_size=10), st.lists(st.binary(max_size=50), max_size=4))
@settings(deadline=None)
def test_all_arrives_however_it_is_cut(
    said: list[tuple[int, bytes, int]], cuts: list[int], early: list[bytes]
) -> None:
    server = Server()
    for data in early:
        assert server.codec.encode(data) == b""
    server.accept()
    for channel, data, pieces in said:
        # In so many fragments after the first.
        server.protocol.send_binary(bytes([channel]), fin=pieces == 0 and not data)
        step = max(1, -(-len(data) // (pieces + 1)))
        parts = [data[at : at + step] for at in range(0, len(data), step)]
        for n, part in enumerate(parts):
            server.protocol.send_continuation(part, fin=n == len(parts) - 1)
        if pieces and not data:
            server.protocol.send_continuation(b"", fin=True)
    server.say(STATUS, KILLED)
    output = server.transmit(cuts)
    assert output == b"".join(data for channel, data, _ in said if channel == STDOUT)
    errors = b"".join(data for channel, data, _ in said if channel == STDERR)
    ended = server.codec.ended()
    assert ended.status == 137
    assert ended.reason == errors[:4096].decode(errors="replace").strip()
    assert server.stdin() == b"".join(early)


# A link: a codec and a real socket.


class Heard:
    """What a link has told."""

    def __init__(self, link: Link) -> None:
        self.received = bytearray()
        self.ended: list[Ended] = []
        link.received, link.ended = self.received.extend, self.ended.append


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of the test's own."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


async def until(condition: Any) -> None:
    """Wait until `condition` is true."""
    for _ in range(4000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come true in time")


def plain(script: str) -> tuple[socket.socket, Plain]:
    """A program behind a socket, in kubectl's place."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = background(["sh", "-c", script], stdio=theirs.fileno(), env={})
    return ours, Plain(process)


@pytest.mark.parametrize(
    ("script", "ended"),
    [
        ("read -r line; echo got $line", Ended(None, "")),
        (
            "read -r line; echo got $line; echo 'command terminated with exit code 137' >&2; exit 137",
            Ended(137, "command terminated with exit code 137"),
        ),
        # kubectl's own failure is none of the remote program.
        (
            "read -r line; echo got $line; echo 'error: connection refused' >&2; exit 1",
            Ended(None, "error: connection refused"),
        ),
    ],
)
def test_a_link_through_a_program(loop: asyncio.AbstractEventLoop, script: str, ended: Ended) -> None:
    async def scene() -> None:
        link = await open_plain(*plain(script))
        heard = Heard(link)
        assert link.opened
        link.write(b"hello\n")
        await until(lambda: heard.ended)
        assert (bytes(heard.received), heard.ended) == (b"got hello\n", [ended])
        # What has ended takes no more, and says so to nobody.
        link.write(b"more")
        link.abort()
        link.close()

    loop.run_until_complete(scene())


def test_a_link_ends_with_the_refusal_though_the_proxy_keeps_the_connection(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    async def scene() -> None:
        path = str(tmp_path / "proxy")

        async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(response(500, b"error dialing backend\n"))
            kept.append(writer)

        kept: list[asyncio.StreamWriter] = []
        async with await asyncio.start_unix_server(refuse, path):
            link = await open_websocket(path, WebSocket(Kube("space", "context"), "pod", "job", COMMAND))
            heard = Heard(link)
            await until(lambda: heard.ended)
            assert heard.ended == [Ended(None, "500 Internal Server Error: error dialing backend")]
            kept[0].close()
            await kept[0].wait_closed()

    loop.run_until_complete(scene())


def test_a_link_that_is_let_go_of_ends_its_program_and_tells_once(loop: asyncio.AbstractEventLoop) -> None:
    async def scene() -> None:
        ours, codec = plain("echo ready; exec sleep 99")
        link = await open_plain(ours, codec)
        heard = Heard(link)
        await until(lambda: heard.received)
        link.abort()
        await until(lambda: heard.ended)
        link.abort()
        await asyncio.sleep(0)
        assert len(heard.ended) == 1
        assert not codec._process.running

    loop.run_until_complete(scene())


@pytest.mark.parametrize("closed", [False, True])
def test_what_the_reader_does_not_take_yet_waits_as_it_is_and_goes_in_order(
    loop: asyncio.AbstractEventLoop, closed: bool
) -> None:
    said = [bytes([n]) * (60_000 + n) for n in range(100)]

    async def scene() -> None:
        spare, codec = plain("exec sleep 99")
        spare.close()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        link = await open_plain(ours, codec)
        heard = Heard(link)
        for data in said:
            link.write(data)
        # One buffer of all of it would be moved with each piece that goes.
        assert link._transport is not None
        assert link._transport.get_write_buffer_size() < 300_000
        assert len(link._waiting) > 90
        if closed:
            link.close()
        came = bytearray()
        with theirs:
            while len(came) < sum(map(len, said)):
                came += await loop.sock_recv(theirs, 1 << 16)
        link.abort()
        await until(lambda: heard.ended)
        assert came == b"".join(said)

    loop.run_until_complete(scene())


def test_an_agent_is_reached_through_a_websocket(loop: asyncio.AbstractEventLoop) -> None:
    async def scene() -> None:
        ours, theirs = socket.socketpair()
        server = ServerProtocol(subprotocols=[V5, V4], max_size=None)
        reader, writer = await asyncio.open_connection(sock=theirs)
        codec = WebSocket(Kube("n", "c"), "p", "womm", ["cat"])
        _, link = await loop.create_connection(lambda: Link(codec), sock=ours)
        heard = Heard(link)
        link.write(b"before ")
        stdin = b""
        while stdin != b"before after":
            server.receive_data(await reader.read(1000))
            for event in server.events_received():
                if isinstance(event, Request):
                    answer: Response = server.accept(event)
                    server.send_response(answer)
                elif isinstance(event, Frame):
                    stdin += bytes(event.data[1:])
                    server.send_binary(bytes([STDOUT]) + bytes(event.data[1:]))
            for data in server.data_to_send():
                writer.write(data)
            if link.opened and stdin == b"before ":
                link.write(b"after")
        server.send_binary(bytes([STATUS]) + SUCCESS)
        writer.write(b"".join(server.data_to_send()))
        await until(lambda: heard.received == b"before after")
        writer.close()
        await until(lambda: heard.ended)
        assert heard.ended == [Ended(0, "")]

    loop.run_until_complete(scene())
