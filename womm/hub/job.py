"""One job: from its login's descriptors to a pod and back, more than once if its pod is lost."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from womm.hub import frames
from womm.hub.streams import Sink, Source
from womm.hub.terminal import LET_GO, Terminal

if TYPE_CHECKING:
    from womm.hub.table import Table

#: The status of a job that was lost, as ssh has it.
LOST = 255

# A job whose container died so often by itself is what kills it.
_DEATHS = 3
# Credit is given back in pieces of so many bytes.
_PIECE = frames.WINDOW // 4


@dataclass(frozen=True)
class Rules:
    """What may be done with jobs. `rerun`: "" if a lost one may run again, else why it may not.

    `own_files`: GNU parallel gives each job output files of its own. `pinned`: each job stays with the
    pod that GNU parallel named. `memory` is what each pod may take. `terminal` is the TERM of the user's
    terminal, which is then the job's.
    """

    rerun: str = ""
    own_files: bool = True
    pinned: bool = False
    memory: str = ""
    flags: int = 0
    terminal: bytes | None = None


@dataclass(frozen=True)
class Wanted:
    """What a login asks for. `host` is the pod that GNU parallel named; `seq` the job's number, or 0."""

    host: str
    command: bytes
    seq: int = 0


@dataclass
class _Output:
    sink: Sink
    debt: int = field(default=0)


class Job:
    """A job, from its login's call until it is answered.

    `hub` are two functions: `answer(status)` is called once, when all output has gone out, and
    `again(job, why)` when it has to run again. To be made in the loop's thread.
    """

    def __init__(
        self,
        wanted: Wanted,
        descriptors: tuple[int, int, int],
        rules: Rules,
        hub: tuple[Callable[[int], None], Callable[[Job, str], None]],
    ) -> None:
        self.wanted, self._rules = wanted, rules
        self._answer, self._again = hub
        loop = asyncio.get_running_loop()
        self._table: Table | None = None
        self._number = self._deaths = 0
        self._status: int | None = None
        self._cancelled = self._closed = False
        self._terminal = None if rules.terminal is None else Terminal(descriptors[0], rules.terminal)
        self._source = Source(loop, descriptors[0], self._input, self._end_of_input)
        self._outputs = [
            self._output(loop, stream, fd) for stream, fd in ((1, descriptors[1]), (2, descriptors[2]))
        ]

    @property
    def request(self) -> bytes:
        """What its pod is told: the payload of RUN."""
        flags = self._rules.flags | (frames.NO_STDIN if self._source.null else 0)
        if self._terminal is None:
            return bytes([flags]) + self.wanted.command
        return bytes([flags | frames.TERMINAL]) + self._terminal.opening() + self.wanted.command

    @property
    def waiting(self) -> bool:
        """Whether it waits for a pod."""
        return self._table is None and not self._closed

    @property
    def decided(self) -> bool:
        """Whether its end makes no difference any more."""
        return self._cancelled or self._status is not None

    def cancel(self) -> None:
        """Nobody waits for it any more: what runs of it is killed."""
        if self._cancelled or self._closed:
            return
        self._cancelled = True
        self._source.stop()
        if self._table is None or self._status is not None:
            self._close()
        else:
            self._table.kill(self._number)

    def fail(self, message: str, status: int = LOST) -> None:
        """End it with `message` on its stderr."""
        self._table = None
        self._source.stop()
        # A terminal is raw, and has no carriage return of its own.
        end = "\n" if self._terminal is None else "\r\n"
        self._outputs[1].sink.write(f"womm: {message}{end}".encode())
        self._status = status
        self._finish()

    def resized(self) -> None:
        """The user's terminal has another size now."""
        if self._terminal is not None and self._table is not None:
            self._table.send(self._terminal.resized(self._number))

    # What its pod tells.

    def began(self, table: Table, number: int) -> None:
        """It runs."""
        self._table, self._number = table, number
        self._source.start(frames.WINDOW)

    def output(self, stream: int, data: bytes) -> None:
        """It wrote."""
        if not self._cancelled and not self._closed:
            self._outputs[stream - 1].sink.write(data)

    def credit(self, n: int) -> None:
        """It takes more input. Raises Violation for more than there may be."""
        if self._source.unused + n > frames.WINDOW:
            # The hub would keep all of an endless stdin.
            raise frames.Violation(f"credit for {n} bytes beyond its window")
        self._source.credit(n)

    def closed(self) -> None:
        """It reads no more."""
        self._source.stop()

    def exited(self, status: int) -> None:
        """It has ended."""
        self._table = None
        self._source.stop()
        if self._status is None:
            signal = status & 0x7F
            self._status = 128 + signal if signal else status >> 8 & 0xFF
        self._finish()

    def lost(self, reason: str, died: bool, ended: int | None) -> None:
        """Its pod is lost, and whatever ran of it is over. With `ended` it was so before."""
        table, self._table = self._table, None
        pod = table.pod if table is not None else "its pod"
        self._source.stop()
        self._deaths += died and ended is None
        refusal = self._refusal()
        if self._cancelled:
            self._close()
        elif self._status is not None:
            self._finish()
        elif refusal and ended is not None:
            # The best that can be told of it.
            self.exited(ended)
        elif refusal:
            self.fail(
                f"{pod} was lost before its job had ended ({reason}), and the job can't run again: {refusal}"
            )
        elif self._deaths >= _DEATHS:
            self.fail(f"{self._deaths} pods were lost with this job; the last, {pod}: {reason}")
        else:
            for output in self._outputs:
                output.sink.rewind()
                output.debt = 0
            self._again(self, f"{pod} was lost ({reason})")

    def _refusal(self) -> str:
        sinks = [output.sink for output in self._outputs]
        if self._rules.rerun:
            return self._rules.rerun
        if not self._source.can_rewind:
            return "its input can't be read again"
        if not all(sink.untouched or (self._rules.own_files and sink.own) for sink in sinks):
            return "its output has gone out already, in part (grouped output could be taken back)"
        return ""

    # Towards its pod.

    def _input(self, data: bytes) -> None:
        table = self._table
        if table is None:
            return
        if self._terminal is not None:
            data = self._terminal.escape.typed(data)
        if data:
            table.send(frames.encode(frames.INPUT, self._number, data))
        if self._terminal is not None and self._terminal.escape.taken:
            table.send(frames.encode(frames.KILL, self._number))
            self.fail(LET_GO)

    def _end_of_input(self, error: OSError | None) -> None:
        if self._table is None:
            return
        if error is not None:
            self._spoil(f"the job's input can't be read: {error.strerror}")
        else:
            self._table.send(frames.encode(frames.END_OF_INPUT, self._number))

    def _spoil(self, why: str) -> None:
        # Output that can't be kept, or input that is not whole, is no success.
        assert self._table is not None
        self._status = LOST
        if why:
            self._outputs[1].sink.write(f"womm: {why}\n".encode())
        self._table.send(frames.encode(frames.KILL, self._number))

    def _output(self, loop: asyncio.AbstractEventLoop, stream: int, descriptor: int) -> _Output:
        def passed(n: int) -> None:
            output.debt += n
            if output.debt >= _PIECE and self._table is not None:
                self._table.give_credit(self._number, stream, output.debt)
                output.debt = 0
            if self._status is not None:
                self._finish()

        def broken(error: OSError) -> None:
            if self._table is None:
                return
            if error.errno == errno.EPIPE:
                # Its reader has gone: the job is to notice, as it would here.
                self._table.send(frames.encode(frames.BROKEN, self._number, bytes([stream])))
                return
            # A full disk.
            self._spoil(f"the job's output can't be written: {error.strerror}" if stream == 1 else "")

        output = _Output(Sink(loop, descriptor, passed, broken))
        return output

    def _finish(self) -> None:
        if self._closed or self._table is not None:
            return
        if self._cancelled:
            self._close()
        elif all(output.sink.drained for output in self._outputs):
            assert self._status is not None
            status = self._status
            self._close()
            self._answer(status)

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._source.close()
            if self._terminal is not None:
                self._terminal.close()
            for output in self._outputs:
                output.sink.close()
