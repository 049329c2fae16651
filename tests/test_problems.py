"""Why pods don't run: in whose words, whether waiting helps, and what does."""

from __future__ import annotations

from typing import Any

import pytest

from womm.problems import Problem, explain, with_log

RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
NOT_FOUND = 'failed to resolve reference "r/x:1": r/x:1: not found'


def pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **status: Any) -> dict[str, Any]:
    """A pod with the statuses of these containers."""
    full = {"containerStatuses": list(containers), "initContainerStatuses": list(init), **status}
    return {"kind": "Pod", "metadata": {"name": "p-1"}, "status": full}


def container(state: dict[str, Any], last: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A container's status."""
    return {"name": "womm", "state": state, "lastState": last or {}, "restartCount": 0, **more}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def ended(status: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": status, "reason": reason, "message": message}}


def problem(pod_: dict[str, Any]) -> Problem:
    found = explain(pod_, "womm")
    assert found is not None
    return found


@pytest.mark.parametrize(
    "fine",
    [
        {"metadata": {"name": "p"}},
        pod(container(RUNNING)),
        pod(container(waiting("ContainerCreating"))),
        pod(container(waiting("PodInitializing")), init=(container(ended(0, "Completed"), name="share"),)),
        # As 1.20 says it on a busy machine; it looks again.
        pod(container(waiting("CreateContainerConfigError", "failed to sync secret cache: timed out"))),
        # It was started anew.
        pod(container(RUNNING, ended(137, "OOMKilled"), restartCount=1)),
        pod(conditions=[{"type": "PodScheduled", "status": "True"}]),
        # Another pod comes in their places.
        pod(container(ended(137)), phase="Failed", reason="Evicted"),
        {**pod(container(ended(0))), "metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}},
    ],
)
def test_a_pod_that_runs_or_may_yet_run_or_will_be_replaced_needs_no_explanation(
    fine: dict[str, Any],
) -> None:
    assert explain(fine, "womm") is None


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("0/3 nodes are available: 3 Insufficient cpu.", "--kube-cpu"),
        ("0/3 nodes are available: 3 Insufficient memory.", "--kube-mem"),
        ("0/3 nodes are available: 3 Insufficient ephemeral-storage.", ".wommignore"),
        ("0/1 nodes are available: 1 node(s) had untolerated taint {gpu: }.", "--kube-toleration"),
        (
            "0/1 nodes are available: 1 node(s) had taint {gpu: }, that the pod didn't tolerate.",
            "--kube-toleration",
        ),
        ("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.", "--show-labels"),
        ("0/1 nodes are available: 1 node(s) didn't match node selector.", "--show-labels"),
        ("no nodes available to schedule pods", ""),
    ],
)
def test_the_scheduler_is_quoted_with_what_would_help(message: str, hint: str) -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    found = problem(pod(conditions=[condition]))
    assert (found.message, found.hopeless) == (message, False)
    assert hint in found.hint
    assert bool(hint) == bool(found.hint)
    del condition["message"]
    assert problem(pod(conditions=[condition])).message == "Unschedulable"


@pytest.mark.parametrize(
    ("reason", "hopeless"),
    [
        ("CreateContainerConfigError", False),
        ("InvalidImageName", True),
        ("ErrImageNeverPull", True),
        ("CreateContainerError", True),
        ("RunContainerError", True),
        # A registry that does not answer may do so the next time; the second time it is enough.
        ("ErrImagePull", False),
        ("ImagePullBackOff", True),
    ],
)
def test_a_container_that_waits_is_explained(reason: str, hopeless: bool) -> None:
    there = container(waiting(reason, "because"))
    for found in (problem(pod(there)), problem(pod(init=({**there, "name": "share"},)))):
        assert found == Problem(f"{reason}: because", hopeless)
    assert problem(pod(container(waiting(reason)))) == Problem(reason, hopeless)


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        (NOT_FOUND, "womm setup"),
        ("manifest for r/x:1 not found: manifest unknown", "womm setup"),
        ("failed to authorize: 401 Unauthorized", "docker-registry"),
        (
            "unexpected status from HEAD request to https://r/v2/x/manifests/1: 403 Forbidden",
            "docker-registry",
        ),
        ("pull access denied, repository does not exist or may require authorization", "docker-registry"),
        ("http: server gave HTTP response to HTTPS client", "TLS"),
        ("x509: certificate signed by unknown authority", "certificate"),
        ("no match for platform in manifest: not found", "--base-image"),
    ],
)
def test_an_image_that_the_registry_refuses_is_given_up_at_once(message: str, hint: str) -> None:
    found = problem(pod(container(waiting("ErrImagePull", message))))
    assert found.hopeless
    assert hint in found.hint


@pytest.mark.parametrize(
    "message",
    [
        "pull access denied, repository does not exist or may require authorization",
        "dial tcp: lookup registry-1.docker.io: no such host",
        NOT_FOUND,
    ],
)
@pytest.mark.parametrize(
    ("name", "hint"),
    [("womm", "`womm setup` loads it again"), ("share", "`womm cluster-setup --build --load")],
)
def test_an_image_that_was_loaded_is_loaded_again_whatever_a_registry_says(
    message: str, name: str, hint: str
) -> None:
    loaded = container(waiting("ErrImagePull", message), image="work:womm-0123456789ab", name=name)
    assert hint in problem(pod(loaded)).hint
    pushed = container(waiting("ErrImagePull", message), image="r/work@sha256:0", name=name)
    assert "load" not in problem(pod(pushed)).hint


def test_the_file_servers_image_is_made_by_another_command() -> None:
    for missing in (
        pod(init=(container(waiting("ErrImagePull", NOT_FOUND), name="share"),)),
        pod(container(waiting("ErrImagePull", NOT_FOUND), name="server")),
    ):
        assert "womm cluster-setup --build" in problem(missing).hint


@pytest.mark.parametrize(
    "message",
    [
        "dial tcp: lookup r on 10.0.0.1:53: no such host",
        "i/o timeout",
        "connection refused",
        "503 Service Unavailable",
    ],
)
def test_a_registry_that_is_out_of_reach_is_asked_once_more(message: str) -> None:
    found = problem(pod(container(waiting("ErrImagePull", message))))
    assert not found.hopeless
    assert "--prefix" in found.hint


def test_a_container_that_could_not_be_started_is_hopeless_at_its_first_try() -> None:
    died = ended(128, "StartError", 'exec: "perl": executable file not found in $PATH')
    for found in (problem(pod(container(died))), problem(pod(container(waiting("CrashLoopBackOff"), died)))):
        assert found.hopeless
        assert found.message == 'StartError: exec: "perl": executable file not found in $PATH'


@pytest.mark.parametrize(
    ("name", "status", "restarts", "hopeless"),
    [
        # Nothing ends the main container but itself.
        ("womm", 1, 0, True),
        ("womm", 0, 0, True),
        # What kills it, or lets the copy of the share fail, may pass.
        ("womm", 137, 0, False),
        ("womm", 137, 3, True),
        ("share", 10, 0, False),
        ("share", 10, 2, False),
        ("share", 10, 3, True),
    ],
)
def test_a_container_that_ended_is_told_of(name: str, status: int, restarts: int, hopeless: bool) -> None:
    for now, last in ((ended(status), None), (waiting("CrashLoopBackOff"), ended(status))):
        found = problem(pod(init=(container(now, last, name=name, restartCount=restarts),)))
        assert found.hopeless == hopeless
        assert found.message.startswith(f"container {name}: ")
        assert found.crashed == ("p-1", name)


def test_a_container_that_ran_out_of_memory_at_once_is_told_with_its_limit() -> None:
    small = pod(container(ended(137, "OOMKilled")))
    small["spec"] = {"containers": [{"name": "womm", "resources": {"limits": {"memory": "9M"}}}]}
    assert problem(small).message == "container womm: out of memory at 9M: --kube-mem"


DIED = Problem("it ended", hint="a hint", crashed=("p-1", "womm"))


@pytest.mark.parametrize(
    ("log", "told", "hopeless", "hint"),
    [
        ("", "it ended", False, "a hint"),
        ("1\n2\n3\n4\n5\n6", "it ended; its last lines: 2 / 3 / 4 / 5 / 6", False, "a hint"),
        ("exec /usr/bin/perl: no such file or directory", "no such file", True, "a hint"),
        (
            "exec /usr/bin/perl: exec format error",
            "is for amd64, and the node is arm64",
            True,
            "--base-image",
        ),
        # As older runtimes say it.
        (
            "standard_init_linux.go:228: exec user process caused: exec format error",
            "arm64",
            True,
            "--base-image",
        ),
    ],
)
def test_the_log_of_a_container_that_ended_tells_more(log: str, told: str, hopeless: bool, hint: str) -> None:
    found = with_log(DIED, log, "amd64", "arm64")
    assert told in found.message
    assert found.hopeless == hopeless
    assert hint in found.hint


def test_an_image_may_lie_about_its_architecture() -> None:
    found = with_log(DIED, "exec /usr/bin/perl: exec format error", "amd64", "amd64")
    assert "calls itself one for amd64" in found.message
