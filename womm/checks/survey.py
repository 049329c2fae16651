"""All checks, side by side."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from womm import signals
from womm.checks import kinds, machine
from womm.checks.cluster import cluster
from womm.checks.finding import Finding
from womm.engine import Engine
from womm.kubectl import KubeChoice

T = TypeVar("T")


def survey(choice: KubeChoice, engine: str | None = None) -> list[Finding]:
    """Look at everything, within 15 s whatever does not answer; in the order in which it is shown.

    `choice` is what the user says of the cluster now, over what the directory's configuration says.
    """
    directory, project = machine.directory()
    if project is not None:
        choice = choice.over(project.choice)
    with ThreadPoolExecutor(16, "check") as pool:
        tools, found = _tools(pool, engine)
        pushed = pool.submit(machine.registry, project, lambda: found.result()[1])
        there = pool.submit(cluster, choice, project, pool)
        here = [*(_answer(tool) for tool in tools), _answer(found)[0], _answer(pushed), directory]
        findings = [*here, *_answer(there)]
    return [*findings, kinds.shares(findings, machine.unshareable())]


def preflight(choice: KubeChoice, engine: str | None) -> list[Finding]:
    """What a setup takes, whatever an earlier one has chosen; as survey."""
    with ThreadPoolExecutor(16, "check") as pool:
        tools, found = _tools(pool, engine)
        there = pool.submit(cluster, choice, None, pool)
        return [*(_answer(tool) for tool in tools), _answer(found)[0], *_answer(there)]


def place(choice: KubeChoice) -> list[Finding]:
    """What is to be said of a cluster and namespace alone; as survey."""
    with ThreadPoolExecutor(16, "check") as pool:
        return _answer(pool.submit(cluster, choice, None, pool))


def _tools(
    pool: ThreadPoolExecutor, engine: str | None
) -> tuple[list[Future[Finding]], Future[tuple[Finding, Engine | None]]]:
    asked = [pool.submit(machine.tool, *row) for row in machine.TOOLS]
    return [*asked, pool.submit(machine.parallel)], pool.submit(machine.container_engine, engine)


def _answer(future: Future[T]) -> T:
    # A wait of the main thread's looks for signals.
    while not future.done():
        wait([future], 0.1)
        signals.check()
    return future.result()
