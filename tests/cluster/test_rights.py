"""What a user of womm must be allowed, in a namespace that limits what pods may take."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import Place, User, account, call, eventually, kubectl, may, objects

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("clean")]

HARD = {"requests.cpu": "2", "limits.cpu": "2", "limits.memory": "2Gi", "pods": "10"}
# Less than the tests' pods ask for: they need a limit of their own.
RANGE = {"type": "Container", "default": {"cpu": "150m"}, "max": {"cpu": "1", "memory": "1Gi"}}


@pytest.fixture(scope="module")
def limited(namespace: str) -> str:
    """The module's namespace, with a ResourceQuota and a LimitRange."""
    place = ("--namespace", namespace)
    for kind, spec in (("LimitRange", {"limits": [RANGE]}), ("ResourceQuota", {"hard": HARD})):
        new = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "limits"}, "spec": spec}
        kubectl(*place, "create", "-f", "-", stdin=json.dumps(new))
    # The file server, too, gets the limit that the quota demands.
    kubectl(*place, "rollout", "restart", "deployment/womm-server")
    kubectl(*place, "rollout", "status", "deployment/womm-server", "--timeout=120s")
    return namespace


@pytest.fixture(scope="module")
def programmer(home: User, limited: str) -> Iterator[Path]:
    """A kubeconfig of somebody who has the Role that `cluster-setup --user-role` prints, and nothing else."""
    printed = Place(home, limited, home.root).womm("cluster-setup", "--user-role")
    assert printed.status == 0, printed.messages
    place = ("--namespace", limited)
    kubectl("create", "-f", "-", stdin=printed.out.decode())
    kubectl(*place, "create", "serviceaccount", "programmer")
    who = f"--serviceaccount={limited}:programmer"
    kubectl(*place, "create", "rolebinding", "womm-users", "--role=womm-user", who)
    eventually(lambda: may(f"system:serviceaccount:{limited}:programmer", limited, "get", "pods"))
    path = home.root / "programmer.kubeconfig"
    account(limited, "programmer", path)
    yield path
    path.unlink()


def test_the_users_role_is_enough_for_the_main_job_in_a_namespace_with_limits(
    eager: Place, programmer: Path
) -> None:
    job = 'find -type f | womm --kubeconfig "$1" --namespace "$2" parallel --kube-pods 3 -- wc -l {}'
    done = eager.shell(f"WOMM_KUBE_CPU=0.2; export WOMM_KUBE_CPU; {job}", str(programmer), eager.namespace)
    assert done.status == 0, done.messages
    counted = {line.split(" ", 1)[1]: int(line.split()[0]) for line in done.out.decode().splitlines()}
    assert counted.pop("./.womm") >= 1
    assert counted == {"./a": 1, "./b": 2, "./sub/c": 0, "./sub/deeper/d e": 3}
    assert "womm: the namespace limits cpus: a pod gets no more than 0.2 (--kube-cpu)\n" in done.messages
    assert done.messages.endswith(" deleted\n")


def test_the_limit_that_the_namespace_demands_is_what_the_pods_ask_for(
    eager: Place, programmer: Path
) -> None:
    options = ("--kubeconfig", str(programmer), "--kube-pods", "1", "--kube-cpu", "0.2", "-u")
    with eager.started("parallel", *options, "--", "echo here; sleep 600; :", ":::", "x") as running:
        running.until(lambda: b"here" in running.out)
        [pod] = objects(eager.namespace, "pods", "-l", f"womm.dev/task={running.task()[10:]}")
        assert running.interrupt(signal.SIGINT).status == 130
    containers = [*pod["spec"]["containers"], *pod["spec"]["initContainers"]]
    assert [c["resources"]["limits"]["cpu"] for c in containers] == ["200m", "200m"]


@pytest.mark.parametrize(
    "what",
    [
        "get secrets", "list secrets", "update secrets", "delete pods", "patch pods",
        "create pods --subresource=attach", "update deployments.apps", "patch deployments.apps",
        "create services", "delete services", "update jobs.batch", "patch jobs.batch",
        "update leases.coordination.k8s.io", "watch leases.coordination.k8s.io",
        "create roles.rbac.authorization.k8s.io", "list nodes",
    ],
)  # fmt: skip
def test_the_users_role_allows_no_more(programmer: Path, what: str) -> None:
    asked = call(["kubectl", "--kubeconfig", str(programmer), "auth", "can-i", *what.split()])
    assert asked.out.split()[-1:] == [b"no"]


def test_without_a_share_the_cluster_role_edit_is_enough(none: Place, limited: str, tmp_path: Path) -> None:
    place = ("--namespace", limited)
    kubectl(*place, "create", "serviceaccount", "editor")
    kubectl(
        *place, "create", "rolebinding", "editors", "--clusterrole=edit", f"--serviceaccount={limited}:editor"
    )
    eventually(lambda: may(f"system:serviceaccount:{limited}:editor", limited, "get", "pods"))
    account(limited, "editor", tmp_path / "kubeconfig")
    done = none.womm(
        "--kubeconfig",
        str(tmp_path / "kubeconfig"),
        "parallel",
        "--kube-pods",
        "2",
        "--",
        "echo",
        ":::",
        "a",
        "b",
    )
    assert (done.status, done.lines) == (0, ["a", "b"]), done.messages
    assert done.messages.endswith(" deleted\n")


def test_a_right_that_is_missing_is_told_with_the_role_that_has_it(
    none: Place, limited: str, tmp_path: Path
) -> None:
    kubectl("--namespace", limited, "create", "serviceaccount", "nobody")
    account(limited, "nobody", tmp_path / "kubeconfig")
    done = none.womm(
        "--kubeconfig", str(tmp_path / "kubeconfig"), "parallel", "--kube-pods", "1", "--", "true", ":::", "1"
    )
    assert done.status == 125
    first, way_out = done.messages.splitlines()
    assert "you may not create deployments.apps in namespace" in first
    assert "cluster-setup --user-role" in way_out
