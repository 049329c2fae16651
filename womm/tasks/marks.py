"""Between which jobs' outputs GNU parallel is, as scripts/marks.pm notes it (pure)."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """So many bytes of GNU parallel's stdout, of its stderr, and of its joblog."""

    out: int
    err: int
    log: int


def safe(sizes: Place, notes: bytes) -> Place:
    """The last place at which a copy may end: all output of the jobs in the joblog is before it, and nothing
    of any other job's.

    `sizes` were the files' before `notes` were read.
    """
    lines = notes[: notes.rfind(b"\n") + 1].splitlines()
    if not lines:
        # No job has been printed yet: these are GNU parallel's own words, and ours.
        return sizes
    kind, *numbers = lines[-1].split()
    last = Place(*map(int, numbers))
    # Between two jobs nothing is a job's.
    return Place(*map(max, sizes, last)) if kind == b"e" else last
