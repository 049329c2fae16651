"""Files that benchmarks make: bytes that nothing can shorten, programs of a few lines."""

from __future__ import annotations

import os
from pathlib import Path


def write_random(path: Path, size: int) -> None:
    """Write `size` random bytes."""
    with path.open("wb") as file:
        for at in range(0, size, 1 << 20):
            file.write(os.urandom(min(1 << 20, size - at)))


def write_script(path: Path, lines: str) -> None:
    """Write a program for sh."""
    path.write_text(f"#!/bin/sh\n{lines}")
    path.chmod(0o700)
