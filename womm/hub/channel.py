"""One pod's channel: dialled, greeted, redialled when it is cut, given up when that has no end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from womm.hub import frames
from womm.hub.dial import DialFailed, Dialler, Place
from womm.hub.frames import Frame, Violation
from womm.hub.links import Ended, Link
from womm.hub.session import Session
from womm.hub.table import Job, Table

# Seconds between two pings, at most; so many in the dead-man time, because an agent that hears nothing for
# that long kills its jobs; a channel without a byte in the time of so many counts as dead.
_PING, _PINGS = 5.0, 3
# Seconds that an agent may take to greet, and to end its jobs when it is told to quit.
_GREETING, _QUIT = 10.0, 2.5
# Seconds after which a channel's task is cancelled once more.
_ONCE_MORE = 0.1
# Seconds between two tries to dial, at first and at most.
_SOON, _SELDOM = 0.2, 5.0
# Seconds added to the dead-man time: one from TERM to KILL, two for clocks and buffers between here and the
# agent.
_MARGIN = 3.0
# A process that was killed from outside, as a whole container is when its memory runs out.
_KILLED = 128 + 9


class Channel:
    """The hub's way into one pod. `changed()` is called when `up`, `free` or `over` may have changed."""

    def __init__(
        self, place: Place, dialler: Dialler, slots: int, dead_man: int, changed: Callable[[], None]
    ) -> None:
        self.place, self._dialler, self._slots, self._dead_man = place, dialler, slots, dead_man
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._session = Session()
        self._jobs = Table(place.pod, self.send, changed)
        self._link: Link | None = None
        self._heard = 0.0
        self._cut = asyncio.Event()
        self._ended = Ended()
        # What is known of the container's end: the reason, and whether it died by itself.
        self._gone: tuple[str, bool] | None = None
        self._news = asyncio.Event()
        self._distrusted = False
        self._last_words: asyncio.TimerHandle | None = None
        self.up = self.over = False
        #: Whether another agent has answered than the one before: maybe in a container that was started anew.
        self.renewed = False
        #: Whether nothing that was started over it can run any more.
        self.abandoned = True
        #: What the last dial failed of.
        self.complaint = ""
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._stopped)

    # What the hub asks of it.

    @property
    def free(self) -> int:
        """Jobslots that are free now; below 0 if there are more jobs than slots."""
        return self._slots - len(self._jobs)

    @property
    def stream_ended(self) -> bool:
        """Whether the agent's last stream is known to have ended with its program, not to have been cut."""
        return not self.up and self._ended.status is not None

    def start(self, job: Job) -> None:
        """Run a job; it is told what becomes of it."""
        self._jobs.start(job)

    def hold(self) -> None:
        """Hold the ends of jobs back: see Table.hold."""
        self._jobs.hold()

    def release(self) -> None:
        """Tell them."""
        self._jobs.release()

    def send(self, frame: bytes) -> None:
        """Send a frame, now or over the next channel."""
        self._session.keep(frame)
        if self.up and self._link is not None:
            self._link.write(frame)

    def container_gone(self, reason: str, died: bool) -> None:
        """The container is known to be gone: what ran in it is over."""
        if self._gone is None:
            self._gone = (reason, died)
            self._news.set()
            if self._link is not None:
                # What is on its way still counts. And if an agent lives there after all, it ends its jobs:
                # they will run again.
                if self.up:
                    self._link.write(frames.encode(frames.QUIT))
                self._last_words = self._loop.call_later(_QUIT, self._link.abort)

    async def quit(self) -> None:
        """End the agent and its jobs, and then the channel."""
        self.over = True
        # Before Python 3.12, wait_for forgets a cancellation that comes together with its result.
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_ONCE_MORE)
        if self.up and self._link is not None:
            self._link.write(frames.encode(frames.QUIT))
            # The agent ends the stream when its last job has ended.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._cut.wait(), _QUIT)
        self._detach(self._link)
        self._jobs.lose("its channel was closed", died=False)

    # The life of the channel.

    async def _run(self) -> None:
        patience = _SOON
        deadline: float | None = None
        while True:
            try:
                if self._distrusted or self._gone is not None:
                    raise DialFailed(self.complaint)
                # A node that is gone does not even refuse.
                left = _GREETING if deadline is None else deadline - self._loop.time()
                await self._dial(min(_GREETING, left))
            except DialFailed as failure:
                self.complaint = str(failure)
                self._changed()
            else:
                patience, deadline = _SOON, None
                self._changed()
                await self._watch()
                deadline = self._loop.time() + self._dead_man + _MARGIN
                self._changed()
            if self._gone is not None:
                self._give_up(*self._gone)
                return
            if deadline is not None and self._loop.time() > deadline:
                # Whatever still runs there has killed itself by now.
                self._jobs.lose("its channel was cut and could not be had back", died=False)
                self._session = Session()
                self._distrusted = False
                self.renewed = self.abandoned = True
                deadline = None
                self._changed()
            await self._pause(patience)
            patience = min(patience * 2, _SELDOM if deadline is None else 1.0)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        # A bug of ours must not look like a pod that does not answer, nor hold its jobs for ever.
        if not task.cancelled() and (bug := task.exception()) is not None:
            self.complaint = f"bug: {bug!r}"
            self._loop.call_exception_handler({"message": f"channel to {self.place.pod}", "exception": bug})
            self._detach(self._link)
            self._changed()
            self._loop.call_later(self._dead_man + _MARGIN, self._give_up, self.complaint, False)

    def _give_up(self, reason: str, died: bool) -> None:
        self._jobs.lose(reason, died)
        self.over = True
        self._changed()

    async def _pause(self, seconds: float) -> None:
        self._news.clear()
        if self._gone is None:
            try:
                await asyncio.wait_for(self._news.wait(), seconds)
            except asyncio.TimeoutError:
                return

    async def _dial(self, patience: float) -> None:
        # Returns with the channel up. Raises DialFailed; also if no agent greets for `patience` seconds.
        def hello() -> bytes:
            self._session.begin_channel()
            place = self.place
            return frames.greet(
                self._session.key, self._session.received, self._dead_man, place.directory, place.shell
            )

        failure = DialFailed("")
        for transport in self._dialler.candidates():
            greeted: asyncio.Future[None] = self._loop.create_future()
            link = None
            try:
                link = await self._dialler.open(transport, self.place)
                self._attach(link, greeted)
                link.write(self._dialler.agent + hello())
                await asyncio.wait_for(greeted, patience)
            except (DialFailed, Violation, asyncio.TimeoutError, OSError) as error:
                reason = "no answer" if isinstance(error, asyncio.TimeoutError) else str(error)
                failure = DialFailed(reason or failure.args[0])
                self._detach(link)
                if not self._dialler.try_next(link):
                    break
            except asyncio.CancelledError:
                self._detach(link)
                raise
            else:
                self._dialler.proven(transport)
                return
        raise failure

    def _attach(self, link: Link, greeted: asyncio.Future[None]) -> None:
        self._link = link
        self._cut.clear()

        def first(data: bytes) -> None:
            try:
                frame = self._session.greeting(data)
                if frame is not None and not greeted.done():
                    self._greeted(frame)
                    link.received = self._received
                    greeted.set_result(None)
                    self._received(b"")
            except Violation as violation:
                if not greeted.done():
                    greeted.set_exception(violation)

        def ended(why: Ended) -> None:
            if self.up:
                self._ended = why
            self.up = False
            self._cut.set()
            if not greeted.done():
                greeted.set_exception(DialFailed(why.reason or f"exit status {why.status}"))

        link.received, link.ended = first, ended

    def _detach(self, link: Link | None) -> None:
        self._link = None
        self.up = False
        if link is not None:
            link.received = lambda _data: None
            link.ended = lambda _why: None
            link.abort()

    def _greeted(self, frame: Frame) -> None:
        greeting = frames.understand(frame)
        if greeting.answer == "busy":
            raise Violation(greeting.reason or "another womm's agent is in the pod")
        session, gone = self._session, self._gone
        if greeting.answer == "new" and (session.sent or session.received or gone is not None):
            # The agent had died, alone or with its container, and the new one has killed what it left. What
            # was told of an end was that of the container before.
            self._session = Session(session.key)
            self._session.begin_channel()
            self.renewed, self._gone = True, None
            if self._last_words is not None:
                self._last_words.cancel()
            self._jobs.lose(*(gone or (self._why_died(), bool(self._ended.status))))
        assert self._link is not None
        self.up, self.abandoned = True, False
        self._ended = Ended()
        self._heard = self._loop.time()
        for again in self._session.resume(greeting.received):
            self._link.write(again)

    async def _watch(self) -> None:
        # Returns when the channel is cut.
        pause = min(_PING, self._dead_man / _PINGS)
        while not self._cut.is_set():
            self.send(frames.encode(frames.PING))
            try:
                await asyncio.wait_for(self._cut.wait(), pause)
            except asyncio.TimeoutError:
                if self._loop.time() - self._heard > _PINGS * pause and self._link is not None:
                    self._link.abort()
        self._link = None

    # What arrives.

    def _received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            for frame in self._session.take(data):
                self._handle(frame)
        except Violation as violation:
            # Nothing that this agent says can be believed: its pod is given up, but not before the
            # dead-man time has passed.
            self.complaint = f"{self.place.pod} does not keep to the protocol: {violation}"
            self._distrusted = True
            self._detach(self._link)
            self._cut.set()
            return
        if (due := self._session.due()) is not None:
            self.send(due)

    def _handle(self, frame: Frame) -> None:
        if frame.type == frames.ACKNOWLEDGE:
            self._session.acknowledged(frames.number(frame.payload))
        else:
            self._jobs.handle(frame)

    def _why_died(self) -> str:
        if self._ended.status == _KILLED:
            return self.place.killed
        return "its agent died" if self._ended.status else "it heard nothing of this machine for too long"
