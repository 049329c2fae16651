"""A lazy share as a job sees it, on the second node: listings, changes, a large file, many small ones.

The times are taken in the job (lazy-job.pl), by a real kernel's NFS client; but that node's processor is
computed, at a tenth of the speed. So each figure has beside it what the same costs there on the node's own disk,
or what it costs where the link ends: in the NFS server's pod, on the mount that sshfs has made.

For the long line 40 ms are added to each round trip: between womm and the container with the SFTP server stands
a `docker` that puts bench/delay.py there. It notes what is asked, too.
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
from bench.measure import Wrong
from bench.place import ROOT, SYSTEM, Bench, Place, Running, both_servers, kubectl, second_node

TITLE = "a lazy share, seen from a node whose processor is computed"

_ADDED = 0.040
# Entries of a directory; of small files, their bytes, and the jobs that read them.
_ENTRIES, _SMALL, _SMALL_BYTES, _TEAM = 2000, 100, 10_000, 10
_SCRIPT = "lazy-job.pl"
# Seconds between two looks at what a job has made, and that it may take at most.
_GLANCE, _LONG = 0.005, 900.0
_TOLD = re.compile(r"a round trip takes (\d+) ms\); what changes here is seen there within (\d+) s")


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


def run(bench: Bench) -> Report:
    """Measure on the link as it is, then on a long line."""
    sizes = _Sizes(1, 20_000_000, 1) if bench.quick else _Sizes(3, 200_000_000, 3)
    where = second_node()
    with both_servers(bench.place.user, "bench-lazy") as servers:
        place = Place(bench.place.user, servers.namespace, bench.scratch("lazy"))
        _fill(place.path, sizes)
        place.setup("lazy", "--share-via", "nfs", "--as-root")
        near, server, seen = _near(place, sizes, where)
        link, far, requests = _far(place, sizes, bench.scratch("far"), where)
    return _report(sizes, near, server, seen, link, far, requests)


def _near(place: Place, sizes: _Sizes, where: Mapping[str, str]) -> tuple[Times, Times, Times]:
    # On the link as it is: what the job, the NFS server's pod and this machine's clock say.
    numbers = range(sizes.rounds)
    here, there = ([f"{kind}-{number}" for number in numbers] for kind in ("many", "many-there"))
    job = [
        _call("own", _ENTRIES),
        _call("list", *here),
        _call("aged", 3, here[0]),
        _call("read", *(f"large-{number}" for number in numbers)),
        _call("see", sizes.sights),
        "touch over; until [ -e go ]; do sleep 0.1; done; : {}",
    ]
    calls = [
        _call("list", *there),
        _call("aged", 3, there[0]),
        _call("read", *(f"large-there-{number}" for number in numbers)),
    ]
    with _started(place, job, ["1"], where) as running:
        seen: Times = {"new": [], "changed": []}
        for number in range(1, sizes.sights + 1):
            _wait(running, place.path / f"ready-{number}")
            seen["new"].append(_sight(running, place.path, f"new-{number}", "", f"seen-{number}"))
            seen["changed"].append(_sight(running, place.path, "changing", str(number), f"changed-{number}"))
        _wait(running, place.path / "over")
        server = _in_server(place, running, calls)
        (place.path / "go").touch()
        return read_times(_ended(running)), server, seen


def _far(
    place: Place, sizes: _Sizes, scratch: Path, where: Mapping[str, str]
) -> tuple[_Link, Times, dict[str, Counter[str]]]:
    # On the long line: what the jobs say, and what was asked for each.
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
        "again": (f"mark-again-{lists[-1]}", "mark-listed"),
        "after the age": (f"mark-aged-{lists[0]}", "mark-all-aged"),
        f"{_SMALL} files": ("mark-small", "mark-all-small"),
    }
    return link, times, {name: asked(text, *span) for name, span in spans.items()}


def _report(
    sizes: _Sizes,
    near: Times,
    server: Times,
    seen: Times,
    link: _Link,
    far: Times,
    requests: Mapping[str, Counter[str]],
) -> Report:
    rate = {
        name: sizes.large / 1e6 / _middle(times, "read-")
        for name, times in (("nfs", near), ("sshfs", server))
    }
    trips = _middle(far, "small") / link.trip
    every = _ENTRIES * link.trip
    listed = Table(
        ("`ls -l` of 2,000 entries", "cold", "again", "after the caches' age"),
        [
            ("a job, over NFS", *_listing(near)),
            ("in the NFS server's pod, sshfs's mount", *_listing(server)),
            (f"a job, over NFS, {_ADDED * 1000:.0f} ms added", *_listing(far)),
            ("a job, on its node's own disk", "-", amount(near["own"][0], "s"), "-"),
        ],
    )
    others = Table(
        ("", "measured"),
        [
            (f"{sizes.large / 1e6:.0f} MB, a job, over NFS", amount(rate["nfs"], "MB/s")),
            (
                f"{sizes.large / 1e6:.0f} MB, in the NFS server's pod, sshfs alone",
                amount(rate["sshfs"], "MB/s"),
            ),
            ("a new file is seen after", amount(max(seen["new"]), "s")),
            ("a change is seen after", amount(max(seen["changed"]), "s")),
            (
                f"one of {_SMALL} small files, {_TEAM} jobs at once, {_ADDED * 1000:.0f} ms added",
                amount(_middle(far, "small"), "s"),
            ),
        ],
    )
    bounds = [
        Bound("listed, cold", _middle(near, "cold-"), 1, "s"),
        Bound("listed again", _middle(near, "again-"), 0.2, "s"),
        Bound("a new file is seen after, at most", max(seen["new"]), 1, "s"),
        Bound("a change is seen after, at most", max(seen["changed"]), 1, "s"),
        Bound("sequential read / sshfs alone", rate["nfs"] / rate["sshfs"], 0.5, "×", at_least=True),
        Bound("long line: listed, cold", _middle(far, "cold-"), 1.5, "s"),
        Bound("long line: listed again", _middle(far, "again-"), 0.2, "s"),
        Bound(
            "long line: listed after the caches' age / (entries × round trip)",
            _middle(far, "aged-") / every,
            0.5,
            "×",
        ),
        Bound("long line: round trips per small file", trips, 4),
    ]
    notes = [
        "The job's node is an emulated machine: compare with the other rows. Medians of"
        f" {sizes.rounds} listing(s) and file(s), each of its own; what is seen, the slowest of {sizes.sights}.",
        f"Long line: a round trip takes {link.trip * 1000:.0f} ms as womm measured it, and the caches' age is"
        f" {link.age} s. What was asked over it: {'; '.join(f'{name}: {_told(count)}' for name, count in requests.items())}.",
    ]
    return Report(TITLE, [listed, others], bounds, notes)


def _listing(times: Times) -> tuple[str, str, str]:
    cold, again, aged = (amount(_middle(times, f"{name}-"), "s") for name in ("cold", "again", "aged"))
    return cold, again, aged


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
    for kind in ("many", "many-there", "many-far"):
        for number in range(sizes.rounds):
            directory = root / f"{kind}-{number}"
            directory.mkdir()
            for entry in range(_ENTRIES):
                (directory / f"file-{entry:04}").write_text("x")
    write_random(root / "large-0", sizes.large)
    # One content, but files of their own for whoever reads it: nothing of one is in a cache for another.
    names = [f"{kind}-{number}" for kind in ("large", "large-there") for number in range(sizes.rounds)]
    for name in names[1:]:
        os.link(root / "large-0", root / name)
    (root / "small").mkdir()
    for number in range(_SMALL):
        member, file = divmod(number, _SMALL // _TEAM)
        write_random(root / "small" / f"{member}-{file}", _SMALL_BYTES)
    (root / "changing").write_text("0")
    shutil.copy(ROOT / "bench" / _SCRIPT, root)
