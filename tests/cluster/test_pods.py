"""The worker pods: what they may do, what is told of them, and jobs while pods come and go."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kit import Place, Running, command_line, eventually, kubectl, new_namespace, objects, pods

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("clean")]

FACTS = r"""
echo "uid $(id -u)"; echo "gid $(id -g)"; echo "groups $(id -G)"; echo "name $(id -un)"
echo "HOME $HOME"; : >"$HOME/it-is-writable" && echo "home writable"
sed -n 's/^\(CapEff\|CapBnd\|NoNewPrivs\|Seccomp\):\t/\1 /p' /proc/self/status
echo "token $(ls /var/run/secrets/kubernetes.io 2>/dev/null | wc -l)"
echo "links $(env | grep -c ^WOMM_SERVER_)"
echo "password $(env | grep -c RSYNC_PASSWORD)"
echo "said {}"
while :; do sleep 1; done"""


@dataclass(frozen=True)
class Seen:
    """A run as the API and its job tell it."""

    deployment: dict[str, Any]
    pod: dict[str, Any]
    facts: dict[str, str]

    @property
    def worker(self) -> dict[str, Any]:
        """The container that jobs run in."""
        containers: list[dict[str, Any]] = self.pod["spec"]["containers"]
        assert len(containers) == 1
        return containers[0]


def look(place: Place, *options: str, job: str = FACTS) -> Seen:
    """Start a run in `place`, look at its objects and at what its job says, and end it."""
    arguments = (
        "parallel",
        "--kube-pods",
        "1",
        *options,
        "--line-buffer",
        "--",
        job,
        ":::",
        'a "b" $ID {{ }}',
    )
    with place.started(*arguments) as running:
        running.until(lambda: b"said " in running.out)
        task = running.task().removeprefix("womm-task-")
        [deployment] = objects(place.namespace, "deployments", "-l", f"womm.dev/task={task}")
        [pod] = objects(place.namespace, "pods", "-l", f"womm.dev/task={task}")
        assert running.interrupt(signal.SIGINT).status == 130
        facts = dict(line.split(" ", 1) for line in running.out.decode().splitlines())
    return Seen(deployment, pod, facts)


@pytest.fixture(scope="module", params=["none", "eager"])
def seen(request: pytest.FixtureRequest) -> Seen:
    """A run in a namespace where only "restricted" pods may run, with each kind of share."""
    place: Place = request.getfixturevalue(request.param)
    options = ["--kube-mem", "96Mi", "--kube-cpu", "0.05"]
    options += ["--kube-node-selector", f"kubernetes.io/hostname={node()['metadata']['name']}"]
    options += ["--kube-node-selector", "kubernetes.io/os=linux"]
    options += ["--kube-toleration", "example.com/spot", "--kube-toleration", "gpu"]
    return look(place, *options)


def node() -> dict[str, Any]:
    """Return a node of the cluster that takes pods."""
    return next(found for found in objects("default", "nodes") if not found["spec"].get("taints"))


def test_jobs_run_as_the_user_with_a_home(seen: Seen) -> None:
    assert seen.facts["uid"] == seen.facts["gid"] == seen.facts["groups"] == "1000"
    assert seen.facts["name"] == "womm"
    assert seen.facts["HOME"] == "/home/womm"
    assert seen.facts["home"] == "writable"


def test_jobs_have_no_rights_to_lend(seen: Seen) -> None:
    assert int(seen.facts["CapEff"], 16) == 0
    assert int(seen.facts["CapBnd"], 16) == 0
    assert seen.facts["NoNewPrivs"] == "1"
    assert seen.facts["Seccomp"] == "2"
    assert seen.facts["token"] == "0"
    assert seen.facts["links"] == "0"
    assert seen.facts["password"] == "0"


def test_the_pod_asks_for_least_privilege(seen: Seen) -> None:
    spec = seen.pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"] == {
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
    kinds = [kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"]
    assert set(kinds) <= {"emptyDir"}


def test_the_pod_gets_what_the_options_say(seen: Seen) -> None:
    spec = seen.pod["spec"]
    # A copy takes room on the node's disk: for a few bytes 64 MiB, and one for all that is beyond them.
    room = {"ephemeral-storage": "65Mi"} if "initContainers" in spec else {}
    assert seen.worker["resources"] == {
        "requests": {"cpu": "50m", "memory": "96Mi", **room},
        "limits": {"memory": "96Mi"},
    }
    labels = node()["metadata"]["labels"]
    wanted = ("kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os")
    assert spec["nodeSelector"] == {name: labels[name] for name in wanted}
    tolerations = [(t["key"], t["operator"]) for t in spec["tolerations"] if "node.k" not in t["key"]]
    assert tolerations == [("example.com/spot", "Exists"), ("gpu", "Exists")]
    assert "@sha256:" in seen.worker["image"]


def test_the_objects_tell_people_and_machines_whose_they_are(seen: Seen) -> None:
    about = seen.deployment["metadata"]["annotations"]
    assert about["womm.dev/directory"].startswith("/tmp/wt-")
    assert about["womm.dev/command"].startswith('parallel -- \necho "uid $(id -u)"')
    assert 'a "b" $ID {{ }}' in about["womm.dev/command"]
    annotations = seen.pod["metadata"]["annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"
    assert annotations["sidecar.istio.io/inject"] == "false"


def test_as_root_jobs_are_root_where_the_namespace_allows_it(
    make_place: Callable[[str], Place], server_image: str
) -> None:
    place = make_place("as-root")
    with new_namespace("as-root", server_image) as namespace:
        own = Place(place.user, namespace, place.path)
        (own.path / "file").write_text("x\n")
        own.setup("eager", "--as-root")
        facts = look(own).facts
        assert (facts["uid"], facts["gid"], facts["HOME"]) == ("0", "0", "/root")
        assert int(facts["CapEff"], 16) == 0
        assert own.parallel("--", "stat -c %u:%g", ":::", "file").lines == ["0:0"]
        assert own.left() == []


@pytest.mark.kubernetes("1.23")
def test_pods_that_the_namespace_refuses_end_the_run_with_the_reason(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("refused").setup("none", "--as-root")
    done = place.parallel("--", "true", ":::", "1")
    assert done.status == 125
    assert "womm: the cluster refuses the task's pods: violates PodSecurity" in done.messages
    assert "without --as-root" in done.messages
    assert "created" not in done.messages


def test_orphans_of_jobs_are_reaped(none: Place) -> None:
    leave = "for i in 1 2 3 4; do sh -c 'sleep 0.1 & echo $! >>/tmp/orphans'; done; : {}"
    count = (
        "for p in $(cat /tmp/orphans); do"
        " while grep -qs '^State:.[SRD]' /proc/$p/status; do sleep 0.1; done; done;"
        " wc -l </tmp/orphans; cat /proc/[0-9]*/status 2>/dev/null | grep -c '^State:.Z'; : {}"
    )
    command = "if [ {} -lt 3 ]; then " + leave + "; else " + count + "; fi"
    done = none.parallel("-k", "--", command, ":::", *"123")
    assert done.out.split() == [b"8", b"0"]


def test_a_pod_ends_by_term_long_before_its_grace_period(none: Place) -> None:
    arguments = ("parallel", "--kube-pods", "1", "-u", "--", "echo here; sleep 600; : {}", ":::", "1")
    with none.started(*arguments) as running:
        running.until(lambda: b"here" in running.out)
        [pod] = objects(none.namespace, "pods", "-l", f"womm.dev/task={running.task()[10:]}")
        began = time.monotonic()
        kubectl("--namespace", none.namespace, "delete", "pod", pod["metadata"]["name"], "--grace-period=60")
        assert time.monotonic() - began < 30
        running.interrupt(signal.SIGINT)


def test_jobs_never_run_on_this_machine_while_all_pods_are_gone(none: Place, tmp_path: Path) -> None:
    log = tmp_path / "joblog"
    command = "echo {} began $(hostname); sleep 2; echo {} ended $(hostname)"
    numbers = [str(n) for n in range(1, 15)]
    arguments = ("parallel", "--kube-pods", "2", "--joblog", str(log), "--", command, ":::", *numbers)
    with none.started(*arguments) as running:
        task = running.task()
        for outputs in (2, 8):
            running.until(lambda wanted=outputs: running.out.count(b"began") >= wanted)  # type: ignore[misc]
            selector = f"womm.dev/task={task.removeprefix('womm-task-')}"
            kubectl("--namespace", none.namespace, "delete", "pods", "-l", selector, "--wait=false")
        done = running.wait()
    rows = [line.split("\t") for line in log.read_text().splitlines()[1:]]
    statuses = {row[-1].split()[1]: int(row[6]) for row in rows}
    assert sorted(statuses) == sorted(numbers)
    lost = {number for number, status in statuses.items() if status}
    assert done.status == len(lost)
    assert all(status in (0, 255) for status in statuses.values())
    words = [line.split() for line in done.out.decode().splitlines()]
    hosts = {host for _, _, host in words}
    assert all(host.startswith(f"{task}-") for host in hosts)
    assert len(hosts) > 2
    assert socket.gethostname() not in hosts
    for number in set(numbers) - lost:
        assert [what for n, what, _ in words if n == number] == ["began", "ended"]


def watches(running: Running) -> list[int]:
    """The pids of the run's `kubectl get pods --watch`."""
    children = Path(f"/proc/{running.process.pid}/task").glob("*/children")
    pids = [int(pid) for file in children for pid in file.read_text().split()]
    return [pid for pid in pids if " --watch " in command_line(pid)]


def test_a_watch_that_ends_is_begun_again_and_nothing_that_happened_meanwhile_is_missed(none: Place) -> None:
    numbers = [str(n) for n in range(1, 5)]
    job = "sleep 1; echo {} $(hostname)"
    with none.started("parallel", "--kube-pods", "1", "-k", "--", job, ":::", *numbers) as running:
        running.until(lambda: b"1 " in running.out)
        [first] = pods(none, running)
        [watch] = watches(running)
        os.kill(watch, signal.SIGKILL)
        kubectl("--namespace", none.namespace, "delete", "pod", first, "--wait=false")
        running.until(lambda: watches(running) not in ([], [watch]))
        done = running.wait()
    assert done.status == 0, done.messages
    words = [line.split() for line in done.out.decode().splitlines()]
    assert [number for number, _ in words] == numbers
    assert words[0][1] == first
    assert words[-1][1] != first


def test_jobs_wait_while_no_pod_can_be_scheduled_and_the_reason_is_told(none: Place, tmp_path: Path) -> None:
    marker = tmp_path / "ran-here"
    selector = ("--kube-node-selector", "example.com/no-such=node")
    with none.started(
        "parallel", "--kube-pods", "2", *selector, "--", "touch", ":::", str(marker)
    ) as running:
        running.until(lambda: "womm: a pod is waiting: " in running.err)
        done = running.interrupt(signal.SIGINT)
    assert done.status == 130
    assert "didn't match Pod's node affinity" in done.messages
    assert done.out == b""
    assert not marker.exists()
    assert eventually(lambda: none.left() == [], 1)
