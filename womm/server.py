"""The file server of a namespace, seen from the client."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from typing import Any

from womm import __version__, config, problems, refusals
from womm.errors import WommError
from womm.kubectl import Kube
from womm.output import progress

NAME = "womm-server"
#: The container of its pods.
CONTAINER = "server"
_SCRIPT = "/opt/womm/scripts/server-share"
_TASK_SCRIPT = "/opt/womm/scripts/server-task"
_NFS_SCRIPT = "/opt/womm/scripts/server-nfs"
#: What there is to say of a namespace without NFS server.
WITHOUT_NFS = "there is no NFS server, which lazy shares take (womm cluster-setup --no-nfs)"
#: How its scripts end if they know nothing of a task; and if they have part of its results only.
GONE, PARTLY = 3, 5
_LABEL = f"app.kubernetes.io/name={NAME}"


class NotReady(WommError):
    """The file server is there, and starting; `why`: what keeps it from it, where that is known."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__("the file server is not ready yet" + (f": {why}" if why else ""), hint)
        self.why = why


@dataclass(frozen=True)
class Server:
    """A file server that is there: its pod, the Service's address, its image.

    `lasting`: its volume outlives the pod. `arch` is the architecture of its nodes, "" where none was said.
    `nfs`: there is an NFS server behind it; `claim` is the PersistentVolumeClaim for that one's root, or "".
    """

    pod: str
    address: str
    image: str
    lasting: bool = False
    arch: str = ""
    nfs: bool = False
    claim: str = ""


def script(verb: str, task: str, key: str) -> tuple[str, ...]:
    """What is run in the server's container for a task's share; `key` names the directory that it mirrors."""
    return (_SCRIPT, verb, task, key)


def task_script(verb: str, *words: str) -> tuple[str, ...]:
    """What is run there for tasks that run on without their users; all verbs but `list` take a task's id."""
    return (_TASK_SCRIPT, verb, *words)


def nfs_script(verb: str, *words: str) -> tuple[str, ...]:
    """What is run there for shares over NFS; all verbs but `address` and `list` take a task's id."""
    return (_NFS_SCRIPT, verb, *words)


def by_kubectl(kube: Kube, pod: str, words: tuple[str, ...]) -> list[str]:
    """What runs `words` there by kubectl alone, for when there is no hub any more."""
    return kube.argv("exec", "-i", pod, "-c", CONTAINER, "--", *words)


def closing(kube: Kube, pod: str, task: str, key: str) -> list[str]:
    """What ends a task's share, by kubectl alone."""
    return by_kubectl(kube, pod, script("close", task, key))


def nfs_closing(kube: Kube, pod: str, task: str) -> list[str]:
    """What ends a task's export, by kubectl alone."""
    return by_kubectl(kube, pod, nfs_script("close", task))


def wait_for(kube: Kube, patience: float = 60.0) -> Server:
    """Find the namespace's file server; wait for up to `patience` seconds while it starts."""
    deadline = time.monotonic() + patience
    told: set[str] = set()
    while True:
        try:
            return find(kube)
        except NotReady as starting:
            if time.monotonic() > deadline:
                raise
            line = f"womm: waiting for the file server to start{starting.why and f': {starting.why}'}"
        if line not in told:
            told.add(line)
            progress(line)
        time.sleep(0.5)


def find(kube: Kube, **patience: float) -> Server:
    """Find the namespace's file server; `patience` as for Kube.run, for each of two questions.

    Raises WommError with the way out, NotReady while it starts and that may help.
    """
    items = kube.get("deployments,services,pods", "-l", _LABEL, **patience)["items"]
    deployment = _first(items, "Deployment")
    service = _first(items, "Service")
    choice = shlex.join(kube.prefix()[1:])
    prefix = shlex.quote(config.remembered("prefix") or "REGISTRY/")
    # The YAML says its namespaces, of which there are two: told of one, kubectl would refuse the other.
    cluster = ["--context", kube.context, *(["--kubeconfig", kube.kubeconfig] if kube.kubeconfig else [])]
    makes = (
        f"womm {choice} cluster-setup --build --prefix {prefix} | kubectl {shlex.join(cluster)} apply -f -"
    )
    if deployment is None or service is None:
        # Perhaps because there is no such namespace: a list says nothing of that.
        kube.check(**patience)
        raise WommError(
            f"there is no womm file server in namespace {kube.namespace}",
            makes,
        )
    version = deployment["metadata"]["labels"].get("app.kubernetes.io/version")
    if version != __version__:
        raise WommError(
            f"the file server is of womm {version}, and this is womm {__version__}",
            makes,
        )
    ready = [pod for pod in items if pod["kind"] == "Pod" and _is_ready(pod)]
    if not ready:
        raise _not_ready(deployment, items, f"see kubectl {choice} describe pods -l {_LABEL}")
    spec = deployment["spec"]["template"]["spec"]
    lasting = any("persistentVolumeClaim" in volume for volume in spec.get("volumes", []))
    image = spec["containers"][0]["image"]
    arch = spec.get("nodeSelector", {}).get("kubernetes.io/arch", "")
    notes = deployment["metadata"].get("annotations", {})
    return Server(
        pod=ready[0]["metadata"]["name"],
        address=service["spec"]["clusterIP"],
        image=image,
        lasting=lasting,
        arch=arch,
        nfs="womm.dev/nfs" in notes,
        claim=notes.get("womm.dev/nfs-claim", ""),
    )


def _not_ready(deployment: dict[str, Any], items: list[dict[str, Any]], look: str) -> WommError:
    found = [item for item in items if item["kind"] == "Pod"]
    refusal = refusals.of_deployment(deployment)
    if refusal is not None and not found:
        if refusal.passes:
            return NotReady(refusal.reason, refusal.hint or look)
        return WommError(f"the cluster refuses the file server's pod: {refusal.reason}", refusal.hint or look)
    problem = next(filter(None, (problems.explain(pod, CONTAINER) for pod in found)), None)
    if problem is not None and problem.hopeless:
        return WommError(f"the file server can't start: {problem.message}", problem.hint or look)
    return NotReady(problem.message if problem is not None else "", look)


def _first(items: list[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    return next((item for item in items if item["kind"] == kind), None)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
