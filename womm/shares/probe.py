"""Whether a cluster's nodes can mount what the NFS server exports: a pod like a task's tries it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from womm import config, problems, server, signals, values
from womm.config import Project
from womm.errors import WommError
from womm.kubectl import Kube
from womm.link import Link, linked
from womm.manifests import Nfs, TaskSpec, pod_manifest
from womm.process import attempt
from womm.server import nfs_script
from womm.shares import nfs
from womm.shares.nfs import Export

# Seconds that a file server may take to start; that the pod may, with an image that comes to its node; that a
# mounted file may take to be read, once the server has been restarted; that one question may take.
_PATIENCE, _STARTING, _READING, _ASKING = 60.0, 180.0, 60.0, 15.0
_GLANCE = 1.0
# What a pod that does nothing takes.
_CPU, _MEMORY = "10m", "64Mi"


class Unusable(WommError):
    """NFS does not work there."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"shares over NFS don't work here: {why}", "`womm setup --share eager` has copies instead"
        )


def demand(kube: Kube, project: Project) -> Nfs:
    """Have a pod of the project's image mount an export, and read it before and after the server's restart.

    Returns what the pod was told.
    Raises Unusable with the reason, and WommError for all else.
    """
    found = server.wait_for(kube, _PATIENCE)
    if not found.nfs:
        raise Unusable("the namespace has no NFS server (womm cluster-setup --no-nfs)")
    with linked(kube, _PATIENCE) as link:
        planned = nfs.plan(found, project.directory)
        planned = Export(kube, link, planned, project.uid, project.gid).located()
        task = f"probe{planned.path[:16]}"
        link.run.undo_later(server.nfs_closing(kube, found.pod, task), last=True)
        _ask(link, "probe", planned.path)
        spec = TaskSpec(
            id=link.run.task,
            directory=project.directory,
            command="setup",
            image=project.image,
            arch=project.arch,
            pods=1,
            cpu=_CPU,
            memory=_MEMORY,
            uid=project.uid,
            gid=project.gid,
            user=project.user,
            home=project.home,
            node_selector=tuple(values.node_selector((), os.environ).items()),
            tolerations=values.tolerations((), os.environ),
            machine=config.machine(),
            kind=project.share,
            nfs=planned,
            pull_secret=project.pull_secret,
        )
        with _pod(kube, link, spec) as name:
            _wait(kube, name)
            _read(kube, name, spec, "what it mounts")
            _ask(link, "probe-restart")
            _read(kube, name, spec, "what it has mounted, after a restart of the server,")
    return planned


def _ask(link: Link, *words: str) -> None:
    done = link.ask(*nfs_script(*words))
    if done.status != 0:
        raise Unusable(done.complaint)


@contextmanager
def _pod(kube: Kube, link: Link, spec: TaskSpec) -> Iterator[str]:
    # Its name; it is gone when the context is left, before the export goes.
    file = link.run.path / "pod.yaml"
    file.write_text(pod_manifest(spec), encoding="utf-8")
    ours = ("-l", f"womm.dev/task={spec.id}")
    gone = kube.argv("delete", "pods", *ours, "--ignore-not-found", "-o", "name", "--timeout=60s")
    link.run.undo_later(gone)
    made = kube.attempt_creation("create", "-f", str(file), "-o", "name", env=link.run.environment)
    if made.status != 0:
        raise Unusable(kube.explain(made.stderr).message)
    try:
        yield made.text.strip()
    finally:
        attempt(gone, detached=True, patience=2 * _STARTING)


def _wait(kube: Kube, name: str) -> None:
    # Until the pod runs: what it mounts is mounted then.
    deadline = time.monotonic() + _STARTING
    while True:
        pod = json.loads(kube.run("get", name, "-o", "json", patience=_ASKING).stdout)
        if pod["status"].get("phase") == "Running":
            return
        if why := _not_mounted(kube, name):
            raise Unusable(why)
        problem = problems.explain(pod, "womm")
        if problem is not None and problem.hopeless:
            raise WommError(f"the pod that tries NFS can't start: {problem.message}", problem.hint)
        if time.monotonic() > deadline:
            why = problem.message if problem is not None else "it did not start in time"
            raise Unusable(f"the pod that tries it does not run: {why}")
        time.sleep(_GLANCE)
        signals.check()


def _not_mounted(kube: Kube, name: str) -> str:
    # Who may not look at events waits until the time is over.
    chosen = f"involvedObject.name={name.removeprefix('pod/')},reason=FailedMount"
    done = kube.attempt("get", "events", "--field-selector", chosen, "-o", "jsonpath={.items[*].message}")
    lines = done.text.strip().splitlines() if done.status == 0 else []
    if not lines:
        return ""
    return f"a node can't mount it (has it mount.nfs?): {lines[-1].strip()}"


def _read(kube: Kube, name: str, spec: TaskSpec, what: str) -> None:
    assert spec.nfs is not None
    argv = kube.argv("exec", name, "-c", "womm", "--", "cat", f"{spec.directory}/probe")
    done = attempt(argv, patience=_READING)
    if done.status != 0 or done.text.strip() != spec.nfs.path:
        raise Unusable(f"a pod can't read {what} ({done.complaint})")
