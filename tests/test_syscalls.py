"""The numbers of the system calls for which the scripts in Perl have no function."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "womm" / "scripts"
#: The kernel's tables: for aarch64 (and all newer architectures), and for x86_64.
TABLES = ("/usr/include/asm-generic/unistd.h", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
#: Those that this machine has; the first has one everywhere.
HERE = [
    pytest.param(0, id="aarch64"),
    *([pytest.param(1, id="x86_64")] if os.uname().machine == "x86_64" else []),
]
CALLS = {
    "agent.pl": ["signalfd4"],
    "agent-channel.pl": ["sendmsg", "recvmsg"],
    "share-back.pl": ["statx"],
}


def numbers(architecture: int, names: list[str]) -> list[int]:
    """What the kernel's table has for these calls."""
    found = dict(re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)", Path(TABLES[architecture]).read_text()))
    return [int(found[name]) for name in names]


@pytest.mark.parametrize("architecture", HERE)
@pytest.mark.parametrize("script", sorted(CALLS))
def test_a_script_has_the_kernels_numbers(script: str, architecture: int) -> None:
    text = (SCRIPTS / script).read_text()
    [chosen] = re.findall(r'\(POSIX::uname\(\)\)\[4\] eq "aarch64" \? (.*) : (.*);', text)
    assert [int(n) for n in re.findall(r"\d+", chosen[architecture])] == numbers(architecture, CALLS[script])


@pytest.mark.parametrize("architecture", HERE)
def test_the_login_tries_the_kernels_numbers(architecture: int) -> None:
    tried = re.findall(r"syscall (\d+),", (SCRIPTS / "login.pl").read_text())
    # x86_64's first: there 211 is another call, and must not be reached.
    assert [int(tried[1 - architecture])] == numbers(architecture, ["sendmsg"])
