"""Messages and progress go to stderr; stdout belongs to the jobs (or to printed data)."""

from __future__ import annotations

import contextlib
import os
import sys

from womm.errors import WommError

_quiet = False


def be_quiet() -> None:
    """Keep womm's progress lines off stderr from now on; errors and warnings still appear."""
    global _quiet  # noqa: PLW0603 - one process, one user, one wish
    _quiet = True


def is_quiet() -> bool:
    """Whether the user asked for silence."""
    return _quiet


def progress(line: str) -> None:
    """Tell the user what womm does; silenced by --quiet."""
    if not _quiet:
        _to_stderr(line)


def warn(line: str) -> None:
    """Tell the user something that may need a hand; never silenced."""
    _to_stderr(f"womm: {line}")


def data(text: str) -> None:
    """Print what the user asked for on stdout, now and whole.

    Raises BrokenPipeError when its reader has gone, and WommError when it can't be written.
    """
    if sys.stdout is None:
        raise WommError("standard output is closed")
    left = text.encode(errors="surrogateescape")
    try:
        while left:
            left = left[os.write(1, left) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WommError(f"standard output can't be written ({error.strerror})") from error


def _to_stderr(line: str) -> None:
    # One write per line, so that lines of parallel's jobs and ours don't mix; a closed stderr
    # (2>&-) must not end a run.
    with contextlib.suppress(OSError):
        os.write(2, (line + "\n").encode(errors="surrogateescape"))
