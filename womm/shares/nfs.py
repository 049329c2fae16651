"""The share over NFS: what the NFS server does for a task is asked for through the file server."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from womm import server
from womm.errors import WommError
from womm.kubectl import Kube
from womm.link import Link
from womm.manifests import Nfs
from womm.server import Server


def plan(found: Server, directory: str) -> Nfs:
    """What a task's pods are told of its share, but for the server's address; nothing is exported yet.

    Raises WommError where there is no NFS server.
    """
    if not found.nfs:
        raise WommError(
            "this namespace has no NFS server any more",
            "`womm setup` again takes copies; or an administrator: `womm cluster-setup` without --no-nfs",
        )
    return Nfs("", secrets.token_hex(16), directory, found.claim)


@dataclass(frozen=True)
class Export:
    """A task's export to be; `uid` and `gid` are whom its pods run as."""

    kube: Kube
    link: Link
    task: str
    nfs: Nfs
    uid: int
    gid: int

    @property
    def owner(self) -> tuple[str, str]:
        """Uid and gid, as words."""
        return str(self.uid), str(self.gid)

    def located(self) -> Nfs:
        """What pods are told, with the server's address. Raises WommError."""
        return replace(self.nfs, address=self._ask("address").strip())

    def publish(self, key: str) -> None:
        """Have the snapshot that was pushed exported; the run's end takes it back, after the pods.

        Raises WommError.
        """
        self.undo_later()
        self._ask("publish", self.task, key, self.nfs.path, *self.owner)

    def undo_later(self) -> None:
        """Have the run's end take the export away: pods go before it."""
        close = server.nfs_script("close", self.task)
        self.link.run.undo_later(server.by_kubectl(self.kube, self.link.pod, close), last=True)

    def _ask(self, verb: str, *words: str) -> str:
        done = self.link.ask(*server.nfs_script(verb, *words))
        if done.status != 0:
            raise WommError(
                f"the NFS server can't be used: {done.complaint}",
                "try again; `womm setup --share-via copy` does without it",
            )
        return done.text
