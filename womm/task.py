"""A task's life in the cluster: create its deployment, follow its pods, explain them, delete it all."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from womm import pods
from womm.errors import WommError
from womm.kubectl import Kube
from womm.manifests import TaskSpec, task_manifest
from womm.output import progress, warn
from womm.process import attempt, stream
from womm.runs import Run

# How to delete what may not be there.
_TOLERANT = ("--ignore-not-found", "-o", "name")

#: Seconds without a pod after which womm asks why.
_PATIENCE = 5.0


def create(kube: Kube, run: Run, spec: TaskSpec, undo: ExitStack) -> None:
    """Create the task's objects; `undo` deletes them and waits until the pods are gone."""
    deployment = f"deployment.apps/{spec.name}"
    created: list[str] = []

    def tell() -> None:
        if deployment in created:
            progress(f'deployment.apps "{spec.name}" deleted')

    # At the bottom of the stack: told when it is done.
    undo.callback(tell)
    if spec.share is not None:
        # Not waited for: that would take the right to list the namespace's secrets.
        _undo_with(run, undo, kube.argv("delete", f"secret/{spec.name}", *_TOLERANT, "--wait=false"))
    _undo_with(run, undo, kube.argv("delete", deployment, *_TOLERANT, "--cascade=foreground"))
    created += kube.create(task_manifest(spec))
    progress(f"{deployment} created")


def _undo_with(run: Run, undo: ExitStack, argv: list[str]) -> None:
    run.record_undo(argv)
    undo.callback(run.undo, argv)


class Follower(threading.Thread):
    """Follows the task's pods, and keeps the run's `pods` and GNU parallel's login file up to date.

    `failure` holds what ended it, if something did that no waiting mends.
    """

    def __init__(self, kube: Kube, run: Run, spec: TaskSpec, slots: int) -> None:
        super().__init__(name="pods", daemon=True)
        self._kube, self._run, self._spec, self._slots = kube, run, spec, slots
        self._table = pods.Table()
        self._mtime = 0.0
        self._told: set[pods.Problem] = set()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._had_pod = False
        self.failure: WommError | None = None
        self._write([])

    @property
    def login_file(self) -> str:
        """The path of GNU parallel's login file."""
        return str(self._run.path / "logins")

    def wait_for_pod(self) -> None:
        """Wait until a first pod takes jobs, and say why none does. Raises WommError if none ever will."""
        since = time.monotonic()
        asked = False
        while not self._table.usable():
            if self.failure is not None:
                raise self.failure
            if not asked and not len(self._table) and time.monotonic() - since > _PATIENCE:
                asked = True
                self._check_refusal()
            self._news.wait(0.5)
            self._news.clear()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        self.join(timeout=2)

    def run(self) -> None:
        """Follow until stop(). A watch that ends, as they do now and then with status 0, is begun again."""
        watch = self._kube.argv(
            "get", "pods", "-l", f"womm.dev/task={self._spec.id}",
            "--watch", "--output-watch-events", "-o", "json",
        )  # fmt: skip
        while not self._stopping.is_set():
            self._table.restart()
            with stream(watch) as kubectl:
                assert kubectl.stdout is not None
                assert kubectl.stderr is not None
                self._stop_with(kubectl.kill)
                try:
                    self._follow(kubectl.stdout.fileno())
                    complaint = kubectl.stderr.read().decode(errors="replace").strip()
                except ValueError as garbage:
                    complaint = str(garbage)
            self._fail_without_pods(complaint)
            self._stopping.wait(0.5)

    def _follow(self, descriptor: int) -> None:
        decoder = pods.Decoder()
        while chunk := os.read(descriptor, 65536):
            for event in decoder.feed(chunk):
                self._table.apply(event)
            if not self._stopping.is_set():
                self._tell()

    def _stop_with(self, kill: Callable[[], None]) -> None:
        def killer() -> None:
            self._stopping.wait()
            kill()

        threading.Thread(target=killer, daemon=True).start()

    def _fail_without_pods(self, complaint: str) -> None:
        # A cluster that goes away for a while costs a running task nothing: it is asked again.
        if complaint and not len(self._table) and not self._stopping.is_set():
            self.failure = WommError(f"the task's pods can't be followed: {complaint}")
            self._news.set()

    def _tell(self) -> None:
        usable = self._table.usable()
        self._had_pod = self._had_pod or bool(usable)
        self._write(usable)
        for problem in self._table.problems():
            if problem in self._told:
                continue
            self._told.add(problem)
            if problem.hopeless and not self._had_pod:
                self.failure = WommError(f"the pods can't start: {problem.message}", self._log(problem))
            else:
                warn(f"a pod is waiting: {problem.message}")
        self._news.set()

    def _log(self, problem: pods.Problem) -> str:
        if problem.crashed is None:
            return "`womm setup` makes a new image"
        pod, container = problem.crashed
        log = attempt(self._kube.argv("logs", pod, "-c", container, "--tail=5"))
        return f"its last lines: {log.text.strip()}"

    def _write(self, usable: list[str]) -> None:
        self._run.write("pods", "".join(f"{name}\n" for name in usable).encode())
        # GNU parallel reads the file again only if its mtime moved by more than a second.
        self._mtime = max(time.time(), self._mtime + 2)
        lines = pods.login_lines(usable, self._slots, self._spec.name)
        self._run.write("logins", lines.encode(), self._mtime)

    def _check_refusal(self) -> None:
        status = self._kube.get("deployment", self._spec.name).get("status", {})
        for condition in status.get("conditions", []):
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                raise WommError(f"the cluster refuses the pods: {condition['message']}")
        warn("no pod yet: the cluster has not made one")
