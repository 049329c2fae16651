"""The jobs of one channel: their numbers, their credit, what the agent says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from womm.hub import frames
from womm.hub.frames import Frame, Violation


class Job(Protocol):
    """What a channel has to know of a job."""

    @property
    def request(self) -> bytes:
        """The payload of its RUN frame."""

    @property
    def decided(self) -> bool:
        """Whether its end makes no difference any more."""

    def began(self, table: Table, number: int) -> None:
        """It runs."""

    def output(self, stream: int, data: bytes) -> None:
        """It wrote to stdout (1) or stderr (2)."""

    def credit(self, n: int) -> None:
        """It takes `n` more bytes of stdin. Raises Violation for too many."""

    def closed(self) -> None:
        """It reads no more stdin."""

    def exited(self, status: int) -> None:
        """It has ended, with this wait status."""

    def lost(self, reason: str, died: bool, ended: int | None) -> None:
        """It was lost with its pod, and no copy of it runs any more. `died`: the container did, by itself.

        `ended`: the wait status of an end that was held back.
        """


class Table:
    """The jobs that run in one pod. `send` sends a frame to its agent; `ended()` is called when one ends."""

    def __init__(self, pod: str, send: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self.pod, self.send, self._ended = pod, send, ended
        self._jobs: dict[int, Job] = {}
        self._credit: dict[tuple[int, int], int] = {}
        self._number = 0
        # While ends are held back: those that have come.
        self._held: dict[int, int] | None = None

    def __len__(self) -> int:
        return len(self._jobs)

    def start(self, job: Job) -> None:
        """Run a job; it is told what becomes of it."""
        self._number += 1
        number = self._number
        self._jobs[number] = job
        self._credit[number, 1] = self._credit[number, 2] = frames.WINDOW
        self.send(frames.encode(frames.RUN, number, job.request))
        job.began(self, number)

    def give_credit(self, number: int, stream: int, n: int) -> None:
        """`n` more bytes of a job's output may come."""
        if number in self._jobs:
            self._credit[number, stream] += n
            self.send(frames.credit_for(number, stream, n))

    def kill(self, number: int) -> None:
        """Nobody waits for a job any more: end it, whether its end is held back or is yet to come."""
        if self._held and number in self._held:
            self._end(number, self._held.pop(number))
        else:
            self.send(frames.encode(frames.KILL, number))

    def handle(self, frame: Frame) -> None:
        """Do what a frame from the agent says. Raises Violation."""
        kind, number, payload = frame
        job = self._jobs.get(number)
        if job is None:
            raise Violation(f"job {number} is not its own")
        if kind in (frames.STDOUT, frames.STDERR):
            stream = 1 if kind == frames.STDOUT else 2
            self._credit[number, stream] -= len(payload)
            if self._credit[number, stream] < 0:
                raise Violation(f"more output of job {number} than it has credit for")
            job.output(stream, payload)
        elif kind == frames.CREDIT:
            job.credit(frames.number(payload))
        elif kind == frames.CLOSED:
            job.closed()
        elif kind == frames.EXIT:
            status = frames.number(payload)
            if self._held is None or job.decided:
                self._end(number, status)
            else:
                self._held[number] = status
        else:
            raise Violation(f"a frame of type {kind}")

    def hold(self) -> None:
        """Tell no job's end until release(): if the pod is lost before, the job is lost with it."""
        if self._held is None:
            self._held = {}

    def release(self) -> None:
        """Tell the ends that were held back, and those to come."""
        held, self._held = self._held or {}, None
        for number, status in held.items():
            if number in self._jobs:
                self._end(number, status)

    def _end(self, number: int, status: int) -> None:
        job = self._jobs.pop(number)
        del self._credit[number, 1], self._credit[number, 2]
        job.exited(status)
        self._ended()

    def lose(self, reason: str, died: bool) -> None:
        """All jobs are lost, and over: see Job.lost."""
        lost, held = list(self._jobs.items()), self._held or {}
        self._jobs.clear()
        self._credit.clear()
        if self._held is not None:
            self._held = {}
        for number, job in lost:
            job.lost(reason, died, held.get(number))
