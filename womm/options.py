"""womm's own options of `womm parallel`, split from GNU parallel's (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from womm import values
from womm.errors import WommError
from womm.getopt import Option, Parsed, Table, Token, parse
from womm.kubectl import KubeChoice
from womm.retry import Log, log_of
from womm.tasks import detached
from womm.tasks.detached import Detached
from womm.values import Workers

#: What `womm parallel --help` tells: option, its argument, what it means.
HELP = (
    ("--kube-pods", "N", "pods to run the jobs in (required)"),
    ("--procs-per-pod", "N", "jobs at once in each pod; -j N means the same (default: 1)"),
    ("--kube-cpu", "N", "cpus of each pod (default: 1, or WOMM_KUBE_CPU)"),
    ("--kube-mem", "N", "memory of each pod, and its limit (default: 512Mi, or WOMM_KUBE_MEM)"),
    (
        "--kube-node-selector",
        "K=V",
        "only nodes with this label; may be repeated (or WOMM_KUBE_NODE_SELECTOR)",
    ),
    (
        "--kube-toleration",
        "KEY",
        "also nodes with a taint of this key; may be repeated (or WOMM_KUBE_TOLERATION)",
    ),
    ("--local-procs", "N", "jobs at once on this machine, beside the pods' (default: 0)"),
    ("--fresh", "SECONDS", "how old what pods see of a lazy share may be (default: as its link allows)"),
    ("--no-rerun", "", "let a job whose pod is lost fail, and never run it again"),
    ("--lost-after", "SECONDS", "a pod that hears nothing for so long kills its jobs (default: 30)"),
    ("--pending-timeout", "TIME", "end if no pod can run for so long (default: 5m; units: s, m, h, d)"),
    ("--transport", "WAY", "to the pods: auto, websocket or exec (default: auto)"),
    ("--async", "", "come back at once: the task runs on by itself; see womm logs, wait, finish"),
    ("--timeline", "FILE", "at the end draw the jobs, pods × time, into FILE: a page for a browser"),
    ("--namespace", "NAME", "as in kubectl (default: what setup chose)"),
    ("--context", "NAME", "as in kubectl (default: what setup chose)"),
    ("--kubeconfig", "FILE", "as in kubectl (default: what setup chose)"),
    ("--trust", "", "take the .womm that serves this directory, though you did not make it"),
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
#: GNU parallel's options that womm parallel does not take, by their names, and why.
REFUSED = {
    "sshlogin": _OWN_LOGINS,
    "sshloginfile": _OWN_LOGINS,
    "ssh": _OWN_LOGINS,
    # An argument, from stdin even, could choose this machine: `x@:`.
    "hostgroups": _OWN_LOGINS,
    **dict.fromkeys(("semaphore", "semaphore-name", "semaphore-timeout", "fg", "bg", "wait"), _LOCAL),
    "combineexec": "it makes a program that runs jobs on one machine: call parallel itself",
    "profile": "write the profile's options on the command line",
}

# GNU parallel passes the jobs' output on while they run: it is in no file of the job's own.
_UNGROUPED = frozenset({"ungroup", "line-buffer", "latest-line", "tty", "tmux", "tmuxpane"})
_TRANSFERS = frozenset({"transferfile", "transfer", "return", "trc", "basefile", "cleanup"})
_PER_HOST = frozenset({"onall", "nonall"})


@dataclass(frozen=True)
class ParallelOptions:
    """A command line of `womm parallel`, understood.

    `theirs` are GNU parallel's options as they were given, but for -j; `command` is all that follows
    the `--`; `per_host`: it runs once on each host (--onall); `transfers`: GNU parallel brings files to
    the host and back; `grouped`: each job's output goes to files of its own first. With `answers` GNU
    parallel runs no job, and nothing else here counts. `log` is what is said of the joblog, `timeline` the
    file that the run is drawn into; `retries`: there is no command, because the joblog has them.
    """

    workers: Workers = Workers(pods=0)
    kube: KubeChoice = KubeChoice()
    quiet: bool = False
    trust: bool = False
    help: bool = False
    answers: bool = False
    theirs: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    per_host: bool = False
    transfers: bool = False
    grouped: bool = True
    local: int = 0
    rerun: bool = True
    retries: bool = False
    log: Log = Log()
    timeline: str | None = None
    #: Whether, and how, the task outlives this terminal.
    detached: Detached | None = None


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
    named = {name for token in theirs for name in token.option.names}
    local = values.count("--local-procs", _last(ours, "local-procs") or "0", least=0)
    apart = _detached(theirs, parsed.rest, ours) if "async" in ours else None
    workers = Workers(
        command=("parallel", "--", *parsed.rest) if parsed.terminated else ("parallel", "--retry-failed"),
        pods=values.count("--kube-pods", _last(ours, "kube-pods") or "", least=0 if local else 1),
        slots=_slots(jobs, ours),
        cpu=values.cpu(_last(ours, "kube-cpu"), environ),
        memory=values.memory(_last(ours, "kube-mem"), environ),
        node_selector=values.node_selector(ours.get("kube-node-selector", []), environ),
        tolerations=values.tolerations(ours.get("kube-toleration", []), environ),
        fresh=values.fresh(_last(ours, "fresh")),
        lost_after=values.count("--lost-after", _last(ours, "lost-after") or "30", least=5),
        transport=values.transport(_last(ours, "transport")),
        pending_timeout=values.duration("--pending-timeout", _last(ours, "pending-timeout"), "5m"),
    )
    return ParallelOptions(
        workers=workers,
        kube=kube,
        quiet="quiet" in ours,
        trust="trust" in ours,
        theirs=tuple(a for token in theirs if not _is_jobs(token) for a in _passed_on(token)),
        command=tuple(parsed.rest),
        per_host=bool(_PER_HOST & named),
        transfers=bool(_TRANSFERS & named),
        grouped=not _UNGROUPED & named,
        local=local,
        rerun="no-rerun" not in ours,
        retries=not parsed.terminated,
        log=log_of(parsed.tokens),
        timeline=_last(ours, "timeline"),
        detached=apart,
    )


def _detached(theirs: Sequence[Token], rest: Sequence[str], ours: Mapping[str, object]) -> Detached:
    return detached.understand([t for t in theirs if not _is_jobs(t)], _passed_on, rest, ours)


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
            if name in REFUSED:
                raise WommError(f"{token.raw[0]} can't be used with womm parallel", REFUSED[name])


def _demand(parsed: Parsed, ours: Mapping[str, list[str]]) -> None:
    usage = "womm parallel --kube-pods 3 -- COMMAND …"
    # GNU parallel takes the commands from the joblog, and would pass over any other.
    names = {token.name for token in parsed.tokens}
    retries = {"retry-failed", "joblog"} <= names and not parsed.rest
    if not parsed.terminated and not retries:
        before = f" before {parsed.rest[0]!r}" if parsed.rest else ""
        raise WommError(f"`--` is missing{before}: it ends the options", usage)
    if "kube-pods" not in ours:
        raise WommError("--kube-pods is missing: how many pods?", usage)


def _slots(jobs: Sequence[Token], ours: Mapping[str, list[str]]) -> int:
    given = _last(ours, "procs-per-pod")
    slots = values.count("--procs-per-pod", given) if given is not None else None
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
