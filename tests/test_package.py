"""The built package carries all that womm needs at run time, and says why it can't be built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VENDORED = ("parallel", "options.json", "parallel.json", "COPYING.parallel", "COPYRIGHT.parallel")
REFUSAL = "womm: GNU parallel is not in womm/vendor: run 'make vendor' first"

# Environments are built and dependencies downloaded, on machines that may be busy with a cluster.
pytestmark = pytest.mark.timeout(900)


def call(argv: list[str | Path], cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `argv` in `cwd` and return what it left; nothing of this checkout is importable there."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        argv,
        cwd=cwd,
        env={**clean, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def succeed(argv: list[str | Path], cwd: Path, **env: str) -> str:
    """Run `argv` in `cwd` and return its stdout. Fails, with all it said, unless it ends with 0."""
    done = call(argv, cwd, **env)
    assert done.returncode == 0, f"{argv} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def copy_checkout(target: Path) -> Path:
    """Copy the checkout to `target` as a clone would have it: without what git ignores."""
    for name in succeed([ROOT / "tools" / "files"], ROOT).splitlines():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of the checkout in which `make vendor` has run."""
    copy = copy_checkout(tmp_path_factory.mktemp("checkout"))
    for name in VENDORED:
        shutil.copy2(ROOT / "womm" / "vendor" / name, copy / "womm" / "vendor" / name)
    return copy


@pytest.fixture(scope="module")
def packages(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist and the wheel made from it, by the names of their kinds."""
    dist = tmp_path_factory.mktemp("dist")
    succeed([sys.executable, "-m", "build", "--outdir", dist, "."], checkout)
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    return {"sdist": sdist, "wheel": wheel}


def shipped(checkout: Path) -> set[str]:
    """What every form of the package must hold: all that lies under womm/ in a clean checkout."""
    files = {str(p.relative_to(checkout)) for p in (checkout / "womm").rglob("*") if p.is_file()}
    # setuptools may be asked to build from the copy; its leavings are no part of it.
    files = {name for name in files if "__pycache__" not in name}
    assert {f"womm/vendor/{name}" for name in VENDORED} <= files
    return files


def test_the_wheel_holds_every_file_of_womm(checkout: Path, packages: dict[str, Path]) -> None:
    with zipfile.ZipFile(packages["wheel"]) as wheel:
        names = set(wheel.namelist())
    assert shipped(checkout) - names == set()
    assert [n for n in names if n.endswith(".data/data/share/bash-completion/completions/womm")]
    assert not {n for n in names if n.startswith(("tests/", "sandbox/", "tools/", "bats/", "build/"))}


def test_the_sdist_holds_every_file_of_womm(checkout: Path, packages: dict[str, Path]) -> None:
    with tarfile.open(packages["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = shipped(checkout) | {"LICENSE", "setup.py", "pyproject.toml"}
    assert (wanted | {p.name for p in checkout.glob("*.md")}) - names == set()


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(
    request: pytest.FixtureRequest,
    packages: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """An empty virtual environment into which one form of the package is installed."""
    home = tmp_path_factory.mktemp(f"venv-{request.param}")
    venv.create(home, with_pip=True, symlinks=True)
    pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet"]
    succeed([*pip, packages[request.param]], home)
    yield home
    shutil.rmtree(home)


def test_what_is_installed_is_what_the_checkout_has(checkout: Path, installed: Path, tmp_path: Path) -> None:
    where = "import pathlib, womm; print(pathlib.Path(womm.__file__).parent.parent)"
    site = Path(succeed([installed / "bin" / "python", "-c", where], tmp_path).strip())
    assert site.is_relative_to(installed)
    for name in sorted(shipped(checkout)):
        ours, theirs = checkout / name, site / name
        assert theirs.is_file(), f"{name} is not installed"
        assert theirs.read_bytes() == ours.read_bytes(), f"{name} differs"
        assert os.access(theirs, os.X_OK) == os.access(ours, os.X_OK), f"{name}: executable or not"


def test_the_installed_vendored_parallel_runs(installed: Path, tmp_path: Path) -> None:
    (parallel,) = installed.glob("lib/python*/site-packages/womm/vendor/parallel")
    argv: list[str | Path] = [parallel, "--plain", "echo", "{}", ":::", "ran"]
    assert succeed(argv, tmp_path, HOME=str(tmp_path), PARALLEL="") == "ran\n"


def test_the_installed_womm_tells_its_version_and_helps(
    checkout: Path, installed: Path, tmp_path: Path
) -> None:
    version: dict[str, str] = {}
    exec((checkout / "womm" / "__init__.py").read_text(), version)
    womm, home = installed / "bin" / "womm", str(tmp_path)
    assert version["__version__"] in succeed([womm, "--version"], tmp_path, HOME=home).split()
    assert "--kube-pods" in succeed([womm, "parallel", "--help"], tmp_path, HOME=home)


def test_bash_completion_is_installed_where_bash_looks_for_it(installed: Path, tmp_path: Path) -> None:
    script = installed / "share" / "bash-completion" / "completions" / "womm"
    printed = succeed([installed / "bin" / "womm", "completion", "bash"], tmp_path, HOME=str(tmp_path))
    assert script.read_text(encoding="utf-8") == printed
    assert "complete -F _womm womm" in printed


@pytest.mark.parametrize("lacking", ["parallel", "options.json"])
def test_without_the_vendored_parallel_pip_install_fails_with_one_line_that_says_what_to_run(
    checkout: Path, tmp_path: Path, lacking: str
) -> None:
    copy = copy_checkout(tmp_path / "checkout")
    for name in VENDORED:
        if name != lacking:
            shutil.copy2(checkout / "womm" / "vendor" / name, copy / "womm" / "vendor" / name)
    home = tmp_path / "venv"
    venv.create(home, with_pip=True, symlinks=True)
    done = call([home / "bin" / "python", "-m", "pip", "install", "."], copy)
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    assert done.returncode != 0
    assert said.count(REFUSAL) == 1, "\n".join(said)
    assert not [line for line in said if "Traceback" in line]
