"""How womm's own scripts get into a container: as a program for its sh, since `docker cp` can fail.

For a copy docker mounts all that the container has mounted, the machine's root (mounts.py) with all that
is mounted below it, too. Each testbed that runs doubles that: with half a dozen of them, which unfinished
setups in as many directories leave, there are more mounts than the kernel allows.
"""

from __future__ import annotations

from collections.abc import Iterable

from womm.files import SCRIPTS

_END = "womm-end-of-file"


def program(names: Iterable[str], directory: str) -> bytes:
    """A program for any sh with a cat: it writes these of womm's scripts, by name, into the directory."""
    return b"".join(_writing(f"{directory}/{name}", (SCRIPTS / name).read_bytes()) for name in names)


def _writing(path: str, content: bytes) -> bytes:
    return f"cat >{path} <<'{_END}' || exit\n".encode() + content + f"{_END}\n".encode()
