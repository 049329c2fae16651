"""A run of `womm parallel` with a real hub, whose pods are agents here, and what is known of it then."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import Hermetic
from test_hub import World

from womm import joblogs, signals, workers
from womm.commands import parallel
from womm.hub.job import Rules
from womm.kubectl import KubeChoice
from womm.runs import Run, runs_directory

PODS = ("womm-task-x-1", "womm-task-x-2")


class Ready(list[list[str]]):
    """The pods that take jobs, as the hub has told; it is told to another, too."""

    def __init__(self, other: Callable[[list[str]], None]) -> None:
        super().__init__()
        self._other = other

    def append(self, names: list[str]) -> None:
        """Tell."""
        super().append(names)
        self._other(names)


@pytest.fixture
def world(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world in which `womm parallel` finds two pods, and nothing of a cluster is asked."""
    made = World(monkeypatch)
    own = made.run

    def start(
        run_: Run,
        wanted: object,
        here: object,
        undo: ExitStack,
        *,
        rules: Rules,
        ready: Callable[[list[str]], None],
    ) -> workers.Task:
        made.run, made.ready = run_.path, Ready(ready)
        hub = made.start(*PODS, rules=rules, slots=2)
        undo.callback(hub.stop)
        return workers.Task(hub, None)

    monkeypatch.setattr(workers, "prepare", lambda *_: None)
    monkeypatch.setattr(workers, "start", start)
    # The pods' jobs would do as well with any other.
    monkeypatch.setenv("SHELL", "/bin/sh")
    monkeypatch.chdir(hermetic.root)
    yield made
    made.run = own
    made.close()


def run(*arguments: str) -> int:
    """Run `womm parallel` with two pods of two jobslots each."""
    with signals.as_exceptions():
        return parallel.run(["--kube-pods", "2", "-j", "2", *arguments], KubeChoice(namespace="n"))


def jobs(page: Path) -> dict[int, tuple[str, str]]:
    """Of each job that is drawn, by number, the pod and how it failed."""
    found = re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return {seq: (data["pods"][pod]["name"], how) for seq, pod, _, _, _, how, _ in data["jobs"]}


# Tells the pod: its agent's name ends with it.
JOB = "echo {} ${WOMM_TASK#*-}; sleep 0.1; [ {} != 3 ] || exit 9"


def test_a_run_with_pods_names_its_failed_jobs_and_is_drawn_where_they_ran(
    world: World, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "run.html"
    assert run("--timeline", str(page), "--", JOB, ":::", *"12345678") == 1
    out, err = capfd.readouterr()
    drawn = jobs(page)
    assert sorted(f"{seq} {pod}" for seq, (pod, _) in drawn.items()) == sorted(out.splitlines())
    assert [how for _, how in drawn.values() if how] == ["exit status 9"]
    lines = [line for line in err.splitlines() if line.startswith("womm")]
    assert re.fullmatch(r"womm: 1 of 8 jobs failed in \S+ s; 4 jobslots were \d+% in use", lines[0])
    assert lines[1].startswith("womm:   3  exit status 9  echo 3 ")
    words = shlex.split(lines[-1])
    begin = ["womm", "--namespace", "n", "parallel", "--kube-pods", "2", "-j", "2", "--retry-failed"]
    assert words[: len(begin)] == begin
    # Nothing is left but what is kept.
    assert list(runs_directory().iterdir()) == []
    (kept,) = joblogs.directory().glob("*.tsv")
    assert words[-1] == str(kept)
    assert run(*words[4:]) == 1
    assert capfd.readouterr().out.split()[0] == "3"
    rows, notes = joblogs.find(kept.stem)
    assert sorted(row.seq for row in rows) == [1, 2, 3, 3, 4, 5, 6, 7, 8]
    assert notes.count(b"slots\t4\n") == 2
    assert notes.count(b"\n3\t") == 2


def test_a_run_that_went_well_says_nothing_and_is_kept(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("--", "true", ":::", "1", "2") == 0
    assert "womm: " not in capfd.readouterr().err
    assert len(list(joblogs.directory().glob("*.tsv"))) == 1


def test_a_page_that_can_not_be_written_in_the_end_does_not_change_the_status(
    world: World, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "gone" / "run.html"
    page.parent.mkdir()
    assert run("--timeline", str(page), "--", f"rmdir {page.parent}; : {{}}", ":::", "1") == 0
    assert f"womm: {page} can't be written (No such file or directory)" in capfd.readouterr().err
