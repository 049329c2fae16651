"""A lazy share's links, one after the other: which of them goes on with what the last one had."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Hermetic, eventually

from womm.kubectl import Kube
from womm.link import Link
from womm.manifests import Nfs
from womm.runs import Run
from womm.shares.keeping import Way
from womm.shares.lazy import Links
from womm.shares.nfs import Export

#: What is called as the NFS server: it says what is in the file `answer`, and stays until its input ends.
THERE = """\
#!/bin/sh
echo "$2 $#" "$(echo "$*" | sed 's/.* //')" >>{root}/links
cat {root}/answer >&2
exec cat >/dev/null
"""
#: It runs as long as its input is open; not at all if there is a file `broken`.
DOCKER = """\
#!/bin/sh
echo "$*" >>{root}/containers
if [ -e {root}/broken ]; then cat {root}/broken >&2; exit 125; fi
if [ "$1" = run ]; then echo $$ >{root}/pid; exec cat; fi
"""
NEW, SAME, GONE = "womm-nfs: ready 2 1 new", "womm-nfs: ready 2 1 same", "womm-nfs: gone"


class Condemned:
    """The pods whose jobs' ends the hub is told not to count."""

    def __init__(self) -> None:
        self.pods: set[str] = set()

    def doubt(self) -> None:
        """Links leave that to who keeps them up."""
        pytest.fail("doubt")

    def condemn(self, pods: frozenset[str]) -> None:
        """Note them."""
        self.pods |= pods

    def settle(self) -> None:
        """And this."""
        pytest.fail("settle")


@pytest.fixture
def jobs() -> Condemned:
    """The hub."""
    return Condemned()


@pytest.fixture
def links(
    hermetic: Hermetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: Condemned
) -> Iterator[Links]:
    """Links between stand-ins of docker and of the NFS server."""
    hermetic.stub("docker", DOCKER.format(root=tmp_path))
    hermetic.stub("kubectl", f'#!/bin/sh\necho "$@" >>{tmp_path}/kubectl\necho pod/pod-1\n')
    hermetic.stub("there", THERE.format(root=tmp_path))
    monkeypatch.setattr(Export, "argv", lambda _self, _again, *words: ["there", *words])
    run = Run("abcdefgh")
    nfs = Nfs("10.0.0.1", "0123456789abcdef" * 2, "/home/ann/work")
    export = Export(Kube("team", "east"), Link(run, "womm-server-1"), nfs, 1001, 1002)
    made = Links(export, jobs, (["docker", "run"], ["docker", "container", "rm"]), None)
    yield made
    made.over()
    run.close()


def said(tmp_path: Path, name: str) -> list[str]:
    """The lines of a stand-in's file."""
    return (tmp_path / name).read_text().splitlines()


def dialled(links: Links, tmp_path: Path, answer: str) -> Way:
    """A link that the server answers so, and that has heard it."""
    (tmp_path / "answer").write_text(f"{answer}\n")
    way = links.dial(True)
    assert next(way.lines()) == answer
    # The server may be quicker than the container.
    eventually(lambda: (tmp_path / "pid").exists() and said(tmp_path, "pid"))
    return way


def test_a_link_goes_on_where_the_last_one_was_cut(links: Links, tmp_path: Path) -> None:
    way = dialled(links, tmp_path, NEW)
    for _ in range(2):
        way.kill()
        assert list(way.lines()) == []
        assert way.end() == ""
        way = dialled(links, tmp_path, SAME)
    way.end()
    first, *others = (line.split() for line in said(tmp_path, "links"))
    # Its last word is the token.
    assert first[:2] == ["link", "8"]
    assert others == [["resume", "4", first[2]]] * 2
    assert said(tmp_path, "containers") == ["run"]


def test_what_the_server_has_no_more_is_begun_anew_with_another_container(
    links: Links, tmp_path: Path
) -> None:
    dialled(links, tmp_path, NEW).end()
    dialled(links, tmp_path, GONE).end()
    dialled(links, tmp_path, NEW).end()
    first, second, third = (line.split() for line in said(tmp_path, "links"))
    assert [first[0], second[0], third[0]] == ["link", "resume", "link"]
    assert first[2] == second[2] != third[2]
    assert said(tmp_path, "containers") == ["run", "container rm", "run"]
    # Its pods have had their errors.
    assert not (tmp_path / "kubectl").exists()


def test_a_container_that_ends_ends_link_and_pods_and_another_one_is_begun(
    links: Links, tmp_path: Path, jobs: Condemned
) -> None:
    way = dialled(links, tmp_path, NEW)
    os.kill(int(said(tmp_path, "pid")[0]), signal.SIGKILL)
    assert list(way.lines()) == []
    way.end()
    dialled(links, tmp_path, NEW).end()
    assert [line.split()[0] for line in said(tmp_path, "links")] == ["link", "link"]
    # As long as what they have mounted only waits.
    assert "delete pods -l womm.dev/task=abcdefgh" in said(tmp_path, "kubectl")[0]
    # The hub may learn of their end later than of the next link.
    assert jobs.pods == {"pod-1"}


def test_a_container_that_can_not_be_had_tells_why(links: Links, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("docker: no such image\n")
    (tmp_path / "answer").write_text("")
    try:
        way = links.dial(False)
    except OSError as error:
        why = str(error)
    else:
        list(way.lines())
        why = way.end()
    assert why == "docker: no such image"


def test_a_link_that_never_was_ready_is_not_resumed(links: Links, tmp_path: Path) -> None:
    dialled(links, tmp_path, "server-nfs: the NFS server can't be reached").end()
    dialled(links, tmp_path, NEW).end()
    assert [line.split()[0] for line in said(tmp_path, "links")] == ["link", "link"]


def test_there_is_no_container_any_more_when_the_links_are_over(links: Links, tmp_path: Path) -> None:
    way = dialled(links, tmp_path, NEW)
    pid = Path(f"/proc/{said(tmp_path, 'pid')[0]}")
    assert pid.exists()
    links.over()
    assert not pid.exists()
    assert list(way.lines()) == []
    way.end()
