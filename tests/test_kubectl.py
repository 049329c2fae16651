"""kubectl is always told where to work; where is found out as kubectl would."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Hermetic
from hypothesis import given
from hypothesis import strategies as st

from womm.errors import CommandFailed, WommError
from womm.kubectl import Kube, KubeChoice, resolve

pytestmark = pytest.mark.usefixtures("hermetic")

KUBE = Kube("team", "prod", "/k")

maybe = st.sampled_from([None, "x", "y"])
choices = st.builds(KubeChoice, maybe, maybe, maybe)


def kubeconfig(path: Path, current: str = "dev", **contexts: str | None) -> Path:
    """Write a kubeconfig with these contexts and their namespaces."""
    entries = [
        {"name": name, "context": {"cluster": "c", "user": "u", **({"namespace": ns} if ns else {})}}
        for name, ns in contexts.items()
    ]
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "contexts": entries,
        "clusters": [{"name": "c", "cluster": {"server": "https://localhost:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("said", "known", "both"),
    [
        (KubeChoice(), KubeChoice("n", "c", "k"), KubeChoice("n", "c", "k")),
        (KubeChoice("m"), KubeChoice("n", "c", "k"), KubeChoice("m", "c", "k")),
        (KubeChoice(context="c"), KubeChoice("n", "c", "k"), KubeChoice("n", "c", "k")),
        (KubeChoice(context="d"), KubeChoice("n", "c", "k"), KubeChoice(None, "d", "k")),
        (KubeChoice(kubeconfig="l"), KubeChoice("n", "c", "k"), KubeChoice(None, None, "l")),
        (KubeChoice(kubeconfig="k"), KubeChoice("n", "c", "k"), KubeChoice("n", "c", "k")),
        (KubeChoice("m", "d", "l"), KubeChoice("n", "c", "k"), KubeChoice("m", "d", "l")),
        (KubeChoice("m", kubeconfig="l"), KubeChoice("n", "c", "k"), KubeChoice("m", None, "l")),
        (KubeChoice(context="d"), KubeChoice("n"), KubeChoice(None, "d")),
    ],
)
def test_what_is_said_goes_over_what_is_known(said: KubeChoice, known: KubeChoice, both: KubeChoice) -> None:
    assert said.over(known) == both


@given(choices, choices)
def test_a_choice_keeps_what_it_says_and_takes_nothing_from_another_place(
    said: KubeChoice, known: KubeChoice
) -> None:
    both = said.over(known)
    for field in ("namespace", "context", "kubeconfig"):
        assert getattr(said, field) in (None, getattr(both, field))
    if said.namespace is None and both.namespace is not None:
        assert (both.context, both.kubeconfig) == (known.context, known.kubeconfig)


@given(choices)
def test_a_choice_over_nothing_or_itself_stays_itself(said: KubeChoice) -> None:
    assert said.over(KubeChoice()) == said
    assert said.over(said) == said
    assert KubeChoice().over(said) == said


def test_every_call_carries_context_and_namespace() -> None:
    place = ["kubectl", "--context", "prod", "--namespace", "team"]
    assert KUBE.argv("get", "pods") == [*place, "--kubeconfig", "/k", "get", "pods"]
    assert Kube("team", "prod").argv("exec", "p", "--", "-n", "x") == [*place, "exec", "p", "--", "-n", "x"]


RECORDING = """\
#!/bin/sh
printf '%s\\n' "$@" >"$RECORD"
cat >"$RECORD.stdin"
printf '%s' "$ANSWER"
exit "${STATUS:-0}"
"""


@pytest.fixture
def record(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a stub of kubectl writes its arguments; it prints $ANSWER and ends with $STATUS."""
    hermetic.stub("kubectl", RECORDING)
    monkeypatch.setenv("RECORD", str(hermetic.root / "record"))
    monkeypatch.setenv("ANSWER", "")
    return hermetic.root / "record"


def test_get_decodes_json(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWER", json.dumps({"items": ["é"]}))
    assert KUBE.get("pods", "-l", "a=b") == {"items": ["é"]}
    assert record.read_text().split() == [*KUBE.prefix()[1:], "get", "pods", "-l", "a=b", "-o", "json"]


def test_create_sends_the_manifest_and_returns_the_names(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSWER", "secret/a\ndeployment.apps/a\n")
    assert KUBE.create("kind: é\n") == ["secret/a", "deployment.apps/a"]
    assert record.with_suffix(".stdin").read_text() == "kind: é\n"
    assert record.read_text().split() == [*KUBE.prefix()[1:], "create", "-f", "-", "-o", "name"]


def test_a_failed_call_is_raised_or_told(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert KUBE.probe("version")
    monkeypatch.setenv("STATUS", "3")
    assert not KUBE.probe("version")
    with pytest.raises(CommandFailed) as caught:
        KUBE.run("version")
    assert (caught.value.status, caught.value.argv) == (3, KUBE.argv("version"))


def test_a_choice_that_says_all_is_taken_if_there_is_such_a_context(hermetic: Hermetic, kubectl: str) -> None:
    kubeconfig(hermetic.kubeconfig, "dev", dev="team", prod="live")
    assert resolve(KubeChoice("mine", "prod")) == Kube("mine", "prod")
    with pytest.raises(WommError, match="nowhere") as caught:
        resolve(KubeChoice("mine", "nowhere"))
    assert "--context NAME" in caught.value.hint


def test_the_current_context_and_its_namespace_are_found(hermetic: Hermetic, kubectl: str) -> None:
    kubeconfig(hermetic.kubeconfig, "dev", dev="team", prod=None)
    assert resolve(KubeChoice()) == Kube("team", "dev")
    assert resolve(KubeChoice(namespace="mine")) == Kube("mine", "dev")


def test_another_context_has_its_own_namespace(hermetic: Hermetic, kubectl: str) -> None:
    kubeconfig(hermetic.kubeconfig, "dev", dev="team", prod="live", bare=None)
    assert resolve(KubeChoice(context="prod")) == Kube("live", "prod")
    assert resolve(KubeChoice(context="bare")) == Kube("default", "bare")


def test_another_kubeconfig_is_found_from_wherever_womm_works(
    hermetic: Hermetic, kubectl: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig(hermetic.kubeconfig, "dev", dev="team")
    other = kubeconfig(hermetic.root / "other file", "far", far="away")
    assert resolve(KubeChoice(kubeconfig=str(other))) == Kube("away", "far", str(other))
    monkeypatch.chdir(hermetic.root)
    assert resolve(KubeChoice(kubeconfig="other file")) == Kube("away", "far", str(other))
    assert resolve(KubeChoice("n", "far", "other file")) == Kube("n", "far", str(other))


@pytest.mark.parametrize("choice", [KubeChoice(), KubeChoice(context="none"), KubeChoice(kubeconfig="/none")])
def test_without_such_a_context_the_way_out_is_told(kubectl: str, choice: KubeChoice) -> None:
    with pytest.raises(WommError, match="no Kubernetes context") as caught:
        resolve(choice)
    assert "--context NAME" in caught.value.hint


def test_a_missing_kubectl_is_told(hermetic: Hermetic) -> None:
    hermetic.only("sh")
    assert "kubectl" not in os.listdir(hermetic.bin)
    with pytest.raises(WommError, match="kubectl is not installed"):
        resolve(KubeChoice())
