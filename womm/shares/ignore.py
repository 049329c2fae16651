"""The ignore file, `.wommignore`: rsync's filter rules for what a share leaves out."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from womm.errors import WommError

FILE = ".wommignore"
#: What lies in the directory for a moment only, while results come back: its name is this and the task's.
STAGING = ".womm-results-"

_HINT = "a rule is `- PATTERN`, as in `- .git/`; see FILTER RULES in `man rsync`"
# What gives a pattern of rsync's a meaning beyond its letters.
_WILD = re.compile(rb"[*?[]")


def arguments(directory: Path) -> list[str]:
    """What tells rsync, called in `directory`, of the ignore file there, and of what is womm's own.

    A pattern that begins with / is anchored at the directory. Raises WommError for what is no file.
    """
    path = directory / FILE
    ours = f"--exclude=/{STAGING}*"
    if not os.path.lexists(path):
        return [ours]
    # A named pipe would be waited for.
    if not path.is_file() or not os.access(path, os.R_OK):
        raise WommError(f"{path} can't be read", "make it a file of yours, or remove it")
    return [ours, f"--filter=. {FILE}"]


def complaint(directory: Path, said: str) -> WommError | None:
    """The error for what rsync `said` on stderr, if that is of a rule in the ignore file."""
    first = said.partition("\n")[0]
    if "filter rule" not in first and "exclude.c(" not in said:
        return None
    path = directory / FILE
    # Since 3.4 rsync names file and line; before, it shows the rule.
    told = re.search(r"^(.*?):? <rule from (.*) line ([0-9]+)>", first)
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if told is not None:
        number = int(told[3])
        if told[2] != FILE:
            return WommError(f"{directory / told[2]}, line {number}: {told[1]}", _HINT)
        rule = lines[number - 1] if number <= len(lines) else ""
        return WommError(f"{path}, line {number}: {told[1]}: {rule}", _HINT)
    rule = first.partition(": ")[2].strip("`'")
    place = next((f", line {number}" for number, line in enumerate(lines, 1) if rule and line == rule), "")
    return WommError(f"{path}{place}: {first}", _HINT)


def rules(names: Iterable[bytes]) -> bytes:
    """The text of an ignore file that leaves these directories out: each .git at any depth, others alone."""
    found = [b"- .git/" if name.split(b"/")[-1] == b".git" else b"- /%s/" % _literal(name) for name in names]
    return b"".join(rule + b"\n" for rule in dict.fromkeys(found))


def write(directory: Path, text: bytes) -> bool:
    """Make the ignore file; returns whether: one that is there is left as it is. Raises WommError."""
    path = directory / FILE
    try:
        with path.open("xb") as file:
            file.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise WommError(f"{path} can't be written ({error.strerror})", "make room there") from error
    return True


def _literal(name: bytes) -> bytes:
    # A backslash is one only where there is a wildcard; a line's end can't be said, but met.
    broken = re.search(rb"[\r\n]", name) is not None
    if broken or _WILD.search(name):
        name = re.sub(rb"([*?[\\])", rb"\\\1", name)
    return re.sub(rb"[\r\n]", b"?", name)
