"""Images: their names, their prefix, and what docker is asked for."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import Hermetic
from hypothesis import given
from hypothesis import strategies as st
from stubs import DOCKER, PODMAN_PUSH, program

from womm import __version__, engine, image
from womm.errors import WommError
from womm.files import SCRIPTS, TEMPLATES
from womm.image import Account, Kubectl

pytestmark = pytest.mark.usefixtures("hermetic")

DOCKER_ENGINE = engine.Engine("docker")
PODMAN = engine.Engine("podman")
DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def calls(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a stub of docker notes its calls; it copies the context of a build to CONTEXT."""
    hermetic.stub("docker", DOCKER)
    monkeypatch.setenv("CALLS", str(hermetic.root / "calls"))
    monkeypatch.setenv("CONTEXT", str(hermetic.root / "context"))
    monkeypatch.setenv("DIGEST", DIGEST)
    return hermetic.root / "calls"


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        ("/home/ann/Work", "work"),
        ("/home/ann/My Project (2)", "my-project-2"),
        ("/home/ann/é à ü", "e-a-u"),
        ("/home/ann/_x_", "x"),
        ("/home/ann/...", "womm"),
        ("/", "womm"),
        ("/home/ann/\U0001f600", "womm"),
        ("/home/ann/-a--b-", "a-b"),
        ("/home/ann/" + "x" * 255, "x" * 100),
    ],
)
def test_a_repository_is_a_slug_of_the_directorys_name(directory: str, name: str) -> None:
    assert image.repository(directory) == name


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=255))
def test_every_directory_has_a_repository_that_registries_take(name: str) -> None:
    # https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
    assert re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", image.repository(f"/home/ann/{name}"))


@pytest.mark.parametrize(
    ("prefix", "completed"),
    [
        ("registry.example.com/team/", "registry.example.com/team/"),
        ("registry.example.com/team", "registry.example.com/team/"),
        ("localhost:5000", "localhost:5000/"),
        ("localhost:5000/", "localhost:5000/"),
        ("user", "user/"),
        ("Registry.Example.com/a_b/c-d", "Registry.Example.com/a_b/c-d/"),
    ],
)
def test_a_prefix_is_completed_with_its_slash(prefix: str, completed: str) -> None:
    assert image.check_prefix(prefix) == completed


@pytest.mark.parametrize(
    "prefix",
    ["/", "//", "/team/", "a//b", "a/B/", "a b/", "a/b c/", "é/", "a;b", "$(x)/", "a\n", "{{ x }}", "a@b/"],
)
def test_what_can_be_no_prefix_is_refused_with_an_example(prefix: str) -> None:
    with pytest.raises(WommError, match="no registry prefix") as caught:
        image.check_prefix(prefix)
    assert "--prefix" in caught.value.hint


def test_a_workers_image_is_built_and_named_by_its_digest(calls: Path, hermetic: Hermetic) -> None:
    account = Account(1001, 1002, "ann", "/home/ann")
    tag = "localhost:5000/work:womm"
    image.build_worker(
        DOCKER_ENGINE, tag, "debian:12", account, "/home/ann/it's $HOME", platform="linux/arm64"
    )
    assert DOCKER_ENGINE.push(tag) == f"localhost:5000/work@sha256:{DIGEST}"
    assert DOCKER_ENGINE.architecture(tag) == "arm64"
    build, push, *looks = calls.read_text().splitlines()
    assert build.startswith("docker build --file ")
    assert f" --tag {tag} --build-arg BASE=debian:12 --platform linux/arm64 " in build
    assert (push, looks) == (f"docker push {tag}", [f"docker image inspect {tag}"] * 2)
    context = hermetic.root / "context"
    assert sorted(path.name for path in context.iterdir()) == ["account", "install-tool", "prepare-image"]
    words = shlex.split((context / "account").read_text())
    assert words == ["1001", "1002", "ann", "/home/ann", "/home/ann/it's $HOME"]


@pytest.fixture
def kubectl(hermetic: Hermetic) -> Kubectl:
    """A kubectl for the architecture of the images that the stub of docker makes."""
    path = hermetic.root / "kubectl-arm64"
    path.write_bytes(program("arm64", 1, 2))
    # Whoever built it kept it to himself.
    path.chmod(0o700)
    return Kubectl(path, "arm64")


def test_the_servers_image_holds_womm_and_is_named_by_tag_and_digest(
    calls: Path, hermetic: Hermetic, kubectl: Kubectl
) -> None:
    name, arch = image.build_server(DOCKER_ENGINE, "localhost:5000/", "debian:12", kubectl)
    assert name == f"localhost:5000/womm-server:{__version__}@sha256:{DIGEST}"
    assert arch == "arm64"
    context = hermetic.root / "context"
    assert sorted(path.name for path in context.iterdir()) == ["kubectl", "lib", "womm"]
    assert (context / "womm" / "scripts" / "server-entry").is_file()
    assert (context / "kubectl").read_bytes() == kubectl.path.read_bytes()
    assert (context / "kubectl").stat().st_mode & 0o777 == 0o755
    assert not list(context.rglob("__pycache__"))


def test_whoever_the_pod_runs_as_can_read_what_is_in_the_servers_image(
    calls: Path, hermetic: Hermetic, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = hermetic.root / "package"
    shutil.copytree(image.PACKAGE, mine, ignore=shutil.ignore_patterns("__pycache__", "vendor"))
    for path in (mine, *mine.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)
    monkeypatch.setattr(image, "PACKAGE", mine)
    image.build_server(DOCKER_ENGINE, "localhost:5000/", "debian:12", kubectl)
    modes = {path: path.stat().st_mode for path in (hermetic.root / "context").rglob("*")}
    assert all(mode & 0o444 == 0o444 for mode in modes.values())
    assert all(mode & 0o111 in (0, 0o111) for mode in modes.values())
    assert all(mode & 0o001 for path, mode in modes.items() if path.is_dir())
    assert modes[hermetic.root / "context/womm/scripts/server-entry"] & 0o001


def test_a_kubectl_of_another_architecture_than_the_images_is_refused_before_the_push(
    calls: Path, kubectl: Kubectl
) -> None:
    other = Kubectl(kubectl.path, "amd64")
    with pytest.raises(WommError, match=r"it is for amd64, and the image for arm64$") as caught:
        image.build_server(DOCKER_ENGINE, "localhost:5000/", "debian:12", other)
    assert caught.value.message.startswith(f"{kubectl.path} can't be the kubectl of")
    assert "--kubectl FILE" in caught.value.hint
    assert "push" not in calls.read_text()


def test_the_kubectl_of_the_image_is_the_users_own_unless_another_is_given(hermetic: Hermetic) -> None:
    mine = hermetic.root / "kubectl-1.36"
    mine.write_bytes(program("amd64", 1, 2))
    mine.chmod(0o755)
    hermetic.real("kubectl")
    (hermetic.bin / "kubectl").symlink_to(mine)
    assert image.kubectl_for_image(None) == Kubectl(hermetic.bin / "kubectl", "amd64")
    other = hermetic.root / "other"
    other.write_bytes(program("s390x", 1))
    assert image.kubectl_for_image(str(other)) == Kubectl(other, "s390x")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'#!/bin/sh\nexec minikube kubectl -- "$@"\n', "it is a script, or no program at all"),
        (b"", "it is a script, or no program at all"),
        (program("amd64", 6, 3, 1, 2), "it needs libraries of this machine"),
        (None, r"it can't be read \(No such file or directory\)"),
    ],
)
def test_a_kubectl_that_runs_here_only_is_refused_with_the_way_out(
    hermetic: Hermetic, content: bytes | None, why: str
) -> None:
    path = hermetic.root / "mine"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        WommError, match=f"^{path} can't be the kubectl of the file server's image: {why}$"
    ) as caught:
        image.kubectl_for_image(str(path))
    assert "--kubectl FILE" in caught.value.hint


def test_nothing_of_a_build_stays_in_the_temporary_directory(
    calls: Path, hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    empty = hermetic.root / "tmp"
    empty.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(empty))
    image.build_worker(DOCKER_ENGINE, "r/x:womm", "debian:12", Account(1, 1, "a", "/home/a"), "/x")
    assert list(empty.iterdir()) == []


def test_an_image_that_cannot_be_built_is_told(hermetic: Hermetic, capfd: pytest.CaptureFixture[str]) -> None:
    hermetic.stub("docker", "#!/bin/sh\necho no space\nexit 1\n")
    with pytest.raises(WommError, match="could not be built on debian:12"):
        image.build_worker(DOCKER_ENGINE, "r/x:womm", "debian:12", Account(1, 1, "a", "/home/a"), "/x")
    assert capfd.readouterr() == ("", "no space\n")


def test_an_image_that_cannot_be_pushed_is_told_with_a_way_out(hermetic: Hermetic) -> None:
    hermetic.stub("docker", '#!/bin/sh\n[ "$1" != push ] || { echo denied >&2; exit 1; }\n')
    with pytest.raises(WommError, match=r"r/x:womm can't be pushed .*denied") as caught:
        DOCKER_ENGINE.try_push("r/x:womm")
    assert "docker login" in caught.value.hint


@pytest.mark.parametrize(
    "tag", ["localhost:5000/x:womm", "127.0.0.1:5000/x:womm", "localhost.example.com/x:womm"]
)
def test_podman_pushes_with_plain_http_to_this_machine_only(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch, tag: str
) -> None:
    monkeypatch.setenv("CALLS", str(hermetic.root / "calls"))
    monkeypatch.setenv("DIGEST", DIGEST)
    hermetic.stub("podman", PODMAN_PUSH)
    assert PODMAN.push(tag) == f"{tag.removesuffix(':womm')}@sha256:{DIGEST}"
    insecure = "--tls-verify=false" in (hermetic.root / "calls").read_text()
    assert insecure == ("example.com" not in tag)


def test_the_engine_is_the_one_that_is_asked_for_or_the_first_that_answers(hermetic: Hermetic) -> None:
    hermetic.stub("docker", "#!/bin/sh\nexit 1\n")
    hermetic.stub("podman", "#!/bin/sh\n")
    assert engine.find() == PODMAN
    with pytest.raises(WommError, match="docker doesn't answer"):
        engine.find("docker")
    hermetic.stub("docker", "#!/bin/sh\n")
    assert engine.find() == DOCKER_ENGINE
    assert engine.find("podman") == PODMAN


def test_an_engine_that_hangs_is_as_one_that_is_not_there(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_ANSWER", 0.2)
    hermetic.stub("docker", "#!/bin/sh\nexec sleep 99\n")
    hermetic.stub("podman", "#!/bin/sh\n")
    assert engine.find() == PODMAN
    with pytest.raises(WommError, match="docker doesn't answer"):
        engine.find("docker")


def test_an_engine_that_cannot_be_run_is_passed_over_and_told_where_there_is_no_other(
    hermetic: Hermetic,
) -> None:
    hermetic.stub("docker", "<html>404</html>\n")
    hermetic.stub("podman", "#!/bin/sh\n")
    assert engine.find() == PODMAN
    hermetic.stub("podman", "#!/bin/sh\nexit 1\n")
    with pytest.raises(WommError, match="docker can't be run: Exec format error"):
        engine.find()


@pytest.mark.parametrize("name", ["", "r/x@sha256:short", f"r/x@md5:{DIGEST}", f"r/y@sha256:{DIGEST}"])
def test_a_push_without_a_digest_is_told(hermetic: Hermetic, name: str) -> None:
    found = json.dumps([{"RepoDigests": [name] if name else None}])
    hermetic.stub("docker", f"#!/bin/sh\necho '{found}'\n")
    with pytest.raises(WommError, match="left no digest"):
        DOCKER_ENGINE.push("r/x:womm")


@pytest.mark.parametrize(
    ("tag", "repository"),
    [
        ("r/x:womm", "r/x"),
        ("localhost:5000/x:womm", "localhost:5000/x"),
        ("localhost:5000/x", "localhost:5000/x"),
        ("x", "x"),
    ],
)
def test_a_port_is_no_tag(calls: Path, tag: str, repository: str) -> None:
    assert DOCKER_ENGINE.push(tag) == f"{repository}@sha256:{DIGEST}"


def test_an_engine_that_does_not_answer_is_told_apart_from_one_that_is_missing(hermetic: Hermetic) -> None:
    hermetic.stub("docker", "#!/bin/sh\nexit 1\n")
    with pytest.raises(WommError, match="docker doesn't answer") as caught:
        engine.find()
    assert "daemon" in caught.value.hint
    hermetic.only("sh")
    with pytest.raises(WommError, match="docker is not installed") as caught:
        engine.find()
    assert "docs.docker.com" in caught.value.hint


def test_an_engine_that_is_wanted_and_gone_is_told_with_the_one_that_there_is(hermetic: Hermetic) -> None:
    hermetic.only("sh")
    hermetic.stub("docker", "#!/bin/sh\n")
    with pytest.raises(WommError, match="podman is not installed") as caught:
        engine.find("podman")
    assert caught.value.hint.endswith("; or take another one: womm setup --engine docker")
    hermetic.stub("podman", "#!/bin/sh\nexit 1\n")
    with pytest.raises(WommError, match="podman doesn't answer") as caught:
        engine.find("podman")
    assert caught.value.hint.endswith("womm setup --engine docker")


def test_a_quiet_build_is_quiet(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from womm import output

    output.be_quiet()
    image.build_worker(DOCKER_ENGINE, "r/x:womm", "debian:12", Account(1, 1, "a", "/home/a"), "/x")
    assert " --quiet " in calls.read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("jobs", f"jobs:{image.tag('/d')}"),
        ("r.example.com:5000/team/jobs", f"r.example.com:5000/team/jobs:{image.tag('/d')}"),
        ("r.example.com/team/jobs:mine", "r.example.com/team/jobs:mine"),
        ("localhost:5000/a_b/c-d.e:V1.0", "localhost:5000/a_b/c-d.e:V1.0"),
    ],
)
def test_a_whole_name_is_taken_and_gets_the_directorys_tag_if_it_has_none(name: str, full: str) -> None:
    assert image.full_name(name, "/d") == full


@pytest.mark.parametrize(
    "name", ["", "a/", "/a", "A/B/c", "a b", "a:b:c", "a@sha256:00", "a:", "$(x)", "a\n", "-a", "r/a:-x"]
)
def test_what_can_be_no_image_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(WommError, match="is no name of an image") as caught:
        image.full_name(name, "/d")
    assert "--image" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind 'load", "No closing quotation"),
        ("", "names no command"),
        ("no-such-kind load", "not installed"),
    ],
)
def test_a_load_that_is_no_command_is_refused(text: str, message: str) -> None:
    with pytest.raises(WommError, match=message) as caught:
        engine.load_command(text)
    assert caught.value.hint
    assert engine.load_command(None) == ()


def test_a_load_replaces_the_push_and_its_tag_is_the_contents_own(
    calls: Path, hermetic: Hermetic, kubectl: Kubectl
) -> None:
    hermetic.stub("kind", '#!/bin/sh\nprintf "%s\\n" "kind $*" >>"$CALLS"\n')
    loading = engine.Engine("docker", load=engine.load_command("kind load 'docker image'"))
    assert loading.push("r/x:womm") == f"r/x:womm-{DIGEST[:12]}"
    assert calls.read_text().splitlines() == [
        "docker image inspect r/x:womm",
        f"docker tag r/x:womm r/x:womm-{DIGEST[:12]}",
        f"kind load docker image r/x:womm-{DIGEST[:12]}",
    ]
    name, _ = image.build_server(loading, "", "debian:12", kubectl)
    assert name == f"womm-server:{__version__}-{DIGEST[:12]}"


def test_a_load_that_fails_is_told_with_the_command(calls: Path, hermetic: Hermetic) -> None:
    with pytest.raises(WommError, match=r"r/x:womm-\w+ can't be loaded") as caught:
        engine.Engine("docker", load=("false", "a b")).push("r/x:womm")
    assert caught.value.hint.startswith("try it yourself: false 'a b' r/x:womm-")


def test_the_nfs_servers_image_is_built_from_kubectl_and_the_scripts(
    calls: Path, hermetic: Hermetic, kubectl: Kubectl
) -> None:
    name = image.build_nfs(DOCKER_ENGINE, "localhost:5000/", "debian:12", kubectl)
    assert name == f"localhost:5000/womm-nfs:{__version__}@sha256:{DIGEST}"
    context = hermetic.root / "context"
    found = {str(path.relative_to(context)) for path in context.rglob("*") if path.is_file()}
    scripts = {str(path.relative_to(SCRIPTS)) for path in SCRIPTS.rglob("*") if path.is_file()}
    assert "sshfs-view/view.h" in scripts
    assert found == {"kubectl", *(f"womm/scripts/{name}" for name in scripts)}
    build = calls.read_text().splitlines()[0]
    assert "Dockerfile.nfs" in build
    assert f" --tag localhost:5000/womm-nfs:{__version__} " in build
    assert " --build-arg BASE=debian:12 " in build


def test_the_servers_images_begin_with_the_same_layers() -> None:
    # Docker, the registry and the nodes tell that they are the same: kubectl is most of what there is.
    names = ("Dockerfile.server", "Dockerfile.nfs")
    stages = [(TEMPLATES / name).read_text().rpartition("\nFROM ")[2] for name in names]
    lines = [re.findall(r"(?m)^[A-Z].*$", stage) for stage in stages]
    common = [one for one, other in zip(*lines, strict=False) if one == other]
    assert common[-1] == "RUN sh /opt/womm/scripts/server-proof kubectl"
    assert lines[1][: len(common)] == common
