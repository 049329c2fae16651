"""The testbed's container: whose work it is, who may take it away, and what becomes of it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Hermetic

from womm import engine, prompts, signals
from womm.errors import Interrupted, WommError
from womm.image import Account
from womm.testbed import base, bed, kept, make
from womm.testbed.base import local_name
from womm.wizard import answers, shell, turn
from womm.wizard.order import SHELL

pytestmark = pytest.mark.usefixtures("hermetic")

DOCKER = engine.Engine("docker")
ANN = Account(1001, 1002, "ann", "/home/ann")
HERE = "/work"
NAME = bed.container_name(HERE)
SAVED = local_name(HERE, "saved")
STAND_IN = Path(__file__).with_name("docker-stand-in")


class Memory:
    """What the stand-in for docker remembers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        base = {"Architecture": "amd64", "Id": "sha256:0", "Config": {}}
        self.write({"containers": {}, "images": {"base": base}, "base": base, "environment": "", "calls": []})

    def __getitem__(self, key: str) -> Any:
        return json.loads(self._path.read_text())[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.write({**json.loads(self._path.read_text()), key: value})

    def write(self, state: dict[str, Any]) -> None:
        """Replace all of it."""
        self._path.write_text(json.dumps(state))

    def called(self, *words: str) -> list[str]:
        """The calls that begin with one of these words."""
        return [call for call in self["calls"] if call.startswith(words)]


@pytest.fixture
def docker(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> Memory:
    """A docker that remembers; the machine is as its images are."""
    hermetic.stub("docker", f"#!{sys.executable} -S\n{STAND_IN.read_text()}")
    monkeypatch.setenv("DOCKER_STATE", str(hermetic.root / "docker.json"))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return Memory(hermetic.root / "docker.json")


def opened(by: str = "shell") -> bed.Bed:
    """A testbed that runs."""
    return make.open_on(DOCKER, "base", ANN, HERE, by=by)


def test_a_container_that_another_setup_has_is_never_taken_away(docker: Memory) -> None:
    opened()
    before = docker["containers"]
    with pytest.raises(WommError, match="is already in use"):
        opened()
    assert docker["containers"] == before
    with pytest.raises(WommError, match="what was done in its shell is kept"):
        kept.make_room(DOCKER, HERE)
    assert docker["containers"] == before


def test_an_engine_that_does_not_answer_is_not_taken_for_one_that_has_kept_nothing(docker: Memory) -> None:
    assert kept.find(DOCKER, HERE) is None
    opened()
    docker["down"] = True
    with pytest.raises(WommError, match=r"docker doesn't answer \(Cannot connect"):
        kept.find(DOCKER, HERE)


def test_what_a_killed_run_has_left_makes_room_and_the_machines_files_are_there_again(
    docker: Memory, capfd: pytest.CaptureFixture[str]
) -> None:
    opened(by="run")
    kept.make_room(DOCKER, HERE)
    assert docker["containers"] == {}
    opened()
    assert "this machine's files are in /mnt" in capfd.readouterr().err


def test_a_container_that_was_created_and_can_not_be_started_goes(docker: Memory) -> None:
    docker["refused"] = f"start {NAME}"
    with pytest.raises(WommError, match="can't be started: refused"):
        opened()
    assert docker["containers"] == {}


def test_a_directory_has_one_setup_at_a_time(hermetic: Hermetic) -> None:
    with turn.taken(HERE):
        with (
            pytest.raises(WommError, match="another `womm setup` of this directory goes on"),
            turn.taken(HERE),
        ):
            pass
        with turn.taken("/other"):
            pass
    with turn.taken(HERE):
        pass
    assert list((hermetic.runtime / "womm").iterdir()) == []


def test_a_secret_that_a_shell_saves_at_its_end_is_not_in_the_image(
    docker: Memory, capfd: pytest.CaptureFixture[str]
) -> None:
    opened()
    docker["at_close"] = "API_TOKEN=t\0FOUND=yes\0"
    make.resume(DOCKER, "r/x:mine", ANN, HERE)
    assert docker["images"]["r/x:mine"]["environment"] == "FOUND=yes\0"
    assert "not in the image, because they look like secrets: API_TOKEN" in capfd.readouterr().err
    assert docker["containers"] == {}


def test_a_secret_of_another_terminals_shell_is_asked_about_before_the_image_is_saved(
    docker: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = opened()
    monkeypatch.setattr(shell, "_bed", lambda _order, _nodes: made)
    monkeypatch.setattr(bed.Bed, "shell", lambda _self: 0)
    monkeypatch.setattr(prompts, "select", lambda *_: answers.WORKS)
    asked: list[str] = []

    def several(_question: str, choices: list[prompts.Choice]) -> list[str]:
        asked.extend(choice.value for choice in choices)
        return []

    monkeypatch.setattr(prompts, "several", several)
    docker["at_close"] = "API_TOKEN=t\0"
    order = SimpleNamespace(way=SHELL, tag="r/x:mine", flags=SimpleNamespace(recipe=make.Recipe()))
    assert shell.until_it_works(order, [])  # type: ignore[arg-type]
    assert asked == ["API_TOKEN"]
    assert docker["images"]["r/x:mine"]["environment"] == ""


@pytest.mark.parametrize("ended", [0, 130])
def test_a_shell_that_ended_by_itself_leaves_everything_as_it_is(
    docker: Memory, monkeypatch: pytest.MonkeyPatch, ended: int
) -> None:
    # After a Ctrl-C at its prompt a shell's status is 130.
    monkeypatch.setattr(bed.Bed, "enter", lambda *_, **__: ended)
    assert opened().shell() == ended
    assert not any("testbed-close" in call for call in docker["calls"])


def test_a_terminal_that_is_closed_ends_the_shell_behind_it(
    docker: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def enter(*_: object, **__: object) -> int:
        raise Interrupted(1)

    monkeypatch.setattr(bed.Bed, "enter", enter)
    with pytest.raises(Interrupted):
        opened().shell()
    assert "testbed-close" in docker["calls"][-1]


def test_the_end_of_the_shells_knows_the_directory_whose_files_are_the_machines_own(docker: Memory) -> None:
    opened().close()
    assert docker["calls"][-1].endswith(f"testbed-close 1001 1002 /home/ann {HERE}")


def test_an_image_is_kept_until_its_directory_has_its_configuration(docker: Memory) -> None:
    opened()
    make.resume(DOCKER, "r/x:mine", ANN, HERE)

    def full(_image: str, _arch: str) -> None:
        raise WommError("/work/.womm can't be written (no space)", "make room there")

    docker["base"] = {**docker["base"], "RepoDigests": [f"r/x@sha256:{'0' * 64}"]}
    docker["images"] = {name: {**known, **docker["base"]} for name, known in docker["images"].items()}
    with pytest.raises(WommError) as caught:
        make.publish(DOCKER, "r/x:mine", HERE, full)
    assert (
        caught.value.hint == "make room there; the image is kept, and `womm setup --yes --resume` pushes it"
    )
    assert kept.find(DOCKER, HERE) is not None
    noted: list[str] = []
    make.publish(DOCKER, "r/x:mine", HERE, lambda *said: noted.extend(said))
    assert noted == [f"r/x@sha256:{'0' * 64}", "amd64"]
    assert kept.find(DOCKER, HERE) is None


def test_an_engine_that_is_stopped_before_the_push_is_told_with_the_image_that_is_kept(
    docker: Memory,
) -> None:
    opened()
    make.resume(DOCKER, "r/x:mine", ANN, HERE)
    docker["down"] = True
    with pytest.raises(WommError, match="docker doesn't answer") as caught:
        make.publish(DOCKER, "r/x:mine", HERE, lambda *_: None)
    assert "the image is kept" in caught.value.hint


def test_a_docker_that_stops_under_the_shell_is_told_as_that(docker: Memory) -> None:
    made = opened()
    assert made.has("perl")
    assert made.running
    docker["down"] = True
    for look in (
        lambda: made.running,
        lambda: made.has("perl"),
        made.likely_secrets,
        made.withdrawn_proxies,
    ):
        with pytest.raises(WommError, match="Cannot connect to the Docker daemon"):
            look()


def test_what_was_removed_meanwhile_is_told(docker: Memory) -> None:
    made = opened()
    docker["containers"] = {}
    with pytest.raises(WommError, match=f"the container {NAME} is gone"):
        made.withdrawn_proxies()
    assert not made.running


def test_work_whose_container_can_not_be_started_again_goes_on_in_a_new_one(docker: Memory) -> None:
    opened(by="shell")
    docker["environment"] = "FOUND=yes\0"
    docker["containers"] = {NAME: {**docker["containers"][NAME], "broken": True}}
    kept.resume(DOCKER, ANN, HERE)
    assert list(docker["containers"]) == [NAME]
    assert "broken" not in docker["containers"][NAME]
    found = kept.find(DOCKER, HERE)
    assert found is not None
    assert (found.container, found.by) == ("running", "shell")
    # Perl may be what was removed: it is installed as in any base.
    [build] = [call for call in docker.called("build") if f"BASE={local_name(HERE, 'kept')}" in call]
    assert docker["calls"].index(build) > docker["calls"].index(docker.called("commit")[0])
    make.resume(DOCKER, "r/x:mine", ANN, HERE)
    assert sorted(docker["images"]) == ["base", SAVED, "r/x:mine"]


def test_work_that_was_just_being_moved_is_found(docker: Memory) -> None:
    opened()
    docker["containers"] = {f"{NAME}-successor": docker["containers"][NAME]}
    assert kept.find(DOCKER, HERE) is not None
    assert list(docker["containers"]) == [NAME]


def test_a_container_that_can_neither_be_started_nor_moved_is_kept(docker: Memory) -> None:
    opened()
    docker["containers"] = {NAME: {**docker["containers"][NAME], "broken": True}}
    docker["refused"] = "build"
    with pytest.raises(WommError, match="could not be built"):
        kept.resume(DOCKER, ANN, HERE)
    assert list(docker["containers"]) == [NAME]


def test_a_ctrl_c_in_the_lines_of_a_run_leaves_nothing(
    docker: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(_self: bed.Bed, _commands: object) -> None:
        # As the handler leaves it: each wait raises, until cleaning up begins.
        signals._state.received = signal.SIGINT
        signals.check()

    monkeypatch.setattr(signals, "_state", signals._State())
    monkeypatch.setattr(bed.Bed, "run", pressed)
    with pytest.raises(Interrupted):
        make.make(DOCKER, "r/x:mine", "base", ANN, HERE, recipe=make.Recipe(commands=["sleep 9"]))
    assert (docker["containers"], sorted(docker["images"])) == ({}, ["base"])


def test_a_base_that_was_pulled_for_another_cluster_is_pulled_again_for_this_machines(
    docker: Memory, capfd: pytest.CaptureFixture[str]
) -> None:
    foreign = {**docker["base"], "Architecture": "arm64"}
    docker["images"] = {"debian:12": foreign}
    base.prepare(DOCKER, "ready", "debian:12", ANN, HERE)
    base.prepare(DOCKER, "ready", "debian:12", ANN, HERE)
    assert docker.called("pull") == ["pull debian:12"]
    # It may be the user's own, in no registry.
    docker["images"] = {"mine": foreign}
    docker["refused"] = "pull"
    base.prepare(DOCKER, "ready", "mine", ANN, HERE)
    assert "mine is for arm64 here, and there is no other to be had" in capfd.readouterr().err
    with pytest.raises(WommError, match="could not be built on mine"):
        base.prepare(DOCKER, "ready", "mine", ANN, HERE, platform="linux/s390x")


def test_variables_are_given_to_an_image_of_its_own_architecture(docker: Memory) -> None:
    docker["images"] = {"theirs": {**docker["base"], "Architecture": "arm64"}, "ours": docker["base"]}
    base.restore(DOCKER, "theirs", ["A=b"])
    base.restore(DOCKER, "ours", ["A=b"])
    theirs, ours = docker.called("build")
    assert "--platform linux/arm64" in theirs
    assert "--platform" not in ours


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        (["arm64"], "the image is for amd64, and the nodes are arm64: no pod will run"),
        ([], "the image is for amd64, and you may not see whether the nodes are"),
        (["arm64", "amd64"], ""),
    ],
)
def test_the_architecture_is_told_before_the_push_unless_a_node_has_it(
    docker: Memory, capfd: pytest.CaptureFixture[str], nodes: list[str], told: str
) -> None:
    docker["images"] = {"r/x:mine": {**docker["base"], "RepoDigests": [f"r/x@sha256:{'0' * 64}"]}}
    make.publish(DOCKER, "r/x:mine", HERE, lambda *_: None, nodes)
    said = capfd.readouterr().err
    assert told in said
    assert ("the image is for" in said) == bool(told)
