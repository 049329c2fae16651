"""The end of a task that runs, or ran, by itself: results and joblog come home, the rest is deleted."""

from __future__ import annotations

import contextlib

from womm import config, joblog, joblogs, prompts, trust
from womm.complaints import Forbidden
from womm.errors import WommError
from womm.kubectl import Kube
from womm.link import Link, linked
from womm.output import progress, warn
from womm.process import Done, run
from womm.retry import pasteable
from womm.server import script, task_script
from womm.shares.home import Home, expected_at
from womm.tasks import listing
from womm.tasks.listing import Row
from womm.tasks.look import Looker
from womm.tasks.order import Order, load
from womm.tasks.record import Record

# Seconds that a file server may take to start; that a coordinator may take to note what it has, and go.
_PATIENCE, _ENDING = 10.0, 120.0


class Finisher:
    """Finishes one task; with `force`, one that still runs without a question. `many`: it was not named."""

    def __init__(self, kube: Kube, task: str, record: Record | None, force: bool, many: bool) -> None:
        self._kube, self._task, self._record = kube, task, record
        self._force, self._many = force, many

    def finish(self) -> bool:
        """Finish it; a task that is gone is finished. Returns whether its results met conflicts.

        Raises WommError, and then what it keeps is kept.
        """
        row = next((row for row in Looker(self._kube).look().rows if row.id == self._task), None)
        if row is not None and row.status in (listing.RUNNING, listing.UNKNOWN):
            self._permit(row)
        if row is None and self._record is None:
            progress(f"womm: there is no task {self._task} any more")
            return False
        if row is not None and row.kind == listing.ASYNC:
            # Its coordinator notes what it has, and takes the worker pods back.
            self._delete(f"job/womm-async-{self._task}", "--cascade=foreground")
        conflicts = False
        if self._record is not None or (row is not None and row.kind == listing.ASYNC):
            try:
                with linked(self._kube, _PATIENCE) as link:
                    conflicts = self._take_leave(link)
            except WommError as error:
                if self._record is not None and self._record.has_results:
                    raise
                warn(f"the file server's part of {self._task} is not taken back: {error.message}")
        name = f"womm-task-{self._task}"
        self._delete(f"deployment/{name}")
        # Not waited for: that would take the right to list the namespace's.
        self._delete(f"secret/{name}", "--wait=false")
        with contextlib.suppress(Forbidden):
            self._delete(f"lease/{name}", "--wait=false")
        if self._record is not None:
            self._record.forget()
        progress(f"womm: task {self._task} is finished")
        return conflicts

    def _permit(self, row: Row) -> None:
        # Raises WommError unless a task that still runs may be ended.
        elsewhere = row.machine != config.machine() or row.directory != str(config.working_directory())
        story = f"{self._task} still runs: {trust.shown(row.command)} in {trust.shown(row.directory)}"
        if self._force or not (elsewhere or self._many):
            warn(f"{story}; it is ended")
            return
        if not prompts.can_ask():
            raise WommError(story, f"womm finish --force {self._task} ends it")
        if not prompts.confirm(f"{story}. End it?"):
            raise WommError(f"{self._task} goes on", f"`womm wait {self._task}` waits for its end")

    def _take_leave(self, link: Link) -> bool:
        # What is to come home comes; then the file server forgets the task. Returns whether there were
        # conflicts.
        conflicts = False
        if self._record is not None and self._record.has_results:
            home = Home(link.run, self._record.path, link.pod, expected_at(self._record.path))
            home.bring()
            conflicts = home.conflicts
        order = self._ask(link, "order")
        if order.status == 0:
            self._keep_joblog(link)
            self._close_share(link, load(order.stdout))
        run(link.argv(*task_script("drop", self._task)), env=link.run.environment)
        return conflicts

    def _keep_joblog(self, link: Link) -> None:
        # For `womm timeline` and --retry-failed.
        written = self._ask(link, "joblog").stdout
        path = joblogs.keep(self._task, written, self._ask(link, "places").stdout)
        rows = joblog.read(written)
        failed = [row for row in rows if row.failed]
        again = self._record.again if self._record is not None else None
        if failed and path is not None and again is not None and joblog.once_more(rows, failed, False):
            progress(f"womm: {len(failed)} of {len(rows)} jobs failed; to run only those again:")
            progress(pasteable(["womm", *again, "--retry-failed", "--joblog", str(path)]))

    def _close_share(self, link: Link, order: Order) -> None:
        if not order.key:
            return
        if order.share is not None and order.share.back and self._record is None:
            warn(f"what {self._task} has changed can only come home where it was started: it is dropped")
        run(link.argv(*script("close", self._task, order.key)), env=link.run.environment)

    def _ask(self, link: Link, name: str) -> Done:
        return link.ask(*task_script("get", self._task, name))

    def _delete(self, *what: str) -> None:
        self._kube.run("delete", *what, "--ignore-not-found", "-o", "name", patience=_ENDING)
