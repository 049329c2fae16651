"""What cluster tests are made of: programs run to their end, a user with a home, a place for womm."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = os.environ.get("WOMM_TEST_PREFIX", "localhost:5000/")
#: What pytest-xdist tells its workers, which are the lanes, is nothing that a user has in his environment.
_WORKER = {
    name: os.environ.pop(name)
    for name in [*os.environ]
    if name in ("COLUMNS", "LINES") or name.startswith("PYTEST_XDIST_")
}.get("PYTEST_XDIST_WORKER")
#: Each lane has its own: another's image of the same name would be pushed, and removed, in mid-test.
BELOW = f"{_WORKER}/" if _WORKER else ""
PREFIX = REGISTRY + BELOW
LOAD = os.environ.get("WOMM_TEST_LOAD", "")
#: womm's options that say how the nodes get images: from a registry, or by a command that brings them there.
IMAGES = ("--load", LOAD) if LOAD else ("--prefix", PREFIX)
#: The variables that bring womm's tasks to the sandbox's second node; none if it isn't up. They are out of
#: the environment of the tests: those that are not about that node have the first one.
NODE2 = {
    name: os.environ.pop(name)
    for name in ("WOMM_KUBE_NODE_SELECTOR", "WOMM_KUBE_TOLERATION")
    if "WOMM_SANDBOX_REGISTRY" in os.environ and name in os.environ
}
#: Where docker listens.
DOCKER_SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
#: In the environment of whatever a test starts, with a value of its own: what outlives it is found.
MARK = "WOMM_TEST_MARK"
# Longer than anything takes on a busy machine, shorter than the test's own limit.
LIMIT = 120.0
# Seconds in which Kubernetes' garbage collector finds what belonged to a deleted deployment.
SOON = 5.0

T = TypeVar("T")


def eventually(check: Callable[[], T], seconds: float = LIMIT) -> T:
    """Call `check` until it returns something true, and return that."""
    began = time.monotonic()
    deadline = began + seconds
    while not (found := check()):
        ended = time.monotonic()
        assert ended < deadline, f"not within {seconds} s: {check}"
        # Each kubectl takes a tenth of a second of a processor that what is waited for could use.
        time.sleep(min(max(0.1, ended - began), 0.5))
        began = time.monotonic()
    return found


@dataclass(frozen=True)
class Done:
    """What a program left."""

    status: int
    out: bytes
    err: bytes

    @property
    def lines(self) -> list[str]:
        """Standard output's lines, sorted: jobs end in any order."""
        return sorted(self.out.decode().splitlines())

    @property
    def messages(self) -> str:
        """Standard error as text.

        Without the line that tells of an end that takes long: Kubernetes 1.20 needs about 10 s until a pod is
        gone, and a busy machine takes its time, too.
        """
        return self.err.decode(errors="replace").replace("womm: cleaning up …\n", "")


def call(
    argv: Sequence[str | bytes | Path],
    *,
    cwd: Path | bytes | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    limit: float = LIMIT,
) -> Done:
    """Run a program to its end, whatever its status."""
    done = subprocess.run(
        argv, cwd=cwd, env=env, input=stdin, capture_output=True, check=False, timeout=limit
    )
    return Done(done.returncode, done.stdout, done.stderr)


def good(argv: Sequence[str | bytes | Path], **more: Any) -> str:
    """Run a program that has to succeed, and return its stdout."""
    done = call(argv, **more)
    assert done.status == 0, f"{argv}: {done.messages}"
    return done.out.decode()


def kubectl(*arguments: str, stdin: str = "") -> str:
    """Run kubectl as the cluster's administrator; it has to succeed."""
    return good(["kubectl", *arguments], stdin=stdin.encode())


def node2_kernel() -> str:
    """The release of the second node's kernel, which no other machine here has."""
    return kubectl("get", "node", "node2", "-o", "jsonpath={.status.nodeInfo.kernelVersion}")


def deliver(image: str) -> None:
    """Give docker's image of this name to the nodes, as womm would."""
    good([*shlex.split(LOAD), image] if LOAD else ["docker", "push", "--quiet", image])


def objects(namespace: str, *arguments: str) -> list[dict[str, Any]]:
    """Return the objects that `kubectl get ARGUMENTS` finds."""
    found: list[dict[str, Any]] = json.loads(
        kubectl("--namespace", namespace, "get", *arguments, "-o", "json")
    )["items"]
    return found


def account(namespace: str, name: str, kubeconfig: Path) -> None:
    """Write a kubeconfig whose user is the service account `name`."""
    # As `kubectl create token` does, which is of 1.24.
    url = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    request = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    token = json.loads(kubectl("create", "--raw", url, "-f", "-", stdin=request))["status"]["token"]
    view = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    view["users"] = [{"name": name, "user": {"token": token}}]
    context = {"cluster": view["clusters"][0]["name"], "user": name, "namespace": namespace}
    view["contexts"] = [{"name": f"as-{name}", "context": context}]
    view["current-context"] = f"as-{name}"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(json.dumps(view))


def may(user: str, namespace: str, *what: str) -> bool:
    """Whether the cluster knows by now that `user` may do this: `get pods`."""
    asked = ["kubectl", "-n", namespace, "auth", "can-i", *what, f"--as={user}"]
    return call(asked).status == 0


def names(namespace: str, kinds: str = "deployments,replicasets,pods,secrets,jobs,leases") -> list[str]:
    """Return the names of what is in `namespace` to stay, but for the servers' own and accounts' tokens.

    What is being deleted is Kubernetes' own affair: a kubelet of 1.20 takes 10 s to let go of an ended pod.
    """
    staying = (
        "{{range .items}}{{if not .metadata.deletionTimestamp}}{{.kind}}/{{.metadata.name}} {{end}}{{end}}"
    )
    found = kubectl("--namespace", namespace, "get", kinds, "-o", f"go-template={staying}").split()
    # Before 1.24 every account has a token of its own in a secret.
    return [
        name
        for name in found
        if not re.match(r".*/womm-server|Secret/womm-nfs$|Secret/.*-token-\w{5}$", name)
    ]


def marked(mark: str) -> list[str]:
    """Return the command lines of all living processes that carry `mark`."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(f"{process.name}: {line.decode(errors='replace')[:200]}")
        except OSError:
            continue
    return found


@dataclass(frozen=True)
class User:
    """A user of womm: a home and a runtime directory of its own, and a mark on its processes."""

    root: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this user's commands."""
        dropped = ("PARALLEL", "WOMM_RUN", "CDPATH")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        return {
            **kept,
            "HOME": str(self.root / "home"),
            "XDG_CONFIG_HOME": str(self.root / "config"),
            "XDG_STATE_HOME": str(self.root / "state"),
            "XDG_RUNTIME_DIR": str(self.root / "run"),
            "SHELL": "/bin/bash",
            "PYTHONFAULTHANDLER": "1",
            "LC_ALL": "C.UTF-8",
            MARK: self.mark,
        }

    def runs(self) -> list[str]:
        """What is left in the user's private directory for runs."""
        directory = self.root / "run" / "womm"
        return sorted(p.name for p in directory.iterdir()) if directory.is_dir() else []


@dataclass(frozen=True)
class Place:
    """A directory of a user, and the namespace that its commands go to."""

    user: User
    namespace: str
    path: Path

    def womm(
        self,
        *arguments: str | bytes,
        stdin: bytes = b"",
        cwd: Path | bytes | None = None,
        limit: float = LIMIT,
        **env: str,
    ) -> Done:
        """Run womm in this place to its end."""
        return call(
            ["womm", "--namespace", self.namespace, *arguments],
            cwd=cwd or self.path,
            env={**self.user.environment, **env},
            stdin=stdin,
            limit=limit,
        )

    def parallel(self, *arguments: str | bytes, pods: int = 1, **more: Any) -> Done:
        """Run `womm parallel`."""
        return self.womm("parallel", "--kube-pods", str(pods), *arguments, **more)

    @contextmanager
    def started(
        self,
        *arguments: str | bytes,
        cwd: Path | None = None,
        own_group: bool = False,
        stdin: int = subprocess.DEVNULL,
        **env: str,
    ) -> Iterator[Running]:
        """Start womm in this place; at the end of the context it is interrupted if it still runs."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                ["womm", "--namespace", self.namespace, *arguments],
                cwd=cwd or self.path,
                env={**self.user.environment, **env},
                stdin=stdin,
                stdout=out,
                stderr=err,
                start_new_session=own_group,
            )
            running = Running(process, out, err)
            try:
                yield running
            finally:
                if process.poll() is None:
                    running.interrupt(signal.SIGINT)

    def shell(self, script: str, *arguments: str) -> Done:
        """Run a script of bash in this place."""
        return call(["bash", "-c", script, "bash", *arguments], cwd=self.path, env=self.user.environment)

    def setup(self, share: str, *more: str) -> Place:
        """Set the directory up."""
        self.path.mkdir(parents=True, exist_ok=True)
        done = self.womm("setup", "--yes", "--share", share, *IMAGES, *more)
        assert done.status == 0, done.messages
        return self

    def config(self) -> dict[str, Any]:
        """What setup remembered."""
        content: dict[str, Any] = json.loads((self.path / ".womm").read_text())
        return content

    def left(self) -> list[str]:
        """Whatever runs left behind, in the cluster and on this machine."""
        # The pods of a deleted deployment are marked for deletion a moment later.
        deadline = time.monotonic() + SOON
        while (kept := names(self.namespace)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [*kept, *marked(self.user.mark), *self.user.runs()]


@dataclass(frozen=True)
class Running:
    """A womm that runs, its output so far in files."""

    process: subprocess.Popen[bytes]
    _out: IO[bytes]
    _err: IO[bytes]

    @property
    def out(self) -> bytes:
        """What stdout holds by now."""
        return os.pread(self._out.fileno(), 1 << 26, 0)

    @property
    def err(self) -> str:
        """What stderr holds by now."""
        return os.pread(self._err.fileno(), 1 << 26, 0).decode(errors="replace")

    def until(self, check: Callable[[], T]) -> T:
        """Wait for `check`, or fail with what womm said if it ends before."""

        def checked() -> T:
            ended = self.process.poll()
            found = check()
            assert found or ended is None, f"womm ended with {ended}: {self.err}"
            return found

        return eventually(checked)

    def task(self) -> str:
        """The name of the task's deployment, once it is created."""
        return self.until(lambda: created(self.err))

    def interrupt(self, signum: int) -> Done:
        """Send a signal and wait for the end."""
        self.process.send_signal(signum)
        return self.wait()

    def wait(self, limit: float = LIMIT) -> Done:
        """Wait for the end."""
        try:
            status = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            # With PYTHONFAULTHANDLER it tells where it hangs.
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"womm did not end: {self.err}") from None
        return Done(status, self.out, self.err.encode())


def created(messages: str) -> str:
    """The task that `messages` say was created, or ""."""
    for line in messages.splitlines():
        if line.startswith("deployment.apps/womm-task-") and line.endswith(" created"):
            return line.removeprefix("deployment.apps/").removesuffix(" created")
    return ""


def pods(place: Place, running: Running) -> list[str]:
    """The names of the run's pods that run now."""
    task = running.task().removeprefix("womm-task-")
    found = objects(place.namespace, "pods", "-l", f"womm.dev/task={task}")
    return [
        pod["metadata"]["name"]
        for pod in found
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


def joblog(path: Path) -> list[list[str]]:
    """The rows of GNU parallel's joblog."""
    return [line.split("\t") for line in path.read_text().splitlines()[1:]]


def environment_of(pid: int) -> dict[str, str]:
    """The environment of a process; empty if there is none."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(entry.partition("=")[::2] for entry in content.split("\0") if "=" in entry)


def command_line(pid: int) -> str:
    """The command line of a process; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def keeper(running: Running) -> int:
    """The pid of the run's keeper."""
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    [pid] = [int(child) for child in children if "scripts/keeper" in command_line(int(child))]
    return pid


@contextmanager
def new_namespace(name: str, server_image: str = "", labels: Sequence[str] = ()) -> Iterator[str]:
    """Make a namespace, with a file server if an image for one is given; delete it at the end."""
    namespace = f"{name}-{uuid.uuid4().hex[:6]}"
    kubectl("create", "namespace", namespace)
    try:
        if labels:
            kubectl("label", "namespace", namespace, *labels)
        if server_image:
            manifest = good(
                ["womm", "--namespace", namespace, "cluster-setup", "--no-nfs", "--image", server_image]
            )
            kubectl("create", "-f", "-", stdin=manifest)
            kubectl("--namespace", namespace, "rollout", "status", "deployment/womm-server", "--timeout=120s")
        yield namespace
    finally:
        # The sandbox's own tests may have taken it along.
        kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


@contextmanager
def rule(namespace: str, kind: str, **spec: object) -> Iterator[None]:
    """An object that limits the namespace, for as long as the context lasts."""
    new = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "limits"}, "spec": spec}
    place = ("--namespace", namespace)
    kubectl(*place, "create", "-f", "-", stdin=json.dumps(new))
    try:
        if kind == "ResourceQuota":
            used = (*place, "get", "resourcequota", "limits", "-o", "jsonpath={.status.used}")
            eventually(lambda: kubectl(*used))
        yield
    finally:
        kubectl(*place, "delete", kind, "limits")
