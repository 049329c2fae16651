"""`womm setup`: its refusals, whom pods run as, and what it remembers."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
from conftest import Hermetic
from stubs import DOCKER, KUBECTL

from womm import config
from womm.commands import setup
from womm.errors import WommError
from womm.image import Account
from womm.kubectl import KubeChoice

pytestmark = pytest.mark.usefixtures("hermetic")

GOOD = ["--yes", "--prefix", "localhost:5000/"]
DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def calls(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where stubs of docker and kubectl note their calls."""
    hermetic.stub("docker", DOCKER)
    hermetic.stub("kubectl", KUBECTL)
    for name, value in (("CALLS", "calls"), ("CONTEXT", "context")):
        monkeypatch.setenv(name, str(hermetic.root / value))
    monkeypatch.setenv("DIGEST", DIGEST)
    return hermetic.root / "calls"


def refusal(*arguments: str) -> WommError:
    """The error with which setup refuses; kubectl and docker would fail loudly before it."""
    with pytest.raises(WommError) as caught:
        setup.run(arguments, KubeChoice())
    assert caught.value.hint
    assert "unexpected call" not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ([], "the questions come later", "womm setup --yes"),
        ([*GOOD, "--share", "lazy"], "--share lazy comes later", "--share eager"),
        ([*GOOD, "--share", "syncback"], "--share syncback comes later", "--share eager"),
        (["--yes"], "which registry takes the image?", "--prefix"),
        (["--yes", "--prefix", "a b"], "no registry prefix", "--prefix"),
        (["--yes", "--prefix", "/"], "no registry prefix", "--prefix"),
    ],
)
def test_setup_refuses_with_the_way_out(here: Path, arguments: list[str], message: str, hint: str) -> None:
    error = refusal(*arguments)
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    "directory",
    ["/", "/etc", "/usr", "/usr/lib", "/bin", "/run", "/lib64"],
)
def test_a_directory_that_pods_need_themselves_is_not_shared(directory: str) -> None:
    with pytest.raises(WommError, match="pods need their own") as caught:
        setup._check_directory(Path(directory), "eager")
    assert "--share none" in caught.value.hint
    assert setup._check_directory(Path(directory), "none") == directory


@pytest.mark.parametrize(
    "directory",
    [
        "/home/ann",
        "/etcetera",
        "/usrlocal/x",
        "/usr/local/src",
        "/run/user/0/x",
        "/srv",
        "/root/work",
        "/mnt/é ü",
    ],
)
def test_other_directories_are_shared(directory: str) -> None:
    assert setup._check_directory(Path(directory), "eager") == directory


@pytest.mark.parametrize("directory", ["/dev/shm", "/proc", "/proc/1", "/sys/x"])
@pytest.mark.parametrize("share", ["eager", "none"])
def test_the_kernels_directories_are_refused_with_any_share(directory: str, share: str) -> None:
    with pytest.raises(WommError, match="is the kernel's"):
        setup._check_directory(Path(directory), share)


def test_a_directory_that_takes_no_configuration_is_refused_before_anything_is_built(here: Path) -> None:
    (here / ".womm").mkdir()
    assert ".womm can't be written" in refusal("--yes", "--prefix", "localhost:5000/").message


def test_a_directory_with_a_colon_is_not_shared() -> None:
    with pytest.raises(WommError, match="can't be mounted"):
        setup._check_directory(Path("/home/a:b"), "eager")
    assert setup._check_directory(Path("/home/a:b"), "none") == "/home/a:b"


@pytest.mark.parametrize("share", ["eager", "none"])
def test_a_directory_that_is_no_utf8_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: str
) -> None:
    odd = tmp_path / "\udcff"
    odd.mkdir()
    monkeypatch.chdir(odd)
    assert "not valid UTF-8" in refusal(*GOOD, "--share", share).message


def be(monkeypatch: pytest.MonkeyPatch, uid: int, gid: int = 1002) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(os, "getgid", lambda: gid)


def entry(name: str, home: str) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", 1001, 1002, "", home, "/bin/sh"))


def test_roots_jobs_run_as_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 0, 0)
    assert setup._account(as_root=False) == Account(1000, 1000, "womm", "/home/womm")


def test_roots_jobs_run_as_root_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 0, 0)
    assert setup._account(as_root=True) == Account(0, 0, "root", "/root")


def test_nobody_else_gets_root(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 1001)
    with pytest.raises(WommError, match="--as-root"):
        setup._account(as_root=True)


@pytest.mark.parametrize(
    ("name", "home", "account"),
    [
        ("ann", "/home/ann", ("ann", "/home/ann")),
        ("ann", "/home/team-1/a.n+n@x", ("ann", "/home/team-1/a.n+n@x")),
        ("ann", "/", ("ann", "/home/ann")),
        ("ann", "/root", ("ann", "/home/ann")),
        ("ann", "", ("ann", "/home/ann")),
        ("ann", "relative", ("ann", "/home/ann")),
        ("ann", "/home/an n", ("ann", "/home/ann")),
        ("ann", "/home/$(reboot)", ("ann", "/home/ann")),
        ("ann", "/home/ann\n", ("ann", "/home/ann")),
        ("ann", "/home/é", ("ann", "/home/ann")),
        ("ann", "/usr/share/ann", ("ann", "/home/ann")),
        ("ann", "/proc/ann", ("ann", "/home/ann")),
        ("ann", "/runners/ann", ("ann", "/runners/ann")),
        ("ann", "/home/../etc", ("ann", "/home/ann")),
        ("ann", "/home/./ann", ("ann", "/home/ann")),
        ("-rf", "/home/rf", ("womm", "/home/rf")),
        ("a b", "/nonexistent", ("womm", "/home/womm")),
        ("DOM\\ann", "/", ("womm", "/home/womm")),
        ("ann\n", "/home/ann", ("womm", "/home/ann")),
    ],
)
def test_a_user_runs_as_itself_with_a_home_that_can_be_made(
    monkeypatch: pytest.MonkeyPatch, name: str, home: str, account: tuple[str, str]
) -> None:
    be(monkeypatch, 1001)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: entry(name, home))
    assert setup._account(as_root=False) == Account(1001, 1002, *account)


def test_a_uid_without_an_entry_has_a_home_too(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 54321)

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert setup._account(as_root=False) == Account(54321, 1002, "womm", "/home/womm")


def test_setup_builds_pushes_and_remembers(
    here: Path, calls: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, 0, 0)
    # The runs directory must still be this test's own.
    monkeypatch.setattr(setup, "sweep", lambda: None)
    assert setup.run([*GOOD, "--base-image", "debian:12", "--share", "none"], KubeChoice()) == 0
    project = config.load(here)
    assert project.image.startswith("localhost:5000/")
    assert project.image.endswith(f"@sha256:{DIGEST}")
    assert (project.arch, project.base_image, project.share) == ("arm64", "debian:12", "none")
    assert (project.namespace, project.context, project.kubeconfig) == ("team", "dev", None)
    assert (project.uid, project.user, project.home) == (1000, "womm", "/home/womm")
    assert config.remembered("prefix") == "localhost:5000/"
    assert capfd.readouterr().out == ""


def test_the_prefix_of_last_time_is_taken(here: Path, calls: Path) -> None:
    config.remember("prefix", "registry.example.com/team/")
    assert setup.run(["--yes", "--share", "none"], KubeChoice()) == 0
    assert config.load(here).prefix == "registry.example.com/team/"


def test_a_missing_file_server_is_a_warning(
    here: Path, calls: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert setup.run([*GOOD, "--share", "eager"], KubeChoice()) == 0
    err = capfd.readouterr().err
    assert "there is no womm file server in namespace team" in err
    assert "cluster-setup --build --prefix" in err


def test_a_setup_that_fails_remembers_nothing(here: Path, calls: Path, hermetic: Hermetic) -> None:
    hermetic.stub("docker", '#!/bin/sh\n[ "$1" = version ]\n')
    assert "could not be built" in refusal(*GOOD, "--share", "none").message
    assert config.find(here) is None
    assert config.remembered("prefix") is None


@pytest.mark.parametrize("missing", ["perl", "rsync"])
def test_a_missing_tool_is_told_before_anything_is_built(
    here: Path, calls: Path, hermetic: Hermetic, missing: str
) -> None:
    docker, kubectl = (hermetic.bin / "docker").read_text(), (hermetic.bin / "kubectl").read_text()
    hermetic.only("sh", "cp", *{"perl", "rsync"} - {missing})
    hermetic.stub("docker", docker)
    hermetic.stub("kubectl", kubectl)
    assert f"{missing} is not installed" in refusal(*GOOD).message
    assert "build" not in calls.read_text()


def test_the_base_image_is_this_machines_own_unless_something_else_is_said(
    here: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert setup._own_distribution().partition(":")[2]
    monkeypatch.setenv("WOMM_BASE_IMAGE", "alpine:3")
    assert setup.run([*GOOD, "--share", "none"], KubeChoice()) == 0
    assert config.load(here).base_image == "alpine:3"
