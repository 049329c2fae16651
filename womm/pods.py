"""A task's pods as they come and go: what may be told from the events of `kubectl get pods -w` (pure)."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: The name of the container that jobs run in.
CONTAINER = "womm"

# A container's reasons to wait that are worth telling; the first group no waiting will mend.
_HOPELESS = {
    "CreateContainerError", "ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "RunContainerError",
}  # fmt: skip
_EXPLAINED = _HOPELESS | {"ErrImagePull", "CreateContainerConfigError"}
# With more jobslots on one login GNU parallel tries each of them out before it starts.
_MOST_SLOTS = 9
# A container that failed so often will fail again.
_TRIES = 3


@dataclass(frozen=True)
class Problem:
    """Why pods don't run: `message` in Kubernetes' own words; `hopeless`: no waiting will mend it.

    `crashed` is the pod and container whose log tells more, if one does.
    """

    message: str
    hopeless: bool = False
    crashed: tuple[str, str] | None = field(default=None, compare=False)


class Decoder:
    """Cuts a stream of JSON documents into events, however its bytes arrive."""

    def __init__(self) -> None:
        self._bytes = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._json = json.JSONDecoder()

    def feed(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """Take in `chunk`; yield each event that is complete now. Raises ValueError for what is none."""
        self._text = (self._text + self._bytes.decode(chunk)).lstrip()
        while self._text:
            if not self._text.startswith("{"):
                raise ValueError(f"not an event: {self._text[:100]!r}")
            try:
                event, end = self._json.raw_decode(self._text)
            except json.JSONDecodeError:
                return
            self._text = self._text[end:].lstrip()
            yield event


def is_usable(pod: Mapping[str, Any]) -> bool:
    """Whether jobs may start in this pod: its container runs, and nobody has asked it to end."""
    if "deletionTimestamp" in pod["metadata"] or pod.get("status", {}).get("phase") != "Running":
        return False
    return any(
        status["name"] == CONTAINER and "running" in status.get("state", {})
        for status in pod["status"].get("containerStatuses", [])
    )


def explain(pod: Mapping[str, Any]) -> Problem | None:
    """Why this pod does not run; None if nothing is known to be wrong."""
    status = pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Problem(str(condition.get("message") or condition.get("reason", "")))
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    for container in containers:
        waiting = container.get("state", {}).get("waiting", {})
        reason = waiting.get("reason", "")
        if reason in _EXPLAINED:
            return Problem(f"{reason}: {waiting.get('message', '')}".rstrip(": "), reason in _HOPELESS)
        if reason == "CrashLoopBackOff" and container.get("restartCount", 0) >= _TRIES:
            crashed = (pod["metadata"]["name"], container["name"])
            return Problem(f"container {container['name']} keeps ending", True, crashed)
    return None


def refusals(deployment: Mapping[str, Any]) -> list[str]:
    """Why the cluster makes no pods for this deployment: Pod Security, quota, LimitRange; [] if it does."""
    return [
        str(condition.get("message", ""))
        for condition in deployment.get("status", {}).get("conditions", [])
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
    ]


class Table:
    """The task's pods by name, kept up to date by events."""

    def __init__(self) -> None:
        self._pods: dict[str, Mapping[str, Any]] = {}

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take in one watch event ({"type": …, "object": the pod})."""
        pod = event["object"]
        if pod.get("kind") != "Pod":
            return
        name = pod["metadata"]["name"]
        if event["type"] == "DELETED":
            self._pods.pop(name, None)
        else:
            self._pods[name] = pod

    def restart(self) -> None:
        """Forget everything: a new watch begins with all that there is."""
        self._pods.clear()

    def usable(self) -> list[str]:
        """The names of the pods that take jobs, sorted."""
        return sorted(name for name, pod in self._pods.items() if is_usable(pod))

    def problems(self) -> list[Problem]:
        """Why pods don't run: each reason once."""
        return list(dict.fromkeys(filter(None, map(explain, self._pods.values()))))

    def __len__(self) -> int:
        return len(self._pods)


def login_lines(usable: Iterable[str], slots: int, task_name: str, whole: bool = False) -> str:
    """GNU parallel's login file for these pods.

    Never empty: with an empty one GNU parallel runs the jobs on this machine. Without a pod one login
    stays, the task itself, whose jobs wait for a pod. The `N/` keeps GNU parallel from counting cpus.
    A pod with many slots has several logins (POD, POD.1, POD.2), unless it has to stay `whole`.
    """
    most = slots if whole else _MOST_SLOTS
    lines = [
        f"{min(most, slots - first)}/{name}{f'.{first // most}' if first else ''}\n"
        for name in usable
        for first in range(0, slots, most)
    ]
    return "".join(lines) or f"1/{task_name}\n"
