"""`womm shell --local`: what it refuses. tests/cluster/test_local_shell.py has the rest."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Hermetic
from test_checks import PROJECT

from womm import config
from womm.commands import shell
from womm.errors import WommError
from womm.kubectl import KubeChoice

pytestmark = pytest.mark.usefixtures("hermetic")

IMAGE = "localhost:5000/work@sha256:0"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, which is set up."""
    monkeypatch.chdir(tmp_path)
    config.save(replace(PROJECT, directory=str(tmp_path), image=IMAGE))
    return tmp_path


def refusal(*arguments: str) -> WommError:
    """The error with which the verb refuses."""
    with pytest.raises(WommError) as caught:
        shell.run(["--local", *arguments], KubeChoice())
    assert caught.value.hint
    return caught.value


def test_what_is_said_of_a_pod_is_refused_all_at_once(here: Path) -> None:
    options = ["--kube-cpu", "2", "--kube-toleration", "x", "--transport", "exec", "--", "true"]
    error = refusal(*options)
    assert (
        error.message == "--local has no pod, and --kube-cpu, --kube-toleration, --transport would be for one"
    )


def test_a_directory_that_is_not_set_up_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "not set up" in refusal().message


def test_what_an_engine_cannot_carry_is_refused(here: Path) -> None:
    assert "is not valid UTF-8" in refusal("--", os.fsdecode(b"echo \xff")).message


def test_an_image_that_is_nowhere_is_told(here: Path, hermetic: Hermetic) -> None:
    hermetic.stub(
        "docker",
        """#!/bin/sh
        case $1 in
          version) ;;
          image) echo "No such image" >&2; exit 1 ;;
          *) echo denied >&2; exit 1 ;;
        esac
        """,
    )
    error = refusal()
    assert error.message.startswith(f"the image {IMAGE} can't be had (docker")
    assert error.hint.startswith("`docker login`")


def test_a_container_that_cannot_be_started_is_told_and_nothing_stays(here: Path, hermetic: Hermetic) -> None:
    hermetic.stub(
        "docker",
        """#!/bin/sh
        case $1 in
          image) echo '[{"Id": "x"}]' ;;
          create) echo "no such device" >&2; exit 125 ;;
          container) echo "Error: No such container: $5" >&2; exit 1 ;;
        esac
        """,
    )
    assert refusal().message == "the container can't be started: no such device"
    assert list((hermetic.runtime / "womm").iterdir()) == []
