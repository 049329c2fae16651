"""Jobs per second: womm, a zero-cost ssh, `kubectl exec` for each job, and GNU parallel's own floor.

3 hosts × 3 slots run `echo {}`, under the same GNU parallel, in turns. The rate is read from the
joblog of a long run, from the moment on at which all hosts work: pods' start and GNU parallel's
own are not in it. The client's cpu per job is the difference of a long run and a short one, and so is
what each part of the whole machine spends on a job of womm's.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Bound, Report, Table, amount, medians, per_job, read_joblog, steady_rate
from bench.measure import Wrong, measured
from bench.place import HERE, PARALLEL, Bench, good
from bench.where import watched

TITLE = "jobs per second, 3 pods × 3 slots, `echo {}`"

_HOSTS = ("h1", "h2", "h3")


@dataclass(frozen=True)
class Rival:
    """A way to run jobs: its command line but for the joblog, and how many jobs of it show its rate."""

    name: str
    argv: tuple[str, ...]
    short: int
    long: int
    environment: dict[str, str]
    silent: bool = False


def run(bench: Bench) -> Report:
    """Measure all rivals in turns; the medians' ratios are what counts."""
    with bench.pods(len(_HOSTS)) as pods:
        rivals = list(_rivals(bench, pods))
        rounds = [_round(bench, rivals) for _ in range(bench.rounds(5))]
        parts = _parts(bench, rivals[0])
    middle = medians(rounds)
    womm = middle["womm/s"]
    rows = [
        (
            rival.name,
            amount(middle[f"{rival.name}/s"]),
            amount(womm / middle[f"{rival.name}/s"], "×"),
            amount(middle[f"{rival.name} cpu"], "ms"),
            f"{rival.short}, {rival.long}",
        )
        for rival in rivals
    ]
    bounds = [
        Bound("womm / zero-cost ssh", womm / middle["zero-cost ssh/s"], 1.3, "×", at_least=True),
        Bound("womm / kubectl exec", womm / middle["kubectl exec/s"], 10, "×", at_least=True),
        Bound("womm / floor", womm / middle["floor/s"], 0.45, "×", at_least=True),
        Bound("womm's client cpu per job", middle["womm cpu"], 10, "ms"),
    ]
    columns = ("", "jobs/s", "womm is", "client cpu per job", "jobs in a run")
    notes = [
        f"Medians of {len(rounds)} round(s), in turns.",
        "zero-cost ssh: sh runs the command on this machine; what it runs counts as the client's cpu.",
        "floor: the job is a program that ends at once.",
    ]
    return Report(TITLE, [Table(columns, rows), parts], bounds, notes)


def _rivals(bench: Bench, pods: list[str]) -> Iterator[Rival]:
    short, long = (20, 100) if bench.quick else (200, 700)
    slots = ("--kube-pods", "3", "--procs-per-pod", "3")
    yield Rival("womm", tuple(bench.womm_parallel(*slots)), short, long, bench.environment)
    local = _login_file(bench, "local", _HOSTS)
    yield Rival("zero-cost ssh", _gnu(local, HERE / "logins/zero-cost"), short, long, bench.environment)
    exec_ = _gnu(_login_file(bench, "by-hand", pods), HERE / "logins/kubectl-exec")
    named = {**bench.environment, "BENCH_NAMESPACE": bench.place.namespace}
    yield Rival("kubectl exec", exec_, 18, 81, named)
    yield Rival("floor", _gnu(local, _nothing(bench)), short, long, bench.environment, silent=True)


def _round(bench: Bench, rivals: list[Rival]) -> dict[str, float]:
    figures = {}
    for rival in rivals:
        short, _ = _jobs(bench, rival, rival.short)
        long, rate = _jobs(bench, rival, rival.long)
        figures[f"{rival.name}/s"] = rate
        figures[f"{rival.name} cpu"] = 1000 * per_job((rival.short, short), (rival.long, long))
    return figures


def _parts(bench: Bench, womm: Rival) -> Table:
    """Where the machine's cpu goes, all of the cluster included, in two more runs of womm's."""
    spent = []
    for count in (womm.short, womm.long):
        with watched() as told:
            _jobs(bench, womm, count)
        spent.append(told())
    short, long = spent
    costs = {
        part: 1000 * per_job((womm.short, short.get(part, 0.0)), (womm.long, seconds))
        for part, seconds in long.items()
    }
    rows = [(part, amount(cost, "ms")) for part, cost in sorted(costs.items(), key=lambda item: -item[1])]
    return Table(("where the machine's cpu goes", "per job of womm's"), rows)


def _jobs(bench: Bench, rival: Rival, count: int) -> tuple[float, float]:
    """Run `count` jobs. Returns seconds of cpu and the rate. Raises Wrong unless all of their output came."""
    numbers, joblog = bench.scratch("numbers"), bench.scratch("joblog")
    expected = [str(number) for number in range(count)]
    numbers.write_text("".join(f"{number}\n" for number in expected))
    argv = [*rival.argv, "--joblog", joblog, "--", "echo", "{}"]
    done = measured(argv, rival.environment, cwd=bench.place.path, stdin=numbers)
    jobs = read_joblog(joblog.read_text())
    joblog.unlink()
    got = done.out.decode().split()
    if len(jobs) != count or any(job.status for job in jobs):
        raise Wrong(f"{rival.name}: {len(jobs)} of {count} jobs ended, or some failed")
    if sorted(got) != ([] if rival.silent else sorted(expected)):
        raise Wrong(f"{rival.name}: {len(got)} lines of {count}")
    # A short run is for its cpu only.
    return done.cpu, steady_rate(jobs, rival.short) if count == rival.long else 0.0


def _login_file(bench: Bench, name: str, hosts: list[str] | tuple[str, ...]) -> Path:
    path = bench.scratch(name)
    path.write_text("".join(f"3/{host}\n" for host in hosts))
    return path


def _gnu(logins: Path, ssh: Path) -> tuple[str, ...]:
    options = ("--profile", "/dev/null", "--sshloginfile", str(logins), "--ssh", str(ssh))
    return ("perl", str(PARALLEL), *options)


def _nothing(bench: Bench) -> Path:
    # Static, where there is a compiler: then it costs half as much to start.
    if shutil.which("cc") is None:
        return Path("/bin/true")
    program = bench.scratch("nothing")
    good(["cc", "-static", "-Os", "-x", "c", "-o", program, "-"], stdin=b"int main(void) { return 0; }")
    return program
