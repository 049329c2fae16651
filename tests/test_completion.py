"""The words of the completion's script: every verb's, and GNU parallel's; bats/completion.bats types them."""

from __future__ import annotations

import pytest

from womm import cli, output
from womm.commands import completion
from womm.errors import WommError
from womm.files import PARALLEL_OPTIONS
from womm.getopt import load_table
from womm.kubectl import KubeChoice
from womm.options import OURS, REFUSED

pytestmark = pytest.mark.usefixtures("hermetic")

THEIRS = load_table(PARALLEL_OPTIONS).theirs


def typed(name: str) -> str:
    """The option `name` as one types it."""
    return f"-{name}" if len(name) == 1 else f"--{name}"


def test_every_option_of_the_help_is_offered_before_the_verb(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_debugging", False)
    words = completion.words("")
    assert cli.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert {f"--{place}" for place in cli.KUBE.values()} <= words.values.keys() <= {*words.options}
    for option in cli.FLAGS:
        assert cli.main([option, "--version"]) == 0
    assert {word.strip("[];`") for word in told.split() if word.strip("[`").startswith("--")} <= {
        *words.options
    }


def test_every_verb_has_words_that_its_own_parser_takes() -> None:
    for name, _, _ in cli.VERBS:
        words = completion.words(name)
        assert {"--namespace", "--context", "--kubeconfig", "--quiet", "--help"} <= {*words.options}
        assert words.values.keys() >= {"--namespace", "--context", "--kubeconfig"}


def test_every_name_of_gnu_parallels_options_is_offered_once_unless_womm_refuses_it() -> None:
    words = completion.words("parallel")
    offered = [*words.options, *words.spare]
    assert len(offered) == len({*offered})
    theirs = {
        typed(name)
        for option in THEIRS
        if not REFUSED.keys() & {*option.names}
        for name in option.names
        if not name.startswith("_")
    }
    assert {*offered} == theirs | {typed(option.names[0]) for option in OURS} | {"--help"}


def test_what_takes_a_value_in_gnu_parallel_takes_one_here() -> None:
    words = completion.words("parallel")
    for option in THEIRS:
        kinds = {words.values.get(typed(name)) for name in option.names}
        if option.value == "none":
            assert kinds == {None}, option
        elif option.value == "optional":
            assert kinds == {"maybe"}, option
        else:
            assert len(kinds) == 1, option
            assert not kinds & {None, "maybe"}, option


def test_the_kinds_of_gnu_parallels_values_are_of_options_that_it_has() -> None:
    assert completion.THEIR_VALUES.keys() <= {o.names[0] for o in THEIRS if o.value == "required"}


@pytest.mark.parametrize("arguments", [[], ["zsh"], ["bash", "bash"]])
def test_another_shell_than_bash_is_refused(arguments: list[str]) -> None:
    with pytest.raises(WommError):
        completion.run(arguments, KubeChoice())
