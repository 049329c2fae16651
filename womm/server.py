"""The file server of a namespace, seen from the client."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from typing import Any

from womm import __version__, config
from womm.errors import WommError
from womm.kubectl import Kube
from womm.output import progress

NAME = "womm-server"
_LABEL = f"app.kubernetes.io/name={NAME}"


class NotReady(WommError):
    """The file server is there, and starting."""


@dataclass(frozen=True)
class Server:
    """A file server that is there: its pod, the Service's address, its image."""

    pod: str
    address: str
    image: str


def wait_for(kube: Kube, patience: float = 60.0) -> Server:
    """Find the namespace's file server; wait for up to `patience` seconds while it starts."""
    deadline = time.monotonic() + patience
    told = False
    while True:
        try:
            return find(kube)
        except NotReady:
            if time.monotonic() > deadline:
                raise
        if not told:
            told = True
            progress("womm: waiting for the file server to start")
        time.sleep(0.5)


def find(kube: Kube) -> Server:
    """Find the namespace's file server. Raises WommError with the way out, NotReady while it starts."""
    items = kube.get("deployments,services,pods", "-l", _LABEL)["items"]
    deployment = _first(items, "Deployment")
    service = _first(items, "Service")
    # cluster-setup writes the namespace into the YAML; kubectl refuses another one than its own.
    choice = shlex.join(kube.prefix()[1:])
    prefix = shlex.quote(config.remembered("prefix") or "REGISTRY/")
    printed = f"womm {choice} cluster-setup --build --prefix {prefix}"
    if deployment is None or service is None:
        raise WommError(
            f"there is no womm file server in namespace {kube.namespace}",
            f"{printed} | kubectl {choice} create -f -",
        )
    version = deployment["metadata"]["labels"].get("app.kubernetes.io/version")
    if version != __version__:
        raise WommError(
            f"the file server is of womm {version}, and this is womm {__version__}",
            f"{printed} | kubectl {choice} apply -f -",
        )
    ready = [pod for pod in items if pod["kind"] == "Pod" and _is_ready(pod)]
    if not ready:
        raise NotReady(
            "the file server is not ready yet",
            f"see kubectl {choice} describe pods -l {_LABEL}",
        )
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return Server(ready[0]["metadata"]["name"], service["spec"]["clusterIP"], image)


def _first(items: list[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    return next((item for item in items if item["kind"] == kind), None)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
