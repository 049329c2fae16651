"""The lazy share: an SFTP server that sees one directory of this machine, linked to the NFS server's sshfs.

sftp-server itself confines nobody; so it runs in a container of the file server's image with nothing in it
but that directory, no network and no right. It outlives the link: a relay at either end (nfs-relay.pl) keeps
what the other one has not got yet, and the next link goes on where the last one was cut.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator

from womm import server
from womm.beside import Heard, Joined
from womm.engine import Engine
from womm.process import attempt, tool
from womm.runs import Run
from womm.shares.keeping import READY, Jobs, Keeping, Way
from womm.shares.nfs import Export
from womm.testbed import mounts

# What a container for strangers may do.
_CONFINED = ("--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only")
#: The program in it.
_SFTP = "/opt/womm/scripts/share-sftp"
# What the server says of a link that it has no more.
_GONE = "womm-nfs: gone"
# Seconds that a relay may take to listen, and to end; lines that are kept of what it says.
_START, _LAST, _LINES = 10.0, 5.0, 3


def lazy(export: Export, jobs: Jobs, engine: Engine, image: str, fresh: int | None) -> Keeping:
    """Keeps up the link to this machine. `image` is the file server's.

    `fresh`: how old what pods see may be, in seconds; None: as the link allows.
    """
    name = f"womm-lazy-{export.task}"
    here = _container(export.link.run, engine, image, export.nfs.directory, name)
    removal = engine.argv("container", "rm", "--force", name)
    export.link.run.undo_later(removal, last=True)
    links = Links(export, jobs, (here, removal), fresh)
    return Keeping(export, jobs, links.dial, links.over)


class Source:
    """The container that `argv` runs, with its relay: what links are links to.

    `token` tells it from another one. It is `made` once a link has had it mounted.
    """

    def __init__(self, run_: Run, argv: list[str], token: str) -> None:
        self.token, self.socket = token, f"{run_.path}/lazy-{token}"
        self.made = False
        relay = [tool("perl"), f"{run_.path}/scripts/nfs-relay.pl", "keep", self.socket, "0"]
        self._relay = Heard([*relay, *argv], env=run_.environment)
        self._said: deque[str] = deque(maxlen=_LINES)
        self._hearing = threading.Thread(target=self._hear, name="relay", daemon=True)
        self._hearing.start()
        end = time.monotonic() + _START
        while not os.path.exists(self.socket) and self._relay.running and time.monotonic() < end:
            time.sleep(0.01)

    @property
    def good(self) -> bool:
        """Whether a link can go on where the last one ended."""
        # The relay takes its socket away before it lets go of a link; unless it was killed.
        return self.made and self._relay.running and os.path.exists(self.socket)

    def end(self) -> str:
        """End it, unless it has ended; return its last words."""
        self._relay.let_go()
        # A container that was begun would survive its program's being killed.
        self._hearing.join(_LAST)
        self._relay.kill()
        if not self._hearing.is_alive():
            self._relay.end()
        return "; ".join(self._said)

    def _hear(self) -> None:
        self._said.extend(self._relay.lines())


class Link:
    """One link: a program in the file server with the NFS server's end of it."""

    def __init__(self, source: Source, there: Joined) -> None:
        self._source, self._there = source, there

    def lines(self) -> Iterator[str]:
        """What it says on stderr, until it ends."""
        for line in self._there.lines():
            if line.startswith(READY):
                self._source.made = True
            elif line == _GONE:
                self._source.made = False
            yield line

    def kill(self) -> None:
        """Have it end."""
        self._there.kill()

    def end(self) -> str:
        """See to its end, and to its source's if that is no good; what that has said."""
        self._there.end()
        return "" if self._source.good else self._source.end()


class Links:
    """The links of a task, one after the other. `container`: what runs its container, what removes it."""

    def __init__(
        self, export: Export, jobs: Jobs, container: tuple[list[str], list[str]], fresh: int | None
    ) -> None:
        self._export, self._jobs = export, jobs
        self._here, self._removal = container
        self._age = "auto" if fresh is None else str(fresh)
        self._source: Source | None = None

    def dial(self, again: bool) -> Way:
        """Begin a link. `again`: it is not the first one. Raises OSError and WommError."""
        export, source = self._export, self._source
        if source is not None and source.good:
            argv = export.argv(again, *server.nfs_script("resume", export.task, source.token))
        else:
            token = secrets.token_hex(8)
            words = ("link", export.task, *export.words, self._age, token)
            argv = export.argv(again, *server.nfs_script(*words))
            if source is not None:
                if source.made:
                    # Its mount still waits: the jobs are to end before they get an error. The hub may learn
                    # of the pods' ends only after the next link is there, when nobody can name them any more.
                    self._jobs.condemn(export.replace_pods(wait=True))
                source.end()
                # Its name may still be in use.
                attempt(self._removal, detached=True, patience=_START)
            self._source = source = Source(export.link.run, self._here, token)
        try:
            return Link(source, Joined(argv, source.socket, env=export.link.run.environment))
        except OSError as error:
            raise OSError(source.end() or str(error)) from error

    def over(self) -> None:
        """There will be no more."""
        if self._source is not None:
            self._source.end()


def _container(run_: Run, engine: Engine, image: str, directory: str, name: str) -> list[str]:
    # What runs the SFTP server.
    uid, gid = os.getuid(), os.getgid()
    # sftp-server wants to know its user's name.
    run_.write("passwd", f"user:x:{uid}:{gid}::/:/bin/sh\n".encode())
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
    return engine.argv(*words, "--entrypoint", _SFTP, image)
