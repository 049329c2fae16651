"""The end of processes, tried with real ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest
from conftest import eventually

from womm.ending import end_tree

pytestmark = pytest.mark.usefixtures("hermetic")


def alive(process: psutil.Process) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_tree_is_ended_with_descendants_that_ignore_term(tmp_path: Path) -> None:
    script = (
        'trap "" TERM; (trap "" TERM; echo >"$1/ready"; while :; do sleep 1; done) & wait; wait; sleep 99'
    )
    process = subprocess.Popen(["sh", "-c", script, "sh", str(tmp_path)])
    eventually((tmp_path / "ready").exists)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    assert len(family) >= 2
    end_tree(process.pid, grace=0.1)
    process.wait(timeout=10)
    eventually(lambda: not any(alive(member) for member in family))


def test_ending_what_is_gone_is_fine() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    end_tree(process.pid)


def test_a_process_that_is_not_ours_to_end_stands_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a `sudo docker` is to an ordinary user. These tests may be root, so the refusal is played.
    send = psutil.Process.send_signal

    def refused(process: psutil.Process, signum: int) -> None:
        if process.pid == parent.pid:
            raise psutil.AccessDenied(process.pid)
        send(process, signum)

    script = 'sleep 99 & echo $! >"$1/child"; wait; exec sleep 99'
    parent = subprocess.Popen(["sh", "-c", script, "sh", str(tmp_path)])
    eventually(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
    child = psutil.Process(int((tmp_path / "child").read_text()))
    monkeypatch.setattr(psutil.Process, "send_signal", refused)
    end_tree(parent.pid)
    eventually(lambda: not alive(child))
    assert parent.poll() is None
    parent.kill()
    parent.wait()
