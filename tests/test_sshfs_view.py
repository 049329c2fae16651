"""sshfs seen through sshfs-view.so, with a real kernel, sshfs, libfuse and SFTP server."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import eventually

_SCRIPTS = Path(__file__).parent.parent / "womm" / "scripts"
_SFTP = "/usr/lib/openssh/sftp-server"
# Seconds that an answer counts, and after which it certainly does no more.
_HOLD, _LATER = 0.3, 0.6
# Seconds in which a directory's time is the same, and in which what others have deleted may still be there.
_TICK, _GRACE = 1.0, 3.0
# Seconds that the kernel keeps anything.
_KERNEL = 0.25
_GETDENTS = 217 if os.uname().machine == "x86_64" else 61
_EXEC = "sshfs x:{there} {here} -f -o passive,noforget -o dir_cache=no,attr_timeout=0.2,entry_timeout=0.2"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, as Dockerfile.nfs makes it."""
    made = tmp_path_factory.mktemp("view") / "sshfs-view.so"
    sources = sorted((_SCRIPTS / "sshfs-view").glob("*.c"))
    flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-D_FILE_OFFSET_BITS=64")
    subprocess.run(
        ["cc", *flags, "-I/usr/include/fuse3", "-o", made, *sources, "-ldl", "-lpthread"], check=True
    )
    return made


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The user's directory."""
    path = tmp_path / "there"
    path.mkdir()
    return path


@pytest.fixture
def hold() -> float:
    """Seconds that an answer counts."""
    return _HOLD


@pytest.fixture
def here(tmp_path: Path, there: Path, library: Path, hold: float) -> Iterator[Path]:
    """Where it is mounted."""
    path = tmp_path / "here"
    path.mkdir()
    with subprocess.Popen([_SFTP], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        mounted = subprocess.Popen(
            _EXEC.format(there=there, here=path).split(),
            stdin=server.stdout,
            stdout=server.stdin,
            env={**os.environ, "LD_PRELOAD": str(library), "WOMM_VIEW_MS": f"{hold * 1000:.0f}"},
        )
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.close()
        server.stdout.close()
        try:
            eventually(lambda: os.path.ismount(path))
            yield path
            # It is to have survived the test.
            assert mounted.poll() is None
        finally:
            # A dead mount would be in everybody's way.
            subprocess.run(["fusermount3", "-u", "-z", path], check=True)
            mounted.send_signal(signal.SIGTERM)
            mounted.wait(10)


def test_nothing_is_seen_from_outside_but_what_sshfs_calls_in_libfuse(library: Path) -> None:
    # A name of ours would be taken for another library's.
    said = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in said.stdout.splitlines()] == [
        "_fuse_new_31",
        "fuse_new",
        "fuse_session_new",
        "fuse_session_new_versioned",
    ]


def _names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def _listed(path: Path, size: int) -> list[str]:
    # As ganesha may read it: opened anew for each `size` bytes, at the offset where the last ones ended.
    libc = ctypes.CDLL(None, use_errno=True)
    offset, names = 0, []
    while True:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        os.lseek(directory, offset, os.SEEK_SET)
        buffer = ctypes.create_string_buffer(size)
        count = libc.syscall(_GETDENTS, directory, buffer, size)
        os.close(directory)
        assert count >= 0, os.strerror(ctypes.get_errno())
        if count == 0:
            return names
        at = 0
        while at < count:
            _, offset, length = struct.unpack_from("QqH", buffer.raw, at)
            names.append(buffer.raw[at + 19 : at + length].split(b"\0")[0].decode())
            at += length


def _grows(path: Path, before: int) -> int:
    # The directory's time once it has grown, as it is when it is asked for often enough.
    eventually(lambda: path.stat().st_mtime_ns > before)
    return path.stat().st_mtime_ns


def _gone(path: Path) -> None:
    # Wait until it is, as somebody who also looks at its directory.
    eventually(lambda: path.parent.stat() and not path.exists(), seconds=_GRACE)


def test_files_are_written_renamed_and_deleted(there: Path, here: Path) -> None:
    (here / "a").write_text("hello")
    with (here / "a").open("a") as file:
        file.write(" you")
    assert (there / "a").read_text() == (here / "a").read_text() == "hello you"
    (here / "a").rename(here / "b")
    assert not (here / "a").exists()
    assert _names(here) == ["b"]
    os.truncate(here / "b", 3)
    (here / "b").chmod(0o600)
    os.utime(here / "b", (1000, 2000))
    found = (here / "b").stat()
    assert (found.st_size, found.st_mode & 0o777, found.st_mtime) == (3, 0o600, 2000)
    (here / "l").symlink_to("b")
    assert (here / "l").read_text() == "hel"
    os.link(here / "b", here / "c")
    assert (here / "c").read_text() == "hel"
    for name in "lbc":
        (here / name).unlink()
    assert _names(here) == _names(there) == []


def test_a_directory_is_renamed_with_all_that_is_in_it(there: Path, here: Path) -> None:
    (here / "d").mkdir()
    (here / "d/x").write_text("1")
    assert _names(here / "d") == ["x"]
    (here / "d").rename(here / "e")
    assert _names(here / "e") == ["x"]
    assert not (here / "d").exists()
    assert not (here / "d/x").exists()
    assert (there / "e/x").read_text() == "1"


def test_an_open_file_outlives_its_name(there: Path, here: Path) -> None:
    with (here / "u").open("w+") as file:
        file.write("abc")
        file.flush()
        (here / "u").unlink()
        file.seek(0)
        assert file.read() == "abc"
    (there / "r").write_text("old")
    with (here / "r").open() as file:
        # Nothing has been read of it yet.
        (here / "r").rename(here / "s")
        assert file.read() == "old"


def test_every_name_that_is_made_here_is_seen_at_once(here: Path) -> None:
    for number in range(50):
        (here / f"{number}").touch()
        before = here.stat().st_mtime_ns
        assert len(_names(here)) == number + 1
        (here / f"{number}.tmp").touch()
        assert here.stat().st_mtime_ns > before
        (here / f"{number}.tmp").rename(here / f"{number}")


def test_a_file_that_grows_here_never_shrinks(here: Path) -> None:
    def write() -> None:
        with (here / "w").open("a") as file:
            for _ in range(200):
                file.write("x" * 1000)
                file.flush()

    (here / "w").touch()
    writer = threading.Thread(target=write)
    writer.start()
    sizes = []
    while writer.is_alive():
        sizes.append((here / "w").stat().st_size)
        os.listdir(here)
    writer.join()
    assert sizes == sorted(sizes)
    assert (here / "w").stat().st_size == 200_000


def test_what_others_change_is_seen_when_answers_have_aged(there: Path, here: Path) -> None:
    (there / "o").write_text("1")
    assert (here / "o").read_text() == "1"
    assert not (here / "p").exists()
    assert _names(here) == ["o"]
    (there / "o").write_text("22")
    (there / "p").touch()
    time.sleep(_LATER)
    assert (here / "o").stat().st_size == 2
    assert (here / "o").read_text() == "22"
    assert (here / "p").exists()
    assert _names(here) == ["o", "p"]


def test_what_others_delete_is_gone_after_its_directory_has_changed(there: Path, here: Path) -> None:
    (there / "p").touch()
    assert (here / "p").exists()
    before = here.stat().st_mtime_ns
    # As ganesha has it open.
    root = os.open(here, os.O_RDONLY | os.O_DIRECTORY)
    (there / "p").unlink()
    time.sleep(_LATER)
    # Ganesha lists it as long as the directory is the same.
    assert (here / "p").exists()
    _grows(here, before)
    _gone(here / "p")
    os.close(root)


def test_a_directory_whose_time_is_set_back_has_changed(there: Path, here: Path) -> None:
    os.listdir(here)
    before = here.stat().st_mtime_ns
    (there / "new").touch()
    os.utime(there, (5, 5))
    _grows(here, before)
    assert _names(here) == ["new"]


def test_what_is_made_in_the_second_of_a_listing_is_seen(there: Path, here: Path) -> None:
    while time.time() % 1 > 0.1:
        time.sleep(0.01)
    (there / "a").touch()
    assert _names(here) == ["a"]
    before = here.stat().st_mtime_ns
    (there / "b").touch()
    assert (there.stat().st_mtime_ns - (there / "a").stat().st_mtime_ns) < 1e9 * _TICK
    time.sleep(_TICK)
    _grows(here, before)
    assert _names(here) == ["a", "b"]


def test_what_is_made_in_the_second_in_which_it_was_missed_is_seen(there: Path, here: Path) -> None:
    for name in map(str, range(10)):
        while time.time() % 1 > 0.1:
            time.sleep(0.01)
        (here / "a").touch()
        (here / "a").unlink()
        second, before = int(there.stat().st_mtime), here.stat().st_mtime_ns
        # Nobody lists it.
        assert not (here / name).exists()
        time.sleep(_KERNEL)
        (there / name).touch()
        # On a busy machine it is another one.
        if int(there.stat().st_mtime) == second:
            break
    else:
        pytest.fail("this machine is too slow for it")
    time.sleep(_TICK)
    after = _grows(here, before)
    assert (here / name).exists()
    # Once is enough.
    time.sleep(_TICK + _LATER)
    assert here.stat().st_mtime_ns == after


@pytest.mark.parametrize("hold", [2.0])
def test_that_a_name_was_missing_counts_until_its_directory_has_grown(
    there: Path, here: Path, hold: float
) -> None:
    os.utime(there, (5, 5))
    before = here.stat().st_mtime_ns
    time.sleep(hold - 0.5)
    assert not (here / "b").exists()
    (there / "b").touch()
    assert not (here / "b").exists()
    _grows(here, before)
    assert (here / "b").exists()


def test_what_is_made_while_others_set_the_directorys_time_is_seen(there: Path, here: Path) -> None:
    os.utime(there, (5, 5))
    here.stat()
    time.sleep(_TICK + _LATER)
    here.stat()
    assert not (here / "b").exists()
    (there / "b").touch()
    # As another pod does that unpacks something.
    os.utime(here, (7, 7))
    _grows(here, 7_000_000_000)
    assert (here / "b").exists()


def test_a_change_that_a_listing_finds_is_shown_once(there: Path, here: Path) -> None:
    (there / "a").touch()
    os.utime(there, (5, 5))
    assert _names(here) == ["a"]
    time.sleep(_TICK + _LATER)
    before = here.stat().st_mtime_ns
    (there / "b").touch()
    os.utime(there, (9, 9))
    # Questions about what is in it have it read, by and by; about itself there are none.
    for _ in range(8):
        for name in "abcdef":
            (here / name).exists()
        time.sleep(_HOLD / 2)
    time.sleep(_LATER)
    after = _grows(here, before)
    time.sleep(_LATER)
    assert here.stat().st_mtime_ns == after == before + 1


def test_a_directory_has_the_time_that_is_set_here(here: Path) -> None:
    (here / "d").mkdir()
    (here / "d/x").touch()
    os.utime(here / "d", (7, 7))
    assert (here / "d").stat().st_mtime == 7


def test_what_can_not_be_read_is_an_error(there: Path, here: Path) -> None:
    # root would read it all the same: there a file that is gone by then.
    (there / "no").write_text("x")
    assert (here / "no").stat().st_size == 1
    with (here / "no").open() as file:
        (there / "no").unlink()
        with pytest.raises(OSError, match="Stale file handle"):
            file.read()


def test_a_rename_to_a_name_that_others_have_deleted(there: Path, here: Path) -> None:
    (here / "a").touch()
    (here / "b").touch()
    (there / "b").unlink()
    # The kernel forgets it, once it is told.
    _gone(here / "b")
    time.sleep(_LATER)
    (here / "a").rename(here / "b")
    assert _names(there) == ["b"]


def test_what_is_open_is_not_what_has_its_name_now(there: Path, here: Path) -> None:
    (there / "p").write_text("old")
    with (here / "p").open() as file:
        assert file.read() == "old"
        (there / "new").write_text("longer")
        (there / "new").rename(there / "p")
        time.sleep(_LATER)
        assert os.fstat(file.fileno()).st_size == len("longer")
        assert (here / "p").read_text() == "longer"
        (there / "p").unlink()
        _gone(here / "p")
        # It is still open.
        file.seek(0)
        assert file.read(3) == "old"


def test_two_changes_of_a_file_in_one_second_are_two(here: Path) -> None:
    (here / "f").write_text("1")
    before = (here / "f").stat()
    (here / "f").write_text("2")
    os.utime(here / "f", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (here / "f").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert after.st_ctime_ns != before.st_ctime_ns


def test_one_file_of_two_names_has_one_length(here: Path) -> None:
    (here / "p").write_text("a")
    os.link(here / "p", here / "q")
    assert (here / "q").stat().st_size == 1
    with (here / "p").open("a") as file:
        file.write("b")
    time.sleep(_KERNEL)
    assert (here / "q").stat().st_size == 2


def test_what_others_have_deleted_can_be_made_again(there: Path, here: Path) -> None:
    for name in ("file", "directory"):
        (here / name).mkdir()
        (here / name / "x").touch()
    shutil.rmtree(there / "file")
    shutil.rmtree(there / "directory")
    # They linger, for who lists.
    shutil.rmtree(here / "file", ignore_errors=True)
    with contextlib.suppress(OSError):
        (here / "file").rmdir()
    (here / "file").write_text("made")
    assert (there / "file").read_text() == "made"
    with contextlib.suppress(OSError):
        (here / "directory").rmdir()
    (here / "directory").mkdir()
    assert not (here / "directory/x").exists()
    assert _names(here / "directory") == []


@pytest.mark.parametrize("hold", [10])
def test_a_file_that_others_have_deleted_is_made_when_it_is_opened(there: Path, here: Path) -> None:
    (there / "a").write_text("theirs")
    assert (here / "a").stat().st_size == len("theirs")
    (there / "a").unlink()
    # The kernel looks again by itself, once: it is told that the name is stale.
    with (here / "a").open("a") as file:
        file.write("made")
    assert (there / "a").read_text() == "made"


def test_a_directory_is_listed_whole_while_it_changes(there: Path, here: Path) -> None:
    kept = {f"kept-{number}" for number in range(1500)}
    for name in kept:
        (there / name).touch()
    over = threading.Event()
    wrong: list[object] = []

    def change(root: Path, tag: str) -> None:
        number = 0
        while not over.is_set():
            path = root / f"{tag}-{number % 50}"
            path.write_text("x" * random.randrange(100))
            path.rename(f"{path}.renamed")
            Path(f"{path}.renamed").unlink()
            number += 1

    def check(listed: Callable[[], list[str]]) -> None:
        rounds = 0
        while not over.is_set() or rounds < 3:
            names = [name for name in listed() if name in kept]
            if sorted(names) != sorted(kept):
                wrong.append((len(kept), len(names), len(set(names))))
            rounds += 1

    threads = [
        threading.Thread(target=change, args=(here, "here")),
        threading.Thread(target=change, args=(there, "there")),
        threading.Thread(target=check, args=(lambda: _listed(here, 4096),)),
        threading.Thread(target=check, args=(lambda: os.listdir(here),)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(3)
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_aged_attributes_of_many_files_take_few_requests(there: Path, here: Path) -> None:
    names = [f"file-{number}" for number in range(500)]
    for name in names:
        (there / name).touch()
    os.listdir(here)
    time.sleep(_LATER)
    before = _answers()
    for name in names:
        with (here / name).open():
            assert (here / name).stat().st_size == 0
    assert _answers() - before < len(names) / 5


def test_who_asks_for_many_of_thousands_does_not_have_them_all_read_each_time(
    there: Path, here: Path
) -> None:
    for number in range(5000):
        (there / str(number)).touch()
    os.listdir(here)
    before = _answers()
    for start in (0, 1000):
        time.sleep(_HOLD + 0.05)
        for number in range(start, start + 30):
            (here / str(number)).stat()
    # To read it takes a hundred.
    assert _answers() - before < 50
    (there / "new").touch()
    assert (here / "new").exists()


def test_a_directory_among_thousands_is_not_as_old_as_they_may_be(there: Path, here: Path) -> None:
    for number in range(5000):
        (there / str(number)).touch()
    (there / "d").mkdir()
    os.utime(there / "d", (5, 5))
    assert not (here / "d" / "new").exists()
    os.listdir(here)
    before = (here / "d").stat().st_mtime_ns
    (there / "d" / "new").touch()
    since = time.monotonic()
    numbers = iter(range(5000))
    while (here / "d").stat().st_mtime_ns == before:
        time.sleep(0.05)
        # It is never among the first ones that are asked for.
        for _ in range(20):
            (here / str(next(numbers))).stat()
    assert time.monotonic() - since < 1.5
    assert (here / "d" / "new").exists()


def test_locks_made_by_links_leave_what_is_known(there: Path, here: Path) -> None:
    names = [f"file-{number}" for number in range(100)]
    for name in names:
        (there / name).touch()
    (here / "locks").mkdir()
    # What others do to a file of two names is not seen by both at once: nothing that is known counts then.
    (here / "locks" / "own").touch()
    os.link(here / "locks" / "own", here / "locks" / "lock")
    (here / "locks" / "own").unlink()
    os.listdir(here)
    (here / "locks" / "lock").unlink()
    before = _answers()
    for name in names[:3]:
        (here / name).stat()
    assert _answers() == before


def _answers() -> int:
    # What the SFTP server has said: how many pieces.
    server = next(
        int(pid)
        for pid in os.listdir("/proc")
        if pid.isdigit() and _runs(int(pid), _SFTP) and _parent(int(pid)) == os.getpid()
    )
    text = Path(f"/proc/{server}/io").read_text()
    return int(dict(line.split(": ") for line in text.splitlines())["syscw"])


def _runs(pid: int, program: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/exe") == program
    except OSError:
        return False


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
