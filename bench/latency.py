"""One job on an idle channel: the login is called directly, as GNU parallel would call it."""

from __future__ import annotations

import statistics

from bench.figures import Bound, Report, Table, amount
from bench.measure import latency
from bench.place import Bench

TITLE = "one job (`true`) on an idle channel"


def run(bench: Bench) -> Report:
    """Time 50 jobs one after the other, in turns with a start of perl, which is most of a login's cost."""
    times = 5 if bench.quick else 50
    with bench.idle() as idle:
        job, perl = idle.job("true"), ["perl", "-e", "0"]
        for each in (job, perl):
            latency(each, idle.environment, 3)
        rounds = [
            (latency(job, idle.environment, 1)[0], latency(perl, idle.environment, 1)[0])
            for _ in range(times)
        ]
    jobs, starts = ([1000 * took for took in column] for column in zip(*rounds, strict=True))
    rows = [_row("a job", jobs), _row("`perl -e 0`", starts)]
    bounds = [Bound("one job, median", statistics.median(jobs), 10, "ms")]
    way = "the hub" if idle.hub else "a kubectl of its own: there is no hub"
    return Report(
        TITLE, [Table(("", "median", "fastest", "slowest"), rows)], bounds, [f"A job goes through {way}."]
    )


def _row(name: str, took: list[float]) -> tuple[str, ...]:
    return name, *(amount(figure(took), "ms") for figure in (statistics.median, min, max))
