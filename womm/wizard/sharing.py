"""What an eager share would send, told and asked about while a directory is set up."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from womm import config, here, prompts, sizes
from womm.config import Project
from womm.errors import WommError
from womm.output import progress, warn
from womm.shares import ignore, limit
from womm.shares.look import Entry, Look, leaving, look_at, spare
from womm.trust import shown
from womm.wizard.ask import NeverMind

# So many of a kind are named.
_NAMED = 5


def permitted(given: int | None, earlier: Project | None) -> int:
    """How many bytes may be shared without a question: what the flag says, or an earlier setup."""
    if given is not None:
        return given
    return earlier.share_limit if earlier is not None else config.SHARE_LIMIT


def agree(directory: Path, given: int | None, earlier: Project | None, asking: bool) -> int:
    """How many bytes may be shared, once all is told and agreed. Raises NeverMind, and WommError."""
    was_copied = earlier is not None and earlier.share in config.COPIES
    if here.holds_home(str(directory)) and given is None and not was_copied:
        _home(directory, asking)
    look = look_at(directory)
    written = False
    if not os.path.lexists(directory / ignore.FILE) and (found := spare(look.entries)):
        written = _suggest(directory, found, asking)
    try:
        return _permit(directory, look_at(directory) if written else look, permitted(given, earlier), asking)
    except BaseException:
        # It is said then that nothing is changed.
        if written:
            (directory / ignore.FILE).unlink(missing_ok=True)
        raise


def _permit(directory: Path, look: Look, most: int, asking: bool) -> int:
    # See agree; `most` bytes are permitted already.
    _tell(directory, look)
    if look.size <= most:
        return most
    if not asking:
        raise WommError(
            f"{directory} holds {limit.count(look)}, and each pod would get a copy",
            f"leave something out ({ignore.FILE}), permit it ({limit.flag(look)}), or --share none",
        )
    if not prompts.confirm(f"Each pod gets a copy of these {sizes.shown(look.size)}. Go on?"):
        progress(f"womm: {ignore.FILE} leaves out what jobs don't need")
        raise NeverMind
    return limit.raised(look)


def _home(directory: Path, asking: bool) -> None:
    # Before it is looked at: that can take long.
    if not asking:
        raise WommError(
            f"{directory} holds your whole home, and pods would get a copy of it",
            "work in a directory of its own, or permit it: --share-limit SIZE",
        )
    if not prompts.confirm(f"{directory} holds your whole home. Copy all of it to the pods?"):
        raise NeverMind


def _suggest(directory: Path, found: Mapping[bytes, int], asking: bool) -> bool:
    # Returns whether it has written an ignore file.
    text = ignore.rules(found)
    named = _few([f"{_text(name)} ({sizes.shown(size)})" for name, size in found.items()])
    if not asking:
        rule = text.partition(b"\n")[0]
        progress(f"womm: pods get {named}, too; a line in {ignore.FILE} leaves one out: {_text(rule)}")
        return False
    warn(f"jobs seldom need {named}")
    if not prompts.confirm(f"Leave that out of the copy (write {ignore.FILE})?"):
        return False
    return ignore.write(directory, text)


def _tell(directory: Path, look: Look) -> None:
    progress(f"womm: each pod gets a copy of {limit.count(look)}")
    if large := look.large:
        progress(f"womm: large files: {_few([f'{_text(e.name)} ({sizes.shown(e.size)})' for e in large])}")
    if links := leaving(str(directory), look.entries):
        progress(
            f"womm: links that lead out of the directory, in pods to what is there: {_few(_arrows(links))}"
        )


def _arrows(links: Sequence[Entry]) -> list[str]:
    return [f"{_text(link.name)} -> {_text(link.target)}" for link in links]


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _text(name: bytes) -> str:
    return shown(os.fsdecode(name))
