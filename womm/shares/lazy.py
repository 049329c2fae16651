"""The lazy share: an SFTP server that sees one directory of this machine, tied to the NFS server's sshfs.

sftp-server itself confines nobody; so it runs in a container of the file server's image with nothing in it
but that directory, no network and no right.
"""

from __future__ import annotations

import os

from womm import server
from womm.beside import Tied
from womm.engine import Engine
from womm.runs import Run
from womm.shares.keeping import Keeping, Way
from womm.shares.nfs import Export
from womm.testbed import mounts

# What a container for strangers may do.
_CONFINED = ("--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only")
#: The program in it.
_SFTP = "/opt/womm/scripts/share-sftp"


def lazy(export: Export, engine: Engine, image: str, fresh: int | None) -> Keeping:
    """Keeps up the link to this machine. `image` is the file server's.

    `fresh`: how old what pods see may be, in seconds; None: as the link allows.
    """
    here = _container(export.link.run, engine, image, export.nfs.directory)
    age = "auto" if fresh is None else str(fresh)
    words = server.nfs_script("link", export.task, *export.words, age)

    def dial(again: bool) -> Way:
        return Tied(here, export.argv(again, *words), env=export.link.run.environment)

    return Keeping(export, dial)


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
