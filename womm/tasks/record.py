"""What this machine keeps of each task that runs on by itself, until it is finished.

A directory below $XDG_STATE_HOME: where the task is, and what its results are to be compared with.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from womm import trust
from womm.errors import WommError
from womm.kubectl import Kube
from womm.runs import ID, RESULTS, replace

_FILE = "task"


@dataclass(frozen=True)
class Record:
    """One task. `directory` is where womm was called, `kubeconfig` what KUBECONFIG was.

    `again` are the words of a `womm` that runs failed jobs again, but for the joblog's.
    """

    task: str
    kube: Kube
    directory: str
    kubeconfig: str = ""
    again: tuple[str, ...] | None = None

    @property
    def path(self) -> Path:
        """The directory that holds it. Raises WommError without a home."""
        return _directory() / self.task

    @property
    def has_results(self) -> bool:
        """Whether what the jobs change is still to be brought home."""
        return (self.path / RESULTS).exists()

    def write(self, name: str, content: bytes) -> None:
        """Replace its file `name` as a whole."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(self.path / name, content)

    def keep(self) -> None:
        """Write it."""
        self.write(_FILE, json.dumps(asdict(self)).encode())

    def forget(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)


def find(task: str) -> Record | None:
    """The record of a task; None if this machine has none. Raises WommError if `task` is no task's id."""
    check_id(task)
    try:
        fields = json.loads((_directory() / task / _FILE).read_bytes())
        again = fields["again"]
        return Record(
            **{
                **fields,
                "kube": Kube(**fields["kube"]),
                "again": None if again is None else tuple(again),
            }
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def known() -> list[str]:
    """The ids of the tasks that have a record."""
    try:
        return sorted(name for name in os.listdir(_directory()) if ID.fullmatch(name))
    except (OSError, WommError):
        return []


def check_id(task: str) -> None:
    """Raises WommError unless `task` may be a task's id."""
    if not ID.fullmatch(task):
        raise WommError(f"{trust.shown(task)} is no task's id: 8 letters", "`womm status` lists the tasks")


def _directory() -> Path:
    return trust.directory() / "tasks"
