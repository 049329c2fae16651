"""A task at work: its pods, and the hub's way to them; what parallel and shell have in common."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from womm import config, engine, server, signals
from womm.config import Project
from womm.engine import Engine
from womm.follow import Follower
from womm.kubectl import Kube, KubeChoice, resolve
from womm.link import Link
from womm.manifests import Nfs, Share, TaskSpec
from womm.output import progress
from womm.preflight import Preflight
from womm.process import tool
from womm.runs import Run, raise_file_limit, sweep
from womm.server import Server
from womm.shares import copy, keeping, lazy, limit, nfs
from womm.shares.copy import Pushed, key_of
from womm.shares.home import Home, expect
from womm.shares.keeping import Keeping
from womm.shares.look import Look, look_at
from womm.shares.nfs import Export
from womm.task import create
from womm.tasks.heartbeat import Heartbeat
from womm.threads import beside
from womm.values import Workers

if TYPE_CHECKING:
    from womm.hub.hub import Hub
    from womm.hub.job import Rules

#: The annotation that shows the command is for people: its beginning is enough.
_SHOWN = 1000
#: Exit status of a run that would have ended with 0, had what its jobs changed not been changed here, too.
CONFLICTS = 120
# Seconds of cleaning up after which the user is told what takes so long.
_SLOW = 3.0


@dataclass(frozen=True)
class Here:
    """Where the task's user is: the directory, what setup remembered of it, the cluster.

    `look` is what a share by copy would send; None where there is none, and where it is on the file server
    already, as `share` says. `cpu_limit` is set once the cluster is known to take the task's pods with it.
    `engine` runs what a lazy share takes here.
    """

    directory: Path
    project: Project
    kube: Kube
    look: Look | None
    share: Share | None = None
    shell: str = ""
    cpu_limit: str | None = None
    engine: Engine | None = None


@dataclass(frozen=True)
class Task:
    """A task at work; `home` is the way home of what its jobs change, where it comes home."""

    hub: Hub
    home: Home | None

    def status(self, status: int) -> int:
        """The run's exit status, once all is taken back; its jobs ended with `status`."""
        return CONFLICTS if status == 0 and self.home is not None and self.home.conflicts else status


def prepare(choice: KubeChoice, workers: Workers, trust: bool) -> Here:
    """Find out where we are, before anything is begun. Raises WommError for what can't work.

    `trust`: the directory's .womm is taken whoever made it.
    """
    sweep()
    directory = config.working_directory()
    project = config.load(directory, trust)
    # It takes 0.15 s, which other verbs can do without, and there are programs to wait for meanwhile.
    beside(import_module, "womm.hub.hub")
    kube = resolve(choice.over(project.choice))
    for name in ("kubectl", "perl", "bash"):
        tool(name)
    raise_file_limit(workers.pods, workers.slots)
    look = look_at(Path(project.directory)) if project.share in config.COPIES else None
    if look is not None:
        limit.demand(project, look)
    builder = engine.find(config.remembered("engine")) if project.share == config.LAZY else None
    return Here(directory, project, kube, look, shell=os.environ.get("SHELL", ""), engine=builder)


@contextmanager
def taken_back() -> Iterator[ExitStack]:
    """A stack of what has to be undone at the end, whatever ends it."""
    slow = threading.Timer(_SLOW, progress, ("womm: cleaning up …",))
    slow.daemon = True
    with ExitStack() as undo:
        undo.callback(slow.cancel)
        try:
            yield undo
        finally:
            signals.shield()
            slow.start()


def new_run(undo: ExitStack, task: str | None = None) -> Run:
    """A new run, of `task` or a new one; `undo` takes back what it will have recorded, and ends it."""
    # A thing and its undo step are not to be parted by a signal.
    with signals.held():
        run_ = Run(task)
        undo.callback(run_.close)
        undo.callback(run_.take_back)
    return run_


def start(
    run_: Run,
    workers: Workers,
    here: Here,
    undo: ExitStack,
    *,
    rules: Rules,
    ready: Callable[[list[str]], None],
) -> Task:
    """Make the task, and wait until a first pod takes jobs; `undo` and the run's end take it all back.

    `ready` is called, in another thread, with the names of the pods that take jobs. Raises WommError.
    """
    begun = begin(run_, workers, here, undo, rules=rules, ready=ready)
    hub, home, kept = begun.hub, None, None
    pushed = begun.push()
    spec = begun.permitted()
    if begun.export is not None:
        located, kept = _export(begun.export, begun, workers, undo)
        spec = replace(spec, nfs=located)
    elif begun.found is not None:
        hub.leave(begun.found.pod)
    if pushed is not None and begun.found is not None and pushed.results is not None:
        # What is expected, and who sees to it, are not to be parted by a signal.
        with signals.held():
            expect(run_.write, *pushed.results)
            # Not before they are home.
            run_.forget(pushed.closing)
            home = Home(run_, run_.path, begun.found.pod, pushed.results[0])
            undo.callback(home.bring)
            if begun.export is not None and kept is not None:
                run_.forget(begun.export.closing)
                # Not while pods are there that may write.
                undo.callback(run_.take_back)
                undo.callback(kept.leave)
    # Not before: the follower would miss the deployment, and its questions outlive a cluster's silence.
    follower = Follower(here.kube, spec, hub, run_.environment)
    # The watch starts while the task is created: each kubectl takes its time.
    with signals.held():
        follower.start()
        undo.callback(follower.stop)
    create(here.kube, run_, spec, undo)
    follower.wait_for_pod(workers.pending_timeout)
    # Not before: until a pod takes jobs every kubectl counts.
    with signals.held():
        heartbeat = Heartbeat(here.kube, run_, spec)
        heartbeat.start()
        undo.callback(heartbeat.stop)
    return Task(hub, home)


@dataclass(frozen=True)
class Begun:
    """A task of which nothing is in the cluster yet: it is tried there, and a share can be pushed.

    `permitted` waits until the cluster has said that it would take the task's pods, and how. `found` is the
    file server, where it is needed, and `share` what pods are told of it, or it of them where there is an
    `export` of it.
    """

    run: Run
    here: Here
    hub: Hub
    permitted: Callable[[], TaskSpec]
    found: Server | None
    share: Share | None
    export: Export | None

    def push(self) -> Pushed | None:
        """Push the share, if there is one and the cluster takes the task's pods. Raises WommError."""
        here = self.here
        if self.found is None or self.share is None or here.look is None:
            return None
        return copy.push(
            here.kube,
            self.run,
            self.found,
            self.share,
            look=here.look,
            over_nfs=self.export is not None,
            permitted=self.permitted,
        )


def begin(
    run_: Run,
    workers: Workers,
    here: Here,
    undo: ExitStack,
    *,
    rules: Rules,
    ready: Callable[[list[str]], None],
    served: bool = False,
) -> Begun:
    """Find the file server, try one of the task's pods, and start the hub. Raises WommError.

    `served`: the file server is needed even without a share that it is to have.
    """
    look, share = here.look, here.share
    # What runs on without this machine has copies: nobody here would keep an export up.
    over_nfs = here.project.over_nfs and not served and share is None
    found = server.wait_for(here.kube) if look is not None or over_nfs or served else None
    others = {found.pod: server.CONTAINER} if found is not None else {}
    back = here.project.share == config.SYNCBACK
    if found is not None and look is not None:
        share = copy.plan(found, Path(here.project.directory), look, back)
    planned = nfs.plan(found, here.project.directory) if found is not None and over_nfs else None
    spec = _spec(run_.task, workers, here, None if over_nfs else share, planned)
    permitted = _try_out(here, run_, spec)
    hub = _hub(run_, workers, here, rules=rules, others=others, ready=ready)
    # What runs on this machine is ended before the pods are.
    with signals.held():
        hub.start()
        undo.callback(hub.stop)
    export = None
    if found is not None and planned is not None:
        uid, gid = here.project.uid, here.project.gid
        export = Export(here.kube, Link(run_, found.pod), planned, uid, gid, back)
    return Begun(run_, here, hub, permitted, found, share, export)


def _export(export: Export, begun: Begun, workers: Workers, undo: ExitStack) -> tuple[Nfs, Keeping]:
    # Have the directory served; what pods are told of it. They go before it does, and it before its link.
    located = export.located()
    run_, here = begun.run, begun.here
    kept: Keeping
    if here.engine is not None and begun.found is not None:
        kept = lazy.lazy(export, begun.hub, here.engine, begun.found.image, workers.fresh)
    else:
        kept = keeping.eager(export, begun.hub, key_of(here.project.directory))
    export.undo_later()
    with signals.held():
        kept.start()
        undo.callback(kept.stop)
        undo.callback(run_.take_back)
        undo.callback(kept.leave)
    view = kept.wait()
    if here.engine is not None:
        progress(
            f"womm: {here.project.directory} is read as jobs need it (a round trip takes"
            f" {view.round_trip * 1000:.0f} ms); what is known of a file there counts for {view.age:.0f} s,"
            f" and on a node for {nfs.node_age(located)}"
        )
    return located, kept


def _try_out(here: Here, run_: Run, spec: TaskSpec) -> Callable[[], TaskSpec]:
    limit = here.cpu_limit
    if limit is not None:
        return lambda: replace(spec, cpu_limit=limit)
    preflight = Preflight(here.kube, run_, spec)
    preflight.start()
    return preflight.result


def _hub(
    run_: Run,
    workers: Workers,
    here: Here,
    *,
    rules: Rules,
    others: Mapping[str, str],
    ready: Callable[[list[str]], None],
) -> Hub:
    # Not above: see `prepare`.
    from womm.hub.core import Settings  # noqa: PLC0415
    from womm.hub.hub import Hub  # noqa: PLC0415

    settings = Settings(
        kube=here.kube,
        task=run_.task,
        run=run_.path,
        slots=workers.slots,
        directory=os.fsencode(here.directory),
        shell=os.fsencode(here.shell),
        rules=rules,
        environment=run_.environment,
        dead_man=workers.lost_after,
        transport=workers.transport,
        others=others,
    )
    return Hub(settings, ready, lambda line: progress(f"womm: {line}"))


def _spec(task: str, workers: Workers, here: Here, share: Share | None, over_nfs: Nfs | None) -> TaskSpec:
    project = here.project
    return TaskSpec(
        id=task,
        directory=str(here.directory),
        command=_shown(workers.command),
        image=project.image,
        arch=project.arch,
        pods=workers.pods,
        cpu=workers.cpu,
        memory=workers.memory,
        uid=project.uid,
        gid=project.gid,
        user=project.user,
        home=project.home,
        machine=config.machine(),
        kind=project.share,
        node_selector=tuple(workers.node_selector.items()),
        tolerations=workers.tolerations,
        share=share,
        nfs=over_nfs,
        pull_secret=project.pull_secret,
    )


def _shown(command: Sequence[str]) -> str:
    return " ".join(command).encode(errors="replace").decode()[:_SHOWN]
