"""A task's objects in the cluster: created, and deleted whatever happens."""

from __future__ import annotations

import contextlib
import threading
from contextlib import ExitStack

from womm import signals
from womm.complaints import Forbidden
from womm.errors import WommError
from womm.kubectl import Kube
from womm.manifests import TaskSpec, task_manifest
from womm.output import progress
from womm.process import attempt
from womm.runs import Run

# How to delete what may not be there.
_TOLERANT = ("--ignore-not-found", "-o", "name")
# Seconds that a deleted deployment's pods are waited for: at the end of a run, and of an interrupted one.
_FAREWELL, _SHORT_FAREWELL = 5, 1
# The same of pods that have their directory over NFS; that the deployment's deletion may take.
_UNMOUNTED, _SHORTLY_UNMOUNTED, _DELETION = 60, 20, 20
# Seconds for the answer whether anything counts the namespace's pods.
_ASKING = 8.0


def create(kube: Kube, run: Run, spec: TaskSpec, undo: ExitStack) -> None:
    """Create the task's objects; the run's end deletes them, and waits a little for pods that a quota counts.

    `undo` is run before the run's own end.
    """
    deployment = f"deployment.apps/{spec.name}"
    created: list[str] = []
    farewell = _Farewell(kube, spec)

    def ask() -> None:
        if deployment in created:
            farewell.ask()

    def tell() -> None:
        if deployment in created:
            progress(f'deployment.apps "{spec.name}" deleted')
            farewell.say()

    if spec.share is not None:
        # Not waited for: that would take the right to list the namespace's secrets.
        run.undo_later(kube.argv("delete", f"secret/{spec.name}", *_TOLERANT, "--wait=false"))
    delete = kube.argv("delete", deployment, *_TOLERANT)
    run.undo_later(delete, tell)
    # Beside the deletion: before the first job, every kubectl counts.
    undo.callback(ask)
    run.write("task.yaml", task_manifest(spec).encode())
    try:
        # Marked as the run's: were womm killed now, this would create after its keeper has deleted.
        created += kube.create(run.path / "task.yaml", run.environment)
    except Forbidden as forbidden:
        if forbidden.what == "deployments.apps":
            # Whoever may not create it may not delete it either.
            run.forget(delete)
        raise
    progress(f"{deployment} created")


def end_pods(kube: Kube, task: str) -> None:
    """Delete the pods of a dead run's task, which see it over NFS; wait for their end, for a while.

    Raises WommError if they can't be deleted.
    """
    delete = kube.argv("delete", f"deployment.apps/womm-task-{task}", *_TOLERANT)
    done = attempt(delete, detached=True, patience=_DELETION)
    if done.status != 0:
        raise kube.explain(done.stderr)
    _see_off(kube, task, _SHORTLY_UNMOUNTED)


def _see_off(kube: Kube, task: str, seconds: int) -> None:
    # Wait for the end of a task's pods, which are being deleted.
    argv = kube.argv("wait", "--for=delete", "pods", "-l", f"womm.dev/task={task}", f"--timeout={seconds}s")
    attempt(argv, detached=True, patience=2 * seconds)


class _Farewell:
    """Sees a task's pods off where a quota counts them: who calls womm again at once would find them there.

    And where they have mounted something: once that is gone, their node would wait for it. Elsewhere nobody
    waits for them. They end in any case, in Kubernetes' own time (on a node that is gone it has no end, and
    the kubelet of 1.20 tells of a pod's end every 10 s), and their jobs have ended.
    """

    def __init__(self, kube: Kube, spec: TaskSpec) -> None:
        self._kube, self._spec = kube, spec
        self._counted = True
        self._mounted = spec.nfs is not None
        self._asking = threading.Thread(target=self._ask, name="quota", daemon=True)

    def ask(self) -> None:
        """Begin to find out whether a quota counts the pods."""
        self._asking.start()

    def say(self) -> None:
        """Wait for the end of the pods, for a while, if a quota counts them."""
        self._asking.join()
        if self._counted:
            full, short = (_UNMOUNTED, _SHORTLY_UNMOUNTED) if self._mounted else (_FAREWELL, _SHORT_FAREWELL)
            _see_off(self._kube, self._spec.id, short if signals.received() else full)

    def _ask(self) -> None:
        # Who may not look may have one: a second's wait costs less than a next run that finds no room.
        if self._mounted:
            return
        with contextlib.suppress(OSError, WommError):
            argv = self._kube.argv("get", "resourcequotas", "-o", "name")
            done = attempt(argv, detached=True, patience=_ASKING)
            self._counted = done.status != 0 or bool(done.stdout.strip())
