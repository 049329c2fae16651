"""What becomes of a task whose womm is gone without a trace: the file server takes its pods back."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import MARK, Place, User, environment_of, eventually, good, kubectl, names, new_namespace

pytestmark = pytest.mark.timeout(300)

# Seconds without a heartbeat after which the file server counts a task as an orphan; it looks every 20 s.
AFTER = 15


@pytest.fixture(scope="module")
def short(home: User, server_image: str) -> Iterator[Place]:
    """A directory set up for a namespace whose file server is impatient."""
    with new_namespace("orphans") as namespace:
        manifest = good(
            ["womm", "--namespace", namespace, "cluster-setup", "--no-nfs", "--image", server_image]
        )
        patience = "{name: WOMM_ORPHANS_AFTER, value: %s}"
        assert patience % '"600"' in manifest
        # Less than cluster-setup takes: tasks that run would have to be more diligent than they are.
        kubectl("create", "-f", "-", stdin=manifest.replace(patience % '"600"', patience % f'"{AFTER}"'))
        kubectl("--namespace", namespace, "rollout", "status", "deployment/womm-server", "--timeout=120s")
        path = home.root / "orphans"
        path.mkdir()
        yield Place(home, namespace, path).setup("none")


def kill_all(mark: str) -> None:
    """What a power failure does: no keeper, no sweep."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and environment_of(int(process.name)).get(MARK) == mark:
            os.kill(int(process.name), signal.SIGKILL)


def test_pods_that_nobody_cares_for_end_and_others_do_not(short: Place) -> None:
    victim = Place(User(short.user.root), short.namespace, short.path)
    with victim.started("parallel", "--kube-pods", "1", "--", "sleep 600", ":::", "1") as lost:
        orphan = lost.task().removeprefix("womm-task-")
        eventually(lambda: f"Lease/womm-task-{orphan}" in names(short.namespace))
        kill_all(victim.user.mark)
        lost.process.wait()
    # Another one, at the same time, without a heartbeat: not a task of womm's, as far as anybody knows.
    foreign = json.loads(
        kubectl("--namespace", short.namespace, "get", f"deployment/womm-task-{orphan}", "-o", "json")
    )
    labels = {"womm.dev/task": "foreignx"}
    foreign["metadata"] = {"name": "womm-task-foreignx", "labels": labels}
    foreign["spec"]["replicas"] = 0
    foreign["spec"]["selector"]["matchLabels"] = labels
    foreign["spec"]["template"]["metadata"]["labels"] = labels
    kubectl("--namespace", short.namespace, "create", "-f", "-", stdin=json.dumps(foreign))
    eventually(lambda: f"Deployment/womm-task-{orphan}" not in names(short.namespace), 90)
    eventually(lambda: f"Lease/womm-task-{orphan}" not in names(short.namespace))
    assert "Deployment/womm-task-foreignx" in names(short.namespace)
    said = kubectl("--namespace", short.namespace, "logs", "deploy/womm-server")
    assert orphan in said
    kubectl("--namespace", short.namespace, "delete", "deployment/womm-task-foreignx")
    # The next womm of its user has nothing left to do, and says so without a complaint.
    swept = short.womm("status")
    assert "could not clean up" not in swept.messages
