"""GNU parallel's login file: a line for each pod that takes jobs."""

from __future__ import annotations

import time
from collections.abc import Iterable

from womm.runs import Run

# With more jobslots on one login GNU parallel tries each of them out before it starts.
_MOST_SLOTS = 9


class LoginFile:
    """The run's login file, written anew whenever the pods change."""

    def __init__(self, run: Run, slots: int, placeholder: str, whole: bool, local: int) -> None:
        self._run, self._slots, self._placeholder = run, slots, placeholder
        self._whole, self._local = whole, local
        self._mtime = 0.0
        self.write([])

    @property
    def path(self) -> str:
        """Where it is."""
        return str(self._run.path / "logins")

    def write(self, ready: Iterable[str]) -> None:
        """These pods take jobs now."""
        # GNU parallel reads the file again only if its mtime moved by more than a second.
        self._mtime = max(time.time(), self._mtime + 2)
        lines = login_lines(ready, self._slots, self._placeholder, self._whole, self._local)
        self._run.write("logins", lines.encode(), self._mtime)


def login_lines(
    ready: Iterable[str], slots: int, placeholder: str, whole: bool = False, local: int = 0
) -> str:
    """GNU parallel's login file for these pods, and for `local` jobslots on this machine.

    Never empty: with an empty one GNU parallel runs the jobs on this machine. Without any, one login
    stays, `placeholder`, whose jobs wait for a pod. The `N/` keeps GNU parallel from counting cpus.
    A pod with many slots has several logins (POD, POD.1, POD.2), unless it has to stay `whole`.
    """
    most = slots if whole else _MOST_SLOTS
    lines = [
        f"{min(most, slots - first)}/{name}{f'.{first // most}' if first else ''}\n"
        for name in ready
        for first in range(0, slots, most)
    ]
    if local:
        lines.append(f"{local}/:\n")
    return "".join(lines) or f"1/{placeholder}\n"
