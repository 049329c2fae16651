"""A share that is sent: rsync to the file server, from which every pod, or the NFS server, has its copy."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from womm import config, server, sizes
from womm.errors import CommandFailed, WommError
from womm.kubectl import Kube
from womm.manifests import Share
from womm.output import progress
from womm.process import run
from womm.runs import Run
from womm.server import Server
from womm.shares import home, ignore
from womm.shares.home import Expected
from womm.shares.look import PARTIAL, Look
from womm.shares.transfer import send
from womm.shares.tree import Known
from womm.threads import answer, beside

# Bytes of a share from which on a stream of its own takes less time than it costs.
_MUCH = 32 << 20

# Bytes that a pod is given beyond its copy, for what its jobs write there; and the same part of the copy.
_SLACK, _PART = 64 << 20, 8


@dataclass(frozen=True)
class Pushed:
    """A share on the file server: the command that ends it and, where what jobs change comes back, what is
    expected there, and what was sent."""

    closing: list[str]
    results: tuple[Expected, Mapping[str, Known]] | None


def key_of(directory: str | Path) -> str:
    """What the file server calls a directory of this machine's."""
    return config.identity(directory)[:32]


def plan(found: Server, directory: Path, look: Look, back: bool) -> Share:
    """What a task's pods are told of its share; nothing is copied yet."""
    room = sizes.quantity(look.room + look.room // _PART + _SLACK)
    return Share(found.address, found.image, secrets.token_hex(32), str(directory), room, back=back)


def push(
    kube: Kube,
    run_: Run,
    found: Server,
    share: Share,
    *,
    look: Look,
    over_nfs: bool,
    permitted: Callable[[], object],
) -> Pushed:
    """Mirror the share's directory on the file server for one task, through its hub. The run's end closes it.

    `over_nfs`: what jobs change comes from there. Raises WommError if the transfer fails, and whatever
    `permitted`, which is called before it, raises.
    """
    directory = Path(share.directory)
    key = key_of(directory)

    def call(verb: str, stdin: Path | None = None) -> None:
        argv = [*run_.login, found.pod, "--", *server.script(verb, run_.task, key)]
        run(argv, stdin=stdin, env=run_.environment)

    closing = server.closing(kube, found.pod, run_.task, key)
    # With results there, not before they are home.
    run_.undo_later(closing, last=share.back)
    # Before it is sent: what changes meanwhile has been changed here.
    names = (os.fsdecode(entry.name) for entry in look.entries)
    sent = home.record(directory, names) if share.back else None
    permitted()
    progress(f"womm: copying {directory} to the file server")
    # On stdin: an argument would be in the process list.
    run_.write("secret", f"{share.secret}\n".encode())

    def admit() -> None:
        call("ready", run_.path / "secret")
        if share.back and not over_nfs:
            call("receive")

    # Beside it: there are no pods yet that could come too early, and the run's end takes it back.
    admitted = beside(admit)
    partner = server.script("fill", run_.task, key)
    _mirror(kube, run_, directory, look=look, pod=found.pod, partner=partner)
    answer(admitted)
    if sent is None:
        return Pushed(closing, None)
    return Pushed(closing, (Expected(run_.task, key, share.directory, kube, over_nfs), sent))


def _mirror(kube: Kube, run_: Run, directory: Path, *, look: Look, pod: str, partner: Sequence[str]) -> None:
    # `partner` is the rsync there: it knows the place.
    # What is ignored is nothing that a first try may have left there: a file half sent, say.
    argv = ["--archive", "--hard-links", "--delete", "--delete-excluded"]
    # Only where there are holes: it writes one kilobyte at a time.
    argv += ["--sparse"] if look.holes else []
    # All that there is has been listed once already; the way is long, and would be gone again and again.
    argv += ["--no-inc-recursive"]
    # Two changes in one second differ in the nanoseconds alone; by default rsync compares seconds.
    argv += ["--modify-window=-1"]
    # The server's user is not the files' owner: what it can't read, no pod could pull.
    argv += ["--no-owner", "--no-group", "--chmod=Du+rx,Fu+r"]
    argv += [f"--rsync-path={' '.join(partner)}", *ignore.arguments(directory), "./", f"{pod}:./"]
    first = run_.login
    if look.size >= _MUCH:
        first = run_.login_by(kube.argv("exec", "-i", "-c", server.CONTAINER))
    # The least: what it gains on a slow line, it must not lose on a fast one (bench/sync).
    compressed = ["--compress", "--compress-level=1"]
    # The second try does without all that might be the reason: the hub's channel comes back when it is cut.
    tries = ([_rsh(first), *compressed], [_rsh(run_.login)])
    try:
        send(argv, tries, directory, run_.environment, look)
    except CommandFailed as failure:
        said = failure.stderr.decode(errors="replace")
        if (broken := ignore.complaint(directory, said)) is not None:
            raise broken from failure
        hint = "try again; `kubectl get pods` shows the server's state"
        if failure.status == PARTIAL:
            hint = (
                f"a file that you can't read can't be shared: move it elsewhere, or name it in {ignore.FILE}"
            )
        elif "No space left" in said:
            hint = (
                f"the server's disk is full: leave something out ({ignore.FILE}), or ask who runs the cluster"
            )
        raise WommError(
            f"{directory} could not be copied to the file server ({failure.message})", hint
        ) from failure


def _rsh(login: Sequence[str]) -> str:
    return f"--rsh={' '.join(login)}"
