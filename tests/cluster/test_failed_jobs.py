"""Failed jobs are named, the printed command runs them again, the timeline knows where each job ran."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from kit import Done, Place, created

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("clean")]

# Jobs 2 and 5 fail; each says in which pod it ran.
JOB = "echo {} $(hostname); [ {} != 2 ] || exit 3; [ {} != 5 ] || kill -9 $$"


@pytest.fixture(scope="module")
def drawn(none: Place) -> Path:
    """The timeline of the run."""
    return none.path / "run.html"


@pytest.fixture(scope="module")
def run(none: Place, drawn: Path) -> Done:
    """One run with failures, for all tests."""
    return none.parallel("-j", "2", "--timeline", str(drawn), "--", JOB, ":::", *"123456", pods=2)


def told(done: Done) -> list[str]:
    """What womm says after the deployment is gone."""
    lines = done.messages.splitlines()
    last = max(at for at, line in enumerate(lines) if line.endswith(" deleted"))
    return lines[last + 1 :]


def data(page: str) -> dict[str, Any]:
    """What the page draws."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def places(page: str) -> list[str]:
    """Of each job its number and its pod, as the jobs said it themselves."""
    content = data(page)
    return sorted(f"{seq} {content['pods'][pod]['name']}" for seq, pod, *_ in content["jobs"])


def test_a_run_with_failures_names_them_and_how_to_run_them_again(run: Done) -> None:
    assert run.status == 2
    lines = told(run)
    assert re.fullmatch(r"womm: 2 of 6 jobs failed in \S+ s; 4 jobslots were \d+% in use", lines[0])
    assert lines[1].startswith("womm:   2  exit status 3    echo 2 $(hostname); ")
    assert lines[2].startswith("womm:   5  exit status 137  echo 5 $(hostname); ")
    assert lines[3] == "womm: to run only those again:"
    assert len(lines) == 5
    assert len(lines[1]) <= 80


def test_the_printed_command_runs_the_failed_jobs_alone(none: Place, run: Done) -> None:
    command = told(run)[-1]
    assert command.startswith(
        f"womm --namespace {none.namespace} parallel --kube-pods 2 -j 2 --retry-failed "
    )
    done = none.shell(command)
    assert done.status == 2
    assert [line.split()[0] for line in done.lines] == ["2", "5"]
    assert told(done)[0].startswith("womm: 2 of 2 jobs failed in ")


def test_the_timeline_shows_each_job_in_the_pod_that_ran_it(run: Done, drawn: Path) -> None:
    page = drawn.read_text()
    assert places(page) == run.lines
    assert len(data(page)["pods"]) == len({line.split()[1] for line in run.lines})
    assert sorted(seq for seq, _, _, _, _, how, _ in data(page)["jobs"] if how) == [2, 5]


def test_the_timeline_is_drawn_later_too(none: Place, run: Done) -> None:
    done = none.womm("timeline", created(run.messages))
    assert done.status == 0, done.messages
    assert set(run.lines) <= set(places(done.out.decode()))
