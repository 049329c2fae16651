"""Puts pods' versions in place, as merge.py plans it; whatever interrupts it, files are whole."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from womm.errors import WommError
from womm.shares import merge, tree
from womm.shares.merge import DIRECTORY, LINK, Chmod, Entry, Make, Plan, Put, Version
from womm.shares.tree import Known

# How often a plan is made anew because the user has changed something meanwhile.
_TRIES = 20


class _Moved(Exception):
    """Something here is not what it was when the plan was made."""


class Settling:
    """The versions below `staging`, a directory for each pod, come into `root`, of which `sent` was sent.

    `root` and `staging` are on one file system as a rule: then files are renamed, and nothing is copied.
    """

    def __init__(self, task: str, root: Path, staging: Path, sent: Mapping[str, Known]) -> None:
        self._task, self._root, self._staging, self._sent = task, root, staging, sent
        self._made: list[Make] = []
        #: How many files and links have been put in place.
        self.count = 0

    def settle(self, pods: Sequence[str]) -> Plan:
        """Put the versions of `pods`, the latest first, in place; remove `staging`. Returns the last plan.

        Raises OSError where something can't be written: then the rest is left as it is.
        """
        versions = [_version(self._staging / pod, pod) for pod in pods]
        base = {path: known.entry for path, known in self._sent.items()}
        for _ in range(_TRIES):
            plan = merge.plan(self._task, base, self._look, versions)
            try:
                self._carry_out(plan)
            except _Moved:
                continue
            # Last: what may not be written, even by its owner, could not be filled.
            for made in reversed(self._made):
                os.chmod(self._path(made.path), made.entry.mode)
            self._tidy(versions)
            return plan
        raise WommError(f"{self._root} changes all the time", "the next womm command tries again")

    def _path(self, path: str) -> str:
        return os.path.join(self._root, path)

    def _look(self, path: str) -> Entry | None:
        seen = tree.look(self._path(path), self._sent.get(path))
        return seen.entry if seen is not None else None

    def _carry_out(self, plan: Plan) -> None:
        for step in plan.steps:
            if isinstance(step, Make):
                try:
                    os.mkdir(self._path(step.path), 0o700 | step.entry.mode)
                except FileExistsError:
                    raise _Moved from None
                self._made.append(step)
                continue
            # What is replaced has to be what the plan knows of.
            if self._look(step.path) != step.over:
                raise _Moved
            if isinstance(step, Chmod):
                os.chmod(self._path(step.path), step.entry.mode)
            else:
                self._put(step)

    def _put(self, step: Put) -> None:
        source = os.path.join(self._staging, step.pod, "files", step.source)
        if not os.path.lexists(source):
            # An earlier plan has put it in place, and the user has changed it since.
            return
        target = self._path(step.path)
        beside = self._beside(os.path.dirname(target))
        if step.entry.kind == LINK:
            _remove(beside)
            # Not renamed: in staging it is as the server has it.
            os.symlink(step.entry.content, beside)
            os.replace(beside, target)
            os.unlink(source)
        else:
            try:
                os.replace(source, target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                shutil.copy2(source, beside)
                os.replace(beside, target)
                os.unlink(source)
        self.count += 1

    def _beside(self, directory: str) -> str:
        return os.path.join(directory, f".womm-new-{self._task}")

    def _tidy(self, versions: Sequence[Version]) -> None:
        # What an interruption has left half written is nowhere else.
        for parent in {os.path.dirname(path) for version in versions for path in version.changed}:
            _remove(self._beside(self._path(parent)))
        shutil.rmtree(self._staging)


def _version(place: Path, pod: str) -> Version:
    # What share-back.pl has sent.
    files = place / "files"
    # What is in a directory is to be renamed.
    if files.is_dir():
        files.chmod(0o700)
    seen = {path: known.entry for path, known in tree.scan(files, {}, unmunge=True)}
    for path, entry in seen.items():
        if entry.kind == DIRECTORY:
            (files / path).chmod(entry.mode | 0o700)
    report = [os.fsdecode(line) for line in (place / "report").read_bytes().split(b"\0")[:-1]]
    new, deleted = (frozenset(line[1:] for line in report if line[0] == mark) for mark in "ND")
    changed = {path: entry for path, entry in seen.items() if path not in deleted}
    return Version(pod, changed, new, deleted)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return
