"""`womm parallel --async`: what the task needs goes to the file server, and its coordinator is started."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from womm import output, problems, server, signals, workers
from womm.errors import WommError
from womm.hub.job import Rules
from womm.kubectl import Kube
from womm.link import Link
from womm.manifests import CoordinatorSpec, TaskSpec, coordinator_manifest
from womm.output import progress, warn
from womm.process import attempt
from womm.runs import Run
from womm.server import task_script
from womm.shares.copy import key_of
from womm.shares.home import expect
from womm.tasks import detached
from womm.tasks.detached import Detached
from womm.tasks.order import Order
from womm.tasks.record import Record
from womm.values import Workers
from womm.workers import Begun, Here

_CHUNK = 1 << 18
# Seconds between two looks whether the coordinator has begun, and between two at why not; that one may take.
_GLANCE, _WHY, _READING = 0.3, 4.0, 10.0
# What says how its user wants text to be read.
_LOCALE = ("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_COLLATE", "LC_MESSAGES", "TZ")


def submit(here: Here, wanted: Workers, asked: Detached, rules: Rules, again: Sequence[str] | None) -> str:
    """Start the task; return its id once its coordinator has begun.

    Raises WommError, and then nothing is left. `again` are the words that run its failed jobs again, but for
    the joblog's.
    """
    _demand_files(asked.files)
    with workers.taken_back() as undo:
        run_ = workers.new_run(undo)
        begun = workers.begin(run_, wanted, here, undo, rules=rules, ready=lambda _pods: None, served=True)
        upload = _Upload(run_, here.kube, begun)
        pushed = begun.push()
        record = Record(
            task=run_.task,
            kube=here.kube,
            directory=str(here.directory),
            kubeconfig=os.environ.get("KUBECONFIG", ""),
            again=None if again is None else tuple(again),
        )
        if asked.stdin:
            upload.send("stdin", sys.stdin.buffer)
        for number, name in enumerate(asked.files, 1):
            with open(name, "rb") as file:
                upload.send(detached.place(number), file)
        spec = begun.permitted()
        upload.send_bytes("order", _order(here, wanted, asked, rules, spec).dump())
        with contextlib.ExitStack() as failed:
            failed.callback(record.forget)
            record.keep()
            if pushed is not None and pushed.results is not None:
                expect(record.write, *pushed.results)
            _create(run_, here.kube, spec, begun)
            failed.pop_all()
        # From here on it is on its own, whatever becomes of this womm.
        run_.forget_all()
        progress(f"job.batch/womm-async-{run_.task} created")
        if begun.found is not None and not begun.found.lasting:
            progress(
                "womm: the file server has no volume of its own: what a task leaves there goes with its pod"
            )
        _see_it_begin(upload, here.kube, run_, wanted.pending_timeout)
        return run_.task


class _Upload:
    """The way of a task's files to the file server; the run's end forgets them there."""

    def __init__(self, run_: Run, kube: Kube, begun: Begun) -> None:
        assert begun.found is not None
        self._task, self._link = run_.task, Link(run_, begun.found.pod)
        run_.undo_later(server.by_kubectl(kube, begun.found.pod, task_script("drop", run_.task)))

    def send(self, name: str, file: BinaryIO) -> None:
        """Send what `file` holds as the task's file `name`. Raises WommError unless it has arrived whole."""
        self._send(name, _chunks(file))

    def send_bytes(self, name: str, content: bytes) -> None:
        """The same, of `content`."""
        self._send(name, iter([content]))

    def _send(self, name: str, chunks: Iterator[bytes]) -> None:
        hashed = hashlib.sha256()
        count = 0

        def noted() -> Iterator[bytes]:
            nonlocal count
            for chunk in chunks:
                signals.check()
                hashed.update(chunk)
                count += len(chunk)
                output.status(f"womm: sending {name}: {count >> 20} MiB")
                yield chunk

        done = self._link.pour(noted(), *task_script("put", self._task, name))
        output.status("")
        if done.status != 0:
            raise WommError(f"the file server does not take the task's {name}: {done.complaint}", "try again")
        if done.text.split() != [str(count), hashed.hexdigest()]:
            raise WommError(f"the task's {name} did not arrive whole at the file server", "try again")

    def has_begun(self) -> bool:
        """Whether the coordinator has."""
        return self._link.ask(*task_script("get", self._task, "state")).status == 0


def _order(here: Here, wanted: Workers, asked: Detached, rules: Rules, spec: TaskSpec) -> Order:
    names = [*_LOCALE, *asked.exported, *(f"BASH_FUNC_{name}%%" for name in asked.exported)]
    return Order(
        task=spec.id,
        directory=str(here.directory),
        shell=here.shell,
        project=here.project,
        workers=wanted,
        share=spec.share,
        key=key_of(here.project.directory) if spec.share is not None else "",
        theirs=asked.theirs,
        command=asked.command,
        rerun=rules.rerun,
        grouped=rules.own_files,
        pinned=rules.pinned,
        cpu_limit=spec.cpu_limit,
        repeatable=asked.repeatable,
        stdin=asked.stdin,
        files=len(asked.files),
        environment={name: os.environ[name] for name in names if name in os.environ},
    )


def _create(run_: Run, kube: Kube, spec: TaskSpec, begun: Begun) -> None:
    assert begun.found is not None
    coordinator = CoordinatorSpec(run_.task, begun.found.image, begun.found.arch)
    job = kube.argv("delete", f"job/{coordinator.name}", "--ignore-not-found", "-o", "name", "--wait=false")
    run_.undo_later(job)
    run_.write("coordinator.yaml", coordinator_manifest(spec, coordinator).encode())
    kube.create(run_.path / "coordinator.yaml", run_.environment)


def _see_it_begin(upload: _Upload, kube: Kube, run_: Run, pending: float) -> None:
    # It needs nobody's patience: who has none is told, and it begins without him.
    deadline = time.monotonic() + pending
    look_again = time.monotonic() + _WHY
    told = ""
    while not upload.has_begun():
        time.sleep(_GLANCE)
        signals.check()
        now = time.monotonic()
        if now > look_again:
            look_again = now + _WHY
            why = _why_not(kube, run_)
            if why and why != told:
                told = why
                warn(f"the coordinator is waiting: {why}")
        if now > deadline:
            warn("the coordinator has not begun yet; the task waits for it")
            return


def _why_not(kube: Kube, run_: Run) -> str:
    argv = kube.argv("get", "pods", "-l", f"womm.dev/async={run_.task}", "-o", "json")
    done = attempt(argv, patience=_READING, env=run_.environment)
    with contextlib.suppress(ValueError, KeyError):
        for pod in json.loads(done.stdout)["items"]:
            problem = problems.explain(pod, "coordinator")
            if problem is not None:
                return problem.message + (f" ({problem.hint})" if problem.hint else "")
        return "the cluster makes no pod for its Job" if done.status == 0 else ""
    return ""


def _demand_files(names: Sequence[str]) -> None:
    # Before anything is begun. Raises WommError.
    for name in names:
        if not Path(name).is_file() and not os.access(name, os.R_OK):
            raise WommError(f"{name} can't be read", "GNU parallel is to read arguments from it")


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    # As they come: who types them, or computes them, sees how far they are.
    while chunk := os.read(file.fileno(), _CHUNK):
        yield chunk
