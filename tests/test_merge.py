"""The merge: cases by name, and properties that hold whatever was changed where."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from womm.shares.merge import (
    DIRECTORY,
    FILE,
    LINK,
    OTHER,
    Entry,
    Make,
    Plan,
    Put,
    Version,
    asides,
    plan,
)

A, B, C = (Entry(FILE, 0o644, letter) for letter in "ABC")
FOLDER = Entry(DIRECTORY, 0o755)
#: A directory's content by path; None is never a value.
Tree = dict[str, Entry]


def version(base: Tree, theirs: Tree, pod: str = "pod") -> Version:
    """What a pod reports that was given `base` and has `theirs` now."""
    changed = {path: entry for path, entry in theirs.items() if base.get(path) != entry}
    for path in list(changed):
        while path := posixpath.dirname(path):
            changed[path] = theirs[path]
    gone = frozenset(path for path in base if path not in theirs)
    return Version(pod, changed, frozenset(path for path in theirs if path not in base), gone)


def done(made: Plan, here: Tree) -> Tree:
    """What is here once the plan is carried out; it has to be one that can be."""
    tree = dict(here)
    for step in made.steps:
        parent = posixpath.dirname(step.path)
        assert not parent or tree[parent].kind == DIRECTORY
        assert tree.get(step.path) == (None if isinstance(step, Make) else step.over)
        assert not isinstance(step, Put) or step.over is None or step.over.kind in (FILE, LINK)
        tree[step.path] = step.entry
    return tree


def merged(base: Tree, here: Tree, *theirs: Tree) -> tuple[Tree, Plan]:
    """What is here after the merge, and its plan; of several pods the first is the latest."""
    versions = [version(base, tree, f"pod{number}") for number, tree in enumerate(theirs)]
    made = plan("task", base, here.get, versions)
    return done(made, here), made


@pytest.mark.parametrize(
    ("base", "here", "theirs", "after", "deleted"),
    [
        ({"f": A}, {"f": A}, {"f": B}, {"f": B}, []),
        ({"f": A}, {"f": B}, {"f": A}, {"f": B}, []),
        ({"f": A}, {"f": B}, {"f": C}, {"f": B, "f.womm-conflict-task": C}, []),
        ({"f": A}, {"f": B}, {"f": B}, {"f": B}, []),
        ({}, {}, {"f": A}, {"f": A}, []),
        ({}, {"f": B}, {"f": A}, {"f": B, "f.womm-conflict-task": A}, []),
        ({"f": A}, {}, {"f": A}, {}, []),
        ({"f": A}, {}, {"f": B}, {"f.womm-conflict-task": B}, []),
        ({"f": A}, {"f": A}, {}, {"f": A}, ["f"]),
        ({"f": A}, {"f": B}, {}, {"f": B}, ["f"]),
        ({"f": A}, {}, {}, {}, []),
        ({"d": FOLDER, "d/f": A}, {"d": FOLDER, "d/f": A}, {}, {"d": FOLDER, "d/f": A}, ["d"]),
        # A directory where a file is, and the other way round: nothing of the user's goes for it.
        (
            {},
            {"d": A},
            {"d": FOLDER, "d/f": B},
            {"d": A, "d.womm-conflict-task": FOLDER, "d.womm-conflict-task/f": B},
            [],
        ),
        (
            {"d": FOLDER, "d/f": A},
            {"d": FOLDER, "d/f": A},
            {"d": B},
            {"d": FOLDER, "d/f": A, "d.womm-conflict-task": B},
            ["d/f"],
        ),
        (
            {"d": FOLDER, "d/f": A},
            {"d": Entry(LINK, 0, "elsewhere")},
            {"d": FOLDER, "d/f": B},
            {
                "d": Entry(LINK, 0, "elsewhere"),
                "d.womm-conflict-task": FOLDER,
                "d.womm-conflict-task/f": B,
            },
            [],
        ),
        # The user has taken the directory away, and jobs made something in it.
        ({"d": FOLDER}, {}, {"d": FOLDER, "d/f": A}, {"d": FOLDER, "d/f": A}, []),
        ({"f": A}, {"f": Entry(OTHER)}, {"f": B}, {"f": Entry(OTHER), "f.womm-conflict-task": B}, []),
        ({}, {}, {"d": Entry(DIRECTORY, 0o700)}, {"d": Entry(DIRECTORY, 0o700)}, []),
        (
            {"d": FOLDER},
            {"d": FOLDER},
            {"d": Entry(DIRECTORY, 0o700)},
            {"d": Entry(DIRECTORY, 0o700)},
            [],
        ),
        ({"f": A}, {"f": A}, {"f": Entry(FILE, 0o755, "A")}, {"f": Entry(FILE, 0o755, "A")}, []),
        ({"f": A}, {"f": A}, {"f": Entry(LINK, 0, "t")}, {"f": Entry(LINK, 0, "t")}, []),
    ],
)
def test_a_change_is_taken_kept_or_put_beside(
    base: Tree, here: Tree, theirs: Tree, after: Tree, deleted: list[str]
) -> None:
    found, made = merged(base, here, theirs)
    assert found == after
    assert bool(made.conflicts) == any(".womm-conflict-" in path for path in after)
    assert made.deleted == deleted


def test_of_two_pods_versions_the_latest_counts_and_the_other_is_kept_beside() -> None:
    found, made = merged({"f": A}, {"f": A}, {"f": B}, {"f": C})
    assert found == {"f": B, "f.womm-conflict-task": C}
    assert made.conflicts == {"f": ["f.womm-conflict-task"]}
    assert merged({}, {}, {"f": B}, {"f": B})[1].conflicts == {}


def test_where_the_user_has_one_too_each_pods_version_has_a_name() -> None:
    found, made = merged({}, {"f": A}, {"f": B}, {"f": C}, {"f": B})
    assert found == {"f": A, "f.womm-conflict-task": B, "f.womm-conflict-task-2": C}
    assert made.conflicts == {"f": ["f.womm-conflict-task", "f.womm-conflict-task-2"]}


def test_what_a_pod_did_not_know_of_is_not_taken_for_unchanged() -> None:
    # The file was there when all was recorded, but not sent (it was ignored, say).
    made = plan("task", {"f": A}, {"f": A}.get, [Version("pod", {"f": B}, frozenset({"f"}))])
    assert done(made, {"f": A}) == {"f": A, "f.womm-conflict-task": B}


def test_the_name_beside_a_long_one_is_no_longer_than_names_may_be() -> None:
    long = "\udcff" * 255
    first, second = (name for name, _ in zip(asides(f"d/{long}", "taskname"), range(2), strict=False))
    for name in (first, second):
        assert len(name.encode(errors="surrogateescape")) == 2 + 255
    assert first.endswith(".womm-conflict-taskname")
    assert second.endswith(".womm-conflict-taskname-2")


entries = st.sampled_from(
    [A, B, C, FOLDER, Entry(DIRECTORY, 0o700), Entry(FILE, 0o755, "A"), Entry(LINK, 0, "a")]
)
NAMES = ("a", "b", "a/a", "a/b", "b/a", "a/a/a")


def as_tree(wanted: Mapping[str, Entry | None]) -> Tree:
    """A tree of what is wanted: what has no directory above it is left out."""
    tree: Tree = {}
    for path in NAMES:
        parent, entry = posixpath.dirname(path), wanted.get(path)
        if entry is not None and (not parent or (parent in tree and tree[parent].kind == DIRECTORY)):
            tree[path] = entry
    return tree


trees = st.dictionaries(st.sampled_from(NAMES), entries).map(as_tree)


@settings(deadline=None)
@given(trees, trees, st.lists(trees, max_size=3))
def test_nothing_that_anybody_wrote_is_ever_lost(base: Tree, here: Tree, theirs: list[Tree]) -> None:
    found, made = merged(base, here, *theirs)
    contents = {entry.content for entry in found.values()}
    for path, entry in here.items():
        # What is the user's own stays where it is.
        if entry != base.get(path) and entry.kind != DIRECTORY:
            assert found[path] == entry
        assert path in found
    for tree in theirs:
        for path, entry in tree.items():
            if entry != base.get(path) and entry.kind != DIRECTORY:
                assert entry.content in contents
    for path, names in made.conflicts.items():
        assert ".womm-conflict-task" in "".join(names)
        assert all(name in found for name in names), path


@settings(deadline=None)
@given(trees, trees, st.lists(trees, min_size=1, max_size=3), st.data())
def test_a_merge_that_was_cut_short_is_completed_by_the_next_one(
    base: Tree, here: Tree, theirs: list[Tree], data: st.DataObject
) -> None:
    versions = [version(base, tree, f"pod{number}") for number, tree in enumerate(theirs)]
    whole = plan("task", base, here.get, versions)
    cut = data.draw(st.integers(0, len(whole.steps)))
    halfway = done(Plan(whole.steps[:cut]), here)
    rest = plan("task", base, halfway.get, versions)
    assert done(rest, halfway) == done(whole, here)
    assert plan("task", base, done(whole, here).get, versions).steps == []


@settings(deadline=None)
@given(trees, trees)
def test_what_only_jobs_changed_is_here_as_they_left_it(base: Tree, theirs: Tree) -> None:
    found, _ = merged(base, dict(base), theirs)
    for path, entry in theirs.items():
        before = base.get(path)
        if before is None or before.kind == entry.kind:
            parents = [path]
            while parent := posixpath.dirname(parents[-1]):
                parents.append(parent)
            if all(base.get(p) is None or base[p].kind == theirs[p].kind for p in parents):
                assert found[path] == entry


@settings(deadline=None)
@given(trees, trees)
def test_without_a_change_of_jobs_nothing_is_done(base: Tree, here: Tree) -> None:
    assert merged(base, here, base)[1] == Plan()
