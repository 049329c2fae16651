"""`womm cluster-setup`: its refusals, and the YAML that it prints."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conftest import Hermetic
from stubs import DOCKER, KUBECTL

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
        (["--build", "--prefix", "a b/"], "no registry prefix", "--prefix"),
    ],
)
def test_cluster_setup_refuses_with_the_way_out(
    arguments: list[str], message: str, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    error = refusal(*arguments)
    assert message in error.message
    assert hint in error.hint
    assert capfd.readouterr().out == ""


def test_an_image_of_ones_own_is_named_in_the_yaml(capfd: pytest.CaptureFixture[str]) -> None:
    assert cluster_setup.run(["--image", "r/s:1"], KubeChoice("team")) == 0
    found = list(yaml.load_all(capfd.readouterr().out, Loader=yaml.CSafeLoader))
    spec = found[0]["spec"]["template"]["spec"]
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
    assert cluster_setup.run(["--build", "--prefix", "localhost:5000"], KubeChoice()) == 0
    found = list(yaml.load_all(capfd.readouterr().out, Loader=yaml.CSafeLoader))
    spec = found[0]["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"].startswith("localhost:5000/womm-server:")
    assert spec["containers"][0]["image"].endswith(f"@sha256:{DIGEST}")
    assert spec["nodeSelector"]["kubernetes.io/arch"] == "arm64"
    # The namespace is the one that kubectl works in.
    assert {document["metadata"]["namespace"] for document in found} == {"team"}
    assert Path(hermetic.root / "calls").read_text().startswith("kubectl config view")


def test_without_a_namespace_and_a_cluster_it_says_where_to_get_one(hermetic: Hermetic, kubectl: str) -> None:
    with pytest.raises(WommError, match="no Kubernetes context"):
        cluster_setup.run(["--image", "x"], KubeChoice())
