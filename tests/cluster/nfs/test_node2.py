"""The sandbox's second node: who asks for it gets it, and it is a node like any, with an NFS client.

That variables bring a task there as options do, test_over_nfs.py shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from kit import NODE2, Place, node2_kernel
from servers import SLOW

pytestmark = [pytest.mark.node2, pytest.mark.timeout(600), pytest.mark.usefixtures("clean")]


@pytest.fixture(scope="module")
def copied(make_place: Callable[[str], Place]) -> Place:
    """A directory of which each pod has a copy."""
    place = make_place("copied")
    (place.path / "b").write_text("1\n2\n")
    return place.setup("eager", "--share-via", "copy")


def test_options_bring_a_task_there_by_images_from_the_registry_and_a_copy_of_the_directory(
    copied: Place,
) -> None:
    where = [
        *("--kube-node-selector", NODE2["WOMM_KUBE_NODE_SELECTOR"]),
        *("--kube-toleration", NODE2["WOMM_KUBE_TOLERATION"]),
    ]
    # modprobe has made nfs4 known before the node was Ready.
    script = "wc -l <{}; uname -r; grep -w nfs4 /proc/filesystems"
    done = copied.parallel(*where, "--", script, ":::", "b", limit=SLOW)
    assert done.status == 0, done.messages
    kernel = node2_kernel()
    assert done.out.decode().split() == ["2", kernel, "nodev", "nfs4"]
    assert kernel != os.uname().release


def test_a_task_that_does_not_ask_runs_on_the_first_node(copied: Place) -> None:
    done = copied.parallel("--", "uname -r; : {}", ":::", "1")
    assert (done.status, done.out.decode().strip()) == (0, os.uname().release), done.messages
