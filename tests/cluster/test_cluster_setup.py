"""womm cluster-setup: the YAML it prints, and the rights of the account in it."""

from __future__ import annotations

import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import BELOW, PREFIX, REGISTRY, Place, User, account, call, kubectl, objects

from womm import __version__
from womm.files import PACKAGE

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("docker"),
]


@pytest.fixture
def anywhere(home: User, namespace: str) -> Place:
    """A directory that nobody set up: cluster-setup needs none."""
    return Place(home, namespace, home.root)


def test_stdout_is_yaml_that_the_cluster_takes_and_nothing_else(anywhere: Place) -> None:
    done = anywhere.womm("cluster-setup", "--no-nfs", "--image", "localhost:5000/womm-server:x", "--quiet")
    assert (done.status, done.messages) == (0, "")
    argv = ("--namespace", anywhere.namespace, "delete", "--dry-run=server", "-o", "name", "-f", "-")
    taken = kubectl(*argv, stdin=done.out.decode()).split()
    kinds = ("serviceaccount", "role.rbac.authorization.k8s.io", "rolebinding.rbac.authorization.k8s.io")
    assert taken == [
        *(f"{kind}/womm-server" for kind in kinds),
        *(f"{kind}/womm-coordinator" for kind in kinds),
        "deployment.apps/womm-server",
        "service/womm-server",
        "networkpolicy.networking.k8s.io/womm-server",
    ]


def test_the_named_namespace_and_image_are_in_every_object(home: User) -> None:
    place = Place(home, "some-where", home.root)
    done = place.womm(
        "cluster-setup", "--no-nfs", "--image", "registry.example.com/team/server@sha256:" + "0" * 64
    )
    shown = kubectl(
        "create", "--dry-run=client", "-f", "-", "-o",
        'jsonpath={.metadata.namespace} {.spec.template.spec.containers[0].image}{"\\n"}',
        stdin=done.out.decode(),
    )  # fmt: skip
    lines = [line.strip() for line in shown.splitlines()]
    lines.remove("some-where registry.example.com/team/server@sha256:" + "0" * 64)
    assert lines == ["some-where"] * 8


@pytest.mark.sandbox("its registry is asked over plain http")
def test_build_pushes_the_image_whose_digest_it_prints(anywhere: Place) -> None:
    done = anywhere.womm("cluster-setup", "--no-nfs", "--build", "--prefix", PREFIX)
    assert done.status == 0
    text = done.out.decode()
    kubectl("--namespace", anywhere.namespace, "apply", "--dry-run=server", "-f", "-", stdin=text)
    [digest] = re.findall(rf'image: "{PREFIX}womm-server:[^@]+@(sha256:[0-9a-f]{{64}})"', text)
    with urllib.request.urlopen(manifest_request("womm-server", digest)) as answer:
        assert answer.headers["Docker-Content-Digest"] == digest


def manifest_request(repository: str, digest: str) -> urllib.request.Request:
    """A request for an image's manifest to the registry."""
    accept = (
        "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
    )
    url = f"http://{REGISTRY}v2/{BELOW}{repository}/manifests/{digest}"
    return urllib.request.Request(url, headers={"Accept": accept})


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), "womm: cluster-setup needs the file server's image"),
        (("--build", "--image", "x"), "womm: cluster-setup needs the file server's image"),
        (("--build",), "womm: --build needs a registry to push to"),
    ],
)
def test_without_one_image_it_refuses(
    anywhere: Place, tmp_path: Path, arguments: tuple[str, ...], error: str
) -> None:
    # With settings of its own: others have had womm remember a registry.
    done = anywhere.womm("cluster-setup", *arguments, XDG_CONFIG_HOME=str(tmp_path))
    assert (done.status, done.out) == (125, b"")
    assert done.messages.splitlines()[0] == error


def test_the_file_server_runs_where_only_restricted_pods_may(namespace: str) -> None:
    [pod] = objects(namespace, "pods", "-l", "app.kubernetes.io/name=womm-server")
    assert pod["spec"]["serviceAccountName"] == "womm-server"
    assert pod["spec"]["enableServiceLinks"] is False
    container = pod["spec"]["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "@sha256:" in container["image"]


def test_womm_and_all_that_it_calls_run_in_the_file_servers_image(namespace: str) -> None:
    # Again, and in the pod: its root is read-only.
    inside = ("--namespace", namespace, "exec", "deployment/womm-server", "--")
    kubectl(*inside, "/opt/womm/scripts/server-proof")
    assert f"womm {__version__}" in kubectl(*inside, "python3", "-m", "womm", "--version")
    # What is packed is this womm: the image of another one would say so.
    assert kubectl(*inside, "cat", "/opt/womm/rights.py") == (PACKAGE / "rights.py").read_text()


def test_the_file_servers_kubectl_looks_at_its_own_namespace_and_its_rights_are_enough(
    namespace: str,
) -> None:
    inside = ("--namespace", namespace, "exec", "deployment/womm-server", "--", "kubectl")
    labels = ("-l", "womm.dev/task=no-such")
    kubectl(*inside, "get", "leases.coordination.k8s.io", *labels, "-o", "name")
    how = ("--ignore-not-found", "--wait=false")
    kubectl(*inside, "delete", "deployments.apps", *labels, *how)
    for kind in ("secrets", "leases.coordination.k8s.io"):
        kubectl(*inside, "delete", kind, "womm-task-no-such", *how)
    refused = call(["kubectl", *inside, "get", "leases.coordination.k8s.io", "-n", "default"])
    assert refused.status != 0
    assert 'in the namespace "default"' in refused.messages


@pytest.fixture(scope="module")
def server(namespace: str, home: User) -> Iterator[Path]:
    """A kubeconfig of the file server's account."""
    path = home.root / "server.kubeconfig"
    account(namespace, "womm-server", path)
    yield path
    path.unlink()


@pytest.mark.parametrize(
    "what",
    [
        "get secrets", "list secrets", "watch secrets", "create secrets", "deletecollection secrets",
        "create deployments.apps", "patch deployments.apps", "deletecollection deployments.apps",
        "create leases.coordination.k8s.io", "update leases.coordination.k8s.io",
        "list pods", "create pods", "delete pods", "create pods/exec", "create jobs.batch",
        "delete jobs.batch", "list configmaps", "create serviceaccounts/token",
        "create rolebindings.rbac.authorization.k8s.io",
    ],
)  # fmt: skip
def test_the_file_server_may_not(server: Path, what: str) -> None:
    asked = call(["kubectl", "--kubeconfig", str(server), "auth", "can-i", *what.split()])
    assert asked.out.split()[-1:] == [b"no"]


@pytest.mark.parametrize(
    ("content", "why"),
    [("#!/bin/sh\n", "it is a script, or no program at all"), (None, "it needs libraries of this machine")],
)
def test_a_kubectl_that_the_image_cannot_hold_is_refused_at_once(
    anywhere: Place, tmp_path: Path, content: str | None, why: str
) -> None:
    other = tmp_path / "kubectl"
    if content is None:
        # Dynamically linked on every Debian.
        shutil.copy("/bin/ls", other)
    else:
        other.write_text(content)
    done = anywhere.womm("cluster-setup", "--build", "--prefix", PREFIX or "x/", "--kubectl", str(other))
    assert (done.status, done.out) == (125, b"")
    error, way_out = done.messages.splitlines()
    assert error == f"womm: {other} can't be the kubectl of the file server's image: {why}"
    assert "--kubectl FILE" in way_out


@pytest.fixture(scope="module")
def coordinator(namespace: str, home: User) -> Iterator[Path]:
    """A kubeconfig of the coordinator's account."""
    path = home.root / "coordinator.kubeconfig"
    account(namespace, "womm-coordinator", path)
    yield path
    path.unlink()


@pytest.mark.parametrize("share", ["none", "eager"])
def test_the_coordinators_rights_are_enough(
    request: pytest.FixtureRequest, coordinator: Path, share: str
) -> None:
    place: Place = request.getfixturevalue(share)
    done = place.womm(
        "--kubeconfig", str(coordinator), "parallel", "--kube-pods", "2", "--", "echo", ":::", "a", "b",
    )  # fmt: skip
    assert (done.status, done.lines) == (0, ["a", "b"]), done.messages
    assert done.messages.splitlines()[-1].endswith(" deleted")
    assert "womm: " not in done.messages.replace("womm: copying", "")
    assert place.left() == []


@pytest.mark.parametrize(
    "what",
    [
        "get secrets", "list secrets", "watch secrets", "update secrets",
        "create pods", "delete pods", "patch pods", "create pods/attach", "create pods/portforward",
        "update deployments.apps", "patch deployments.apps", "create jobs.batch",
        "create serviceaccounts/token", "create roles.rbac.authorization.k8s.io",
        "create rolebindings.rbac.authorization.k8s.io", "list nodes", "list namespaces",
        "list persistentvolumes", "create services", "delete services", "list configmaps",
    ],
)  # fmt: skip
def test_the_coordinator_may_not(coordinator: Path, what: str) -> None:
    asked = call(["kubectl", "--kubeconfig", str(coordinator), "auth", "can-i", *what.split()])
    assert asked.out.split()[-1:] == [b"no"]


def test_the_coordinator_may_do_nothing_in_another_namespace(coordinator: Path) -> None:
    for what in ("create deployments.apps", "list pods", "create pods/exec", "create secrets"):
        argv = ["kubectl", "--kubeconfig", str(coordinator), "--namespace", "default", "auth", "can-i"]
        assert call([*argv, *what.split()]).out.strip() == b"no"
