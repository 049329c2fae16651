"""What becomes of shares over NFS when something breaks: a lazy one's link or container, a server's disk."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kit import NODE2, Place, Running, User, good, kubectl, marked, names, pods
from servers import SLOW, SYSTEM, Servers, reshare

pytestmark = [pytest.mark.node2, pytest.mark.timeout(600), pytest.mark.usefixtures("clean")]

#: Seconds for which a link is cut; longer than a relay takes for granted that a silent one lives.
CUT, SILENT = 20, 25
#: Files that jobs read, each so many bytes.
FILES, SIZE = 200, 50_000


@pytest.fixture(scope="module")
def full(shared: Place) -> Place:
    """The directory, with files to be read."""
    for number in range(FILES):
        (shared.path / f"file-{number}").write_bytes(os.urandom(SIZE))
    return shared


def process(user: User, words: str) -> int:
    """The pid of the user's kubectl with these words."""
    [pid] = [line.partition(":")[0] for line in marked(user.mark) if "kubectl " in line and words in line]
    return int(pid)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing, and whose connections are open, for as long as the context lasts."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            # Who noticed has ended it.
            return


#: Reads one file after the other, and writes down what it has read, until it is told that it is enough.
READER = r"""
: >seen; n=0
until [ -e enough ]; do sha256sum file-$((n % 200)) >>seen || exit 1; n=$((n + 1)); done
echo $n; : {}
"""


class Reader:
    """The job of a run, as far as it has come: seen from here, where it writes."""

    def __init__(self, place: Place, running: Running) -> None:
        self._place, self._running = place, running

    def count(self) -> int:
        """How many files it has read."""
        seen = self._place.path / "seen"
        return seen.read_bytes().count(b"\n") if seen.exists() else 0

    def goes_on(self) -> None:
        """Wait until it has read some more."""
        before = self.count()
        self._running.until(lambda: self.count() > before + 5)

    def again(self) -> int:
        """How often the link has been had back."""
        return self._running.err.count("is within the pods' reach again")


def test_a_link_that_is_cut_costs_time_and_nothing_else_and_one_that_ends_other_pods(
    servers: Servers, full: Place
) -> None:
    shared = reshare(full, "lazy")
    with shared.started("parallel", "--kube-pods", "1", "--", READER, ":::", "1", **NODE2) as running:
        reader = Reader(shared, running)
        reader.goes_on()
        first = pods(shared, running)
        task = running.task().removeprefix("womm-task-")

        # The machine's network is away: whatever goes to the cluster hangs, and nothing is told.
        with stopped(process(shared.user, " proxy ")):
            time.sleep(CUT)
        reader.goes_on()

        # A connection in the cluster ends.
        before = reader.again()
        done = servers.files("pkill", "-x", "ssh")
        assert done.status == 0, done.messages
        running.until(lambda: reader.again() > before)
        reader.goes_on()

        # One that is silent, and open: it is let go for another one.
        before = reader.again()
        with stopped(process(shared.user, " resume ")):
            time.sleep(SILENT)
        running.until(lambda: reader.again() > before)
        reader.goes_on()

        assert pods(shared, running) == first
        assert "is served anew" not in running.err
        # Whatever it has read, and written down, is what there was, each once.
        lines = (shared.path / "seen").read_text().splitlines()
        expected = [
            hashlib.sha256((shared.path / f"file-{number}").read_bytes()).hexdigest()
            for number in range(FILES)
        ]
        assert [line.split()[0] for line in lines] == (expected * (len(lines) // FILES + 1))[: len(lines)]

        # The SFTP server's end is the end of all that pods have open.
        good(["docker", "kill", f"womm-lazy-{task}"])
        running.until(lambda: "is served anew: its pods are replaced" in running.err)
        running.until(lambda: reader.count() < len(lines))
        reader.goes_on()
        assert set(pods(shared, running)).isdisjoint(first)
        (shared.path / "enough").touch()
        done = running.wait()
    assert (done.status, done.out.decode()) == (0, f"{reader.count()}\n"), done.messages
    assert servers.nfs("list") == ""
    assert names(servers.namespace) == []


@contextmanager
def small(servers: Servers, directory: str) -> Iterator[None]:
    """A directory of the NFS server that is a disk of 4 MiB."""
    which = ("-n", SYSTEM, "exec", f"deployment/womm-nfs-{servers.namespace}", "--")
    kubectl(*which, "mount", "-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs", directory)
    try:
        yield
    finally:
        kubectl(*which, "umount", directory)


@pytest.mark.parametrize("directory", ["/srv/nfs/mirror", "/srv/nfs/live"])
def test_a_full_disk_of_the_server_is_told_and_leaves_nothing(
    servers: Servers, full: Place, directory: str
) -> None:
    shared = reshare(full, "eager")
    with small(servers, directory):
        done = shared.parallel("--", "true {}", ":::", "1", limit=SLOW, **NODE2)
    assert done.status == 125, done.messages
    assert "this directory can't be served: " in done.messages
    assert "No space left on device" in done.messages
    assert servers.nfs("list") == ""
    assert names(servers.namespace) == []
