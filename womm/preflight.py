"""Asks the cluster whether it would take a task's pod, before anything is created.

A deployment is always taken, and its pods may then be refused for ever: Pod Security, quotas, limit
ranges and webhooks judge pods.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from womm import refusals, signals
from womm.errors import WommError
from womm.kubectl import Kube
from womm.manifests import TaskSpec, pod_manifest
from womm.output import progress, warn
from womm.runs import Run

_FILE = "pod.yaml"


class Preflight(threading.Thread):
    """Tries one pod of `spec` on the server, beside whatever else is done meanwhile."""

    def __init__(self, kube: Kube, run_: Run, spec: TaskSpec) -> None:
        super().__init__(name="preflight", daemon=True)
        self._kube, self._run, self._spec = kube, run_, spec
        self._failure: Exception | None = None

    def result(self) -> TaskSpec:
        """Wait; return the task as the cluster takes it: with a limit of its cpus where one is demanded.

        Raises WommError with Kubernetes' reason and the way out where it takes no such pod.
        """
        while self.is_alive():
            self.join(0.1)
            signals.check()
        if self._failure is not None:
            raise self._failure
        return self._spec

    def run(self) -> None:
        """Try the pod as it is, then with a limit of its cpus if that is what it lacks."""
        try:
            refusal = self._try()
            if refusal is not None and refusal.demands_limit:
                self._spec = replace(self._spec, cpu_limit=self._spec.cpu)
                refusal = self._try()
            if refusal is not None and not refusal.passes:
                self._failure = WommError(
                    f"the cluster refuses the task's pods: {refusal.reason}", refusal.hint
                )
                return
            if refusal is not None:
                warn(f"the cluster takes no pod for now: {refusal.reason}")
            if self._spec.cpu_limit:
                progress(
                    f"womm: the namespace limits cpus: a pod gets no more than {self._spec.cpu} (--kube-cpu)"
                )
        except (OSError, WommError) as error:
            self._failure = error

    def _try(self) -> refusals.Refusal | None:
        self._run.write(_FILE, pod_manifest(self._spec).encode())
        # The deployment is validated when it is created; the types that this takes would have to be fetched.
        flags = ("--dry-run=server", "--validate=false", "-o", "name")
        dry_run = ("create", "-f", str(self._run.path / _FILE), *flags)
        # Marked as the run's: it is ended with it.
        done = self._kube.attempt_creation(*dry_run, env=self._run.environment)
        text = done.stderr.decode(errors="replace")
        refusal = refusals.understand(text)
        if done.status != 0 and refusal is None and not refusals.is_open(text):
            raise self._kube.explain(done.stderr)
        return refusal
