"""womm setup's questions before the shell, in a real pseudo-terminal."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from dialogue import (
    ANSWERED,
    BASE,
    CLEAR,
    DOWN,
    UNCHANGED,
    UP,
    in_shell,
    interrupt,
    left,
    reply,
    status,
    wizard,
)
from kit import DOCKER_SOCKET, IMAGES, PREFIX, Place, good, kubectl

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("docker"),
]


@pytest.fixture(scope="module", autouse=True)
def regcred(namespace: str) -> None:
    """A Secret of a registry's: there is something to choose from."""
    login = ("regcred", "--docker-server=localhost:5000", "--docker-username=a", "--docker-password=b")
    kubectl("--namespace", namespace, "create", "secret", "docker-registry", *login)


@pytest.fixture(scope="module")
def real_context() -> str:
    """The name of the context that answers."""
    return kubectl("config", "current-context").strip()


@pytest.fixture(scope="module")
def two_contexts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user whose kubectl goes to a cluster that doesn't answer; he has another one."""
    path = tmp_path_factory.mktemp("kube") / "config"
    shutil.copy(os.environ["KUBECONFIG"], path)
    for words in (
        "set-cluster gone --server=https://127.0.0.1:1",
        "set-context gone --cluster=gone",
        "use-context gone",
    ):
        kubectl("--kubeconfig", str(path), "config", *words.split())
    return {"KUBECONFIG": str(path)}


@pytest.mark.registry("its prefix is asked for")
def test_a_whole_setup(make_place: Callable[[str], Place]) -> None:
    place = make_place("whole")
    with wizard(place, columns=60) as child:
        child.expect("womm: Kubernetes v[0-9.]+ at https://.*, context ")
        # From eager, the default, to "not at all".
        reply(child, "How shall pods see", f"{DOWN}{DOWN}\r")
        reply(child, "Namespace", f"{CLEAR}{place.namespace}\r")
        reply(child, "Image pull secret", f"{DOWN}\r")
        reply(child, "Base image")
        # Nothing listens there.
        reply(child, "Registry prefix", f"{CLEAR}localhost:1\r")
        child.expect_exact("can't be pushed")
        # Docker's own default would take it.
        reply(child, "Registry prefix", f"{CLEAR}ann/\r")
        reply(child, "Push there?", "n")
        reply(child, "Registry prefix", f"{CLEAR}{PREFIX.rstrip('/')}\r")
        in_shell(child, "echo text | sudo tee /etc/mine; export FOUND=yes API_TOKEN=t1 PASSWORD=t2; exit")
        reply(child, "Does it work?", f"{DOWN}\r")
        in_shell(child, "export FOUND=$FOUND,twice; exit")
        reply(child, "Does it work?")
        child.expect_exact("these look like secrets")
        reply(child, "Which of them", f"{DOWN} \r")
        # docker's own progress.
        child.expect("digest: sha256:[0-9a-f]{64}")
        assert status(child) == 0
    config = place.config()
    assert (config["share"], config["namespace"], config["prefix"]) == ("none", place.namespace, PREFIX)
    assert (config["base_image"], config["pull_secret"]) == (BASE, "regcred")
    script = 'cat /etc/mine; echo "$FOUND ${API_TOKEN-none} ${PASSWORD-none}"; : {}'
    assert place.parallel("--", script, ":::", "1").out.decode() == "text\nyes,twice none t2\n"
    assert left(place) == []


@pytest.mark.registry("its prefix is asked for")
def test_each_part_of_a_setup_can_be_changed_alone_or_all_be_kept(
    make_place: Callable[[str], Place], build: Callable[..., str]
) -> None:
    line = "echo one >/etc/one; export PASSWORD=mine"
    place = make_place("parts").setup("none", "--run", line, "--keep-secret", "PASSWORD")
    before = place.config()
    with wizard(place) as child:
        child.expect_exact(f"is set up already ({before['image']})")
        reply(child, "What shall change?")
        child.expect_exact("womm: nothing is changed")
        assert status(child) == 0
    with wizard(place) as child:
        interrupt(child, "What shall change?", UNCHANGED)
    assert place.config() == before
    with wizard(place) as child:
        reply(child, "What shall change?", " \r")
        # And back.
        reply(child, "How shall pods see", f"{UP}{UP}\r")
        assert status(child) == 0
    assert place.config() == {**before, "share": "eager"}
    with wizard(place) as child:
        reply(child, "What shall change?", f"{DOWN} \r")
        reply(child, "Namespace", "-none\r")
        child.expect_exact(f"there is no namespace {place.namespace}-none")
        reply(child, "Namespace")
        reply(child, "Image pull secret", f"{DOWN}\r")
        assert status(child) == 0
    assert place.config() == {**before, "share": "eager", "pull_secret": "regcred"}
    with wizard(place) as child:
        reply(child, "What shall change?", f"{DOWN}{DOWN}{DOWN} \r")
        in_shell(child, "cat /etc/one; echo two | sudo tee /etc/two; exit")
        child.expect_exact("one\r\n")
        # A secret that was let in is not asked about again.
        reply(child, "Does it work?")
        assert status(child) == 0
    again = place.config()
    kept = ["cat", "/etc/womm/environment", "/etc/two"]
    assert good(["docker", "run", "--rm", again["image"], *kept]) == "PASSWORD=mine\0two\n"
    assert again.pop("image") != before["image"]
    other = build(f"FROM {BASE}\nRUN echo three >/etc/three\n")
    with wizard(place) as child:
        reply(child, "What shall change?", f"{DOWN}{DOWN} \r")
        reply(child, "Base image", f"{CLEAR}{other}\r")
        reply(child, "Registry prefix")
        in_shell(child, "ls /etc/one /etc/two /etc/three; exit")
        child.expect_exact("/etc/three\r\n")
        assert "/etc/two': No such file" in child.before
        reply(child, "Does it work?")
        assert status(child) == 0
    assert {**place.config(), "image": ""} == {**again, "base_image": other, "image": ""}
    assert left(place) == []


def test_ctrl_c_at_each_question_changes_nothing_and_so_does_never_mind(
    make_place: Callable[[str], Place], two_contexts: dict[str, str], real_context: str
) -> None:
    place = make_place("interrupted")
    # An option each, so that nothing but the last question is asked.
    questions = {
        "How shall pods see": ("--share", "none"),
        "Kubernetes context": ("--context", real_context),
        "Namespace": ("--namespace", place.namespace),
        "Image pull secret": ("--pull-secret", ""),
        "Base image": ("--base-image", BASE),
        "Registry prefix": (),
    }
    given: tuple[str, ...] = ()
    for question, answer in questions.items():
        with wizard(place, *given, **two_contexts) as child:
            interrupt(child, question, UNCHANGED)
        given += answer
    with wizard(place, *given, **two_contexts) as child:
        reply(child, "Registry prefix", f"{CLEAR}ann/\r")
        interrupt(child, "Push there?", UNCHANGED)
    with wizard(place) as child:
        reply(child, "How shall pods see", f"{DOWN}{DOWN}{DOWN}\r")
        child.expect_exact("womm: nothing is changed")
        assert status(child) == 0
    assert os.listdir(place.path) == []
    assert left(place) == []


def test_shares_that_can_t_work_say_why_and_the_context_is_asked_for_until_its_cluster_answers(
    make_place: Callable[[str], Place], two_contexts: dict[str, str], real_context: str
) -> None:
    place = make_place("a:b")
    flags = ("--pull-secret", "", "--base-image", BASE, *IMAGES, "--run", "true")
    with wizard(place, *flags, columns=200, **two_contexts) as child:
        child.expect_exact("(not here: with a ':' in its path it can't be mounted in pods)")
        child.expect_exact("(not here: with a ':' in its path it can't be mounted in pods)")
        # What is left is the default.
        child.send("\r")
        reply(child, "Kubernetes context")
        reply(child, "Namespace")
        child.expect_exact("womm: cluster: ")
        child.expect_exact("womm: → ")
        reply(child, "Kubernetes context", f"{DOWN}\r")
        reply(child, "Namespace", f"{CLEAR}{place.namespace}\r")
        assert status(child) == 0
    config = place.config()
    assert (config["share"], config["context"], config["namespace"]) == (
        "none",
        real_context,
        place.namespace,
    )


def test_it_asks_without_a_home_and_an_account_and_without_a_login_terminal_it_names_the_flags(
    make_place: Callable[[str], Place], tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        # Under a closed directory nobody could write.
        os.chmod(directory, 0o777)
        place = replace(make_place("nobody"), path=Path(directory))
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_bytes(Path(os.environ["KUBECONFIG"]).read_bytes())
        group = os.stat(DOCKER_SOCKET).st_gid
        ids = ("setpriv", "--reuid=54321", "--regid=54321", f"--groups={group}")
        become = (*ids, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
        nothing = [word for name in ("HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR") for word in ("-u", name)]
        no_home = ("env", *nothing, f"KUBECONFIG={kubeconfig}", f"KUBECACHEDIR={tmp_path}/cache")
        flags = ("--namespace", place.namespace, *ANSWERED)
        with wizard(place, *flags, argv=(*become, *no_home)) as child:
            child.expect_exact("nothing can be remembered for you")
            reply(child, "Base image")
            in_shell(child, "echo as $(id -u) $(id -un) $(sudo id -u) in $HOME; exit")
            child.expect_exact("as 54321 womm 0 in /home/womm\r\n")
            # Throw it away.
            reply(child, "Does it work?", f"{UP}\r")
            assert status(child) == 0
        assert left(place) == []
        with wizard(place, argv=("setsid", "--wait")) as child:
            child.expect_exact("answers are missing: --share, --context, --namespace, --base-image, ")
            assert status(child) == 125
