"""The NFS server: its keys, and what its printing takes from the cluster."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import replace
from typing import Any

import pytest
import yaml
from conftest import Hermetic

from womm import nfs
from womm.commands import cluster_setup
from womm.errors import WommError
from womm.kubectl import KubeChoice
from womm.manifests import CLAIM_AGE, Nfs
from womm.shares.nfs import node_age

pytestmark = pytest.mark.usefixtures("hermetic")

KEYS = nfs.Keys("CLIENT\n", "ssh-ed25519 AAAC client\n", "HOST\n", "ssh-ed25519 AAAH host\n")


def secret(**content: str) -> dict[str, Any]:
    """A Secret as the cluster shows it."""
    return {"data": {key: base64.b64encode(text.encode()).decode() for key, text in content.items()}}


MINE = secret(id="CLIENT\n", known_hosts="womm-nfs ssh-ed25519 AAAH host\n")
ITS = secret(
    host_key="HOST\n",
    authorized_keys='restrict,command="/opt/womm/scripts/nfs-door" ssh-ed25519 AAAC client\n',
)


def test_the_keys_that_are_there_are_kept() -> None:
    assert nfs.known_keys(MINE, ITS) == KEYS


@pytest.mark.parametrize(
    ("mine", "its"),
    [
        ({}, {}),
        (MINE, {}),
        ({}, ITS),
        (secret(id="x"), ITS),
        ({"data": {"id": "%", "known_hosts": "%"}}, ITS),
        (secret(id="x", known_hosts="womm-nfs ssh-rsa AAAA"), ITS),
        (MINE, secret(host_key="x", authorized_keys="ssh-ed25519 AAAC")),
    ],
)
def test_what_is_no_pair_of_keys_is_not_taken(mine: dict[str, Any], its: dict[str, Any]) -> None:
    assert nfs.known_keys(mine, its) is None


def test_new_keys_are_two_pairs_that_ssh_takes(hermetic: Hermetic) -> None:
    if "ssh-keygen" not in {path.name for path in hermetic.bin.iterdir()}:
        real = shutil.which("ssh-keygen", path="/usr/bin:/usr/local/bin:/bin")
        assert real, "tools/install-missing installs openssh-client"
        (hermetic.bin / "ssh-keygen").symlink_to(real)
    keys = nfs.make_keys()
    for private, public in ((keys.client, keys.client_public), (keys.host, keys.host_public)):
        assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
        assert public.startswith("ssh-ed25519 ")
    assert keys.client != keys.host
    assert keys.digest != nfs.make_keys().digest


def test_without_ssh_keygen_the_way_out_is_told(hermetic: Hermetic) -> None:
    hermetic.only("sh")
    with pytest.raises(WommError, match="ssh-keygen is not installed") as caught:
        nfs.make_keys()
    assert "--no-nfs" in caught.value.hint


def test_a_namespace_whose_server_would_have_no_name_is_refused() -> None:
    assert nfs.name("n" * 54) == "womm-nfs-" + "n" * 54
    with pytest.raises(WommError, match="too long for an NFS server") as caught:
        nfs.name("n" * 55)
    assert "at most 54 characters" in caught.value.hint


@pytest.mark.parametrize(
    ("nodes", "ranges", "own"),
    [
        ([], (), ()),
        ([["10.1.0.0/24"], ["10.1.1.0/24", "fd00::/64"]], ("10.1.0.0/24", "10.1.1.0/24"),
         ("10.1.0.0", "10.1.0.1", "10.1.1.0", "10.1.1.1")),
        ([["10.1.0.0/24"], []], (), ()),
        ([["fd00::/64"]], (), ()),
    ],
)  # fmt: skip
def test_the_pods_networks_and_the_nodes_addresses_in_them(
    nodes: list[list[str]], ranges: tuple[str, ...], own: tuple[str, ...]
) -> None:
    assert nfs.networks([{"spec": {"podCIDRs": given}} for given in nodes]) == (ranges, own)


CLUSTER = """#!/bin/sh
case "$*" in
  *"config view"*)
    echo '{"current-context": "dev", "contexts": [{"name": "dev", "context": {"namespace": "team"}}]}' ;;
  *"womm-system get service"*) echo '{"spec": {"clusterIP": "10.0.0.8"}}' ;;
  *"get nodes"*) echo "you may not" >&2; exit 1 ;;
  *"womm-system get secret womm-nfs-team "*) cat "$ITS" ;;
  *"team get secret womm-nfs "*) cat "$MINE" ;;
  *"get service"*) ;;
  *) exit 1 ;;
esac
"""


def test_cluster_setup_keeps_keys_and_tells_what_it_may_not_see(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hermetic.stub("kubectl", CLUSTER)
    for name, content in (("MINE", MINE), ("ITS", ITS)):
        (hermetic.root / name).write_text(json.dumps(content))
        monkeypatch.setenv(name, str(hermetic.root / name))
    arguments = ["--image", "r/s:1", "--nfs-image", "r/n:1", "--nfs-clients", "10.4.0.0/16,192.0.2.1"]
    assert cluster_setup.run(arguments, KubeChoice("team", "dev")) == 0
    said = capfd.readouterr()
    found = {(d["kind"], d["metadata"]["name"]): d for d in yaml.load_all(said.out, Loader=yaml.CSafeLoader)}
    assert found["Secret", "womm-nfs"]["stringData"]["id"] == KEYS.client
    assert found["PersistentVolume", "womm-nfs-team"]["spec"]["nfs"]["server"] == "10.0.0.8"
    (server,) = found["Deployment", "womm-nfs-team"]["spec"]["template"]["spec"]["containers"]
    assert server["image"] == "r/n:1"
    assert server["env"] == [{"name": "WOMM_CLIENTS", "value": "10.4.0.0/16,192.0.2.1"}]
    assert "womm: nodes can't be looked at, and counts as not there" in said.err
    assert "once more" not in said.err


def test_without_the_servers_address_there_is_no_volume_and_how_to_get_it_is_told(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hermetic.stub("kubectl", CLUSTER.replace("get service", "no service"))
    for name, content in (("MINE", MINE), ("ITS", ITS)):
        (hermetic.root / name).write_text(json.dumps(content))
        monkeypatch.setenv(name, str(hermetic.root / name))
    words = ["--image", "r/s:1", "--nfs-image", "r/n:1"]
    assert cluster_setup.run(words, KubeChoice("team", "dev")) == 0
    said = capfd.readouterr()
    assert "kind: PersistentVolume\n" not in said.out
    assert "womm: when this has been applied, run the same command once more" in said.err


def test_how_long_a_node_keeps_what_it_knows_depends_on_the_claim() -> None:
    told = Nfs("10.0.0.8", "0" * 32, "/home/me")
    assert node_age(told) == "up to 60 s"
    assert node_age(replace(told, claim="womm-nfs")) == f"{CLAIM_AGE} s"
