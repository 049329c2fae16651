"""What is remembered of a setup that is not finished."""

from __future__ import annotations

import pytest
from conftest import Hermetic

from womm import config
from womm.wizard import notes
from womm.wizard.answers import Answers

pytestmark = pytest.mark.usefixtures("hermetic")

MINE = Answers("none", "dev", "team", "", "debian:12", "localhost:5000/")


def test_each_directory_has_its_own_answers_until_they_are_dropped() -> None:
    config.remember("prefix", "localhost:5000/")
    notes.write("/a", MINE)
    notes.write("/b", Answers(share="eager"))
    assert (notes.read("/a"), notes.read("/b")) == (MINE, Answers(share="eager"))
    notes.drop("/a")
    notes.drop("/a")
    assert (notes.read("/a"), notes.read("/b")) == (Answers(), Answers(share="eager"))
    assert config.remembered("prefix") == "localhost:5000/"


def test_answers_that_can_t_be_kept_or_read_are_none(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes.write("/a", MINE)
    settings = config.user_directory() / "settings.json"
    settings.write_text(settings.read_text().replace("pull_secret", "from another version"))
    assert notes.read("/a") == Answers()
    monkeypatch.setenv("XDG_CONFIG_HOME", "/dev/null/x")
    notes.write("/a", MINE)
    assert notes.read("/a") == Answers()
    notes.drop("/a")
