"""`womm status` with a kubectl that answers from files: what is asked, shown, gone without, and refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest
from conftest import Hermetic, eventually

from womm import config
from womm.config import Project

pytestmark = pytest.mark.usefixtures("hermetic")

# It answers with the files of its directory, and notes what it was asked. X.refused is what it complains of
# when it fails at X, X.slow how many seconds that takes.
KUBECTL = """\
#!/bin/sh
cd "${0%/*}/../cluster" || exit
echo "$*" >>asked
answer() {
  [ ! -e "$1.slow" ] || sleep "$(cat "$1.slow")"
  [ ! -e "$1" ] || cat "$1"
  [ ! -e "$1.refused" ] || { cat "$1.refused" >&2; exit 1; }
  [ -e "$1" ] || exit 1
}
case "$*" in
  *"config view"*server*) printf https://c ;;
  *"config view"*)
    echo '{"current-context": "dev", "contexts": [{"name": "dev", "context": {"namespace": "team"}}]}' ;;
  *"get deployments.apps,"*) answer objects ;;
  *"create --raw"*) answer clock ;;
  *"exec deployment/womm-server"*"server-task list"*) answer counts ;;
  *"exec deployment/womm-server"*"server-nfs list"*) answer views ;;
  *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""
FORBIDDEN = (
    'Error from server (Forbidden): {0}.{1} is forbidden: User "ann" cannot list resource "{0}" '
    'in API group "{1}" in the namespace "team"\n'
)
NO_SERVER = 'Error from server (NotFound): deployments.apps "womm-server" not found\n'
# The cluster's clock is far from this machine's.
AHEAD = 7_200


def moment(ago: float) -> str:
    """The cluster's time `ago` seconds ago, as Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + AHEAD - ago))


@dataclass
class Cluster:
    """What the kubectl knows."""

    path: Path
    objects: list[dict[str, Any]]

    def write(self) -> None:
        """Have it answer with the objects as they are now, and with the cluster's time."""
        found = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": self.objects}
        new = self.path / "objects.new"
        new.write_text(json.dumps(found))
        new.rename(self.path / "objects")
        lease = {"kind": "Lease", "metadata": {"name": "womm-clock-x", "creationTimestamp": moment(0)}}
        (self.path / "clock").write_text(json.dumps(lease))

    def add(self, kind: str, task: str, ago: float, machine: str = "", **more: Any) -> None:
        """Add an object of the task, `ago` seconds old."""
        label = "async" if kind == "Job" else "task"
        notes = {
            "machine": machine or config.machine(),
            "directory": "/w",
            "command": "parallel x",
            "share": "none",
        }
        metadata = {
            "name": f"womm-{label}-{task}",
            "creationTimestamp": moment(ago),
            "labels": {"app.kubernetes.io/managed-by": "womm", f"womm.dev/{label}": task},
            "annotations": {f"womm.dev/{name}": text for name, text in notes.items()},
        }
        self.objects.append({"kind": kind, "metadata": metadata, **more})
        self.write()

    def heartbeat(self, task: str, ago: float) -> None:
        """Have the task's lease renewed `ago` seconds ago."""
        self.add("Lease", task, 9999, spec={"renewTime": moment(ago).replace("Z", ".000000Z")})

    @property
    def asked(self) -> list[str]:
        """What kubectl was asked."""
        path = self.path / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def cluster(hermetic: Hermetic) -> Cluster:
    """An empty namespace without a file server."""
    path = hermetic.root / "cluster"
    path.mkdir()
    hermetic.stub("kubectl", KUBECTL)
    (path / "counts.refused").write_text(NO_SERVER)
    made = Cluster(path, [])
    made.write()
    return made


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory that was not set up."""
    return tmp_path


def status(womm: list[str], here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `womm status`; whatever happens, no traceback is shown."""
    argv = [*womm, "status", *arguments]
    path = {"PYTHONPATH": str(Path(config.__file__).parents[1])}
    env = {**os.environ, **path}
    done = subprocess.run(argv, cwd=here, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_the_tasks_of_this_machine_are_shown_by_the_clusters_clock(
    cluster: Cluster, womm: list[str], here: Path
) -> None:
    cluster.add("Deployment", "aaaaaaaa", 3000)
    cluster.heartbeat("aaaaaaaa", 20)
    cluster.add("Deployment", "bbbbbbbb", 2000)
    cluster.heartbeat("bbbbbbbb", 500)
    cluster.add("Deployment", "cccccccc", 10)
    cluster.add("Deployment", "dddddddd", 10, machine="another")
    done = status(womm, here)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:3] for line in done.stdout.splitlines()] == [
        ["ID", "AGE", "STATUS"],
        ["aaaaaaaa", "50m", "RUNNING"],
        ["bbbbbbbb", "33m", "ORPHANED"],
        ["cccccccc", done.stdout.splitlines()[3].split()[1], "RUNNING"],
    ]
    # All at once, in the namespace of the context; and the kubeconfig says which that is.
    assert len(cluster.asked) == 4
    assert all("--context dev --namespace team" in line for line in cluster.asked[1:])
    assert any("dryRun=All" in line for line in cluster.asked)


def test_questions_are_asked_side_by_side(cluster: Cluster, womm: list[str], here: Path) -> None:
    for name in ("objects", "clock", "counts"):
        (cluster.path / f"{name}.slow").write_text("2")
    begin = time.monotonic()
    assert status(womm, here, "-A").returncode == 0
    assert time.monotonic() - begin < 5


def test_all_machines_tasks_are_shown_to_who_asks_for_them(
    cluster: Cluster, womm: list[str], here: Path
) -> None:
    cluster.add("Deployment", "aaaaaaaa", 3000, machine="another")
    cluster.add("Deployment", "bbbbbbbb", 3000)
    # Of an earlier womm: it says of no machine.
    cluster.add("Deployment", "cccccccc", 3000)
    cluster.objects[-1]["metadata"]["annotations"] = {}
    cluster.write()
    done = status(womm, here, "-A", "-o", "json")
    assert [(item["id"], item["here"]) for item in json.loads(done.stdout)] == [
        ("aaaaaaaa", False),
        ("bbbbbbbb", True),
        ("cccccccc", False),
    ]
    assert [item["id"] for item in json.loads(status(womm, here, "-o", "json").stdout)] == ["bbbbbbbb"]


def test_a_task_is_found_by_its_id_whoever_began_it(cluster: Cluster, womm: list[str], here: Path) -> None:
    cluster.add("Deployment", "aaaaaaaa", 3000, machine="another")
    cluster.add("Deployment", "bbbbbbbb", 3000)
    for name in ("aaaaaaaa", "womm-task-aaaaaaaa", "womm-async-aaaaaaaa"):
        done = status(womm, here, name)
        assert (done.returncode, done.stdout.count("\n"), "aaaaaaaa" in done.stdout) == (0, 2, True)
    done = status(womm, here, "bbbbbbbb", "zzzzzzzz", "-o", "json")
    assert [item["id"] for item in json.loads(done.stdout)] == ["bbbbbbbb"]
    assert done.returncode == 125
    assert done.stderr.splitlines()[0] == "womm: there is no task zzzzzzzz in namespace team"


def test_what_the_file_server_knows_of_a_coordinators_task_is_shown(
    cluster: Cluster, womm: list[str], here: Path
) -> None:
    cluster.add("Job", "aaaaaaaa", 3000, status={"active": 1})
    cluster.heartbeat("aaaaaaaa", 20)
    cluster.add("Job", "bbbbbbbb", 2000)
    (cluster.path / "counts").write_text("aaaaaaaa - 10 0 7 2\nbbbbbbbb 3 10 0 9 3\n")
    (cluster.path / "counts.refused").unlink()
    lines = status(womm, here, "-o", "wide").stdout.splitlines()
    assert [line.split()[:10] for line in lines[1:]] == [
        ["aaaaaaaa", "50m", "RUNNING", "-", "-", "-", "7", "2", "-", "none"],
        ["bbbbbbbb", "33m", "FAILED", "-", "-", "-", "9", "3", "-", "none"],
    ]
    # Half an answer is none.
    (cluster.path / "counts.refused").write_text("error: the connection was lost\n")
    assert status(womm, here, "-o", "wide").stdout.splitlines()[2].split()[2:8] == ["UNKNOWN", *"-----"]


def over_nfs(cluster: Cluster, task: str, share: str, machine: str = "") -> None:
    """Add a task whose pods mount the directory."""
    volume = {"name": "share", "nfs": {"server": "10.96.0.7", "path": "/0"}}
    spec = {"replicas": 1, "template": {"spec": {"volumes": [volume]}}}
    cluster.add("Deployment", task, 3000, machine=machine, spec=spec)
    cluster.objects[-1]["metadata"]["annotations"]["womm.dev/share"] = share
    cluster.write()


def shares(womm: list[str], here: Path, *arguments: str) -> dict[str, Any]:
    """The tasks' views; there is nothing to complain of."""
    done = status(womm, here, "-o", "json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return {item["id"]: item["view"] for item in json.loads(done.stdout)}


def test_what_the_nfs_server_knows_of_a_share_is_shown(cluster: Cluster, womm: list[str], here: Path) -> None:
    for task, share in (("aaaaaaaa", "lazy"), ("bbbbbbbb", "eager"), ("cccccccc", "lazy")):
        over_nfs(cluster, task, share)
    cluster.add("Deployment", "dddddddd", 3000)
    path = "0123456789abcdef" * 2
    (cluster.path / "views").write_text(f"aaaaaaaa lazy {path} ready 2\nbbbbbbbb eager {path} ready 0\n")
    nfs = {"via": "nfs", "state": "ready", "age": None}
    assert shares(womm, here) == {
        "aaaaaaaa": {**nfs, "age": 2},
        "bbbbbbbb": nfs,
        # The server has none of it.
        "cccccccc": {**nfs, "state": "down"},
        "dddddddd": {"via": "", "state": "", "age": None},
    }
    lines = status(womm, here).stdout.splitlines()
    assert [line.partition("0/1     ")[2].partition("  ")[0] for line in lines[1:4]] == [
        "lazy, age 2 s",
        "eager (nfs), ready",
        "lazy, down",
    ]


@pytest.mark.parametrize("said", [NO_SERVER, FORBIDDEN.format("pods", "")])
def test_where_the_nfs_server_cannot_be_asked_what_is_known_is_shown_without_a_complaint(
    cluster: Cluster, womm: list[str], here: Path, said: str
) -> None:
    over_nfs(cluster, "aaaaaaaa", "lazy")
    (cluster.path / "views.refused").write_text(said)
    assert shares(womm, here) == {"aaaaaaaa": {"via": "nfs", "state": "", "age": None}}


def test_an_nfs_server_that_does_not_answer_costs_a_few_seconds(
    cluster: Cluster, womm: list[str], here: Path
) -> None:
    over_nfs(cluster, "aaaaaaaa", "lazy")
    (cluster.path / "views.slow").write_text("60")
    begin = time.monotonic()
    assert shares(womm, here) == {"aaaaaaaa": {"via": "nfs", "state": "", "age": None}}
    assert time.monotonic() - begin < 15


def test_the_nfs_server_is_asked_only_for_who_looks_at_what_it_serves(
    cluster: Cluster, womm: list[str], here: Path
) -> None:
    over_nfs(cluster, "aaaaaaaa", "lazy", machine="another")
    cluster.add("Deployment", "bbbbbbbb", 3000)
    (cluster.path / "views").write_text("")
    assert list(shares(womm, here)) == ["bbbbbbbb"]
    assert "server-nfs" not in str(cluster.asked)
    assert shares(womm, here, "-A")["aaaaaaaa"]["state"] == "down"


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ([("jobs", "batch")], ["you may not list jobs"]),
        ([("leases", "coordination.k8s.io")], ["you may not list leases"]),
        (
            [("jobs", "batch"), ("leases", "coordination.k8s.io")],
            ["you may not list jobs", "you may not list leases"],
        ),
    ],
)
def test_who_may_not_list_leases_or_jobs_is_told_so_once_and_sees_the_rest(
    cluster: Cluster, womm: list[str], here: Path, kinds: list[tuple[str, str]], said: list[str]
) -> None:
    cluster.add("Deployment", "aaaaaaaa", 3000)
    refused = "".join(FORBIDDEN.format(*kind) for kind in kinds)
    (cluster.path / "objects.refused").write_text(refused)
    (cluster.path / "clock").unlink()
    (cluster.path / "clock.refused").write_text(FORBIDDEN.format("leases", "coordination.k8s.io"))
    done = status(womm, here)
    assert (done.returncode, done.stdout.splitlines()[1].split()[0]) == (0, "aaaaaaaa")
    clock, *lacks, way_out = done.stderr.splitlines()
    assert clock == "womm: the cluster does not tell its time: ages are by this machine's clock"
    assert [line.partition(":")[0] + line.partition(":")[2].partition(":")[0] for line in lacks] == [
        f"womm {text}" for text in said
    ]
    assert "womm cluster-setup --user-role" in way_out


def test_a_cluster_that_does_not_tell_its_time_is_looked_at_by_this_machines(
    cluster: Cluster, womm: list[str], here: Path
) -> None:
    cluster.add("Deployment", "aaaaaaaa", AHEAD + 3000)
    (cluster.path / "clock").write_text("{}")
    done = status(womm, here)
    assert done.stdout.splitlines()[1].split()[1] == "50m"
    assert done.stderr.startswith(
        "womm: the cluster does not tell its time: ages are by this machine's clock\n"
    )


def test_a_user_who_may_not_even_list_deployments_is_refused(
    cluster: Cluster, womm: list[str], here: Path
) -> None:
    kinds = [("deployments", "apps"), ("jobs", "batch"), ("leases", "coordination.k8s.io")]
    (cluster.path / "objects.refused").write_text("".join(FORBIDDEN.format(*kind) for kind in kinds))
    done = status(womm, here)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("womm: you may not list deployments.apps in namespace team: ")


@pytest.mark.parametrize("name", ["objects", "clock"])
def test_a_namespace_that_does_not_exist_is_told(
    cluster: Cluster, womm: list[str], here: Path, name: str
) -> None:
    (cluster.path / name).unlink()
    (cluster.path / f"{name}.refused").write_text(
        'Error from server (NotFound): namespaces "team" not found\n'
    )
    done = status(womm, here)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("womm: there is no namespace team in https://c (context dev)\n")


def test_an_answer_that_is_none_is_told(cluster: Cluster, womm: list[str], here: Path) -> None:
    (cluster.path / "objects").write_text("<html>")
    done = status(womm, here)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("womm: kubectl failed: ")


def test_where_there_are_none_it_is_said_on_stderr(cluster: Cluster, womm: list[str], here: Path) -> None:
    done = status(womm, here)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "womm: no tasks in namespace team\n")
    assert status(womm, here, "--quiet").stderr == ""
    assert status(womm, here, "-o", "json").stdout == "[]\n"
    cluster.add("Deployment", "aaaaaaaa", 3000, machine="another")
    assert status(womm, here).stderr.endswith("in namespace team; 1 of others: -A shows them\n")


def test_the_place_is_what_options_say_or_else_what_the_directorys_setup_chose(
    cluster: Cluster, womm: list[str], tmp_path: Path
) -> None:
    jobs = {"uid": 1000, "gid": 1000, "user": "ann", "home": "/home/ann", "arch": "amd64", "prefix": "r/"}
    image = {"image": "r/i@sha256:00", "base_image": "debian:12"}
    place = {"namespace": "team", "context": "prod", "kubeconfig": None}
    config.save(Project(directory=str(tmp_path), share="none", **jobs, **image, **place))
    inner = tmp_path / "inner"
    inner.mkdir()
    for arguments, where in (
        ((), "--context prod --namespace team"),
        (("-n", "mine"), "--context prod --namespace mine"),
        (("--context", "other", "-n", "mine"), "--context other --namespace mine"),
    ):
        (cluster.path / "asked").unlink(missing_ok=True)
        assert status(womm, inner, *arguments).returncode == 0
        assert len(cluster.asked) == 3
        assert all(line.startswith(where) for line in cluster.asked)
    # Of somebody else's making: nothing is asked, neither the user nor a cluster.
    with (tmp_path / config.FILE_NAME).open("a") as file:
        file.write("\n")
    (cluster.path / "asked").unlink()
    done = status(womm, inner)
    assert (done.returncode, "was not made by your `womm setup`" in done.stderr) == (125, True)
    assert [line for line in cluster.asked if "config view" not in line] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--watch"], "--watch needs a terminal that can be drawn on"),
        (["--watch", "-o", "json"], "--watch draws a table, and -o json is for programs"),
        (["-o", "yaml"], "argument -o/--output: invalid choice: 'yaml'"),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_is_asked(
    cluster: Cluster, womm: list[str], here: Path, arguments: list[str], message: str
) -> None:
    done = status(womm, here, *arguments)
    assert (done.returncode, done.stdout) == (125, "")
    first, second = done.stderr.splitlines()
    assert first.startswith(f"womm: {message}")
    assert second.startswith("womm: → ")
    assert cluster.asked == []


def on_terminal(womm: list[str], here: Path, *arguments: str, **env: str) -> pexpect.spawn[bytes]:
    """Begin `womm status` on a terminal of 60 columns."""
    path = {"PYTHONPATH": str(Path(config.__file__).parents[1]), "TERM": "xterm"}
    argv = [*womm, "status", *arguments]
    return pexpect.spawn(
        argv[0], argv[1:], cwd=str(here), env={**os.environ, **path, **env}, dimensions=(24, 60), timeout=30
    )


def test_on_a_terminal_no_line_is_longer_than_it(cluster: Cluster, womm: list[str], here: Path) -> None:
    cluster.add("Deployment", "aaaaaaaa", 3000)
    cluster.objects[0]["metadata"]["annotations"]["womm.dev/command"] = "parallel " + "x" * 99
    cluster.write()
    assert "x" * 99 in status(womm, here).stdout
    shown = on_terminal(womm, here).read().decode().splitlines()
    assert [len(line) for line in shown if line.startswith("aaaaaaaa")] == [60]
    assert shown[-1].endswith("xx…")


def test_watching_shows_what_changes_and_ends_quietly_by_ctrl_c(
    cluster: Cluster, womm: list[str], here: Path
) -> None:
    cluster.add("Deployment", "aaaaaaaa", 3000)
    cluster.heartbeat("aaaaaaaa", 20)
    watching = on_terminal(womm, here, "--watch", "-A")
    watching.expect(r"aaaaaaaa +50m +RUNNING")
    cluster.add("Deployment", "bbbbbbbb", 10)
    watching.expect(r"bbbbbbbb +1\ds +RUNNING")
    cluster.objects.clear()
    cluster.write()
    watching.expect("womm: no tasks in namespace team")
    # A look that fails costs nothing.
    (cluster.path / "objects.refused").write_text("error: the server was busy\n")
    watching.expect("womm: kubectl failed: the server was busy")
    (cluster.path / "objects.refused").unlink()
    cluster.add("Deployment", "cccccccc", 10)
    watching.expect("cccccccc")
    # What does not change is asked once only.
    assert sum("create --raw" in line for line in cluster.asked) == 1
    assert sum("server-task list" in line for line in cluster.asked) == 1
    watching.sendintr()
    rest = watching.read().decode()
    assert "Traceback" not in rest
    assert "KeyboardInterrupt" not in rest
    # The cursor is there again.
    assert re.search(r"\x1b\[\?25h", rest)
    watching.close()
    assert (watching.exitstatus, watching.signalstatus) == (130, None)


def test_watching_asks_the_file_server_once_there_is_a_coordinator(
    cluster: Cluster, womm: list[str], here: Path
) -> None:
    watching = on_terminal(womm, here, "--watch", "-o", "wide")
    watching.expect("womm: no tasks in namespace team")
    (cluster.path / "counts").write_text("aaaaaaaa - 10 0 7 2\n")
    (cluster.path / "counts.refused").unlink()
    cluster.add("Job", "aaaaaaaa", 30, status={"active": 1})
    watching.expect(r"RUNNING +- +- +- +7 +2 ")
    watching.sendintr()
    watching.wait()


@pytest.mark.parametrize("term", ["dumb", ""])
def test_watching_takes_a_terminal_that_can_be_drawn_on(
    cluster: Cluster, womm: list[str], here: Path, term: str
) -> None:
    watching = on_terminal(womm, here, "--watch", TERM=term)
    assert "--watch needs a terminal" in watching.read().decode()
    assert watching.wait() == 125


def test_a_ctrl_c_during_a_look_ends_it_and_its_kubectl(
    cluster: Cluster, womm: list[str], here: Path
) -> None:
    (cluster.path / "objects.slow").write_text("60")
    looking = on_terminal(womm, here)
    eventually(lambda: len(cluster.asked) == 4)
    looking.sendintr()
    assert looking.read().decode().replace("^C", "").strip() == ""
    looking.close()
    assert (looking.exitstatus, looking.signalstatus) == (130, None)
