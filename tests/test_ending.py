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
