"""Directories over NFS, eager and lazy, as jobs on the second node see them: its kernel has an NFS client."""

from __future__ import annotations

import json
import os
import shlex
import signal

import pytest
from kit import NODE2, Place, call, eventually, joblog, kubectl, marked, names, node2_kernel
from servers import SLOW, SYSTEM, Servers, reshare

pytestmark = [pytest.mark.node2, pytest.mark.timeout(600), pytest.mark.usefixtures("clean")]

#: Entries of a directory: more than sshfs 3.7.3 survives unless it is spared (libfuse/sshfs #341).
MANY = 5000
#: Seconds that what pods know of a file counts, where a test says so: none that womm itself would choose.
FRESH = 2


def run(place: Place, *arguments: str) -> list[str]:
    """What a run that has to succeed prints, line by line."""
    done = place.parallel(*arguments, limit=SLOW, **NODE2)
    assert done.status == 0, done.messages
    return done.out.decode().splitlines()


def test_jobs_see_the_directory_as_it_was_when_they_began(servers: Servers, shared: Place) -> None:
    (shared.path / "asdf").touch()
    script = (
        'ls; sub/run; echo >made; stat -c "%u:%g %a" made; grep -c " $PWD nfs4 " /proc/mounts; uname -r; : {}'
    )
    owner = f"{os.getuid()}:{os.getgid()}"
    expected = ["a", "asdf", "sub", f"run in {shared.path} as {owner}", f"{owner} 644", "1", node2_kernel()]
    assert run(shared, "--", script, ":::", "1") == expected
    # What is changed there is none of the directory's.
    assert sorted(os.listdir(shared.path)) == [".womm", "a", "asdf", "sub"]
    assert servers.nfs("list") == ""
    assert names(servers.namespace) == []


def test_a_server_that_is_replaced_costs_time_not_results(servers: Servers, shared: Place) -> None:
    script = "sleep 2; cat a; echo {} >>done-{}"
    numbers = [str(number) for number in range(12)]
    log = shared.path / "jobs.tsv"
    more = ("--kube-pods", "1", "-j", "2", "--joblog", "jobs.tsv", "--", script, ":::", *numbers)
    with shared.started("parallel", *more, **NODE2) as running:
        running.until(lambda: log.exists() and len(joblog(log)) >= 2)
        kubectl("-n", SYSTEM, "delete", "pods", "-l", f"app.kubernetes.io/name=womm-nfs-{servers.namespace}")
        # Another pod begins on that node.
        done = running.wait(SLOW)
    log.unlink()
    assert (done.status, done.out) == (0, b"1\n2\n" * len(numbers)), done.messages
    assert "is served anew: its pods are replaced" in done.messages


LAZILY = r"""
cat a
sub/run
echo from there >new; mv new moved; mkdir made; rm gone
stat -c '%u:%g %a' moved
flock a echo locked
cp /bin/true true; ./true && echo ran
ls many | wc -l
until [ -e later ]; do sleep 0.1; done
cat later
until grep -q changed a; do sleep 0.1; done
cat a; : {}
"""


def test_a_lazy_share_is_the_directory_itself(servers: Servers, shared: Place) -> None:
    place = reshare(shared, "lazy")
    (place.path / "gone").touch()
    (place.path / "many").mkdir()
    for number in range(MANY):
        (place.path / "many" / str(number)).touch()
    options = ("--kube-pods", "1", "--fresh", str(FRESH))
    with place.started("parallel", *options, "--", LAZILY, ":::", "1", **NODE2) as running:
        # Made there by a job, seen here.
        running.until((place.path / "true").exists)
        [task] = json.loads(place.womm("status", "-o", "json").out)
        assert (task["share"], task["view"]) == ("lazy", {"via": "nfs", "state": "ready", "age": FRESH})
        (place.path / "later").write_text("later\n")
        (place.path / "a").write_text("changed\n")
        done = running.wait()
    owner = f"{os.getuid()}:{os.getgid()}"
    expected = ["1", "2", f"run in {place.path} as {owner}", f"{owner} 644", "locked", "ran", str(MANY)]
    assert (done.status, done.out.decode().splitlines()) == (0, [*expected, "later", "changed"]), (
        done.messages
    )
    assert (place.path / "moved").read_text() == "from there\n"
    assert (place.path / "made").is_dir()
    assert not (place.path / "gone").exists()
    assert "out of the pods' reach" not in done.messages
    assert servers.nfs("list") == ""


def test_a_client_that_is_killed_leaves_no_pod_no_export_and_no_container(
    servers: Servers, shared: Place
) -> None:
    place = reshare(shared, "lazy")
    with place.started(
        "parallel", "--kube-pods", "1", "--", "touch here; sleep 600; : {}", ":::", "1", **NODE2
    ) as running:
        running.until((place.path / "here").exists)
        task, kind, *_ = servers.nfs("list").split()
        assert kind == "lazy"
        assert call(["docker", "container", "inspect", f"womm-lazy-{task}"]).status == 0
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
    eventually(lambda: names(servers.namespace) == [], seconds=90)
    eventually(lambda: servers.nfs("list") == "", seconds=60)
    containers = ["docker", "ps", "--all", "--filter", f"name=womm-lazy-{task}", "--format", "{{.Names}}"]
    eventually(lambda: call(containers).out == b"", seconds=30)
    # Who has seen to that ends last.
    eventually(lambda: not marked(shared.user.mark), seconds=60)


def test_nothing_but_the_directory_can_be_reached_by_the_link(shared: Place) -> None:
    # By the very command with which womm starts the server: what it serves is all that the other end can get.
    place, secret = reshare(shared, "lazy"), shared.user.root / "secret"
    secret.write_text("secret\n")
    (place.path / "out").symlink_to(secret)
    wanted = ["../secret", str(secret), "out", "/proc/1/environ", "/root/.kube/config"]
    with place.started(
        "--debug", "parallel", "--kube-pods", "1", "--", "sleep 600; : {}", ":::", "1"
    ) as running:
        running.until(lambda: "is read as jobs need it" in running.err)
        line = next(line for line in running.err.splitlines() if "--name womm-lazy-" in line)
        words = shlex.split(line)
        words = words[words.index("run") + 1 :]
        words[words.index("--name") + 1] = "womm-test-sftp"
        (shared.user.root / "got").mkdir()
        gets = [f"-get {name} got/{number}" for number, name in enumerate(wanted)]
        done = call(
            ["sftp", "-q", "-b", "-", "-D", shlex.join(["docker", "run", *words])],
            cwd=shared.user.root,
            stdin="\n".join(["get a got/a", *gets, ""]).encode(),
        )
    assert done.status == 0, done.messages
    assert (shared.user.root / "got" / "a").read_bytes() == (place.path / "a").read_bytes()
    got = {path.name: path.read_bytes() for path in (shared.user.root / "got").iterdir()}
    assert set(got) <= {"a", "3"}
    # Its own process's.
    assert str(secret).encode() not in got.get("3", b"")
