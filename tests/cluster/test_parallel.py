"""womm parallel, as its user sees it: the main job, the streams, the exit status, the slots."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Callable

import pytest
from kit import Done, Place, good, kubectl

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("clean"),
]

POD = re.compile(r"womm-task-[a-z]{8}-[a-z0-9]+-[a-z0-9]+")

# Says how many jobs it saw in its pod, itself included: waits for a second one, but not for ever.
MEETING = """\
mkdir -p /tmp/meeting; : >/tmp/meeting/{#}; i=0; most=0
while [ $i -lt 20 ]; do
  now=$(ls /tmp/meeting | wc -l); [ $now -gt $most ] && most=$now
  [ $most -ge 2 ] && [ $i -lt 15 ] && i=15
  i=$((i+1)); sleep 0.1
done
rm /tmp/meeting/{#}; echo $(hostname) $most"""


def own_lines(done: Done) -> list[str]:
    """Return stderr's lines without the task's name."""
    return re.sub(r"womm-task-[a-z]{8}", "TASK", done.messages).splitlines()


def test_the_main_job_counts_the_lines_of_all_files(eager: Place) -> None:
    found = good(["find", "-type", "f"], cwd=eager.path).encode()
    done = eager.parallel("--", "wc", "-l", "{}", pods=3, stdin=found)
    local = good(["sh", "-c", "find -type f -exec wc -l {} ';'"], cwd=eager.path)
    assert done.lines == sorted(local.splitlines())
    assert done.status == 0
    assert own_lines(done) == [
        f"womm: copying {eager.path} to the file server",
        "deployment.apps/TASK created",
        'deployment.apps "TASK" deleted',
    ]


def test_quiet_keeps_womms_lines_off_stderr(eager: Place) -> None:
    done = eager.parallel("--quiet", "--", "cat {}; echo said {} >&2", ":::", "a", "b")
    assert done.lines == ["1", "1", "2"]
    assert sorted(done.messages.splitlines()) == ["said a", "said b"]


def test_arguments_after_three_colons_and_a_command_without_braces(none: Place) -> None:
    done = none.parallel("--", "ls", "-d", ":::", "/", "/tmp")
    assert (done.status, done.lines) == (0, ["/", "/tmp"])


def test_the_exit_status_is_the_number_of_failed_jobs(none: Place) -> None:
    done = none.parallel("-j2", "--", "echo {}; exit {}", ":::", "0", "1", "0", "7", "200")
    assert (done.status, done.lines) == (3, ["0", "0", "1", "200", "7"])


def test_halt_ends_the_run_with_the_failed_jobs_status(none: Place) -> None:
    arguments = ("--halt", "now,fail=1", "--", "[ {} = 1 ] && exit 42; sleep 600", ":::", "0", "1", "2")
    done = none.parallel(*arguments, pods=2)
    assert done.status == 42
    assert 'deployment.apps "TASK" deleted' in own_lines(done)


@pytest.mark.parametrize("share", ["none", "eager"])
def test_a_subdirectory_is_served_by_the_directory_above(request: pytest.FixtureRequest, share: str) -> None:
    place: Place = request.getfixturevalue(share)
    below = place.path / "sub" / "deeper"
    below.mkdir(parents=True, exist_ok=True)
    done = place.parallel("--", "pwd; ls; : {}", ":::", "x", cwd=below)
    files = "d e\n" if share == "eager" else ""
    assert (done.status, done.out.decode()) == (0, f"{below}\n{files}")


@pytest.mark.parametrize("option", ["-j2", "--procs-per-pod=2"])
def test_so_many_jobs_run_at_once_in_a_pod_and_no_profile_changes_that(none: Place, option: str) -> None:
    own = none.user.root / "home" / ".parallel"
    own.mkdir(exist_ok=True)
    (own / "config").write_text("-j 7\n-S :\n--tag\n")
    done = none.parallel(option, "--", MEETING, ":::", *"123456", PARALLEL="-j 5 -S : --dry-run")
    (own / "config").unlink()
    hosts, counts = zip(*(line.split() for line in done.out.decode().splitlines()), strict=True)
    assert len(hosts) == 6
    assert all(POD.fullmatch(host) for host in hosts)
    assert max(map(int, counts)) == 2


def test_one_job_at_a_time_without_j(none: Place) -> None:
    done = none.parallel("--", MEETING, ":::", "1", "2", "3", pods=2)
    assert [line.split()[1] for line in done.lines] == ["1", "1", "1"]


def test_jobs_run_in_all_pods_and_none_on_this_machine(none: Place) -> None:
    command = "hostname; while [ ! -e /tmp/go ]; do sleep 0.1; done; rm /tmp/go; : {}"
    arguments = ("parallel", "--kube-pods", "3", "-u", "--", command, ":::", "1", "2", "3")
    with none.started(*arguments) as running:
        hosts = running.until(lambda: len(found := running.out.decode().split()) == 3 and found)
        for host in hosts:
            kubectl("--namespace", none.namespace, "exec", host, "--", "touch", "/tmp/go")
        assert running.wait().status == 0
    assert len(set(hosts)) == 3
    assert all(POD.fullmatch(host) for host in hosts)
    assert socket.gethostname() not in hosts


def test_no_line_of_many_jobs_is_lost_or_doubled(none: Place, local_parallel: Callable[..., Done]) -> None:
    numbers = "".join(f"{n}\n" for n in range(500)).encode()
    command = "for i in 1 2 3 4 5 6; do echo {} line $i; done; echo {} told >&2"
    done = none.parallel("-j4", "--quiet", "--", command, pods=3, stdin=numbers)
    local = local_parallel("-j4", command, cwd=none.path, stdin=numbers)
    assert done.status == local.status == 0
    assert done.lines == local.lines
    assert sorted(done.messages.splitlines()) == sorted(local.messages.splitlines())


def test_a_large_stdin_arrives_whole(none: Place) -> None:
    block = os.urandom(1 << 20).replace(b"\n", b"x") + b"\n"
    data = block * 20
    command = ("--pipe", "--block", "5M", "-k", "--", "cat")
    done = none.parallel(*command, pods=2, stdin=data)
    assert done.status == 0
    assert hashlib.sha256(done.out).hexdigest() == hashlib.sha256(data).hexdigest()


def test_a_large_stdout_arrives_whole(none: Place) -> None:
    count = 50_000_000
    numbers = f"perl -e 'print pack(q(N), $_ * 2654435761 % 2**32) for 1..{count // 4}'"
    script = f"{numbers} | tee /tmp/all; sha256sum </tmp/all >&2; : {{}}"
    done = none.parallel("--quiet", "--", script, ":::", "1")
    assert done.status == 0
    assert len(done.out) == count
    assert done.messages.split()[0] == hashlib.sha256(done.out).hexdigest()


def test_a_directory_that_is_not_set_up_is_refused(make_place: Callable[[str], Place]) -> None:
    done = make_place("bare").parallel("--", "true", ":::", "1")
    assert done.status == 125
    assert own_lines(done) == [
        "womm: this directory is not set up",
        "womm: → run `womm setup` here, or in a parent",
    ]


@pytest.mark.kubernetes("1.23")
def test_jobs_run_where_only_restricted_pods_may(none: Place, namespace: str) -> None:
    labels = good(["kubectl", "get", "namespace", namespace, "-o", "jsonpath={.metadata.labels}"])
    assert '"pod-security.kubernetes.io/enforce":"restricted"' in labels
    assert none.parallel("--", "echo", ":::", "ran").lines == ["ran"]
