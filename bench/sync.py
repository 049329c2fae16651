"""An eager share on its way to the file server, against `rsync -az` to the same one through kubectl exec.

womm's part is what womm.shares.copy.push takes in a `womm parallel` (bench/pushed.py writes it down):
rsync sends, the snapshot is made readable. The same rsync to a directory of this machine shows how fast it
could be at all. Who begins changes from round to round, and the disk has rest before each: what was erased
and written before is nobody's load.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Bound, Report, Table, amount, medians
from bench.made import write_random, write_script
from bench.measure import Wrong, measured
from bench.place import ROOT, Bench, Place, Servers, both_servers, kubectl

TITLE = "an eager share's push to the file server"

_WOMM, _BY_EXEC, _LOCAL = "womm", "rsync -az, kubectl exec", "rsync -az, on this machine"
_LOOK = "womm's look before"
_WAYS = (_WOMM, _BY_EXEC, _LOCAL, _LOOK)
# Where the file server has shares, and where rsync alone puts its copies.
_SHARES, _OTHERS = "/srv/womm/shares", "/srv/womm/by-hand"


@dataclass(frozen=True)
class _Sync:
    """What is measured, and where: `pod` is the file server's, `shell` what rsync calls as its ssh."""

    bench: Bench
    servers: Servers
    pod: str
    shell: Path
    local: Path

    def erase(self) -> None:
        """Nothing has been copied yet, anywhere."""
        self.inside(f"rm -rf {_SHARES}/* {_OTHERS}; mkdir {_OTHERS}")
        shutil.rmtree(self.local, ignore_errors=True)

    def inside(self, script: str) -> None:
        """Run a script in the file server."""
        done = self.servers.files("sh", "-c", script)
        if done.status != 0:
            raise Wrong(f"{script}: {done.out.decode()}{done.messages}")

    def push(self, place: Place) -> dict[str, float]:
        """Seconds of womm's push, and of its look at the directory before that."""
        notes = self.bench.scratch("pushed.json")
        argv = [sys.executable, ROOT / "bench/pushed.py", notes, "--namespace", place.namespace]
        argv += ["parallel", "--kube-pods", "1", "--", "true", ":::", "1"]
        measured(argv, place.user.environment, cwd=place.path)
        took = json.loads(notes.read_text())
        return {_WOMM: took["push"], _LOOK: took["look"]}

    def rsync(self, place: Place, *target: str) -> float:
        """Seconds that plain rsync takes."""
        argv = ["rsync", "-az", f"--rsh={self.shell}", f"{place.path}/", *target]
        return measured(argv, place.user.environment).seconds

    def check(self, place: Place) -> None:
        """What womm has brought is what rsync has; one is not the other's copy."""
        self.inside(f"diff -rq {_SHARES}/*/base {_OTHERS}/{place.path.name}")

    def exec(self, place: Place) -> dict[str, float]:
        """Seconds that plain rsync takes to the file server."""
        return {_BY_EXEC: self.rsync(place, f"{self.pod}:{_OTHERS}/{place.path.name}/")}

    def here(self, place: Place) -> dict[str, float]:
        """Seconds that it takes on this machine."""
        return {_LOCAL: self.rsync(place, f"{self.local}/")}

    def round(self, loads: Mapping[str, Place], number: int) -> dict[str, float]:
        """Seconds by load and way. Where the same place comes once more, all has been sent already."""
        took: dict[str, float] = {}
        before = None
        for name, place in loads.items():
            if place != before:
                self.erase()
            before = place
            rivals = (self.push, self.exec) if number % 2 else (self.exec, self.push)
            for way in (*rivals, self.here):
                os.sync()
                took |= {f"{name}: {what}": seconds for what, seconds in way(place).items()}
            self.check(place)
        return took


def run(bench: Bench) -> Report:
    """Measure all in turns."""
    files, size = (500, 10_000_000) if bench.quick else (10_000, 200_000_000)
    with _syncing(bench) as sync:
        many, large = (
            Place(bench.place.user, sync.servers.namespace, bench.scratch(n)) for n in ("many", "large")
        )
        _write_many(many.path, files)
        large.path.mkdir()
        write_random(large.path / "file", size)
        for place in (many, large):
            place.setup("eager", "--share-via", "copy")
        loads = {
            f"{files} small files": many,
            f"no change in {files} files": many,
            f"one file of {size / 1e6:.0f} MB": large,
        }
        rounds = [sync.round(loads, number) for number in range(bench.rounds(2))]
    middle = medians(rounds)
    rows = [(name, *(amount(middle[f"{name}: {way}"], "s") for way in _WAYS)) for name in loads]
    bounds = [
        Bound(
            f"{name}: womm / kubectl exec", middle[f"{name}: {_WOMM}"] / middle[f"{name}: {_BY_EXEC}"], 1, "×"
        )
        for name in loads
    ]
    notes = [
        f"Medians of {len(rounds)} round(s), in turns. Small files: 1 kB of text each, 100 in a directory."
        " The large one: random bytes.",
        "womm: what womm.shares.copy.push takes in a `womm parallel`, less its wait for the cluster's word on"
        " the task's pods. The look before: at the directory, before anything is begun.",
        "The small files go through the hub, the large one by a kubectl exec of its own: through the hub, it,"
        " kubectl proxy and the agent would move each byte, and containerd takes more for messages of a"
        " WebSocket than for SPDY, which kubectl's becomes.",
    ]
    return Report(TITLE, [Table(("", *_WAYS), rows)], bounds, notes)


@contextlib.contextmanager
def _syncing(bench: Bench) -> Iterator[_Sync]:
    with both_servers(bench.place.user, "bench-sync") as servers:
        which = ("-l", "app.kubernetes.io/name=womm-server", "-o", "jsonpath={.items[0].metadata.name}")
        pod = kubectl("--namespace", servers.namespace, "get", "pods", *which)
        shell = bench.scratch("by-exec")
        exec_ = shlex.join(["kubectl", "--namespace", servers.namespace, "exec", "-i"])
        write_script(shell, f'pod=$1\nshift\nexec {exec_} "$pod" -c server -- "$@"\n')
        yield _Sync(bench, servers, pod, shell, bench.scratch("local"))


def _write_many(path: Path, count: int) -> None:
    for number in range(count):
        directory = path / f"{number // 100:03}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{number:05}").write_text(f"line {number} of a small file\n" * 40)
