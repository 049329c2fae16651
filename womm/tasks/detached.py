"""What a command line with --async asks for, and what it can't have (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from womm.errors import WommError
from womm.getopt import Token

_HERE = "its files are on this machine, which may be off by then: leave out --async, or share the directory"
_KEPT = "womm keeps the joblog of such a task itself, until `womm finish`: leave it out"
_TERMINAL = "there is no terminal: leave out --async"
#: Where the coordinator keeps what it has: a volume of its own.
WORK = "/work"
#: How many files of arguments can be taken along.
MOST_FILES = 9
#: GNU parallel's options that need this machine, by their canonical names, and why.
REFUSED = {
    **dict.fromkeys(("transferfile", "transfer", "return", "trc", "basefile", "cleanup"), _HERE),
    **dict.fromkeys(("results", "output-as-files", "output-as-files0"), _HERE),
    **dict.fromkeys(("joblog", "resume", "resume-failed", "retry-failed"), _KEPT),
    **dict.fromkeys(("tmux", "tmuxpane", "tty", "interactive"), _TERMINAL),
    **dict.fromkeys(("sql", "sql-and-worker", "sql-master", "sql-worker"), _HERE),
}
#: womm's own such options.
OURS_REFUSED = {
    "local-procs": "this machine may be off by then: leave out --async or --local-procs",
    "timeline": "the run is not over yet: `womm timeline ID FILE` draws it when it is",
}

# With these the same number may be another job when GNU parallel begins again: how arguments and input are
# cut depends on the jobslots that there are, their order on chance.
_NEVER_THE_SAME = frozenset(
    {"m", "X", "xargs", "pipe", "pipe-part", "shard", "bin", "group-by", "tee", "shuf", "onall", "nonall"}
)
_PIPES = frozenset({"pipe", "shard", "bin", "tee"})
_ARGUMENTS, _FILES = (":::", ":::+"), ("::::", "::::+")


@dataclass(frozen=True)
class Detached:
    """A task that is to run on without this terminal.

    `files` are those that GNU parallel reads arguments from, each taken along under its number; `stdin`: it
    reads its stdin, too. `theirs` and `command` are its own arguments, with these files in their new places.
    `exported` are the variables that jobs get from the user's environment. `repeatable`: whoever begins again
    gives each job the number that it had.
    """

    files: tuple[str, ...]
    stdin: bool
    theirs: tuple[str, ...]
    command: tuple[str, ...]
    exported: tuple[str, ...]
    repeatable: bool


def place(number: int) -> str:
    """The name of the file that is taken along under this number."""
    return f"file{number}"


def understand(
    theirs: Iterable[Token],
    passed_on: Callable[[Token], Sequence[str]],
    rest: Sequence[str],
    ours: Iterable[str],
) -> Detached:
    """Read the options and what follows them. Raises WommError for what such a task can't have.

    `passed_on` are the words that say an option to GNU parallel.
    """
    for name in ours:
        if name in OURS_REFUSED:
            raise WommError(f"--{name} can't be used with --async", OURS_REFUSED[name])
    names: set[str] = set()
    files, exported, words = _Files(), [], []
    for token in theirs:
        names.add(token.name)
        for name in token.option.names:
            if name in REFUSED:
                raise WommError(f"{token.raw[0]} can't be used with --async", REFUSED[name])
        if token.name == "arg-file":
            words += ["--arg-file", files.take(token.value or "-")]
            continue
        if token.name == "env":
            exported += (token.value or "").split(",")
        words += passed_on(token)
    if "_" in exported:
        raise WommError("--env _ can't be used with --async", "name the variables: --env NAME")
    given, command = _sources(rest, files)
    stdin = bool(_PIPES & names) or not (given or files.names) or files.stdin
    return Detached(
        files=tuple(files.names),
        stdin=stdin,
        theirs=tuple(words),
        command=tuple(command),
        exported=tuple(exported),
        repeatable=not _NEVER_THE_SAME & names,
    )


class _Files:
    """The files that are taken along."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.stdin = False

    def take(self, name: str) -> str:
        """Take the file `name` along; return its new place. Stdin stays what it is."""
        if name == "-":
            self.stdin = True
            return name
        self.names.append(name)
        if len(self.names) > MOST_FILES:
            raise WommError(
                f"with --async GNU parallel reads arguments from {MOST_FILES} files at most",
                "put them together, or give them on stdin",
            )
        return f"{WORK}/{place(len(self.names))}"


def _sources(rest: Sequence[str], files: _Files) -> tuple[bool, list[str]]:
    # Whether arguments stand on the command line; the words, with the files that are named there taken along.
    given, words, reading = False, [], False
    for word in rest:
        if word in _ARGUMENTS or word in _FILES:
            reading = word in _FILES
            given = given or not reading
            words.append(word)
        else:
            words.append(files.take(word) if reading else word)
    return given, words
