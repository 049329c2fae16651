"""What a command line says of GNU parallel's joblog, and the one that runs its failed jobs again (pure)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from womm.getopt import Token

# The joblog has whole commands, and --retry-failed takes each as one argument. So what says where arguments
# come from, how they are cut, and what is made of them, is left out: `-N 2` would make one job of two.
_INPUT = frozenset(
    {
        "arg-file", "arg-file-sep", "arg-sep", "col-sep", "csv", "delimiter", "E", "eof", "filter", "header",
        "link", "linkinputsource", "null", "no-run-if-empty", "shuf", "skip-first-line", "total-jobs", "trim",
        "L", "m", "max-args", "max-chars", "max-lines", "max-replace-args", "X", "xargs", "exit", "quote",
        "I", "basenameextensionreplace", "basenamereplace", "dirnamereplace", "extensionreplace", "parens",
        "plus", "replace", "rpl", "seqreplace", "slotreplace", "_pipe-means-argfiles", "tollef",
        "joblog", "resume", "resume-failed", "retry-failed",
    }
)  # fmt: skip

# With these there is no way back from a row to its job: the stdin is gone, numbers are each host's own, or
# something is named after the job's arguments: a file, a result, a filled-in template.
_NO_WAY_BACK = frozenset(
    {
        "bin", "cat", "fifo", "group-by", "pipe", "pipe-part", "shard", "tee", "nonall", "onall", "shebang",
        "results", "return", "template", "transfer", "transfer-file", "trc",
        "sql", "sql-and-worker", "sql-master", "sql-worker", "_parset",
    }
)  # fmt: skip

# With these a joblog of ours would change what GNU parallel does (--resume demands the user's, or --results),
# would stay empty (--sql…), or be made of temporary files, which an interrupted run leaves (--onall).
_NO_LOG = frozenset(
    {
        "nonall", "onall", "resume", "resume-failed", "retry-failed",
        "sql", "sql-and-worker", "sql-master", "sql-worker", "_parset",
    }
)  # fmt: skip

# With -u and a joblog GNU parallel writes no rows into such a file of results (sub print).
_TABLES = re.compile(r"\.(csv|tsv|json)$", re.IGNORECASE)

_APPENDING = frozenset({"resume", "resume-failed", "retry-failed"})
_REPLACEMENTS = frozenset({"I", "parens", "replace", "rpl"})
_REPLACED = re.compile(r"\{.*\}", re.DOTALL)


@dataclass(frozen=True)
class Log:
    """What a command line says of the joblog.

    `given` is what --joblog says, None if nothing; `appends`: what the file holds already stays there;
    `addable`: womm may have a joblog of its own. `again` are the arguments of a `womm parallel` that runs the
    failed jobs again, up to `--retry-failed --joblog FILE`; None where there is no such thing.
    """

    given: str | None = None
    appends: bool = False
    addable: bool = True
    again: tuple[str, ...] | None = ()

    @property
    def file(self) -> str | None:
        """The file that `given` names; None if there is none that could be read."""
        if not self.given or self.given == "-":
            return None
        return self.given.removeprefix("+") or None

    @property
    def mixes(self) -> bool:
        """Whether the joblog may hold other runs' jobs: `--joblog +FILE`."""
        return (self.given or "").startswith("+")


def log_of(tokens: Sequence[Token]) -> Log:
    """Read the options of a `womm parallel`, both womm's and GNU parallel's."""
    names = {token.name for token in tokens}
    values = [token.value for token in tokens if token.name == "joblog"]
    given = values[-1] if values else None
    tables = any(token.name == "results" and _TABLES.search(token.value or "") for token in tokens)
    return Log(
        given=given,
        appends=bool(_APPENDING & names) or (given or "").startswith("+"),
        addable=given is None and not tables and not _NO_LOG & names,
        again=_again(tokens, names),
    )


def pasteable(words: Sequence[str]) -> str:
    """The command line as it can be typed into bash, in one line that is harmless on a terminal."""
    return " ".join(shlex.quote(word) if word.isprintable() else _quoted(word) for word in words)


def _quoted(word: str) -> str:
    # $'…', where everything that is not plain is told as bytes.
    raw = word.encode(errors="surrogateescape")
    inner = "".join(chr(b) if 0x20 <= b < 0x7F and b not in b"\\'" else f"\\{b:03o}" for b in raw)
    return f"$'{inner}'"


def _again(tokens: Sequence[Token], names: set[str]) -> tuple[str, ...] | None:
    # With -vv the joblog has what was sent to the pod, not the command.
    if _NO_WAY_BACK & names or sum(token.name == "v" for token in tokens) > 1:
        return None
    for token in tokens:
        replaced = _REPLACED.search(token.value or "") is not None or bool(_REPLACEMENTS & names)
        if token.name == "work-dir" and replaced:
            return None
    # A page that was drawn of the failures stays; a task that runs by itself has no joblog of others.
    left_out = {*_INPUT, "timeline", "async"}
    return tuple(word for token in tokens if token.name not in left_out for word in token.raw)
