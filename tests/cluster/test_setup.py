"""womm setup: the image it makes, who jobs run as in it, and the bases that it takes and refuses."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import tarfile
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bases import BUSYBOX, MINIMAL
from kit import (
    BELOW,
    DOCKER_SOCKET,
    IMAGES,
    LOAD,
    PREFIX,
    REGISTRY,
    Place,
    User,
    call,
    eventually,
    good,
    objects,
)
from loading import loading, on_node

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("docker"),
]

BASE = os.environ.get("WOMM_BASE_IMAGE", "")


@pytest.mark.sandbox("its registry is asked over plain http")
def test_the_image_is_named_by_digest_and_its_repository_is_the_directorys_slug(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("My Café_Dir (2)").setup("none")
    image = place.config()["image"]
    assert re.fullmatch(rf"{PREFIX}my-cafe-dir-2@sha256:[0-9a-f]{{64}}", image)
    with urllib.request.urlopen(f"http://{REGISTRY}v2/{BELOW}my-cafe-dir-2/tags/list") as answer:
        tags = json.loads(answer.read())["tags"]
    # One for each directory of that name, and the one with which the right to push is tried.
    assert "womm-probe" in tags
    assert len(tags) > 1
    assert all(re.fullmatch(r"womm-([0-9a-f]{12}|probe)", tag) for tag in tags)
    arguments = ("parallel", "--kube-pods", "1", "-u", "--", "echo here; sleep 600; : {}", ":::", "1")
    with place.started(*arguments) as running:
        running.until(lambda: b"here" in running.out)
        [pod] = objects(place.namespace, "pods", "-l", f"womm.dev/task={running.task()[10:]}")
    assert pod["spec"]["containers"][0]["image"] == image
    assert place.left() == []


@pytest.mark.registry("its prefix is what is remembered")
def test_a_prefix_gets_its_slash_and_is_remembered_for_the_next_directory(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("first")
    first = place.womm("setup", "--yes", "--share", "none", "--prefix", PREFIX.rstrip("/"))
    # Completed, and shown.
    assert f" {PREFIX}first:womm-" in first.messages
    other = make_place("second")
    done = other.womm("setup", "--yes", "--share", "none", "--quiet")
    assert (done.status, done.out, done.messages) == (0, b"", "")
    assert other.config()["prefix"] == place.config()["prefix"] == PREFIX


def test_setup_has_no_output_on_stdout_and_its_image_the_name_that_it_was_given(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("silent")
    name = f"{PREFIX}team/silent"
    load = ("--load", LOAD) if LOAD else ()
    done = place.womm("setup", "--yes", "--share", "none", "--image", f"{name}:mine", *load)
    assert (done.status, done.out) == (0, b"")
    given = rf"{name}:mine-[0-9a-f]{{12}}" if LOAD else rf"{name}@sha256:[0-9a-f]{{64}}"
    assert re.fullmatch(given, place.config()["image"])
    assert done.messages.splitlines()[-1].startswith(f"womm: set up ({place.path}/.womm)")


def test_a_base_without_perl_gets_it(make_place: Callable[[str], Place], build: Callable[..., str]) -> None:
    base = build(f"FROM {BASE}\nUSER root\nRUN rm -f /usr/bin/perl\n")
    assert call(["docker", "run", "--rm", base, "perl", "-v"]).status == 127
    place = make_place("no-perl").setup("none", "--base-image", base)
    done = place.parallel("--", "perl -e 'print qq(perl {}\\n)'", ":::", "ran")
    assert done.out == b"perl ran\n", done.messages


def test_a_base_without_perl_and_package_manager_is_refused(
    make_place: Callable[[str], Place], build: Callable[..., str]
) -> None:
    busybox = Path(shutil.which("busybox") or "")
    links = " ".join(f"/bin/{name}" for name in ("sh", "rm", "mkdir", "cat", "dirname", "chmod", "chown"))
    dockerfile = (
        'FROM scratch\nCOPY busybox /bin/busybox\nSHELL ["/bin/busybox", "sh", "-c"]\n'
        f"RUN for l in {links}; do /bin/busybox ln -s busybox $l; done\n"
    )
    base = build(dockerfile, busybox=busybox)
    place = make_place("bare-base")
    done = place.womm("setup", "--yes", "--share", "none", *IMAGES, "--base-image", base)
    assert (done.status, done.out) == (125, b"")
    assert "womm: no perl in the base image, and no way to install it here" in done.messages
    assert f"womm: the image could not be built on {base}" in done.messages
    assert not (place.path / ".womm").exists()


@pytest.mark.registry("it is asked for what it does not have")
def test_a_base_that_there_is_not_is_refused(make_place: Callable[[str], Place]) -> None:
    place = make_place("no-base")
    base = f"{PREFIX}no/such:image"
    done = place.womm("setup", "--yes", "--share", "none", *IMAGES, "--base-image", base)
    assert done.status == 125
    assert f"womm: the image could not be built on {base}" in done.messages


def relabel(image: str, architecture: str, scratch: Path) -> None:
    """Have an image say that it is for another architecture: its programs run here, and no node takes it."""
    good(["docker", "save", "--output", scratch / "old.tar", image])
    with tarfile.open(scratch / "old.tar") as old, tarfile.open(scratch / "new.tar", "w") as new:
        old.extractall(scratch, filter="data")
        [manifest] = json.loads((scratch / "manifest.json").read_text())
        config = json.loads((scratch / manifest["Config"]).read_text())
        (scratch / "config.json").write_text(json.dumps({**config, "architecture": architecture}))
        (scratch / "manifest.json").write_text(json.dumps([{**manifest, "Config": "config.json"}]))
        for name in ("manifest.json", "config.json", *manifest["Layers"]):
            new.add(scratch / name, name)
    good(["docker", "load", "--input", scratch / "new.tar"])


@pytest.mark.registry("an image is pushed to it")
@pytest.mark.sandbox("the architecture of its node is this machine's")
def test_an_image_that_no_node_can_run_is_told_before_it_is_pushed(
    make_place: Callable[[str], Place], build: Callable[..., str], tmp_path: Path
) -> None:
    node, other = ("arm64", "amd64") if os.uname().machine == "aarch64" else ("amd64", "arm64")
    # An image of its own: docker's cache knows the relabelled one for a build of the same file, and would
    # give it to later tests as their base.
    base = build(f"{MINIMAL}LABEL foreign=yes\n", busybox=BUSYBOX)
    relabel(base, other, tmp_path)
    place = make_place("foreign")
    flags = ("--share", "none", "--prefix", PREFIX, "--base-image", base, "--run", "true")
    done = place.womm("setup", "--yes", *flags)
    assert done.status == 0, done.messages
    told = done.messages.index(f"the image is for {other}, and the nodes are {node}: no pod will run")
    assert told < done.messages.index("The push refers to repository")
    assert place.config()["arch"] == other


@pytest.mark.parametrize("share", ["none", "eager"])
def test_a_directory_whose_name_is_not_utf_8_is_refused(
    make_place: Callable[[str], Place], share: str
) -> None:
    place = make_place(f"bytes-{share}")
    below = os.path.join(os.fsencode(place.path), b"caf\xe9")
    os.mkdir(below)
    done = place.womm("setup", "--yes", "--share", share, *IMAGES, cwd=below)
    assert done.status == 125
    assert done.messages.splitlines()[0] == "womm: this directory's name is not valid UTF-8"
    assert os.listdir(below) == []


def test_a_directory_with_a_colon_is_refused_where_it_would_be_mounted(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("a:b")
    done = place.womm("setup", "--yes", "--share", "eager", *IMAGES)
    assert done.status == 125
    assert "can't be shared: with a ':' in its path it can't be mounted" in done.messages.splitlines()[0]
    assert place.setup("none").parallel("--", "pwd; : {}", ":::", "1").out.decode() == f"{place.path}\n"


@pytest.fixture(scope="module")
def ordinary() -> Iterator[pwd.struct_passwd]:
    """An account of this machine that is not root's."""
    name = f"wt{uuid.uuid4().hex[:6]}"
    good(["useradd", "--create-home", "--shell", "/bin/bash", "--uid", "4321", "--user-group", name])
    account = pwd.getpwnam(name)
    yield account
    eventually(lambda: call(["pgrep", "-u", name]).status == 1)
    good(["userdel", "--remove", name])


def become(account: pwd.struct_passwd) -> list[str]:
    """The beginning of a command line that runs a program as an ordinary user who may use docker.

    The capability lets it find programs under a closed /root, where the sandbox and Python may be.
    """
    group = os.stat(DOCKER_SOCKET).st_gid
    ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", f"--groups={account.pw_gid},{group}"]
    return ["setpriv", *ids, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


@pytest.mark.sandbox("an account that is not root's uses its docker")
@pytest.mark.parametrize("share", ["none", "eager"])
def test_an_ordinary_users_jobs_run_with_his_ids_name_and_home(
    ordinary: pwd.struct_passwd, namespace: str, share: str
) -> None:
    home = Path(ordinary.pw_dir)
    root = home / share
    for path in (root, root / "run", root / "home", root / "config", root / "work"):
        path.mkdir(mode=0o700)
    shutil.copy(os.environ["KUBECONFIG"], root / "kubeconfig")
    (root / "work" / "mine").write_text("text\n")
    (root / "work" / "mine").chmod(0o600)
    good(["chown", "-R", f"{ordinary.pw_uid}:{ordinary.pw_gid}", home])
    user = User(root)
    env = {**user.environment, "KUBECONFIG": str(root / "kubeconfig"), "HOME": str(home)}
    env |= {"USER": ordinary.pw_name, "KUBECACHEDIR": str(root / "cache")}
    womm = [*become(ordinary), "womm", "--namespace", namespace]
    arguments = ("setup", "--yes", "--share", share, "--prefix", PREFIX)
    setup = call([*womm, *arguments], cwd=root / "work", env=env)
    assert setup.status == 0, setup.messages
    facts = 'echo "$(id -u):$(id -g) $(id -un) $USER $LOGNAME $HOME"; : >~/x && ls -d ~/x;'
    facts += ' stat -c "%u:%g %a %n" *; : {}'
    arguments = ("parallel", "--kube-pods", "1", "--", facts, ":::", "1")
    done = call([*womm, *arguments], cwd=root / "work", env=env)
    name = ordinary.pw_name
    expected = [f"4321:{ordinary.pw_gid} {name} {name} {name} /home/{name}", f"/home/{name}/x"]
    expected += [f"4321:{ordinary.pw_gid} 600 mine"] if share == "eager" else []
    assert (done.status, done.out.decode().splitlines()[: len(expected)]) == (0, expected), done.messages
    assert Place(user, namespace, root).left() == []


@pytest.mark.sandbox("an account that is not root's uses its docker")
def test_as_root_is_for_root(ordinary: pwd.struct_passwd, namespace: str) -> None:
    env = {**os.environ, "HOME": ordinary.pw_dir}
    argv = [*become(ordinary), "womm", "setup", "--yes", "--as-root", "--prefix", PREFIX]
    done = call(argv, cwd=Path(ordinary.pw_dir), env=env)
    assert (done.status, done.messages.splitlines()[0]) == (
        125,
        "womm: --as-root is for a user who is root here",
    )


@pytest.mark.sandbox("images are put into its node's store")
def test_a_load_replaces_the_registry(make_place: Callable[[str], Place], tmp_path: Path) -> None:
    place = make_place("loaded")
    name = f"womm-test/{uuid.uuid4().hex[:8]}"
    with loading(tmp_path) as load:
        done = place.womm("setup", "--yes", "--share", "none", "--image", name, "--load", load)
        assert done.status == 0, done.messages
        image = place.config()["image"]
        assert re.fullmatch(rf"{name}:womm-[0-9a-f]{{12}}-[0-9a-f]{{12}}", image)
        job = place.parallel("--", "echo {}", ":::", "ran")
        assert (job.status, job.out) == (0, b"ran\n"), job.messages
        assert on_node(image)
