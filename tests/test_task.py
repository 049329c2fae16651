"""A task's pods are seen off where a quota counts them, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import Hermetic
from test_manifests import TASK

from womm import signals
from womm.errors import WommError
from womm.kubectl import Kube
from womm.runs import Run
from womm.task import create, end_pods

KUBE = Kube("team", "east")
KUBECTL = """\
#!/bin/sh
printf '%s\\n' "$5 $6" >>"$CALLS"
case "$5 $6" in
  "create "*)
    [ -z "$REFUSED" ] || { echo "$REFUSED" >&2; exit 1; }
    echo deployment.apps/womm-task-abcdefgh ;;
  "get resourcequotas") eval "$QUOTAS" ;;
  "wait "*) echo "${10}" >>"$CALLS" ;;
esac
"""
NONE, ONE = ":", "echo resourcequota/limits"
FORBIDDEN = "echo 'Error from server (Forbidden): resourcequotas is forbidden' >&2; exit 1"

DELETED = "delete deployment.apps/womm-task-abcdefgh"
AT_LEAST = [DELETED, "get resourcequotas"]

Ended = Callable[[str], list[str]]


@pytest.fixture
def ended(hermetic: Hermetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Return what makes a task and ends it, and tells what kubectl was called with at its end."""
    hermetic.stub("kubectl", KUBECTL)
    calls = tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(calls))
    monkeypatch.setenv("REFUSED", "")

    def ended(quotas: str) -> list[str]:
        monkeypatch.setenv("QUOTAS", quotas)
        with ExitStack() as undo:
            run = Run("abcdefgh")
            undo.callback(run.close)
            undo.callback(run.take_back)
            try:
                create(KUBE, run, TASK, undo)
            finally:
                # The first job comes later: until then, every kubectl counts.
                assert "get resourcequotas" not in calls.read_text()
                calls.write_text("")
        # The first two run side by side.
        said = calls.read_text().splitlines()
        return [*sorted(said[:2]), *said[2:]]

    return ended


def test_without_a_quota_nobody_waits_for_the_pods(ended: Ended) -> None:
    assert ended(NONE) == AT_LEAST


@pytest.mark.parametrize("quotas", [ONE, FORBIDDEN], ids=["one", "not to be looked at"])
def test_pods_that_a_quota_counts_or_may_count_are_waited_for(ended: Ended, quotas: str) -> None:
    assert ended(quotas) == [*AT_LEAST, "wait --for=delete", "--timeout=5s"]


@pytest.mark.usefixtures("ended")
def test_the_pods_of_a_dead_runs_task_are_deleted_and_waited_for(tmp_path: Path) -> None:
    end_pods(KUBE, "abcdefgh")
    expected = [DELETED, "wait --for=delete", "--timeout=20s"]
    assert (tmp_path / "calls").read_text().splitlines() == expected


@pytest.mark.usefixtures("ended")
def test_pods_of_a_dead_runs_task_that_can_not_be_deleted_are_not_taken_for_gone(hermetic: Hermetic) -> None:
    hermetic.stub("kubectl", "#!/bin/sh\necho 'Error from server (InternalError): no' >&2; exit 1\n")
    with pytest.raises(WommError, match="no"):
        end_pods(KUBE, "abcdefgh")


def test_after_an_interruption_they_are_not_waited_for_long(
    ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "received", lambda: True)
    assert ended(ONE) == [*AT_LEAST, "wait --for=delete", "--timeout=1s"]


def test_nothing_is_asked_about_a_task_that_was_not_made(
    ended: Ended, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REFUSED", "Error from server (InternalError): no")
    with pytest.raises(WommError, match="no"):
        ended(ONE)
    # It may have been made all the same.
    assert (tmp_path / "calls").read_text() == f"{DELETED}\n"
