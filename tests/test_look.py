"""What a share would send, looked at first: the real rsync lists real files, by the rules it will send by."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Hermetic
from hypothesis import given, settings
from hypothesis import strategies as st

from womm.errors import WommError
from womm.process import listen
from womm.shares import ignore, look
from womm.shares.look import Entry, look_at

pytestmark = pytest.mark.usefixtures("hermetic")

ODD = [
    b"a blank",
    b" lead",
    b"new\nline",
    b"\\#012",
    b"bytes\xff",
    "naïve ☃".encode(),
    b"x -> y",
    b"\r",
    b"#",
    b"-",
]


def names(directory: Path) -> set[bytes]:
    return {entry.name for entry in look_at(directory).entries}


def sent(directory: Path, target: Path) -> set[bytes]:
    """What rsync really sends."""
    argv = ["rsync", "--archive", *ignore.arguments(directory), "./", f"{target}/"]
    assert listen(argv, lambda _chunk: None, cwd=directory).status == 0
    root = os.fsencode(target)
    found = (os.path.join(top, name) for top, ds, fs in os.walk(root) for name in (*ds, *fs))
    return {os.path.relpath(path, root) for path in found}


def test_names_are_what_they_are_whatever_bytes_they_have(tmp_path: Path) -> None:
    for name in ODD:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_text("x")
    assert names(tmp_path) == set(ODD)


def test_links_have_their_targets_even_where_arrows_are_in_their_names(tmp_path: Path) -> None:
    for name, target in (("plain", "a"), ("x -> y", "b -> c"), ("odd", "\udcff\n")):
        (tmp_path / name).symlink_to(target)
    found = {(entry.name, entry.target) for entry in look_at(tmp_path).entries}
    assert found == {(b"plain", b"a"), (b"x -> y", b"b -> c"), (b"odd", b"\xff\n")}


def test_sizes_count_each_file_once_and_no_holes_as_room(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "one", tmp_path / "two")
    assert not look_at(tmp_path).holes
    with (tmp_path / "hole").open("wb") as hole:
        hole.seek(50_000_000)
        hole.write(b"end")
    (tmp_path / "small").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    seen = look_at(tmp_path)
    assert seen.size == 100_000 + 50_000_003 + 1
    # A block for each name at least; a file system may give a hole's end a few.
    assert 100_000 + 3 * 4096 <= seen.room < 1_000_000
    assert seen.holes


def test_large_files_are_found_and_named_the_largest_first() -> None:
    entries = [Entry("-", 500_000_000, b"b"), Entry("-", 499_999_999, b"c"), Entry("-", 10**10, b"a")]
    entries += [Entry("d", 10**10, b"d")]
    assert [entry.name for entry in look.Look(entries, 0, 0).large] == [b"a", b"b"]


RULES = """\
# A comment, and a rule of each kind.
- *.o
- /build/
+ keep/
- .git/
- /deep/**/x
"""


def test_the_ignore_file_rules_as_it_does_when_rsync_sends(tmp_path: Path) -> None:
    here = tmp_path / "here"
    for name in ("a.o", "a.c", "build/x", "sub/build/x", "sub/a.o", ".git/HEAD", "sub/.git/x", "deep/1/2/x"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("")
    (here / ignore.FILE).write_text(RULES)
    assert names(here) == sent(here, tmp_path / "there")
    kept = {entry.name for entry in look_at(here).entries if entry.kind == "-"}
    assert kept == {b".wommignore", b"a.c", b"sub/build/x"}


@pytest.mark.parametrize(("rule", "line"), [(".git", 3), ("-", 3), ("-zz q", 3)])
def test_a_broken_rule_is_named_by_file_line_and_text(tmp_path: Path, rule: str, line: int) -> None:
    (tmp_path / ignore.FILE).write_text(f"- a\n\n{rule}\n- b\n")
    with pytest.raises(WommError) as caught:
        look_at(tmp_path)
    assert caught.value.message.startswith(f"{tmp_path}/.wommignore, line {line}: ")
    assert rule in caught.value.message
    assert "`- .git/`" in caught.value.hint
    assert "\n" not in caught.value.message


def test_an_older_rsyncs_complaint_is_understood_too(tmp_path: Path) -> None:
    (tmp_path / ignore.FILE).write_text("- a\nfoo bar\n")
    said = "Unknown filter rule: `foo bar'\nrsync error: syntax or usage error (code 1) at exclude.c(927)"
    found = ignore.complaint(tmp_path, said)
    assert found is not None
    assert found.message == f"{tmp_path}/.wommignore, line 2: Unknown filter rule: `foo bar'"
    assert ignore.complaint(tmp_path, "rsync: connection unexpectedly closed") is None


def test_an_ignore_file_that_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ignore.FILE)
    with pytest.raises(WommError, match="can't be read"):
        look_at(tmp_path)


def test_links_out_of_the_directory_are_found() -> None:
    targets = {
        b"out": b"/etc/passwd",
        b"up": b"..",
        b"sub/up": b"../../x",
        b"sub/in": b"../x",
        b"in": b"/home/ann/work/x",
        b"whole": b"/home/ann/work",
        b"beside": b"/home/ann/worker",
        b"dangling": b"nowhere",
    }
    entries = [Entry("l", len(target), name, target) for name, target in targets.items()]
    entries += [Entry("-", 1, b"file")]
    found = [entry.name for entry in look.leaving("/home/ann/work", entries)]
    assert found == [b"out", b"up", b"sub/up", b"beside"]


def test_git_and_virtual_environments_are_found_the_outermost_with_all_that_is_in_them() -> None:
    entries = [
        Entry("-", 1, b"pyvenv.cfg"),
        Entry("d", 0, b".git"),
        Entry("-", 10, b".git/HEAD"),
        Entry("-", 5, b"sub/.git"),
        Entry("-", 7, b"env/lib/big"),
        Entry("-", 1, b"env/pyvenv.cfg"),
        Entry("d", 0, b"env/src/x/.git"),
        Entry("-", 4, b"env/src/x/.git/HEAD"),
        Entry("-", 2, b"conda/conda-meta/history"),
        Entry("-", 3, b"environment"),
    ]
    assert look.spare(entries) == {b".git": 10, b"env": 12, b"conda": 2}
    assert look.spare(entries[-1:]) == {}


# All that a name may be, with the characters that rsync's patterns know more often than others.
NAMES = st.lists(
    st.one_of(st.sampled_from(b"*?[]\\#-+ ;!.\n\r\t"), st.integers(1, 255).filter(lambda n: n != ord("/"))),
    min_size=1,
    max_size=6,
).map(bytes).filter(lambda name: name not in (b".", b".."))  # fmt: skip


# Each starts an rsync: that takes as long as the machine is busy.
@settings(deadline=None, max_examples=50)
@given(names=st.sets(NAMES, min_size=1, max_size=4))
def test_the_suggested_rules_leave_out_what_they_are_made_for(
    names: set[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("x")
    for name in names:
        os.mkdir(os.path.join(os.fsencode(directory), name))
    ignore.write(directory, ignore.rules(names))
    assert {entry.name for entry in look_at(directory).entries} == {b".wommignore"}


def test_an_ignore_file_that_is_there_is_never_altered(tmp_path: Path) -> None:
    (tmp_path / ignore.FILE).write_text("- mine\n")
    ignore.write(tmp_path, b"- other\n")
    assert (tmp_path / ignore.FILE).read_text() == "- mine\n"


def test_a_directory_that_cannot_be_read_is_told_with_the_way_out(hermetic: Hermetic, tmp_path: Path) -> None:
    # Root can read all.
    hermetic.stub("rsync", "#!/bin/sh\necho 'opendir \"/x\" failed: Permission denied' >&2\nexit 23\n")
    with pytest.raises(WommError, match=r"can't be looked at \(opendir") as caught:
        look_at(tmp_path)
    assert ignore.FILE in caught.value.hint
