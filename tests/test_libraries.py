"""What the file server's image gets of Python: womm runs with it, and nothing else of this installation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from conftest import Hermetic

from womm import __version__, libraries
from womm.files import PACKAGE

_RENDER = """\
import sys, sh, jinja2, womm.commands.coordinate, womm.hub.links
from womm.manifests import ServerSpec, server_manifest
assert "womm-server" in server_manifest(ServerSpec("team", "r/s:1"))
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
"""


@pytest.fixture(scope="module")
def opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory /opt of the image, and nobody can write there."""
    root = tmp_path_factory.mktemp("opt")
    libraries.copy(root / "lib")
    shutil.copytree(PACKAGE, root / "womm", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def python(opt: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as in the image: without the packages that are installed here."""
    argv = [sys.executable, "-S", *arguments]
    environment = {
        "PYTHONPATH": f"{opt}:{opt}/lib",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.environ["PATH"],
    }
    return subprocess.run(argv, env=environment, cwd="/", capture_output=True, text=True, check=False)


def test_womm_runs_from_the_copies_alone(opt: Path) -> None:
    done = python(opt, "-m", "womm", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert __version__ in done.stdout


def test_all_that_parallel_imports_is_there(opt: Path, hermetic: Hermetic) -> None:
    done = python(opt, "-c", _RENDER)
    assert (done.returncode, done.stderr) == (0, "")
    files = done.stdout.split()
    # Python's own library, or the copies.
    assert [file for file in files if "site-packages" in file or "dist-packages" in file] == []
    copies = {Path(file).relative_to(opt / "lib").parts[0] for file in files if f"{opt}/lib/" in file}
    assert {Path(name).stem for name in copies} == set(libraries.NEEDED.values())


def test_nothing_compiled_is_copied(opt: Path) -> None:
    suffixes = {
        path.suffix for path in (opt / "lib").rglob("*") if path.is_file() and ".dist-info" not in str(path)
    }
    assert suffixes == {".py"}


def test_versions_and_licences_go_along_and_what_pip_notes_for_itself_does_not(opt: Path) -> None:
    found = {d.metadata["Name"]: d for d in metadata.distributions(path=[str(opt / "lib")])}
    assert set(found) >= set(libraries.NEEDED)
    for name, distribution in found.items():
        assert distribution.version == metadata.version(name)
    said = [path for path in (opt / "lib").rglob("*.dist-info/**/*") if path.is_file()]
    for name in libraries.NEEDED:
        its = [path.name for path in said if f"/{name}-" in str(path)]
        assert [one for one in its if one.startswith("LICENSE")]
    assert not {path.name for path in said} & {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def test_a_distribution_that_lists_no_files_is_copied_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Debian's packages are: no RECORD.
    here = tmp_path / "dist-packages"
    (here / "sh-2.0.dist-info").mkdir(parents=True)
    (here / "sh-2.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: sh\nVersion: 2.0\n")
    (here / "sh.py").write_text("mine = 1\n")
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    monkeypatch.delitem(sys.modules, "sh", raising=False)
    libraries.copy(tmp_path / "lib")
    assert (tmp_path / "lib" / "sh.py").read_text() == "mine = 1\n"
    assert metadata.Distribution.at(tmp_path / "lib" / "sh-2.0.dist-info").version == "2.0"
    assert (tmp_path / "lib" / "jinja2" / "environment.py").is_file()


def test_a_womm_that_nobody_installed_is_copied_without_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = metadata.distribution

    def missing(name: str) -> metadata.Distribution:
        if name == "womm":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    libraries.copy(tmp_path / "lib")
    assert not list((tmp_path / "lib").glob("womm*"))
    assert list((tmp_path / "lib").glob("websockets-*.dist-info"))
