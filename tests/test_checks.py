"""What is looked at on this machine, and how findings are shown."""

from __future__ import annotations

import http.server
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from conftest import Hermetic, eventually

from womm import config, prompts, registries
from womm.checks import cluster, kinds, machine, quota
from womm.checks.finding import MISSING, NOTE, OK, PATIENCE, UNKNOWN, Finding
from womm.commands.doctor import table
from womm.config import Project
from womm.engine import Engine
from womm.kubectl import Kube
from womm.process import Done

pytestmark = pytest.mark.usefixtures("hermetic")

PROJECT = Project(
    directory="/work",
    share="none",
    image="",
    arch="amd64",
    base_image="debian:12",
    prefix="",
    namespace="team",
    context="dev",
    kubeconfig=None,
    uid=1000,
    gid=1000,
    user="womm",
    home="/home/womm",
)


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A server at which everything is answered with `status`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that has womm remember a prefix; the directory `My Jobs` is not set up."""
    directory = tmp_path / "My Jobs"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return lambda name: config.remember("prefix", name)


def asked(project: Project | None = None, found: Engine | None = None) -> Finding:
    """What is said of the registry."""
    return machine.registry(project, lambda: found)


@pytest.mark.parametrize(
    ("status", "state"), [(200, UNKNOWN), (401, UNKNOWN), (404, MISSING), (500, MISSING)]
)
def test_a_registry_is_what_answers_as_one(prefix: Callable[[str], None], status: int, state: str) -> None:
    with answering(status) as name:
        prefix(name)
        # Without an engine nobody knows what may be pushed.
        assert asked().state == state
        assert asked().fix


@pytest.mark.parametrize(("program", "state"), [("exit 0", OK), ("echo denied >&2; exit 1", MISSING)])
def test_a_tiny_image_tells_whether_the_directorys_repository_takes_a_push(
    prefix: Callable[[str], None],
    hermetic: Hermetic,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    state: str,
) -> None:
    monkeypatch.setenv("CALLS", str(hermetic.root / "calls"))
    stub = f'echo "$*" >>"$CALLS"; [ "$1" != push ] || {{ {program}; }}'
    hermetic.stub("docker", f"#!/bin/sh\n{stub}\n")
    with answering(200) as name:
        prefix(name)
        found = asked(found=Engine("docker"))
        assert found.state == state, found
        tag = f"{name}my-jobs:womm-probe"
        _, push, remove = (hermetic.root / "calls").read_text().splitlines()
        assert (push, remove) == (f"push {tag}", f"image rm {tag}")
        calls = hermetic.root / "calls"
        calls.unlink()
        # A directory that is set up has a repository of its own.
        repository = f"{name}team/jobs"
        assert asked(replace(PROJECT, image=f"{repository}@sha256:0"), Engine("docker")).state == state
        assert f"push {repository}:womm-probe" in calls.read_text().splitlines()


def test_a_registry_without_a_certificate_for_us_is_the_engines_to_judge(
    prefix: Callable[[str], None], hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Plain http, as docker takes from its "insecure-registries" on other machines.
    monkeypatch.setattr(registries, "is_here", lambda _host: False)
    with answering(200) as name:
        prefix(name)
        for program, state in (("exit 0", OK), ("exit 1", MISSING)):
            hermetic.stub("docker", f'#!/bin/sh\n[ "$1" != push ] || {program}\n')
            assert asked(found=Engine("docker")).state == state


def test_a_registry_that_is_not_there_is_missing(prefix: Callable[[str], None]) -> None:
    prefix("127.0.0.1:1/")
    found = asked()
    assert (found.state, found.fix) == (MISSING, "start it, or choose another --prefix")
    assert "127.0.0.1:1 doesn't answer" in found.text


def test_without_a_registrys_host_nothing_is_asked(prefix: Callable[[str], None]) -> None:
    # An engine that is called would fail loudly.
    assert asked(found=Engine("docker")).state == NOTE
    prefix("somebody/")
    assert asked(found=Engine("docker")).state == UNKNOWN
    loaded = asked(replace(PROJECT, image="work:womm-0123456789ab"), Engine("docker"))
    assert (loaded.state, "--load" in loaded.text) == (OK, True)


def program(directory: Path, text: str) -> None:
    """Put a program `tool` first in PATH."""
    path = directory / "tool"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    os.environ["PATH"] = f"{directory}:{os.environ['PATH']}"


def test_a_tool_is_told_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])
    program(tmp_path, "echo 'Tool version v1.20.2 (a build)'")
    assert machine.tool("tool", ["-v"], "get it") == Finding("tool", OK, "v1.20.2")


def test_a_tool_that_does_not_work_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])
    program(tmp_path, "echo 'no such library' >&2; exit 127")
    found = machine.tool("tool", ["-v"], "get it")
    assert found == Finding("tool", MISSING, "tool does not work: no such library", "get it")


def test_a_tool_that_cannot_be_run_is_missing(hermetic: Hermetic) -> None:
    hermetic.stub("tool", "<html>404</html>\n")
    found = machine.tool("tool", ["-v"], "get it")
    assert found == Finding("tool", MISSING, "tool can't be run: Exec format error", "get it")


def test_a_tool_that_is_not_there_is_missing() -> None:
    assert machine.tool("no-such-tool", ["-v"], "get it").state == MISSING


def test_a_finding_is_a_line_and_its_fix_stands_below() -> None:
    shown = table([Finding("perl", OK, "v5.36.0"), Finding("cluster", MISSING, "no\nanswer", "wait")])
    assert shown == ("ok       perl     v5.36.0\nmissing  cluster  no answer\n                  → wait\n")


# A doctor that is patient, so that only a signal ends it.
DOCTOR = """
import sys
from womm import engine
from womm.checks import finding
engine._ANSWER = finding.PATIENCE = 60
from womm.cli import main
sys.exit(main(["doctor"]))
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_checks_and_none_begins_with_something_else(
    hermetic: Hermetic, tmp_path: Path, signum: signal.Signals
) -> None:
    for name in ("docker", "kubectl"):
        hermetic.stub(name, f"#!/bin/sh\necho >{tmp_path}/{name}; exec sleep 6543\n")
    hermetic.stub("podman", f"#!/bin/sh\necho >{tmp_path}/podman; exec sleep 6543\n")
    with subprocess.Popen([sys.executable, "-c", DOCTOR], cwd=tmp_path, stderr=subprocess.PIPE) as doctor:
        eventually(lambda: (tmp_path / "docker").exists() and (tmp_path / "kubectl").exists())
        doctor.send_signal(signum)
        _, said = doctor.communicate(timeout=30)
    assert (doctor.returncode, said) == (128 + signum, b"")
    assert not (tmp_path / "podman").exists()
    assert not any(
        process.info["cmdline"] == ["sleep", "6543"] for process in psutil.process_iter(["cmdline"])
    )


def test_a_directory_of_somebody_elses_making_is_told_and_nothing_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kubectl: str
) -> None:
    monkeypatch.chdir(tmp_path)
    config.save(replace(PROJECT, directory=str(tmp_path)))
    assert machine.directory()[0].state == OK
    with (tmp_path / ".womm").open("a") as file:
        file.write("\n")
    monkeypatch.setattr(prompts, "can_ask", lambda: True)
    found, project = machine.directory()
    assert (found.state, project) == (MISSING, None)
    assert "was not made by your `womm setup` on this machine" in found.text


def test_no_question_to_the_cluster_takes_longer_than_a_check_may(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def attempt(*_: str, patience: float, **_more: object) -> Done:
        asked.append(patience)
        return Done(0, b'{"items": []}', b"")

    monkeypatch.setattr(Kube, "attempt", lambda _self, *words, **more: attempt(*words, **more))
    for name in ("namespace", "server"):
        cluster._IN_CLUSTER[name](Kube("team", "dev"), None)
    assert asked == [PATIENCE] * 3


def rights(hermetic: Hermetic, project: Project | None, *lacking: str) -> Finding:
    """What is said of the rights of somebody who lacks these."""
    lines = [f"{right}/ false" for right in lacking]
    hermetic.stub(
        "kubectl", f"#!/bin/sh\nprintf '%s\\n' 'get pods/ true' {' '.join(map(shlex.quote, lines))}\n"
    )
    return cluster._IN_CLUSTER["rights"](Kube("team", "dev"), project)


SHARED = replace(PROJECT, share="eager")


@pytest.mark.parametrize(
    ("project", "lacking", "state", "said"),
    [
        (None, [], OK, "all that womm needs"),
        (
            None,
            ["list jobs", "get leases"],
            NOTE,
            "you may not list jobs, get leases, as --async and status need it",
        ),
        (SHARED, ["list leases"], NOTE, "you may not list leases, as --async and status need it"),
        (PROJECT, ["create secrets"], NOTE, "you may not create secrets, as eager shares need it"),
        (
            PROJECT,
            ["list jobs", "list services"],
            NOTE,
            "you may not list services, as eager shares need it; "
            "you may not list jobs, as --async and status need it",
        ),
        (SHARED, ["create secrets", "list jobs"], MISSING, "you may not create secrets, list jobs"),
        (None, ["create pods", "list jobs"], MISSING, "you may not create pods, list jobs"),
    ],
)
def test_a_right_is_missing_only_where_a_task_takes_it(
    hermetic: Hermetic, project: Project | None, lacking: list[str], state: str, said: str
) -> None:
    found = rights(hermetic, project, *lacking)
    assert (found.state, found.text) == (state, said)
    assert ("cluster-setup --user-role" in found.fix) == (state != OK)


WELL = [Finding(name, OK, "") for name in ("rsync", "cluster", "rights", "server")]
LACKING = Finding("rights", MISSING, "you may not create secrets", "an administrator gives them")


@pytest.mark.parametrize(
    ("found", "unshareable", "said"),
    [
        ([], "", ("ok", "eager, syncback, none", "")),
        ([Finding("rsync", MISSING, "", "install rsync")], "", ("note", "rsync does not", "install rsync")),
        ([Finding("server", NOTE, "", "make it")], "", ("note", "the file server is not there", "make it")),
        ([LACKING], "", ("note", "none only: you may not create secrets", "an administrator gives them")),
        # They are no more use to one share than to another.
        ([replace(LACKING, text="you may not create pods")], "", ("ok", "eager", "")),
        ([], "a ':' is in it", ("note", "none only: a ':' is in it", "work in another directory")),
    ],
)
def test_a_share_works_where_all_is_there_that_it_takes_and_else_there_is_a_fix(
    found: list[Finding], unshareable: str, said: tuple[str, str, str]
) -> None:
    shares = kinds.shares([*WELL, *found], unshareable)
    assert (shares.state, said[1] in shares.text, said[2] in shares.fix) == (said[0], True, True)
    assert bool(shares.fix) == (shares.state != OK)


def test_nothing_is_known_of_shares_where_the_cluster_does_not_answer() -> None:
    silent = Finding("cluster", MISSING, "the cluster does not answer", "start it")
    shares = kinds.shares([Finding("rsync", OK, "3.2"), silent], "")
    assert (shares.state, shares.fix) == (UNKNOWN, "start it")


def test_the_directory_that_is_set_up_tells_whether_it_can_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a:b").mkdir()
    monkeypatch.chdir(tmp_path / "a:b")
    assert "':'" in machine.unshareable()
    (tmp_path / ".womm").touch()
    assert machine.unshareable() == ""


def quota_of(name: str, used: dict[str, str], hard: dict[str, str], **spec: object) -> dict[str, object]:
    """A ResourceQuota."""
    return {"metadata": {"name": name}, "spec": spec, "status": {"used": used, "hard": hard}}


def test_a_quota_is_well_as_long_as_something_is_left_of_what_a_task_takes() -> None:
    used = {"requests.cpu": "1500m", "requests.memory": "1Gi", "services.loadbalancers": "0"}
    hard = {"requests.cpu": "2", "requests.memory": "1100M", "services.loadbalancers": "0", "pods": "1e1"}
    found = quota.finding([quota_of("a", used, hard)])
    assert (found.state, found.fix) == (OK, "")
    assert found.text == (
        "used: pods 0 of 1e1, requests.cpu 1500m of 2, requests.memory 1Gi of 1100M, "
        "services.loadbalancers 0 of 0"
    )
    assert quota.finding([]) == Finding("quota", OK, "the namespace has none")


@pytest.mark.parametrize(
    ("used", "hard"), [("2000m", "2"), ("3", "2"), ("1Gi", "1073741824"), ("1Ki", "1k"), ("0", "0")]
)
def test_a_quota_of_which_nothing_is_left_is_told_with_the_way_out(used: str, hard: str) -> None:
    other = quota_of("b", {"cpu": "1"}, {"cpu": "99"})
    found = quota.finding([quota_of("a", {"cpu": used}, {"cpu": hard}), other])
    assert (found.state, bool(found.fix)) == (NOTE, True)
    # Of two quotas on one resource none hides the other.
    assert found.text == f"nothing is left of cpu; used: cpu {used} of {hard} (a), cpu 1 of 99 (b)"


def test_a_quota_for_some_pods_only_need_not_be_for_ours() -> None:
    assert quota.finding([quota_of("a", {"pods": "1"}, {"pods": "1"}, scopes=["Terminating"])]).state == OK


@pytest.mark.parametrize("name", ["nodes", "quota"])
def test_what_may_not_be_looked_at_has_a_way_out_too(hermetic: Hermetic, name: str) -> None:
    hermetic.stub("kubectl", "#!/bin/sh\nexit 1\n")
    found = cluster._IN_CLUSTER[name](Kube("team", "dev"), PROJECT)
    assert (found.state, "an administrator sees" in found.fix) == (UNKNOWN, True)


def test_an_image_for_no_nodes_architecture_is_missing(hermetic: Hermetic) -> None:
    hermetic.stub("kubectl", "#!/bin/sh\nprintf 'arm64 s390x arm64'\n")
    found = cluster._IN_CLUSTER["nodes"](Kube("team", "dev"), PROJECT)
    assert (found.state, found.text) == (MISSING, "2 × arm64, 1 × s390x; the image is for amd64")
    assert found.fix
