"""The eager share by copy: what arrives in the pods, and who may read it."""

from __future__ import annotations

import base64
import os
import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import IMAGES, Place, Running, call, good, kubectl, marked, new_namespace, objects

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("clean"),
]

LISTING = r"""
find . -mindepth 1 -type d -printf '%y %m %U:%G %P\0' | sort -z
find . -mindepth 1 ! -type d -printf '%y %m %U:%G %n %s %T@ %l %P\0' | sort -z
find . -type f -print0 | sort -z | xargs -0 sha256sum -z"""

ODD = [
    b"a blank",
    b"'quote'",
    b'"quotes"',
    b"back\\slash",
    b"new\nline",
    "naïve ☃".encode(),
    b"bytes\xff\xfe",
]
ODD += [b"-n", b"$ID", b"{{ }}", b"`id`", b"*", b"#", b"~", b"a:b", b"  ", b"tab\t", b"%s"]


def fill(root: Path) -> None:
    """Fill a directory with all that a copy may lose."""
    for number, name in enumerate(ODD):
        path = os.path.join(os.fsencode(root), name)
        with open(path, "wb") as file:
            file.write(b"%d" % number)
        os.mkdir(path + b".d")
        with open(os.path.join(path + b".d", name), "wb") as file:
            file.write(b"below %d" % number)
    for mode in (0o600, 0o640, 0o644, 0o755, 0o700, 0o444, 0o555, 0o777):
        file_ = root / f"mode-{mode:o}"
        file_.write_text(f"{mode}")
        file_.chmod(mode)
    (root / "empty").mkdir()
    (root / "closed").mkdir()
    (root / "closed" / "file").write_text("x")
    (root / "closed").chmod(0o555)
    (root / "group").mkdir(mode=0o2775)
    for name, target in (
        ("link", "empty"),
        ("dangling", "nowhere"),
        ("absolute", "/etc/passwd"),
        ("up", "../x"),
    ):
        (root / name).symlink_to(target)
    os.link(root / "mode-600", root / "hard-link")
    with (root / "sparse").open("wb") as sparse:
        sparse.seek(5_000_000)
        sparse.write(b"end")
    (root / "nothing").write_bytes(b"")
    (root / "large").write_bytes(os.urandom(3_000_000))
    os.utime(root / "nothing", ns=(1_000_000_000_123_456_789, 1_000_000_000_123_456_789))


def test_every_kind_of_file_arrives_as_it_is_and_is_the_users_own(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("all kinds")
    fill(place.path)
    place.setup("eager")
    here = call(["bash", "-c", LISTING], cwd=place.path).out
    done = place.parallel("--quiet", "--", f"{LISTING}; : {{}}", ":::", "1")
    assert (done.status, done.messages) == (0, "")
    listed = sorted(done.out.split(b"\0"))
    assert listed == sorted(here.replace(b" 0:0 ", b" 1000:1000 ").split(b"\0"))
    assert len(listed) > 50


def test_jobs_may_write_in_their_copy_and_the_original_stays(eager: Place) -> None:
    before = sorted(eager.path.rglob("*"))
    command = "echo new >new; rm a; echo changed >b; mkdir made; cat new b; : {}"
    assert eager.parallel("--", command, ":::", "1").out == b"new\nchanged\n"
    assert sorted(eager.path.rglob("*")) == before
    assert (eager.path / "b").read_text() == "1\n2\n"
    assert eager.parallel("--", "cat b; ls new made 2>&1 | wc -l; : {}", ":::", "1").out == b"1\n2\n2\n"


def waiting(place: Place, running: Running) -> str:
    """The pod of a run whose job waits for /tmp/go."""
    running.until(lambda: b"here" in running.out)
    [pod] = objects(place.namespace, "pods", "-l", f"womm.dev/task={running.task()[10:]}")
    return str(pod["metadata"]["name"])


WAIT = "echo here; while [ ! -e /tmp/go ]; do sleep 0.1; done"


def test_each_run_sees_the_directory_as_it_was_at_its_start(make_place: Callable[[str], Place]) -> None:
    place = make_place("changing")
    for name in ("same-size", "deleted", "turned"):
        (place.path / name).write_text("old\n")
    # A change that only the nanoseconds of the modification time tell of.
    os.utime(place.path / "same-size", ns=(1, 1_700_000_000_000_000_001))
    place.setup("eager")
    look = "cat same-size; ls; cat turned/* 2>/dev/null; : {}"
    with place.started("parallel", "--kube-pods", "1", "-u", "--", f"{WAIT}; {look}", ":::", "1") as first:
        pod = waiting(place, first)
        (place.path / "same-size").write_text("new\n")
        os.utime(place.path / "same-size", ns=(1, 1_700_000_000_000_000_002))
        (place.path / "deleted").unlink()
        (place.path / "turned").unlink()
        (place.path / "turned").mkdir()
        (place.path / "turned" / "file").write_text("into a directory\n")
        (place.path / "added").write_text("")
        second = place.parallel("--", look, ":::", "1")
        kubectl("--namespace", place.namespace, "exec", pod, "--", "touch", "/tmp/go")
        old = first.wait()
    assert second.out.decode().split() == ["new", "added", "same-size", "turned", "into", "a", "directory"]
    assert old.out.decode().split() == ["here", "old", "deleted", "same-size", "turned"]
    third = place.parallel("--", look, ":::", "1")
    assert third.out == second.out


def test_the_secret_is_the_init_containers_and_no_other_tasks(
    make_place: Callable[[str], Place], eager: Place
) -> None:
    other = make_place("other")
    (other.path / "private").write_text("mine\n")
    other.setup("eager")
    job = ("parallel", "--kube-pods", "1", "-u", "--", "env; echo here; sleep 600; : {}", ":::", "1")
    with eager.started(*job) as first, other.started(*job) as second:
        tasks, passwords = [], []
        for running in (first, second):
            name = waiting(eager, running)
            tasks.append(running.task()[10:])
            assert b"RSYNC_PASSWORD" not in running.out
            assert b"SECRET" not in running.out.upper()
            [pod] = objects(eager.namespace, "pods", "-l", f"womm.dev/task={tasks[-1]}")
            assert pod["metadata"]["name"] == name
            [init] = pod["spec"]["initContainers"]
            [worker] = pod["spec"]["containers"]
            reference = {"secretKeyRef": {"name": f"womm-task-{tasks[-1]}", "key": "password"}}
            assert [e.get("valueFrom") for e in init["env"] if e["name"] == "RSYNC_PASSWORD"] == [reference]
            assert [e["name"] for e in worker["env"]] == ["HOME", "USER", "LOGNAME"]
            assert "envFrom" not in worker
            [secret] = objects(eager.namespace, "secrets", "-l", f"womm.dev/task={tasks[-1]}")
            passwords.append(base64.b64decode(secret["data"]["password"]).decode())
        status = {
            (user, module, which): fetch(eager.namespace, user, module, password)
            for user in tasks
            for module in tasks
            for which, password in zip(("first", "second", "none"), [*passwords, ""], strict=True)
        }
    allowed = {(tasks[0], tasks[0], "first"), (tasks[1], tasks[1], "second")}
    assert {key for key, value in status.items() if value == 0} == allowed
    # 5: the server refuses to talk.
    assert {value for key, value in status.items() if key not in allowed} == {5}


def fetch(namespace: str, user: str, module: str, password: str) -> int:
    """Rsync's exit status when `user` lists `module` with `password`."""
    [service] = objects(namespace, "services", "-l", "app.kubernetes.io/name=womm-server")
    where = f"rsync://{user}@{service['spec']['clusterIP']}:8873/{module}/"
    argv = ["kubectl", "--namespace", namespace, "exec", "deployment/womm-server", "--"]
    return call([*argv, "env", f"RSYNC_PASSWORD={password}", "rsync", where]).status


def test_the_server_tells_nobody_what_it_serves(eager: Place) -> None:
    with eager.started("parallel", "--kube-pods", "1", "-u", "--", f"{WAIT}; : {{}}", ":::", "1") as running:
        waiting(eager, running)
        [service] = objects(eager.namespace, "services")
        listed = kubectl(
            "--namespace", eager.namespace, "exec", "deployment/womm-server", "--",
            "rsync", f"rsync://{service['spec']['clusterIP']}:8873/",
        )  # fmt: skip
    assert listed == ""


def hint(messages: str) -> str:
    """The command that womm's error names, with the way of images filled in."""
    [line] = re.findall(r"^womm: → (.*)$", messages, re.MULTILINE)
    return re.sub(r"--prefix \S+", shlex.join(IMAGES), str(line))


def test_without_a_file_server_the_error_names_the_command_that_makes_one(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("no-server")
    (place.path / "a").write_text("1\n")
    with new_namespace("no-server") as namespace:
        own = Place(place.user, namespace, place.path).setup("eager")
        refused = own.parallel("--", "cat", ":::", "a")
        assert refused.status == 125
        assert f"womm: there is no womm file server in namespace {namespace}\n" in refused.messages
        assert own.left() == []
        made = own.shell(f"set -o pipefail; {hint(refused.messages)}")
        assert made.status == 0, made.messages
        kubectl("--namespace", namespace, "rollout", "status", "deployment/womm-server", "--timeout=120s")
        assert own.parallel("--", "cat", ":::", "a").out == b"1\n"

        label = "app.kubernetes.io/version=0.0.1"
        kubectl("--namespace", namespace, "label", "deployment/womm-server", label, "--overwrite")
        other = own.parallel("--", "cat", ":::", "a")
        assert other.status == 125
        assert "womm: the file server is of womm 0.0.1, and this is womm " in other.messages
        assert len(other.messages.splitlines()) == 2
        mended = own.shell(f"set -o pipefail; {hint(other.messages)}")
        assert mended.status == 0, mended.messages
        kubectl("--namespace", namespace, "rollout", "status", "deployment/womm-server", "--timeout=120s")
        assert own.parallel("--", "cat", ":::", "a").out == b"1\n"


def test_a_server_that_starts_again_serves_the_next_run(eager: Place) -> None:
    server = ("--namespace", eager.namespace)
    kubectl(*server, "delete", "pods", "-l", "app.kubernetes.io/name=womm-server")
    kubectl(*server, "rollout", "status", "deployment/womm-server", "--timeout=120s")
    assert eager.parallel("--", "cat", ":::", "b").out == b"1\n2\n"


def test_a_file_that_goes_away_does_not_fail_the_copy(make_place: Callable[[str], Place]) -> None:
    place = make_place("busy")
    place.setup("eager")
    churn = (
        "mkdir churn; (while :; do for i in 1 2 3 4 5 6 7 8 9; do echo x >churn/$i; done; rm churn/*;"
        " done) & p=$!;"
        ' womm --namespace "$1" parallel --kube-pods 1 -- echo ::: done; s=$?; kill $p; exit $s'
    )
    done = place.shell(churn, place.namespace)
    assert (done.status, done.out) == (0, b"done\n"), done.messages


def test_what_is_ignored_reaches_no_pod_and_the_scheduler_is_told_of_the_rest(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("ignored")
    (place.path / ".git").mkdir()
    (place.path / ".git" / "HEAD").write_text("x")
    (place.path / "kept").write_bytes(os.urandom(10_000_000))
    place.setup("eager")
    look = "ls -A; : {}"
    assert place.parallel("--", look, ":::", "1").out.decode().split() == [".git", ".womm", "kept"]
    (place.path / ".wommignore").write_text("- .git/\n- .womm*\n")
    with place.started("parallel", "--kube-pods", "1", "-u", "--", f"{WAIT}; {look}", ":::", "1") as running:
        pod = waiting(place, running)
        [found] = objects(place.namespace, "pods", "--field-selector", f"metadata.name={pod}")
        kubectl("--namespace", place.namespace, "exec", pod, "--", "touch", "/tmp/go")
        assert running.wait().out == b"here\nkept\n"
    containers = [*found["spec"]["initContainers"], *found["spec"]["containers"]]
    # 10 MB, an eighth more, and 64 MiB.
    assert {c["resources"]["requests"]["ephemeral-storage"] for c in containers} == {"75Mi"}
    (place.path / ".wommignore").write_text("- kept\n\n.git\n")
    refused = place.parallel("--", look, ":::", "1")
    assert refused.status == 125
    assert f"womm: {place.path}/.wommignore, line 3: " in refused.messages


def in_server(place: Place, script: str) -> str:
    """What a script prints in the file server."""
    server = ("--namespace", place.namespace, "exec", "deployment/womm-server", "-c", "server", "--")
    return kubectl(*server, "bash", "-c", script)


#: rsync's processes there that receive a push; process 1 only serves pods.
RECEIVERS = "grep -lsz '^--server' /proc/[0-9]*/cmdline | cut -d / -f 3"


@pytest.fixture(scope="module")
def roomy(make_place: Callable[[str], Place]) -> Place:
    """A directory for what takes a while to be sent."""
    return make_place("large").setup("eager")


@pytest.fixture
def large(roomy: Place) -> Place:
    """A directory with a large file that the server has not, and that takes no room."""
    for old in roomy.path.glob("zeros*"):
        old.unlink()
    with tempfile.NamedTemporaryFile(prefix="zeros", dir=roomy.path, delete=False) as file:
        file.truncate(600_000_000)
    return roomy


SIZE = ("parallel", "--kube-pods", "1", "--lost-after", "5", "--", "stat -c %s zeros*; : {}", ":::", "1")


def test_a_copy_that_is_cut_in_the_middle_is_tried_once_more(large: Place) -> None:
    with large.started(*SIZE) as running:
        running.until(lambda: "womm: a large file: zeros" in running.err)
        # By a stream of its own.
        assert any("kubectl " in line and " exec -i " in line for line in marked(large.user.mark))
        in_server(large, f"{RECEIVERS} | xargs kill -KILL")
        running.until(lambda: "womm: the copy was cut, and is tried once more" in running.err)
        done = running.wait()
    assert (done.status, done.out) == (0, b"600000000\n"), done.messages


def test_a_server_that_hangs_in_the_middle_of_the_copy_is_given_up_and_asked_again(large: Place) -> None:
    with large.started(*SIZE) as running:
        running.until(lambda: "womm: a large file: zeros" in running.err)
        # All but process 1: rsync, and the agent that could tell.
        in_server(large, "kill -STOP -1")
        # 60 s of silence.
        running.until(lambda: "womm: the copy was cut, and is tried once more" in running.err)
        in_server(large, "kill -CONT -1")
        done = running.wait()
    assert (done.status, done.out) == (0, b"600000000\n"), done.messages


def test_the_shared_directory_of_the_server_is_its_own(eager: Place) -> None:
    listed = good(
        ["kubectl", "--namespace", eager.namespace, "exec", "deployment/womm-server", "--",
         "stat", "-c", "%a %u", "/srv/womm/shares", "/srv/womm/secrets", "/srv/womm/modules"]
    )  # fmt: skip
    assert listed.split("\n")[:-1] == ["2700 10001"] * 3
