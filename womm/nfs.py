"""The NFS server of a namespace: its keys, and what its printing takes from the cluster."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

from womm.errors import WommError
from womm.kubectl import Kube
from womm.manifests import SYSTEM
from womm.output import warn
from womm.process import run, tool

# What a Service may be called at most, by DNS.
_LONGEST = 63


@dataclass(frozen=True)
class Keys:
    """The keys by which the file server (`client`) and the NFS server (`host`) know each other."""

    client: str
    client_public: str
    host: str
    host_public: str

    @property
    def digest(self) -> str:
        """What tells these keys from others, and nothing about them."""
        return hashlib.sha256(f"{self.client_public}{self.host_public}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class NfsServer:
    """The NFS server of one namespace.

    `clients`: addresses that may mount beside the nodes' own. `pod_ranges`: the networks of the nodes' pods,
    as far as they are known; `tunnels`: addresses in them that are nodes'. `address`: the Service's, once it
    is there.
    """

    name: str
    image: str
    keys: Keys
    clients: tuple[str, ...] = ()
    pod_ranges: tuple[str, ...] = ()
    tunnels: tuple[str, ...] = ()
    address: str = ""
    # Ganesha takes some 60 MiB; what it knows of files, and sshfs, the rest.
    memory: str = "256Mi"
    memory_limit: str = "2Gi"


def name(namespace: str) -> str:
    """What the NFS server of a namespace is called. Raises WommError if that would be too long."""
    called = f"womm-nfs-{namespace}"
    if len(called) > _LONGEST:
        raise WommError(
            f"the namespace's name is too long for an NFS server: {namespace}",
            f"at most {_LONGEST - len(called) + len(namespace)} characters; or leave NFS out: --no-nfs",
        )
    return called


def make_keys() -> Keys:
    """Make new keys. Raises WommError without ssh-keygen."""
    tool("ssh-keygen", "install OpenSSH's client (openssh-client), or leave NFS out: --no-nfs")
    made = []
    with tempfile.TemporaryDirectory(prefix="womm-keys-") as directory:
        for who in ("client", "host"):
            path = Path(directory, who)
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"womm-{who}", "-f", str(path)])
            made += [file.read_text(encoding="ascii") for file in (path, path.with_suffix(".pub"))]
    return Keys(*made)


@dataclass(frozen=True)
class Seen:
    """What the cluster has of an NFS server already: its keys, its Service's address; what its nodes say."""

    keys: Keys | None = None
    address: str = ""
    pod_ranges: tuple[str, ...] = ()
    tunnels: tuple[str, ...] = ()


def look(kube: Kube, called: str) -> Seen:
    """Ask the cluster. What it does not tell (a right is missing) counts as not there, and a line says so."""
    system = replace(kube, namespace=SYSTEM)
    mine, its = _there(kube, "secret", "womm-nfs"), _there(system, "secret", called)
    service = _there(system, "service", called)
    ranges, tunnels = networks(_there(kube, "nodes").get("items", []))
    return Seen(known_keys(mine, its), service.get("spec", {}).get("clusterIP", ""), ranges, tunnels)


def _there(kube: Kube, *what: str) -> dict[str, Any]:
    done = kube.attempt("get", *what, "--ignore-not-found", "-o", "json")
    if done.status == 0:
        found: dict[str, Any] = json.loads(done.stdout or b"{}")
        return found
    why = kube.explain(done.stderr).message
    warn(f"{' '.join(what)} can't be looked at, and counts as not there ({why})")
    return {}


def known_keys(mine: Mapping[str, Any], its: Mapping[str, Any]) -> Keys | None:
    """The keys in the two Secrets, if they are there and belong together (pure).

    With new ones both servers would begin anew, and tasks that run would lose their shares.
    """
    try:
        client, known = (_plain(mine, key) for key in ("id", "known_hosts"))
        host, authorized = (_plain(its, key) for key in ("host_key", "authorized_keys"))
    except (KeyError, ValueError):
        return None
    client_public = authorized.partition('" ')[2]
    host_public = known.partition(" ")[2]
    if not all(text.startswith("ssh-ed25519 ") for text in (client_public, host_public)):
        return None
    return Keys(client, client_public, host, host_public)


def _plain(secret: Mapping[str, Any], key: str) -> str:
    return base64.b64decode(secret["data"][key], validate=True).decode("ascii")


def networks(nodes: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The networks of the nodes' pods, and the addresses in them that are nodes' own (pure).

    These are bridges' and tunnels'. Of IPv4 only; nothing where one node has none that is known: its pods
    could be anywhere.
    """
    ranges, own = [], []
    for node in nodes:
        given = [ip_network(text) for text in node.get("spec", {}).get("podCIDRs", [])]
        networks = [network for network in given if isinstance(network, IPv4Network)]
        if not networks:
            return (), ()
        ranges += [str(network) for network in networks]
        own += [str(network[index]) for network in networks for index in (0, 1)]
    return tuple(sorted(ranges)), tuple(sorted(own))
