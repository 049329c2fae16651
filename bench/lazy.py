"""A lazy share as a job sees it, on the second node: listings, changes, a large file, many small ones.

The times are taken in the job (lazy-job.pl), by a real kernel's NFS client; but that node's processor is
computed, at a tenth of the speed. So the same is measured by an NFS client in user space on this machine
(libnfs), and where the link ends: in the NFS server's pod, on the mount that sshfs has made.

For the long line 40 ms are added to each round trip: between womm and the container with the SFTP server
stands a `docker` that puts bench/delay.py there. It notes what is asked, too.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.delay import asked
from bench.figures import Bound, Report, Table, amount, read_times
from bench.made import write_random, write_script
from bench.measure import Wrong, measured
from bench.place import (
    ROOT,
    SYSTEM,
    Bench,
    Place,
    Running,
    Servers,
    both_servers,
    kubectl,
    second_node,
    set_up,
)

TITLE = "a lazy share, seen from a node whose processor is computed"

_ADDED = 0.040
# Seconds after which what is known of files has aged, on the link as it is.
_AGE = 1
# Entries of a directory; of small files, their bytes, and the jobs that read them.
_ENTRIES, _SMALL, _SMALL_BYTES, _TEAM = 2000, 100, 10_000, 10
_SCRIPT = "lazy-job.pl"
# Seconds between two looks at what a job has made, and that it may take at most.
_GLANCE, _LONG = 0.005, 900.0
_TOLD = re.compile(r"a round trip takes (\d+) ms\); what is known of a file there counts for (\d+) s")


@dataclass(frozen=True)
class _Sizes:
    rounds: int
    large: int
    sights: int


@dataclass(frozen=True)
class _Link:
    """A run's link: seconds of a round trip, and for how many its caches count, as womm says."""

    trip: float
    age: int


Times = dict[str, list[float]]


@dataclass(frozen=True)
class _Near:
    """On the link as it is: times of a job, of libnfs here, of sshfs's own mount; when changes were seen."""

    job: Times
    user: Times
    server: Times
    seen: Times


@dataclass(frozen=True)
class _Far:
    """On the long line: the jobs' times, and what was asked over it for what."""

    link: _Link
    job: Times
    requests: Mapping[str, Counter[str]]


def run(bench: Bench) -> Report:
    """Measure on the link as it is, then on a long line."""
    sizes = _Sizes(1, 20_000_000, 1) if bench.quick else _Sizes(3, 200_000_000, 3)
    where = second_node()
    with both_servers(bench.place.user, "bench-lazy") as servers:
        # Once more, as it asks for: pods mount by the claim.
        set_up(bench.place.user, servers.namespace)
        place = Place(bench.place.user, servers.namespace, bench.scratch("lazy"))
        _fill(place.path, sizes)
        place.setup("lazy", "--share-via", "nfs", "--as-root")
        near = _near(place, servers, sizes, where)
        far = _far(place, sizes, bench.scratch("far"), where)
    return _report(sizes, near, far)


def _near(place: Place, servers: Servers, sizes: _Sizes, where: Mapping[str, str]) -> _Near:
    numbers = range(sizes.rounds)
    here, there = ([f"{kind}-{number}" for number in numbers] for kind in ("many", "many-there"))
    job = [
        _call("own", _ENTRIES),
        _call("list", *here),
        _call("aged", _AGE, here[0]),
        _call("read", *(f"large-{number}" for number in numbers)),
        _call("see", sizes.sights),
        "touch over; until [ -e go ]; do sleep 0.1; done; : {}",
    ]
    calls = [
        _call("list", *there),
        _call("aged", _AGE, there[0]),
        _call("read", *(f"large-there-{number}" for number in numbers)),
    ]
    with _started(place, job, ["1"], where) as running:
        seen: Times = {"new": [], "changed": []}
        for number in range(1, sizes.sights + 1):
            _wait(running, place.path / f"ready-{number}")
            seen["new"].append(_sight(running, place.path, f"new-{number}", "", f"seen-{number}"))
            seen["changed"].append(_sight(running, place.path, "changing", str(number), f"changed-{number}"))
        _wait(running, place.path / "over")
        user = _in_user_space(servers, sizes.rounds)
        server = _in_server(place, running, calls)
        (place.path / "go").touch()
        return _Near(read_times(_ended(running)), user, server, seen)


def _far(place: Place, sizes: _Sizes, scratch: Path, where: Mapping[str, str]) -> _Far:
    log = scratch / "requests"
    path = _long_line(scratch, log)
    lists = [f"many-far-{number}" for number in range(sizes.rounds)]
    first = f"{_call('list', *lists)} && {_call('aged', '$(cat age)', lists[0])}"
    job = [f"if [ {{}} = 0 ]; then {first}; fi", _call("small", _TEAM, _SMALL // _TEAM, "small/{}")]
    team = [str(member) for member in range(_TEAM)]
    with _started(place, job, team, {**where, "PATH": path}) as running:
        # It is known before there are pods.
        link = running.until(lambda: _link(running.err))
        (place.path / "age").write_text(f"{link.age + 2}\n")
        times = read_times(_ended(running))
    text = log.read_text()
    spans = {
        "cold": (f"mark-cold-{lists[0]}", f"mark-again-{lists[0]}"),
        "again": (f"mark-again-{lists[-1]}", f"mark-listed-{lists[0]}"),
        "after the age": (f"mark-aged-{lists[0]}", f"mark-twice-{lists[0]}"),
        f"{_SMALL} files": ("mark-small", "mark-all-small"),
    }
    return _Far(link, times, {name: asked(text, *span) for name, span in spans.items()})


def _report(sizes: _Sizes, near: _Near, far: _Far) -> Report:
    size, added = sizes.large / 1e6, f"{_ADDED * 1000:.0f} ms added"
    seen = {name: max(times) for name, times in near.seen.items()}
    job, user, sshfs = (size / _middle(times, "read-") for times in (near.job, near.user, near.server))
    small = statistics.mean(far.job["small"])
    listed = Table(
        (f"`ls -l` of {_ENTRIES} entries", "cold", "again", "after the caches' age", "again"),
        [
            ("a job", *_listing(near.job)),
            ("libnfs on this machine (nfs-ls)", *_listing(near.user)),
            ("sshfs's mount, in the NFS server's pod", *_listing(near.server)),
            (f"a job, {added}", *_listing(far.job)),
            ("a job, its node's own disk", "-", amount(near.job["own"][0], "s"), "-", "-"),
        ],
    )
    others = Table(
        ("", "measured"),
        [
            (f"{size:.0f} MB, a job", amount(job, "MB/s")),
            (f"{size:.0f} MB, libnfs on this machine (nfs-cat)", amount(user, "MB/s")),
            (f"{size:.0f} MB, sshfs's mount, in the NFS server's pod", amount(sshfs, "MB/s")),
            (f"a small file of {_SMALL}, {_TEAM} jobs at once, {added}", amount(small, "s")),
        ],
    )
    bounds = [
        Bound("listed, cold", _middle(near.job, "cold-"), 1, "s"),
        Bound("listed again", _middle(near.job, "again-"), 0.2, "s"),
        Bound("a new file is seen after, at most", seen["new"], 1, "s"),
        Bound("a change is seen after, at most", seen["changed"], 1, "s"),
        Bound("sequential read, a job / sshfs alone", job / sshfs, 0.5, "×", at_least=True),
        Bound("sequential read, libnfs / sshfs alone", user / sshfs, 0.5, "×", at_least=True),
        Bound(f"listed, cold, {added}", _middle(far.job, "cold-"), 1.5, "s"),
        Bound(f"listed again, {added}", _middle(far.job, "again-"), 0.2, "s"),
        Bound(
            f"listed after the caches' age / (entries × round trip), {added}",
            _middle(far.job, "aged-") / (_ENTRIES * far.link.trip),
            0.1,
            "×",
        ),
        Bound(f"round trips for a small file, {added}", small / far.link.trip, 4),
    ]
    over = "; ".join(f"{name}: {_told(count)}" for name, count in far.requests.items())
    notes = [
        "The job's node is an emulated machine: what it is slow at is no share's fault. libnfs runs on this"
        f" one, by the same server. Medians of {sizes.rounds} directories and files each; of what is seen,"
        f" the slowest of {sizes.sights}, with the time in which the job's answer comes; of small files, the"
        " mean.",
        f"{added}: by womm's own measure a round trip takes {far.link.trip * 1000:.0f} ms, and the caches'"
        f" age is {far.link.age} s. What was asked over the link: {over}.",
    ]
    return Report(TITLE, [listed, others], bounds, notes)


def _listing(times: Times) -> tuple[str, ...]:
    names = ("cold-", "again-", "aged-", "twice-")
    return tuple(amount(_middle(times, name), "s") for name in names)


def _told(count: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in count.most_common()) or "nothing"


def _middle(times: Times, prefix: str) -> float:
    return statistics.median(time_ for name in times if name.startswith(prefix) for time_ in times[name])


def _call(*words: object) -> str:
    return " ".join(["perl", _SCRIPT, *map(str, words)])


@contextlib.contextmanager
def _started(
    place: Place, job: Sequence[str], arguments: Sequence[str], env: Mapping[str, str]
) -> Iterator[Running]:
    # A pod that runs the job for all arguments at once.
    options = ["--kube-pods", "1", "--procs-per-pod", str(len(arguments)), "-u"]
    script = "; ".join(["set -e", *job])
    with place.started("parallel", *options, "--", script, ":::", *arguments, **env) as running:
        yield running


def _ended(running: Running) -> str:
    # The jobs' output.
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.process.wait(_LONG)
    done = running.wait()
    if done.status != 0:
        raise Wrong(f"womm ended with {done.status}: {done.messages}")
    return done.out.decode()


def _link(messages: str) -> _Link | None:
    told = _TOLD.search(messages)
    return _Link(int(told[1]) / 1000, int(told[2])) if told is not None else None


def _sight(running: Running, directory: Path, name: str, text: str, answer: str) -> float:
    # Seconds until a job that waits for it has seen this file, and told so by another one.
    # Not with its first look: that one brings what it finds.
    time.sleep(0.5)
    start = time.monotonic()
    (directory / name).write_text(text)
    _wait(running, directory / answer)
    return time.monotonic() - start


def _wait(running: Running, path: Path) -> None:
    deadline = time.monotonic() + _LONG
    while not path.exists():
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise Wrong(f"no job has made {path}: {running.err}")
        time.sleep(_GLANCE)


def _in_user_space(servers: Servers, rounds: int) -> Times:
    # The same by libnfs: this machine is a node, whose address may mount.
    path = servers.nfs("list").split()[2]
    times: Times = {}

    def timed(name: str, program: str, what: str) -> None:
        url = f"nfs://{servers.address}/{path}/{what}?version=4"
        times[name] = [measured([program, url], os.environ, stdout=Path(os.devnull)).seconds]

    for number in range(rounds):
        timed(f"cold-{number}", "nfs-ls", f"many-user-{number}")
        timed(f"again-{number}", "nfs-ls", f"many-user-{number}")
    time.sleep(_AGE)
    timed("aged-0", "nfs-ls", "many-user-0")
    timed("twice-0", "nfs-ls", "many-user-0")
    for number in range(rounds):
        timed(f"read-{number}", "nfs-cat", f"large-user-{number}")
    return times


def _in_server(place: Place, running: Running, calls: Sequence[str]) -> Times:
    # The same as in the job, on the mount of its link in the NFS server's pod.
    task = running.task().removeprefix("womm-task-")
    script = " && ".join([f"cd /srv/nfs/links/{task}.*", *calls])
    deployment = f"deployment/womm-nfs-{place.namespace}"
    return read_times(kubectl("--namespace", SYSTEM, "exec", deployment, "--", "sh", "-c", script))


def _long_line(scratch: Path, log: Path) -> str:
    # A PATH whose docker puts delay.py before the SFTP server.
    directory = scratch / "bin"
    directory.mkdir(parents=True)
    docker = shutil.which("docker")
    delay = shlex.join([sys.executable, str(ROOT / "bench/delay.py"), str(_ADDED / 2), str(log)])
    write_script(
        directory / "docker",
        f'case " $* " in *" --interactive "*" womm-lazy-"*) exec {delay} {docker} "$@" ;; esac\n'
        f'exec {docker} "$@"\n',
    )
    return f"{directory}:{os.environ['PATH']}"


def _fill(root: Path, sizes: _Sizes) -> None:
    root.mkdir()
    for kind in ("many", "many-there", "many-user", "many-far"):
        for number in range(sizes.rounds):
            directory = root / f"{kind}-{number}"
            directory.mkdir()
            for entry in range(_ENTRIES):
                (directory / f"file-{entry:04}").write_text("x")
    write_random(root / "large-0", sizes.large)
    # One content, but files of their own for whoever reads it: nothing of one is in a cache for another.
    names = [
        f"{kind}-{number}"
        for kind in ("large", "large-there", "large-user")
        for number in range(sizes.rounds)
    ]
    for name in names[1:]:
        os.link(root / "large-0", root / name)
    (root / "small").mkdir()
    for number in range(_SMALL):
        member, file = divmod(number, _SMALL // _TEAM)
        write_random(root / "small" / f"{member}-{file}", _SMALL_BYTES)
    (root / "changing").write_text("0")
    (root / "marks").mkdir()
    shutil.copy(ROOT / "bench" / _SCRIPT, root)
