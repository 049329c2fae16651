"""From a base to the image that pods use, without a question: what `womm setup --yes` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from womm import signals
from womm.engine import Engine
from womm.errors import Interrupted, WommError
from womm.image import Account
from womm.kubectl import Kube
from womm.output import progress, warn
from womm.process import run
from womm.testbed import kept
from womm.testbed.base import build_users, foreign_platform, local_name, prepare
from womm.testbed.bed import Bed, container_name, open_bed

_AGAIN = "the image is kept, and `womm setup --yes --resume` pushes it"


@dataclass(frozen=True)
class Recipe:
    """What becomes of the base without its user: his Dockerfile on it, and then these lines, run as root.

    What the lines export and looks like a secret is left out, unless it is one of `secrets`.
    """

    dockerfile: Path | None = None
    commands: Sequence[str] = ()
    secrets: Sequence[str] = ()

    def __bool__(self) -> bool:
        """Whether it says what is to be done."""
        return self.dockerfile is not None or bool(self.commands)


def open_on(
    engine: Engine, base_image: str, account: Account, directory: str, *, by: str, nodes: Sequence[str] = ()
) -> Bed:
    """Make the base ready and start the testbed's container on it. Raises WommError."""
    platform = foreign_platform(nodes)
    ready = local_name(directory, "base")
    prepare(engine, ready, base_image, account, directory, platform=platform)
    return open_bed(engine, ready, account, directory, container_name(directory), by=by, platform=platform)


def make(
    engine: Engine,
    tag: str,
    base_image: str,
    account: Account,
    directory: str,
    *,
    recipe: Recipe,
    nodes: Sequence[str] = (),
) -> None:
    """Make the image `tag`. What a user's own shell has left is never overwritten. Raises WommError."""
    kept.make_room(engine, directory)
    platform = foreign_platform(nodes)
    if recipe.dockerfile is not None:
        base_image = build_users(engine, recipe.dockerfile, directory, platform=platform)
    progress(f"womm: building {tag} on {recipe.dockerfile or base_image}")
    if not recipe.commands:
        prepare(engine, tag, base_image, account, directory, platform=platform)
        engine.drop("image", "rm", local_name(directory, "dockerfile"))
        return
    bed = open_on(engine, base_image, account, directory, by="run", nodes=nodes)
    try:
        bed.run(recipe.commands)
        bed.close()
        _leave_out(bed, recipe.secrets)
    except BaseException:
        # It can be done again. Not even a Ctrl-C may keep it.
        signals.shield()
        bed.discard()
        raise
    bed.save(tag)


def resume(
    engine: Engine, tag: str, account: Account, directory: str, *, secrets: Sequence[str] = ()
) -> None:
    """Make the image `tag` of what an earlier setup has kept; `secrets` as for `make`.

    Raises WommError if nothing is kept.
    """
    if kept.demand(engine, directory).container:
        bed = kept.resume(engine, account, directory)
        # First: a shell that still lives (the engine's connection was lost) saves its variables at its end.
        bed.close()
        _leave_out(bed, secrets)
        bed.save(tag)
    else:
        run(engine.argv("tag", local_name(directory, "saved"), tag))


def _leave_out(bed: Bed, secrets: Sequence[str]) -> None:
    # What looks like a secret, unless it is one of these.
    if left_out := [name for name in bed.likely_secrets() if name not in secrets]:
        bed.forget(left_out)
        warn(f"not in the image, because they look like secrets: {', '.join(left_out)}")
        warn("→ --keep-secret NAME lets one in")


def publish(
    engine: Engine, tag: str, directory: str, note: Callable[[str, str], None], nodes: Sequence[str] = ()
) -> None:
    """Push the image, and have `note` write down its name by digest and its architecture.

    It is kept until then. Raises WommError.
    """
    saved = local_name(directory, "saved")
    # Unless the engine says that there is none: a plain base is made again as fast.
    again = _AGAIN
    try:
        again = _AGAIN if engine.inspect("image", saved) else ""
        arch = engine.architecture(tag)
        if nodes and arch not in nodes:
            told = ", ".join(sorted(set(nodes)))
            warn(f"the image is for {arch}, and the nodes are {told}: no pod will run")
        elif not nodes:
            progress(f"womm: the image is for {arch}, and you may not see whether the nodes are, too")
        note(engine.push(tag), arch)
    except Interrupted:
        if again:
            warn(again)
        raise
    except WommError as failure:
        hint = "; ".join(filter(None, (failure.hint, again)))
        raise WommError(failure.message, hint) from failure
    engine.drop("image", "rm", saved)


def node_architectures(kube: Kube) -> list[str]:
    """The architecture of each node; empty where it is not known: few users may list nodes."""
    try:
        items = kube.get("nodes")["items"]
    except WommError:
        return []
    return [str(node["status"]["nodeInfo"]["architecture"]) for node in items]
