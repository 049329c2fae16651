"""How much may be shared without a question: more than the user has permitted is asked about, or refused."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from womm import config, prompts, sizes
from womm.config import Project
from womm.errors import WommError
from womm.output import warn
from womm.shares import ignore
from womm.shares.look import Look


def count(look: Look) -> str:
    """What would be sent, in words."""
    files = sum(entry.kind == "-" for entry in look.entries)
    return f"{sizes.shown(look.size)} in {files:,} file{'' if files == 1 else 's'}"


def raised(look: Look) -> int:
    """The limit that a user means who permits this much: what grows a little is not asked about each time."""
    return max(look.size + look.size // 2, config.SHARE_LIMIT)


def flag(look: Look) -> str:
    """The option that permits this much, with the next whole figure."""
    for unit in (10**9, 10**6):
        if look.size > unit:
            return f"--share-limit {-(-look.size // unit)}{'G' if unit == 10**9 else 'M'}"
    return f"--share-limit {look.size}"


def demand(project: Project, look: Look) -> None:
    """Raise WommError if there is more to share than was permitted, and the user doesn't permit it now."""
    if look.size <= project.share_limit:
        return
    what = (
        f"{project.directory} holds {count(look)}, more than the {sizes.shown(project.share_limit)} permitted"
    )
    if not prompts.can_ask():
        raise WommError(what, f"leave something out ({ignore.FILE}), or womm setup --yes {flag(look)}")
    # What is asked about is told even to who wants it quiet.
    warn(what)
    if not prompts.confirm("Copy it to each pod?"):
        raise WommError("nothing is copied", f"{ignore.FILE} leaves out what jobs don't need")
    # What can't be remembered will be asked again.
    with contextlib.suppress(WommError):
        config.save(replace(project, share_limit=raised(look)))
