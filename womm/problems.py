"""Why a pod does not run, in Kubernetes' own words, whether waiting mends it, and the way out (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

#: The name of the container that jobs run in.
CONTAINER = "womm"

# A container's reasons to wait that no waiting will mend.
_HOPELESS = {"CreateContainerError", "ErrImageNeverPull", "InvalidImageName", "RunContainerError"}
_EXPLAINED = _HOPELESS | {"CreateContainerConfigError"}
_PULLING = {"ErrImagePull", "ImagePullBackOff"}
# A kubelet that has not heard of the pod's secrets yet says so, and looks again a moment later.
_PASSING = re.compile(r"failed to sync \w+ cache")
# A container that could not even be started.
_NOT_STARTED = {"StartError", "ContainerCannotRun"}
# A container that failed so often will fail again.
_TRIES = 3
# 128 + SIGKILL.
_KILLED = 137

_NEW_IMAGE = "`womm setup` makes and pushes a new image"
_REACH = "the nodes have to reach the registry by the name that it has here: see --prefix"
_NEW_SERVER_IMAGE = "`womm cluster-setup --build` makes and pushes a new image of the file server"

# An image without a digest has never been in a registry (--load); nodes that are made anew don't have it.
_LOADED_AGAIN = "the nodes don't have it (any more): `womm setup` loads it again"
_LOADED_SERVER_AGAIN = "the nodes don't have it (any more): `womm cluster-setup --build --load COMMAND`"

# What a registry or a node says when asking again is of no use, and the way out ("": a new image).
_REFUSED_PULLS = (
    (
        r"unauthorized|authentication required|authorization failed|access denied|basic auth|\b40[13]\b",
        "the nodes need a login to the registry: kubectl create secret docker-registry NAME …, and then"
        " womm setup --pull-secret NAME",
    ),
    (
        r"HTTP response to HTTPS client",
        "the nodes expect TLS of this registry: ask who runs the cluster to allow it without, or push to"
        " another one (--prefix)",
    ),
    (
        r"\bx509:",
        "the nodes don't trust the registry's certificate: ask who runs the cluster, or push to another one"
        " (--prefix)",
    ),
    (r"no match for platform", "the nodes need one of their architecture: womm setup --base-image IMAGE"),
    (r"not found|(manifest|name) unknown|invalid reference", ""),
)  # fmt: skip

# What the scheduler says, and the way out. Autoscalers aside.
_UNSCHEDULABLE = (
    (r"Insufficient cpu", "ask for less: --kube-cpu N"),
    (r"Insufficient memory", "ask for less: --kube-mem N"),
    (
        r"Insufficient ephemeral-storage",
        "no node's disk has so much room left for a copy of the directory: leave something out (.wommignore)",
    ),
    (r"node affinity|node selector", "no node has the labels: see kubectl get nodes --show-labels"),
    (r"taint", "nodes with a taint take only pods that tolerate it: --kube-toleration KEY"),
)


@dataclass(frozen=True)
class Problem:
    """Why a pod does not run: `hopeless`: no waiting will mend it; `hint`: the way out.

    `crashed` is the pod and container that ended, whose log tells more.
    """

    message: str
    hopeless: bool = False
    hint: str = field(default="", compare=False)
    crashed: tuple[str, str] | None = field(default=None, compare=False)


def explain(pod: Mapping[str, Any], main: str) -> Problem | None:
    """Why this pod does not run; None if nothing is known to be wrong. `main` names its main container."""
    status = pod.get("status", {})
    if "deletionTimestamp" in pod["metadata"] or status.get("phase") in ("Failed", "Succeeded"):
        # It will not run any more, and another one will in its place.
        return None
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            message = str(condition.get("message") or condition.get("reason", ""))
            # Each node may have a reason of its own.
            ways = [hint for pattern, hint in _UNSCHEDULABLE if re.search(pattern, message)]
            return Problem(message, hint="; ".join(ways))
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        if (found := _explain_container(pod, container, main)) is not None:
            return found
    return None


def _explain_container(pod: Mapping[str, Any], container: Mapping[str, Any], main: str) -> Problem | None:
    name, state = container["name"], container.get("state", {})
    new_image = _NEW_IMAGE if name == CONTAINER else _NEW_SERVER_IMAGE
    ended = death(container) if "running" not in state else None
    if ended is not None and ended.get("reason") in _NOT_STARTED:
        return Problem(f"{ended['reason']}: {ended.get('message', '')}".rstrip(": "), True, new_image)
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _PULLING:
        known = _find(_REFUSED_PULLS, message)
        # A registry may answer the next time: what it failed of is told, and it is asked once more.
        hopeless = known is not None or reason == "ImagePullBackOff"
        way_out = (known or new_image) if known is not None else _REACH
        if "@" not in container.get("image", "@"):
            way_out = _LOADED_AGAIN if name == CONTAINER else _LOADED_SERVER_AGAIN
        return Problem(f"{reason}: {message}".rstrip(": "), hopeless, way_out)
    if reason in _EXPLAINED and not _PASSING.search(message):
        return Problem(f"{reason}: {message}".rstrip(": "), reason in _HOPELESS, new_image)
    if ended is None or (ended.get("exitCode") == 0 and name != main):
        return None
    status = ended.get("exitCode", 0)
    # The main container never ends by itself; where it is killed, or another one fails, it is tried again.
    hopeless = (name == main and status < 128) or container.get("restartCount", 0) >= _TRIES
    why = f"container {name}: {why_ended(pod, container)}"
    return Problem(why, hopeless, new_image, (pod["metadata"]["name"], name))


def with_log(problem: Problem, log: str, image_arch: str, node_arch: str) -> Problem:
    """The problem of a container that ended, told with what its `log` says."""
    last = " / ".join(log.split("\n")[-5:])
    told = replace(problem, message=f"{problem.message}; its last lines: {last}" if last else problem.message)
    if "exec format error" in log:
        whose = f"the image is for {image_arch}, and the node is {node_arch}"
        if image_arch == node_arch:
            whose = f"the image calls itself one for {image_arch}, as the node is, and its programs are not"
        return replace(
            told,
            message=f"{told.message} ({whose})",
            hopeless=True,
            hint=f"womm setup --base-image IMAGE, with one for {node_arch}",
        )
    if re.search(r"^exec \S+: no such file", log):
        return replace(told, hopeless=True)
    return told


def death(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How a container ended, now or before it was started anew; None if it never did."""
    ended: Mapping[str, Any] | None = container.get("state", {}).get("terminated") or container.get(
        "lastState", {}
    ).get("terminated")
    return ended


def why_ended(pod: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """Why a container of this pod ended, as far as something is known."""
    if status := pod.get("status", {}).get("reason"):
        return f"{status}: {pod['status'].get('message', '')}".rstrip(": ")
    ended = death(container)
    if ended is None:
        return ""
    memory = next(_memory_limits(pod, container["name"]), "its limit")
    if ended.get("reason") == "OOMKilled":
        return f"out of memory at {memory}: --kube-mem"
    if ended.get("exitCode") == _KILLED:
        return killed(memory)
    return f"its container ended with status {ended.get('exitCode')}"


def _memory_limits(pod: Mapping[str, Any], name: str) -> Iterator[str]:
    spec = pod.get("spec", {})
    for container in [*spec.get("initContainers", []), *spec.get("containers", [])]:
        if container["name"] == name and "memory" in container.get("resources", {}).get("limits", {}):
            yield container["resources"]["limits"]["memory"]


def killed(memory: str) -> str:
    """Why everything in a container may have been killed, and the way out."""
    return f"everything in its container was killed, as happens out of memory at {memory}: --kube-mem"


def _find(table: tuple[tuple[str, str], ...], text: str) -> str | None:
    return next((hint for pattern, hint in table if re.search(pattern, text)), None)
