"""Follows a task's pods: tells the hub of them, and the user why they don't run."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from womm import pods, problems, refusals, signals
from womm.beside import Stream, stream
from womm.errors import WommError
from womm.kubectl import Kube
from womm.manifests import TaskSpec
from womm.output import progress, warn
from womm.process import attempt

# Seconds without news, and with fewer pods than there should be, after which womm asks why; the longest
# it waits before it asks again; and after which it says where to look.
_PATIENCE, _LONGEST = 5.0, 300.0
_LONG = 15.0
# Seconds without a channel to a pod that runs after which the run ends; after which a watch that was
# begun anew has told of every pod; between two looks; that a log may take.
_UNREACHED, _SETTLING, _GLANCE, _READING = 40.0, 2.0, 0.02, 5.0
# Seconds that the deployment may take to say why; between two watches, at first and at most.
_ASKING, _AGAIN, _SELDOM = 20.0, 0.5, 8.0
# Failures of the watch after which the user is told: half a minute. Bytes of its complaints that count.
_FAILURES, _COMPLAINT = 7, 4096


class Hub(Protocol):
    """What the follower has to know of the hub."""

    @property
    def complaint(self) -> str:
        """What the last try to reach a pod failed of."""

    @property
    def reached(self) -> bool:
        """Whether a pod takes jobs, or did."""

    def see(self, pods: Sequence[pods.PodState]) -> None:
        """The task's pods are these now."""

    def end(self, reason: str) -> None:
        """Start no further job."""


class Follower(threading.Thread):
    """Follows the task's pods, tells the hub of them, and explains those that don't run.

    `failure` holds what ended it, if something did that no waiting mends.
    """

    def __init__(self, kube: Kube, spec: TaskSpec, hub: Hub, env: Mapping[str, str]) -> None:
        super().__init__(name="pods", daemon=True)
        # `env` marks what is started as the run's: it must not outlive womm.
        self._kube, self._spec, self._hub, self._env = kube, spec, hub, env
        self._ours = ("-l", f"womm.dev/task={spec.id}")
        self._table = pods.Table()
        # When the present watch will have told of every pod; None: it has told nothing yet; 0: it has.
        self._settled: float | None = None
        self._told: set[problems.Problem | str] = set()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._ended = False
        self._patience = _PATIENCE
        # Set by the main thread: the deployment is made. Webhooks may delay that for minutes.
        self._created = False
        self._asking: threading.Thread | None = None
        # For the main thread: whether a pod runs, and what keeps all of them from it.
        self._usable = False
        self._stuck: problems.Problem | None = None
        self._watch: Stream | None = None
        self.failure: WommError | None = None

    def wait_for_pod(self, pending: float) -> None:
        """Wait until a first pod takes jobs, and say why none does.

        Raises WommError if none ever will, and if for `pending` seconds something keeps them all from it.
        """
        self._created = True
        since = time.monotonic()
        usable_since: float | None = None
        stuck_since: float | None = None
        hinted = False
        while not self._hub.reached:
            now = time.monotonic()
            if self.failure is not None:
                raise self.failure
            if not self._usable:
                usable_since = None
            elif usable_since is None:
                usable_since = now
            stuck = self._stuck
            if stuck is None:
                stuck_since = None
            elif stuck_since is None:
                stuck_since = now
            if stuck is not None and stuck_since is not None and now - stuck_since >= pending:
                longer = "--pending-timeout 1h waits longer"
                hint = f"{stuck.hint}; {longer}" if stuck.hint else longer
                raise WommError(f"no pod can run: {stuck.message}", hint)
            if usable_since is not None and now - usable_since > _UNREACHED:
                by_hand = shlex.join(self._kube.argv("exec", "-it", f"deploy/{self._spec.name}"))
                raise WommError(
                    f"the pods run, but can't be reached: {self._hub.complaint or 'no answer'}",
                    f"try it yourself: {by_hand} -- sh",
                )
            if not hinted and usable_since is None and now - since > _LONG:
                hinted = True
                progress(
                    f"womm: no pod runs yet; {shlex.join(self._kube.argv('describe', 'pods', *self._ours))}"
                )
            self._news.wait(_GLANCE)
            self._news.clear()
            signals.check()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        self._news.set()
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
        # A watch that ends, as they do now and then with status 0, is begun again; one that does not even
        # begin (credentials that have expired, no process to be had) less and less often.
        watch = self._kube.argv(
            "get", "pods", *self._ours, "--watch", "--output-watch-events", "-o", "json"
        )  # fmt: skip
        pause, failures = 0.0, 0
        while not self._stopping.wait(pause):
            self._table.restart()
            self._settled = None
            try:
                complaint = self._watch_once(watch)
            except OSError as error:
                if not self._hub.reached:
                    raise
                complaint = str(error)
            self._fail_without_pods(complaint)
            failures = failures + 1 if self._settled is None else 0
            pause = min(_AGAIN * 2**failures, _SELDOM)
            if failures == _FAILURES:
                warn(f"the pods can't be watched, and it is tried again: {complaint or 'no answer'}")

    def _watch_once(self, argv: Sequence[str]) -> str:
        # Returns what kubectl complained of.
        with tempfile.TemporaryFile() as complaints:
            with stream(argv, env=self._env, stderr=complaints.fileno()) as kubectl:
                assert kubectl.stdout is not None
                self._watch = kubectl
                try:
                    self._follow(kubectl.stdout.fileno())
                except ValueError as garbage:
                    self._settled = None
                    return str(garbage)
            return os.pread(complaints.fileno(), _COMPLAINT, 0).decode(errors="replace").strip()

    def _follow(self, descriptor: int) -> None:
        decoder = pods.Decoder()
        while True:
            # A watch that says nothing may have nothing to tell of: then the deployment knows.
            short = len(self._table) < self._spec.pods or self._settled is None
            patience = self._patience if short else _SETTLING if self._settled else None
            if not select.select([descriptor], [], [], patience)[0]:
                if short:
                    self._aside(self._ask_why)
                self._settle()
                continue
            if not (chunk := os.read(descriptor, 65536)):
                return
            if self._settled is None:
                self._settled = time.monotonic() + _SETTLING
            for event in decoder.feed(chunk):
                self._table.apply(event)
            if not self._stopping.is_set():
                self._tell()

    def _settle(self) -> None:
        # A watch that was begun anew does not say when it has told of all pods.
        if self._settled and time.monotonic() > self._settled:
            self._settled = 0.0
            self._table.settle()
            self._tell()

    def _fail_without_pods(self, complaint: str) -> None:
        # A cluster that goes away for a while costs a running task nothing: it is asked again.
        if complaint and not len(self._table) and not self._stopping.is_set():
            self.failure = self._kube.explain(complaint.encode())
            self._news.set()

    def _tell(self) -> None:
        self._hub.see(self._table.states())
        self._usable = bool(self._table.usable())
        found = self._table.problems()
        for problem in found:
            if problem not in self._told:
                self._told.add(problem)
                self._tell_of(problem)
        if len(self._table):
            # Why there are none at all is found by asking.
            self._stuck = found[0] if self._table.stuck() else None
        self._news.set()

    def _tell_of(self, problem: problems.Problem) -> None:
        if problem.crashed is not None:
            if self._hub.reached and not problem.hopeless:
                # The hub tells what that means to the jobs.
                return
            nodes_arch = self._spec.nodes["kubernetes.io/arch"]
            problem = problems.with_log(problem, self._log(*problem.crashed), self._spec.arch, nodes_arch)
        if problem.hopeless and not self._hub.reached:
            self.failure = WommError(f"the pods can't start: {problem.message}", problem.hint)
        else:
            warn(f"a pod is waiting: {problem.message}")

    def _aside(self, ask: Callable[[], None]) -> None:
        # An answer takes its time, and new pods need not wait for it.
        def try_to() -> None:
            with contextlib.suppress(OSError, WommError, ValueError):
                # It will be asked again.
                ask()

        if self._asking is None or not self._asking.is_alive():
            self._patience = min(2 * self._patience, _LONGEST) if len(self._table) else _PATIENCE
            self._asking = threading.Thread(target=try_to, name="why", daemon=True)
            self._asking.start()

    def _log(self, pod: str, container: str) -> str:
        # Who may not read logs, or comes too late, is told as much as is known without.
        argv = self._kube.argv("logs", pod, "-c", container, "--tail=5")
        done = attempt(argv, patience=_READING, env=self._env)
        return done.text.strip() if done.status == 0 else ""

    def _ask_why(self) -> None:
        # The deployment knows why it has no pods, or too few; or somebody has deleted it.
        argv = self._kube.argv("get", "deployment", self._spec.name, "-o", "json")
        created = self._created
        done = attempt(argv, patience=_ASKING, env=self._env)
        if b"NotFound" in done.stderr and created:
            self._end("its deployment is gone: somebody has deleted it")
        elif done.status == 0:
            refusal = refusals.of_deployment(json.loads(done.stdout))
            if refusal is not None:
                self._refused(refusal)
            elif not len(self._table):
                self._stuck = problems.Problem("the cluster makes no pods for its deployment")

    def _refused(self, refusal: refusals.Refusal) -> None:
        have = f"{len(self._table)} of {self._spec.pods} pods"
        if not len(self._table) and not self._hub.reached:
            if not refusal.passes:
                self._end(f"the cluster refuses its pods: {refusal.reason}", refusal.hint)
                return
            self._stuck = problems.Problem(refusal.reason, hint=refusal.hint)
        if have not in self._told:
            self._told.add(have)
            warn(f"{have}: the cluster refuses more: {refusal.reason}")

    def _end(self, reason: str, hint: str = "") -> None:
        if self._ended or self._stopping.is_set():
            return
        self._ended = True
        if self._hub.reached:
            # GNU parallel runs: it learns from its jobs' failure that there is nothing to wait for.
            warn(f"the task can't go on: {reason}")
            self._hub.end(f"{reason}; this job was not started")
        else:
            self.failure = WommError(f"the task can't begin: {reason}", hint)
            self._news.set()
