#!/usr/bin/env python3
"""A program at the end of a long line: each way takes its time, and whatever is asked over it is noted.

    bench/delay.py SECONDS LOG COMMAND…

Runs COMMAND with its stdin and stdout on pipes, and relays ours: every byte comes SECONDS later, as many as
may come. LOG gets a line for each request of SFTP that comes in: seconds since the epoch, its kind, its path.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

_CHUNK = 1 << 16
# The requests that SFTP's third version has (its draft), as far as they are of interest by name.
_KINDS = {
    3: "open",
    4: "close",
    5: "read",
    6: "write",
    7: "lstat",
    8: "fstat",
    9: "setstat",
    11: "opendir",
    12: "readdir",
    13: "remove",
    14: "mkdir",
    17: "stat",
    18: "rename",
    19: "readlink",
}
# Those that begin with a path, and not with a handle.
_OF_PATHS = {"open", "lstat", "setstat", "opendir", "remove", "mkdir", "stat", "rename", "readlink"}


class Requests:
    """Understands a stream of SFTP's requests (pure)."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """The kind and the path ("" if it has none) of each request that is complete now."""
        self._rest += data
        found = []
        while len(self._rest) >= 4 and len(self._rest) >= (end := 4 + _number(self._rest[:4])):
            packet, self._rest = bytes(self._rest[4:end]), self._rest[end:]
            kind = _KINDS.get(packet[0], "other")
            path = packet[9 : 9 + _number(packet[5:9])] if kind in _OF_PATHS else b""
            found.append((kind, path.decode(errors="replace")))
        return found


def asked(log: str, begin: str, end: str) -> Counter[str]:
    """How often each kind was asked for between the first mention of the path `begin` and that of `end`.

    Raises ValueError if one of them is missing.
    """
    rows = [line.split(" ", 2) for line in log.splitlines()]
    paths = [path.rpartition("/")[2] for _, _, path in rows]
    first, last = paths.index(begin), paths.index(end)
    return Counter(kind for _, kind, path in rows[first:last] if path.rpartition("/")[2] != begin)


def _number(four: bytes | bytearray) -> int:
    return int.from_bytes(four, "big")


def _relay(source: int, target: int, delay: float, see: Callable[[bytes], None]) -> None:
    # To the source's end, and the target's.
    waiting: queue.Queue[tuple[float, bytes]] = queue.Queue()

    def take() -> None:
        data = b"."
        while data:
            data = os.read(source, _CHUNK)
            waiting.put((time.monotonic() + delay, data))
            see(data)

    threading.Thread(target=take, daemon=True).start()
    while True:
        due, data = waiting.get()
        time.sleep(max(0.0, due - time.monotonic()))
        if not data:
            os.close(target)
            return
        while data:
            data = data[os.write(target, data) :]


def _nothing(_data: bytes) -> None:
    return


def main(seconds: str, log: str, *command: str) -> int:
    """Relay until the command ends; return its exit status."""
    requests = Requests()
    with (
        Path(log).open("a", buffering=1) as notes,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None

        def note(data: bytes) -> None:
            _write(notes.write, requests.feed(data))

        way = (0, os.dup(process.stdin.fileno()), float(seconds), note)
        process.stdin.close()
        threading.Thread(target=_relay, args=way, daemon=True).start()
        _relay(process.stdout.fileno(), os.dup(1), float(seconds), _nothing)
        return process.wait()


def _write(write: Callable[[str], object], found: Iterable[tuple[str, str]]) -> None:
    now = time.time()
    for kind, path in found:
        write(f"{now:.6f} {kind} {path}\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
