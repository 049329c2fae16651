"""A run's timeline, pods × time, as a page for a browser (pure, but for the page's way into its file)."""

from __future__ import annotations

import datetime
import heapq
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from womm.errors import WommError
from womm.joblog import Row, count, duration, harmless, in_use, wall

#: How many jobs each table has.
LISTED = 10
#: What jobs of this machine's own jobslots (--local-procs) have in the place of a pod.
HERE = "this machine"

# As much of a command as the page holds: of 10,000 long ones it would get slow.
_SHOWN = 300
# GNU parallel's times are whole milliseconds: a job may seem to begin before its slot's last one has ended.
_ROUNDED = 0.002
# Seconds between GNU parallel's and the hub's idea of when a job began.
_APART = 1.0


@dataclass(frozen=True)
class Notes:
    """What was noted of a run: its jobslots (0: unknown); for each job when it was given to which pod."""

    slots: int = 0
    places: dict[int, list[tuple[float, str]]] = field(default_factory=dict)


def read_notes(content: bytes) -> Notes:
    """Read what joblogs.Record has kept; a line that is none is passed over."""
    slots = 0
    places: dict[int, list[tuple[float, str]]] = {}
    for line in content.decode(errors="replace").split("\n"):
        match line.split("\t"):
            case ["slots", number] if number.isdecimal():
                slots = int(number)
            case [seq, at, pod] if seq.isdecimal() and at.replace(".", "", 1).isdecimal():
                places.setdefault(int(seq), []).append((float(at), pod))
    return Notes(slots, places)


def place(row: Row, notes: Notes) -> str:
    """The pod that a job ran in: the last that it was given to, else the one that GNU parallel named."""
    for at, pod in reversed(notes.places.get(row.seq, [])):
        if row.start - _APART <= at <= row.end + _APART:
            return pod
    # POD.1 is another login of POD; `:` is GNU parallel's name for no login at all.
    return row.host.partition(".")[0] if row.host != ":" else HERE


def lanes(rows: Sequence[Row]) -> list[int]:
    """A lane for each row, the lowest that is free: no two jobs of a lane run at the same time."""
    chosen = [0] * len(rows)
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    for at in sorted(range(len(rows)), key=lambda at: (rows[at].start, rows[at].seq)):
        while busy and busy[0][0] <= rows[at].start + _ROUNDED:
            heapq.heappush(free, heapq.heappop(busy)[1])
        chosen[at] = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (rows[at].end, chosen[at]))
    return chosen


def page(title: str, rows: Sequence[Row], notes: Notes) -> str:
    """The page: HTML that needs nothing from elsewhere."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - 0.1 s

    by_place: dict[str, list[Row]] = {}
    for row in rows:
        by_place.setdefault(place(row, notes), []).append(row)
    begun = min((row.start for row in rows), default=0.0)
    pods: list[dict[str, Any]] = []
    jobs: list[list[Any]] = []
    for name in sorted(by_place, key=lambda name: (name == HERE, name)):
        theirs = by_place[name]
        chosen = lanes(theirs)
        jobs += [_job(row, len(pods), lane, begun) for row, lane in zip(theirs, chosen, strict=True)]
        pods.append({"name": _text(name), "lanes": max(chosen) + 1})
    slots = notes.slots or sum(pod["lanes"] for pod in pods)
    failed = sorted((row for row in rows if row.failed), key=lambda row: row.seq)
    slowest = sorted(rows, key=lambda row: (-row.seconds, row.seq))[:LISTED]
    environment = Environment(
        loader=PackageLoader("womm"), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    return environment.get_template("timeline.html.j2").render(
        title=_text(title),
        words=_words(rows, by_place, slots, begun),
        data={"wall": round(wall(rows), 3), "pods": pods, "jobs": jobs},
        tables=[
            (heading, [_cells(row, begun, notes) for row in listed])
            for heading, listed in (
                (_failed_heading(len(failed)), failed[:LISTED]),
                ("The slowest jobs", slowest),
            )
            if listed
        ],
    )


def demand(path: Path) -> None:
    """See to it that a page can be written to `path`. Raises WommError."""
    if not path.parent.is_dir():
        raise WommError(f"{path} can't be written (its directory is not there)", "name another file")
    beside = path if path.exists() else path.parent
    if path.is_dir() or not os.access(beside, os.W_OK):
        reason = "it is a directory" if path.is_dir() else f"you may not write {beside}"
        raise WommError(f"{path} can't be written ({reason})", "name another file")


def write(path: Path, text: str) -> None:
    """Write a page. Raises WommError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WommError(f"{path} can't be written ({error.strerror})", "name another file") from error


def _job(row: Row, pod: int, lane: int, begun: float) -> list[Any]:
    how = row.how if row.failed else ""
    return [row.seq, pod, lane, round(row.start - begun, 3), row.seconds, how, _shown(row.command)]


def _text(text: str) -> str:
    # Bytes that are no UTF-8 become U+FFFD: the page is UTF-8, and so is JSON.
    return harmless(text.encode(errors="surrogateescape").decode(errors="replace"))


def _shown(command: str) -> str:
    text = _text(command)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _words(rows: Sequence[Row], by_place: dict[str, list[Row]], slots: int, begun: float) -> list[str]:
    if not rows:
        return ["No job has ended."]
    failed = sum(row.failed for row in rows)
    pods = len(by_place.keys() - {HERE})
    where = [f"{pods:,} pod{'s' * (pods != 1)}"] if pods else []
    where += ["on this machine"] if HERE in by_place else []
    ended = "none failed" if failed == 0 else f"{failed:,} failed"
    when = datetime.datetime.fromtimestamp(begun, datetime.timezone.utc)
    return [
        f"{count(len(rows))} {'in ' * bool(pods)}{' and '.join(where)}; {ended}.",
        f"From the first job's start ({when:%Y-%m-%d %H:%M:%S} UTC) to the last one's end it took "
        f"{duration(wall(rows))}.",
        f"{slots:,} jobslot{'s were' if slots != 1 else ' was'} {in_use(rows, slots):.0%} in use.",
    ]


def _failed_heading(failed: int) -> str:
    return "Failed jobs" if failed <= LISTED else f"The first {LISTED} of {failed:,} failed jobs"


def _cells(row: Row, begun: float, notes: Notes) -> tuple[str, ...]:
    return (
        str(row.seq),
        duration(row.seconds),
        f"+ {duration(row.start - begun)}",
        row.how if row.failed else "well",
        _text(place(row, notes)),
        _shown(row.command),
    )
