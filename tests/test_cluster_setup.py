"""`womm cluster-setup`: its refusals, and the YAML that it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Hermetic
from stubs import DOCKER, KUBECTL, program

from womm.commands import cluster_setup
from womm.errors import WommError
from womm.kubectl import KubeChoice

pytestmark = pytest.mark.usefixtures("hermetic")

DIGEST = "0123456789abcdef" * 4


def refusal(*arguments: str) -> WommError:
    """The error with which cluster-setup refuses."""
    with pytest.raises(WommError) as caught:
        cluster_setup.run(arguments, KubeChoice("team"))
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ([], "needs the file server's image", "--build --prefix"),
        (["--build", "--image", "x"], "needs the file server's image", "--build --prefix"),
        (["--image", ""], "needs the file server's image", "--build --prefix"),
        (["--build"], "--build needs a registry to push to", "--prefix"),
        (["--image", "x", "--kubectl", "y"], "--kubectl is for an image that is built", "--build"),
        (["--user-role", "--kubectl", "y"], "--user-role has no image", "--kubectl"),
        (
            ["--image", "x", "--no-nfs", "--orphans-after", "soon"],
            "--orphans-after takes a time, not 'soon'",
            "90",
        ),
        (
            ["--image", "x", "--no-nfs", "--orphans-after", "2m59s"],
            "--orphans-after 2m59s would take",
            "3m at least",
        ),
        (["--build", "--prefix", "a b/"], "no registry prefix", "--prefix"),
        (["--image", "x", "--no-nfs", "--storage-class", "fast"], "a volume has a size", "--size"),
        (["--image", "x", "--no-nfs", "--size", "50"], "--size 50 is too little", "50Gi"),
        (["--image", "x"], "needs the images of both servers", "--no-nfs"),
        (["--build", "--nfs-image", "x"], "needs the images of both servers", "--no-nfs"),
        (["--image", "x", "--no-nfs", "--nfs-image", "y"], "--no-nfs has no NFS server", "--nfs-image"),
        (["--image", "x", "--no-nfs", "--nfs-clients", "y"], "--no-nfs has no NFS server", "--nfs-clients"),
        (["--image", "x", "--nfs-image", "y", "--nfs-clients", "z"], "--nfs-clients takes", "10.4.0.0/16"),
        (["--user-role", "--nfs-image", "y"], "--user-role has no image", "--nfs-image"),
        (["--image", "x", "--no-nfs", "--size", "big"], "--size", "for example"),
    ],
)
def test_cluster_setup_refuses_with_the_way_out(
    arguments: list[str], message: str, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    error = refusal(*arguments)
    assert message in error.message
    assert hint in error.hint
    assert capfd.readouterr().out == ""


def pod(found: list[Any]) -> dict[str, Any]:
    """The specification of the file server's pod."""
    (spec,) = (document["spec"]["template"]["spec"] for document in found if document["kind"] == "Deployment")
    assert isinstance(spec, dict)
    return spec


def test_a_server_with_a_volume_of_its_own_claims_it(capfd: pytest.CaptureFixture[str]) -> None:
    def printed(*more: str) -> list[dict[str, Any]]:
        assert cluster_setup.run(["--image", "r/s:1", "--no-nfs", *more], KubeChoice("team")) == 0
        return list(yaml.load_all(capfd.readouterr().out, Loader=yaml.CSafeLoader))

    def claims(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [document["spec"] for document in found if document["kind"] == "PersistentVolumeClaim"]

    without = printed()
    assert claims(without) == []
    assert {"name": "shares", "emptyDir": {}} in pod(without)["volumes"]
    found = printed("--size", "50Gi", "--storage-class", "fast")
    size = {"requests": {"storage": "50Gi"}}
    assert claims(found) == [
        {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": size}
    ]
    volume = {"name": "shares", "persistentVolumeClaim": {"claimName": "womm-server"}}
    assert volume in pod(found)["volumes"]
    assert claims(printed("--size", "50Gi")) == [{"accessModes": ["ReadWriteOnce"], "resources": size}]


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        ((), "600"),
        (("--orphans-after", "3m"), "180"),
        (("--orphans-after", "1h0.1"), "3601"),
        (("--orphans-after=0",), "0"),
    ],
)
def test_the_server_is_told_after_how_many_seconds_a_task_is_an_orphan(
    arguments: tuple[str, ...], seconds: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cluster_setup.run(["--image", "r/s:1", "--no-nfs", *arguments], KubeChoice("team")) == 0
    spec = pod(list(yaml.load_all(capfd.readouterr().out, Loader=yaml.CSafeLoader)))
    assert {"name": "WOMM_ORPHANS_AFTER", "value": seconds} in spec["containers"][0]["env"]
    # Who never takes anything away needs no rights.
    assert spec["automountServiceAccountToken"] is (seconds != "0")


def test_an_image_of_ones_own_is_named_in_the_yaml(capfd: pytest.CaptureFixture[str]) -> None:
    assert cluster_setup.run(["--image", "r/s:1", "--no-nfs"], KubeChoice("team")) == 0
    found = list(yaml.load_all(capfd.readouterr().out, Loader=yaml.CSafeLoader))
    spec = pod(found)
    assert spec["containers"][0]["image"] == "r/s:1"
    assert "kubernetes.io/arch" not in spec["nodeSelector"]
    assert {document["metadata"]["namespace"] for document in found} == {"team"}


def test_an_image_is_built_pushed_and_named_and_nothing_else_is_on_stdout(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hermetic.stub("docker", DOCKER)
    hermetic.stub("kubectl", KUBECTL)
    for name in ("calls", "context"):
        monkeypatch.setenv(name.upper(), str(hermetic.root / name))
    monkeypatch.setenv("DIGEST", DIGEST)
    kubectl = hermetic.root / "kubectl-arm64"
    kubectl.write_bytes(program("arm64", 1))
    arguments = ["--build", "--prefix", "localhost:5000", "--no-nfs", "--kubectl", str(kubectl)]
    assert cluster_setup.run(arguments, KubeChoice()) == 0
    found = list(yaml.load_all(capfd.readouterr().out, Loader=yaml.CSafeLoader))
    spec = pod(found)
    assert spec["containers"][0]["image"].startswith("localhost:5000/womm-server:")
    assert spec["containers"][0]["image"].endswith(f"@sha256:{DIGEST}")
    assert spec["nodeSelector"]["kubernetes.io/arch"] == "arm64"
    # The namespace is the one that kubectl works in.
    assert {document["metadata"]["namespace"] for document in found} == {"team"}
    assert Path(hermetic.root / "calls").read_text().startswith("kubectl config view")


def test_a_kubectl_that_is_a_script_is_refused_before_anything_is_built(hermetic: Hermetic) -> None:
    hermetic.stub("kubectl", KUBECTL)
    error = refusal("--build", "--prefix", "localhost:5000")
    assert error.message.startswith(f"{hermetic.bin}/kubectl can't be the kubectl of the file server's image")
    assert "--kubectl FILE" in error.hint


def test_without_a_namespace_and_a_cluster_it_says_where_to_get_one(hermetic: Hermetic, kubectl: str) -> None:
    with pytest.raises(WommError, match="no Kubernetes context"):
        cluster_setup.run(["--image", "x", "--no-nfs"], KubeChoice())
