"""Both servers of a namespace, and directories there, for the tests of what is shared over NFS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kit import IMAGES, Done, Place, User, call, kubectl, new_namespace

#: Where the NFS servers of all namespaces are.
SYSTEM = "womm-system"
#: Whose the exports of `publish` are.
OWNER = (1501, 1502)
#: Seconds for what the second node does: its processor is computed.
SLOW = 300


@dataclass(frozen=True)
class Servers:
    """Both servers of a namespace."""

    namespace: str
    address: str

    @property
    def pod(self) -> str:
        """The address of the NFS server's pod that there is now."""
        return kubectl(
            "-n", SYSTEM, "get", "pods", "-l", f"app.kubernetes.io/name=womm-nfs-{self.namespace}",
            "-o", "jsonpath={.items[0].status.podIP}",
        )  # fmt: skip

    def files(self, *argv: str, stdin: str = "") -> Done:
        """Run a program in the file server."""
        where = ("--namespace", self.namespace, "exec", "-i", "deployment/womm-server", "--")
        return call(["kubectl", *where, *argv], stdin=stdin.encode())

    def nfs(self, *verb: str) -> str:
        """Have server-nfs do something that has to succeed."""
        done = self.files("/opt/womm/scripts/server-nfs", *verb)
        assert done.status == 0, done.messages
        return done.out.decode()

    def publish(self, task: str, path: str, content: str) -> None:
        """Export a directory with one file."""
        place = f"/srv/womm/shares/key/{task}"
        self.files("sh", "-c", f"mkdir -p {place} && chmod 00755 {place} && cat >{place}/file", stdin=content)
        self.nfs("publish", task, "key", path, *map(str, OWNER))

    def inside(self, pod: str, *argv: str) -> Done:
        """Run a program in one of the clients."""
        return call(["kubectl", "--namespace", self.namespace, "exec", pod, "--", *argv], limit=60)


@contextmanager
def both_servers(home: User, name: str) -> Iterator[Servers]:
    """Both servers, as `womm cluster-setup` has them, in a namespace of their own."""
    with new_namespace(name) as namespace:
        called = f"womm-nfs-{namespace}"
        try:
            assert "run the same command once more" in set_up(home, namespace)
            address = kubectl("-n", SYSTEM, "get", "service", called, "-o", "jsonpath={.spec.clusterIP}")
            yield Servers(namespace, address)
        finally:
            drop_nfs_server(namespace)


def set_up(home: User, namespace: str) -> str:
    """Have in a namespace what `womm cluster-setup` says, and wait for it; what that has told."""
    done = Place(home, namespace, home.root).womm("cluster-setup", "--build", *IMAGES)
    assert done.status == 0, done.messages
    kubectl("apply", "-f", "-", stdin=done.out.decode())
    for where, deployment in ((namespace, "womm-server"), (SYSTEM, f"womm-nfs-{namespace}")):
        kubectl("-n", where, "rollout", "status", f"deployment/{deployment}", "--timeout=60s")
    return done.messages


def reshare(place: Place, share: str) -> Place:
    """Have a directory that was set up shared in this way from now on, over NFS."""
    words = ("--yes", "--as-root", "--share", share, "--share-via", "nfs")
    done = place.womm("setup", *words, limit=SLOW)
    assert done.status == 0, done.messages
    return place


def drop_nfs_server(namespace: str) -> None:
    """Delete what the NFS server of a namespace has outside of it."""
    kinds = "deployments,services,secrets,roles,rolebindings,networkpolicies"
    which = ("-l", f"app.kubernetes.io/name=womm-nfs-{namespace}")
    kubectl("--namespace", SYSTEM, "delete", kinds, *which, "--wait=false")
    kubectl("delete", "persistentvolumes", *which, "--wait=false")
