"""From a base to the image that pods use, without a question: what `womm setup --yes` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
        # It can be done again.
        bed.discard()
        raise
    bed.save(tag)


def resume(
    engine: Engine, tag: str, account: Account, directory: str, *, secrets: Sequence[str] = ()
) -> None:
    """Make the image `tag` of what an earlier setup has kept; `secrets` as for `make`.

    Raises WommError if nothing is kept.
    """
    earlier = kept.find(engine, directory)
    if earlier is None:
        raise WommError("no earlier setup of this directory has left anything", "womm setup --yes")
    if earlier.container:
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


def publish(engine: Engine, tag: str, directory: str, nodes: Sequence[str] = ()) -> tuple[str, str]:
    """Push the image, which is kept until then; returns its name by digest, and its architecture."""
    arch = engine.architecture(tag)
    if nodes and arch not in nodes:
        warn(f"the image is for {arch}, and the nodes are {', '.join(sorted(set(nodes)))}: no pod will run")
    saved = local_name(directory, "saved")
    is_kept = bool(engine.inspect("image", saved))
    try:
        name = engine.push(tag)
    except Interrupted:
        if is_kept:
            warn(_AGAIN)
        raise
    except WommError as failure:
        if is_kept:
            raise WommError(failure.message, f"{failure.hint}; {_AGAIN}") from failure
        raise
    engine.drop("image", "rm", saved)
    return name, arch


def node_architectures(kube: Kube) -> list[str]:
    """The architecture of each node; empty where it is not known: few users may list nodes."""
    try:
        items = kube.get("nodes")["items"]
    except WommError:
        return []
    return [str(node["status"]["nodeInfo"]["architecture"]) for node in items]
