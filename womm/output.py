"""Messages and progress go to stderr; stdout belongs to the jobs (or to printed data)."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from womm.errors import WommError

# Where stderr is no terminal, or one that doesn't tell.
_COLUMNS = 80

_quiet = False
_debugging = False
_line_end = "\n"
# What stands on the terminal's last line for now.
_standing = ""


def be_quiet() -> None:
    """Keep womm's progress lines off stderr from now on; errors and warnings still appear."""
    global _quiet  # noqa: PLW0603 - one process, one user, one wish
    _quiet = True


def show_commands() -> None:
    """Print each command that womm runs, from now on."""
    global _debugging  # noqa: PLW0603 - as above
    _debugging = True


def raw(is_raw: bool) -> None:
    """Say whether the terminal is raw from now on: it then has no carriage return of its own."""
    global _line_end  # noqa: PLW0603 - as above
    _line_end = "\r\n" if is_raw else "\n"


def command(argv: Sequence[str | bytes], env: Mapping[str, str], stdin: Path | None = None) -> None:
    """Print a command that is about to run, as it could be typed, if the user wants to see them."""
    if not _debugging:
        return
    words = [f"{name}={shlex.quote(value)}" for name, value in env.items()]
    words += [shlex.quote(os.fsdecode(word)) for word in argv]
    words += [f"<{shlex.quote(str(stdin))}"] if stdin is not None else []
    _to_stderr(f"+ {' '.join(words)}")


def debug(line: str) -> None:
    """Say what only those want to know who see each command."""
    if _debugging:
        _to_stderr(f"+ {line}")


def is_quiet() -> bool:
    """Whether the user asked for silence."""
    return _quiet


def progress(line: str) -> None:
    """Tell the user what womm does; silenced by --quiet."""
    if not _quiet:
        _to_stderr(line)


def columns() -> int:
    """How wide a line on stderr may be."""
    try:
        return os.get_terminal_size(2).columns or _COLUMNS
    except OSError:
        return _COLUMNS


def shows_status() -> bool:
    """Whether somebody sees what changes all the time: there is a terminal, and no --quiet."""
    return not _quiet and os.isatty(2)


def status(line: str) -> None:
    """Have `line` (ASCII) stand on the terminal until the next one; "" takes it back.

    For what changes all the time. Without a terminal, and with --quiet, nothing is shown.
    """
    global _standing  # noqa: PLW0603 - one terminal
    if line == _standing or not shows_status():
        return
    with contextlib.suppress(OSError):
        # A line that is wrapped could not be taken back.
        line = line[: columns() - 1]
        text = "\r" + line.ljust(len(_standing)) if line else _erased()
        _standing = line
        os.write(2, text.encode(errors="replace"))


def _erased() -> str:
    # What takes the standing line back; every terminal knows it.
    return "\r" + " " * len(_standing) + "\r" if _standing else ""


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
    global _standing  # noqa: PLW0603 - as above
    text = _erased() + line + _line_end
    _standing = ""
    with contextlib.suppress(OSError):
        os.write(2, text.encode(errors="surrogateescape"))
