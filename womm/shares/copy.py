"""The eager share by copy: rsync to the file server, from which every pod pulls its own copy."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path

from womm import config, server
from womm.errors import CommandFailed, WommError
from womm.kubectl import Kube
from womm.manifests import Share
from womm.output import progress
from womm.process import run, tool
from womm.runs import Run

# rsync's exit statuses: some files could not be read; some went away while they were listed, and
# the copy holds the others.
PARTIAL, VANISHED = 23, 24

_SERVER_SCRIPT = "/opt/womm/scripts/server-share"


def push(kube: Kube, run_: Run, directory: Path, undo: ExitStack) -> Share:
    """Mirror `directory` on the file server for one task; `undo` closes the share again.

    Raises WommError if there is no file server or the transfer fails.
    """
    tool("rsync")
    found = server.wait_for(kube)
    key = config.identity(directory)[:32]

    def share(verb: str) -> tuple[str, ...]:
        return ("exec", "-i", found.pod, "-c", "server", "--", _SERVER_SCRIPT, verb, run_.task, key)

    run_.undo_later(undo, kube.argv(*share("close")))
    opened = kube.run(*share("open")).text.splitlines()
    if not opened:
        raise WommError("the file server gave no place for this directory", "try again")
    progress(f"womm: copying {directory} to the file server")
    _rsync(run_, directory, found.pod, opened[0], base=opened[1] if len(opened) > 1 else None)
    secret = secrets.token_hex(32)
    # On stdin: an argument would be in the process list.
    kube.run(*share("ready"), stdin=f"{secret}\n".encode())
    return Share(found.address, found.image, secret, str(directory))


def _rsync(run_: Run, directory: Path, pod: str, target: str, base: str | None) -> None:
    argv = ["rsync", "--archive", "--hard-links", "--sparse", "--delete", "--timeout=120"]
    # Two changes in one second differ in the nanoseconds alone; by default rsync compares seconds.
    argv += ["--modify-window=-1"]
    # The server's user is not the files' owner: what it can't read, no pod could pull.
    argv += ["--no-owner", "--no-group", "--chmod=Du+rx,Fu+r"]
    argv += [f"--rsh=bash -p {run_.path}/scripts/kube-rsh"]
    argv += [f"--link-dest={base}"] if base is not None else []
    try:
        run([*argv, f"{directory}/", f"{pod}:{target}/"], env=run_.environment)
    except CommandFailed as failure:
        if failure.status == VANISHED:
            return
        raise WommError(
            f"{directory} could not be copied to the file server ({failure.message})",
            "a file that you can't read can't be shared: move it elsewhere"
            if failure.status == PARTIAL
            else "try again; `kubectl get pods` shows the server's state",
        ) from failure
