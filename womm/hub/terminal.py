"""The user's terminal behind a job: its size, and the way out that is typed on it."""

from __future__ import annotations

import os

from womm.hub import frames

#: What is told of the way out where it is taken.
LET_GO = "let go, as ~. asks"


class Terminal:
    """The terminal at `descriptor`; `name` is its TERM."""

    def __init__(self, descriptor: int, name: bytes) -> None:
        # The job's streams have descriptors of their own, and close them.
        self._descriptor = os.dup(descriptor)
        self._name = name
        self.escape = Escape()

    def opening(self) -> bytes:
        """What the agent has to know before the command."""
        return frames.on_terminal(self._name, *self._size())

    def resized(self, job: int) -> bytes:
        """The frame that tells its present size."""
        return frames.size(job, *self._size())

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

    def _size(self) -> tuple[int, int]:
        # Rows and columns; 0 is "not known", as for the kernel.
        try:
            size = os.get_terminal_size(self._descriptor)
        except OSError:
            return 0, 0
        return size.lines, size.columns


class Escape:
    """Finds `~.` at the beginning of a typed line, as ssh does; `~~` there is one tilde (pure)."""

    def __init__(self) -> None:
        self.taken = False
        self._begins, self._held = True, b""

    def typed(self, keys: bytes) -> bytes:
        """Take in what was typed; return what is to be passed on. `taken` is true from a `~.` on."""
        passed = bytearray()
        for key in keys:
            if self._held:
                self._held = b""
                if key == ord("."):
                    self.taken = True
                    break
                passed += b"~"
                self._begins = False
                if key == ord("~"):
                    continue
            elif self._begins and key == ord("~"):
                self._held = b"~"
                continue
            passed.append(key)
            self._begins = key in b"\r\n"
        return bytes(passed)
