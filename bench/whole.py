"""Is all of it there? 10,000 small jobs on a busy machine, and 500 MB of random bytes there and back.

What comes back is compared with what has to, line by line and by checksum; GNU parallel alone, on this
machine, does the same for comparison of the times.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Bound, Report, Table, amount
from bench.made import write_random
from bench.measure import measured
from bench.place import PARALLEL, Bench

TITLE = "what comes back of 10,000 jobs on a busy machine, and of 500 MB there and back"

_ALONE = ("perl", str(PARALLEL), "--profile", "/dev/null")
# Processes that want all the time of a processor each, beside the cluster and the client: half the machine.
_BUSY = max(1, (os.cpu_count() or 1) // 2)
# Bytes that are read at once.
_PIECE = 1 << 24


def run(bench: Bench) -> Report:
    """Run both, by womm and by GNU parallel alone; count what is missing, doubled or wrong."""
    jobs, size = (300, 20_000_000) if bench.quick else (10_000, 500_000_000)
    numbers = bench.scratch("numbers")
    numbers.write_text("".join(f"{number}\n" for number in range(jobs)))
    with _busy():
        lost, took = _lines(bench, bench.womm_parallel("--kube-pods", "3"), numbers)
        _, alone = _lines(bench, _ALONE, numbers)
    differ, moved = _bytes(bench, size)
    rows = [
        (f"{jobs} × `echo`", amount(took, "s"), amount(alone, "s"), str(lost)),
        (f"{size / 1e6:.0f} MB through `cat`", amount(moved, "s"), "-", str(differ)),
    ]
    bounds = [
        Bound("lines lost or doubled", lost, 0),
        Bound("bytes lost, doubled or wrong (1: the checksum differs)", differ, 0),
    ]
    notes = [f"3 pods × 3 slots, and 9 slots for GNU parallel alone; {_BUSY} busy processes beside the jobs."]
    return Report(TITLE, [Table(("", "womm", "GNU parallel alone", "wrong"), rows)], bounds, notes)


def _lines(bench: Bench, begin: tuple[str, ...] | list[str], numbers: Path) -> tuple[int, float]:
    # How many lines are lost or doubled, and seconds.
    slots = "3" if begin is not _ALONE else "9"
    argv = [*begin, "-j", slots, "--", "echo {}; echo {}"]
    done = measured(argv, bench.environment, cwd=bench.place.path, stdin=numbers)
    wrong = Counter(done.out.split())
    wrong.subtract(dict.fromkeys(numbers.read_bytes().split(), 2))
    return sum(map(abs, wrong.values())), done.seconds


def _bytes(bench: Bench, size: int) -> tuple[int, float]:
    # How many bytes are too many or too few, or 1 if they are others; and seconds.
    data, back = bench.scratch("data"), bench.scratch("back")
    write_random(data, size)
    # One record: GNU parallel cuts between records.
    options = ("--kube-pods", "1", "-u", "--pipe", "--recend", "", "--block", str(size + 1))
    argv = bench.womm_parallel(*options, "--", "cat")
    done = measured(argv, bench.environment, cwd=bench.place.path, stdin=data, stdout=back)
    differ = abs(back.stat().st_size - size) or int(_digest(back) != _digest(data))
    for path in (data, back):
        path.unlink()
    return differ, done.seconds


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def _busy() -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(_BUSY)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
