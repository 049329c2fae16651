"""What setup and parallel say, ask and refuse of what an eager share would send."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest
from conftest import Hermetic
from stubs import DOCKER, KUBECTL

from womm import config, here, output, prompts, workers
from womm.commands import setup
from womm.config import SHARE_LIMIT
from womm.errors import WommError
from womm.kubectl import KubeChoice
from womm.shares import limit
from womm.shares.look import Entry, Look, look_at
from womm.wizard import sharing
from womm.wizard.ask import NeverMind
from womm.workers import Workers

pytestmark = pytest.mark.usefixtures("hermetic")


@pytest.fixture
def place(tmp_path: Path, hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory; stubs of docker and kubectl."""
    hermetic.stub("docker", DOCKER)
    hermetic.stub("kubectl", KUBECTL)
    for name, value in (("CALLS", "calls"), ("CONTEXT", "context")):
        monkeypatch.setenv(name, str(hermetic.root / value))
    monkeypatch.setenv("DIGEST", "0123456789abcdef" * 4)
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The questions that are asked; each is answered with yes."""
    questions: list[str] = []

    def confirm(question: str, default: bool = False) -> bool:
        assert default is False
        questions.append(question)
        return True

    monkeypatch.setattr(prompts, "confirm", confirm)
    monkeypatch.setattr(prompts, "can_ask", lambda: True)
    return questions


def set_up(*more: str) -> None:
    arguments = ["--yes", "--share", "eager", "--prefix", "localhost:5000/", *more]
    assert setup.run(arguments, KubeChoice()) == 0


def sparse(path: Path, size: int) -> None:
    """A file that is large and takes no room."""
    path.touch()
    os.truncate(path, size)


def test_setup_tells_what_goes_along(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sparse(place / "data", 600_000_000)
    (place / "out").symlink_to("/etc/passwd")
    (place / "in").symlink_to("data")
    set_up()
    said = capfd.readouterr().err
    assert "womm: each pod gets a copy of 600 MB in 1 file\n" in said
    assert "womm: large files: data (600 MB)\n" in said
    assert "in pods to what is there: out -> /etc/passwd\n" in said
    assert config.load(place).share_limit == SHARE_LIMIT
    assert not (place / ".wommignore").exists()


def test_many_names_are_few_words(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number in range(8):
        (place / f"{number}").symlink_to("..")
    set_up()
    assert "0 -> .., 1 -> .., 2 -> .., 3 -> .., 4 -> .. and 3 more\n" in capfd.readouterr().err


def test_setup_without_a_terminal_suggests_in_one_line_and_writes_nothing(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / ".git").mkdir()
    (place / ".git" / "HEAD").write_text("x" * 1000)
    (place / "env").mkdir()
    (place / "env" / "pyvenv.cfg").touch()
    set_up()
    lines = [line for line in capfd.readouterr().err.splitlines() if ".git" in line]
    assert lines == [
        "womm: pods get .git (1.0 kB), env (0 B), too; a line in .wommignore leaves one out: - .git/"
    ]
    assert not (place / ".wommignore").exists()


def test_what_is_suggested_is_written_only_if_it_is_wanted(place: Path, asked: list[str]) -> None:
    (place / ".git").mkdir()
    sparse(place / ".git" / "pack", SHARE_LIMIT + 1)
    # What is left out is not asked about any more.
    assert sharing.agree(place, None, None, asking=True) == SHARE_LIMIT
    assert asked == ["Leave that out of the copy (write .wommignore)?"]
    assert (place / ".wommignore").read_text() == "- .git/\n"


def test_an_ignore_file_goes_again_if_nothing_is_to_be_changed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / ".git").mkdir()
    (place / ".git" / "pack").touch()
    sparse(place / "data", SHARE_LIMIT + 1)
    monkeypatch.setattr(prompts, "confirm", lambda question, **_: question.startswith("Leave"))
    with pytest.raises(NeverMind):
        sharing.agree(place, None, None, asking=True)
    assert sorted(os.listdir(place)) == [".git", "data"]


def test_the_default_of_each_question_changes_nothing(
    place: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / ".git").mkdir()
    sparse(place / ".git" / "pack", SHARE_LIMIT + 1)
    monkeypatch.setattr(prompts, "confirm", lambda _question, default=False: default)
    with pytest.raises(NeverMind):
        sharing.agree(place, None, None, asking=True)
    assert not (place / ".wommignore").exists()


def test_the_questions_on_a_terminal(place: Path, womm: list[str]) -> None:
    (place / ".git").mkdir()
    (place / ".git" / "HEAD").write_text("x" * 1000)
    sparse(place / "data", 2_500_000_000)
    flags = ["--share", "eager", "--namespace", "team", "--pull-secret", "", "--base-image", "debian:12"]
    (place.parent / "Dockerfile").touch()
    flags += ["--prefix", "localhost:5000/", "--dockerfile", str(place.parent / "Dockerfile")]
    argv = [*womm, "setup", *flags]
    env = {**os.environ, "TERM": "dumb"}

    def answered(*dialogue: tuple[str, str, str]) -> str:
        child = pexpect.spawn(argv[0], argv[1:], env=env, timeout=60, encoding="utf-8", dimensions=(40, 200))
        for told, question, answer in dialogue:
            child.expect_exact(told)
            child.expect_exact(question)
            child.expect_exact("] ")
            child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0, child.before
        return str(child.before)

    leave = ("womm: jobs seldom need .git (1.0 kB)\r\n", "Leave that out of the copy (write .wommignore)?")
    go_on = ("womm: large files: data (2.5 GB)\r\n", "Each pod gets a copy of these 2.5 GB. Go on?")
    assert "womm: nothing is changed" in answered((*leave, ""), (*go_on, ""))
    assert sorted(os.listdir(place)) == [".git", "data"]
    answered((*leave, "y"), (*go_on, "y"))
    assert sorted(os.listdir(place)) == [".git", ".womm", ".wommignore", "data"]
    assert config.load(place).share_limit > 3_700_000_000


def test_where_an_ignore_file_is_nothing_is_suggested(
    place: Path, asked: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    (place / ".git").mkdir()
    (place / ".wommignore").write_text("# mine\n")
    sharing.agree(place, None, None, asking=True)
    set_up()
    assert asked == []
    assert ".git" not in capfd.readouterr().err
    assert (place / ".wommignore").read_text() == "# mine\n"


def test_more_than_two_gigabytes_need_the_flag_and_a_broken_rule_is_told_before_anything_is_built(
    place: Path, hermetic: Hermetic
) -> None:
    sparse(place / "data", 3_400_000_000)
    with pytest.raises(WommError) as caught:
        set_up()
    assert caught.value.message == f"{place} holds 3.4 GB in 1 file, and each pod would get a copy"
    assert "permit it (--share-limit 4G)" in caught.value.hint
    with pytest.raises(WommError):
        set_up("--share-limit", "3.3G")
    (place / ".wommignore").write_text("nonsense\n")
    with pytest.raises(WommError, match=r"\.wommignore, line 1"):
        set_up()
    assert "docker build" not in (hermetic.root / "calls").read_text()
    (place / ".wommignore").write_text("- data\n")
    set_up()
    (place / ".wommignore").unlink()
    set_up("--share-limit", "4G")
    assert config.load(place).share_limit == 4_000_000_000
    # It is remembered.
    set_up()
    assert config.load(place).share_limit == 4_000_000_000


@pytest.mark.parametrize("size", ["", "much"])
def test_a_limit_that_is_no_size_is_refused(place: Path, size: str) -> None:
    with pytest.raises(WommError, match="--share-limit takes a size"):
        set_up("--share-limit", size)


def test_on_a_terminal_more_is_asked_about_and_may_grow_by_half(place: Path, asked: list[str]) -> None:
    sparse(place / "data", 3_000_000_000)
    assert sharing.agree(place, None, None, asking=True) == 4_500_000_000
    assert asked == ["Each pod gets a copy of these 3.0 GB. Go on?"]


def test_a_home_is_asked_about_or_needs_the_flag(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place / "ann"))
    assert here.holds_home(str(place))
    assert here.holds_home(str(place / "ann"))
    assert not here.holds_home(str(place / "ann" / "work"))
    assert not here.holds_home(str(place) + "/an")
    with pytest.raises(WommError, match="holds your whole home") as caught:
        set_up()
    assert "--share-limit SIZE" in caught.value.hint
    set_up("--share-limit", "1G")
    # What was permitted once needs no flag again.
    set_up()


def test_a_home_is_asked_about_before_it_is_looked_at(
    place: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setattr(sharing, "look_at", lambda _directory: asked.append("look") or look_at(place))
    sharing.agree(place, None, None, asking=True)
    assert asked == [f"{place} holds your whole home. Copy all of it to the pods?", "look"]


def prepare() -> Look | None:
    return workers.prepare(KubeChoice(), Workers(command=["x"]), trust=False).look


def test_a_run_is_refused_without_a_terminal_when_there_is_more_than_was_permitted(place: Path) -> None:
    set_up()
    assert prepare() is not None
    sparse(place / "data", 2_000_000_001)
    with pytest.raises(WommError) as caught:
        prepare()
    assert "more than the 2.0 GB permitted" in caught.value.message
    assert caught.value.hint.endswith("or womm setup --yes --share-limit 3G")
    set_up("--share-limit", "3G")
    look = prepare()
    assert look is not None
    # No room for a hole.
    assert look.size > SHARE_LIMIT
    assert look.room < 1_000_000


def test_what_is_permitted_in_a_run_is_remembered(
    place: Path, asked: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up()
    monkeypatch.setattr(output, "_quiet", True)
    sparse(place / "data", 2_000_000_001)
    look = prepare()
    assert look is not None
    assert asked == ["Copy it to each pod?"]
    assert capfd.readouterr().err.endswith("in 2 files, more than the 2.0 GB permitted\n")
    assert config.load(place).share_limit == look.size + look.size // 2
    prepare()
    assert len(asked) == 1


def test_without_a_share_nothing_is_looked_at(place: Path, hermetic: Hermetic) -> None:
    hermetic.stub("rsync", "#!/bin/sh\necho rsync >>$CALLS\nexit 1\n")
    sparse(place / "data", 2_000_000_001)
    assert setup.run(["--yes", "--share", "none", "--prefix", "localhost:5000/"], KubeChoice()) == 0
    assert prepare() is None
    assert "rsync\n" not in (hermetic.root / "calls").read_text().splitlines()


def test_a_figure_in_the_flag_is_enough_for_what_there_is() -> None:
    for size, flag in ((5, "5"), (1_000_001, "2M"), (2_000_000_000, "2G"), (2_000_000_001, "3G")):
        assert limit.flag(Look([Entry("-", size, b"a")], size, 0)) == f"--share-limit {flag}"


def test_an_older_configuration_permits_the_usual(place: Path) -> None:
    set_up()
    project = config.load(place)
    config.save(replace(project, share_limit=7))
    text = (place / ".womm").read_text()
    assert '  "share_limit": 7' in text
    (place / ".womm").write_text(text.replace(',\n  "share_limit": 7', ""))
    assert config.load(place, trust=True).share_limit == SHARE_LIMIT
