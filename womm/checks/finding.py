"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, MISSING, UNKNOWN = "ok", "note", "missing", "unknown"

#: Seconds for one question to the cluster, the engine or a registry; at most two follow one another.
PATIENCE = 5.0


@dataclass(frozen=True)
class Finding:
    """What one check found. `state` is OK, NOTE (it works, but), MISSING or UNKNOWN; `fix` leads out."""

    name: str
    state: str
    text: str
    fix: str = ""
