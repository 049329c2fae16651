"""What earlier setups of a directory have kept because they did not come to their end."""

from __future__ import annotations

from dataclasses import dataclass

from womm.engine import Engine
from womm.errors import WommError
from womm.image import Account
from womm.testbed.base import local_name
from womm.testbed.bed import BY, Bed, container_name


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
    container = engine.inspect("container", container_name(directory))
    image = engine.inspect("image", local_name(directory, "saved"))
    if not container and not image:
        return None
    labels = ((container or image).get("Config") or {}).get("Labels") or {}
    state = str(container["State"]["Status"]) if container else ""
    return Kept(state, bool(image), str(labels.get(BY, "shell")))


def resume(engine: Engine, account: Account, directory: str) -> Bed:
    """The testbed of the container that is kept, started again if it has been stopped."""
    bed = Bed(engine, account, directory, container_name(directory))
    bed.make_ready()
    return bed


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
