"""`.womm` and the user's settings: found, loaded, saved, and refused with the way out."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Hermetic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from womm import config
from womm.config import FILE_NAME, Project, find, load, remember, remembered, save
from womm.errors import WommError
from womm.kubectl import KubeChoice

pytestmark = pytest.mark.usefixtures("hermetic")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(
        directory=str(tmp_path),
        share="eager",
        image="r/i@sha256:00",
        arch="amd64",
        base_image="debian:12",
        prefix="r/",
        namespace="team",
        context="prod",
        kubeconfig=None,
        uid=1000,
        gid=1000,
        user="ann",
        home="/home/ann",
    )


def written(project: Project) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((Path(project.directory) / FILE_NAME).read_text())
    return content


def rewrite(project: Project, **changes: Any) -> None:
    """Save `project`, and change what is in its file; a value of ... removes a field."""
    content = {**written_form(project), **changes}
    left = {key: value for key, value in content.items() if value is not ...}
    (Path(project.directory) / FILE_NAME).write_text(json.dumps(left))


def written_form(project: Project) -> dict[str, Any]:
    return {"format": config.FORMAT, **dataclasses.asdict(project)}


def refusal(project: Project) -> WommError:
    """The error that loading gives; it says to run setup again."""
    with pytest.raises(WommError) as caught:
        load(Path(project.directory))
    assert caught.value.hint == f"run `womm setup` in {project.directory} again"
    return caught.value


@pytest.mark.parametrize("kubeconfig", [None, "/a/ü b"])
def test_what_is_saved_is_loaded(project: Project, kubeconfig: str | None) -> None:
    project = dataclasses.replace(project, kubeconfig=kubeconfig)
    assert save(project) == Path(project.directory) / FILE_NAME
    assert load(Path(project.directory)) == project
    assert project.choice == KubeChoice("team", "prod", kubeconfig)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), uid=st.integers(0, 2**31)
)
def test_any_text_is_loaded_as_it_was_saved(project: Project, text: str, uid: int) -> None:
    changed = dataclasses.replace(project, image=text, context=text, user=text, uid=uid)
    save(changed)
    assert load(Path(project.directory)) == changed


def test_the_nearest_directory_upwards_counts(project: Project, tmp_path: Path) -> None:
    inner, leaf = tmp_path / "a", tmp_path / "a" / "b" / "c"
    leaf.mkdir(parents=True)
    save(project)
    assert find(leaf) == tmp_path
    assert load(leaf) == project
    nearer = dataclasses.replace(project, directory=str(inner))
    save(nearer)
    assert load(leaf) == nearer
    assert load(tmp_path) == project


def test_a_directory_called_womm_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    assert find(tmp_path) is None


def test_a_directory_that_was_not_set_up_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WommError, match="not set up") as caught:
        load(tmp_path)
    assert "womm setup" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"3", b'"x"', b"{}", b"\xff", b"\0", b'{"format": 1}', b"{" * 100]
)
def test_a_corrupt_file_is_refused(project: Project, content: bytes) -> None:
    (Path(project.directory) / FILE_NAME).write_bytes(content)
    assert "can't be read" in refusal(project).message


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_a_file_of_another_version_is_refused(project: Project, version: Any) -> None:
    rewrite(project, format=version)
    assert "another version" in refusal(project).message


@pytest.mark.parametrize(
    "field", [f.name for f in dataclasses.fields(Project) if f.default is dataclasses.MISSING]
)
def test_a_missing_field_is_refused_by_name(project: Project, field: str) -> None:
    rewrite(project, **{field: ...})
    assert field in refusal(project).message


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Project)])
@pytest.mark.parametrize("value", [[], {}, 1.5, True])
def test_a_field_of_the_wrong_type_is_refused_by_name(project: Project, field: str, value: Any) -> None:
    rewrite(project, **{field: value})
    assert field in refusal(project).message


@pytest.mark.parametrize("field", ["namespace", "context", "image", "uid", "home"])
def test_only_the_kubeconfig_may_be_nothing(project: Project, field: str) -> None:
    rewrite(project, **{field: None})
    assert field in refusal(project).message


def test_a_field_that_nobody_knows_is_refused_by_name(project: Project) -> None:
    rewrite(project, later="x")
    assert "later" in refusal(project).message


@pytest.mark.parametrize("changes", [{"format": "\x1b[2J"}, {"\x1b[2J": "x"}], ids=["format", "field"])
def test_what_a_terminal_would_obey_is_refused_in_letters(project: Project, changes: dict[str, str]) -> None:
    rewrite(project, **changes)
    assert "\\x1b[2J" in refusal(project).message


def test_a_directory_that_was_moved_is_refused(project: Project, tmp_path: Path) -> None:
    rewrite(project, directory="/elsewhere")
    assert "was /elsewhere when it was set up" in refusal(project).message


def test_a_file_that_cannot_be_read_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    save(project)

    def denied(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    # Root may read everything, so the refusal is played.
    monkeypatch.setattr(Path, "read_bytes", denied)
    assert "Permission denied" in refusal(project).message


@pytest.mark.parametrize("directory", ["/proc/self", "/dev/null/x"])
def test_a_place_that_takes_no_file_is_refused(project: Project, directory: str) -> None:
    with pytest.raises(WommError, match="can't be written"):
        save(dataclasses.replace(project, directory=directory))


def test_the_file_appears_whole_or_not_at_all(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    save(project)
    before = written(project)

    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(config.os, "replace", broken)
    with pytest.raises(WommError, match="No space left"):
        save(dataclasses.replace(project, image="other"))
    assert written(project) == before
    # Nothing is left beside it, either.
    assert os.listdir(project.directory) == [FILE_NAME]


def test_the_file_is_its_owners_and_readable_by_nobody_else(project: Project) -> None:
    path = save(project)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_in_the_way_is_replaced_and_not_written_into(project: Project, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep")
    (tmp_path / FILE_NAME).symlink_to(victim)
    save(project)
    assert victim.read_text() == "keep"
    assert load(tmp_path) == project


def test_settings_are_remembered_beside_each_other(hermetic: Hermetic) -> None:
    assert remembered("prefix") is None
    remember("prefix", "r/")
    remember("other", "ü")
    remember("prefix", "s/")
    assert (remembered("prefix"), remembered("other"), remembered("third")) == ("s/", "ü", None)
    assert (hermetic.home / ".config" / "womm" / "settings.json").is_file()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"3", b"null", b"\xff", b'{"prefix": 3}', b'{"prefix": null}']
)
def test_unreadable_settings_hold_nothing_and_may_be_written_anew(content: bytes) -> None:
    path = config.user_directory() / "settings.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert remembered("prefix") is None
    remember("prefix", "r/")
    assert remembered("prefix") == "r/"


def test_settings_that_cannot_be_written_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/proc/self")
    with pytest.raises(WommError, match="can't be written"):
        remember("prefix", "r/")


@pytest.mark.parametrize("odd", ["", "relative/path"])
def test_an_odd_xdg_config_home_is_ignored(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", odd)
    assert config.user_directory() == hermetic.home / ".config" / "womm"


def test_a_machines_user_is_told_from_every_other_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = config.machine()
    assert config.machine() == ours
    assert re.fullmatch("[0-9a-f]{64}", ours)
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    other_user = config.machine()
    monkeypatch.setattr(config.socket, "gethostname", lambda: "elsewhere")
    assert len({ours, other_user, config.machine()}) == 3
    assert "elsewhere" not in config.machine()
