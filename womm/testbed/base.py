"""The image that the local shell starts from: the base with the user's account in it."""

from __future__ import annotations

import platform
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from womm import config, image
from womm.engine import Engine
from womm.errors import CommandFailed, WommError
from womm.image import Account
from womm.output import progress, warn
from womm.process import run

# overlayfs takes 128 layers, and each setup on the last one's image adds a few.
_MANY_LAYERS = 100
_NODE_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def local_name(directory: str, what: str) -> str:
    """The name of an image of this directory's that is never pushed."""
    return f"localhost/womm-testbed/{config.identity(directory)[:12]}:{what}"


def own_architecture() -> str:
    """This machine's, as nodes spell it (kubernetes.io/arch)."""
    machine = platform.machine()
    return _NODE_NAMES.get(machine, machine)


def foreign_platform(nodes: Sequence[str]) -> str:
    """What to build for if none of the nodes' architectures is this machine's; "" where its own will do."""
    if not nodes or own_architecture() in nodes:
        return ""
    return f"linux/{Counter(nodes).most_common(1)[0][0]}"


def prepare(
    engine: Engine, tag: str, base_image: str, account: Account, directory: str, *, platform: str = ""
) -> None:
    """Make the image `tag`: `base_image`, whatever is odd about it, and the account. Raises WommError."""
    known = engine.inspect("image", base_image)
    # A name is one architecture's: that of the last pull, maybe for another cluster.
    if not known or known["Architecture"] != (platform.partition("/")[2] or own_architecture()):
        try:
            _pull(engine, base_image, platform)
        except WommError:
            if not known or platform:
                raise
            warn(f"{base_image} is for {known['Architecture']} here, and there is no other to be had")
        known = engine.known("image", base_image)
    flat = local_name(directory, "flat")
    if _has_surprises(known):
        progress(
            f"womm: {base_image} has volumes or steps for its heirs (or many layers): making it one layer"
        )
        _flatten(engine, known, base_image, flat)
        base_image = flat
    try:
        image.build_worker(engine, tag, base_image, account, directory, platform=platform)
    finally:
        if base_image == flat:
            engine.drop("image", "rm", flat)


def build_users(engine: Engine, dockerfile: Path, directory: str, *, platform: str = "") -> str:
    """Build the user's own Dockerfile, with the directory as its context, as `build -f FILE .` does."""
    tag = local_name(directory, "dockerfile")
    engine.build(Path(directory), dockerfile, tag, platform=platform)
    return tag


def _pull(engine: Engine, base_image: str, platform: str) -> None:
    try:
        engine.pull(base_image, platform)
    except CommandFailed as failure:
        raise WommError(
            f"the image could not be built on {base_image} ({failure.message})",
            "is its name right, and its registry reached?",
        ) from failure


def _has_surprises(known: dict[str, Any]) -> bool:
    # What is written into a volume is in no commit, and ONBUILD's steps want the files of their author.
    settings = known.get("Config") or {}
    layers = (known.get("RootFS") or {}).get("Layers") or []
    return bool(settings.get("Volumes") or settings.get("OnBuild")) or len(layers) > _MANY_LAYERS


def _flatten(engine: Engine, known: dict[str, Any], base_image: str, tag: str) -> None:
    arch = str(known["Architecture"])
    kind = ["--arch", arch] if engine.name == "podman" else ["--platform", f"linux/{arch}"]
    with tempfile.TemporaryDirectory(prefix="womm-image-") as temporary:
        archive = Path(temporary, "tar")
        # It is never started; some bases have no command of their own.
        container = run(engine.argv("create", *kind, base_image, "sh")).text.strip()
        try:
            run(engine.argv("export", "--output", str(archive), container))
        finally:
            engine.drop("container", "rm", "--volumes", container)
        run(engine.argv("import", *kind, str(archive), tag))
        archive.unlink()
        # An exported container has no settings at all; of the base's, pods heed the environment. By a build,
        # because the engines read the quotes of `import --change` in different ways.
        restore(engine, tag, known["Config"].get("Env") or [])


def restore(engine: Engine, tag: str, environment: Sequence[str]) -> None:
    """Give these variables (NAME=VALUE) to the image `tag`, in place of its own of those names."""
    with tempfile.TemporaryDirectory(prefix="womm-image-") as temporary:
        dockerfile = Path(temporary, "Dockerfile")
        lines = [f"FROM {tag}", *(f"ENV {_quoted(entry)}" for entry in environment)]
        dockerfile.write_text("\n".join(lines) + "\n", encoding="utf-8")
        # The engine would look for one of this machine's, and in a registry.
        engine.build(Path(temporary), dockerfile, tag, platform=foreign_platform([engine.architecture(tag)]))


def _quoted(entry: str) -> str:
    name, _, value = entry.partition("=")
    for special in '\\"$':
        value = value.replace(special, f"\\{special}")
    return f'{name}="{value}"'
