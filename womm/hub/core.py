"""What the hub does in its loop: pods come and go, jobs wait, run, and run again."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from womm.hub import frames
from womm.hub.calls import Call, accept
from womm.hub.channel import Channel
from womm.hub.dial import Dialler, Place, Proxy
from womm.hub.job import Job, Rules, Wanted
from womm.hub.places import Places
from womm.kubectl import Kube
from womm.pods import PodState
from womm.problems import CONTAINER, killed

# Seconds that a pod which is only to be reached by name may take, and between two looks at it.
_REACH, _GLANCE = 30.0, 0.02
# Jobslots of such a pod: it is not for jobs.
_NO_LIMIT = 1 << 20
# Seconds after which pods are announced once more; each time three times as many, up to this.
_REMINDER, _LAST_REMINDER = 1.5, 15.0


@dataclass(frozen=True)
class Settings:
    """What a hub is told once. `slots` per pod; `dead_man` in seconds; `environment` marks its processes."""

    kube: Kube
    task: str
    run: Path
    slots: int
    directory: bytes
    shell: bytes
    rules: Rules
    environment: Mapping[str, str]
    dead_man: int = 30
    transport: str = "auto"
    #: Pods beside the task's that may be reached by name, with their containers.
    others: Mapping[str, str] = field(default_factory=dict)


class Core:
    """All that lives in the loop's thread; nothing of it may be called from another one."""

    def __init__(
        self, settings: Settings, ready: Callable[[list[str]], None], tell: Callable[[str], None]
    ) -> None:
        self._settings, self._ready, self._tell = settings, ready, tell
        self._loop = asyncio.get_running_loop()
        pods = [f"womm-task-{settings.task}-[^/]+", *settings.others]
        proxy = Proxy(settings.kube, settings.run, pods, dict(settings.environment))
        self._dialler = Dialler(settings.kube, proxy, settings.transport, dict(settings.environment))
        self._dialler.start()
        self._channels: dict[str, Channel] = {}
        self._pods: dict[str, PodState] = {}
        # The container that each channel leads to.
        self._containers: dict[str, str] = {}
        self._queue: deque[Job] = deque()
        self._calls: set[Call] = set()
        self._places = Places(settings.run)
        # The pods that take jobs, and as they were told.
        self._taking: set[str] = set()
        self._announced: list[str] = []
        self._called = self._complained = False
        self._leaving: set[asyncio.Task[None]] = set()
        self._end = ""
        # Whether what jobs have done may be worth nothing.
        self._doubted = False
        # Pods that are being deleted as it is worth nothing there: a pod's name never comes again.
        self._condemned: set[str] = set()
        self._closing = False
        self.reached = False
        self.complaint = ""
        self.stopping = asyncio.Event()
        # They will be asked for soon: the way there takes a tenth of a second.
        for host, container in settings.others.items():
            self._open(host, container, _NO_LIMIT)

    # Pods come and go.

    def see(self, pods: Sequence[PodState]) -> None:
        # Of a thousand pods hardly one has changed.
        known, self._pods = self._pods, {pod.name: pod for pod in pods}
        self._changed([name for name, pod in self._pods.items() if known.get(name) is not pod])

    def _judge(self, name: str, channel: Channel) -> None:
        # Is the container behind a channel known to be gone? A pod that is deleted by force is gone from
        # the API before its container is: then the end of the exec stream tells.
        pod = self._pods[name]
        known = self._containers[name] = self._containers[name] or pod.container
        if channel.renewed and pod.running and pod.container != known:
            # The watch tells later than the redial: that is where the new agent is.
            channel.renewed = False
            known = self._containers[name] = pod.container
        ended = pod.container != known or not pod.running
        if ended and (channel.stream_ended or channel.abandoned or not channel.renewed):
            reason = "its pod was deleted" if pod.leaving else pod.reason or "its container ended"
            channel.container_gone(reason, died=not pod.leaving)
        elif pod.leaving and (channel.stream_ended or channel.abandoned):
            channel.container_gone("its pod was deleted", died=False)

    def _open(self, pod: str, container: str, slots: int) -> Channel:
        settings = self._settings
        place = Place(
            pod,
            container,
            self._dialler.command(settings.task),
            settings.directory,
            settings.shell,
            killed(settings.rules.memory),
        )

        def changed() -> None:
            # A channel says so from within its own work.
            self._loop.call_soon(self._changed, [pod])

        channel = Channel(place, self._dialler, slots, settings.dead_man, changed)
        self._channels[pod] = channel
        if pod in self._condemned or (self._doubted and pod not in settings.others):
            channel.hold()
        return channel

    def leave(self, pod: str) -> None:
        if pod in self._channels:
            quitting = self._loop.create_task(self._channels.pop(pod).quit())
            self._leaving.add(quitting)
            quitting.add_done_callback(self._leaving.discard)

    def _changed(self, names: Iterable[str]) -> None:
        # The state of these pods, or of the channels to them, may be another one.
        if self._closing:
            return
        if [name for name in names if name not in self._settings.others and self._look_at(name)]:
            self.reached = self.reached or bool(self._taking)
            self._announced = sorted(self._taking)
            self._announce(self._announced, _REMINDER)
        self._give()

    def _look_at(self, name: str) -> bool:
        # Returns whether it takes jobs now and didn't, or the other way round.
        pod, channel = self._pods[name], self._channels.get(name)
        if channel is not None:
            self._judge(name, channel)
            if channel.over:
                del self._channels[name]
            elif channel.complaint and not self.reached:
                self.complaint = channel.complaint
        if pod.usable and name not in self._channels:
            self._containers[name] = pod.container
            self._open(name, CONTAINER, self._settings.slots)
        takes = pod.usable and self._channels[name].up
        if takes == (name in self._taking):
            return False
        self._taking ^= {name}
        return True

    def _announce(self, pods: list[str], pause: float) -> None:
        # GNU parallel takes the login file's mtime when it first looks for that of what it read at its start
        # (sub changed_sshloginfile): what came between the two it would never notice.
        if pods is not self._announced or self._closing:
            return
        try:
            self._ready(pods)
        except OSError as error:
            # A full disk, say: jobs still go to all pods, and the next reminder may do better.
            if not self._complained:
                self._complained = True
                self._tell(f"GNU parallel can't be told of the pods that take jobs: {error}")
            pause = min(pause, _LAST_REMINDER)
        if pause <= _LAST_REMINDER:
            self._loop.call_later(pause, self._announce, pods, 3 * pause)

    # Jobs come and go.

    def accept(self, listener: socket.socket) -> None:
        if (connection := accept(listener)) is not None:
            self._calls.add(Call(self._loop, connection, self._new, self._calls.discard))

    def _new(self, call: Call, wanted: Wanted, descriptors: tuple[int, int, int]) -> Job:
        rules, host = self._settings.rules, wanted.host
        if host in self._settings.others:
            # A transfer of ours: no job of the user's.
            rules = replace(
                rules, flags=frames.AS_IT_IS, rerun="it is a transfer", own_files=False, terminal=None
            )
        job = Job(wanted, descriptors, rules, (call.answer, self._again))
        if self._end:
            job.fail(self._end)
        elif host in self._settings.others:
            self._reach(host, job)
        else:
            self._queue.append(job)
            self._give()
            self._first_call()
        return job

    def _first_call(self) -> None:
        # GNU parallel may have waited for its input for a long time, and looks at the login file just before
        # its first job: all reminders may have been too early.
        if not self._called:
            self._called = True
            if self._announced:
                self._announced = list(self._announced)
                self._announce(self._announced, _REMINDER)

    def doubt(self) -> None:
        self._doubted = True
        for name, channel in self._channels.items():
            if name not in self._settings.others:
                channel.hold()

    def condemn(self, pods: frozenset[str]) -> None:
        # What ended there is lost with them, whatever is settled later.
        self._condemned |= pods
        for name in pods & self._channels.keys():
            self._channels[name].hold()

    def settle(self) -> None:
        self._doubted = False
        for name, channel in self._channels.items():
            if name not in self._settings.others and name not in self._condemned:
                channel.release()

    def resized(self) -> None:
        for call in self._calls:
            call.resized()

    def _reach(self, host: str, job: Job) -> None:
        channel = self._channels.get(host) or self._open(host, self._settings.others[host], _NO_LIMIT)
        since = self._loop.time()

        def look() -> None:
            if not job.waiting:
                return
            if channel.up:
                channel.start(job)
            # One that is gone never comes back under its name.
            elif self._loop.time() - since > _REACH or f'pods "{host}" not found' in channel.complaint:
                job.fail(f"{host} can't be reached: {channel.complaint}")
            else:
                self._loop.call_later(_GLANCE, look)

        look()

    def _again(self, job: Job, why: str) -> None:
        if self._end:
            # Nothing will ever take it.
            job.fail(f"{why}; {self._end}")
            return
        self._tell(f"{why}: its job runs again")
        self._queue.appendleft(job)
        self._loop.call_soon(self._give)

    def _give(self) -> None:
        # Give waiting jobs to pods, in their order.
        if not self._queue:
            return
        free = {name: self._channels[name].free for name in self._announced if self._channels[name].up}
        left: deque[Job] = deque()
        while self._queue:
            job = self._queue.popleft()
            if not job.waiting:
                continue
            pod = choose(job.wanted.host, free, self._settings.rules.pinned)
            if pod is None:
                left.append(job)
                if not self._settings.rules.pinned:
                    # There is no free jobslot anywhere.
                    break
                continue
            free[pod] -= 1
            self._places.note(job.wanted.seq, pod)
            self._channels[pod].start(job)
        left.extend(self._queue)
        self._queue = left

    def end(self, reason: str) -> None:
        self._end = reason
        waiting, self._queue = self._queue, deque()
        for job in waiting:
            if job.waiting:
                job.fail(reason)

    async def close(self) -> None:
        """End all jobs and channels."""
        self._closing = True
        self.end("the run is over; this job was not started")
        for call in list(self._calls):
            call.drop()
        await asyncio.gather(*(channel.quit() for channel in self._channels.values()), *self._leaving)
        self._dialler.stop()
        self._places.close()
        # The transports' own way out.
        await asyncio.sleep(0)


def choose(wanted: str, free: Mapping[str, int], pinned: bool) -> str | None:
    """Which pod a job goes to: the one that GNU parallel named, another one with a free slot, or none yet.

    `pinned`: its files are in the named pod, and so it goes there as long as that takes jobs at all.
    """
    # POD.1 is another login of POD (login_lines); a pod's name has no dot.
    wanted = wanted.partition(".")[0]
    if wanted in free and (pinned or free[wanted] > 0):
        return wanted
    best = max(free, key=lambda name: free[name], default=None)
    return best if best is not None and free[best] > 0 else None
