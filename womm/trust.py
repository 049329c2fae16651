"""Which `.womm` files this user trusts: those of his own `womm setup`, and those that he was asked about.

Such a file names the image that jobs run in, the kubeconfig (which may name programs to run here), the
cluster, and the directory that it may read: as good as a script. A cloned repository may hold one.

What is trusted is remembered by path and content, below $XDG_STATE_HOME: it holds for this machine only,
while what is in $XDG_CONFIG_HOME is often copied to others.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from womm import prompts
from womm.errors import WommError
from womm.output import warn


def directory() -> Path:
    """Where womm keeps what it knows of this user's machine. Raises WommError without a home."""
    root = os.environ.get("XDG_STATE_HOME", "")
    try:
        return (Path(root) if os.path.isabs(root) else Path.home() / ".local/state") / "womm"
    except RuntimeError as error:
        raise WommError("you have no home directory to remember things in", "set HOME") from error


def remember(path: Path, content: bytes) -> None:
    """Trust the file `path` from now on, as long as it holds `content`. Raises WommError if that can't be."""
    note = _note(path)
    try:
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = note.with_name(f"{note.name}.{os.getpid()}")
        temporary.write_text(f"{_hash(content)}\n", encoding="ascii")
        temporary.replace(note)
    except OSError as error:
        raise WommError(
            f"{note} can't be written ({error.strerror})", "set XDG_STATE_HOME, or HOME"
        ) from error


def demand(
    path: Path, content: bytes, story: Callable[[], Sequence[str]], given: bool, may_ask: bool = True
) -> None:
    """See to it that the user trusts the file `path`: ask, if he can be asked, with the lines of `story`.

    `given`: he has said so. Raises WommError if he does not.
    """
    if is_trusted(path, content):
        return
    if not given:
        _ask(path, story(), may_ask)
    try:
        remember(path, content)
    except WommError as error:
        warn(f"it is not remembered that you trust {path}: {error.message}")


def _ask(path: Path, story: Sequence[str], may_ask: bool) -> None:
    if may_ask and prompts.can_ask():
        warn(f"{path} was not made by your `womm setup` on this machine. It says:")
        for line in story:
            warn(f"  {shown(line)}")
        if prompts.confirm("Run jobs so, and let them see that directory?"):
            return
        raise WommError(f"{path} is not trusted", "`womm setup` makes one of your own")
    raise WommError(
        f"{path} was not made by your `womm setup` on this machine: {'; '.join(map(shown, story))}",
        "`womm parallel --trust …` takes it as it is, from now on; `womm setup` makes one of your own",
    )


def shown(text: str) -> str:
    """The text without anything that a terminal could take for a command."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_trusted(path: Path, content: bytes) -> bool:
    """Whether the user trusts the file `path` with this content."""
    with contextlib.suppress(OSError, ValueError, WommError):
        return _note(path).read_text(encoding="ascii").strip() == _hash(content)
    return False


def _note(path: Path) -> Path:
    return directory() / "trusted" / _hash(os.fsencode(path))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
