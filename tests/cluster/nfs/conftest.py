"""What the tests over NFS share: a namespace with both servers, and a directory that was set up there.

Both are made once, and so is the image that goes to the second node, whose processor is computed.
"""

from __future__ import annotations

import shutil

import pytest
from kit import NODE2, PREFIX, Place, User
from servers import SLOW, Servers, reshare


@pytest.fixture(scope="module")
def namespace(servers: Servers) -> str:
    """The namespace that has both servers."""
    return servers.namespace


@pytest.fixture(scope="session")
def tried(servers: Servers, home: User) -> Place:
    """A directory that was set up with --share eager; setup has found out what the cluster can do."""
    place = Place(home, servers.namespace, home.root / "shared")
    place.path.mkdir()
    words = ("--yes", "--as-root", "--share", "eager", "--prefix", PREFIX)
    done = place.womm("setup", *words, limit=SLOW, **NODE2)
    assert done.status == 0, done.messages
    assert place.config()["via"] == "nfs"
    return place


@pytest.fixture(scope="module")
def shared(tried: Place) -> Place:
    """That directory, shared eagerly over NFS, with little in it."""
    for path in tried.path.iterdir():
        if path.name == ".womm":
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    (tried.path / "a").write_text("1\n2\n")
    (tried.path / "sub").mkdir()
    (tried.path / "sub" / "run").write_text("#!/bin/sh\necho run in $PWD as $(id -u):$(id -g)\n")
    (tried.path / "sub" / "run").chmod(0o755)
    return reshare(tried, "eager")
