"""The answers of a setup that is not finished: who goes on with it is not asked again."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict

from womm import config
from womm.errors import WommError
from womm.wizard.answers import Answers


def write(directory: str, answers: Answers) -> None:
    """Keep them for this directory; where nothing can be remembered, nothing is."""
    with contextlib.suppress(WommError):
        config.remember(_key(directory), json.dumps(asdict(answers)))


def read(directory: str) -> Answers:
    """What is kept for this directory; no answers if nothing is."""
    try:
        return Answers(**json.loads(config.remembered(_key(directory)) or "{}"))
    except (ValueError, TypeError):
        # Another version's.
        return Answers()


def drop(directory: str) -> None:
    """Forget what is kept for this directory."""
    if config.remembered(_key(directory)) is not None:
        config.forget(_key(directory))


def _key(directory: str) -> str:
    return f"unfinished {config.identity(directory)[:12]}"
