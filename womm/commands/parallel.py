"""`womm parallel`: GNU parallel, its jobs in the pods of a deployment of their own."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

from womm import config, signals
from womm.config import Project
from womm.errors import WommError
from womm.files import PARALLEL, PARALLEL_OPTIONS
from womm.getopt import BadOption, load_table
from womm.kubectl import Kube, KubeChoice, resolve
from womm.manifests import Share, TaskSpec
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
        return _gnu_parallel(options.theirs)
    if options.quiet:
        be_quiet()
    sweep()
    directory = config.working_directory()
    project = config.load(directory)
    if project.share not in ("eager", "none"):
        raise WommError(f"--share {project.share} comes later", "womm setup --share eager, or none")
    kube = resolve(options.kube.over(choice).over(project.choice))
    _check_tools()
    with ExitStack() as undo:
        try:
            status = _run(options, project, kube, directory, undo)
        finally:
            signals.shield()
    return status


def _run(options: ParallelOptions, project: Project, kube: Kube, directory: Path, undo: ExitStack) -> int:
    run_ = Run(kube)
    undo.callback(run_.close)
    share = copy.push(kube, run_, Path(project.directory), undo) if project.share == "eager" else None
    run_.write("directory", os.fsencode(directory))
    run_.write("shell", os.fsencode(os.environ.get("SHELL", "")))
    spec = _spec(run_.task, options, project, directory, share)
    create(kube, run_, spec, undo)
    follower = Follower(kube, run_, spec, options.slots, options.per_host)
    undo.callback(follower.stop)
    follower.start()
    follower.wait_for_pod()
    # With a profile named, GNU parallel reads none of the user's and none of the system's.
    ours = ["--profile", "/dev/null", "--sshloginfile", follower.login_file]
    ours += ["--ssh", f"bash -p {run_.path}/scripts/login"]
    return _gnu_parallel([*ours, *options.theirs, "--", *options.command], run_.environment)


def _spec(
    task: str, options: ParallelOptions, project: Project, directory: Path, share: Share | None
) -> TaskSpec:
    return TaskSpec(
        id=task,
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


def help_text() -> str:
    """The text of `womm parallel --help`."""
    width = max(len(name) + len(argument) for name, argument, _ in HELP) + 3
    rows = [f"  {f'{name} {argument}':{width}}{meaning}\n" for name, argument, meaning in HELP]
    return _USAGE + "".join(rows) + _THEIRS


def _gnu_parallel(
    arguments: Sequence[str], added: Mapping[str, str] = MappingProxyType({}), *, aside: bool = False
) -> int:
    return foreground([tool("perl"), str(PARALLEL), *arguments], _environment(added), aside=aside)


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    # Defaults from PARALLEL would override the login file's slots; PARALLEL_SHELL names a shell of
    # this machine. RSYNC_OLD_ARGS: GNU parallel quotes names for its own transfers itself.
    # POSIXLY_CORRECT changes how it reads its options.
    dropped = ("PARALLEL", "PARALLEL_CSH", "PARALLEL_SHELL", "PARALLEL_SSH", "POSIXLY_CORRECT")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "RSYNC_OLD_ARGS": "1", **added}


def _its_own_message(bad: BadOption) -> int:
    """Let GNU parallel say itself what it does not understand. Raises `bad` if it does understand."""
    near = difflib.get_close_matches(bad.arguments[0].lstrip("-"), [o.names[0] for o in OURS], 1)
    if near:
        raise WommError(bad.message, f"did you mean --{near[0]}? See `womm parallel --help`")
    # The bad option stands last: one that lacks its value must not take another word for it.
    status = _gnu_parallel(["--dry-run", *bad.arguments], aside=True)
    if status == 0:
        raise bad
    return status


def _check_tools() -> None:
    for name in ("kubectl", "perl", "bash", "base64"):
        tool(name)


def _shown(command: Sequence[str]) -> str:
    text = " ".join(["parallel", "--", *command])
    return text.encode(errors="replace").decode()[:_SHOWN]
