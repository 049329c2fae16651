"""kubectl is always told where to work; where is found out as kubectl would."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Hermetic
from hypothesis import given
from hypothesis import strategies as st

from womm.errors import WommError
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


def test_the_options_before_and_after_the_verb_are_one_command_line() -> None:
    before, after = KubeChoice(namespace="team"), KubeChoice(kubeconfig="/k", context="dev")
    assert after.beside(before) == KubeChoice("team", "dev", "/k")
    assert KubeChoice("mine").beside(before) == KubeChoice("mine")


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


def test_create_is_marked_as_the_runs(hermetic: Hermetic, tmp_path: Path) -> None:
    # What outlives a womm that was killed is found by it.
    hermetic.stub("kubectl", '#!/bin/sh\necho "$WOMM_RUN"\n')
    assert KUBE.create(tmp_path / "x.yaml", {"WOMM_RUN": "this-run"}) == ["this-run"]


def test_create_names_the_manifest_and_returns_the_names(
    record: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANSWER", "secret/a\ndeployment.apps/a\n")
    manifest = tmp_path / "é ü.yaml"
    manifest.write_text("kind: é\n")
    assert KUBE.create(manifest, {"WOMM_RUN": "x"}) == ["secret/a", "deployment.apps/a"]
    said = record.read_text().splitlines()
    assert said == [*KUBE.prefix()[1:], "create", "-f", str(manifest), "-o", "name"]
    # It can be typed again: nothing comes by stdin.
    assert record.with_suffix(".stdin").read_bytes() == b""


def test_a_failed_call_is_raised_or_told(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert KUBE.probe("version")
    monkeypatch.setenv("STATUS", "3")
    assert not KUBE.probe("version")
    with pytest.raises(WommError, match="kubectl failed: it said nothing") as caught:
        KUBE.run("version")
    assert shlex.join(KUBE.argv("get", "pods")) in caught.value.hint


SAYING = """\
#!/bin/sh
case "$*" in
  *"config view"*) printf https://c:1 ;;
  *) echo "$SAYS" >&2; exit 1 ;;
esac
"""


def test_a_failed_call_names_the_server_and_the_context(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    hermetic.stub("kubectl", SAYING)
    monkeypatch.setenv("SAYS", "Unable to connect to the server: EOF")
    with pytest.raises(WommError, match=re.escape("does not answer: https://c:1 (context prod)")):
        KUBE.get("pods")


def test_a_kubectl_that_does_not_end_is_ended(hermetic: Hermetic) -> None:
    hermetic.stub("kubectl", '#!/bin/sh\ncase "$*" in *"config view"*) ;; *) exec sleep 600 ;; esac\n')
    with pytest.raises(WommError, match="does not answer: context prod: nothing came within 1 s"):
        KUBE.run("get", "pods", patience=1)


FORBIDDEN = 'Error from server (Forbidden): User "ann" cannot get resource "namespaces" in API group ""'


def test_a_cluster_that_lets_nobody_look_at_a_namespace_is_there(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    hermetic.stub("kubectl", SAYING)
    monkeypatch.setenv("SAYS", FORBIDDEN)
    KUBE.check()
    monkeypatch.setenv("SAYS", 'Error from server (NotFound): namespaces "team" not found')
    with pytest.raises(WommError, match="there is no namespace team in https://c:1"):
        KUBE.check()


def test_a_choice_that_says_all_is_taken_without_a_call(hermetic: Hermetic) -> None:
    # The loud stub stands for kubectl: a call would fail.
    assert resolve(KubeChoice("mine", "prod")) == Kube("mine", "prod")
    with pytest.raises(WommError):
        resolve(KubeChoice("mine"))


def test_a_context_that_does_not_exist_is_told_of_by_the_first_call(hermetic: Hermetic, kubectl: str) -> None:
    kubeconfig(hermetic.kubeconfig, "dev", dev="team", prod="live")
    kube = resolve(KubeChoice("mine", "nowhere"))
    with pytest.raises(WommError, match="nowhere"):
        kube.run("get", "pods")


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
