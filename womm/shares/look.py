"""What an eager share would send, looked at before anything is sent.

rsync itself lists it, by the rules that it will send by; only what its list lacks is asked of the files.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from womm import output
from womm.errors import WommError
from womm.process import Done, listen, tool
from womm.shares import ignore

#: rsync's exit statuses: some files could not be read; some went away while they were listed.
PARTIAL, VANISHED = 23, 24
#: Bytes from which on a file is large enough to be named.
LARGE = 500_000_000

# TYPE and mode, size (a device's number), date, time, name; for a link, its target, too.
_LINE = re.compile(rb"(.)\S+ +([0-9]+)[0-9,]* \S+ \S+ (.*)")
_BLOCK = 4096
# Bytes from which on it is worth while to ask whether a file has other names, and holes.
_MANY = 1 << 16


class Entry(NamedTuple):
    """One line of rsync's list. `kind` is a letter as ls has it ("-", "d", "l", …); `target` is a link's."""

    kind: str
    size: int
    name: bytes
    target: bytes = b""


@dataclass(frozen=True)
class Look:
    """What was seen. `size`: bytes to be sent at most; `room`: bytes that they take on a disk; `holes`: if a
    file that is not small may have some."""

    entries: Sequence[Entry]
    size: int
    room: int
    holes: bool = False

    @property
    def large(self) -> list[Entry]:
        """The large files, the largest first."""
        found = [entry for entry in self.entries if entry.kind == "-" and entry.size >= LARGE]
        return sorted(found, key=lambda entry: -entry.size)


def look_at(directory: Path) -> Look:
    """Look at what a share of `directory` would send. Raises WommError, also for a broken ignore file."""
    argv = [tool("rsync"), "--list-only", "--archive", "--no-human-readable", *ignore.arguments(directory)]
    listed: list[bytes] = []
    output.status("womm: looking at the directory")
    try:
        done = listen([*argv, "./"], listed.append, cwd=directory)
    finally:
        output.status("")
    _check(done, directory)
    entries = list(understand(b"".join(listed)))
    return Look(entries, *_measure(directory, entries))


def _check(done: Done, directory: Path) -> None:
    said = done.stderr.decode(errors="replace").strip()
    if done.status in (0, VANISHED):
        return
    if (broken := ignore.complaint(directory, said)) is not None:
        raise broken
    raise WommError(
        f"{directory} can't be looked at ({said or f'rsync: exit status {done.status}'})",
        f"what you can't read can't be shared: move it elsewhere, or name it in {ignore.FILE}"
        if done.status == PARTIAL
        else "see what `rsync --version` says",
    )


def understand(listing: bytes) -> Iterator[Entry]:
    """The entries of what `rsync --list-only` prints."""
    for line in listing.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        kind, size, name = match[1].decode(), int(match[2]), unescape(match[3])
        if kind == "l":
            # A name may hold an arrow, too; the size is the target's.
            name, target = name[: -size - 4], name[-size:]
            yield Entry(kind, size, name, target)
        elif name != b".":
            yield Entry(kind, size, name)


def unescape(name: bytes) -> bytes:
    r"""A name as it is, from the way in which rsync prints it: \#012 is a line feed."""
    if b"\\#" not in name:
        return name
    return re.sub(rb"\\#([0-3][0-7]{2})", lambda m: bytes([int(m[1], 8)]), name)


def leaving(directory: str, entries: Iterable[Entry]) -> list[Entry]:
    """The symbolic links that lead out of the directory."""
    root = os.fsencode(directory)
    found = []
    for entry in entries:
        if entry.kind == "l":
            end = os.path.normpath(os.path.join(root, os.path.dirname(entry.name), entry.target))
            if end != root and not end.startswith(root.rstrip(b"/") + b"/"):
                found.append(entry)
    return found


def spare(entries: Sequence[Entry]) -> dict[bytes, int]:
    """What jobs seldom need, and its size: each .git, and each virtual environment (Python's or Conda's)."""
    roots = {entry.name for entry in entries if entry.kind == "d" and os.path.basename(entry.name) == b".git"}
    for entry in entries:
        for mark in (b"/pyvenv.cfg", b"/conda-meta/history"):
            if entry.name.endswith(mark) and len(entry.name) > len(mark):
                roots.add(entry.name.removesuffix(mark))
    sizes: dict[bytes, int] = {}
    for entry in entries if roots else ():
        parts = entry.name.split(b"/")
        above = (b"/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        # The outermost: what is in it goes with it.
        if (root := next((path for path in above if path in roots), None)) is not None:
            sizes[root] = sizes.get(root, 0) + (entry.size if entry.kind == "-" else 0)
    return sizes


def _measure(directory: Path, entries: Iterable[Entry]) -> tuple[int, int, bool]:
    # Bytes to be sent, and bytes on a disk; a file that is not small counts once however many names it
    # has. And whether one may have holes.
    size = room = 0
    holes = False
    seen: set[tuple[int, int]] = set()
    root = os.fsencode(directory)
    for entry in entries:
        if entry.kind != "-" or entry.size < _MANY:
            size += entry.size if entry.kind == "-" else 0
            room += max(-(-entry.size // _BLOCK), 1) * _BLOCK
            continue
        path = os.path.join(root, entry.name)
        try:
            status = os.lstat(path)
        except OSError:
            continue
        if status.st_nlink > 1:
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
        # Not every file system tells where they are.
        holes |= _thin(status)
        size += status.st_size
        room += -(-_without_holes(path, status) // _BLOCK) * _BLOCK
    return size, room, holes


def _thin(status: os.stat_result) -> bool:
    # Whether it is a file that has fewer blocks than bytes: by holes or by compression.
    return stat.S_ISREG(status.st_mode) and status.st_blocks * 512 < status.st_size


def _without_holes(path: bytes, status: os.stat_result) -> int:
    # Compression the copy has not: only holes count.
    if not _thin(status):
        return status.st_size
    whole = end = 0
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return status.st_size
    try:
        while end < status.st_size:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
            whole += end - start
    except OSError:
        # ENXIO: from here on it is all hole.
        return whole
    finally:
        os.close(descriptor)
    return whole
