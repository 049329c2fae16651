"""`womm parallel`: GNU parallel, its jobs in the pods of a deployment of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from womm import config, signals
from womm.errors import WommError
from womm.files import PARALLEL, PARALLEL_OPTIONS
from womm.getopt import BadOption, load_table
from womm.kubectl import KubeChoice, resolve
from womm.manifests import TaskSpec
from womm.options import HELP, OURS, ParallelOptions, split
from womm.output import be_quiet, data
from womm.process import foreground, tool
from womm.runs import Run, sweep
from womm.shares import copy
from womm.task import Follower, create

_USAGE = """\
Usage: womm parallel --kube-pods N [options] -- COMMAND [::: ARGUMENTS]
       find -type f | womm parallel --kube-pods 10 -- wc -l {}

Runs COMMAND as GNU parallel does, for each line of its input, in the pods of the cluster.
womm's options:
"""

_THEIRS = """\
All other options are GNU parallel's own: see `man parallel`, or `womm parallel --version`.
"""

#: The annotation that shows the command is for people: its beginning is enough.
_SHOWN = 1000


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb. Returns GNU parallel's exit status."""
    try:
        options = split(arguments, load_table(PARALLEL_OPTIONS, OURS), os.environ)
    except BadOption as bad:
        return _its_own_message(bad)
    if options.help:
        data(help_text())
        return 0
    if options.answers:
        return foreground(_argv(options.theirs), _environment({}))
    if options.quiet:
        be_quiet()
    sweep()
    directory = _working_directory()
    project = config.load(directory)
    if project.share not in ("eager", "none"):
        raise WommError(f"--share {project.share} comes later", "womm setup --share eager, or none")
    kube = resolve(options.kube.over(choice).over(project.choice))
    _check_tools()
    with signals.as_exceptions(), ExitStack() as undo:
        task_run = Run(kube)
        undo.callback(task_run.close)
        share = None
        if project.share == "eager":
            share = copy.push(kube, task_run, Path(project.directory), undo)
        spec = TaskSpec(
            id=task_run.task,
            directory=str(directory),
            command=_shown(options.command),
            image=project.image,
            arch=project.arch,
            pods=options.pods,
            cpu=options.cpu,
            memory=options.memory,
            uid=project.uid,
            gid=project.gid,
            user=project.user,
            home=project.home,
            node_selector=tuple(options.node_selector.items()),
            tolerations=options.tolerations,
            share=share,
        )
        task_run.write("directory", os.fsencode(directory))
        task_run.write("shell", os.fsencode(os.environ.get("SHELL", "")))
        create(kube, task_run, spec, undo)
        follower = Follower(kube, task_run, spec, options.slots)
        undo.callback(follower.stop)
        follower.start()
        follower.wait_for_pod()
        return _gnu_parallel(options, task_run, follower.login_file)
    raise AssertionError("unreachable: no context above swallows exceptions")


def help_text() -> str:
    """The text of `womm parallel --help`."""
    width = max(len(name) + len(argument) for name, argument, _ in HELP) + 3
    rows = [f"  {f'{name} {argument}':{width}}{meaning}\n" for name, argument, meaning in HELP]
    return _USAGE + "".join(rows) + _THEIRS


def _gnu_parallel(options: ParallelOptions, task_run: Run, login_file: str) -> int:
    # --profile /dev/null: with a profile named, GNU parallel reads none of the user's and system's.
    ours = ["--profile", "/dev/null", "--sshloginfile", login_file]
    ours += ["--ssh", f"bash {task_run.path}/scripts/login"]
    return foreground(
        _argv([*ours, *options.theirs, "--", *options.command]), _environment(task_run.environment)
    )


def _argv(arguments: Sequence[str]) -> list[str]:
    return [tool("perl"), str(PARALLEL), *arguments]


def _environment(added: dict[str, str]) -> dict[str, str]:
    # Defaults from PARALLEL would override the login file's slots; PARALLEL_SHELL names a shell of
    # this machine. RSYNC_OLD_ARGS: GNU parallel quotes names for its own transfers itself.
    dropped = ("PARALLEL", "PARALLEL_CSH", "PARALLEL_SHELL", "PARALLEL_SSH")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "RSYNC_OLD_ARGS": "1", **added}


def _its_own_message(bad: BadOption) -> int:
    """Let GNU parallel say itself what it does not understand. Raises `bad` if it does understand."""
    status = foreground(_argv([*bad.arguments, "--dry-run", "--", "true"]), _environment({}))
    if status == 0:
        raise bad
    return status


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise WommError("this directory is gone", "cd to one that exists") from error


def _check_tools() -> None:
    for name in ("kubectl", "perl", "bash"):
        tool(name)


def _shown(command: Sequence[str]) -> str:
    text = " ".join(["parallel", "--", *command])
    return text.encode(errors="replace").decode()[:_SHOWN]
