"""What a setup that is not finished was told: who goes on with it is not asked again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from womm import config
from womm.errors import WommError
from womm.wizard.answers import Answers
from womm.wizard.order import Flags, Order


@dataclass(frozen=True)
class Notes:
    """The answers, and what only flags say; `load` is a command's words, `share_limit` bytes."""

    answers: Answers = field(default_factory=Answers)
    image: str | None = None
    load: Sequence[str] = ()
    kubeconfig: str | None = None
    as_root: bool = False
    share_limit: int | None = None
    secrets: Sequence[str] = ()

    def complete(self, flags: Flags) -> Flags:
        """These flags, with what they don't say; where the image goes they say as a whole, or not at all."""
        recipe = replace(flags.recipe, secrets=[*self.secrets, *flags.recipe.secrets])
        limit = self.share_limit if flags.share_limit is None else flags.share_limit
        flags = replace(flags, recipe=recipe, share_limit=limit)
        # A prefix of "" is --image's or --load's.
        if flags.given.prefix is not None or not (self.image or self.load):
            return flags
        return replace(flags, image=self.image, load=tuple(self.load), given=replace(flags.given, prefix=""))


def write(order: Order) -> None:
    """Keep what the order was told, for its directory; where nothing can be remembered, nothing is."""
    flags = order.flags
    notes = Notes(
        order.answers,
        flags.image,
        flags.load,
        order.kube.kubeconfig,
        order.account.uid == 0,
        # What was agreed to of one share says nothing of another.
        order.share_limit if order.answers.share in config.COPIES else flags.share_limit,
        flags.recipe.secrets,
    )
    with contextlib.suppress(WommError):
        config.remember(_key(order.directory), json.dumps(asdict(notes)))


def read(directory: str) -> Notes:
    """What is kept for this directory; nothing is said in it if nothing is."""
    try:
        content = json.loads(config.remembered(_key(directory)) or "{}")
        return Notes(**{**content, "answers": Answers(**content.get("answers", {}))})
    except (ValueError, TypeError, AttributeError):
        # Another version's.
        return Notes()


def drop(directory: str) -> None:
    """Forget what is kept for this directory."""
    if config.remembered(_key(directory)) is not None:
        config.forget(_key(directory))


def _key(directory: str) -> str:
    return f"unfinished {config.identity(directory)[:12]}"
