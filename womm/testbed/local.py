"""The image in a container on this machine, as a job finds it in a pod: `womm shell --local`."""

from __future__ import annotations

import os
from contextlib import nullcontext

from womm import config, engine, here, terminal, workers
from womm.engine import Engine
from womm.errors import CommandFailed, WommError
from womm.image import Account
from womm.manifests import script
from womm.runs import Run, sweep
from womm.testbed.base import foreign_platform
from womm.testbed.container import Container

# What a pod's container has not, either.
_AS_IN_PODS = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges")


def shell(command: bytes, trust: bool) -> int:
    """A login shell, or what it makes of `command`, in the current directory; returns the status.

    The container is gone afterwards, and no cluster is asked anything. `trust`: the directory's .womm is
    taken whoever made it. Raises WommError.
    """
    sweep()
    directory = config.working_directory()
    project = config.load(directory, trust)
    try:
        words = ["perl", "-e", f"{script('agent-shell.pl')}be_here(@ARGV);", "--"]
        words += [os.environ.get("SHELL", ""), here.check_directory(directory), command.decode()]
    except UnicodeDecodeError as error:
        raise WommError(f"{command!r} is not valid UTF-8", "choose another name") from error
    builder = engine.find(config.remembered("engine"))
    platform = foreign_platform([project.arch])
    _have(builder, project.image, platform)
    account = Account(project.uid, project.gid, project.user, project.home)
    with workers.taken_back() as undo:
        run_ = workers.new_run(undo)
        container = Container(builder, account, project.directory, f"womm-local-{run_.task}")
        _start(container, project.image, platform, run_)
        withdrawn = (word for given in container.withdrawn_proxies() for word in ("--env", given))
        on_terminal = terminal.is_there()
        with terminal.mended_by(run_) if on_terminal else nullcontext():
            return container.enter(*withdrawn, command=words, on_terminal=on_terminal, env=run_.environment)


def _have(builder: Engine, image: str, platform: str) -> None:
    # `run` would pull it, too, and show that even with --quiet.
    if builder.inspect("image", image):
        return
    try:
        builder.pull(image, platform)
    except CommandFailed as failure:
        raise WommError(
            f"the image {image} can't be had ({failure.message})",
            f"`{builder.name} login`, or `womm setup` makes another one",
        ) from failure


def _start(container: Container, image: str, platform: str, run_: Run) -> None:
    account = container.account
    options = ["--rm", "--user", f"{account.uid}:{account.gid}", *_AS_IN_PODS]
    run_.undo_later(container.removal)
    done = container.create(image, *options, platform=platform, env=run_.environment)
    if done.status == 0:
        done = container.start(run_.environment)
    if done.status != 0:
        raise container.refused(done)
    if not container.running:
        raise WommError(
            f"the container of {image} ended at once", "is the image for this machine? `womm doctor`"
        )
