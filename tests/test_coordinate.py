"""What the coordinator makes of its surroundings, and of an earlier one's jobs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from womm.joblog import Row
from womm.tasks import coordinate
from womm.tasks.ship import Files


def row(seq: int, status: int) -> Row:
    """A job that ended so."""
    return Row(seq, "pod", 0.0, 1.0, status, 0, "true")


@pytest.mark.parametrize(
    ("status", "rows", "whole"),
    [
        (0, [], 0),
        (1, [row(1, 3), row(2, 0), row(3, 1)], 2),
        (0, [row(number, 1) for number in range(300)], 101),
        # Of a job that was tried again the last time counts.
        (0, [row(1, 1), row(1, 0)], 0),
        # Not a number of jobs.
        (255, [row(1, 1)], 255),
        (130, [row(1, 0)], 130),
    ],
)
def test_failed_jobs_of_an_earlier_coordinator_count(status: int, rows: list[Row], whole: int) -> None:
    assert coordinate.whole(status, rows) == whole


@pytest.mark.parametrize(("host", "shown"), [("10.96.0.1", "10.96.0.1"), ("fd00::1", "[fd00::1]")])
def test_kubectl_is_told_of_the_cluster_that_the_pod_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, shown: str
) -> None:
    (tmp_path / "namespace").write_text("team")
    monkeypatch.setattr(coordinate, "_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    kube = coordinate.inside(tmp_path)
    assert kube.namespace == "team"
    assert kube.kubeconfig is not None
    written = json.loads(Path(kube.kubeconfig).read_text())
    assert written["clusters"][0]["cluster"]["server"] == f"https://{shown}:443"
    assert written["users"][0]["user"] == {"tokenFile": str(tmp_path / "token")}
    assert kube.context in {context["name"] for context in written["contexts"]}


def test_what_is_said_goes_to_the_tasks_files_and_the_streams_come_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = Files(*(tmp_path / name for name in ("out", "err", "log", "marks", "total")))
    (tmp_path / "stdin").write_bytes(b"lines")
    with coordinate.own_streams(files, tmp_path / "stdin"):
        assert os.read(0, 100) == b"lines"
        os.write(1, b"to the log\n")
        os.write(2, b"said\n")
    os.write(1, b"to the pod's own log\n")
    assert (files.out.read_bytes(), files.err.read_bytes()) == (b"to the log\n", b"said\n")
    assert capfd.readouterr().out == "to the pod's own log\n"
