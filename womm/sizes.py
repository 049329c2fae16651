"""Sizes in bytes, as people write and read them, and as Kubernetes takes them (pure)."""

from __future__ import annotations

import re
from fractions import Fraction

from womm.errors import WommError

_LETTERS = "kMGTPE"
_SIZE = re.compile(rf"([0-9]{{1,15}}(?:\.[0-9]{{1,9}})?) ?([{_LETTERS}]?)(i?)B?", re.IGNORECASE)
_MEBI = 1 << 20
# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ (1e3 has no unit, 1E has.)
_QUANTITY = re.compile(r"([0-9.]+(?:[eE][-+]?[0-9]{1,3})?)([A-Za-z]*)")
_UNITS = {"": Fraction(1), "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000)}
_UNITS |= {unit: Fraction(1000**power) for power, unit in enumerate(_LETTERS, 1)}
_UNITS |= {f"{unit}i": Fraction(1024**power) for power, unit in enumerate(_LETTERS.upper(), 1)}


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


def amount(quantity: str) -> Fraction:
    """The number that a Kubernetes quantity (500m, 1Gi, 2e3) means. Raises ValueError for what is none."""
    match = _QUANTITY.fullmatch(quantity)
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"not a quantity: {quantity!r}")
    return Fraction(match[1]) * _UNITS[match[2]]
