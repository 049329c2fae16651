"""What is told from the events of a task's pods."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from womm.pods import Decoder, Problem, Table, explain, is_usable, login_lines

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


def waiting(reason: str, message: str = "", restarts: int = 0, name: str = "womm") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": name, "state": state, "restartCount": restarts}


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


def test_a_pod_that_runs_needs_no_explanation() -> None:
    assert explain(pod()) is None
    assert explain({"metadata": {"name": "p"}}) is None
    assert explain(pod(containerStatuses=[waiting("ContainerCreating")])) is None


def test_the_scheduler_is_quoted() -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "message": "0/3 nodes are available: 3 Insufficient cpu.",
    }
    assert explain(pod(phase="Pending", state=None, conditions=[condition])) == Problem(condition["message"])
    silent = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    assert explain(pod(phase="Pending", state=None, conditions=[silent])) == Problem("Unschedulable")
    scheduled = {"type": "PodScheduled", "status": "True"}
    assert explain(pod(phase="Pending", state=None, conditions=[scheduled])) is None


@pytest.mark.parametrize(
    ("reason", "hopeless"),
    [
        ("ErrImagePull", False),
        ("ImagePullBackOff", True),
        ("CreateContainerConfigError", False),
        ("InvalidImageName", True),
        ("ErrImageNeverPull", True),
        ("CreateContainerError", True),
        ("RunContainerError", True),
    ],
)
def test_a_container_that_waits_is_explained(reason: str, hopeless: bool) -> None:
    for key in ("containerStatuses", "initContainerStatuses"):
        told = explain(pod(state=None, **{key: [waiting(reason, "because")]}))
        assert told == Problem(f"{reason}: because", hopeless)
        assert explain(pod(state=None, **{key: [waiting(reason)]})) == Problem(reason, hopeless)


@pytest.mark.parametrize(("restarts", "told"), [(0, False), (2, False), (3, True), (9, True)])
def test_a_container_that_keeps_ending_is_told_of_with_its_log(restarts: int, told: bool) -> None:
    crashing = pod(
        "p-1", state=None, initContainerStatuses=[waiting("CrashLoopBackOff", "", restarts, "share")]
    )
    problem = explain(crashing)
    assert (problem is not None) == told
    if problem is not None:
        assert problem.hopeless
        assert problem.crashed == ("p-1", "share")


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
    table.restart()
    assert (len(table), table.usable()) == (0, [])


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
        crashing = waiting("CrashLoopBackOff", "", 5)
        table.apply(event("ADDED", pod(f"{name}2", state=None, containerStatuses=[crashing])))
    told = [problem.message for problem in table.problems()]
    assert told == ["ErrImagePull: no", "container womm keeps ending"]


def test_each_pod_is_a_login_with_its_slots() -> None:
    assert login_lines(["p-1", "p-2"], 4, "task") == "4/p-1\n4/p-2\n"


@given(st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)), st.integers(1, 100))
def test_the_login_file_is_never_empty_and_every_line_names_its_slots(names: list[str], slots: int) -> None:
    lines = login_lines(names, slots, "womm-task-x", whole=True).splitlines()
    assert len(lines) == max(1, len(names))
    assert all(line.split("/")[0].isdigit() and line.split("/")[1] for line in lines)
    assert names or lines == ["1/womm-task-x"]


@given(st.sets(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True), min_size=1), st.integers(1, 100))
def test_many_slots_are_spread_over_several_logins_of_a_pod(names: set[str], slots: int) -> None:
    lines = login_lines(sorted(names), slots, "task").splitlines()
    logins = [line.partition("/") for line in lines]
    assert len({login for _, _, login in logins}) == len(lines)
    for name in names:
        counts = [int(count) for count, _, login in logins if login.partition(".")[0] == name]
        assert sum(counts) == slots
        assert all(1 <= count <= 9 for count in counts)
