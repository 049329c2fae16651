"""Shares over NFS by the claim of a second `womm cluster-setup`: nodes keep what they know for a second."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from kit import NODE2, PREFIX, Place, User, kubectl
from servers import Servers, set_up

pytestmark = [pytest.mark.node2, pytest.mark.timeout(600), pytest.mark.usefixtures("clean")]

#: That node's processor is computed.
SLOW = 300
#: Seconds after which a new file is seen; where pods mount the volume themselves it takes 26 and more.
SOON = 10


@pytest.fixture(scope="module")
def servers(servers: Servers, home: User) -> Iterator[Servers]:
    """Both servers, while their namespace has the claim."""
    assert "once more" not in set_up(home, servers.namespace)
    claim = ("--namespace", servers.namespace, "wait", "persistentvolumeclaim/womm-nfs")
    kubectl(*claim, "--for=jsonpath={.status.phase}=Bound", "--timeout=60s")
    yield servers
    # Other modules' pods mount the volume themselves.
    kubectl("--namespace", servers.namespace, "annotate", "deployment/womm-server", "womm.dev/nfs-claim-")


@pytest.fixture(scope="module")
def namespace(servers: Servers) -> str:
    """Its namespace."""
    return servers.namespace


@pytest.fixture(scope="module")
def place(home: User, servers: Servers) -> Place:
    """A directory that was set up with --share lazy."""
    made = Place(home, servers.namespace, home.root / "claimed")
    made.path.mkdir()
    words = ("--yes", "--as-root", "--share", "lazy", "--prefix", PREFIX)
    done = made.womm("setup", *words, limit=SLOW, **NODE2)
    assert done.status == 0, done.messages
    assert "what a node knows" not in done.messages
    return made


def test_a_job_that_waits_for_a_file_by_its_name_sees_it_soon(place: Place) -> None:
    script = "touch begun; until [ -e later ]; do sleep 0.1; done; touch seen; : {}"
    with place.started(
        "parallel", "--kube-pods", "1", "--fresh", "1", "--", script, ":::", "1", **NODE2
    ) as running:
        running.until((place.path / "begun").exists)
        # It has looked for it, and the node knows that it is not there.
        time.sleep(2)
        (place.path / "later").touch()
        since = time.monotonic()
        running.until((place.path / "seen").exists)
        took = time.monotonic() - since
        done = running.wait(SLOW)
    assert done.status == 0, done.messages
    assert took < SOON
    assert "and on a node for 1 s" in done.messages


def test_the_next_task_sees_the_directory_as_it_is_then(place: Place) -> None:
    # All tasks' pods mount the same root of the server there: what one has seen is nothing of the next one's.
    for number in range(3):
        (place.path / f"asdf-{number}").touch()
        done = place.parallel("--", "ls; : {}", ":::", "1", limit=SLOW, **NODE2)
        assert done.status == 0, done.messages
        assert done.out.decode().split() == sorted(path.name for path in place.path.glob("[!.]*"))
