"""How long a browser takes to open the timeline of 10,000 jobs: the same page with 10 jobs is its rival.

Headless Chromium opens the file, runs the page's script, tells the document that came of it, and ends; a
browser's own start is in both, and cancels.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from bench.figures import Bound, Report, Table, amount, medians
from bench.measure import Wrong, measured
from bench.place import Bench
from womm.joblog import Row
from womm.timeline import Notes, page

TITLE = "a run's timeline in headless Chromium, from the browser's start to its end"

_BROWSER = (
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom",
)  # fmt: skip
_FEW, _MANY = 10, 10_000
_PODS, _SLOTS = 12, 8


def run(bench: Bench) -> Report:
    """Open both in turns; the many jobs may take 2 s more than the few."""
    rounds = [{str(count): _opened(bench, count) for count in (_FEW, _MANY)} for _ in range(bench.rounds(5))]
    middle = medians(rounds)
    few, many = middle[str(_FEW)], middle[str(_MANY)]
    rows = [(f"{_FEW} jobs", amount(few, "s")), (f"{_MANY:,} jobs", amount(many, "s"))]
    notes = [
        f"Medians of {len(rounds)} round(s), in turns, each with a new profile.",
        f"The page of {_MANY:,} jobs in {_PODS} pods has {_page(bench, _MANY).stat().st_size / 1e6:.1f} MB.",
    ]
    bounds = [Bound(f"{_MANY:,} jobs - {_FEW} jobs", many - few, 2, "s")]
    return Report(TITLE, [Table(("", "seconds"), rows)], bounds, notes)


def _opened(bench: Bench, count: int) -> float:
    # Seconds. Raises Wrong unless each job was drawn.
    path, profile = _page(bench, count), bench.scratch("browser")
    argv = [*_BROWSER, f"--user-data-dir={profile}", path.as_uri()]
    done = measured(argv, bench.environment)
    shutil.rmtree(profile)
    if f'data-drawn="{count}"'.encode() not in done.out[:1000]:
        raise Wrong(f"not all of {count} jobs were drawn: {done.out[:200]!r}")
    return done.seconds


def _page(bench: Bench, count: int) -> Path:
    path = bench.scratch(f"timeline-{count}.html")
    if not path.exists():
        chance = random.Random(1)
        rows = [_job(number, chance) for number in range(count)]
        path.write_text(page(f"{count} jobs", rows, Notes(_PODS * _SLOTS)))
    return path


def _job(number: int, chance: random.Random) -> Row:
    turn, slot = divmod(number, _PODS * _SLOTS)
    return Row(
        seq=number + 1,
        host=f"womm-task-abcdefgh-5d8f7c6b9-pod{slot % _PODS:02}",
        start=1_700_000_000 + 5 * turn,
        seconds=chance.uniform(0.1, 5),
        status=int(chance.random() < 0.01),
        signal=0,
        command=f"convert 'input/picture {number}.png' -resize 50% 'output/picture {number}.jpg'",
    )
