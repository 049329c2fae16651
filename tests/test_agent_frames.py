"""The agent's parser of frames: however bytes arrive, it obeys the same; what is corrupt is refused."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from test_agent import alone

from womm.hub import frames
from womm.hub.frames import Frame, encode

#: The last job that was started; it and those before it have ended.
LAST = 3
#: The length of each type's payload (None: any), for a job and for none.
FOR_JOBS = {b"I": None, b"Z": 0, b"W": 5, b"B": 1, b"K": 0, b"S": 4}
FOR_NONE = {b"P": 0, b"A": 8, b"Q": 0}

#: Feeds the pieces of the stream (in hexadecimal) to hear(), which reads what there is.
HEAR = f"""
    pipe my $in, my $out;
    $channel = {{ in => $in }};
    $highest = {LAST};
    *refuse = sub {{ print "refused\\n"; exit 0 }};
    *end = sub {{ print "ended\\n"; exit 0 }};
    *obey = sub {{ print "$_[0] $_[1] ", unpack("H*", $_[2]), "\\n" }} if $ARGV[1] eq "all";
    for my $piece (@ARGV[2 .. $#ARGV]) {{
        syswrite $out, pack "H*", $piece;
        hear();
    }}
    print "left ", length $arrived, "\\n";
"""

# 0 is a length of its own, and long ones are told by their headers.
KNOWN = st.sampled_from(sorted(b"RIZWBKSPAQ"))
STREAM = st.lists(st.builds(Frame, KNOWN, st.integers(0, 2**32 - 1), st.binary(max_size=60)), max_size=6)
CUTS = st.lists(st.integers(0, 500), max_size=12)


def pieces(data: bytes, cuts: list[int]) -> list[str]:
    """The data cut at these places, in hexadecimal."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    # A read of nothing would be the channel's end.
    return [data[a:b].hex() for a, b in itertools.pairwise(places) if a < b]


def corrupt() -> st.SearchStrategy[bytes]:
    """A frame that looks like one, of a known type as a rule, and that nobody may send."""
    kinds = {**FOR_JOBS, **FOR_NONE}
    right = {kind: bytes(length or 0) for kind, length in kinds.items()}
    ours, none = st.integers(1, LAST), st.just(0)

    def frame(kind: bytes, job: int, payload: bytes) -> bytes:
        return encode(kind[0], job, payload)

    fixed = sorted(kind for kind, length in kinds.items() if length is not None)
    wrong_length = st.sampled_from(fixed).flatmap(
        lambda kind: st.builds(
            frame,
            st.just(kind),
            ours if kind in FOR_JOBS else none,
            st.binary(max_size=12).filter(lambda payload: len(payload) != kinds[kind]),
        )
    )
    foreign = st.integers(LAST + 1, 2**32 - 1)
    wrong_job = st.sampled_from(sorted(kinds)).flatmap(
        lambda kind: st.builds(
            frame,
            st.just(kind),
            st.one_of(none, foreign) if kind in FOR_JOBS else st.one_of(ours, foreign),
            st.just(right[kind]),
        )
    )
    return st.one_of(
        wrong_length,
        wrong_job,
        # Started already; of no job; nothing to run.
        st.builds(frame, st.just(b"R"), st.integers(0, LAST), st.binary(min_size=1, max_size=9)),
        st.builds(frame, st.just(b"R"), foreign, st.just(b"")),
        # More than was sent.
        st.builds(frame, st.just(b"A"), none, st.integers(1, 2**64 - 1).map(lambda n: n.to_bytes(8, "big"))),
        st.builds(
            lambda kind, job, length: bytes([kind]) + job.to_bytes(4, "big") + length.to_bytes(4, "big"),
            KNOWN,
            ours,
            st.integers(frames.LONGEST + 1, 2**32 - 1),
        ),
        st.integers(0, 255)
        .filter(lambda kind: kind not in b"RIZWBKSPAQ")
        .map(lambda kind: encode(kind, 0, b"x")),
    )


@settings(max_examples=25, deadline=None)
@given(STREAM, CUTS)
def test_any_split_of_the_stream_is_obeyed_in_the_same_way(sent: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(encode(*frame) for frame in sent)
    told = [f"{chr(frame.type)} {frame.job} {frame.payload.hex()}" for frame in sent]
    assert alone(HEAR, "all", *pieces(stream, cuts)) == [*told, "left 0"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, LAST), max_size=3), corrupt(), CUTS)
def test_a_corrupt_frame_that_looks_like_one_is_refused(
    ended: list[int], wrong: bytes, cuts: list[int]
) -> None:
    # What comes late for jobs that have ended is passed over.
    late = b"".join(encode(frames.KILL, job) + encode(frames.INPUT, job, b"x") for job in ended)
    ping = encode(frames.PING)
    assert alone(HEAR, "known", *pieces(late + ping + wrong, cuts)) == ["refused"]
