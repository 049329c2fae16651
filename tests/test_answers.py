"""The wizard's pure part: choices, defaults, what an earlier setup leaves to be asked."""

from __future__ import annotations

import pytest

from womm.checks.finding import MISSING, NOTE, OK, Finding
from womm.config import Project
from womm.server import WITHOUT_NFS
from womm.wizard import answers
from womm.wizard.answers import BASE, IMAGE, KUBERNETES, SHARE, Answers

PROJECT = Project(
    directory="/home/ann/work",
    share="eager",
    image="r.example.com/work@sha256:ab",
    arch="amd64",
    base_image="debian:12",
    prefix="r.example.com/",
    namespace="team",
    context="dev",
    kubeconfig=None,
    uid=1001,
    gid=1002,
    user="ann",
    home="/home/ann",
    pull_secret="regcred",
)
WHOLE = Answers("eager", "dev", "team", "regcred", "debian:12", "r.example.com/")


@pytest.mark.parametrize(
    ("changed", "asked"),
    [
        ([], []),
        ([IMAGE], []),
        ([SHARE], ["--share"]),
        ([KUBERNETES], ["--context", "--namespace", "--pull-secret"]),
        ([BASE], ["--base-image", "--prefix"]),
        ([SHARE, BASE, IMAGE], ["--share", "--base-image", "--prefix"]),
    ],
)
def test_only_the_parts_that_change_are_asked_about_again(changed: list[str], asked: list[str]) -> None:
    kept = answers.kept(PROJECT, changed)
    assert kept.lacking() == asked
    assert kept.over(WHOLE) == WHOLE


def test_what_is_given_counts_more_than_what_was() -> None:
    assert Answers(share="none").over(WHOLE).share == "none"
    # "No pull secret" is an answer, too.
    assert Answers(pull_secret="").over(WHOLE).pull_secret == ""
    assert Answers().lacking() == list(answers.FLAGS.values())


def test_every_part_of_a_setup_is_shown_as_it_is() -> None:
    shown = {choice.value: choice.meaning for choice in answers.parts(PROJECT)}
    assert shown == {
        SHARE: "eagerly (no syncback)",
        KUBERNETES: "namespace team, context dev, pull secret regcred",
        BASE: "debian:12, r.example.com/",
        IMAGE: "open its shell again",
    }


def test_shares_that_can_t_work_here_say_why_and_are_not_recommended() -> None:
    barred = {choice.value: choice.barred for choice in answers.shares("", lazy_lacks="no server")}
    assert barred["lazy"] == "no server"
    assert not barred["eager"]
    assert not barred["syncback"]
    choices = answers.shares("rsync is not installed", lazy_lacks="no server")
    for copied in ("eager", "syncback"):
        assert {choice.value: choice.barred for choice in choices}[copied] == "rsync is not installed"
    assert answers.recommended(choices, None) == "none"
    assert answers.recommended(answers.shares("", lazy_lacks="no server"), None) == "eager"
    assert answers.recommended(answers.shares(""), "none") == "none"
    # The NFS server of an earlier setup is gone.
    assert answers.recommended(answers.shares("", lazy_lacks="no server"), "lazy") == "eager"


@pytest.mark.parametrize(
    ("found", "lacks"),
    [
        ([Finding("server", OK, "file server womm-server-1, image")], ""),
        ([Finding("server", OK, f"file server womm-server-1, image; {WITHOUT_NFS}")], WITHOUT_NFS),
        ([Finding("server", NOTE, "none", "make one")], "the servers have to be made first"),
        ([], "the servers have to be made first"),
    ],
    ids=["both", "no NFS", "none", "not looked at"],
)
def test_a_lazy_share_takes_an_nfs_server(found: list[Finding], lacks: str) -> None:
    assert answers.lazy_lacks(found).startswith(lacks)
    assert bool(answers.lazy_lacks(found)) == bool(lacks)


def test_an_image_in_which_jobs_lack_something_can_t_be_taken() -> None:
    assert {choice.value: choice.barred for choice in answers.verdicts("no perl")} == {
        answers.WORKS: "no perl",
        answers.AGAIN: "",
        answers.LATER_ON: "",
        answers.AWAY: "",
    }
    assert not any(choice.barred for choice in answers.verdicts())


def test_every_choice_has_one_short_line() -> None:
    for choice in (*answers.shares(""), *answers.verdicts(), *answers.leftovers(False)):
        assert len(choice.meaning) < 60
        assert "\n" not in choice.meaning


@pytest.mark.parametrize(
    ("name", "share", "stops"),
    [
        ("kubectl", None, True),
        ("engine", "none", True),
        ("rights", None, True),
        ("rsync", None, False),
        ("rsync", "none", False),
        ("rsync", "eager", True),
        ("server", "eager", False),
        ("registry", "eager", False),
        ("nodes", "none", False),
    ],
)
def test_only_what_every_setup_needs_or_the_chosen_share_stops_it(
    name: str, share: str | None, stops: bool
) -> None:
    found = Finding(name, MISSING, "not there", "get it")
    assert answers.stopping([found], share) == ([found] if stops else [])
    assert answers.stopping([Finding(name, NOTE, "so so")], share) == []


def test_what_an_eager_share_waits_for_is_told_apart_from_what_forbids_it() -> None:
    server = Finding("server", NOTE, "not there", "make it")
    fine = [Finding("rsync", OK, "3.2"), Finding("rights", OK, "all")]
    assert answers.eager_lacks([*fine, server]) == ("", [server])
    assert answers.eager_lacks([*fine, Finding("server", OK, "there")]) == ("", [])
    # Of the rights, those that other things take are no matter of shares.
    for name, state, waits in (
        ("list leases", NOTE, False),
        ("create secrets", NOTE, True),
        ("get pods", MISSING, True),
    ):
        rights = Finding("rights", state, f"you may not {name}", "ask for it")
        assert answers.eager_lacks([fine[0], rights]) == ("", [rights] if waits else [])
    why, _ = answers.eager_lacks([Finding("rsync", MISSING, "rsync is not installed")])
    assert why == "rsync is not installed"


@pytest.mark.parametrize(
    ("prefix", "public"),
    [
        ("ann/", True),
        ("team/jobs/", True),
        ("", False),
        ("localhost/", False),
        ("localhost:5000/", False),
        ("registry.example.com/ann/", False),
        ("registry:5000/", False),
    ],
)
def test_a_prefix_without_a_host_is_the_engines_public_default(prefix: str, public: bool) -> None:
    assert answers.is_public(prefix) == public


@pytest.mark.parametrize("name", ["debian:12", "localhost:5000/a/b:c", "r.io/x@sha256:ab", "Base_1"])
def test_names_of_bases_are_taken(name: str) -> None:
    assert answers.base_complaint(name) == ""


@pytest.mark.parametrize("name", ["", " ", "a b", "-rf", "$(x)", "a\n", "é"])
def test_what_can_be_no_base_is_told_so(name: str) -> None:
    assert "for example" in answers.base_complaint(name)


def test_all_that_is_missing_is_told_before_the_first_question() -> None:
    rights = Finding("rights", NOTE, "you may not create secrets", "ask for it")
    server = Finding("server", NOTE, "not there", "make it")
    rsync = Finding("rsync", MISSING, "rsync is not installed", "install it")
    namespace = Finding("namespace", MISSING, "there is none", "make it")
    found = [Finding("perl", OK, "5"), rsync, namespace, rights, server, Finding("quota", NOTE, "used up")]
    assert answers.lacking(found, None) == [rsync, namespace, rights, server]
    assert answers.lacking(found, "eager") == [rsync, namespace, rights, server]
    assert answers.lacking(found, "none") == [namespace, rights]
