"""The act, the same for `--yes` and the wizard: the image, its push, the configuration."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from womm import config, server
from womm.config import AUTO, COPY, LAZY, NFS, Project
from womm.errors import WommError
from womm.manifests import CLAIM_AGE
from womm.output import progress
from womm.shares import probe
from womm.shares.nfs import node_age
from womm.shares.probe import Unusable
from womm.testbed import kept, make
from womm.wizard import notes
from womm.wizard.order import KEEP, RESUME, SHELL, Order
from womm.wizard.shell import until_it_works


def carry_out(order: Order, asking: bool) -> None:
    """Do it, unless the user keeps his work for later or throws it away: nothing is changed then.

    Raises WommError; what was installed, and an image that was made, are kept then.
    """
    engine, directory = order.engine, order.directory
    if order.way == KEEP:
        assert order.earlier is not None
        _save(order, order.earlier.image, order.earlier.arch)
        return
    if order.afresh:
        kept.discard(engine, directory)
    nodes = make.node_architectures(order.kube)
    if order.way == SHELL or (order.way == RESUME and asking and _has_container(order)):
        notes.write(order)
        if not until_it_works(order, nodes):
            if not _has_container(order):
                notes.drop(directory)
            return
    elif order.way == RESUME:
        make.resume(engine, order.tag, order.account, directory, secrets=order.flags.recipe.secrets)
    else:
        make.make(
            engine, order.tag, order.base, order.account, directory, recipe=order.flags.recipe, nodes=nodes
        )
    notes.write(order)
    make.publish(engine, order.tag, directory, partial(_save, order), nodes)
    notes.drop(directory)


def _save(order: Order, image: str, arch: str) -> None:
    project = order.project(image, arch)
    path = config.save(replace(project, via=_via(order, project)))
    progress(f"womm: set up ({path}). Now: womm parallel --kube-pods 3 -- COMMAND …")


def _via(order: Order, project: Project) -> str:
    # By copy or over NFS: what the cluster can do, unless the user has said it. Raises WommError.
    if order.via != AUTO:
        return order.via
    if project.share != LAZY and not _has_nfs(order):
        return COPY
    progress("womm: trying whether the nodes can mount over NFS; pods have copies otherwise")
    try:
        told = probe.demand(order.kube, project)
    except Unusable as why:
        if project.share == LAZY:
            raise
        progress(f"womm: each pod will have a copy of its own: {why.message}")
        return COPY
    if project.share == LAZY and not told.claim:
        progress(
            f"womm: what a node knows of a file there counts for {node_age(told)}; for {CLAIM_AGE} s once an"
            " administrator has run `womm cluster-setup` once more"
        )
    return NFS


def _has_nfs(order: Order) -> bool:
    # What is not there yet, or can't be asked, is no reason not to be set up.
    try:
        return server.find(order.kube).nfs
    except WommError:
        return False


def _has_container(order: Order) -> bool:
    earlier = kept.find(order.engine, order.directory)
    return earlier is not None and bool(earlier.container)
