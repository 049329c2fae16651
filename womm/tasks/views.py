"""How the pods of tasks see their directories: what their volumes and the NFS server tell of it (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from womm.config import COPIES, COPY, EAGER, NFS

READY, DOWN = "ready", "down"

# How server-nfs ends where there is no NFS server any more, and where the file server can't reach it.
_GONE, _UNREACHABLE = 4, 255
# Of another version's there may be more; beyond 9 digits no number of seconds is one.
_LINE = re.compile(rf"(?m)^([a-z]+) (eager|lazy) \S+ ({READY}|{DOWN}) ([0-9]{{1,9}})\b")


@dataclass(frozen=True)
class View:
    """What pods see over NFS: whether it is READY or DOWN.

    `age`: for how many seconds what they know of a file counts; None for what does not change.
    """

    state: str
    age: int | None = None


def told(status: int, printed: str) -> dict[str, View] | None:
    """What `server-nfs list`, which ended with `status`, says of each task; None where nothing is known.

    Its lines: TASK eager|lazy PATH ready|down AGE.
    """
    if status in (_GONE, _UNREACHABLE):
        return {}
    if status != 0:
        return None
    return {
        task: View(state, None if kind == EAGER else int(age))
        for task, kind, state, age in _LINE.findall(printed)
    }


def via(share: str, volumes: object, *, detached: bool) -> str:
    """NFS or COPY: how a task's pods with these `volumes` see its directory; "" where that is not known.

    Those of a `detached` task have copies, if anything.
    """
    for volume in volumes if isinstance(volumes, list) else []:
        if isinstance(volume, Mapping) and volume.get("name") == "share":
            return COPY if "emptyDir" in volume else NFS
    return COPY if detached and share in COPIES else ""


def text(share: str, by: str, view: View | None) -> str:
    """A task's share for people, with its state where that is known."""
    if view is not None and view.state == READY and view.age is not None:
        return f"{share}, age {view.age} s"
    # The other kinds have one way each.
    way = f" ({by})" if by and share in COPIES else ""
    return f"{share}{way}" + (f", {view.state}" if view is not None else "")
