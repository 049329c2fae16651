"""GNU parallel, as womm calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from womm.files import PARALLEL, SCRIPTS
from womm.logins import LoginFile
from womm.process import foreground, tool
from womm.runs import Run

#: With a profile named, GNU parallel reads none of the user's and none of the system's.
NO_PROFILE = ("--profile", "/dev/null")

# Defaults from PARALLEL would override the login file's slots; PARALLEL_SHELL names a shell of this machine.
# POSIXLY_CORRECT changes how it reads its options.
_DROPPED = ("PARALLEL", "PARALLEL_CSH", "PARALLEL_SHELL", "PARALLEL_SSH", "POSIXLY_CORRECT")
# GNU parallel quotes names for its own rsync transfers itself.
_ADDED = MappingProxyType({"RSYNC_OLD_ARGS": "1"})

#: The modules (scripts/*.pm) that GNU parallel loads where its jobs run in pods.
IN_PODS = ("lengths",)


def in_pods(run_: Run, logins: LoginFile) -> list[str]:
    """The options with which its jobs run in the run's pods."""
    return [*NO_PROFILE, "--sshloginfile", logins.path, "--ssh", " ".join(run_.login)]


def gnu_parallel(
    arguments: Sequence[str],
    added: Mapping[str, str] = MappingProxyType({}),
    *,
    aside: bool = False,
    modules: Sequence[str] = (),
) -> int:
    """Run it in the foreground, with `added` to the environment; return its exit status (128+n).

    `aside`: see process.foreground. `modules`: what it loads, as IN_PODS.
    """
    loaded = ["-I", str(SCRIPTS), *(f"-M{module}" for module in modules)] if modules else []
    argv = [tool("perl"), *loaded, str(PARALLEL), *arguments]
    return foreground(argv, {**_ADDED, **added}, without=_DROPPED, aside=aside)
