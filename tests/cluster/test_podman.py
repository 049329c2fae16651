"""womm setup with podman in place of docker, from the base to a job in a pod."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bases import BUSYBOX, MINIMAL
from dialogue import CLEAR, in_shell, reply, status, wizard
from kit import PREFIX, Place, good

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("docker"),
]

# As it works on a machine with neither systemd nor the right to raise limits. The machine's own network:
# podman's is the sandbox's. The driver that works on every file system, and leaves nothing mounted; and
# files of this test's only.
CONTAINERS = """\
[containers]
netns = "host"
default_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "none"
lock_type = "file"
tmp_dir = "{root}/tmp"
[network]
network_config_dir = "{root}/network"
"""
STORAGE = """\
[storage]
driver = "vfs"
graphroot = "{root}/graph"
runroot = "{root}/run"
"""


@pytest.fixture(scope="module")
def podman() -> Iterator[dict[str, str]]:
    """The environment in which podman works, with an empty storage; womm remembers nothing of it."""
    with tempfile.TemporaryDirectory(prefix="wt-", dir="/tmp") as root:
        for name, text in (("containers.conf", CONTAINERS), ("storage.conf", STORAGE)):
            Path(root, name).write_text(text.format(root=root))
        yield {
            "CONTAINERS_CONF": f"{root}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{root}/storage.conf",
            "XDG_CONFIG_HOME": f"{root}/config",
        }


@pytest.fixture(scope="module")
def base(build: Callable[..., str]) -> Iterator[str]:
    """A base in the registry."""
    name = f"{PREFIX}{build(MINIMAL, busybox=BUSYBOX)}"
    good(["docker", "tag", name.removeprefix(PREFIX), name])
    good(["docker", "push", name])
    yield name
    good(["docker", "image", "rm", name])


def left(place: Place, podman: dict[str, str]) -> list[str]:
    """What the place's testbeds have left in podman."""
    env = {**place.user.environment, **podman}
    images = good(["podman", "images", "--format", "{{.Repository}}"], env=env).split()
    containers = good(["podman", "ps", "--all", "--quiet"], env=env).split()
    return containers + [image for image in images if "womm-testbed" in image]


@pytest.mark.sandbox("its podman")
def test_podman_makes_the_image_runs_the_lines_in_it_and_pushes_it(
    make_place: Callable[[str], Place], podman: dict[str, str], base: str
) -> None:
    place = make_place("with podman")
    arguments = ["--engine", "podman", "--base-image", base, "--share", "none", "--prefix", PREFIX]
    line = "export A=\"it's\nb\"; sudo sh -c 'id -u >/own'; pwd >>/own"
    done = place.womm("setup", "--yes", *arguments, "--run", line, **podman)
    assert done.status == 0, done.messages
    job = place.parallel("--", 'cat /own; printf "%s|" "$A" "$container"; : {}', ":::", "1", **podman)
    assert (job.status, job.out.decode()) == (0, f"0\n{place.path}\nit's\nb||"), job.messages
    here = place.womm("shell", "--local", "--", 'cat /own; printf "%s|" "$A" "$container"; exit 3', **podman)
    assert (here.status, here.out) == (3, job.out), here.messages
    assert left(place, podman) == []


@pytest.mark.sandbox("its podman")
def test_podman_has_the_same_wizard_and_the_same_shell(
    make_place: Callable[[str], Place], podman: dict[str, str], base: str
) -> None:
    place = make_place("asked")
    flags = ("--engine", "podman", "--namespace", place.namespace, "--share", "none", "--pull-secret", "")
    with wizard(place, *flags, **podman) as child:
        reply(child, "Base image", f"{CLEAR}{base}\r")
        reply(child, "Registry prefix", f"{CLEAR}{PREFIX}\r")
        in_shell(child, "export A=b; sudo sh -c 'id -u >/own'; exit")
        reply(child, "Does it work?")
        assert status(child) == 0
    # podman is remembered.
    with wizard(place, "--share", "eager", **podman) as child:
        reply(child, "What shall change?")
        assert status(child) == 0
    assert place.config()["share"] == "eager"
    job = place.womm("shell", "--", 'cat /own; echo "$A"', **podman)
    assert (job.status, job.out.decode()) == (0, "0\nb\n"), job.messages
    assert left(place, podman) == []
