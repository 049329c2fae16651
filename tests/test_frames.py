"""The frames: whatever way bytes arrive, the same frames come out; garbage is refused."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from womm.hub import frames
from womm.hub.frames import Frame, Greeting, Splitter, Violation, encode, greet, understand
from womm.hub.session import Session

FRAMES = st.lists(
    st.builds(Frame, st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=300)), max_size=8
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut `data` at these places."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


def split(chunks: list[bytes]) -> list[Frame]:
    """All frames of a stream that arrives in these chunks."""
    splitter = Splitter()
    return [frame for chunk in chunks for frame in splitter.feed(chunk)]


@given(FRAMES, st.lists(st.integers(0, 2700), max_size=20))
def test_any_split_of_the_stream_gives_the_same_frames(sent: list[Frame], cuts: list[int]) -> None:
    """However the bytes are cut."""
    assert split(pieces(b"".join(encode(*frame) for frame in sent), cuts)) == sent


@given(st.binary(max_size=2000))
def test_garbage_is_refused_or_awaited_never_more(garbage: bytes) -> None:
    """No exception but Violation, and never more bytes in frames than came in."""
    with contextlib.suppress(Violation):
        assert sum(9 + len(frame.payload) for frame in split([garbage])) <= len(garbage)


def test_a_frame_that_is_too_long_is_refused_by_its_header() -> None:
    """Before its payload has arrived."""
    header = b"O" + (1).to_bytes(4, "big") + (frames.LONGEST + 1).to_bytes(4, "big")
    with pytest.raises(Violation, match="a frame of"):
        split([header])


def test_the_frames_before_a_bad_one_are_kept() -> None:
    """What arrived in order counts."""
    good = encode(frames.STDOUT, 1, b"x")
    stream = Splitter().feed(good + b"O\0\0\0\1\xff\xff\xff\xff")
    assert next(stream) == Frame(frames.STDOUT, 1, b"x")
    with pytest.raises(Violation):
        next(stream)


@pytest.mark.parametrize("answer", ["new", "same", "busy"])
def test_a_greeting_is_understood(answer: str) -> None:
    """Each of the answers."""
    frame = Frame(frames.GREETING, 0, b"womm1\0%s\x0042\0why not" % answer.encode())
    assert understand(frame) == Greeting(answer, 42, "why not")


@pytest.mark.parametrize(
    "frame",
    [
        Frame(frames.STDOUT, 0, b"womm1\0new\x000\0"),
        Frame(frames.GREETING, 1, b"womm1\0new\x000\0"),
        Frame(frames.GREETING, 0, b"womm2\0new\x000\0"),
        Frame(frames.GREETING, 0, b"womm1\0old\x000\0"),
        Frame(frames.GREETING, 0, b"womm1\0new\0-1\0"),
        Frame(frames.GREETING, 0, b"womm1\0new\x000"),
        Frame(frames.GREETING, 0, b"bash: perl: command not found"),
    ],
)
def test_what_is_no_greeting_is_refused(frame: Frame) -> None:
    """Another version, another answer, no number, another type."""
    with pytest.raises(Violation):
        understand(frame)


def test_the_hubs_greeting_says_all_that_an_agent_needs() -> None:
    """In the order that ARCHITECTURE.md tells."""
    (frame,) = split([greet("ab" * 16, 7, 30, b"/with blank", b"/bin/zsh")])
    assert frame.payload.split(b"\0") == [b"womm1", b"ab" * 16, b"7", b"30", b"/with blank", b"/bin/zsh"]


@pytest.mark.parametrize("payload", [b"", b"123", b"12345", b"123456789"])
def test_a_number_of_another_length_is_refused(payload: bytes) -> None:
    """Four or eight bytes."""
    with pytest.raises(Violation):
        frames.number(payload)


@given(
    st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=30),
    st.lists(st.integers(0, 3000), max_size=6),
)
def test_a_session_loses_and_doubles_nothing_over_any_cuts(sent: list[bytes], cuts: list[int]) -> None:
    """The channel is cut after any byte, as often as you like, and the other end tells how far it came."""
    ours, theirs = Session(), Session()
    got: list[Frame] = []
    waiting = [ours.keep(encode(frames.INPUT, 1, payload)) for payload in sent]
    stream = b"".join(waiting)
    for cut in cuts:
        theirs.begin_channel()
        got += theirs.take(stream[:cut])
        stream = b"".join(ours.resume(theirs.received))
    theirs.begin_channel()
    got += theirs.take(stream)
    assert [frame.payload for frame in got] == sent
    assert theirs.received == ours.sent


def test_a_session_forgets_what_was_acknowledged() -> None:
    """Nothing but the rest is sent again."""
    session = Session()
    first, second = (session.keep(encode(frames.INPUT, 1, payload)) for payload in (b"a" * 99, b"b" * 99))
    session.acknowledged(len(first))
    assert b"".join(session.resume(len(first))) == second
    assert b"".join(session.resume(len(first) + 5)) == second[5:]


@pytest.mark.parametrize("count", [0, 1000])
def test_an_acknowledgement_of_what_was_not_sent_or_is_forgotten_is_refused(count: int) -> None:
    """Below what was acknowledged before, beyond what was sent."""
    session = Session()
    frame = session.keep(encode(frames.INPUT, 1, b"a"))
    session.acknowledged(len(frame))
    with pytest.raises(Violation):
        session.acknowledged(count)


def test_an_acknowledgement_is_due_after_a_mebibyte_and_once() -> None:
    """And tells the bytes of whole frames."""
    session = Session()
    list(session.take(encode(frames.STDOUT, 1, b"x" * ((1 << 20) - 10))))
    assert session.due() is None
    list(session.take(encode(frames.STDOUT, 1, b"x")))
    (due,) = split([session.due() or b""])
    assert (due.type, frames.number(due.payload)) == (frames.ACKNOWLEDGE, session.received)
    assert session.due() is None


def test_the_greeting_does_not_count_and_what_follows_it_at_once_does() -> None:
    """One read may hold both."""
    session = Session()
    session.begin_channel()
    more = encode(frames.STDOUT, 1, b"x")
    assert session.greeting(encode(frames.GREETING, 0, b"hi") + more) == Frame(frames.GREETING, 0, b"hi")
    assert list(session.take(b"")) == [Frame(frames.STDOUT, 1, b"x")]
    assert session.received == len(more)
