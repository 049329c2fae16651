"""A task's objects in the cluster: created, and deleted whatever happens."""

from __future__ import annotations

from womm import signals
from womm.complaints import Forbidden
from womm.kubectl import Kube
from womm.manifests import TaskSpec, task_manifest
from womm.output import progress
from womm.process import attempt
from womm.runs import Run

# How to delete what may not be there.
_TOLERANT = ("--ignore-not-found", "-o", "name")
# Seconds that a deleted deployment's pods are waited for: at the end of a run, and of an interrupted one.
_FAREWELL, _SHORT_FAREWELL = 5, 1


def create(kube: Kube, run: Run, spec: TaskSpec) -> None:
    """Create the task's objects; the run's end deletes them, and waits a little for the end of the pods."""
    deployment = f"deployment.apps/{spec.name}"
    created: list[str] = []

    def tell() -> None:
        if deployment in created:
            progress(f'deployment.apps "{spec.name}" deleted')
            _see_pods_off(kube, spec)

    if spec.share is not None:
        # Not waited for: that would take the right to list the namespace's secrets.
        run.undo_later(kube.argv("delete", f"secret/{spec.name}", *_TOLERANT, "--wait=false"))
    delete = kube.argv("delete", deployment, *_TOLERANT)
    run.undo_later(delete, tell)
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


def _see_pods_off(kube: Kube, spec: TaskSpec) -> None:
    # They end in any case, in Kubernetes' own time (on a node that is gone it has no end, and the kubelet of
    # 1.20 tells of a pod's end every 10 s). Their jobs have ended. But whoever calls womm again at once would
    # find them in the namespace's quota.
    seconds = _SHORT_FAREWELL if signals.received() else _FAREWELL
    ours = ("pods", "-l", f"womm.dev/task={spec.id}")
    argv = kube.argv("wait", "--for=delete", *ours, f"--timeout={seconds}s")
    attempt(argv, detached=True, patience=2 * seconds)
