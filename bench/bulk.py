"""200 MB of a job's stdout and stdin, against plain `kubectl exec` in the same pod.

All transfers go through the pod of one run, in turns: by the run's login, called as GNU parallel
would call it, and by kubectl exec; and, in pods of their own, by the public command line, grouped
and with -u, timed by its joblog. From each time the time of an empty transfer of the same kind is
taken away: what is left is the transfer's. One more transfer of each kind shows where the cpu goes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.figures import Bound, Report, Table, amount, medians, read_joblog
from bench.made import write_random
from bench.measure import Wrong, measured
from bench.place import Bench, Idle
from bench.where import watched

TITLE = "one job's bulk data, the transfer alone"

_RIVALS = {
    "stdout, the login alone": "stdout, kubectl exec",
    "stdout, -u": "stdout, kubectl exec",
    "stdout, grouped": "stdout into a file, kubectl exec",
    "stdin, the login alone": "stdin, kubectl exec",
}
_PROFILED = (
    "stdout, the login alone",
    "stdout, kubectl exec",
    "stdin, the login alone",
    "stdin, kubectl exec",
)


def run(bench: Bench) -> Report:
    """Measure each way in turns; ratios of the medians."""
    size = 20_000_000 if bench.quick else 200_000_000
    data, nothing = bench.scratch("data"), bench.scratch("no-data")
    nothing.write_bytes(b"")
    write_random(data, size)
    with bench.idle() as idle:
        ways = _ways(bench, idle, data, nothing)
        _check_bytes(bench, idle, data)
        rounds = [{name: way() for name, way in ways.items()} for _ in range(bench.rounds(3))]
        parts = _parts({name: ways[name] for name in _PROFILED})
    middle = medians(rounds)
    rows = [(name, amount(took, "s"), amount(size / 1e6 / took, "MB/s")) for name, took in middle.items()]
    bounds = [
        Bound(f"{ours} / kubectl exec", middle[ours] / middle[theirs], 1, "×")
        for ours, theirs in _RIVALS.items()
    ]
    notes = [
        f"{size / 1e6:.0f} MB; medians of {len(rounds)} round(s), less the time of an empty transfer each."
    ]
    if not idle.hub:
        notes.append("There is no hub: womm's jobs, too, go through kubectl exec.")
    return Report(TITLE, [Table(("", "time", "speed"), rows), parts], bounds, notes)


def _parts(ways: dict[str, Callable[[], float]]) -> Table:
    """Seconds of the machine's cpu, all of the cluster included, by what spends them and by way."""
    spent = {}
    for name, way in ways.items():
        with watched() as told:
            way()
        spent[name] = told()
    costs = {
        part: [seconds.get(part, 0.0) for seconds in spent.values()] for part in set().union(*spent.values())
    }
    rows = [
        (part, *(amount(seconds, "s") for seconds in each))
        for part, each in sorted(costs.items(), key=lambda item: -sum(item[1]))
    ]
    rows.append(("all", *(amount(sum(seconds.values()), "s") for seconds in spent.values())))
    return Table(("where the machine's cpu goes", *ways), rows)


def _ways(bench: Bench, idle: Idle, data: Path, nothing: Path) -> dict[str, Callable[[], float]]:
    exec_ = bench.kubectl("exec", "-i", idle.pod, "-c", "womm", "--", "sh", "-c")
    size, copy = data.stat().st_size, bench.scratch("copy")

    def stdout(begin: Callable[[str], list[str]], into: Path) -> Callable[[], float]:
        def seconds(count: int) -> float:
            argv = begin(f"head -c {count} /dev/zero")
            took = measured(argv, idle.environment, stdout=into).seconds
            if into == copy and copy.stat().st_size != count:
                raise Wrong(f"{copy.stat().st_size} bytes of {count} came")
            return took

        return lambda: seconds(size) - seconds(0)

    def stdin(begin: Callable[[str], list[str]]) -> Callable[[], float]:
        def seconds(source: Path) -> float:
            done = measured(begin("wc -c"), idle.environment, stdin=source)
            if int(done.out) != source.stat().st_size:
                raise Wrong(f"{int(done.out)} bytes of {source.stat().st_size} arrived")
            return done.seconds

        return lambda: seconds(data) - seconds(nothing)

    def by_exec(command: str) -> list[str]:
        return [*exec_, command]

    null = Path(os.devnull)
    return {
        "stdout, the login alone": stdout(idle.job, null),
        "stdout, kubectl exec": stdout(by_exec, null),
        "stdout into a file, kubectl exec": stdout(by_exec, copy),
        "stdout, grouped": lambda: _by_joblog(bench, size, copy),
        "stdout, -u": lambda: _by_joblog(bench, size, null, "-u"),
        "stdin, the login alone": stdin(idle.job),
        "stdin, kubectl exec": stdin(by_exec),
    }


def _by_joblog(bench: Bench, size: int, into: Path, *options: str) -> float:
    joblog = bench.scratch("joblog")
    argv = bench.womm_parallel("--kube-pods", "1", "--procs-per-pod", "1", *options, "--joblog", str(joblog))
    measured(
        [*argv, "--", "head", "-c", "{}", "/dev/zero", ":::", "0", str(size)],
        bench.environment,
        cwd=bench.place.path,
        stdout=into,
    )
    jobs = read_joblog(joblog.read_text())
    joblog.unlink()
    if [job.status for job in jobs] != [0, 0] or (into.is_file() and into.stat().st_size != size):
        raise Wrong(f"the jobs failed, or not all of {size} bytes came: {jobs}")
    empty, full = (job.end - job.start for job in jobs)
    return full - empty


def _check_bytes(bench: Bench, idle: Idle, data: Path) -> None:
    # Once there and back: what the timed transfers count is also what was sent.
    copy = bench.scratch("copy")
    measured(idle.job("cat"), idle.environment, stdin=data, stdout=copy)
    if copy.stat().st_size != data.stat().st_size or any(a != b for a, b in _pairs(data, copy)):
        raise Wrong("what came back is not what was sent")


def _pairs(one: Path, other: Path) -> Iterator[tuple[bytes, bytes]]:
    with one.open("rb") as first, other.open("rb") as second:
        while chunk := first.read(1 << 20):
            yield chunk, second.read(1 << 20)
