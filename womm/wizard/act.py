"""The act, the same for `--yes` and the wizard: the image, its push, the configuration."""

from __future__ import annotations

from womm import config
from womm.config import Project
from womm.output import progress
from womm.testbed import kept, make
from womm.wizard import notes
from womm.wizard.order import KEEP, RESUME, SHELL, Order
from womm.wizard.shell import until_it_works


def carry_out(order: Order, asking: bool) -> Project | None:
    """Do it; None if the user has kept his work for later or thrown it away, and nothing is changed.

    Raises WommError; what was installed, and an image that was made, are kept then.
    """
    engine, directory = order.engine, order.directory
    if order.way == KEEP:
        assert order.earlier is not None
        return _saved(order, order.earlier.image, order.earlier.arch)
    if order.afresh:
        kept.discard(engine, directory)
    nodes = make.node_architectures(order.kube)
    if order.way == SHELL or (order.way == RESUME and asking and _has_container(order)):
        notes.write(directory, order.answers)
        if not until_it_works(order, nodes):
            if not _has_container(order):
                notes.drop(directory)
            return None
    elif order.way == RESUME:
        make.resume(engine, order.tag, order.account, directory, secrets=order.flags.recipe.secrets)
    else:
        make.make(
            engine, order.tag, order.base, order.account, directory, recipe=order.flags.recipe, nodes=nodes
        )
    notes.write(directory, order.answers)
    published = make.publish(engine, order.tag, directory, nodes)
    notes.drop(directory)
    return _saved(order, *published)


def _saved(order: Order, image: str, arch: str) -> Project:
    project = order.project(image, arch)
    path = config.save(project)
    progress(f"womm: set up ({path}). Now: womm parallel --kube-pods 3 -- COMMAND …")
    return project


def _has_container(order: Order) -> bool:
    earlier = kept.find(order.engine, order.directory)
    return earlier is not None and bool(earlier.container)
