"""Sizes in bytes, as people write and read them, and as Kubernetes takes them (pure)."""

from __future__ import annotations

import re

from womm.errors import WommError

_LETTERS = "kMGTPE"
_SIZE = re.compile(rf"([0-9]{{1,15}}(?:\.[0-9]{{1,9}})?) ?([{_LETTERS}]?)(i?)B?", re.IGNORECASE)
_MEBI = 1 << 20
_QUANTITY = re.compile(r"([0-9.]+(?:[eE][-+]?[0-9]+)?)(?:([KMGTPE])i|([numkMGTPE]))?")


def parse(name: str, text: str) -> int:
    """The bytes that option `name` was given: 500M, 2.5GB, 4Gi. Raises WommError."""
    match = _SIZE.fullmatch(text)
    if match is None or (match[3] and not match[2]):
        raise WommError(f"{name} takes a size, not {text!r}", f"for example {name} 500M, or {name} 4G")
    power = _LETTERS.lower().find(match[2].lower()) + 1 if match[2] else 0
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


def shown(size: int) -> str:
    """The size in two to four digits: 999 B, 12 kB, 3.4 GB."""
    if size < 1000:
        return f"{size} B"
    number, power = size / 1000, 0
    # What would be rounded up to 1000 is 1 of the next.
    while number >= 999.5 and power < len(_LETTERS) - 1:
        number, power = number / 1000, power + 1
    return f"{number:.1f} {_LETTERS[power]}B" if number < 9.95 else f"{number:.0f} {_LETTERS[power]}B"


def quantity(size: int) -> str:
    """The size as a Kubernetes quantity, rounded up to whole MiB."""
    return f"{-(-size // _MEBI)}Mi"


def amount(quantity: str) -> float:
    """The number that a Kubernetes quantity (500m, 1Gi, 2e3) means. Raises ValueError for what is none."""
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"not a quantity: {quantity!r}")
    number, binary, decimal = match.groups()
    if binary:
        return float(number) * float(1024 ** ("KMGTPE".find(binary) + 1))
    return float(number) * 1000.0 ** ("num kMGTPE".find(decimal) - 3 if decimal else 0)
