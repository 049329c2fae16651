"""Why the cluster takes no such pod, and the way out: what admission says, understood (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from womm import sizes

# A denial of the pod itself. `pods is forbidden: User … cannot create` is the user's, and proves nothing.
_DENIED = re.compile(
    r"""(?: pods?\ "[^"]*"\ is\ (?:forbidden|invalid): | (?=admission\ webhook\ "[^"]*"\ denied) )
    \s* (?P<reason>.*)""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
# What one pod asks for, and what the quota allows in all: `requested: cpu=3,pods=1, used: …, limited: …`.
_QUOTA = re.compile(r"exceeded quota: .*requested: (?P<requested>\S+), used: \S+, limited: (?P<limited>\S+)")
# It goes by itself: the account of a namespace that has just been made.
_PASSING = re.compile(r"error looking up service account")
# A quota that counts what the pod does not say; a default that is less than the pod asks for; bounds of what
# neither the pod nor a default says.
_DEMANDS_LIMIT = re.compile(
    r"must specify [a-z.,-]*limits\.cpu\b|must be less than or equal to cpu limit|"
    r"maximum cpu usage per \w+ is \S+ No limit is specified|"
    r"cpu max limit to request ratio per \w+ is \S+ but no limit is specified"
)

# What is found in a reason, and the way out of it.
_WAYS_OUT = (
    (
        r"violates PodSecurity|pod security policy",
        "jobs that run as root (setup --as-root) need a namespace whose label"
        " pod-security.kubernetes.io/enforce is not `restricted`: set up again without --as-root, or ask who"
        " may change the label",
    ),
    (
        r"exceeded quota.*ephemeral-storage|to ephemeral-storage limit|maximum ephemeral-storage",
        "the copy of the directory takes that much of a node's disk: leave something out (.wommignore), or"
        " womm setup --share none",
    ),
    (
        r"exceeded quota",
        "ask for less (--kube-cpu, --kube-mem), wait until other pods of the namespace have ended, or have"
        " its ResourceQuota raised",
    ),
    (
        r"must specify",
        "the namespace needs a LimitRange with a default for it: ask who made its ResourceQuota",
    ),
    (
        r"usage per (Container|Pod)|limit to request ratio",
        "keep to the namespace's LimitRange: --kube-cpu N, --kube-mem N",
    ),
    (r"admission webhook", "it is a rule of this cluster's own: ask who made it"),
)


@dataclass(frozen=True)
class Refusal:
    """Why no such pod is taken, in Kubernetes' own words, and the way out.

    `demands_limit`: it would be, with a limit of its cpus. `passes`: waiting may mend it.
    """

    reason: str
    hint: str = ""
    demands_limit: bool = False
    passes: bool = False


def understand(text: str) -> Refusal | None:
    """What `text`, an error or a condition of Kubernetes', says against a pod; None: nothing that lasts."""
    denied = _DENIED.search(text)
    if denied is None or _PASSING.search(text):
        return None
    reason = " ".join(denied["reason"].split())
    hint = next((hint for pattern, hint in _WAYS_OUT if re.search(pattern, reason)), "")
    return Refusal(reason, hint, _DEMANDS_LIMIT.search(reason) is not None, _is_room_for_one(reason))


def _is_room_for_one(reason: str) -> bool:
    # Whether it is but other pods that use the quota up: they end some day.
    quota = _QUOTA.search(reason)
    if quota is None:
        return False
    try:
        requested, limited = (
            {name: sizes.amount(value) for name, value in (pair.split("=") for pair in text.split(","))}
            for text in quota.groups()
        )
        return all(requested[name] <= limited[name] for name in requested)
    except (ValueError, KeyError):
        return False


def is_open(text: str) -> bool:
    """Whether `text`, an error of trying a pod, leaves open what becomes of a deployment's pods.

    Its user may create deployments, but no pods; a webhook knows no dry run, or is out of reach for now.
    """
    # Warnings, and lines of kubectl's log, may stand before it.
    answer = r"^Error from server \((Forbidden|BadRequest|InternalError)\)"
    return re.search(answer, text, re.MULTILINE) is not None


def of_deployment(deployment: Mapping[str, Any]) -> Refusal | None:
    """Why the cluster makes no more pods for this deployment; None if it does.

    It tries again and again: what is not known to last (a webhook that is out of reach, say) may pass.
    """
    for condition in deployment.get("status", {}).get("conditions", []):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            text = str(condition.get("message") or condition.get("reason", ""))
            if _PASSING.search(text):
                return None
            return understand(text) or Refusal(" ".join(text.split()), passes=True)
    return None
