"""Images brought to the sandbox's node without its registry: what `kind load docker-image` is to kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit import good
from machine import RUN

# The images of the sandbox's node.
NODE = ["ctr", "--address", f"{RUN}/containerd.sock", "--namespace", "k8s.io", "images"]
# Its last word is the image's name. The label makes it another image than the one that the node may have
# pulled from the registry: the kubelet of 1.36 does not take that by another name without asking a registry.
SCRIPT = f"""\
#!/bin/sh
echo "$2" >>"$0.names"
printf 'FROM %s\\nLABEL womm.dev/loaded=yes\\n' "$2" | docker build --tag "$2" - >/dev/null 2>&1 || exit
docker save "$2" | {" ".join(NODE)} import -
"""


@contextmanager
def loading(directory: Path) -> Iterator[str]:
    """The beginning of a command line, to be split as a shell does, for as long as the context lasts.

    What it has loaded is removed then, from the node and from docker.
    """
    script = directory / "load it"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    try:
        yield f"'{script}' image"
    finally:
        noted = directory / "load it.names"
        for name in set(noted.read_text().split()) if noted.exists() else ():
            repository = name.rpartition(":")[0]
            found = good(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", repository])
            for tag in found.split():
                good(["docker", "image", "rm", "--force", tag])
            good([*NODE, "remove", *on_node(name)])


def on_node(name: str) -> list[str]:
    """The names that an image of docker's, `name`, has on the node."""
    return [found for found in good([*NODE, "list", "--quiet"]).split() if found.endswith(f"/{name}")]
