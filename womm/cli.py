"""Parse the verb and dispatch it; the one place where errors become exit statuses."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence

from womm import __version__, signals
from womm.errors import Interrupted, WommError
from womm.kubectl import KubeChoice
from womm.output import be_quiet, data, show_commands, warn

#: Verb, its module in womm.commands, what it does.
VERBS = (
    ("setup", "setup", "make an image for this directory, and remember how its jobs run"),
    ("parallel", "parallel", "GNU parallel, its jobs in pods"),
    ("shell", "shell", "a shell, or one command, in a pod of its own"),
    ("status", "status", "the tasks that you have begun here, and how they fare"),
    ("logs", "logs", "what a task that runs by itself (--async) has printed"),
    ("wait", "wait", "wait for such a task, and return its exit status"),
    ("finish", "finish", "bring its results home, and delete what it keeps in the cluster"),
    ("timeline", "timeline", "draw a finished run, pods × time, as a page for a browser"),
    ("doctor", "doctor", "tell what womm needs, and whether it is there"),
    ("clear-prefix", "clear_prefix", "forget the registry that setup has remembered"),
    ("cluster-setup", "cluster_setup", "print what a namespace needs for shares, as YAML"),
    ("completion", "completion", "print what bash needs to complete womm's commands"),
)

# Not for people: what womm itself calls.
_INNER = {"coordinate": "coordinate"}

#: What may stand before the verb: these, and those that choose the cluster.
FLAGS = ("--quiet", "--debug", "--version", "--help", "-h")
KUBE = {"-n": "namespace", "--namespace": "namespace", "--context": "context", "--kubeconfig": "kubeconfig"}

_PLACES = "TMPDIR, XDG_RUNTIME_DIR and HOME name other places for what womm writes"
#: The ways out of what a machine refuses.
_WAYS_OUT = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), f"make room there; {_PLACES}"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), f"see who may write there; {_PLACES}"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "let programs open more files: ulimit -n"),
    errno.E2BIG: "the arguments are too long for this machine: give them on stdin",
    errno.ENOEXEC: "it is no program of this machine: install it anew",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run womm; returns the exit status. No exception leaves it but a bug's."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _open_standard_streams()
    try:
        _demand_linux()
        with signals.as_exceptions():
            return _dispatch(arguments)
    except WommError as error:
        return _refuse(error)
    except Interrupted as interrupted:
        return 128 + interrupted.signum
    except BrokenPipeError:
        # The reader of stdout has what it wants; the interpreter's own flush must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE
    except OSError as error:
        # The machine's own trouble, wherever it is met: a full disk, a directory that was taken away.
        where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else ""
        way_out = _WAYS_OUT.get(error.errno or 0, "")
        return _refuse(WommError(f"this machine can't go on: {error.strerror or error}{where}", way_out))


def _refuse(error: WommError) -> int:
    warn(error.message)
    if error.hint:
        warn(f"→ {error.hint}")
    return error.exit_code


def _demand_linux() -> None:
    if sys.platform != "linux":
        raise WommError(
            f"womm runs on Linux and on WSL2, and this is {sys.platform}",
            "run it on a Linux machine or in a virtual one that reaches the cluster",
        )


def _open_standard_streams() -> None:
    # Whoever starts us without a stdin or stderr must not get our files and pipes in their places.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is the one that is missing.
            os.open(os.devnull, os.O_RDWR)


def _dispatch(arguments: list[str]) -> int:
    choice: dict[str, str] = {}
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        name, equals, value = option.partition("=")
        if name in KUBE:
            if not equals and not arguments:
                raise WommError(f"{option} needs an argument", "see `womm --help`")
            choice[KUBE[name]] = value if equals else arguments.pop(0)
        elif option not in FLAGS:
            raise WommError(f"unknown option {option}", "see `womm --help`")
        elif option == "--quiet":
            be_quiet()
        elif option == "--debug":
            show_commands()
        elif option == "--version":
            data(f"womm {__version__}\n")
            return 0
        else:
            data(_help())
            return 0
    if not arguments:
        raise WommError("what shall womm do?", "see `womm --help`")
    verb, *rest = arguments
    module = next((module for name, module, _ in VERBS if name == verb), _INNER.get(verb))
    if module is None:
        import difflib  # noqa: PLC0415 - for a typing error only

        near = difflib.get_close_matches(verb, [name for name, _, _ in VERBS], 1)
        raise WommError(
            f"unknown command {verb}", f"did you mean `womm {near[0]}`?" if near else "see `womm --help`"
        )
    status: int = importlib.import_module(f"womm.commands.{module}").run(rest, KubeChoice(**choice))
    return status


def _help() -> str:
    rows = "".join(f"  {name:15}{meaning}\n" for name, _, meaning in VERBS)
    return (
        "Usage: womm [--namespace NAME] [--context NAME] [--kubeconfig FILE] [--quiet] [--debug]\n"
        "            COMMAND …\n\n"
        "Works On My Machine: runs GNU parallel's jobs in the pods of a Kubernetes cluster.\n\n"
        f"{rows}\n`womm COMMAND --help` tells more; --debug prints each command that womm runs.\n"
    )
