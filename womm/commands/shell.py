"""`womm shell`: a login shell, or one command, in a pod of its own."""

from __future__ import annotations

import argparse
import os
import shlex
import threading
from collections.abc import Sequence
from contextlib import ExitStack

from womm import signals, terminal, values, workers
from womm.commands.arguments import Parser
from womm.errors import WommError
from womm.kubectl import KubeChoice
from womm.output import progress
from womm.runs import Run
from womm.testbed import local
from womm.values import Workers
from womm.workers import Here, Task

# Seconds after which the user is told what takes so long; between two looks at whether a signal has come.
_SLOW, _GLANCE = 1.0, 0.2

# What means nothing without a pod.
_OF_PODS = (
    "--kube-cpu",
    "--kube-mem",
    "--kube-node-selector",
    "--kube-toleration",
    "--transport",
    "--pending-timeout",
    "--fresh",
)

_MORE = """
Without COMMAND it is a login shell: your $SHELL if the image has it, else bash or sh. One word is the
shell's to read ('ls | wc -l'); several are a program and its arguments, kept as they are.

On a terminal, Ctrl-C, Ctrl-Z and all other keys are the pod's. Enter ~ . lets go of a pod that does not
answer (~~ is one ~). If a program that was cut off leaves the terminal odd: `reset`.

With --local, the image runs in a container here, and this directory is the real one. All else is as in a
pod: user, rights, environment, shell. What is written elsewhere is gone at the end.

Ends with the status of the shell or command; 128+N if signal N ended it, 255 if its pod was lost.
"""


def make_parser() -> Parser:
    """What the verb understands, before the `--`."""
    parser = Parser("shell", "A login shell, or one command, in a pod of its own, in this directory.")
    parser.usage = "womm shell [options] [-- COMMAND …]"
    parser.epilog = _MORE
    parser.takes_command = True
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--local",
        action="store_true",
        help="in a container on this machine instead, of the same image: no cluster is asked anything",
    )
    parser.add_argument("--kube-cpu", metavar="N", help="cpus of the pod (default: 1, or WOMM_KUBE_CPU)")
    parser.add_argument(
        "--kube-mem", metavar="N", help="its memory, and its limit (default: 512Mi, or WOMM_KUBE_MEM)"
    )
    parser.add_argument(
        "--kube-node-selector",
        metavar="K=V",
        action="append",
        default=[],
        help="only nodes with this label; may be repeated (or WOMM_KUBE_NODE_SELECTOR)",
    )
    parser.add_argument(
        "--kube-toleration",
        metavar="KEY",
        action="append",
        default=[],
        help="also nodes with a taint of this key; may be repeated (or WOMM_KUBE_TOLERATION)",
    )
    parser.add_argument(
        "--transport",
        choices=values.TRANSPORTS,
        help="the way to the pod (default: auto)",
    )
    parser.add_argument(
        "--pending-timeout",
        metavar="TIME",
        help="end if the pod can't run for so long (default: 5m; units: s, m, h, d)",
    )
    parser.add_argument(
        "--fresh",
        metavar="SECONDS",
        help="how old what the pod sees of a lazy share may be (default: as its link allows)",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="take the .womm that serves this directory, though you did not make it",
    )
    return parser


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb. Returns the status of the shell, or of the command."""
    before, separator, command = _split(arguments)
    options, choice = make_parser().understand(before, choice)
    if options.local:
        _refuse_pods(options)
        return local.shell(text(command), options.trust)
    wanted = Workers(
        command=["shell", *separator, *command],
        cpu=values.cpu(options.kube_cpu, os.environ),
        memory=values.memory(options.kube_mem, os.environ),
        node_selector=values.node_selector(options.kube_node_selector, os.environ),
        tolerations=values.tolerations(options.kube_toleration, os.environ),
        transport=values.transport(options.transport),
        fresh=values.fresh(options.fresh),
        pending_timeout=values.duration("--pending-timeout", options.pending_timeout, "5m"),
    )
    here = workers.prepare(choice, wanted, options.trust)
    with workers.taken_back() as undo:
        task, status = _run(wanted, here, text(command), undo)
    return task.status(status)


def _refuse_pods(options: argparse.Namespace) -> None:
    said = vars(options)
    given = [name for name in _OF_PODS if said[name[2:].replace("-", "_")] not in (None, [])]
    if given:
        raise WommError(f"--local has no pod, and {', '.join(given)} would be for one", "leave out either")


def text(command: Sequence[str]) -> bytes:
    """What the pod's shell is told to run: one word as it is, several as words; "" is a login shell."""
    return os.fsencode(command[0] if len(command) == 1 else shlex.join(command))


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    # What stands before the `--`, itself, and what follows it.
    words = list(arguments)
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at : at + 1], words[at + 1 :]


def _run(wanted: Workers, here: Here, command: bytes, undo: ExitStack) -> tuple[Task, int]:
    from womm.hub import frames  # noqa: PLC0415 - 0.15 s, which `--help` can do without
    from womm.hub.job import Rules  # noqa: PLC0415

    run_ = workers.new_run(undo)
    on_terminal = terminal.is_there()
    rules = Rules(
        rerun="womm shell starts nothing twice",
        own_files=False,
        memory=wanted.memory,
        flags=frames.USERS_SHELL,
        terminal=os.fsencode(os.environ.get("TERM", "")) if on_terminal else None,
    )
    waiting = threading.Timer(_SLOW, progress, ("womm: waiting for the pod …",))
    waiting.daemon = True
    waiting.start()
    try:
        task = workers.start(run_, wanted, here, undo, rules=rules, ready=lambda _pods: None)
    finally:
        waiting.cancel()
    if not on_terminal:
        return task, _status(run_, command)
    with terminal.mended_by(run_), terminal.lent(task.hub.resized):
        return task, _status(run_, command)


def _status(run_: Run, command: bytes) -> int:
    # Not login.pl: nothing but a process would be won. The hub reads and writes our own streams.
    from womm.hub.calls import answer_of, call  # noqa: PLC0415 - as above

    with call(run_.path / "hub", "shell", command, (0, 1, 2)) as connection:
        while (status := answer_of(connection, _GLANCE)) is None:
            signals.check()
    return status
