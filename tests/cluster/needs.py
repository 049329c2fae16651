"""What a test needs of its cluster: a test that needs what this one lacks is deselected, and a line says so.

A test says what it needs by a marker: `kubernetes("1.25")` the least version, `sandbox("why")` the sandbox
itself, as its processes, its registry or its Docker engine, `registry("why")` one that docker pushes to and
the nodes pull from (with WOMM_TEST_LOAD there is none), `node2` the sandbox's second node (NODES=2), with an
NFS client. Who asks for the register needs a cluster whose pods reach this machine.

Two markers more say what may run beside it, to tools/test, which runs a whole suite in lanes at once:
`alone("why")` nothing; `xdist_group("name")` none of the same group. Without one, a file is a group. `docker`
has the tests that ask the registry for their images, look at all of docker's containers, or share a name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable

import pytest
from kit import LOAD, NODE2, good

MARKERS = (
    "kubernetes(version): the test needs this version of Kubernetes, such as 1.25, or a later one",
    "sandbox(why): the test needs the sandbox and runs on no other cluster",
    "registry(why): the test needs a registry that nodes pull from",
    "node2: the test needs the sandbox's second node",
    "alone(why): tools/test runs the test while no other runs",
)
#: Whether the cluster is the sandbox; else it is one of the caller's own, by WOMM_KUBE_CONTEXT.
ON_SANDBOX = "WOMM_SANDBOX_REGISTRY" in os.environ


def server_version() -> str:
    """The version of the cluster, such as 1.36."""
    version = json.loads(good(["kubectl", "version", "-o", "json"]))["serverVersion"]["gitVersion"]
    found = re.match(r"v(\d+\.\d+)", version)
    assert found, version
    return found[1]


def ordered(version: str) -> tuple[int, ...]:
    """A version as what can be compared."""
    return tuple(int(part) for part in version.split("."))


def lacking(item: pytest.Item, version: Callable[[], str]) -> str:
    """Why `item` can't run on a cluster of this `version`, or ""."""
    if not ON_SANDBOX:
        if marker := item.get_closest_marker("sandbox"):
            return f"needs the sandbox: {marker.args[0]}"
        if "register" in getattr(item, "fixturenames", ()) and "WOMM_TEST_HOST" not in os.environ:
            return "needs WOMM_TEST_HOST, the address of this machine that pods reach"
    if item.get_closest_marker("node2") and not NODE2:
        return "needs the sandbox's second node: NODES=2 make sandbox-up"
    if LOAD and (marker := item.get_closest_marker("registry")):
        return f"needs a registry, and WOMM_TEST_LOAD is in its place: {marker.args[0]}"
    marker = item.get_closest_marker("kubernetes")
    if marker and ordered(version()) < ordered(marker.args[0]):
        return f"needs Kubernetes {marker.args[0]}, and this is {version()}"
    return ""
