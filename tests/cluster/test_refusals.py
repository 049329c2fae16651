"""Pods that are refused, can't be scheduled, pulled or started: the reason, the way out, nothing left."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kit import PREFIX, Done, Place, account, deliver, good, kubectl, new_namespace, rule

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("clean")]

JOBS = ("--", "echo", ":::", "x")


def error(done: Done) -> tuple[str, str]:
    """The error and the way out with which a womm ended."""
    assert (done.status, done.out) == (125, b""), done.messages
    *_, first, second = done.messages.splitlines()
    assert first.startswith("womm: ")
    assert second.startswith("womm: → ")
    return first, second


@pytest.mark.parametrize(
    ("kind", "spec", "reason", "hint"),
    [
        (
            "ResourceQuota",
            {"hard": {"requests.cpu": "1"}},
            "exceeded quota: limits, requested: requests.cpu=3, used: requests.cpu=100m, limited: ",
            "--kube-cpu",
        ),
        (
            "LimitRange",
            {"limits": [{"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "100m"}}]},
            "maximum cpu usage per Container is 2, but limit is 3",
            "--kube-cpu",
        ),
    ],
    ids=["quota", "range"],
)
def test_a_pod_that_the_namespace_refuses_is_told_before_anything_is_made(
    none: Place, kind: str, spec: dict[str, object], reason: str, hint: str
) -> None:
    with rule(none.namespace, kind, **spec):
        done = none.parallel("--kube-cpu", "3", *JOBS)
    first, way_out = error(done)
    assert first.startswith("womm: the cluster refuses the task's pods: ")
    assert reason in first
    assert hint in way_out
    assert len(done.messages.splitlines()) == 2


def test_a_share_is_not_copied_for_pods_that_are_refused(eager: Place) -> None:
    with rule(eager.namespace, "ResourceQuota", hard={"requests.cpu": "1"}):
        done = eager.parallel("--kube-cpu", "3", *JOBS)
    assert "exceeded quota" in error(done)[0]
    assert "copying" not in done.messages
    # What the copy takes of a node's disk counts, too.
    with rule(eager.namespace, "ResourceQuota", hard={"requests.ephemeral-storage": "10Mi"}):
        done = eager.parallel(*JOBS)
    first, way_out = error(done)
    assert "exceeded quota: limits, requested: requests.ephemeral-storage=" in first
    assert ".wommignore" in way_out
    assert "copying" not in done.messages


def test_fewer_pods_than_were_asked_for_do_the_jobs_and_it_is_told(none: Place) -> None:
    # The file server is a pod, too.
    with (
        rule(none.namespace, "ResourceQuota", hard={"pods": "2"}),
        none.started(
            "parallel", "--kube-pods", "3", "-u", "--", "echo here; sleep 600; :", ":::", "x"
        ) as run,
    ):
        run.until(lambda: b"here" in run.out)
        run.until(lambda: "womm: 1 of 3 pods: the cluster refuses more: exceeded quota: limits" in run.err)
        assert run.interrupt(signal.SIGINT).status == 130


def test_a_run_after_a_run_finds_its_pods_gone_from_the_quota(none: Place) -> None:
    # The file server is a pod, too: there is room for one of a task's.
    with rule(none.namespace, "ResourceQuota", hard={"pods": "2"}):
        for _ in range(2):
            done = none.parallel(*JOBS)
            assert (done.status, done.out) == (0, b"x\n")
            assert "exceeded quota" not in done.messages


def test_a_run_whose_quota_other_pods_use_up_says_so_at_once_and_goes_on_when_there_is_room(
    none: Place,
) -> None:
    # The file server is the other pod.
    with (
        rule(none.namespace, "ResourceQuota", hard={"pods": "1"}),
        none.started("parallel", "--kube-pods", "1", *JOBS) as run,
    ):
        began = time.monotonic()
        run.until(lambda: "womm: the cluster takes no pod for now: exceeded quota: limits" in run.err)
        assert time.monotonic() - began < 10
        run.until(lambda: "womm: 0 of 1 pods: the cluster refuses more: exceeded quota: limits" in run.err)
        room = json.dumps({"spec": {"hard": {"pods": "20"}}})
        kubectl("--namespace", none.namespace, "patch", "resourcequota", "limits", "--patch", room)
        done = run.wait()
    assert (done.status, done.out) == (0, b"x\n"), done.messages
    assert none.left() == []


def test_who_may_not_try_pods_is_told_by_the_deployment_that_they_are_refused(
    none: Place, tmp_path: Path
) -> None:
    account(none.namespace, "womm-coordinator", tmp_path / "kubeconfig")
    options = (
        "--kubeconfig",
        str(tmp_path / "kubeconfig"),
        "parallel",
        "--kube-pods",
        "1",
        "--kube-cpu",
        "3",
    )
    with rule(none.namespace, "ResourceQuota", hard={"requests.cpu": "1"}):
        done = none.womm(*options, *JOBS)
    first, way_out = error(done)
    assert first.startswith(
        "womm: the task can't begin: the cluster refuses its pods: exceeded quota: limits"
    )
    assert "ResourceQuota" in way_out
    assert none.left() == []


@contextmanager
def tainted_node() -> Iterator[str]:
    """A node on which nothing runs, with a taint; its name."""
    name = f"tainted-{os.getpid()}"
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"example.com/tainted": name}},
        "spec": {"taints": [{"key": "example.com/gpu", "effect": "NoSchedule"}]},
    }
    kubectl("create", "-f", "-", stdin=json.dumps(node))
    try:
        yield name
    finally:
        kubectl("delete", "node", name)


def test_pods_that_cannot_be_scheduled_end_the_run_at_once_or_when_their_time_is_over(none: Place) -> None:
    # Much more than the reason takes, and less than the default.
    for pending, least in (("0", 0), ("3s", 3)):
        began = time.monotonic()
        first, way_out = error(none.parallel("--kube-cpu", "900", "--pending-timeout", pending, *JOBS))
        # It is to be known within 10 s; womm has to start, and to take its objects back.
        assert least <= time.monotonic() - began < 25
        assert first.startswith("womm: no pod can run: 0/")
        assert " Insufficient cpu" in first
        assert "--kube-cpu" in way_out
        assert "--pending-timeout" in way_out
        assert none.left() == []


@pytest.mark.alone("for others, too, the cluster has one node more")
def test_a_taint_is_told_with_the_option_that_tolerates_it(none: Place) -> None:
    with tainted_node() as name:
        selector = ("--kube-node-selector", f"example.com/tainted={name}")
        first, way_out = error(none.parallel(*selector, "--pending-timeout", "0", *JOBS))
    assert "taint" in first
    assert "--kube-toleration" in way_out


@pytest.fixture(scope="module")
def broken(make_place: Callable[[str], Place]) -> Callable[[str, bytes | None], Place]:
    """Return a function that makes a place whose image has another perl, or none."""

    def make(name: str, perl: bytes | None) -> Place:
        place = make_place(name).setup("none")
        steps = [f"FROM {os.environ['WOMM_BASE_IMAGE']}"]
        steps += ["RUN rm -f /usr/bin/perl"] if perl is None else ["COPY perl /usr/bin/perl"]
        (place.path / "perl").write_bytes(perl or b"")
        (place.path / "perl").chmod(0o755)
        (place.path / "Dockerfile").write_text("\n".join(steps) + "\n")
        image = f"{PREFIX}{name}:broken"
        good(["docker", "build", "--quiet", "--tag", image, str(place.path)])
        deliver(image)
        use(place, image)
        return place

    return make


def use(place: Place, image: str) -> None:
    """Have a place's jobs run in `image`, as no setup would have it."""
    config = place.config()
    config["image"] = image
    (place.path / ".womm").write_text(json.dumps(config))


# The beginning of a program for a machine of which Linux knows nothing.
FOREIGN = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xff\xfe\x01" + bytes(100)


@pytest.mark.parametrize(
    ("name", "perl", "reason", "hint"),
    [
        ("foreign", FOREIGN, "exec format error (the image calls itself one for ", "--base-image"),
        (
            "no-loader",
            b"#!/no/such/program\n",
            "its last lines: exec /usr/bin/perl: no such file",
            "womm setup",
        ),
        ("perl-less", None, 'exec: "perl": executable file not found', "womm setup"),
        (
            "hasty",
            b"#!/bin/sh\necho first; echo last; exit 3\n",
            "its last lines: first / last",
            "womm setup",
        ),
    ],
)
def test_a_container_that_dies_at_once_ends_the_run_with_its_last_words(
    broken: Callable[[str, bytes | None], Place], name: str, perl: bytes | None, reason: str, hint: str
) -> None:
    place = broken(name, perl)
    began = time.monotonic()
    first, way_out = error(place.parallel("--trust", *JOBS))
    # Not after minutes of restarts.
    assert time.monotonic() - began < 30
    assert first.startswith("womm: the pods can't start: ")
    assert reason in first
    assert hint in way_out
    assert place.left() == []


@pytest.mark.registry("it is asked for what it does not have")
def test_an_image_that_the_registry_does_not_have_ends_the_run_at_once(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("no-image").setup("none")
    use(place, f"{PREFIX}no-image@sha256:{'0' * 64}")
    began = time.monotonic()
    done = place.parallel("--trust", *JOBS)
    first, way_out = error(done)
    # At the first failure, long before Kubernetes tries again.
    assert time.monotonic() - began < 25
    assert first.startswith("womm: the pods can't start: ErrImagePull: ")
    assert "not found" in first
    assert "womm setup" in way_out
    assert "waiting" not in done.messages


@pytest.mark.registry("it is asked for what it does not have")
def test_a_file_server_that_is_still_starting_is_waited_for_and_one_that_never_will_is_not(
    eager: Place, server_image: str
) -> None:
    with new_namespace("starting") as namespace:
        own = Place(eager.user, namespace, eager.path)
        missing = own.womm("cluster-setup", "--no-nfs", "--image", f"{PREFIX}womm-server:no-such")
        kubectl("create", "-f", "-", stdin=missing.out.decode())
        first, way_out = error(own.parallel("--", "cat", ":::", "a"))
        assert first.startswith("womm: the file server can't start: ErrImagePull: ")
        assert "womm cluster-setup --build" in way_out
        there = own.womm("cluster-setup", "--no-nfs", "--image", server_image)
        kubectl("apply", "-f", "-", stdin=there.out.decode())
        done = own.parallel("--", "cat", ":::", "a")
        assert (done.status, done.out) == (0, b"1\n"), done.messages
        assert "womm: waiting for the file server to start\n" in done.messages
