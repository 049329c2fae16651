"""What an image's name says of its registry, by the engines' own rules (pure)."""

from __future__ import annotations

import re


def host(name: str) -> str:
    """The registry, HOST or HOST:PORT, of an image or a prefix; "" if it names none.

    Without one it is the engine's default registry, which is public.
    """
    first, slash, _ = name.partition("/")
    return first if slash and re.search(r"[.:]|^localhost$", first) else ""


def is_here(host: str) -> bool:
    """Whether this registry is on this very machine: such a one may speak plain http."""
    return re.fullmatch(r"(localhost|127\.[0-9.]+)(:[0-9]+)?", host) is not None
