"""`womm cluster-setup`: print the YAML that a namespace needs for shares."""

from __future__ import annotations

import os
from collections.abc import Sequence

from womm import config, engine, image
from womm.commands.arguments import Parser
from womm.errors import WommError
from womm.kubectl import KubeChoice, resolve
from womm.manifests import ServerSpec, server_manifest
from womm.output import be_quiet, data, progress
from womm.runs import sweep

#: What the file server's image is built on where nothing else is said.
BASE_IMAGE = "debian:bookworm-slim"


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns 0."""
    parser = Parser(
        "cluster-setup",
        "Print the file server of a namespace (and the coordinator's account) as YAML: "
        "womm cluster-setup --build --prefix localhost:5000/ | kubectl create -f -",
    )
    parser.add_argument("--build", action="store_true", help="build the server's image and push it")
    parser.add_argument("--prefix", metavar="REGISTRY/", help="where to push it (default: setup's last)")
    parser.add_argument("--image", metavar="NAME", help="use this image of this version of womm instead")
    parser.add_argument(
        "--base-image",
        metavar="IMAGE",
        default=os.environ.get("WOMM_BASE_IMAGE") or BASE_IMAGE,
        help="what to build it on (default: WOMM_BASE_IMAGE, or %(default)s)",
    )
    options, choice = parser.understand(arguments, choice)
    if options.quiet:
        be_quiet()
    if options.build == bool(options.image):
        raise WommError(
            "cluster-setup needs the file server's image",
            "either --build --prefix REGISTRY/ (it is built and pushed), or --image NAME",
        )
    prefix: str = options.prefix or config.remembered("prefix") or ""
    if options.build:
        if not prefix:
            raise WommError("--build needs a registry to push to", "--prefix REGISTRY/")
        prefix = image.check_prefix(prefix)
    sweep()
    # Without a namespace the YAML would land wherever the reader's kubectl points.
    namespace = choice.namespace or resolve(choice).namespace
    name, arch = options.image, ""
    if options.build:
        engine.check()
        progress(f"womm: building the file server's image on {options.base_image}")
        name, arch = image.build_server(prefix, options.base_image)
    data(server_manifest(ServerSpec(namespace=namespace, image=name, arch=arch)))
    return 0
