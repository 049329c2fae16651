"""The three-way merge: base is what was sent, theirs what pods have changed, here the directory now (pure).

Paths are relative to the directory, with surrogates for bytes that are no UTF-8; "" is the directory itself.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

#: What an entry is. OTHER is what no pod sends (a socket, say), and what can't be read.
FILE, DIRECTORY, LINK, OTHER = "f", "d", "l", "o"

# Bytes of a name, on all of Linux' own file systems.
_LONGEST = 255


@dataclass(frozen=True)
class Entry:
    """What is at a path. `content`: a file's SHA-256, a link's target, else ""; `mode` is 0 for links."""

    kind: str
    mode: int = 0
    content: str = ""


@dataclass(frozen=True)
class Version:
    """What a pod has `changed` (with all directories above it), what of it is `new`, what was `deleted`."""

    pod: str
    changed: Mapping[str, Entry]
    new: frozenset[str] = frozenset()
    deleted: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Make:
    """Make a directory where nothing is."""

    path: str
    entry: Entry


@dataclass(frozen=True)
class Chmod:
    """Give a directory another mode."""

    path: str
    entry: Entry
    over: Entry


@dataclass(frozen=True)
class Put:
    """Have `pod`'s file or link `source` at `path`, in the place of what is there: `over`, or nothing."""

    path: str
    entry: Entry
    pod: str
    source: str
    over: Entry | None


Step = Make | Chmod | Put


@dataclass
class Plan:
    """What is to be done, in this order; for each path in conflict, where the pods' versions go; what was
    deleted in pods and is still here."""

    steps: list[Step] = field(default_factory=list)
    conflicts: dict[str, list[str]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)


def plan(
    task: str, base: Mapping[str, Entry], look: Callable[[str], Entry | None], versions: Sequence[Version]
) -> Plan:
    """Merge the pods' versions, the latest first: it counts where two differ. `look` sees what is here.

    Carried out whole or in part, what is left to do is what a new plan says.
    """
    made = Plan()
    after: dict[str, Entry] = {}
    for version in versions:
        _Merge(task, base, look, version, made, after).run()
    gone = set().union(*(version.deleted for version in versions))
    made.deleted = sorted(
        path for path in gone if posixpath.dirname(path) not in gone and (after.get(path) or look(path))
    )
    return made


@dataclass
class _Merge:
    # Of one version. `after` overlays what is here with what the plan will have done.
    task: str
    base: Mapping[str, Entry]
    look: Callable[[str], Entry | None]
    version: Version
    plan: Plan
    after: dict[str, Entry]
    # Where the pod's directories are here: elsewhere if something else has their name.
    places: dict[str, str] = field(default_factory=lambda: {"": ""})

    def run(self) -> None:
        # Parents before what is in them.
        for path in sorted(self.version.changed, key=lambda path: path.split("/")):
            if self.version.changed[path].kind == DIRECTORY:
                self._merge_directory(path)
            else:
                self._merge_file(path)

    def _merge_directory(self, path: str) -> None:
        theirs, was = self.version.changed[path], self._was(path)
        if was == theirs:
            # It is there for what is in it.
            return
        if was is None or was.kind != DIRECTORY:
            self._directory(path)
            return
        now = self._see(path)
        if now == was:
            self._do(Chmod(path, theirs, now))

    def _merge_file(self, path: str) -> None:
        theirs, was = self.version.changed[path], self._was(path)
        if was == theirs:
            return
        parent, name = posixpath.split(path)
        here = posixpath.join(self._directory(parent), name)
        if here != path:
            was = None
        now = self._see(here)
        if now == theirs:
            return
        if now == was and (now is None or now.kind in (FILE, LINK)):
            self._put(here, path, now)
            return
        aside = self._aside(here, lambda there: there is None or there == theirs)
        if self._see(aside) is None:
            self._put(aside, path, None)
        self._conflict(here, aside)

    def _directory(self, path: str) -> str:
        # Where the pod's directory `path` is here; it is made if it is missing.
        if path not in self.places:
            parent, name = posixpath.split(path)
            here = posixpath.join(self._directory(parent), name)
            now = self._see(here)
            if now is not None and now.kind != DIRECTORY:
                aside = self._aside(here, lambda there: there is None or there.kind == DIRECTORY)
                self._conflict(here, aside)
                here, now = aside, self._see(aside)
            if now is None:
                self._do(Make(here, self.version.changed.get(path) or Entry(DIRECTORY, 0o755)))
            self.places[path] = here
        return self.places[path]

    def _was(self, path: str) -> Entry | None:
        # What the pod was given under this path.
        return None if path in self.version.new else self.base.get(path)

    def _see(self, path: str) -> Entry | None:
        return self.after[path] if path in self.after else self.look(path)

    def _put(self, path: str, source: str, over: Entry | None) -> None:
        self._do(Put(path, self.version.changed[source], self.version.pod, source, over))

    def _do(self, step: Step) -> None:
        self.plan.steps.append(step)
        self.after[step.path] = step.entry

    def _conflict(self, path: str, aside: str) -> None:
        known = self.plan.conflicts.setdefault(path, [])
        if aside not in known:
            known.append(aside)

    def _aside(self, path: str, suits: Callable[[Entry | None], bool]) -> str:
        return next(name for name in asides(path, self.task) if suits(self._see(name)))


def asides(path: str, task: str) -> Iterator[str]:
    """The names under which a version may stand beside `path`, the first choice first."""
    parent, name = posixpath.split(path)
    raw = name.encode(errors="surrogateescape")
    for number in count(1):
        suffix = f".womm-conflict-{task}" + (f"-{number}" if number > 1 else "")
        short = raw[: _LONGEST - len(suffix)].decode(errors="surrogateescape")
        yield posixpath.join(parent, short + suffix)
