"""What a program's file says of itself."""

from __future__ import annotations

import shutil
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stubs import MACHINES, program

from womm.elf import BEGINNING, Program, look


@pytest.mark.parametrize("arch", MACHINES)
def test_the_architecture_is_the_one_that_nodes_name(arch: str) -> None:
    assert look(program(arch, 1, 1)) == Program(arch, static=True)


def test_what_wants_an_interpreter_needs_libraries_and_a_dynamic_section_alone_does_not() -> None:
    assert look(program("amd64", 6, 3, 1, 1, 2)) == Program("amd64", static=False)
    assert look(program("amd64", 6, 1, 1, 2)) == Program("amd64", static=True)


def test_an_unknown_machine_is_named_by_its_number() -> None:
    sparc = bytearray(program("amd64", 1))
    sparc[18:20] = (2, 0)
    assert look(bytes(sparc)) == Program("machine 2", static=True)


def test_this_machines_python_is_a_program_and_a_script_is_none() -> None:
    with open(sys.executable, "rb") as file:
        found = look(file.read(BEGINNING))
    assert found is not None
    assert found.arch in MACHINES
    assert look(b"#!/bin/sh\n") is None
    shell = shutil.which("sh")
    assert shell is not None
    with open(shell, "rb") as file:
        assert look(file.read(BEGINNING)) is not None


@pytest.mark.parametrize("arch", ["amd64", "386", "s390x"])
def test_a_file_that_is_cut_is_no_program(arch: str) -> None:
    whole = program(arch, 1, 3)
    # The last header's kind is all that is read of it.
    needed = len(whole) - (52 if arch != "386" else 28)
    assert [n for n in range(needed) if look(whole[:n]) is not None] == []
    assert look(whole[:needed]) is not None


@given(st.binary(max_size=200))
def test_no_file_is_too_strange_to_look_at(rest: bytes) -> None:
    look(b"\x7fELF" + rest)
