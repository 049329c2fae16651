"""What earlier setups of a directory have kept because they did not come to their end."""

from __future__ import annotations

from dataclasses import dataclass

from womm.engine import Engine
from womm.errors import CommandFailed, WommError
from womm.image import Account
from womm.output import progress
from womm.process import run
from womm.testbed.base import foreign_platform, local_name, prepare
from womm.testbed.bed import BY, Bed, container_name, open_bed


@dataclass(frozen=True)
class Kept:
    """What is kept: a container ("running", "exited"…; "" for none), an image that was saved but not pushed.

    `by` tells whose work it is: a "shell"'s is nowhere else.
    """

    container: str
    image: bool
    by: str


def find(engine: Engine, directory: str) -> Kept | None:
    """What is kept for this directory; None if nothing is."""
    name = container_name(directory)
    container = engine.inspect("container", name)
    if not container and engine.inspect("container", _successor(directory)):
        # A move was killed just before its last step.
        _take_over(engine, directory)
        container = engine.inspect("container", name)
    image = engine.inspect("image", local_name(directory, "saved"))
    if not container and not image:
        return None
    labels = ((container or image).get("Config") or {}).get("Labels") or {}
    state = str(container["State"]["Status"]) if container else ""
    return Kept(state, bool(image), str(labels.get(BY, "shell")))


def demand(engine: Engine, directory: str) -> Kept:
    """What is kept for this directory. Raises WommError if nothing is."""
    earlier = find(engine, directory)
    if earlier is None:
        raise WommError("no earlier setup of this directory has left anything", "womm setup --yes")
    return earlier


def resume(engine: Engine, account: Account, directory: str) -> Bed:
    """The testbed of the container that is kept, started again if it has been stopped.

    Where that can't be, it is one that has all that was done in it.
    """
    bed = Bed(engine, account, directory, container_name(directory))
    try:
        bed.make_ready()
    except CommandFailed as failure:
        # Process 1 is perl, and a disk that was below /mnt may be gone.
        progress(f"womm: what is kept can't be started, and goes to a new container: {failure.message}")
        _move(bed)
        bed.make_ready()
    return bed


def _move(bed: Bed) -> None:
    # What it holds, to a new container of its name. Until that runs, the old one is kept.
    engine, directory = bed.engine, bed.directory
    label = (engine.known("container", bed.name)["Config"].get("Labels") or {}).get(BY, "shell")
    image, ready = (local_name(directory, what) for what in ("kept", "base"))
    successor = _successor(directory)
    bed.commit(image)
    try:
        platform = foreign_platform([engine.architecture(image)])
        prepare(engine, ready, image, bed.account, directory, platform=platform)
        # One that was killed in the middle has left its own.
        engine.drop("container", "rm", "--force", "--volumes", successor)
        open_bed(engine, ready, bed.account, directory, successor, by=label, platform=platform)
        bed.remove()
        _take_over(engine, directory)
    finally:
        engine.drop("image", "rm", image)


def _successor(directory: str) -> str:
    return f"{container_name(directory)}-successor"


def _take_over(engine: Engine, directory: str) -> None:
    run(engine.argv("container", "rename", _successor(directory), container_name(directory)))


def make_room(engine: Engine, directory: str) -> None:
    """Throw away what a setup without its user has kept. Raises WommError for what a user's shell has."""
    earlier = find(engine, directory)
    if earlier is None:
        return
    if earlier.by == "shell":
        raise WommError(
            "an earlier setup of this directory was not finished; what was done in its shell is kept",
            "`womm setup` goes on with it, `womm setup --yes --resume` saves it as it is",
        )
    discard(engine, directory)


def discard(engine: Engine, directory: str) -> None:
    """Throw away whatever is kept."""
    Bed(engine, Account(0, 0, "root", "/root"), directory, container_name(directory)).discard()
    engine.drop("image", "rm", local_name(directory, "saved"))
