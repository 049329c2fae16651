"""From flags and questions to one order: what an earlier setup has left, and what is asked for again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import Hermetic
from test_answers import PROJECT, WHOLE

from womm import here, image, prompts
from womm.checks.finding import MISSING, Finding
from womm.engine import Engine
from womm.errors import WommError
from womm.image import Account
from womm.kubectl import Kube, KubeChoice
from womm.testbed import kept
from womm.testbed.kept import Kept
from womm.testbed.make import Recipe
from womm.wizard import answers, ask, decide, notes
from womm.wizard.answers import Answers
from womm.wizard.ask import NeverMind, Scene
from womm.wizard.notes import Notes
from womm.wizard.order import COMMANDS, RESUME, Flags

pytestmark = pytest.mark.usefixtures("hermetic")

GIVEN = replace(WHOLE, share="none")
FLAGS = Flags(GIVEN, False, False, Recipe(), None, (), None, None)
RECIPE = Recipe(commands=["true"])
ACCOUNT = Account(1001, 1002, "ann", "/home/ann")
SCENE = Scene("/work", ACCOUNT, Engine("docker"), [], None, WHOLE, KubeChoice("team", "dev"))
SHELLS, UNPUSHED, RUNS = Kept("exited", False, "shell"), Kept("", True, "run"), Kept("exited", False, "run")


class Asked:
    """The choices of the question that was asked, and the answer."""

    def __init__(self) -> None:
        self.choices: list[prompts.Choice] = []
        self.answer = answers.RESUME

    def select(self, _question: str, choices: list[prompts.Choice], default: str) -> str:
        """Answer."""
        self.choices = list(choices)
        assert default not in [choice.value for choice in choices if choice.barred]
        return self.answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What is asked of leftovers; the other questions are answered as given, and each push works."""
    asking = Asked()
    monkeypatch.setattr(prompts, "select", asking.select)
    monkeypatch.setattr(ask, "complete", lambda given, *_: (given.over(WHOLE), Kube("team", "dev")))
    monkeypatch.setattr(image, "try_push", lambda *_: None)
    return asking


def left(monkeypatch: pytest.MonkeyPatch, what: Kept | None) -> None:
    """Have an earlier setup leave this."""
    monkeypatch.setattr(kept, "find", lambda *_: what)


def test_a_recipe_is_never_dropped_for_what_an_earlier_shell_has_left(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(monkeypatch, SHELLS)
    flags = replace(FLAGS, recipe=RECIPE)
    asked.answer = answers.AFRESH
    order = decide.by_questions(flags, SCENE)
    assert (order.way, order.afresh) == (COMMANDS, True)
    assert [choice.value for choice in asked.choices if choice.barred] == [answers.RESUME]
    asked.answer = answers.NEVER_MIND
    with pytest.raises(NeverMind):
        decide.by_questions(flags, SCENE)


def test_an_image_of_a_run_that_was_not_pushed_is_offered_but_not_where_it_is_made_again(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(monkeypatch, UNPUSHED)
    assert decide.by_questions(FLAGS, SCENE).way == RESUME
    assert asked.choices[0].meaning == "push its image"
    asked.choices = []
    assert decide.by_questions(replace(FLAGS, recipe=RECIPE), SCENE).way == COMMANDS
    left(monkeypatch, RUNS)
    assert decide.by_questions(FLAGS, SCENE).way != RESUME
    assert asked.choices == []


def test_there_has_to_be_something_to_go_on_with_before_anything_is_asked_or_pushed(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(monkeypatch, None)
    for way in (decide.by_questions, decide.by_flags):
        with pytest.raises(WommError, match="no earlier setup of this directory has left anything"):
            way(replace(FLAGS, resume=True), SCENE)
    assert asked.choices == []


def test_who_goes_on_has_all_that_the_earlier_setup_was_told(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    left(monkeypatch, UNPUSHED)
    looked: list[KubeChoice] = []

    def preflight(choice: KubeChoice, _engine: str) -> list[Finding]:
        looked.append(choice)
        return []

    monkeypatch.setattr(decide, "preflight", preflight)
    root = Account(0, 0, "root", "/root")
    monkeypatch.setattr(here, "account", lambda **_: root)
    monkeypatch.setattr(decide, "resolve", lambda choice: Kube("team", "dev", choice.kubeconfig))
    told = Notes(GIVEN, "r.io/a:b", ("kind", "load"), "/kube/config", as_root=True, secrets=["PASSWORD"])
    monkeypatch.setattr(notes, "read", lambda _: told)
    flags = replace(FLAGS, given=Answers())
    for order in (
        decide.by_questions(flags, SCENE),
        decide.by_flags(replace(flags, resume=True), replace(SCENE, usual=GIVEN)),
    ):
        assert (order.tag, order.account, order.engine.load) == ("r.io/a:b", root, ("kind", "load"))
        assert order.flags.recipe.secrets == ["PASSWORD"]
    assert looked == [KubeChoice("team", "dev", "/kube/config")] * 2


@pytest.mark.parametrize("asking", [True, False])
def test_it_is_told_that_an_image_that_was_made_by_hand_is_not_built_upon(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], asking: bool
) -> None:
    left(monkeypatch, None)
    monkeypatch.setattr(ask, "changed", lambda _: [answers.IMAGE])
    monkeypatch.setattr(decide, "resolve", lambda _: Kube("team", "dev"))
    scene = replace(SCENE, earlier=PROJECT, usual=GIVEN)
    decide_ = decide.by_questions if asking else decide.by_flags
    decide_(replace(FLAGS, recipe=RECIPE), scene)
    said = capfd.readouterr().err
    assert f"takes the place of {PROJECT.image}" in said
    assert f"--base-image {PROJECT.image} would build on it" in said
    if asking:
        # Its shell is opened again.
        decide_(FLAGS, scene)
    else:
        decide_(replace(FLAGS, recipe=RECIPE, given=replace(GIVEN, base_image=PROJECT.image)), scene)
    assert "takes the place" not in capfd.readouterr().err


@pytest.mark.parametrize(("context", "known"), [(None, ["dev"]), ("dev", ["dev", "other"])])
def test_a_place_that_will_not_do_ends_it_where_nothing_of_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, context: str | None, known: list[str]
) -> None:
    monkeypatch.setattr(ask, "contexts", lambda _: known)
    monkeypatch.setattr(ask, "resolve", lambda _: Kube("team", "dev"))
    scene = replace(SCENE, findings=[Finding("rights", MISSING, "you may not create pods", "ask for it")])
    given = Answers(share="none", context=context, namespace="team")
    with pytest.raises(WommError, match="the cluster can't be used so"):
        ask.complete(given, scene, lambda _: None)


def test_a_pull_secret_is_asked_for_by_name_where_they_can_t_be_listed(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    hermetic.stub("kubectl", "#!/bin/sh\necho 'Error from server (Forbidden): no' >&2; exit 1\n")
    monkeypatch.setattr(ask, "resolve", lambda _: Kube("team", "dev"))
    asked: list[tuple[str, str]] = []

    def text(question: str, default: str, complaint: Callable[[str], str]) -> str:
        asked.append((question.partition(",")[0], default))
        assert complaint("Not_one")
        assert not complaint("")
        return " regcred "

    monkeypatch.setattr(prompts, "text", text)
    given = replace(GIVEN, pull_secret=None)
    made, _ = ask.complete(given, replace(SCENE, usual=WHOLE), lambda _: None)
    assert made.pull_secret == "regcred"
    assert asked == [("Image pull secret", "regcred")]
