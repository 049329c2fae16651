"""`womm clear-prefix`: forget the registry that `womm setup` has remembered."""

from __future__ import annotations

from collections.abc import Sequence

from womm import config
from womm.commands.arguments import Parser
from womm.kubectl import KubeChoice
from womm.output import progress


def make_parser() -> Parser:
    """What the verb understands."""
    return Parser("clear-prefix", "Forget the registry prefix that setup proposes. No directory changes.")


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns 0."""
    make_parser().understand(arguments, choice)
    prefix = config.remembered("prefix")
    if prefix is not None:
        config.forget("prefix")
    progress(f"womm: {prefix} is forgotten" if prefix is not None else "womm: no prefix is remembered")
    return 0
