"""Where benchmarks run: a user, a directory and a namespace of their own, as the cluster tests have them."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "cluster"))
from kit import LIMIT, ROOT, Place, Running, User, eventually, good, kubectl, new_namespace
from servers import SYSTEM, Servers, both_servers, set_up

__all__ = [
    "LIMIT",
    "PARALLEL",
    "ROOT",
    "SYSTEM",
    "Bench",
    "Idle",
    "Place",
    "Running",
    "Servers",
    "both_servers",
    "eventually",
    "good",
    "kubectl",
    "new_bench",
    "second_node",
    "set_up",
]

PARALLEL = ROOT / "womm/vendor/parallel"
HERE = ROOT / "bench"

# What womm takes as the place of its tasks' pods; seconds in which a second node can be built.
_WHERE, _BUILDING = ("WOMM_KUBE_NODE_SELECTOR", "WOMM_KUBE_TOLERATION"), 3600.0

# Ends at once when told to, so that nobody waits for its grace period.
_PROCESS_1 = ["perl", "-e", "$SIG{TERM} = sub { exit }; sleep while 1"]


@dataclass(frozen=True)
class Idle:
    """A womm whose one pod has a jobslot to spare: `login` runs a job through it."""

    pod: str
    login: tuple[str, ...]
    environment: dict[str, str]
    #: Whether jobs go through a hub, or each through a kubectl of its own.
    hub: bool

    def job(self, command: str) -> list[str]:
        """The program that runs `command` in the pod, as GNU parallel would start it."""
        return [*self.login, self.pod, "--", command]


@dataclass(frozen=True)
class Bench:
    """A set-up directory (--share none), and how much is to be done in it."""

    place: Place
    quick: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The environment of all that is measured."""
        return self.place.user.environment

    def rounds(self, usual: int) -> int:
        """How many rounds to measure."""
        return 1 if self.quick else usual

    def womm_parallel(self, *arguments: str) -> list[str]:
        """The command line of `womm parallel`."""
        return ["womm", "--namespace", self.place.namespace, "parallel", *arguments]

    def kubectl(self, *arguments: str) -> list[str]:
        """A command line of kubectl."""
        return ["kubectl", "--namespace", self.place.namespace, *arguments]

    @property
    def image(self) -> str:
        """The image that womm's pods have."""
        image: str = self.place.config()["image"]
        return image

    def scratch(self, name: str) -> Path:
        """A path for a file of the benchmarks' own."""
        return self.place.user.root / name

    @contextlib.contextmanager
    def pods(self, count: int) -> Iterator[list[str]]:
        """Pods made by hand, ready, by name."""
        names = [f"by-hand-{number}" for number in range(1, count + 1)]
        items = [pod(name, self.image) for name in names]
        pods = {"apiVersion": "v1", "kind": "List", "items": items}
        good(self.kubectl("create", "-f", "-"), stdin=json.dumps(pods).encode())
        try:
            good(self.kubectl("wait", "--for=condition=Ready", "pod", *names, f"--timeout={LIMIT:.0f}s"))
            yield names
        finally:
            good(self.kubectl("delete", "pod", *names))

    @contextlib.contextmanager
    def idle(self) -> Iterator[Idle]:
        """A run with one pod that does nothing, but for a job that sleeps in one of its two slots."""
        arguments = ["--kube-pods", "1", "--procs-per-pod", "2", "--", "sleep", "3600", ":::", "1"]
        with self.place.started(*self.womm_parallel(*arguments)[3:]) as running:
            # GNU parallel's own command line says what it calls as its ssh.
            parallel = running.until(lambda: _gnu_parallel(running.process.pid))
            arguments, environment = parallel.cmdline(), parallel.environ()
            run = Path(environment["WOMM_RUN"])
            pod = running.until(lambda: _pod(run))
            login = tuple(shlex.split(arguments[arguments.index("--ssh") + 1]))
            yield Idle(pod, login, environment, (run / "hub").exists())


def pod(name: str, image: str) -> dict[str, object]:
    """A pod that waits."""
    container = {"name": "main", "image": image, "command": _PROCESS_1}
    spec = {"containers": [container], "automountServiceAccountToken": False, "enableServiceLinks": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@contextlib.contextmanager
def new_bench(quick: bool) -> Iterator[Bench]:
    """Make a user, a namespace and a set-up directory; remove them at the end."""
    root = Path(tempfile.mkdtemp(prefix="wb-", dir="/tmp"))
    try:
        for name in ("home", "config", "run"):
            (root / name).mkdir(mode=0o700)
        with new_namespace("bench") as namespace:
            yield Bench(Place(User(root), namespace, root / "dir").setup("none"), quick)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def second_node() -> dict[str, str]:
    """The variables that bring tasks to the sandbox's second node, which is started unless it is up."""
    good([ROOT / "sandbox/up"], env={**os.environ, "NODES": "2"}, limit=_BUILDING)
    shell = ["bash", "-c", 'eval "$("$1")" && env -0', "bash", ROOT / "sandbox/env"]
    pairs = (entry.partition("=")[::2] for entry in good(shell).split("\0"))
    return {name: value for name, value in pairs if name in _WHERE}


def _gnu_parallel(womm: int) -> psutil.Process | None:
    for process in psutil.Process(womm).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "--ssh" in process.cmdline():
                return process
    return None


def _pod(run: Path) -> str:
    # "2/POD"; "1/TASK" as long as there is none.
    line = (run / "logins").read_text().split()[0]
    return line.removeprefix("2/") if line.startswith("2/") else ""
