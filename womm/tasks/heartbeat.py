"""A task's heartbeat: a Lease that whoever runs the task renews.

Where none comes any more, the file server takes the task's pods back (scripts/server-orphans). It and `womm
status` only look whether the Lease changes: clocks are not compared.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from datetime import datetime, timezone

from womm.complaints import Forbidden
from womm.errors import WommError
from womm.kubectl import Kube
from womm.manifests import TaskSpec, lease_manifest
from womm.output import debug
from womm.runs import Run
from womm.tasks.listing import STALE

#: Seconds between two beats; listing.STALE without one, and nobody is taken to run the task any more.
EVERY = 60
# Seconds before the first one, which short runs are spared; that one may take; until the next try of one that
# failed.
_FIRST, _PATIENCE, _AGAIN = 3.0, 20.0, 10.0


class Heartbeat(threading.Thread):
    """Beats from start() to stop(), in a namespace whose users may make Leases; else it is silent."""

    def __init__(self, kube: Kube, run_: Run, spec: TaskSpec) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._kube, self._run, self._spec = kube, run_, spec
        self._stopping = threading.Event()
        self._refused = False

    def run(self) -> None:
        """Beat until stop()."""
        beat, pause = self._begin, _FIRST
        while not self._stopping.wait(pause):
            # A cluster that is away for a while is asked again: who stops beating is an orphan in the end.
            pause = _AGAIN
            with contextlib.suppress(OSError, WommError):
                if not beat():
                    continue
                if self._refused:
                    return
                beat, pause = self._renew, EVERY

    def stop(self) -> None:
        """Beat no more; the Lease goes with the run."""
        self._stopping.set()
        # One that is being made is to be there before it is deleted.
        self.join(_PATIENCE)

    def _begin(self) -> bool:
        # Returns whether it is decided: there is a Lease, or there can't be one.
        lease = lease_manifest(self._spec, socket.gethostname(), STALE, _now())
        self._run.write("lease.yaml", lease.encode())
        name = f"lease/{self._spec.name}"
        delete = self._kube.argv("delete", name, "--ignore-not-found", "-o", "name", "--wait=false")
        self._run.undo_later(delete)
        create = ("create", "-f", str(self._run.path / "lease.yaml"), "-o", "name")
        done = self._kube.attempt(*create, patience=_PATIENCE, env=self._run.environment)
        if done.status == 0 or b"AlreadyExists" in done.stderr:
            return True
        self._run.forget(delete)
        debug(f"no heartbeat: {done.complaint}")
        self._refused = isinstance(self._kube.explain(done.stderr), Forbidden)
        return self._refused

    def _renew(self) -> bool:
        patch = json.dumps({"spec": {"renewTime": _now()}})
        done = self._kube.attempt(
            "patch", "lease", self._spec.name, "--type=merge", "-p", patch,
            patience=_PATIENCE, env=self._run.environment,
        )  # fmt: skip
        return done.status == 0


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
