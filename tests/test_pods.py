"""What is told from the events of a task's pods."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from womm.pods import Decoder, PodState, Table, is_usable, state
from womm.problems import killed

RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)
events = st.lists(st.dictionaries(st.text(), json_values, max_size=3), max_size=4)


def pod(
    name: str = "p",
    phase: str | None = "Running",
    state: dict[str, Any] | None = RUNNING,
    container: str = "womm",
    **status: Any,
) -> dict[str, Any]:
    """A pod as Kubernetes describes it; `state` None: no container is known of yet."""
    statuses = [] if state is None else [{"name": container, "state": state, "restartCount": 0}]
    full = {"phase": phase, "containerStatuses": statuses, **status}
    return {"kind": "Pod", "metadata": {"name": name}, "status": {k: v for k, v in full.items() if v}}


def event(kind: str, pod_: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": pod_}


def waiting(reason: str, message: str = "", name: str = "womm") -> dict[str, Any]:
    return {"name": name, "state": {"waiting": {"reason": reason, "message": message}}, "restartCount": 0}


def decode(chunks: list[bytes]) -> list[dict[str, Any]]:
    decoder = Decoder()
    return [found for chunk in chunks for found in decoder.feed(chunk)]


@given(
    events, st.sampled_from([None, 1, 4]), st.booleans(), st.sampled_from(["", "\n", " \r\n\t"]), st.data()
)
def test_events_are_found_however_their_bytes_arrive(
    wanted: list[dict[str, Any]], indent: int | None, ascii_: bool, separator: str, data: st.DataObject
) -> None:
    # json.dumps escapes lone surrogates only with ensure_ascii; kubectl prints UTF-8.
    whole = separator.join(json.dumps(e, indent=indent, ensure_ascii=ascii_) for e in wanted)
    raw = (whole + separator).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    borders = [0, *cuts, len(raw)]
    assert decode([raw[a:b] for a, b in itertools.pairwise(borders)]) == wanted


def test_a_character_may_be_cut_in_its_middle() -> None:
    raw = '{"a": "é😀"}'.encode()
    assert decode([bytes([byte]) for byte in raw]) == [{"a": "é😀"}]


def test_an_event_is_told_as_soon_as_it_is_complete() -> None:
    decoder = Decoder()
    assert list(decoder.feed(b'{"a": 1} {"b"')) == [{"a": 1}]
    assert list(decoder.feed(b": 2}")) == [{"b": 2}]


@pytest.mark.parametrize("garbage", [b"error: x", b"[1]", b'{"a": 1} oops', b"null", b"\xff\xfe", b"1"])
def test_what_is_no_event_is_refused(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an event|codec can't decode"):
        decode([garbage])


def test_a_running_pod_takes_jobs() -> None:
    assert is_usable(pod())


def test_a_pod_that_was_asked_to_end_takes_no_jobs() -> None:
    ending = pod()
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not is_usable(ending)


@pytest.mark.parametrize(
    "other",
    [
        pod(state=None),
        pod(container="istio-proxy"),
        pod(phase="Pending"),
        pod(phase=None, state=None),
        pod(state={"waiting": {"reason": "CrashLoopBackOff"}}),
        pod(state={"terminated": {"exitCode": 1}}),
        pod(phase="Succeeded"),
        pod(phase="Failed"),
        {"metadata": {"name": "p"}},
    ],
)
def test_a_pod_whose_container_does_not_run_takes_no_jobs(other: dict[str, Any]) -> None:
    assert not is_usable(other)


def test_containers_beside_ours_do_not_matter() -> None:
    statuses = [waiting("ImagePullBackOff", name="proxy"), {"name": "womm", "state": RUNNING}]
    assert is_usable(pod(containerStatuses=statuses))


def test_the_table_follows_pods_as_they_come_and_go() -> None:
    table = Table()
    table.apply(event("ADDED", pod("b", phase="Pending", state=None)))
    assert (len(table), table.usable()) == (1, [])
    table.apply(event("MODIFIED", pod("b")))
    table.apply(event("ADDED", pod("a")))
    assert table.usable() == ["a", "b"]
    table.apply(event("DELETED", pod("b")))
    table.apply(event("DELETED", pod("never-seen")))
    assert (len(table), table.usable()) == (1, ["a"])


def test_a_new_watch_forgets_no_pod_until_it_has_had_its_time() -> None:
    table = Table()
    for name in ("a", "b", "c"):
        table.apply(event("ADDED", pod(name)))
    table.restart()
    table.apply(event("ADDED", pod("b")))
    table.apply(event("ADDED", pod("d")))
    # What it has not told of yet may still come.
    assert table.usable() == ["a", "b", "c", "d"]
    table.apply(event("ADDED", pod("c")))
    table.settle()
    assert table.usable() == ["b", "c", "d"]
    states = {state.name: state for state in table.states()}
    assert sorted(states) == ["a", "b", "c", "d"]
    assert [name for name, state in states.items() if state.leaving] == ["a"]
    assert not states["a"].usable
    # Another look changes nothing.
    table.settle()
    assert table.usable() == ["b", "c", "d"]


def test_a_watch_that_was_never_restarted_forgets_nothing() -> None:
    table = Table()
    table.apply(event("ADDED", pod("a")))
    table.settle()
    assert table.usable() == ["a"]


def test_a_pod_that_a_new_watch_tells_to_be_deleted_is_gone_at_once() -> None:
    table = Table()
    table.apply(event("ADDED", pod("a")))
    table.restart()
    table.apply(event("DELETED", pod("a")))
    assert table.usable() == []
    table.settle()
    assert [(state.name, state.leaving) for state in table.states()] == [("a", True)]


def test_deleted_pods_stay_known_and_tell_why_they_ended() -> None:
    table = Table()
    table.apply(event("ADDED", described("a")))
    table.apply(event("DELETED", described("a", {"terminated": {"exitCode": 3}})))
    (gone,) = table.states()
    assert gone == PodState("a", "", False, False, True, "its container ended with status 3")


def test_a_pod_that_nothing_is_told_of_keeps_its_state() -> None:
    # The very same, by which the hub knows at a glance that it need not look.
    table = Table()
    table.apply(event("ADDED", pod("a")))
    table.apply(event("DELETED", pod("b")))
    before = {state.name: state for state in table.states()}
    table.apply(event("ADDED", pod("c")))
    after = {state.name: state for state in table.states()}
    assert after["a"] is before["a"]
    assert after["b"] is before["b"]


def described(name: str, now: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    """A pod with its specification, and our container's state and other facts beside one of another."""
    full = pod(name)
    full["spec"] = {
        "containers": [
            {"name": "proxy", "resources": {"limits": {"memory": "1Gi"}}},
            {"name": "womm", "resources": {"limits": {"memory": "64Mi"}}},
        ]
    }
    ours = {"name": "womm", "state": RUNNING if now is None else now, **container}
    other = {"name": "proxy", "containerID": "containerd://other", "state": {"terminated": {"exitCode": 9}}}
    full["status"]["containerStatuses"] = [other, ours]
    return full


def test_what_a_running_pod_is() -> None:
    found = state(described("a", containerID="containerd://1"))
    assert found == PodState(
        name="a", container="containerd://1", running=True, usable=True, leaving=False, reason=""
    )


def test_a_pod_of_which_nothing_is_known_yet() -> None:
    found = state({"metadata": {"name": "a"}})
    assert found == PodState("a", "", running=False, usable=False, leaving=False, reason="")


def test_a_pod_that_was_asked_to_end_leaves_while_its_container_still_runs() -> None:
    ending = described("a", containerID="containerd://1")
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = state(ending)
    assert (found.running, found.usable, found.leaving) == (True, False, True)


def test_a_pod_that_is_gone_from_the_api_leaves_whatever_its_last_words_were() -> None:
    found = state(described("a"), deleted=True)
    assert (found.usable, found.leaving) == (False, True)


@pytest.mark.parametrize("where", ["state", "lastState"])
@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        ({"reason": "OOMKilled", "exitCode": 137}, "out of memory at 64Mi: --kube-mem"),
        ({"reason": "OOMKilled", "exitCode": 1}, "out of memory at 64Mi: --kube-mem"),
        ({"reason": "Error", "exitCode": 137}, killed("64Mi")),
        ({"reason": "Error", "exitCode": 143}, "its container ended with status 143"),
        ({"reason": "Completed", "exitCode": 0}, "its container ended with status 0"),
    ],
)
def test_why_a_container_ended_is_told(where: str, ended: dict[str, Any], reason: str) -> None:
    # Started anew already, or not yet.
    now, more = (RUNNING, {"lastState": {"terminated": ended}})
    if where == "state":
        now, more = {"terminated": ended}, {}
    found = state(described("a", now, **more))
    assert (found.running, found.reason) == (where == "lastState", reason)


def test_its_present_end_counts_more_than_the_last_one() -> None:
    last = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    found = state(described("a", {"terminated": {"exitCode": 2}}, lastState=last))
    assert found.reason == "its container ended with status 2"


@pytest.mark.parametrize(("resources", "limit"), [({}, "its limit"), ({"limits": {}}, "its limit")])
def test_a_pod_without_a_limit_has_no_number_to_tell(resources: dict[str, Any], limit: str) -> None:
    unlimited = described("a", {"terminated": {"reason": "OOMKilled", "exitCode": 137}})
    unlimited["spec"]["containers"] = [{"name": "womm", "resources": resources}]
    assert state(unlimited).reason == f"out of memory at {limit}: --kube-mem"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            {"message": "The node was low on resource: memory."},
            "Evicted: The node was low on resource: memory.",
        ),
        ({}, "Evicted"),
    ],
)
def test_an_eviction_is_told_in_kubernetes_words(message: dict[str, str], told: str) -> None:
    evicted = described("a", {"terminated": {"exitCode": 137}})
    evicted["status"] |= {"phase": "Failed", "reason": "Evicted", **message}
    found = state(evicted)
    assert (found.running, found.usable, found.reason) == (False, False, told)


def test_what_killed_everything_names_the_way_out() -> None:
    assert "64Mi" in killed("64Mi")
    assert "--kube-mem" in killed("64Mi")


@pytest.mark.parametrize(
    "other",
    [
        {"type": "BOOKMARK", "object": {"kind": "Bookmark"}},
        {"type": "ERROR", "object": {"kind": "Status", "code": 410}},
    ],
)
def test_the_table_ignores_what_is_no_pod(other: dict[str, Any]) -> None:
    table = Table()
    table.apply(other)
    assert len(table) == 0


def test_each_problem_is_told_once() -> None:
    table = Table()
    for name in ("a", "b"):
        table.apply(event("ADDED", pod(name, state=None, containerStatuses=[waiting("ErrImagePull", "no")])))
        died = {"terminated": {"exitCode": 2}}
        table.apply(event("ADDED", pod(f"{name}2", state=died)))
    told = [problem.message for problem in table.problems()]
    assert told == ["ErrImagePull: no", "container womm: its container ended with status 2"]


def test_pods_are_stuck_when_something_keeps_each_from_running() -> None:
    table = Table()
    assert not table.stuck()
    table.apply(event("ADDED", pod("a", state=None, containerStatuses=[waiting("ErrImagePull", "no")])))
    assert table.stuck()
    table.apply(event("ADDED", pod("b", state=None, containerStatuses=[waiting("ContainerCreating")])))
    assert not table.stuck()
