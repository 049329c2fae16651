"""Which pod each job was given to: the run's file `places`, for the timeline of the run.

GNU parallel's joblog names the login that it chose; the hub may have given the job to another pod.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import BinaryIO

#: The file's name in the run's directory. A line for each time a job is given to a pod: the job's number, the
#: time (s since the epoch) and the pod, with tabs between them.
FILE = "places"

# Bytes that are written at once: some thousand jobs.
_BUFFER = 1 << 16


class Places:
    """The file of the run at `run`; a disk that is full ends it, and nothing else."""

    def __init__(self, run: Path) -> None:
        self._file: BinaryIO | None = None
        with contextlib.suppress(OSError):
            self._file = (run / FILE).open("ab", buffering=_BUFFER)

    def note(self, seq: int, pod: str) -> None:
        """Job `seq` was given to `pod`; 0 is no job of GNU parallel's."""
        if self._file is None or seq == 0:
            return
        try:
            self._file.write(f"{seq}\t{time.time():.3f}\t{pod}\n".encode())
        except OSError:
            self.close()

    def close(self) -> None:
        """Write what is left, and let go of the file."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
