"""One transfer by rsync, from its first byte to its end: what it tells meanwhile, and a second try.

It never waits for ever: rsync gives up a server that is silent for too long, the hub one whose pod is; and
its end is told by rsync's own protocol, never by a stream that has ended.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from womm import output, sizes
from womm.errors import CommandFailed
from womm.process import listen
from womm.shares.look import VANISHED, Look, unescape
from womm.trust import shown

#: Seconds of silence after which rsync gives up.
SILENCE = 60

# rsync's statuses for what a second try may mend: the connection, its stream, time limits, the login, whose
# own may be 1 (kubectl's).
_CUT = {1, 10, 12, 14, 30, 35, 255}
# Beyond it: a signal's, of rsync or of its partner at the server.
_SIGNALLED = 128

# What rsync prints: a name before it is sent (without progress it would be after it); and, after each
# carriage return, bytes sent, percent, speed, time, and now and then how many files it has sent, and has not
# looked at yet, of those listed.
_NAMES, _REPORTS = ("--out-format=:%n",), ("--info=progress2", "--outbuf=L", "--no-human-readable")
_REPORT = re.compile(rb" *([0-9]+) +[0-9]+% +[0-9.]+[a-zA-Z]*/s +[0-9:?]+ .*")
_CHECKED = re.compile(rb"xfr#([0-9]+), (?:ir|to)-chk=([0-9]+)/([0-9]+)\)")


class Meter:
    """What a transfer has come to, from what rsync prints (pure)."""

    def __init__(self, look: Look) -> None:
        self._size, self._files = look.size, len(look.entries) + 1
        self._large = {entry.name: entry.size for entry in look.large}
        self._rest = b""
        self._sent = self._checked = 0
        #: The line that tells it; "" before there is something to tell.
        self.line = ""

    def hear(self, chunk: bytes) -> list[tuple[bytes, int]]:
        """Understand what rsync prints; return the large files, with their sizes, that begin to be sent."""
        *whole, self._rest = re.split(rb"[\r\n]", self._rest + chunk)
        large = []
        # A report stands at the end until the next one comes.
        for piece in [*whole, self._rest]:
            if (report := _REPORT.fullmatch(piece)) is not None:
                self._tell(int(report[1]), _CHECKED.search(piece))
            elif piece[:1] == b":" and piece is not self._rest:
                name = unescape(piece[1:])
                large += [(name, self._large[name])] if name in self._large else []
        return large

    def _tell(self, sent: int, checked: re.Match[bytes] | None) -> None:
        if checked is not None:
            self._sent, self._checked = int(checked[1]), int(checked[3]) - int(checked[2])
        # Where only changes are sent, nobody knows yet how many there will be.
        most = 2 * self._sent >= self._checked
        part = sent / max(self._size, 1) if most else self._checked / self._files
        self.line = f"womm: copying to the file server: {sizes.shown(sent)}, {min(100 * part, 100):.0f} %"


def send(
    argv: Sequence[str],
    tries: tuple[Sequence[str], Sequence[str]],
    directory: Path,
    env: Mapping[str, str],
    look: Look,
    *,
    silence: int = SILENCE,
) -> None:
    """Run rsync, whose options and operands are `argv`, in `directory`, with what the first of `tries` adds;
    once more, with the second's, if that is cut or something vanishes meanwhile.

    Raises CommandFailed.
    """
    told = (*_NAMES, *_REPORTS) if look.large else _REPORTS if output.shows_status() else ()
    for more, again in zip(tries, (True, False), strict=True):
        whole = ["rsync", f"--timeout={silence}", *told, *more, *argv]
        meter = Meter(look)

        def hear(chunk: bytes, meter: Meter = meter) -> None:
            for name, size in meter.hear(chunk):
                output.progress(f"womm: a large file: {shown(os.fsdecode(name))} ({sizes.shown(size)})")
            output.status(meter.line)

        try:
            done = listen(whole, hear, cwd=directory, env=env)
        finally:
            output.status("")
        if done.status == 0 or (done.status == VANISHED and not again):
            return
        if done.status == VANISHED:
            # Of what has gone, an earlier push's file may lie there yet: the second look takes it away.
            continue
        failure = CommandFailed(whole, done.status, done.stdout, done.stderr)
        if not again or not (done.status in _CUT or done.status > _SIGNALLED):
            raise failure
        why = failure.message.partition("\n")[0]
        output.progress(f"womm: the copy was cut, and is tried once more ({why})")
