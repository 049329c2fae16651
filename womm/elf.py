"""What the beginning of a program's file says: which machine it is for, whether it needs libraries (pure)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

#: As much of a file as `look` wants to see: the headers of a program stand at its beginning.
BEGINNING = 1 << 16

# e_machine -> the architecture as nodes and images spell it; those that Kubernetes runs on.
_MACHINES = {3: "386", 21: "ppc64le", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64"}
_INTERPRETER = 3


@dataclass(frozen=True)
class Program:
    """A program for `arch` (kubernetes.io/arch); `static`: it runs wherever its kernel does."""

    arch: str
    static: bool


def look(beginning: bytes) -> Program | None:
    """Return what the file that begins so is; None if it is no ELF program (a script, for example)."""
    if beginning[:4] != b"\x7fELF" or beginning[4:5] not in (b"\1", b"\2"):
        return None
    wide, order = beginning[4] == 2, ">" if beginning[5:6] == b"\2" else "<"
    try:
        (machine,) = struct.unpack_from(f"{order}H", beginning, 18)
        (offset,) = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", beginning, 32 if wide else 28)
        size, count = struct.unpack_from(f"{order}HH", beginning, 54 if wide else 42)
        kinds = [struct.unpack_from(f"{order}I", beginning, offset + size * n)[0] for n in range(count)]
    except struct.error:
        return None
    # A static one that can be loaded anywhere has a dynamic section, but nobody who links it.
    return Program(_MACHINES.get(machine, f"machine {machine}"), _INTERPRETER not in kinds)
