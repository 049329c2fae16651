"""The lazy share: an SFTP server that sees one directory of this machine, tied to the NFS server's sshfs.

sftp-server itself confines nobody; so it runs in a container of the file server's image with nothing in it but
that directory, no network and no right.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from womm import server, signals
from womm.beside import Tied
from womm.engine import Engine
from womm.errors import WommError
from womm.output import progress, warn
from womm.runs import Run
from womm.shares.nfs import Export
from womm.testbed import mounts

# Seconds between two tries to have the link back; in which the first one has to come up.
_PAUSE, _PATIENCE = 1.0, 60.0
_READY = "womm-nfs: ready "
# What a container for strangers may do.
_CONFINED = ("--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only")
#: The program in it.
_SFTP = "/opt/womm/scripts/share-sftp"


@dataclass(frozen=True)
class View:
    """How far the link's end is away, and how old what pods see can be, in seconds."""

    round_trip: float
    age: float


class Lazy(threading.Thread):
    """Keeps the link up as long as the task lives.

    `image` is the file server's. `fresh`: how old what pods see may be, in seconds; None: as the link allows.
    """

    def __init__(self, export: Export, engine: Engine, image: str, fresh: float | None) -> None:
        super().__init__(name="lazy", daemon=True)
        self._export, self._engine = export, engine
        self._here = _container(export.link.run, engine, image, export.nfs.directory)
        age = "auto" if fresh is None else f"{fresh:g}"
        words = (export.task, export.nfs.path, *export.owner, age)
        self._there = export.link.argv(*server.nfs_script("link", *words))
        self._changed = threading.Condition()
        self._view: View | None = None
        self._why = ""
        self._tied: Tied | None = None
        self._stopping = False

    def wait(self) -> View:
        """Wait until pods can see the directory. Raises WommError if the first try fails."""
        with self._changed:
            waited = 0.0
            while self._view is None and not self._why and waited < _PATIENCE:
                self._changed.wait(0.1)
                waited += 0.1
                signals.check()
            if self._view is not None:
                return self._view
        raise WommError(
            f"this directory can't be served lazily: {self._why or f'no answer within {_PATIENCE:.0f} s'}",
            "try again; `womm setup --share eager` does without it",
        )

    def run(self) -> None:
        """Tie both ends together, again and again until stop()."""
        while True:
            with self._changed:
                if self._stopping:
                    return
                self._tied = Tied(self._here, self._there, env=self._export.link.run.environment)
            said = [line for line in self._tied.lines() if not self._hear(line)]
            complaint = self._tied.end()
            with self._changed:
                self._tied = None
                if not self._stopping and self._view is None:
                    self._why = complaint or "; ".join(said[-3:]) or "the link ended"
                    self._changed.notify_all()
                    return
                if not self._stopping:
                    warn(f"the link to {self._export.nfs.directory} is cut; pods wait until it is back")
                self._changed.wait_for(lambda: self._stopping, _PAUSE)

    def _hear(self, line: str) -> bool:
        # Whether it was meant for us.
        if not line.startswith(_READY):
            return False
        round_trip, age = map(float, line.removeprefix(_READY).split())
        with self._changed:
            again = self._view is not None
            self._view = View(round_trip / 1000, age)
            self._changed.notify_all()
        if again:
            progress(f"womm: the link to {self._export.nfs.directory} is back")
        return True

    def stop(self) -> None:
        """End the link."""
        with self._changed:
            self._stopping = True
            tied = self._tied
            self._changed.notify_all()
        if tied is not None:
            tied.end()
        self.join()


def _container(run_: Run, engine: Engine, image: str, directory: str) -> list[str]:
    # What runs the SFTP server; the run's end removes it.
    uid, gid = os.getuid(), os.getgid()
    # sftp-server wants to know its user's name.
    run_.write("passwd", f"user:x:{uid}:{gid}::/:/bin/sh\n".encode())
    name = f"womm-lazy-{run_.task}"
    words = ["run", "--rm", "--interactive", "--name", name, *_CONFINED, "--security-opt", "label=disable"]
    words += ["--user", f"{uid}:{gid}", *(f"--group-add={group}" for group in os.getgroups())]
    if engine.name == "podman" and uid != 0:
        # Else the user would be root in there, and his files somebody else's.
        words += ["--userns=keep-id"]
    # Where it starts is what the other end sees: it is not told of any path.
    words += [
        "--volume",
        f"{run_.path}/passwd:/etc/passwd:ro",
        *mounts.directory(directory),
        "--workdir",
        directory,
    ]
    run_.undo_later(engine.argv("container", "rm", "--force", name), last=True)
    return engine.argv(*words, "--entrypoint", _SFTP, image)
