"""What this machine may lack: room, Linux itself. One error, and nothing left half-made."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Hermetic
from stubs import DOCKER, KUBECTL

from womm import cli, config
from womm.config import Project

pytestmark = pytest.mark.usefixtures("hermetic")

Done = subprocess.CompletedProcess[str]
SETUP = ("setup", "--yes", "--share", "none", "--prefix", "localhost:5000/")
PARALLEL = ("parallel", "--kube-pods", "1", "--", "echo", ":::", "x")


@pytest.fixture
def here(hermetic: Hermetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, not set up; docker and kubectl are stubs that do well."""
    hermetic.stub("docker", DOCKER)
    hermetic.stub("kubectl", KUBECTL)
    for name in ("calls", "context"):
        monkeypatch.setenv(name.upper(), str(hermetic.root / name))
    monkeypatch.setenv("DIGEST", "0123456789abcdef" * 4)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def with_full_disk(womm: list[str]) -> Callable[..., Done]:
    """Return a function that runs womm where a directory is a file system without room."""

    def run(directory: Path, *arguments: str, **env: str) -> Done:
        # Others see nothing of the mount, which ends with its namespace.
        apart = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]
        full = shlex.quote(str(directory))
        script = f"mount -t tmpfs -o size=4k,mode=700 full {full}; head -c 4096 /dev/zero >{full}/filler; "
        # The shell's own directory is the one below the mount.
        script += f'cd "$PWD"; {shlex.join([*womm, *arguments])}; s=$?; cd {full} && find -type f; exit $s'
        argv = [*apart, "sh", "-c", script]
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **env}
        )

    return run


def refused(done: Done) -> str:
    """The error: two lines, and in the full directory there is nothing new."""
    assert (done.returncode, done.stdout) == (125, "./filler\n"), done.stderr
    assert "Traceback" not in done.stderr
    *_, error, way_out = done.stderr.splitlines()
    assert way_out.startswith("womm: → make room there")
    return error


def test_a_full_temporary_directory_is_passed_over_for_another(
    here: Path, tmp_path_factory: pytest.TempPathFactory, with_full_disk: Callable[..., Done]
) -> None:
    full = tmp_path_factory.mktemp("full")
    done = with_full_disk(full, *SETUP, TMPDIR=str(full))
    assert (done.returncode, done.stdout) == (0, "./filler\n"), done.stderr


def test_a_full_directory_ends_setup_without_half_a_file(
    here: Path, with_full_disk: Callable[..., Done]
) -> None:
    error = refused(with_full_disk(here, *SETUP))
    assert error == f"womm: {here}/.womm can't be written (No space left on device)"


def test_a_full_runtime_directory_ends_parallel(
    here: Path, hermetic: Hermetic, with_full_disk: Callable[..., Done]
) -> None:
    known = {"user": "ann", "home": "/home/ann", "uid": 1000, "gid": 1000, "kubeconfig": None}
    place = {"namespace": "team", "context": "dev", "directory": str(here), "share": "none", "prefix": "r/"}
    config.save(Project(image="i", arch="amd64", base_image="b", **known, **place))  # type: ignore[arg-type]
    done = with_full_disk(hermetic.runtime, *PARALLEL)
    assert "No space left on device" in refused(done)
    assert not (hermetic.root / "calls").exists()


@pytest.mark.parametrize("system", ["darwin", "freebsd14"])
@pytest.mark.parametrize("arguments", [[], ["--help"], ["parallel", "--", "x"], ["setup"]])
def test_where_there_is_no_linux_womm_says_so_before_anything_else(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], system: str, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert cli.main(arguments) == 125
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"womm: womm runs on Linux and on WSL2, and this is {system}\n")
