"""The proxies that an engine gives to its containers (pure).

The local shell needs them; but the pods are elsewhere, and a password may be in them: no image may have them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAME = re.compile(r"(?:https?|ftp|no|all)_proxy", re.IGNORECASE)


def withdrawn(container: Sequence[str], image: Sequence[str]) -> list[str]:
    """What a container's proxies have to be in an image that is made from it.

    Both are environments, each entry NAME=VALUE. A proxy is what it was in the container's own `image`:
    empty if that has none (nothing takes a variable away from an image). The others are left out.
    """
    before = dict(entry.split("=", 1) for entry in image if "=" in entry)
    names = (entry.partition("=")[0] for entry in container if entry not in image)
    return [f"{name}={before.get(name, '')}" for name in sorted(names) if _NAME.fullmatch(name)]
