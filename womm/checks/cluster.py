"""The cluster: whether it answers, what the user may do there, what of womm is there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from womm import rights, server
from womm.checks import quota
from womm.checks.finding import MISSING, NOTE, OK, PATIENCE, UNKNOWN, Finding
from womm.config import Project
from womm.errors import WommError
from womm.kubectl import Kube, KubeChoice, resolve
from womm.process import attempt
from womm.threads import Pool

Check = Callable[[Kube, Project | None], Finding]


def cluster(choice: KubeChoice, project: Project | None, pool: Pool) -> list[Finding]:
    """Whether the cluster answers, and what it says; what is asked of it is asked in `pool`."""
    try:
        kube = resolve(choice)
        version = json.loads(kube.run("version", "-o", "json", patience=PATIENCE).stdout)
    except WommError as error:
        return [Finding("cluster", MISSING, error.message, error.hint)]
    release = version.get("serverVersion", {}).get("gitVersion", "of an unknown version")
    place = f"Kubernetes {release} at {kube.server()}, context {kube.context}, namespace {kube.namespace}"
    asked = [pool.submit(_careful, name, check, kube, project) for name, check in _IN_CLUSTER.items()]
    return [Finding("cluster", OK, place), *(future.result() for future in asked)]


def _careful(name: str, check: Check, kube: Kube, project: Project | None) -> Finding:
    try:
        return check(kube, project)
    except WommError as error:
        return Finding(name, MISSING, error.message, error.hint)


def _namespace(kube: Kube, _project: Project | None) -> Finding:
    kube.check(PATIENCE)
    return Finding("namespace", OK, kube.namespace)


def _rights(kube: Kube, project: Project | None) -> Finding:
    # One kubectl for all questions: `auth can-i` answers one each.
    with tempfile.TemporaryDirectory(prefix="womm-doctor-") as directory:
        file = Path(directory, "reviews.json")
        file.write_text(rights.reviews(rights.USER, kube.namespace), encoding="utf-8")
        flags = ("--validate=false", "-o", rights.ANSWERS)
        answers = kube.run("create", "-f", str(file), *flags, patience=PATIENCE).text
    lacking = rights.refused(answers)
    if not lacking:
        return Finding("rights", OK, "all that womm needs")
    fix = "an administrator gives them: `womm cluster-setup --user-role` prints the Role"
    spare = {"--async and status": rights.ASYNC}
    if project is None or project.share == "none":
        spare = {"eager shares": rights.EAGER, **spare}
    if not frozenset().union(*spare.values()).issuperset(lacking):
        return Finding("rights", MISSING, f"you may not {', '.join(lacking)}", fix)
    parts = []
    for what, its in spare.items():
        if wanted := [right for right in lacking if right in its]:
            parts.append(f"you may not {', '.join(wanted)}, as {what} need it")
    return Finding("rights", NOTE, "; ".join(parts), fix)


def _server(kube: Kube, project: Project | None) -> Finding:
    try:
        found = server.find(kube, patience=PATIENCE)
    except server.NotReady as starting:
        return Finding("server", NOTE, starting.message, starting.hint)
    except WommError as missing:
        needed = project is not None and project.share != "none"
        return Finding("server", MISSING if needed else NOTE, missing.message, missing.hint)
    more = "" if found.nfs else f"; {server.WITHOUT_NFS}"
    return Finding("server", OK, f"file server {found.pod}, {found.image}{more}")


def _nodes(kube: Kube, project: Project | None) -> Finding:
    done = attempt(
        kube.argv("get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.architecture}"),
        patience=PATIENCE,
    )
    if done.status != 0:
        fix = "if pods are pending: an administrator sees them by `kubectl get nodes -L kubernetes.io/arch`"
        return Finding("nodes", UNKNOWN, "you may not look at them, which womm can do without", fix)
    words = done.text.split()
    counts = ", ".join(f"{words.count(arch)} × {arch}" for arch in sorted(set(words)))
    if project is not None and project.arch not in words:
        fix = "`womm setup` again, on a machine or for a platform of the nodes'"
        return Finding("nodes", MISSING, f"{counts}; the image is for {project.arch}", fix)
    return Finding("nodes", OK, counts)


def _quota(kube: Kube, _project: Project | None) -> Finding:
    done = attempt(kube.argv("get", "resourcequotas", "-o", "json"), patience=PATIENCE)
    if done.status != 0:
        fix = "if pods are refused: an administrator sees it by `kubectl describe resourcequotas`"
        return Finding("quota", UNKNOWN, "you may not look at it, which womm can do without", fix)
    return quota.finding(json.loads(done.stdout)["items"])


_IN_CLUSTER: dict[str, Check] = {
    "namespace": _namespace,
    "rights": _rights,
    "server": _server,
    "nodes": _nodes,
    "quota": _quota,
}
