"""A task's pods as they come and go: what may be told from the events of `kubectl get pods -w` (pure)."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from womm.problems import CONTAINER, Problem, explain, why_ended


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


@dataclass(frozen=True)
class PodState:
    """What the hub has to know of a pod.

    `container` identifies the present life of the container that jobs run in: it changes when that is
    started anew. `reason` is why it ended, where something is known.
    """

    name: str
    container: str
    running: bool
    usable: bool
    leaving: bool
    reason: str


def state(pod: Mapping[str, Any], deleted: bool = False) -> PodState:
    """What is to be known of this pod; `deleted`: it is gone from the API."""
    status = pod.get("status", {})
    ours = [c for c in status.get("containerStatuses", []) if c["name"] == CONTAINER]
    container: Mapping[str, Any] = ours[0] if ours else {}
    return PodState(
        name=pod["metadata"]["name"],
        container=container.get("containerID", ""),
        running="running" in container.get("state", {}),
        usable=not deleted and is_usable(pod),
        leaving=deleted or "deletionTimestamp" in pod["metadata"],
        reason=why_ended(pod, container),
    )


def is_usable(pod: Mapping[str, Any]) -> bool:
    """Whether jobs may start in this pod: its container runs, and nobody has asked it to end."""
    if "deletionTimestamp" in pod["metadata"] or pod.get("status", {}).get("phase") != "Running":
        return False
    return any(
        status["name"] == CONTAINER and "running" in status.get("state", {})
        for status in pod["status"].get("containerStatuses", [])
    )


class Table:
    """The task's pods by name, kept up to date by events."""

    def __init__(self) -> None:
        # What is told of a pod, worked out once: with a thousand of them each event would cost all of that.
        self._pods: dict[str, tuple[PodState, Problem | None]] = {}
        self._deleted: dict[str, PodState] = {}
        self._unseen: set[str] = set()

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take in one watch event ({"type": …, "object": the pod})."""
        pod = event["object"]
        if pod.get("kind") != "Pod":
            return
        name = pod["metadata"]["name"]
        self._unseen.discard(name)
        if event["type"] == "DELETED":
            self._pods.pop(name, None)
            self._deleted[name] = state(pod, deleted=True)
        else:
            self._pods[name] = state(pod), explain(pod, CONTAINER)

    def restart(self) -> None:
        """A new watch begins: it tells all that there is, but not when it has done so."""
        self._unseen = set(self._pods)

    def settle(self) -> None:
        """The new watch has had its time: what it did not tell of was deleted meanwhile."""
        for name in self._unseen:
            last, _ = self._pods.pop(name)
            self._deleted[name] = replace(last, usable=False, leaving=True)
        self._unseen = set()

    def states(self) -> list[PodState]:
        """All pods, those that were deleted, too."""
        return [*self._deleted.values(), *(last for last, _ in self._pods.values())]

    def usable(self) -> list[str]:
        """The names of the pods that take jobs, sorted."""
        return sorted(name for name, (last, _) in self._pods.items() if last.usable)

    def problems(self) -> list[Problem]:
        """Why pods don't run: each reason once."""
        return list(dict.fromkeys(problem for _, problem in self._pods.values() if problem is not None))

    def stuck(self) -> bool:
        """Whether there are pods, and none that may yet run without help."""
        return bool(self._pods) and all(problem for _, problem in self._pods.values())

    def __len__(self) -> int:
        return len(self._pods)
