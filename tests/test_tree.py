"""What is recorded of a directory when it is sent, and what later runs take over from that."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from womm.shares import home, tree
from womm.shares.merge import DIRECTORY, FILE, LINK, OTHER, Entry
from womm.shares.tree import Known


def record(root: Path) -> dict[str, Known]:
    """Record all that is in a directory."""
    return home.record(root, os.listdir(root))


def test_every_kind_of_entry_is_recorded_and_survives_being_written(tmp_path: Path) -> None:
    odd = os.fsdecode(b"odd\n\xff")
    (tmp_path / odd).mkdir(mode=0o755)
    (tmp_path / odd / "file").write_bytes(b"abc")
    (tmp_path / odd / "file").chmod(0o640)
    (tmp_path / "link").symlink_to(odd)
    os.mkfifo(tmp_path / "fifo")
    found = dict(tree.scan(tmp_path, {}))
    assert {path: known.entry for path, known in found.items()} == {
        odd: Entry(DIRECTORY, 0o755),
        f"{odd}/file": Entry(FILE, 0o640, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        "link": Entry(LINK, 0, odd),
        "fifo": Entry(OTHER, found["fifo"].entry.mode),
    }
    assert tree.load(tree.dump(found)) == found


def test_modes_are_those_that_pods_see(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "file").chmod(0o020)
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory").chmod(0o200)
    found = dict(tree.scan(tmp_path, {}))
    (tmp_path / "directory").chmod(0o700)
    assert (found["file"].entry.mode, found["directory"].entry.mode) == (0o420, 0o700)


def test_what_is_not_there_is_nothing_whatever_stands_above_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert tree.look(str(tmp_path / "nothing")) is None
    assert tree.look(str(tmp_path / "file" / "below")) is None


def test_a_file_is_read_again_only_if_it_may_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / "root"
    root.mkdir()
    old = time.time() - 100
    for name in ("kept", "changed", "replaced", "recent"):
        (root / name).write_text(name)
        os.utime(root / name, (old, old))
    os.utime(root / "recent")
    first = record(root)
    (root / "changed").write_text("CHANGED")
    (root / "new").write_text("REPLACED")
    os.utime(root / "new", ns=(1, (root / "replaced").stat().st_mtime_ns))
    (root / "new").rename(root / "replaced")
    read = []
    digest = tree._digest
    monkeypatch.setattr(tree, "_digest", lambda path: read.append(Path(path).name) or digest(path))
    second = record(root)
    assert sorted(read) == ["changed", "recent", "replaced"]
    assert second["kept"] == first["kept"]
    assert second["replaced"].entry != first["replaced"].entry


def test_a_record_that_is_broken_or_can_not_be_kept_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_text("x")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    first = record(root)
    [note] = (tmp_path / "state" / "womm" / "sent").iterdir()
    for text in ("", "{", "[1]", '[["file"]]', "null"):
        note.write_text(text)
        assert record(root) == first
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert record(root) == first


def test_a_socket_is_nothing_that_could_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        seen = tree.look("socket")
    assert seen is not None
    assert seen.entry.kind == OTHER
