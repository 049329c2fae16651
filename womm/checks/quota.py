"""What a namespace's quotas leave for a task's pods (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from womm import sizes
from womm.checks.finding import NOTE, OK, Finding

# What a task takes. Of other things, load balancers say, a namespace may well be given none.
_OURS = re.compile(
    r"(count/)?(pods|secrets|deployments\.apps|replicasets\.apps)|((requests|limits)\.)?(cpu|memory)"
)


def finding(quotas: Sequence[Mapping[str, Any]]) -> Finding:
    """What is used of each resource, and of which nothing is left; each of the ResourceQuotas counts."""
    if not quotas:
        return Finding("quota", OK, "the namespace has none")
    lines: list[tuple[str, str]] = []
    gone: set[str] = set()
    for quota in quotas:
        whose = f" ({quota['metadata']['name']})" if len(quotas) > 1 else ""
        # With a scope it may be for other pods.
        scoped = quota.get("spec", {}).keys() & {"scopes", "scopeSelector"}
        status = quota.get("status", {})
        for name, hard in status.get("hard", {}).items():
            used = status.get("used", {}).get(name, "0")
            lines.append((name, f"{name} {used} of {hard}{whose}"))
            if not scoped and _OURS.fullmatch(name) and sizes.amount(used) >= sizes.amount(hard):
                gone.add(name)
    text = f"used: {', '.join(line for _, line in sorted(lines, key=lambda line: line[0]))}"
    if not gone:
        return Finding("quota", OK, text)
    fix = "jobs wait until something else ends (`kubectl get pods`); an administrator may raise it"
    return Finding("quota", NOTE, f"nothing is left of {', '.join(sorted(gone))}; {text}", fix)
