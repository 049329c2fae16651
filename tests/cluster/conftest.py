"""What the cluster tests share: a womm with a home of its own, namespaces, set-up directories.

All of it is real: the sandbox's Kubernetes, registry and docker, and the installed womm.
"""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import IMAGES, ROOT, Done, Place, User, call, good, new_namespace
from needs import MARKERS, lacking, server_version
from register import Register, opened
from servers import Servers, both_servers

#: The tests that this cluster cannot run, and why.
DESELECTED = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of the markers."""
    config.stash[DESELECTED] = {}
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_itemcollected(item: pytest.Item) -> None:
    """The tests of a file, which share its fixtures, stay in one lane, like those of a group."""
    if item.get_closest_marker("xdist_group") is None:
        item.add_marker(pytest.mark.xdist_group(item.path.stem.removeprefix("test_")))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the sandbox's own tests first: they take it down and up. Leave out what this cluster cannot run.

    The second node's come last: one ends it, and the sandbox's brings it back.
    """
    items.sort(key=_turn)
    version = functools.cache(server_version)
    reasons = {item: lacking(item, version) for item in items}
    left_out = [item for item in items if reasons[item]]
    config.stash[DESELECTED] |= {item.nodeid: reasons[item] for item in left_out}
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not reasons[item]]


def _turn(item: pytest.Item) -> int:
    if item.path.name == "test_sandbox.py":
        return 3 if item.get_closest_marker("node2") else 0
    return 2 if item.path.name == "test_node_gone.py" else 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Have a lane tell the run what it has left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["deselected"] = session.config.stash[DESELECTED]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Hear it. A lane that has died tells nothing; its tests have failed."""
    if not error:
        node.config.stash[DESELECTED] |= node.workeroutput["deselected"]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name what was left out."""
    for name, why in config.stash[DESELECTED].items():
        terminalreporter.write_line(f"deselected: {name} ({why})")


@pytest.fixture(scope="session")
def home() -> Iterator[User]:
    """A user; the paths are short and plain, as real ones are."""
    root = Path(tempfile.mkdtemp(prefix="wt-", dir="/tmp"))
    for name in ("home", "config", "run"):
        (root / name).mkdir(mode=0o700)
    user = User(root)
    yield user
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def server_image(home: User) -> str:
    """The file server's image, built and given to the nodes once by `womm cluster-setup`."""
    place = Place(home, "default", home.root)
    done = place.womm("cluster-setup", "--no-nfs", "--build", *IMAGES)
    assert done.status == 0, done.messages
    lines = done.out.decode().splitlines()
    line = next(line for line in lines if line.strip().startswith("image: "))
    image: str = json.loads(line.strip().removeprefix("image: "))
    return image


@pytest.fixture(scope="session")
def servers(home: User) -> Iterator[Servers]:
    """A namespace with both servers. They are made once: who has something done by them has it undone."""
    with both_servers(home, "nfs") as made:
        yield made


@pytest.fixture(scope="module")
def namespace(request: pytest.FixtureRequest, server_image: str) -> Iterator[str]:
    """A namespace for the module, with a file server, in which only "restricted" pods may run."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    restricted = "pod-security.kubernetes.io/enforce=restricted"
    with new_namespace(name, server_image, [restricted]) as made:
        yield made


@pytest.fixture(scope="module")
def make_place(request: pytest.FixtureRequest, home: User, namespace: str) -> Callable[[str], Place]:
    """Return a function that makes a new directory, not yet set up."""
    root = Path(tempfile.mkdtemp(prefix="m-", dir=home.root))

    def make(name: str) -> Place:
        path = root / name
        path.mkdir()
        return Place(home, namespace, path)

    return make


@pytest.fixture(scope="module")
def none(make_place: Callable[[str], Place]) -> Place:
    """A directory set up with --share none."""
    return make_place("none").setup("none")


@pytest.fixture(scope="module")
def eager(make_place: Callable[[str], Place]) -> Place:
    """A directory set up with --share eager, with some files in it."""
    place = make_place("eager")
    (place.path / "sub" / "deeper").mkdir(parents=True)
    for name, text in (("a", "1\n"), ("b", "1\n2\n"), ("sub/c", ""), ("sub/deeper/d e", "1\n2\n3\n")):
        (place.path / name).write_text(text)
    return place.setup("eager")


@pytest.fixture
def clean(home: User, namespace: str) -> Iterator[None]:
    """After the test nothing is left of it, in the cluster or on this machine."""
    yield
    assert Place(home, namespace, home.root).left() == []


@pytest.fixture(scope="module")
def build() -> Iterator[Callable[..., str]]:
    """Return a function that builds an image; it is removed after the module's tests."""
    made = []

    def build_image(dockerfile: str, **files: Path) -> str:
        tag = f"womm-test/{uuid.uuid4().hex[:8]}"
        with tempfile.TemporaryDirectory() as context:
            for name, source in files.items():
                shutil.copy(source, Path(context, name))
            good(["docker", "build", "--quiet", "--tag", tag, "-f", "-", context], stdin=dockerfile.encode())
        made.append(tag)
        return tag

    yield build_image
    for tag in made:
        good(["docker", "image", "rm", "--force", tag])


@pytest.fixture(scope="session")
def local_parallel(home: User) -> Callable[..., Done]:
    """Return a function that runs the vendored GNU parallel on this machine."""

    def run(*arguments: str | bytes, cwd: Path, stdin: bytes = b"", **env: str) -> Done:
        own = home.root / "local-home"
        own.mkdir(exist_ok=True)
        argv = ["perl", ROOT / "womm/vendor/parallel", *arguments]
        environment = {**home.environment, **env, "HOME": str(own)}
        # Without a terminal it prints no citation notice; with one it would wait for an answer.
        return call(argv, cwd=cwd, env=environment, stdin=stdin)

    return run


@pytest.fixture
def register() -> Iterator[Register]:
    """A register of the jobs that run."""
    with opened() as made:
        yield made
