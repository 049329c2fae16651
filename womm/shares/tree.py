"""What is in a directory: looked at, recorded when it is sent to pods, and compared later."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from womm.shares.merge import DIRECTORY, FILE, LINK, OTHER, Entry

#: What rsync's daemon puts before the target of a link that it takes.
MUNGED = "/rsyncd-munged/"

_CHUNK = 1 << 20
# Nanoseconds that a file's last change must be old for its times to tell of the next one.
_SETTLED = 1_000_000_000

_KINDS = {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: LINK}


@dataclass(frozen=True)
class Known:
    """An entry, and the size, modification time (ns) and inode with which it was seen."""

    entry: Entry
    size: int
    mtime: int
    inode: int

    def is_of(self, status: os.stat_result) -> bool:
        """Whether a file with this status has the content that is known."""
        return (self.size, self.mtime, self.inode) == (status.st_size, status.st_mtime_ns, status.st_ino)


def look(path: str, known: Known | None = None, unmunge: bool = False) -> Known | None:
    """What is at `path`; None if nothing is. A content that is `known` is not read again.

    `unmunge`: links are as rsync's daemon has stored them.
    """
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Known(_entry(path, status, known, unmunge), status.st_size, status.st_mtime_ns, status.st_ino)


def _entry(path: str, status: os.stat_result, known: Known | None, unmunge: bool) -> Entry:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), OTHER)
    # As rsync sends it: what its owner can't read, no pod could.
    readable = {FILE: 0o400, DIRECTORY: 0o500}.get(kind, 0)
    mode = stat.S_IMODE(status.st_mode) | readable if kind != LINK else 0
    try:
        if kind == LINK:
            target = os.readlink(path)
            return Entry(LINK, 0, target.removeprefix(MUNGED) if unmunge else target)
        if kind == FILE:
            same = known is not None and known.entry.kind == FILE and known.is_of(status)
            return Entry(FILE, mode, known.entry.content if same and known else _digest(path))
    except OSError:
        return Entry(OTHER)
    return Entry(kind, mode)


def scan(root: Path, known: Mapping[str, Known], *, unmunge: bool = False) -> Iterator[tuple[str, Known]]:
    """All that is below `root`, by path; directories before what is in them. Unreadable ones are empty."""
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        try:
            names = os.listdir(root / parent)
        except OSError:
            continue
        for name in names:
            path = f"{parent}/{name}" if parent else name
            seen = look(os.path.join(root, path), known.get(path), unmunge)
            if seen is None:
                continue
            yield path, seen
            if seen.entry.kind == DIRECTORY:
                waiting.append(path)


def settled(record: Mapping[str, Known], now: int) -> dict[str, Known]:
    """What later records may rely on of one made at `now` (ns): its next change can't have the same times."""
    return {path: known for path, known in record.items() if known.mtime < now - _SETTLED}


def dump(record: Mapping[str, Known]) -> bytes:
    """A record as bytes; names of any bytes survive."""
    rows = [
        [path, known.entry.kind, known.entry.mode, known.entry.content, known.size, known.mtime, known.inode]
        for path, known in record.items()
    ]
    return json.dumps(rows).encode()


def load(written: bytes) -> dict[str, Known]:
    """The record that dump() has written. Raises ValueError or TypeError for anything else."""
    rows: Any = json.loads(written)
    return {
        path: Known(Entry(kind, mode, content), size, mtime, inode)
        for path, kind, mode, content, size, mtime, inode in rows
    }


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
