"""What is remembered of a setup that is not finished."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import Hermetic
from test_decide import FLAGS, RECIPE, SCENE

from womm import config
from womm.image import Account
from womm.kubectl import Kube
from womm.testbed.make import Recipe
from womm.wizard import notes
from womm.wizard.answers import Answers
from womm.wizard.notes import Notes
from womm.wizard.order import RESUME, Flags, Order

pytestmark = pytest.mark.usefixtures("hermetic")

MINE = Answers("none", "dev", "team", "", "debian:12", "localhost:5000/")
NOTHING = Flags(Answers(), True, True, Recipe(), None, (), None, None)


def order(directory: str, answers: Answers = MINE, flags: Flags = FLAGS, **more: object) -> Order:
    """An order for this directory."""
    kube = Kube("team", "dev", "/kube/config")
    made = Order(
        directory, SCENE.account, SCENE.engine, answers, kube, RESUME, "", "", flags, None, share_limit=7
    )
    return replace(made, **more)  # type: ignore[arg-type]


def test_each_directory_has_its_own_answers_until_they_are_dropped() -> None:
    config.remember("prefix", "localhost:5000/")
    notes.write(order("/a"))
    notes.write(order("/b", Answers(share="eager")))
    assert (notes.read("/a").answers, notes.read("/b").answers) == (MINE, Answers(share="eager"))
    notes.drop("/a")
    notes.drop("/a")
    assert (notes.read("/a"), notes.read("/b").answers) == (Notes(), Answers(share="eager"))
    assert config.remembered("prefix") == "localhost:5000/"


def test_answers_that_can_t_be_kept_or_read_are_none(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes.write(order("/a"))
    settings = config.user_directory() / "settings.json"
    settings.write_text(settings.read_text().replace("pull_secret", "from another version"))
    assert notes.read("/a") == Notes()
    monkeypatch.setenv("XDG_CONFIG_HOME", "/dev/null/x")
    notes.write(order("/a"))
    assert notes.read("/a") == Notes()
    notes.drop("/a")


def test_what_only_flags_say_is_kept_too() -> None:
    recipe = replace(RECIPE, secrets=["PASSWORD"])
    flags = replace(FLAGS, recipe=recipe, image="r.io/a:b", load=("kind", "load"))
    notes.write(order("/a", replace(MINE, share="eager"), flags, account=Account(0, 0, "root", "/root")))
    noted = notes.read("/a")
    assert (noted.kubeconfig, noted.as_root) == ("/kube/config", True)
    again = noted.complete(NOTHING)
    assert (again.image, again.load, again.given.prefix) == ("r.io/a:b", ("kind", "load"), "")
    assert (again.recipe.secrets, bool(again.recipe), again.share_limit) == (["PASSWORD"], False, 7)


def test_what_the_flags_say_now_counts_more() -> None:
    noted = Notes(image="r.io/a:b", share_limit=7)
    elsewhere = replace(NOTHING, given=Answers(prefix="other.io/"), share_limit=8)
    assert noted.complete(elsewhere) == replace(elsewhere, recipe=Recipe(secrets=[]))
