"""`womm cluster-setup`: print the YAML that a namespace needs for shares."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from womm import config, engine, image, nfs, values
from womm.commands.arguments import Parser
from womm.errors import WommError
from womm.kubectl import KubeChoice, resolve
from womm.manifests import ServerSpec, server_manifest, user_role
from womm.output import data, progress
from womm.runs import sweep
from womm.tasks.listing import STALE

#: What the file server's image is built on where nothing else is said.
BASE_IMAGE = "debian:bookworm-slim"


def make_parser() -> Parser:
    """What the verb understands."""
    parser = Parser(
        "cluster-setup",
        "Print the file server and the NFS server of a namespace, their accounts and the coordinator's, "
        "as YAML: "
        "womm cluster-setup --build --prefix localhost:5000/ | kubectl apply -f -",
    )
    parser.add_argument("--build", action="store_true", help="build the servers' images and push them")
    parser.add_argument("--prefix", metavar="REGISTRY/", help="where to push it (default: setup's last)")
    parser.add_argument(
        "--load", metavar="COMMAND", help="with --build: run this with the image's name, in place of a push"
    )
    parser.add_argument("--image", metavar="NAME", help="use this image of this version of womm instead")
    parser.add_argument(
        "--nfs-image", metavar="NAME", help="with --image: the NFS server's, of this version of womm"
    )
    parser.add_argument(
        "--no-nfs",
        action="store_true",
        help="leave the NFS server out, which is privileged: shares are copies then",
    )
    parser.add_argument(
        "--nfs-clients",
        metavar="ADDRESS,…",
        help="who may mount beside the nodes' own addresses: networks (10.1.0.0/16) or addresses",
    )
    parser.add_argument(
        "--base-image",
        metavar="IMAGE",
        default=os.environ.get("WOMM_BASE_IMAGE") or BASE_IMAGE,
        help="what to build it on (default: WOMM_BASE_IMAGE, or %(default)s)",
    )
    parser.add_argument(
        "--kubectl", metavar="FILE", help="with --build: the kubectl for the image (default: your own)"
    )
    parser.add_argument(
        "--orphans-after",
        metavar="TIME",
        help="take a task away that gave no sign of life for so long (default: 10m; 0: never)",
    )
    parser.add_argument(
        "--size", metavar="SIZE", help="give the server a volume of its own (50Gi), which outlives its pod"
    )
    parser.add_argument(
        "--storage-class", metavar="NAME", help="with --size: its class (default: the cluster's own)"
    )
    parser.add_argument(
        "--user-role", action="store_true", help="print the Role of those who may use womm instead"
    )
    return parser


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns 0."""
    options, choice = make_parser().understand(arguments, choice)
    if options.user_role:
        if options.build or options.image or options.kubectl or options.nfs_image:
            raise WommError(
                "--user-role has no image", "leave out --build, --image, --nfs-image and --kubectl"
            )
        data(user_role(choice.namespace or resolve(choice).namespace))
        return 0
    if options.build == bool(options.image):
        raise WommError(
            "cluster-setup needs the file server's image",
            "either --build --prefix REGISTRY/ (it is built and pushed), or --image NAME",
        )
    if options.kubectl and not options.build:
        raise WommError(
            "--kubectl is for an image that is built", "leave it out, or --build in place of --image"
        )
    _check_nfs(options)
    clients = values.networks(options.nfs_clients) if options.nfs_clients else ()
    if options.storage_class and not options.size:
        raise WommError("--storage-class is for a volume, and a volume has a size", "--size 50Gi")
    size = values.volume(options.size) if options.size else ""
    orphans_after = _orphans_after(options.orphans_after)
    prefix: str = options.prefix or config.remembered("prefix") or ""
    load = engine.load_command(options.load)
    if options.build:
        if not prefix and not load:
            raise WommError("--build needs a registry to push to", "--prefix REGISTRY/, or --load COMMAND")
        prefix = image.check_prefix(prefix) if prefix else ""
        kubectl = image.kubectl_for_image(options.kubectl)
    sweep()
    # Without a namespace the YAML would land wherever the reader's kubectl points.
    namespace = choice.namespace or resolve(choice).namespace
    called = "" if options.no_nfs else nfs.name(namespace)
    seen = nfs.Seen() if options.no_nfs else _seen(choice, called)
    keys = seen.keys if options.no_nfs or seen.keys else nfs.make_keys()
    name, nfs_image, arch = options.image, options.nfs_image, ""
    if options.build:
        builder = replace(engine.find(config.remembered("engine")), load=load)
        progress(f"womm: building the file server's image on {options.base_image}")
        name, arch = image.build_server(builder, prefix, options.base_image, kubectl)
        if not options.no_nfs:
            progress("womm: building the NFS server's image")
            nfs_image = image.build_nfs(builder, prefix, options.base_image, kubectl)
    spec = ServerSpec(
        namespace=namespace,
        image=name,
        arch=arch,
        orphans_after=orphans_after,
        size=size,
        storage_class=options.storage_class or "",
        nfs=None
        if keys is None
        else nfs.NfsServer(called, nfs_image, keys, clients, seen.pod_ranges, seen.tunnels, seen.address),
    )
    data(server_manifest(spec))
    if spec.nfs is not None and not spec.nfs.address:
        progress(
            "womm: when this has been applied, run the same command once more: it then has the volume by"
            ' which pods see changes of a lazy share soon; those of a "restricted" namespace mount no other'
        )
    return 0


def _check_nfs(options: argparse.Namespace) -> None:
    if options.no_nfs and (options.nfs_image or options.nfs_clients):
        raise WommError("--no-nfs has no NFS server", "leave out --nfs-image and --nfs-clients, or --no-nfs")
    if not options.no_nfs and bool(options.image) != bool(options.nfs_image):
        raise WommError(
            "cluster-setup needs the images of both servers",
            "--image NAME --nfs-image NAME; or leave NFS out: --no-nfs",
        )


def _seen(choice: KubeChoice, called: str) -> nfs.Seen:
    # Without a cluster the YAML can be printed all the same.
    with suppress(WommError):
        return nfs.look(resolve(choice), called)
    return nfs.Seen()


def _orphans_after(given: str | None) -> int:
    # Whole seconds: the server's loop counts them.
    seconds = math.ceil(values.duration("--orphans-after", given, "10m"))
    if 0 < seconds < STALE:
        raise WommError(
            f"--orphans-after {given} would take tasks away that run",
            "3m at least, because a task gives a sign of life each minute; or 0: never",
        )
    return seconds
