"""Results put in place on a real file system: what arrives, what interrupts it, what changes meanwhile."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from womm.shares import ignore, merge, settle, tree
from womm.shares.settle import Settling
from womm.shares.tree import Known

ODD = ("new\nline", os.fsdecode(b"\xff\xfe"), "-n", " ", "*", "naïve")


class Bed:
    """A shared directory, what was sent of it, and what came from pods."""

    def __init__(self, path: Path) -> None:
        self.root = path / "root"
        self.staging = self.root / f"{ignore.STAGING}task"
        self.root.mkdir()
        self.sent: dict[str, Known] = {}

    def send(self) -> None:
        """Record what is there."""
        self.sent = dict(tree.scan(self.root, {}))

    def pod(self, name: str, new: tuple[str, ...] = (), deleted: tuple[str, ...] = ()) -> Path:
        """Where a pod's files go."""
        files = self.staging / name / "files"
        files.mkdir(parents=True)
        report = [*(f"N{path}" for path in new), *(f"D{path}" for path in deleted)]
        (self.staging / name / "report").write_bytes(b"".join(os.fsencode(path) + b"\0" for path in report))
        return files

    def settle(self, *pods: str) -> merge.Plan:
        """Put them in place."""
        return Settling("task", self.root, self.staging, self.sent).settle(pods)


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    """A bed; what can't be written in it can be removed afterwards."""
    made = Bed(tmp_path)
    yield made
    for path, _, _ in os.walk(tmp_path):
        os.chmod(path, 0o700)


def listing(root: Path) -> dict[str, tuple[int, bytes | str]]:
    """What is below a directory, with modes, contents, and links' targets."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content: bytes | str = ""
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
        mode = 0 if path.is_symlink() else stat.S_IMODE(status.st_mode)
        found[str(path.relative_to(root))] = (mode, content)
    return found


def test_files_links_modes_and_empty_directories_arrive_under_names_of_any_bytes(bed: Bed) -> None:
    bed.send()
    files = bed.pod("pod")
    for number, name in enumerate(ODD):
        (files / name).write_text(f"{number}")
        (files / f"{name}.d").mkdir()
        (files / f"{name}.d" / name).write_text(f"below {number}")
        (files / f"{name}.link").symlink_to(f"{tree.MUNGED}../{name}")
    (files / "program").write_text("x")
    (files / "program").chmod(0o751)
    (files / "empty").mkdir(mode=0o700)
    (files / "closed").mkdir()
    (files / "closed" / "file").write_text("x")
    (files / "closed").chmod(0o555)
    wanted = {
        name: (mode, content.removeprefix(tree.MUNGED) if isinstance(content, str) else content)
        for name, (mode, content) in listing(files).items()
    }
    assert bed.settle("pod").conflicts == {}
    assert listing(bed.root) == wanted
    assert os.readlink(bed.root / "new\nline.link") == "../new\nline"


def test_a_file_keeps_the_time_at_which_a_job_wrote_it(bed: Bed) -> None:
    bed.send()
    files = bed.pod("pod")
    (files / "file").write_text("x")
    os.utime(files / "file", ns=(1, 1_600_000_000_123_456_789))
    bed.settle("pod")
    assert (bed.root / "file").stat().st_mtime_ns == 1_600_000_000_123_456_789


def test_a_file_that_was_only_touched_stays_the_one_that_it_is(bed: Bed) -> None:
    (bed.root / "file").write_text("x")
    bed.send()
    before = (bed.root / "file").stat()
    (bed.pod("pod") / "file").write_text("x")
    bed.settle("pod")
    after = (bed.root / "file").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def fill(bed: Bed) -> None:
    """Two pods' changes of all sorts, some in conflict."""
    for pod in ("late", "early"):
        files = bed.pod(pod, new=("new", "new/f", "link"), deleted=("gone",))
        (files / "new").mkdir()
        (files / "new" / "f").write_text(pod)
        (files / "changed").write_text(pod)
        (files / "ours").write_text(pod)
        (files / "mode").write_text("mode")
        (files / "mode").chmod(0o755)
        (files / "link").symlink_to(f"{tree.MUNGED}{pod}")
        (files / "closed").mkdir()
        (files / "closed" / pod).write_text(pod)
        (files / "closed").chmod(0o555)


def prepare(bed: Bed) -> None:
    """What fill() changes."""
    for name in ("changed", "ours", "mode", "gone"):
        (bed.root / name).write_text(name)
    bed.send()
    (bed.root / "ours").write_text("the user's")


class Killed(BaseException):
    """What no handler of errors sees."""


def killing(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Have the process "die" at the n-th act on the file system."""
    left = [after]

    def dying(act: Callable[..., Any]) -> Callable[..., Any]:
        def acted(*arguments: Any, **more: Any) -> Any:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return act(*arguments, **more)

        return acted

    for name in ("mkdir", "chmod", "symlink", "replace", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, dying(getattr(os, name)))


def test_whenever_it_is_killed_files_are_whole_and_the_next_try_completes_it(tmp_path: Path) -> None:
    whole = Bed(tmp_path)
    prepare(whole)
    fill(whole)
    plan = whole.settle("late", "early")
    wanted = listing(whole.root)
    assert wanted["changed"][1] == wanted["ours.womm-conflict-task"][1] == b"late"
    assert wanted["changed.womm-conflict-task"][1] == b"early"
    assert wanted["closed"][0] == 0o555
    contents = {b"changed", *(content for _, content in wanted.values())}
    for after in range(1000):
        path = tmp_path / str(after)
        path.mkdir()
        bed = Bed(path)
        prepare(bed)
        fill(bed)
        with pytest.MonkeyPatch.context() as patches:
            killing(patches, after)
            try:
                bed.settle("late", "early")
            except Killed:
                ended = False
            else:
                ended = True
        for name, (_, content) in listing(bed.root).items():
            assert content in contents or name.startswith(ignore.STAGING) or ".womm-new-" in name
        if not ended:
            # The server has it all still.
            for directory, _, _ in os.walk(bed.staging):
                os.chmod(directory, 0o700)
            shutil.rmtree(bed.staging, ignore_errors=True)
            fill(bed)
            assert bed.settle("late", "early").conflicts == plan.conflicts
        found = listing(bed.root)
        # A directory whose mode came too late keeps one that its owner can write.
        assert found["closed"][0] in (0o555, 0o755)
        assert {**found, "closed": 0} == {**wanted, "closed": 0}
        (bed.root / "closed").chmod(0o755)
        if ended:
            break
    assert after > 20
    (whole.root / "closed").chmod(0o755)


def test_what_the_user_changes_in_the_last_moment_is_seen(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(bed)
    (bed.pod("pod") / "changed").write_text("the job's")
    plan = merge.plan

    def planned(*arguments: Any) -> merge.Plan:
        made = plan(*arguments)
        if (bed.root / "changed").read_text() == "changed":
            (bed.root / "changed").write_text("the user's, just now")
        return made

    monkeypatch.setattr(merge, "plan", planned)
    assert bed.settle("pod").conflicts == {"changed": ["changed.womm-conflict-task"]}
    assert (bed.root / "changed").read_text() == "the user's, just now"
    assert (bed.root / "changed.womm-conflict-task").read_text() == "the job's"


def test_another_file_system_below_the_directory_is_written_beside_and_renamed(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(bed)
    files = bed.pod("pod")
    (files / "changed").write_text("the job's")
    (files / "changed").chmod(0o755)
    replace = os.replace

    def elsewhere(source: str, target: str) -> None:
        if str(bed.staging) in source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    monkeypatch.setattr(os, "replace", elsewhere)
    bed.settle("pod")
    assert listing(bed.root)["changed"] == (0o755, b"the job's")
    assert sorted(os.listdir(bed.root)) == ["changed", "gone", "mode", "ours"]


def test_a_directory_that_changes_all_the_time_is_given_up(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(bed)
    (bed.pod("pod") / "changed").write_text("the job's")

    def moved(*_: Any) -> None:
        raise settle._Moved

    monkeypatch.setattr(Settling, "_carry_out", moved)
    with pytest.raises(settle.WommError, match="changes all the time"):
        bed.settle("pod")
    assert (bed.staging / "pod" / "files" / "changed").exists()
