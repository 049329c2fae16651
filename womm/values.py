"""What options may say: counts, times, quantities, labels; and what they say of a task's pods (pure).

All functions raise WommError with the way out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

from womm.errors import WommError

#: What --transport takes.
TRANSPORTS = ("auto", "websocket", "exec")

_QUANTITY = re.compile(r"(?=[0.]*[1-9])([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[munkMGTPE]|[eE][-+]?[0-9]+)?")
# Bytes; with less no container starts, and Kubernetes tries for ever.
_LEAST_MEMORY = 8_000_000

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_KEY = re.compile(rf"([a-z0-9.-]{{1,253}}/)?{_NAME}")


@dataclass(frozen=True)
class Workers:
    """What a task asks of the cluster; `command` is only shown.

    `cpu` and `memory` are of each pod, `lost_after`, `pending_timeout` and `fresh` in seconds. `fresh`:
    how old what pods see of a lazy share may be, or None: as its link allows.
    """

    command: Sequence[str] = ()
    pods: int = 1
    slots: int = 1
    cpu: str = "1"
    memory: str = "512Mi"
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[str, ...] = ()
    lost_after: int = 30
    fresh: int | None = None
    transport: str = "auto"
    pending_timeout: float = 300


def count(name: str, text: str, least: int = 1) -> int:
    """The whole number, at least `least`, that option `name` was given."""
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or int(text) < least:
        raise WommError(
            f"{name} takes a whole number above {least - 1}, not {text!r}", f"for example {name} {least + 2}"
        )
    return int(text)


def fresh(given: str | None) -> int | None:
    """The seconds that --fresh was given."""
    return None if given is None else count("--fresh", given)


def duration(name: str, given: str | None, default: str) -> float:
    """The seconds of a time that is written as for GNU parallel's --timeout: 90, 1.5m, 1h30m."""
    text = given or default
    if not re.fullmatch(
        r"([0-9]{1,9}(\.[0-9]+)?[smhd])*([0-9]{1,9}(\.[0-9]+)?[smhd]?)", text, re.ASCII | re.I
    ):
        raise WommError(f"{name} takes a time, not {text!r}", f"for example {name} 90, or {name} 1h30m")
    found = re.findall(r"([0-9.]+)([smhd]?)", text.lower())
    return sum(float(number) * _SECONDS[unit] for number, unit in found)


def transport(given: str | None) -> str:
    """What --transport was given, or its default."""
    text = given or TRANSPORTS[0]
    if text not in TRANSPORTS:
        raise WommError(f"--transport takes {', '.join(TRANSPORTS)}; not {text!r}", "leave it out: auto")
    return text


def _quantity(name: str, text: str) -> str:
    if not _QUANTITY.fullmatch(text):
        raise WommError(
            f"{name}: {text!r} is no Kubernetes quantity",
            "for example 2 or 500m (cpu), 512Mi or 4Gi (memory)",
        )
    return text


def _said(
    option: str, given: str | None, variable: str, environ: Mapping[str, str], default: str
) -> tuple[str, str]:
    # What says a value, and the value.
    if given is not None:
        return option, given
    return variable, environ.get(variable) or default


def cpu(given: str | None, environ: Mapping[str, str]) -> str:
    """What --kube-cpu was given, or its default: a Kubernetes quantity."""
    return _quantity(*_said("--kube-cpu", given, "WOMM_KUBE_CPU", environ, "1"))


def memory(given: str | None, environ: Mapping[str, str]) -> str:
    """What --kube-mem was given, or its default: a Kubernetes quantity of bytes."""
    name, text = _said("--kube-mem", given, "WOMM_KUBE_MEM", environ, "512Mi")
    _quantity(name, text)
    match = _QUANTITY.fullmatch(text)
    assert match is not None
    number, suffix = match[1], match[3] or ""
    if suffix[-1:].isdigit():
        size = float(f"{number}{suffix}")
    else:
        # Ki counts as k: the least is no exact figure. No letter, and n, u and m, are no power.
        size = float(number) * 1000 ** ("KMGTPE".find(suffix[:1].replace("k", "K") or "?") + 1)
    if suffix in ("n", "u", "m") or size < _LEAST_MEMORY:
        raise WommError(f"{name} {text} is too little for a pod (its unit is bytes)", "for example 512Mi")
    return text


def volume(text: str) -> str:
    """The size of a volume that --size was given: a Kubernetes quantity of bytes."""
    _quantity("--size", text)
    if not re.search("[KMGTPE]i?$", text):
        raise WommError(f"--size {text} is too little for a volume (its unit is bytes)", "for example 50Gi")
    return text


def networks(text: str) -> tuple[str, ...]:
    """The addresses and networks, with commas between them, that --nfs-clients was given."""
    found = tuple(part.strip() for part in text.split(","))
    for part in found:
        try:
            ip_network(part)
        except ValueError as error:
            raise WommError(
                f"--nfs-clients takes addresses and networks: {error}", "for example 10.1.2.3,10.4.0.0/16"
            ) from error
    return found


def node_selector(given: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The labels that --kube-node-selector was given, or their default: values by keys."""
    name, texts = _said_all("--kube-node-selector", given, "WOMM_KUBE_NODE_SELECTOR", environ)
    return dict(_selector(name, text) for text in texts)


def tolerations(given: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that --kube-toleration was given, or their default."""
    name, keys = _said_all("--kube-toleration", given, "WOMM_KUBE_TOLERATION", environ)
    return tuple(_label(name, key) for key in keys)


def _said_all(
    option: str, given: Sequence[str], variable: str, environ: Mapping[str, str]
) -> tuple[str, Sequence[str]]:
    # What says the values, and the values; a variable has blanks between them.
    if given:
        return option, given
    return variable, environ.get(variable, "").split()


def _selector(name: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise WommError(f"{name} takes KEY=VALUE, not {text!r}", "see kubectl get nodes --show-labels")
    _label(name, key)
    if value and not re.fullmatch(_NAME, value):
        raise WommError(f"{name}: {value!r} is no label's value", "see kubectl get nodes --show-labels")
    return key, value


def _label(name: str, key: str) -> str:
    if not _KEY.fullmatch(key):
        raise WommError(
            f"{name}: {key!r} is no label's key", "letters, digits, '-', '_', '.', and a prefix/ maybe"
        )
    return key
