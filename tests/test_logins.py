"""GNU parallel's login file: never empty, never too old to be read again."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import eventually
from hypothesis import given
from hypothesis import strategies as st

from womm.logins import LoginFile, login_lines
from womm.runs import Run

pytestmark = pytest.mark.usefixtures("hermetic")

names_of_pods = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)


def test_each_pod_is_a_login_with_its_slots() -> None:
    assert login_lines(["p-1", "p-2"], 4, "task") == "4/p-1\n4/p-2\n"


def test_this_machine_is_a_login_beside_the_pods() -> None:
    assert login_lines(["p-1"], 4, "task", local=2) == "4/p-1\n2/:\n"
    # Many slots here are one login: nothing has to be tried out.
    assert login_lines(["p-1"], 10, "task", local=12) == "9/p-1\n1/p-1.1\n12/:\n"


def test_without_a_pod_this_machine_is_enough() -> None:
    assert login_lines([], 4, "task", local=2) == "2/:\n"


def test_a_login_that_has_to_stay_whole_does() -> None:
    assert login_lines(["p-1"], 30, "task", whole=True) == "30/p-1\n"
    assert login_lines(["p-1"], 20, "task") == "9/p-1\n9/p-1.1\n2/p-1.2\n"


@given(st.lists(names_of_pods), st.integers(1, 100), st.integers(0, 3))
def test_the_login_file_is_never_empty_and_every_line_names_its_slots(
    names: list[str], slots: int, local: int
) -> None:
    lines = login_lines(names, slots, "womm-task-x", whole=True, local=local).splitlines()
    assert len(lines) == max(1, len(names) + bool(local))
    assert all(line.split("/")[0].isdigit() and line.split("/")[1] for line in lines)
    assert names or lines == [f"{local}/:" if local else "1/womm-task-x"]


@given(st.sets(names_of_pods, min_size=1), st.integers(1, 100))
def test_many_slots_are_spread_over_several_logins_of_a_pod(names: set[str], slots: int) -> None:
    lines = login_lines(sorted(names), slots, "task").splitlines()
    logins = [line.partition("/") for line in lines]
    assert len({login for _, _, login in logins}) == len(lines)
    for name in names:
        counts = [int(count) for count, _, login in logins if login.partition(".")[0] == name]
        assert sum(counts) == slots
        assert all(1 <= count <= 9 for count in counts)


@pytest.fixture
def run() -> Iterator[Run]:
    """A run to write into."""
    run = Run()
    yield run
    run.close()


def test_the_file_is_there_from_the_beginning_and_never_empty(run: Run) -> None:
    logins = LoginFile(run, 2, "womm-task-x", whole=False, local=0)
    path = Path(logins.path)
    assert path.parent == run.path
    contents = [path.read_text()]
    for ready in (["a"], ["a", "b"], [], ["b"]):
        logins.write(ready)
        contents.append(path.read_text())
    assert contents == ["1/womm-task-x\n", "2/a\n", "2/a\n2/b\n", "1/womm-task-x\n", "2/b\n"]


def test_the_file_knows_of_whole_and_local(run: Run) -> None:
    logins = LoginFile(run, 12, "womm-task-x", whole=True, local=3)
    assert Path(logins.path).read_text() == "3/:\n"
    logins.write(["a"])
    assert Path(logins.path).read_text() == "12/a\n3/:\n"


def test_each_write_is_newer_by_two_seconds_than_the_last(run: Run) -> None:
    # GNU parallel reads it again only if its mtime moved by more than a second.
    before = time.time()
    logins = LoginFile(run, 1, "womm-task-x", whole=False, local=0)
    times = [Path(logins.path).stat().st_mtime]
    for ready in (["a"], ["b"], ["b"]):
        logins.write(ready)
        times.append(Path(logins.path).stat().st_mtime)
    assert times[0] >= before - 0.01
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    # The file system keeps nanoseconds, a float does not.
    assert all(1.999 < step < 2.5 for step in steps), steps


def test_time_that_passes_counts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    logins = LoginFile(run, 1, "womm-task-x", whole=False, local=0)
    later = time.time() + 100
    monkeypatch.setattr(time, "time", lambda: later)
    logins.write(["a"])
    assert abs(Path(logins.path).stat().st_mtime - later) < 0.01


def test_a_reader_never_finds_it_empty_or_gone(run: Run) -> None:
    logins = LoginFile(run, 1, "womm-task-x", whole=False, local=0)
    path, seen, stop = Path(logins.path), set[str](), threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                seen.add(path.read_text())
            except OSError as error:
                seen.add(repr(error))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wanted = {"1/a\n", "1/b\n"}
        writes = iter(range(100_000))

        def enough() -> bool:
            for ready in (["a"], ["b"]):
                logins.write(ready)
            return next(writes) > 200 and wanted <= seen

        eventually(enough)
    finally:
        stop.set()
        reader.join()
    assert seen <= {"1/womm-task-x\n", *wanted}
