"""A file server with a volume of its own loses nothing with its pod."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator

import pytest
from kit import Place, User, good, kubectl, new_namespace

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.sandbox("its node is this machine, where the volume is a directory"),
]


@pytest.fixture(scope="module")
def lasting(home: User, server_image: str) -> Iterator[Place]:
    """A directory set up for a namespace whose file server has a volume of its own."""
    name = f"womm-test-{uuid.uuid4().hex[:6]}"
    [node] = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    host = node["metadata"]["labels"]["kubernetes.io/hostname"]
    with tempfile.TemporaryDirectory(prefix="womm-volume-", dir="/var/tmp") as directory:
        term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": name,
                "local": {"path": directory},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
            },
        }
        kubectl("create", "-f", "-", stdin=json.dumps(volume))
        try:
            with new_namespace("volume") as namespace:
                setup = [
                    "womm",
                    "--namespace",
                    namespace,
                    "cluster-setup",
                    "--no-nfs",
                    "--image",
                    server_image,
                ]
                manifest = good([*setup, "--size", "1Gi", "--storage-class", name])
                kubectl("create", "-f", "-", stdin=manifest)
                rolled_out(namespace)
                path = home.root / "volume"
                path.mkdir()
                yield Place(home, namespace, path).setup("none")
        finally:
            kubectl("delete", "persistentvolume", name, "--wait=false")


def rolled_out(namespace: str) -> None:
    """Wait for the file server."""
    kubectl("--namespace", namespace, "rollout", "status", "deployment/womm-server", "--timeout=120s")


def test_what_tasks_have_left_outlives_the_file_servers_pod(lasting: Place) -> None:
    arguments = ("--async", "-j", "2", "--", "sleep {}; echo {}", ":::")
    over = lasting.parallel(*arguments, "0.1", "0.2")
    assert over.status == 0, over.messages
    assert "volume of its own" not in over.messages
    task = over.out.decode().strip()
    assert lasting.womm("wait", task).status == 0
    running = lasting.parallel(*arguments, *(f"2.{number}" for number in range(8)))
    kubectl("--namespace", lasting.namespace, "delete", "pod", "-l", "app.kubernetes.io/name=womm-server")
    rolled_out(lasting.namespace)
    assert lasting.womm("logs", task).lines == ["0.1", "0.2"]
    other = running.out.decode().strip()
    logs = lasting.womm("logs", "-f", other)
    assert (logs.status, logs.lines) == (0, [f"2.{number}" for number in range(8)]), logs.messages
    assert lasting.womm("finish", task, other).status == 0
