"""Tasks as a table for people, and as JSON for programs (pure)."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict

from womm.config import NFS
from womm.tasks import views
from womm.tasks.listing import Row
from womm.trust import shown

_NOTHING = "-"
_NARROW = ("ID", "AGE", "STATUS", "CPU", "MEM", "HEALTH", "PWD", "COMMAND")
_OVER_NFS = (*_NARROW[:6], "SHARE", *_NARROW[6:])
_WIDE = (*_NARROW[:6], "DONE", "FAILED", "TOTAL", "SHARE", "MACHINE", *_NARROW[6:])
_GAP = "  "
# A machine's hash: so much of it tells a few from each other.
_MACHINE = 8


def text(rows: Sequence[Row], ours: str, wide: bool = False, width: int | None = None) -> str:
    """The table; of `width` columns at most: what goes beyond is cut off. `ours` is this machine.

    Shares over NFS are shown in any case: they have a state.
    """
    names = _WIDE if wide else _OVER_NFS if any(row.via == NFS for row in rows) else _NARROW
    lines = [names, *(_cells(row, ours, names) for row in rows)]
    # The last column has no other beside it.
    widths = [max(_columns(line[place]) for line in lines) for place in range(len(names) - 1)]
    return "".join(f"{_cut(_joined(line, widths), width)}\n" for line in lines)


def as_json(rows: Sequence[Row], ours: str) -> str:
    """The same, and all that is known besides; in ASCII, none of which a terminal takes for a command."""
    return json.dumps([_item(row, ours) for row in rows], indent=2) + "\n"


def age(seconds: int | None) -> str:
    """An age in two or three digits, as kubectl has them: 45s, 50m, 3h, 12d."""
    if seconds is None:
        return _NOTHING
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _item(row: Row, ours: str) -> dict[str, object]:
    known = asdict(row)
    jobs = {name: known.pop(name) for name in ("done", "failed", "total")}
    pods = {"ready": known.pop("ready"), "wanted": known.pop("pods")}
    view = {"via": known.pop("via"), **(known.pop("view") or {"state": "", "age": None})}
    return {**known, "view": view, "pods": pods, "jobs": jobs, "here": row.machine == ours}


def _cells(row: Row, ours: str, names: Sequence[str]) -> tuple[str, ...]:
    machine = "here" if row.machine == ours else row.machine[:_MACHINE]
    cells = {
        "ID": row.id,
        "AGE": age(row.age),
        "STATUS": row.status,
        "CPU": row.cpu,
        "MEM": row.memory,
        "HEALTH": f"{row.ready}/{row.pods}" if None not in (row.ready, row.pods) else "",
        "DONE": _count(row.done),
        "FAILED": _count(row.failed),
        "TOTAL": _count(row.total),
        "SHARE": views.text(row.share, row.via, row.view),
        "MACHINE": machine,
        "PWD": row.directory,
        "COMMAND": row.command,
    }
    return tuple(shown(cells[name]) or _NOTHING for name in names)


def _count(number: int | None) -> str:
    return "" if number is None else str(number)


def _joined(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell + " " * (wide - _columns(cell)) for cell, wide in zip(line, widths, strict=False)]
    return _GAP.join([*cells, line[-1]])


def _cut(line: str, width: int | None) -> str:
    if width is None or _columns(line) <= width:
        return line
    taken, kept = 0, []
    for character in line:
        taken += _columns(character)
        # One column is the ellipsis's.
        if taken >= width:
            break
        kept.append(character)
    return f"{''.join(kept)}…"


def _columns(text: str) -> int:
    # How much of a terminal's line it takes: East Asian characters two columns, accents on others none.
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )
