"""The share over NFS: what the NFS server does for a task is asked for through the file server."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from womm import server
from womm.errors import WommError
from womm.kubectl import Kube
from womm.link import Link
from womm.manifests import CLAIM_AGE, Nfs
from womm.output import warn
from womm.process import attempt
from womm.server import Server

#: What to do where it does not work.
WITHOUT = "try again; `womm setup --share-via copy`, with `--share eager` or `syncback`, does without it"
# Seconds that a deletion may take.
_DELETION = 30.0


def plan(found: Server, directory: str) -> Nfs:
    """What a task's pods are told of its share; nothing is exported yet.

    Until the NFS server's address is asked for, the file server's stands in. Raises WommError where there is
    no NFS server.
    """
    if not found.nfs:
        raise WommError(
            "this namespace has no NFS server any more",
            "`womm setup` again takes copies; or an administrator: `womm cluster-setup` without --no-nfs",
        )
    return Nfs(found.address, secrets.token_hex(16), directory, found.claim)


def node_age(told: Nfs) -> str:
    """For how long what a node's kernel knows of a file or directory counts, which pods see `told` so."""
    # Linux' own acregmax and acdirmax: a pod that mounts a volume itself can't set them.
    return f"{CLAIM_AGE} s" if told.claim else "up to 60 s"


@dataclass(frozen=True)
class Export:
    """A task's export to be; `uid` and `gid` are whom its pods run as.

    `back`: what jobs change there comes home.
    """

    kube: Kube
    link: Link
    nfs: Nfs
    uid: int
    gid: int
    back: bool = False

    @property
    def task(self) -> str:
        """The task's id."""
        return self.link.run.task

    @property
    def words(self) -> tuple[str, str, str]:
        """What every way of making it takes: its path, and whose it is."""
        return self.nfs.path, str(self.uid), str(self.gid)

    @property
    def closing(self) -> list[str]:
        """What takes it away."""
        return server.nfs_closing(self.kube, self.link.pod, self.task)

    def located(self) -> Nfs:
        """What pods are told, with the server's address. Raises WommError."""
        done = self.link.ask(*server.nfs_script("address"))
        if done.status != 0:
            raise WommError(
                f"the NFS server can't be used: {done.complaint}",
                WITHOUT,
            )
        return replace(self.nfs, address=done.text.strip())

    def undo_later(self) -> None:
        """Have the run's end take the export away: pods go before it."""
        self.link.run.undo_later(self.closing, last=True)

    def replace_pods(self, wait: bool = False) -> frozenset[str]:
        """Delete the task's pods, as what they have open is no good any more; others run their jobs again.

        `wait`: until they are gone, for a while. Returns the names of those that go.
        """
        how = f"--timeout={_DELETION:.0f}s" if wait else "--wait=false"
        argv = self.kube.argv("delete", "pods", "-l", f"womm.dev/task={self.task}", how, "-o", "name")
        try:
            done = attempt(argv, detached=True, patience=2 * _DELETION)
        except WommError as error:
            warn(f"the task's pods can't be replaced: {error}")
            return frozenset()
        if done.status != 0:
            warn(f"the task's pods can't be replaced: {done.complaint}")
        # One that begins meanwhile is good, and stays.
        return frozenset(line.partition("/")[2] for line in done.text.split())

    def argv(self, again: bool, *words: str) -> list[str]:
        """What runs `words` in the file server; `again`: in the one that there is now. Raises WommError."""
        if not again:
            return self.link.argv(*words)
        # The hub knows the first one alone.
        return server.by_kubectl(self.kube, server.find(self.kube).pod, words)
