"""What is asked of the cluster about its tasks: three kubectl side by side, and fewer at a next look.

A fourth one asks the NFS server, where a task that is to be shown has its share from there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from womm import complaints, server
from womm.checks.finding import PATIENCE
from womm.config import NFS
from womm.errors import WommError
from womm.files import TEMPLATES
from womm.kubectl import Kube
from womm.process import Done, attempt
from womm.tasks import listing, views
from womm.tasks.listing import Counts, Row
from womm.tasks.views import DOWN, View
from womm.threads import Pool, answer

# All in one: what a user may not list is left out, and complained of. As jsonpath, because `-o json` hides
# the managed fields, in which the server notes when it took a heartbeat (from kubectl 1.21 on, which has an
# option for them; 1.20 has not).
_KINDS = ("deployments.apps", "jobs.batch", "leases.coordination.k8s.io")
_OURS = "app.kubernetes.io/managed-by=womm"
_OBJECTS = ("get", ",".join(_KINDS), "-l", _OURS, "-o", "jsonpath={@}")
_CLOCK = "/apis/coordination.k8s.io/v1/namespaces/{}/leases?dryRun=All"

#: What a look that lacks something is worth, by what could not be had.
_WITHOUT = {
    "jobs.batch": "you may not list jobs: tasks begun with --async are not shown as such, or not at all",
    "leases.coordination.k8s.io": "you may not list leases: whether a task is still cared for is not known",
    "clock": "the cluster does not tell its time: ages are by this machine's clock",
}


@dataclass(frozen=True)
class Seen:
    """What one look has seen; `without` are sentences on what it had to go without."""

    rows: Sequence[Row]
    without: Sequence[str]


class Looker:
    """Looks at the tasks of one namespace, now and again."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        #: What is to be added to this machine's time since its start to have the API server's.
        self._offset: float | None = None
        self._by_our_clock = False
        #: Only tasks with a coordinator are the file server's.
        self._asks_server = True

    def look(self) -> Seen:
        """Ask. Raises WommError where the tasks themselves can't be had."""
        with Pool() as pool:
            offset = pool.submit(self._ask_offset) if self._offset is None else None
            told = pool.submit(self._ask_counts) if self._asks_server else None
            objects, refused = answer(pool.submit(self._ask_objects))
            if offset is not None:
                known = answer(offset)
                self._by_our_clock = known is None
                self._offset = time.time() - _uptime() if known is None else known
            counts = answer(told) if told is not None else {}
        rows = listing.rows(objects, counts, _uptime() + (self._offset or 0))
        self._asks_server = any(row.kind == listing.ASYNC for row in rows)
        lacking = sorted(refused | ({"clock"} if self._by_our_clock else set()))
        return Seen(rows, [_WITHOUT[what] for what in lacking])

    def with_views(self, rows: Sequence[Row]) -> list[Row]:
        """The same tasks, with what the NFS server, if it can be asked, says of those that it serves."""
        if not any(row.via == NFS for row in rows):
            return list(rows)
        with Pool() as pool:
            done = answer(pool.submit(self._ask_server, server.nfs_script("list")))
        told = views.told(done.status, done.text) if done is not None else None
        if told is None:
            return list(rows)
        # What is not served is not seen.
        return [replace(row, view=told.get(row.id, View(DOWN))) if row.via == NFS else row for row in rows]

    def _ask_objects(self) -> tuple[list[Any], set[str]]:
        # The objects, and the kinds of them that the user may not list.
        done = self._kube.attempt(*_OBJECTS)
        refused: set[str] = set()
        if done.status != 0:
            refused = complaints.refused_lists(done.stderr.decode(errors="replace"))
            if not refused or not refused <= _WITHOUT.keys():
                raise self._kube.explain(done.stderr)
        try:
            items = json.loads(done.stdout)["items"]
        except (ValueError, TypeError, KeyError):
            raise self._kube.explain(done.stderr) from None
        return items if isinstance(items, list) else [], refused

    def _ask_offset(self) -> float | None:
        # An object's creation is by the server's clock, and of a dry run nothing stays. None where the user
        # may not make one. Raises WommError without the namespace.
        url = _CLOCK.format(quote(self._kube.namespace, safe=""))
        argv = self._kube.argv("create", "--raw", url, "-f", str(TEMPLATES / "clock.json"))
        done = attempt(argv, patience=PATIENCE)
        uptime = _uptime()
        try:
            now = listing.seconds(json.loads(done.stdout)["metadata"]["creationTimestamp"])
        except (ValueError, TypeError, KeyError):
            # A list of what is in a namespace that doesn't exist is empty, and no error.
            if complaints.is_no_namespace(done.stderr.decode(errors="replace")):
                raise self._kube.explain(done.stderr) from None
            return None
        return now - uptime if now is not None else None

    def _ask_counts(self) -> dict[str, Counts]:
        # Whatever goes wrong: there need not be a file server, nor one of this version, nor one at work.
        done = self._ask_server(server.task_script("list"))
        return listing.counts(done.text) if done is not None and done.status == 0 else {}

    def _ask_server(self, words: tuple[str, ...]) -> Done | None:
        # What the file server answers; None where it can't be asked.
        where = (
            "exec",
            f"deployment/{server.NAME}",
            "-c",
            server.CONTAINER,
            "--pod-running-timeout=1s",
            "--",
        )
        try:
            return attempt(self._kube.argv(*where, *words), patience=PATIENCE)
        except WommError:
            return None


def _uptime() -> float:
    # It goes on while this machine sleeps, and nobody sets it.
    return time.clock_gettime(time.CLOCK_BOOTTIME)
