"""`womm setup`: its refusals, whom pods run as, and what it remembers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Hermetic
from stubs import DOCKER, KUBECTL

from womm import config
from womm.commands import clear_prefix, setup
from womm.errors import WommError
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
        (
            [],
            "answers are missing: --share, --context, --namespace, --base-image, --prefix, --run",
            "--yes takes the defaults; --prefix REGISTRY/",
        ),
        (["--share", "none", "--base-image", "x"], ": --context, --namespace, --prefix, --run", "--yes"),
        (["--yes"], "answers are missing: --prefix", "--prefix REGISTRY/, --image NAME or --load COMMAND"),
        (["--yes", "--prefix", "ann/"], "--prefix ann/ names no host", "--prefix HOST/"),
        (["--yes", "--image", "ann/jobs"], "--image ann/jobs names no host", "--image HOST/"),
        (["--yes", "--image", "jobs"], "--image jobs names no host", "or --load COMMAND"),
        ([*GOOD, "--resume", "--run", "true"], "--run and --dockerfile begin anew", "give one"),
        ([*GOOD, "--share", "lazy", "--share-via", "copy"], "a lazy share is no copy", "--share eager"),
        ([*GOOD, "--image", "x"], "--prefix adds nothing to it", "give one"),
        (["--yes", "--image", "a b"], "is no name of an image", "--image registry"),
        ([*GOOD, "--load", "no-such-kind load"], "no-such-kind is not installed", "install"),
        (["--yes", "--prefix", "a b"], "no registry prefix", "--prefix"),
        (["--yes", "--prefix", "/"], "no registry prefix", "--prefix"),
    ],
)
def test_setup_refuses_with_the_way_out(here: Path, arguments: list[str], message: str, hint: str) -> None:
    error = refusal(*arguments)
    assert message in error.message
    assert hint in error.hint


def test_a_directory_that_takes_no_configuration_is_refused_before_anything_is_built(here: Path) -> None:
    (here / ".womm").mkdir()
    assert ".womm can't be written" in refusal("--yes", "--prefix", "localhost:5000/").message


@pytest.mark.parametrize("share", ["eager", "none"])
def test_a_directory_that_is_no_utf8_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: str
) -> None:
    odd = tmp_path / "\udcff"
    odd.mkdir()
    monkeypatch.chdir(odd)
    assert "not valid UTF-8" in refusal(*GOOD, "--share", share).message


def test_setup_builds_pushes_and_remembers(
    here: Path, calls: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    # The runs directory must still be this test's own.
    monkeypatch.setattr(setup, "sweep", lambda: None)
    assert setup.run([*GOOD, "--base-image", "debian:12", "--share", "none"], KubeChoice()) == 0
    project = config.load(here)
    assert project.image.startswith("localhost:5000/")
    assert project.image.endswith(f"@sha256:{DIGEST}")
    assert (project.arch, project.base_image, project.share) == ("arm64", "debian:12", "none")
    assert (project.namespace, project.context, project.kubeconfig) == ("team", "dev", None)
    assert (project.uid, project.user, project.home) == (1000, "womm", "/home/womm")
    assert project.pull_secret is None
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
    hermetic.stub("docker", '#!/bin/sh\n[ "$1" != push ]\n')
    assert ":womm-probe can't be pushed" in refusal(*GOOD, "--share", "none").message
    assert config.find(here) is None
    assert config.remembered("prefix") is None


@pytest.mark.parametrize("missing", ["perl", "rsync"])
def test_a_missing_tool_is_told_before_anything_is_built(
    here: Path, calls: Path, hermetic: Hermetic, missing: str
) -> None:
    docker, kubectl = (hermetic.bin / "docker").read_text(), (hermetic.bin / "kubectl").read_text()
    hermetic.only("sh", "cp", "bash", *{"perl", "rsync"} - {missing})
    hermetic.stub("docker", docker)
    hermetic.stub("kubectl", kubectl)
    assert f"{missing} is not installed" in refusal(*GOOD, "--share", "eager").message
    assert "build" not in calls.read_text()


def test_the_base_image_is_this_machines_own_unless_something_else_is_said(
    here: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WOMM_BASE_IMAGE", "alpine:3")
    assert setup.run([*GOOD, "--share", "none"], KubeChoice()) == 0
    assert config.load(here).base_image == "alpine:3"


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("XDG_CONFIG_HOME", "/proc/self/x"),
        ("XDG_CONFIG_HOME", "/dev/null/x"),
        ("XDG_STATE_HOME", "/proc/self/x"),
        ("XDG_STATE_HOME", "/dev/null/x"),
    ],
)
@pytest.mark.usefixtures("calls")
def test_where_nothing_can_be_remembered_it_is_said_before_anything_is_built_and_setup_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], variable: str, place: str
) -> None:
    monkeypatch.setenv(variable, place)
    assert setup.run([*GOOD, "--share", "none"], KubeChoice()) == 0
    said = capfd.readouterr().err
    assert said.index("nothing can be remembered for you") < said.index("building")
    assert "womm parallel will need --trust, and the next womm setup --prefix" in said
    assert config.load(here, trust=True).directory == str(here)


def test_without_any_home_setup_goes_on(
    here: Path, calls: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    assert setup.run([*GOOD, "--share", "none"], KubeChoice()) == 0
    assert "(you have no home directory to remember things in)" in capfd.readouterr().err


def test_a_whole_name_and_a_load_need_no_registry_and_none_is_remembered(
    here: Path, calls: Path, hermetic: Hermetic
) -> None:
    hermetic.stub("kind", '#!/bin/sh\nprintf "%s\\n" "kind $*" >>"$CALLS"\n')
    options = ["--yes", "--share", "none", "--image", "jobs:mine", "--load", "kind load docker-image"]
    assert setup.run(options, KubeChoice()) == 0
    project = config.load(here)
    assert (project.image, project.prefix) == (f"jobs:mine-{DIGEST[:12]}", "")
    said = calls.read_text()
    assert f"kind load docker-image {project.image}\n" in said
    assert "docker push" not in said
    assert config.remembered("prefix") is None


def test_an_image_that_was_given_a_name_is_never_made_anew_without_one(here: Path, calls: Path) -> None:
    assert setup.run(["--yes", "--share", "none", "--image", "localhost:5000/a/b:c"], KubeChoice()) == 0
    # Its next one would go to the engine's default registry.
    assert "nothing says where the image goes" in refusal("--yes", "--run", "true").message
    assert setup.run(["--yes", "--share", "eager"], KubeChoice()) == 0
    assert config.load(here).share == "eager"


def test_a_whole_name_is_pushed(here: Path, calls: Path) -> None:
    assert setup.run(["--yes", "--share", "none", "--image", "localhost:5000/a/b:c"], KubeChoice()) == 0
    assert config.load(here).image == f"localhost:5000/a/b@sha256:{DIGEST}"
    assert "docker push localhost:5000/a/b:c\n" in calls.read_text()


def test_the_pull_secret_is_remembered(here: Path, calls: Path) -> None:
    assert setup.run([*GOOD, "--share", "none", "--pull-secret", "regcred"], KubeChoice()) == 0
    assert config.load(here).pull_secret == "regcred"


def test_a_remembered_prefix_can_be_forgotten_alone(
    here: Path, calls: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert setup.run([*GOOD, "--share", "none", "--engine", "docker"], KubeChoice()) == 0
    assert clear_prefix.run([], KubeChoice()) == 0
    assert (config.remembered("prefix"), config.remembered("engine")) == (None, "docker")
    assert "womm: localhost:5000/ is forgotten" in capfd.readouterr().err
    assert clear_prefix.run([], KubeChoice()) == 0
    assert "womm: no prefix is remembered" in capfd.readouterr().err


def test_an_image_that_is_there_is_kept_unless_something_is_said_of_it(here: Path, calls: Path) -> None:
    assert setup.run([*GOOD, "--share", "none", "--base-image", "debian:12"], KubeChoice()) == 0
    first = config.load(here)
    calls.unlink()
    assert setup.run(["--yes", "--share", "eager", "--pull-secret", "x"], KubeChoice()) == 0
    assert config.load(here) == replace(first, share="eager", pull_secret="x")
    assert "docker build" not in calls.read_text()
    assert setup.run(["--yes", "--base-image", "debian:13"], KubeChoice()) == 0
    assert "docker build" in calls.read_text()
    assert config.load(here) == replace(first, share="eager", pull_secret="x", base_image="debian:13")


def test_what_is_missing_is_listed_all_at_once(here: Path, calls: Path, hermetic: Hermetic) -> None:
    hermetic.only("sh", "cp")
    error = refusal(*GOOD)
    for name in ("kubectl", "perl", "bash", "rsync", "engine"):
        assert f"\n  {name}: " in error.message
    # Nothing is known of it without kubectl.
    assert "\n  cluster: " not in error.message
    assert error.message.count("\n  → ") == error.message.count("\n") / 2
