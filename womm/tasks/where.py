"""Where a task is: as this machine has recorded it, or where the command line and the directory point."""

from __future__ import annotations

import os

from womm import config
from womm.kubectl import Kube, KubeChoice, resolve
from womm.tasks import record
from womm.tasks.record import Record


def where(task: str, choice: KubeChoice) -> tuple[Kube, Record | None]:
    """The cluster and namespace of a task, and its record, if it was started on this machine.

    Raises WommError if `task` is no task's id, and without a cluster.
    """
    found = record.find(task)
    if found is not None and choice == KubeChoice():
        if found.kubeconfig and found.kube.kubeconfig is None:
            # The shell that this womm is called in may have another one.
            os.environ["KUBECONFIG"] = found.kubeconfig
        return found.kube, found
    return resolve(choice.over(chosen_here())), found


def chosen_here() -> KubeChoice:
    """What the directory's `.womm` says; nothing where there is none."""
    directory = config.working_directory()
    if config.find(directory) is None:
        return KubeChoice()
    return config.load(directory, may_ask=False).choice
