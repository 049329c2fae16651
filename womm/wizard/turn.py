"""One setup of a directory at a time: they share a container, and one could begin anew over another shell."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from womm import config
from womm.errors import WommError
from womm.runs import runs_directory


@contextlib.contextmanager
def taken(directory: str) -> Iterator[None]:
    """Let no other setup of this directory begin in this context. Raises WommError if one goes on."""
    path = runs_directory() / f"setup-{config.identity(directory)[:12]}"
    lock = _lock(path)
    try:
        yield
    finally:
        # While it is locked: who has opened it meanwhile sees afterwards that it is gone.
        path.unlink(missing_ok=True)
        os.close(lock)


def _lock(path: Path) -> int:
    # Python's descriptors are not inherited by children, so the lock ends with its process.
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise WommError(
                "another `womm setup` of this directory goes on", "bring that one to its end first"
            ) from error
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
