"""Typed specs to YAML, through templates/ (pure)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from womm import __version__, rights
from womm.errors import WommError
from womm.files import SCRIPTS
from womm.tasks.detached import WORK

if TYPE_CHECKING:
    from jinja2 import Environment

    from womm.nfs import NfsServer

#: Where the file server's rsyncd listens.
SERVER_PORT = 8873
#: Where the NFS servers are, which programmers have no rights in.
SYSTEM = "womm-system"
#: Where they listen: Ganesha, and sshd for the file server.
NFS_PORT = 2049
SSH_PORT = 2222
#: Seconds that what a node's kernel knows of a file counts, where pods mount by the NFS server's claim.
CLAIM_AGE = 1

# What YAML 1.2 lets stand in a stream as it is (§5.1), but for line breaks, which JSON escapes.
_UNPRINTABLE = re.compile(
    "[^\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029]"
)


@dataclass(frozen=True)
class Share:
    """A share by copy: who serves it to the pods, and where they see it.

    `address` is the file server's ClusterIP, `image` its image, `directory` the path in the pods, `room` what
    the copy and jobs' work in it take of a node's disk: a Kubernetes quantity; `back`: what jobs change there
    goes back to the server.
    """

    address: str
    image: str
    secret: str
    directory: str
    room: str
    port: int = SERVER_PORT
    back: bool = False


@dataclass(frozen=True)
class Nfs:
    """A share over NFS: who serves it, and where pods see it.

    `address` is the NFS server's ClusterIP, `path` the export's name below the server's root (32 hexadecimal
    digits), `directory` the path in the pods; `claim`: the PersistentVolumeClaim that stands for the server's
    root, "" where the namespace lets pods mount it themselves.
    """

    address: str
    path: str
    directory: str
    claim: str = ""


@dataclass(frozen=True)
class TaskSpec:
    """The worker pods of one task. `cpu` and `memory` are Kubernetes quantities.

    `cpu_limit` is empty where the namespace asks for none: idle cores are anybody's. `machine` tells whose
    task it is (config.machine), `kind` what becomes of the directory: the share that setup chose. There is a
    `share` or `nfs`, or neither.
    """

    id: str
    directory: str
    command: str
    image: str
    arch: str
    pods: int
    cpu: str
    memory: str
    uid: int
    gid: int
    user: str
    home: str
    machine: str
    kind: str
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[str, ...] = ()
    share: Share | None = None
    nfs: Nfs | None = None
    cpu_limit: str = ""
    pull_secret: str | None = None

    @property
    def name(self) -> str:
        """The deployment's name, and its secret's."""
        return f"womm-task-{self.id}"

    @property
    def nodes(self) -> dict[str, str]:
        """The labels of nodes that take the pods; the user's count more than ours."""
        return {"kubernetes.io/os": "linux", "kubernetes.io/arch": self.arch, **dict(self.node_selector)}


@dataclass(frozen=True)
class CoordinatorSpec:
    """The coordinator of a task that runs on without its user: its image, and what it may take.

    `arch` is empty where the image's is not known.
    """

    task: str
    image: str
    arch: str = ""
    pull_secret: str | None = None
    cpu: str = "200m"
    memory: str = "128Mi"
    memory_limit: str = "1Gi"

    @property
    def name(self) -> str:
        """The Job's name. Not one of the task's own: its hub may enter every pod that is called so."""
        return f"womm-async-{self.task}"


@dataclass(frozen=True)
class ServerSpec:
    """The file server of a namespace. `arch` is empty where its image's is not known.

    `orphans_after`: seconds without a sign of life after which it takes a task away; 0: it never does.
    `size`: of the volume that outlives its pod, of class `storage_class` ("": the cluster's default); ""
    without one. `nfs`: the NFS server that it has, with a volume likewise.
    """

    namespace: str
    image: str
    arch: str = ""
    cpu: str = "100m"
    # rsync, and every 20 s a kubectl, which takes some 50 MiB.
    memory: str = "128Mi"
    memory_limit: str = "512Mi"
    orphans_after: int = 600
    size: str = ""
    storage_class: str = ""
    nfs: NfsServer | None = None


def quote(value: object) -> str:
    """Write a value as YAML that means exactly it: the one filter through which values enter templates.

    Strings become double-quoted JSON, of which every character that YAML forbids is escaped. Raises
    WommError for what no Kubernetes object can hold: bytes that are no UTF-8.
    """
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text.encode(errors="backslashreplace").decode()
        raise WommError(f"{shown} is not valid UTF-8, and Kubernetes takes nothing else") from error
    return _UNPRINTABLE.sub(lambda m: f"\\U{ord(m.group()):08x}", text)


def literal(text: str) -> str:
    """Keep Kubernetes from expanding $(NAME) in a container's command, arguments or environment."""
    return text.replace("$", "$$")


def task_manifest(task: TaskSpec) -> str:
    """The objects of one task: its secret, if it has a share, and its deployment."""
    return _render("task.yaml.j2", task=task, init=script("pod-init.pl"), alone=False)


def pod_manifest(task: TaskSpec) -> str:
    """One pod as the task's deployment makes them."""
    return _render("pod.yaml.j2", task=task, init=script("pod-init.pl"), alone=True)


def coordinator_manifest(task: TaskSpec, coordinator: CoordinatorSpec) -> str:
    """The Job that sees a task to its end."""
    return _render("coordinator.yaml.j2", task=task, coordinator=coordinator, work=WORK)


def lease_manifest(task: TaskSpec, holder: str, seconds: int, now: str) -> str:
    """The heartbeat of a task: `now` as Kubernetes writes it, valid for so many seconds."""
    return _render("lease.yaml.j2", task=task, holder=holder, seconds=seconds, now=now)


def server_manifest(server: ServerSpec) -> str:
    """The objects of a namespace's file server and NFS server, and the accounts with their rights."""
    values = {**server.__dict__, "port": SERVER_PORT, "nfs_port": NFS_PORT, "ssh_port": SSH_PORT}
    values["nfs_age"] = CLAIM_AGE
    values |= {"its_rights": rights.SERVER, "task_rights": rights.TASK, "nfs_rights": rights.NFS}
    return _render("server.yaml.j2", system=SYSTEM, **values)


def user_role(namespace: str) -> str:
    """The Role of those who may use womm in `namespace`."""
    return _render("user-role.yaml.j2", namespace=namespace, rights=rights.USER)


def script(name: str) -> str:
    """The text of one of womm's scripts."""
    return (SCRIPTS / name).read_text(encoding="utf-8")


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(version=__version__, **values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - 0.1 s

    environment = Environment(
        loader=PackageLoader("womm"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - YAML, and every value passes `quote`
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["q"] = quote
    environment.filters["literal"] = literal
    return environment
