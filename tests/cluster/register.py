"""A register of the jobs that run: each signs in, and holds a connection for as long as it lives."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

#: This machine, as pods see it.
HOST = os.environ.get("WOMM_TEST_HOST", "10.88.0.1")


class Register:
    """Notes which jobs run, by the names that they give themselves.

    `runs`: how often a name was seen; `together` and `most`: how many of a name live now, and did at most;
    `began` and `ended`: when (by time.time), in that order.
    """

    def __init__(self) -> None:
        self.together: Counter[bytes] = Counter()
        self.most: Counter[bytes] = Counter()
        self.runs: Counter[bytes] = Counter()
        self.began: list[tuple[float, bytes]] = []
        self.ended: list[tuple[float, bytes]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server((HOST, 0), backlog=200)
        self.port = self._listener.getsockname()[1]
        # Bound, and so refusing: it listens once they are released.
        self._gate = socket.socket()
        self._gate.bind((HOST, 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def job(self, command: str, name: str = "{}") -> str:
        """A job that signs in as `name`, and then runs `command`. (For bash.)

        Whatever it starts holds the connection, too.
        """
        return f"exec 3<>/dev/tcp/{HOST}/{self.port}; echo {name} >&3; {command}"

    @property
    def held(self) -> str:
        """A command that lasts until release(). (For bash.)"""
        port = self._gate.getsockname()[1]
        return f"until (exec 4<>/dev/tcp/{HOST}/{port}) 2>/dev/null; do sleep 0.2; done"

    def release(self) -> None:
        """Let the jobs that are `held` go on."""
        self._gate.listen(200)

    @property
    def living(self) -> int:
        """How many live now."""
        with self._lock:
            return sum(self.together.values())

    def end_of(self, name: bytes) -> float:
        """When the last process of a job has gone, or 0."""
        with self._lock:
            return max((at for at, ended in self.ended if ended == name), default=0.0)

    def close(self) -> None:
        """Take no more."""
        self._listener.close()
        self._gate.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._watch, args=(connection,), daemon=True).start()

    def _watch(self, connection: socket.socket) -> None:
        with connection:
            name = connection.makefile("rb").readline()
            with self._lock:
                self.began.append((time.time(), name))
                self.runs[name] += 1
                self.together[name] += 1
                self.most[name] = max(self.most[name], self.together[name])
            try:
                while connection.recv(100):
                    pass
            except OSError:
                pass
            with self._lock:
                self.ended.append((time.time(), name))
                self.together[name] -= 1


@contextmanager
def opened() -> Iterator[Register]:
    """A register for as long as the context lasts."""
    register = Register()
    try:
        yield register
    finally:
        register.close()
