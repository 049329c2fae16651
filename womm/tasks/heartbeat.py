"""A task's heartbeat: a Lease that whoever runs the task renews.

Where none comes any more, the file server takes the task's pods back (scripts/server-orphans). It and `womm
status` only look whether the Lease changes: clocks are not compared.
"""

from __future__ import annotations

import json
import socket
import threading
from datetime import datetime, timezone

from womm.errors import WommError
from womm.kubectl import Kube
from womm.manifests import TaskSpec, lease_manifest
from womm.output import debug
from womm.runs import Run

#: Seconds between two beats; without one for so long nobody is taken to run the task any more.
EVERY, STALE = 60, 180
# Seconds before the first one, which short runs are spared; that one may take; until the next try of one that
# failed; that the end may take.
_FIRST, _PATIENCE, _AGAIN, _FAREWELL = 3.0, 20.0, 10.0, 2.0


class Heartbeat(threading.Thread):
    """Beats from start() to stop(), in a namespace whose users may make Leases; else it is silent."""

    def __init__(self, kube: Kube, run_: Run, spec: TaskSpec) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._kube, self._run, self._spec = kube, run_, spec
        self._stopping = threading.Event()

    def run(self) -> None:
        """Beat until stop()."""
        try:
            if self._stopping.wait(_FIRST) or not self._begin():
                return
            pause = float(EVERY)
            while not self._stopping.wait(pause):
                pause = EVERY if self._renew() else _AGAIN
        except (OSError, WommError) as error:
            debug(f"no heartbeat: {error}")

    def stop(self) -> None:
        """Beat no more; the Lease goes with the run."""
        self._stopping.set()
        self.join(_FAREWELL)

    def _begin(self) -> bool:
        # Returns whether there is a Lease.
        self._run.write(
            "lease.yaml", lease_manifest(self._spec, socket.gethostname(), STALE, _now()).encode()
        )
        create = ("create", "-f", str(self._run.path / "lease.yaml"), "-o", "name")
        while not self._stopping.is_set():
            done = self._kube.attempt(*create, patience=_PATIENCE, env=self._run.environment)
            if done.status == 0 or b"AlreadyExists" in done.stderr:
                self._run.undo_later(
                    self._kube.argv(
                        "delete",
                        f"lease/{self._spec.name}",
                        "--ignore-not-found",
                        "-o",
                        "name",
                        "--wait=false",
                    )
                )
                return True
            if b"Forbidden" in done.stderr or b"forbidden" in done.stderr:
                debug(f"no heartbeat: {done.stderr.decode(errors='replace').strip()}")
                return False
            self._stopping.wait(_AGAIN)
        return False

    def _renew(self) -> bool:
        patch = json.dumps({"spec": {"renewTime": _now()}})
        done = self._kube.attempt(
            "patch", "lease", self._spec.name, "--type=merge", "-p", patch,
            patience=_PATIENCE, env=self._run.environment,
        )  # fmt: skip
        return done.status == 0


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
