"""A task's life in the cluster: create its deployment, follow its pods, explain them, delete it all."""

from __future__ import annotations

import json
import os
import select
import shlex
import threading
import time
from contextlib import ExitStack

from womm import pods, signals
from womm.errors import WommError
from womm.kubectl import Kube
from womm.manifests import TaskSpec, task_manifest
from womm.output import progress, warn
from womm.process import Stream, attempt, stream
from womm.runs import Run

# How to delete what may not be there.
_TOLERANT = ("--ignore-not-found", "-o", "name")

# Seconds without a pod after which womm asks why, and after which it says where to look.
_PATIENCE = 5.0
_LONG = 15.0


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
        run.undo_later(undo, kube.argv("delete", f"secret/{spec.name}", *_TOLERANT, "--wait=false"))
    run.undo_later(undo, kube.argv("delete", deployment, *_TOLERANT, "--cascade=foreground"))
    created += kube.create(task_manifest(spec))
    progress(f"{deployment} created")


class Follower(threading.Thread):
    """Follows the task's pods, and keeps the run's `pods` and GNU parallel's login file up to date.

    `failure` holds what ended it, if something did that no waiting mends.
    """

    def __init__(self, kube: Kube, run: Run, spec: TaskSpec, slots: int, whole: bool) -> None:
        super().__init__(name="pods", daemon=True)
        self._kube, self._run, self._spec = kube, run, spec
        self._slots, self._whole = slots, whole
        self._ours = ("-l", f"womm.dev/task={spec.id}")
        self._table = pods.Table()
        self._mtime = 0.0
        self._told: set[pods.Problem] = set()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._had_pod = self._ended = False
        self._watch: Stream | None = None
        self.failure: WommError | None = None
        self._write([])

    @property
    def login_file(self) -> str:
        """The path of GNU parallel's login file."""
        return str(self._run.path / "logins")

    def wait_for_pod(self) -> None:
        """Wait until a first pod takes jobs, and say why none does. Raises WommError if none ever will."""
        since = time.monotonic()
        hinted = False
        while not self._table.usable():
            if self.failure is not None:
                raise self.failure
            if not hinted and time.monotonic() - since > _LONG:
                hinted = True
                progress(
                    f"womm: no pod runs yet; {shlex.join(self._kube.argv('describe', 'pods', *self._ours))}"
                )
            self._news.wait(0.5)
            self._news.clear()
            signals.check()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        if self._watch is not None:
            self._watch.kill()
        self.join(timeout=2)

    def run(self) -> None:
        """Follow until stop(). What this thread can't do (a full disk, say) ends the run, with the reason."""
        try:
            self._watch_pods()
        except (OSError, WommError) as error:
            self._end(str(error))

    def _watch_pods(self) -> None:
        # A watch that ends, as they do now and then with status 0, is begun again.
        watch = self._kube.argv(
            "get", "pods", *self._ours, "--watch", "--output-watch-events", "-o", "json"
        )  # fmt: skip
        while not self._stopping.wait(0.5 if self._watch is not None else 0):
            self._table.restart()
            with stream(watch) as kubectl:
                assert kubectl.stdout is not None
                assert kubectl.stderr is not None
                self._watch = kubectl
                try:
                    self._follow(kubectl.stdout.fileno())
                    complaint = kubectl.stderr.read().decode(errors="replace").strip()
                except ValueError as garbage:
                    complaint = str(garbage)
            self._fail_without_pods(complaint)

    def _follow(self, descriptor: int) -> None:
        decoder = pods.Decoder()
        while True:
            if not len(self._table) and not select.select([descriptor], [], [], _PATIENCE)[0]:
                self._ask_why()
                continue
            if not (chunk := os.read(descriptor, 65536)):
                return
            for event in decoder.feed(chunk):
                self._table.apply(event)
            if not self._stopping.is_set():
                self._tell()

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
        lines = pods.login_lines(usable, self._slots, self._spec.name, self._whole)
        self._run.write("logins", lines.encode(), self._mtime)

    def _ask_why(self) -> None:
        # The deployment knows why it has no pods, or somebody has deleted it.
        done = attempt(self._kube.argv("get", "deployment", self._spec.name, "-o", "json"))
        if b"NotFound" in done.stderr:
            self._end("its deployment is gone: somebody has deleted it")
        elif done.status == 0 and not self._had_pod:
            for refusal in pods.refusals(json.loads(done.stdout)):
                self._end(f"the cluster refuses its pods: {refusal}")

    def _end(self, reason: str) -> None:
        if self._ended or self._stopping.is_set():
            return
        self._ended = True
        if self._had_pod:
            # GNU parallel runs: it learns from its jobs' failure that there is nothing to wait for.
            warn(f"the task can't go on: {reason}")
            self._run.end_jobs()
        else:
            self.failure = WommError(f"the task can't begin: {reason}")
            self._news.set()
