"""womm's own options of `womm parallel`, split from GNU parallel's (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from womm.errors import WommError
from womm.getopt import Option, Parsed, Table, Token, parse
from womm.kubectl import KubeChoice

#: What `womm parallel --help` tells: option, its argument, what it means.
HELP = (
    ("--kube-pods", "N", "pods to run the jobs in (required)"),
    ("--procs-per-pod", "N", "jobs at once in each pod; -j N means the same (default: 1)"),
    ("--kube-cpu", "N", "cpus of each pod (default: 1, or WOMM_KUBE_CPU)"),
    ("--kube-mem", "N", "memory of each pod, and its limit (default: 512Mi, or WOMM_KUBE_MEM)"),
    ("--kube-node-selector", "K=V", "only nodes with this label; may be repeated"),
    ("--kube-toleration", "KEY", "also nodes with a taint of this key; may be repeated"),
    ("--namespace", "NAME", "as in kubectl (default: what setup chose)"),
    ("--context", "NAME", "as in kubectl (default: what setup chose)"),
    ("--kubeconfig", "FILE", "as in kubectl (default: what setup chose)"),
    ("--quiet", "", "keep womm's own lines off stderr"),
    ("--help", "", "this text"),
)

OURS = tuple(
    Option((name.removeprefix("--"),), "required" if argument else "none", "string" if argument else None)
    for name, argument, _ in HELP
    if name != "--help"
)

#: GNU parallel's options that make it answer and end without running a job.
_ANSWERS = frozenset(
    {
        "citation", "dry-run", "embed", "help", "max-line-length-allowed", "min-version",
        "number-of-cores", "number-of-cpus", "number-of-sockets", "number-of-threads",
        "record-env", "shell-completion", "shell-quote", "version",
    }
)  # fmt: skip

_OWN_LOGINS = "womm gives GNU parallel its logins: leave it out"
_LOCAL = "it makes GNU parallel a semaphore for jobs on this machine: call parallel itself"
_REFUSED = {
    "sshlogin": _OWN_LOGINS,
    "sshloginfile": _OWN_LOGINS,
    "ssh": _OWN_LOGINS,
    # An argument, from stdin even, could choose this machine: `x@:`.
    "hostgroups": _OWN_LOGINS,
    **dict.fromkeys(("semaphore", "semaphore-name", "semaphore-timeout", "fg", "bg", "wait"), _LOCAL),
    "combineexec": "it makes a program that runs jobs on one machine: call parallel itself",
    "profile": "write the profile's options on the command line",
}

_QUANTITY = re.compile(r"(?=[0.]*[1-9])([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[munkMGTPE]|[eE][-+]?[0-9]+)?")
# Bytes; with less no container starts, and Kubernetes tries for ever.
_LEAST_MEMORY = 8_000_000

_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL = re.compile(rf"([a-z0-9.-]{{1,253}}/)?{_NAME}")


@dataclass(frozen=True)
class ParallelOptions:
    """A command line of `womm parallel`, understood.

    `theirs` are GNU parallel's options as they were given, but for -j; `command` is all that follows
    the `--`; `per_host`: it runs once on each host (--onall). With `answers` GNU
    parallel runs no job, and nothing else here counts.
    """

    pods: int = 0
    slots: int = 1
    cpu: str = "1"
    memory: str = "512Mi"
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[str, ...] = ()
    kube: KubeChoice = KubeChoice()
    quiet: bool = False
    help: bool = False
    answers: bool = False
    theirs: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    per_host: bool = False


def split(arguments: Sequence[str], table: Table, environ: Mapping[str, str]) -> ParallelOptions:
    """Understand the arguments of `womm parallel`. Raises WommError (BadOption: GNU parallel's affair)."""
    parsed = parse(arguments, table)
    ours: dict[str, list[str]] = {}
    theirs: list[Token] = []
    for token in parsed.tokens:
        if token.option in table.ours:
            ours.setdefault(token.name, []).append(token.value or "")
        else:
            theirs.append(token)
    if any("help" in token.option.names for token in theirs):
        return ParallelOptions(help=True)
    kube = KubeChoice(*(_last(ours, name) for name in ("namespace", "context", "kubeconfig")))
    raw = [argument for token in theirs for argument in token.raw]
    if any(_ANSWERS & set(token.option.names) for token in theirs):
        separator = ["--"] if parsed.terminated else []
        return ParallelOptions(answers=True, theirs=(*raw, *separator, *parsed.rest))
    _refuse(theirs)
    _demand(parsed, ours)
    jobs = [token for token in theirs if _is_jobs(token)]
    return ParallelOptions(
        pods=_count("--kube-pods", _last(ours, "kube-pods") or ""),
        slots=_slots(jobs, ours),
        cpu=_quantity("--kube-cpu", _last(ours, "kube-cpu"), environ.get("WOMM_KUBE_CPU") or "1"),
        memory=_memory("--kube-mem", _last(ours, "kube-mem"), environ.get("WOMM_KUBE_MEM") or "512Mi"),
        node_selector=dict(_selector(item) for item in ours.get("kube-node-selector", [])),
        tolerations=tuple(_label("--kube-toleration", k) for k in ours.get("kube-toleration", [])),
        kube=kube,
        quiet="quiet" in ours,
        theirs=tuple(a for token in theirs if not _is_jobs(token) for a in _passed_on(token)),
        command=tuple(parsed.rest),
        per_host=any({"onall", "nonall"} & set(token.option.names) for token in theirs),
    )


def _last(ours: Mapping[str, list[str]], name: str) -> str | None:
    return ours[name][-1] if name in ours else None


def _is_jobs(token: Token) -> bool:
    return bool({"jobs", "max-procs", "P"} & set(token.option.names))


def _passed_on(token: Token) -> tuple[str, ...]:
    # `--wd .` would be made relative to this machine's $HOME; pods start in the directory itself.
    if "workdir" in token.option.names and token.value == ".":
        return ("--workdir", "./.")
    return token.raw


def _refuse(theirs: Sequence[Token]) -> None:
    for token in theirs:
        for name in token.option.names:
            if name in _REFUSED:
                raise WommError(f"{token.raw[0]} can't be used with womm parallel", _REFUSED[name])


def _demand(parsed: Parsed, ours: Mapping[str, list[str]]) -> None:
    usage = "womm parallel --kube-pods 3 -- COMMAND …"
    if not parsed.terminated:
        before = f" before {parsed.rest[0]!r}" if parsed.rest else ""
        raise WommError(f"`--` is missing{before}: it ends the options", usage)
    if "kube-pods" not in ours:
        raise WommError("--kube-pods is missing: how many pods?", usage)


def _count(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or int(text) == 0:
        raise WommError(f"{name} takes a whole number above 0, not {text!r}", f"for example {name} 3")
    return int(text)


def _slots(jobs: Sequence[Token], ours: Mapping[str, list[str]]) -> int:
    given = _last(ours, "procs-per-pod")
    slots = _count("--procs-per-pod", given) if given is not None else None
    if not jobs:
        return slots or 1
    text = (jobs[-1].value or "").removeprefix("=")
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII) or int(text) == 0:
        raise WommError(
            f"{' '.join(jobs[-1].raw)}: a pod's jobslots are a whole number above 0",
            "say how many jobs each pod runs at once: --procs-per-pod N (or -j N)",
        )
    if slots not in (None, int(text)):
        raise WommError(f"--procs-per-pod {slots} and -j {text} contradict each other", "give one of them")
    return int(text)


def _quantity(name: str, given: str | None, default: str) -> str:
    text = default if given is None else given
    if not _QUANTITY.fullmatch(text):
        raise WommError(
            f"{name}: {text!r} is no Kubernetes quantity",
            "for example 2 or 500m (cpu), 512Mi or 4Gi (memory)",
        )
    return text


def _memory(name: str, given: str | None, default: str) -> str:
    text = _quantity(name, given, default)
    match = _QUANTITY.fullmatch(text)
    assert match is not None
    number, suffix = match[1], match[3] or ""
    if suffix[-1:].isdigit():
        size = float(f"{number}{suffix}")
    else:
        # Ki counts as k: the least is no exact figure. No letter, and n, u and m, are no power.
        size = float(number) * 1000 ** ("KMGTPE".find(suffix[:1].replace("k", "K") or "?") + 1)
    if suffix in ("n", "u", "m") or size < _LEAST_MEMORY:
        raise WommError(
            f"{name} {text} is too little for a pod (its unit is bytes)", f"for example {name} 512Mi"
        )
    return text


def _selector(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise WommError(
            f"--kube-node-selector takes KEY=VALUE, not {text!r}", "see kubectl get nodes --show-labels"
        )
    _label("--kube-node-selector", key)
    if value and not re.fullmatch(_NAME, value):
        raise WommError(
            f"--kube-node-selector: {value!r} is no label's value", "see kubectl get nodes --show-labels"
        )
    return key, value


def _label(name: str, key: str) -> str:
    if not _LABEL.fullmatch(key):
        raise WommError(
            f"{name}: {key!r} is no label's key", "letters, digits, '-', '_', '.', and a prefix/ maybe"
        )
    return key
