"""Shares over NFS by the claim of a second `womm cluster-setup`: nodes keep what they know for a second."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from kit import NODE2, PREFIX, Place, User, kubectl
from servers import SLOW, Servers, set_up

pytestmark = [pytest.mark.node2, pytest.mark.timeout(600), pytest.mark.usefixtures("clean")]

#: Seconds after which a new file is seen; where pods mount the volume themselves it takes 26 and more.
SOON = 10


@pytest.fixture(scope="module")
def claim(shared: Place, servers: Servers, home: User) -> Iterator[None]:
    """The namespace has the claim, meanwhile."""
    assert "once more" not in set_up(home, servers.namespace)
    bound = ("--namespace", servers.namespace, "wait", "persistentvolumeclaim/womm-nfs")
    kubectl(*bound, "--for=jsonpath={.status.phase}=Bound", "--timeout=60s")
    yield
    # Other modules' pods mount the volume themselves.
    kubectl("--namespace", servers.namespace, "annotate", "deployment/womm-server", "womm.dev/nfs-claim-")


@pytest.fixture(scope="module")
def place(shared: Place, claim: None) -> Place:
    """A directory that was set up with --share lazy, where the namespace has the claim."""
    words = ("--yes", "--as-root", "--share", "lazy", "--share-via", "auto")
    done = shared.womm("setup", *words, limit=SLOW, **NODE2)
    assert done.status == 0, done.messages
    assert "trying whether the nodes can mount over NFS" in done.messages
    assert "what a node knows" not in done.messages
    return shared


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
    for number in range(2):
        (place.path / f"asdf-{number}").touch()
        done = place.parallel("--", "ls; : {}", ":::", "1", limit=SLOW, **NODE2)
        assert done.status == 0, done.messages
        assert done.out.decode().split() == sorted(path.name for path in place.path.glob("[!.]*"))


@pytest.fixture
def restricted(servers: Servers, claim: None) -> Iterator[None]:
    """Only "restricted" pods may run in the namespace, meanwhile: none that mounts a volume of NFS itself."""
    label = "pod-security.kubernetes.io/enforce"
    kubectl("label", "namespace", servers.namespace, f"{label}=restricted")
    yield
    kubectl("label", "namespace", servers.namespace, f"{label}-")


def test_where_only_restricted_pods_may_run_they_mount_by_the_claim(
    home: User, servers: Servers, restricted: None
) -> None:
    place = Place(home, servers.namespace, home.root / "restricted")
    place.path.mkdir()
    (place.path / "a").write_text("1\n2\n")
    done = place.womm("setup", "--yes", "--share", "eager", "--prefix", PREFIX, limit=SLOW, **NODE2)
    assert done.status == 0, done.messages
    assert place.config()["via"] == "nfs"
    script = "wc -l <a; stat -c %u . a; id -u; grep -c ' nfs4 ' /proc/mounts; : {}"
    done = place.parallel("--", script, ":::", "1", limit=SLOW, **NODE2)
    assert done.status == 0, done.messages
    lines, *owners, mounts = done.out.decode().split()
    assert (lines, mounts) == ("2", "1")
    assert len(set(owners)) == 1
    assert owners != ["0"] * 3
