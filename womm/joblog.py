"""GNU parallel's joblog: its rows, and what they say of a run (pure)."""

from __future__ import annotations

import re
import signal
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

#: How many of the failed jobs are named.
NAMED = 10

# Seq, Host, Starttime, JobRuntime, Send, Receive, Exitval, Signal, Command: the command may hold anything but
# newlines, for which GNU parallel writes NULs (sub print_joblog).
_ROW = re.compile(
    rb"([0-9]{1,15})\t([^\t]*)\t *([0-9]{1,15}(?:\.[0-9]+)?)\t *([0-9]{1,15}(?:\.[0-9]+)?)\t[^\t]*\t[^\t]*"
    rb"\t(-?[0-9]{1,9})\t(-?[0-9]{1,9})\t(.*)",
    re.DOTALL,
)
#: The exit status that GNU parallel writes for a job that --timeout has ended.
_TIMED_OUT = -1


@dataclass(frozen=True)
class Row:
    """A job that has ended: its `start` (seconds since the epoch), and how many `seconds` it took.

    `host` is the login that GNU parallel chose. Of the command, bytes that are no UTF-8 are surrogates, as
    os.fsdecode has them.
    """

    seq: int
    host: str
    start: float
    seconds: float
    status: int
    signal: int
    command: str

    @property
    def end(self) -> float:
        """When it ended."""
        return self.start + self.seconds

    @property
    def failed(self) -> bool:
        """Whether --retry-failed would run it again."""
        return self.status != 0 or self.signal != 0

    @property
    def how(self) -> str:
        """How it ended, in words."""
        if self.status == _TIMED_OUT:
            return "timed out"
        return f"killed by {_name(self.signal)}" if self.signal else f"exit status {self.status}"


def read(content: bytes) -> list[Row]:
    """The rows of a joblog, in the order in which the jobs ended; what is none is passed over.

    So is a last line that is not finished.
    """
    found = (_ROW.fullmatch(line) for line in content.split(b"\n")[:-1])
    return [_row(row.groups()) for row in found if row is not None]


def _row(cells: Sequence[bytes]) -> Row:
    seq, host, start, seconds, status, signum, command = cells
    text = command.replace(b"\0", b"\n").decode(errors="surrogateescape")
    name = host.decode(errors="replace")
    return Row(int(seq), name, float(start), float(seconds), int(status), int(signum), text)


def wall(rows: Sequence[Row]) -> float:
    """Seconds from the first job's start to the last one's end."""
    return max((row.end for row in rows), default=0.0) - min((row.start for row in rows), default=0.0)


def in_use(rows: Sequence[Row], slots: int) -> float:
    """The part of `slots` jobslots' time that jobs took, from 0 to 1."""
    whole = slots * wall(rows)
    return min(1.0, sum(row.seconds for row in rows) / whole) if whole > 0 else 1.0


def once_more(rows: Sequence[Row], failed: Sequence[Row], more: bool) -> bool:
    """Whether --retry-failed with a joblog of these rows runs the `failed` ones, and no others.

    `more`: others that failed before may be among them.
    """
    done = {row.seq for row in rows if not row.failed}
    will = {row.seq: row.command for row in rows if row.failed and row.seq not in done}
    wanted = {row.seq: row.command for row in failed}
    if len(wanted) < len(failed) or not all(survives(row.command) for row in failed):
        return False
    return wanted.items() <= will.items() and (more or wanted.keys() == will.keys())


def survives(command: str) -> bool:
    """Whether GNU parallel reads this command from a joblog as it was written.

    It decodes UTF-8, and prints characters that all are below U+0100 as bytes (Latin-1); what is no UTF-8
    becomes text like \\xFF.
    """
    if command.isascii():
        return True
    return any(c > "\xff" for c in command) and not any("\ud800" <= c <= "\udfff" for c in command)


def summary(rows: Sequence[Row], slots: int, width: int) -> list[str]:
    """What is to be said after a run with failed jobs, a line each, none wider than `width`; else nothing."""
    failed = sorted((row for row in rows if row.failed), key=lambda row: row.seq)
    if not failed:
        return []
    used = f"{slots:,} jobslot{'s were' if slots > 1 else ' was'} {in_use(rows, slots):.0%} in use"
    lines = [f"womm: {len(failed):,} of {count(len(rows))} failed in {duration(wall(rows))}; {used}"]
    named = failed[:NAMED]
    wide = max(len(str(row.seq)) for row in named)
    how = max(len(row.how) for row in named)
    lines += [
        shortened(f"womm:   {row.seq:>{wide}}  {row.how:{how}}  {harmless(row.command)}", width)
        for row in named
    ]
    return [*lines, f"womm:   … and {len(failed) - NAMED:,} more"] if len(failed) > NAMED else lines


def count(jobs: int) -> str:
    """So many jobs."""
    return f"{jobs:,} job{'s' * (jobs != 1)}"


def duration(seconds: float) -> str:
    """A time for people: 0.25 s, 12.3 s, 2 min 5 s, 3 h 20 min."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def harmless(text: str) -> str:
    """The text without anything that a terminal could take for a command."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(c: str) -> str:
    if "\udc80" <= c <= "\udcff":
        return f"\\x{ord(c) - 0xDC00:02x}"
    return c.encode("unicode_escape").decode()


def shortened(text: str, width: int) -> str:
    """The text if it fits into `width` columns, else its beginning and "…"."""
    if sum(map(_columns, text)) <= width:
        return text
    kept, room = "", width - 1
    for c in text:
        room -= _columns(c)
        if room < 0:
            break
        kept += c
    return f"{kept}…"


def _columns(c: str) -> int:
    # Where it is not known, rather too wide than wrapped.
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def _name(signum: int) -> str:
    try:
        return signal.Signals(signum).name.removeprefix("SIG")
    except ValueError:
        return f"signal {signum}"
