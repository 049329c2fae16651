"""Figures and the bounds they are measured against (pure)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Job(NamedTuple):
    """A line of GNU parallel's joblog: times in seconds since the epoch."""

    host: str
    start: float
    end: float
    status: int


def read_joblog(text: str) -> list[Job]:
    """The jobs of a joblog, in the order in which they ended; a signal counts as a failure."""
    jobs = []
    for line in text.splitlines()[1:]:
        _, host, start, runtime, _, _, status, signal, _ = line.split("\t", 8)
        begun = float(start)
        jobs.append(Job(host, begun, begun + float(runtime), int(status) or int(signal)))
    return sorted(jobs, key=lambda job: job.end)


def steady_rate(jobs: Sequence[Job], skip: int) -> float:
    """Jobs per second while all hosts work: from the end of job number `skip` on.

    Later, where a host's first job ends later. Raises ValueError where fewer than two jobs are left.
    """
    firsts: dict[str, int] = {}
    for at, job in enumerate(jobs):
        firsts.setdefault(job.host, at)
    window = jobs[max([skip - 1, *firsts.values()]) :]
    if len(window) < 2 or window[-1].end <= window[0].end:
        raise ValueError(f"{len(jobs)} jobs are too few to see a rate, with {skip} to skip")
    return (len(window) - 1) / (window[-1].end - window[0].end)


def per_job(short: tuple[int, float], long: tuple[int, float]) -> float:
    """What one more job costs: from (jobs, cost) of a short and of a long run, so that starts cancel."""
    if long[0] <= short[0]:
        raise ValueError("the long run is not longer than the short one")
    return (long[1] - short[1]) / (long[0] - short[0])


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over all rounds; every round has the same figures."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def read_times(text: str) -> dict[str, list[float]]:
    """Lines of a name and seconds, as lazy-job.pl prints them: the seconds by name, in their order."""
    times: dict[str, list[float]] = {}
    for line in text.splitlines():
        name, seconds = line.split(" ")
        times.setdefault(name, []).append(float(seconds))
    return times


@dataclass(frozen=True)
class Bound:
    """A figure, and what it must not go beyond. None: it could not be measured, so the bound is not met."""

    what: str
    measured: float | None
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure keeps to the bound."""
        if self.measured is None:
            return False
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def cells(self) -> tuple[str, ...]:
        """What was measured, the figure, the bound, "met" or "not met"."""
        sign = "≥" if self.at_least else "≤"
        figure = "-" if self.measured is None else amount(self.measured, self.unit)
        return self.what, figure, f"{sign} {amount(self.limit, self.unit)}", "met" if self.met else "not met"


@dataclass(frozen=True)
class Table:
    """Rows of text under columns."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Report:
    """What a benchmark came to; `notes` are sentences."""

    title: str
    tables: Sequence[Table]
    bounds: Sequence[Bound] = ()
    notes: Sequence[str] = field(default=())


def amount(number: float, unit: str = "") -> str:
    """A number with three digits that count, and its unit: "1.31 ×", "250 MB"."""
    digits = 0 if abs(number) >= 100 else 1 if abs(number) >= 10 else 2
    text = f"{number:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {unit}".rstrip()
