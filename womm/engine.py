"""The container engine on this machine: docker, called as a human would."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from womm.errors import CommandFailed, WommError
from womm.output import is_quiet
from womm.process import Done, probe, run, show

_INSTALL = "install docker: https://docs.docker.com/engine/install/"
_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")


def check() -> None:
    """See whether the engine answers. Raises WommError with the way out."""
    if not probe(["docker", "version"]):
        from womm.process import tool  # noqa: PLC0415 - for its message only

        tool("docker", _INSTALL)
        raise WommError(
            "docker doesn't answer",
            "start its daemon, or join the group that may use it: see `docker version`",
        )


def build(context: Path, dockerfile: Path, tag: str, base_image: str) -> None:
    """Build the image `tag` from `context`, on `base_image`. Its steps are shown on stderr."""
    argv = ["docker", "build", "--file", str(dockerfile), "--tag", tag]
    argv += ["--build-arg", f"BASE={base_image}"]
    # Even with --quiet docker has its own notes to tell, and the image's number.
    build_, quiet = (run, ["--quiet"]) if is_quiet() else (show, [])
    try:
        build_([*argv, *quiet, str(context)])
    except CommandFailed as failure:
        shown = f" ({failure.message})" if is_quiet() else ""
        raise WommError(
            f"the image could not be built on {base_image}{shown}",
            "docker's own lines above say why",
        ) from failure


def push(tag: str) -> str:
    """Push `tag`; return its name by digest, as pods use it (NAME@sha256:…)."""
    try:
        done = run(["docker", "push", tag])
    except CommandFailed as failure:
        raise WommError(
            f"{tag} can't be pushed ({failure.message})",
            "see to it that the registry is reached (docker login?), or choose another --prefix",
        ) from failure
    return f"{_repository(tag)}@{_pushed_digest(done, tag)}"


def architecture(image: str) -> str:
    """The image's architecture as nodes spell it (kubernetes.io/arch)."""
    found: list[dict[str, Any]] = json.loads(run(["docker", "image", "inspect", image]).stdout)
    return str(found[0]["Architecture"])


def _pushed_digest(done: Done, tag: str) -> str:
    match = _DIGEST.search(done.text)
    if match is None:
        raise WommError(f"docker push of {tag} printed no digest", f"docker push {tag}")
    return match.group(1)


def _repository(tag: str) -> str:
    # The last colon is the tag's unless a port's slash follows it.
    name, colon, last = tag.rpartition(":")
    return name if colon and "/" not in last else tag
