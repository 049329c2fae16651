"""The sandbox's second node: who asks for it gets it, and it is a node like any, with an NFS client."""

from __future__ import annotations

import os

import pytest
from kit import NODE2, Place, kubectl

pytestmark = [pytest.mark.node2, pytest.mark.timeout(600), pytest.mark.usefixtures("clean")]

#: Its processor is computed.
SLOW = 300


def test_a_task_that_asks_for_it_runs_there_by_an_image_from_the_registry(none: Place) -> None:
    # modprobe has made it known before the node was Ready.
    done = none.parallel(
        "--", "uname -r; grep -w nfs4 /proc/filesystems; : {}", ":::", "1", limit=SLOW, **NODE2
    )
    assert done.status == 0, done.messages
    kernel = kubectl("get", "node", "node2", "-o", "jsonpath={.status.nodeInfo.kernelVersion}")
    assert done.out.decode().split() == [kernel, "nodev", "nfs4"]
    assert kernel != os.uname().release


def test_options_bring_a_task_there_as_the_variables_do(none: Place) -> None:
    where = [
        *("--kube-node-selector", NODE2["WOMM_KUBE_NODE_SELECTOR"]),
        *("--kube-toleration", NODE2["WOMM_KUBE_TOLERATION"]),
    ]
    done = none.parallel(*where, "--", "uname -r; : {}", ":::", "1", limit=SLOW)
    assert done.status == 0, done.messages
    assert done.out.decode().strip() != os.uname().release


def test_a_task_that_does_not_ask_runs_on_the_first_node(none: Place) -> None:
    done = none.parallel("--", "uname -r; : {}", ":::", "1")
    assert (done.status, done.out.decode().strip()) == (0, os.uname().release), done.messages


def test_a_share_by_copy_reaches_pods_there(eager: Place) -> None:
    done = eager.parallel("--", "wc -l <{}", ":::", "b", limit=SLOW, **NODE2)
    assert (done.status, done.out) == (0, b"2\n"), done.messages
