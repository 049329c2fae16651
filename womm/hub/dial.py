"""The ways to a pod: WebSockets through one `kubectl proxy`, or a `kubectl exec -i` each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from womm.beside import Background, background
from womm.files import SCRIPTS
from womm.hub.links import Link, Plain, WebSocket, open_plain, open_websocket
from womm.kubectl import Kube

# The agent's parts; the last one runs it.
_AGENT = ("agent-channel", "agent-terminal", "agent-shell", "agent-back", "agent-jobs", "agent")
# Seconds that the start of `kubectl proxy` may take, and between two looks at it.
_START, _GLANCE = 20.0, 0.02


@dataclass(frozen=True)
class Place:
    """Where a channel leads: a pod's container, the command that starts its agent, what jobs begin with.

    `killed` says what it means if everything in the container was killed.
    """

    pod: str
    container: str
    command: Sequence[str]
    directory: bytes
    shell: bytes
    killed: str


class DialFailed(Exception):
    """This way led to no agent; the message says why."""


class Proxy:
    """One `kubectl proxy` on a private Unix socket, which lets through exec into our pods and nothing else.

    Started when it is first needed, and again if it has died.
    """

    def __init__(self, kube: Kube, directory: Path, pods: Sequence[str], env: dict[str, str]) -> None:
        self._kube, self._directory, self._env = kube, directory, env
        self._paths = ",".join(f"^/api/v1/namespaces/{kube.namespace}/pods/{pod}/exec$" for pod in pods)
        self._process: Background | None = None
        self._number = 0

    def start(self) -> None:
        """Start it unless it runs. It needs a moment."""
        if self._process is not None and self._process.running:
            return
        self.stop()
        # A proxy that was killed leaves its socket behind, and the next one can't have that name.
        self._number += 1
        self._process = background(
            self._kube.argv(
                "proxy",
                f"--unix-socket={self._path}",
                f"--accept-paths={self._paths}",
                # By default it rejects exec.
                "--reject-paths=^$",
            ),
            env=self._env,
        )

    async def path(self) -> str:
        """The socket's path, once it can be connected to. Raises DialFailed."""
        self.start()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _START
        while not os.path.exists(self._path):
            if self._process is None or not self._process.running or loop.time() > deadline:
                said = self._process.end() if self._process is not None else ""
                raise DialFailed(f"kubectl proxy: {said or 'it does not start'}")
            await asyncio.sleep(_GLANCE)
        return self._path

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.end()
            self._process = None
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    @property
    def _path(self) -> str:
        return f"{self._directory}/kube-{self._number}"


class Dialler:
    """Opens links. With "auto", the first way that leads to an agent is the run's.

    Once that is the WebSocket, a `kubectl exec` takes its place where the upgrade is blocked, and there only:
    200 pods that can't be reached for a while would cost 200 kubectl again and again.
    """

    def __init__(self, kube: Kube, proxy: Proxy, transport: str, env: dict[str, str]) -> None:
        self._kube, self._proxy, self._env = kube, proxy, env
        self._choice = transport
        self._auto = transport == "auto"
        #: What is sent first on every link: the agent's source.
        self.agent = agent_source()
        self._boot = boot_source()

    def command(self, task: str) -> tuple[str, ...]:
        """The command that starts the agent, or finds the one that lives, in a pod."""
        return ("perl", "-e", self._boot, str(len(self.agent)), task)

    def start(self) -> None:
        """Start what takes a moment."""
        if self._choice != "exec":
            self._proxy.start()

    def candidates(self) -> tuple[str, ...]:
        """The transports to be tried, in this order, as long as try_next() says so."""
        return ("websocket", "exec") if self._auto and self._choice != "exec" else (self._choice,)

    def try_next(self, failed: Link | None) -> bool:
        """Whether to try the next transport, after the link `failed` (None: there was none)."""
        return self._choice == "auto" or (failed is not None and failed.blocked)

    def proven(self, transport: str) -> None:
        """An agent has answered by way of `transport`."""
        # One pod that was slow to answer is no reason to leave the way that leads to all others.
        if self._choice == "auto":
            self._choice = transport

    async def open(self, transport: str, place: Place) -> Link:
        """Open a link. Raises DialFailed or OSError."""
        if transport == "exec":
            return await self._exec(place)
        path = await self._proxy.path()
        return await open_websocket(path, WebSocket(self._kube, place.pod, place.container, place.command))

    def stop(self) -> None:
        """End what was started."""
        self._proxy.stop()

    async def _exec(self, place: Place) -> Link:
        ours, theirs = socket.socketpair()
        with theirs:
            process = background(
                self._kube.argv("exec", "-i", place.pod, "-c", place.container, "--", *place.command),
                stdio=theirs.fileno(),
                env=self._env,
            )
        return await open_plain(ours, Plain(process))


def agent_source() -> bytes:
    """The agent, of its parts; each is in braces, which keep its variables as a file would."""
    return b"".join(b"{\n%s}\n" % stripped(f"{part}.pl") for part in _AGENT)


def boot_source() -> str:
    """What reads the agent and evaluates it, on one line."""
    return " ".join(stripped("agent-boot.pl").decode().split("\n")).strip()


def stripped(script: str) -> bytes:
    """The text of one of womm's scripts without its whole-line comments: it is sent often."""
    text = (SCRIPTS / script).read_text(encoding="utf-8")
    return "".join(f"{line}\n" for line in text.splitlines() if not re.match(r"\s*(#|$)", line)).encode()
