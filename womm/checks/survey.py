"""All checks, side by side."""

from __future__ import annotations

from concurrent.futures import Future

from womm.checks import kinds, machine
from womm.checks.cluster import cluster
from womm.checks.finding import Finding
from womm.engine import Engine
from womm.kubectl import KubeChoice
from womm.threads import Pool, answer


def survey(choice: KubeChoice, engine: str | None = None) -> list[Finding]:
    """Look at everything, within 15 s whatever does not answer; in the order in which it is shown.

    `choice` is what the user says of the cluster now, over what the directory's configuration says.
    """
    directory, project = machine.directory()
    if project is not None:
        choice = choice.over(project.choice)
    with Pool() as pool:
        tools, found = _tools(pool, engine)
        pushed = pool.submit(machine.registry, project, lambda: found.result()[1])
        there = pool.submit(cluster, choice, project, pool)
        here = [*(answer(tool) for tool in tools), answer(found)[0], answer(pushed), directory]
        findings = [*here, *answer(there)]
    return [*findings, kinds.shares(findings, machine.unshareable())]


def preflight(choice: KubeChoice, engine: str | None) -> list[Finding]:
    """What a setup takes, whatever an earlier one has chosen; as survey."""
    with Pool() as pool:
        tools, found = _tools(pool, engine)
        there = pool.submit(cluster, choice, None, pool)
        return [*(answer(tool) for tool in tools), answer(found)[0], *answer(there)]


def place(choice: KubeChoice) -> list[Finding]:
    """What is to be said of a cluster and namespace alone; as survey."""
    with Pool() as pool:
        return answer(pool.submit(cluster, choice, None, pool))


def _tools(
    pool: Pool, engine: str | None
) -> tuple[list[Future[Finding]], Future[tuple[Finding, Engine | None]]]:
    asked = [pool.submit(machine.tool, *row) for row in machine.TOOLS]
    return [*asked, pool.submit(machine.parallel)], pool.submit(machine.container_engine, engine)
