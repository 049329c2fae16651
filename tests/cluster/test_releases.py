"""Other releases of GNU parallel than the vendored one, in a copy of womm that has them in its place.

- 20221122: its worker comes in the arguments, as the vendored one's, but is another. It is Debian's package,
  which has upstream's program but for the citation dialogue; a mirror need not have its source.
- "on-stdin": the vendored one, called as releases of 2026 call their ssh, which send the worker on stdin
  (worker-on-stdin.pl). No registry that this is tested with has such a release.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kit import ROOT, Done, Place, call, good, joblog, kubectl, marked, pods
from register import Register

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("clean"),
    pytest.mark.sandbox("a release comes from Debian's pool, which only its machine is sure to have"),
]

OLD = "20221122"
PACKAGE = f"parallel_{OLD}+ds-2_all.deb"
#: What the login is called with.
IN_ARGUMENTS, ON_STDIN = "-X -e GNU_Parallel_worker,", "- "
FORCE = ("--force", "--grace-period=0", "--wait=false")
SHA256 = "6f515189a784f63fe28b11b262f404b0a1a74cc63dac4038bb31f248e3706dc4"


@dataclass(frozen=True)
class Release:
    """A womm with another GNU parallel; `root` is where Python finds it."""

    root: Path
    place: Place
    #: What follows `exec perl` in the login's call.
    call: str
    #: The program that hands the job to the hub.
    login: str = "login.pl"

    @property
    def env(self) -> dict[str, str]:
        """What has `womm` be this one."""
        return {"PYTHONPATH": str(self.root)}

    def parallel(self, *arguments: str, **more: Any) -> Done:
        """Run `womm parallel`."""
        return self.place.parallel(*arguments, **{**self.env, **more})

    def local(self, *arguments: str, stdin: bytes = b"") -> Done:
        """Run the same GNU parallel on this machine."""
        argv = ["perl", self.root / "womm/vendor/parallel", "--profile", "/dev/null", *arguments]
        return call(argv, cwd=self.place.path, env=self.place.user.environment, stdin=stdin)


def debian(scratch: Path) -> Path:
    """GNU parallel of Debian's package PACKAGE, from the pool that this machine's apt has packages from."""
    scratch.mkdir()
    ask = ["apt-get", "download", "--print-uris", "parallel"]
    if call(ask, cwd=scratch).status != 0:
        good(["apt-get", "update", "-qq"])
    found = re.search(r"'(.*)/[^/]*'", good(ask, cwd=scratch))
    assert found, "apt knows no package parallel"
    target = scratch / "package.deb"
    uri = f"{found[1]}/{PACKAGE.replace('+', '%2b')}"
    helper = ["/usr/lib/apt/apt-helper", "-o", "APT::Sandbox::User=root", "download-file"]
    good([*helper, uri, target, f"SHA256:{SHA256}"])
    assert hashlib.sha256(target.read_bytes()).hexdigest() == SHA256
    good(["dpkg-deb", "--extract", target, scratch])
    return scratch / "usr/bin/parallel"


@pytest.fixture(scope="module", params=[OLD, "on-stdin"])
def release(request: pytest.FixtureRequest, none: Place, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A copy of womm with this release, and a place for it."""
    root = tmp_path_factory.mktemp("release")
    package = root / "womm"
    shutil.copytree(ROOT / "womm", package, ignore=shutil.ignore_patterns("__pycache__"))
    if request.param == OLD:
        vendored = {
            **os.environ,
            "WOMM_VENDOR_DIR": str(package / "vendor"),
            "PARALLEL": str(debian(root / "deb")),
        }
        good([ROOT / "tools/vendor"], env=vendored)
        return Release(root, none, IN_ARGUMENTS)
    login = package / "scripts/login.pl"
    itself = login.rename(login.with_name("login-itself.pl"))
    shutil.copy(Path(__file__).with_name("worker-on-stdin.pl"), login)
    return Release(root, none, ON_STDIN, itself.name)


def logins(release: Release) -> list[str]:
    """The command lines of the logins that run now; not of what calls them, or feeds them a worker."""
    lines = [line.partition(": ")[2] for line in marked(release.place.user.mark)]
    return [line for line in lines if re.match(rf"\S*perl -X \S*/{re.escape(release.login)} ", line)]


def test_it_is_the_one_that_runs(release: Release) -> None:
    place = release.place
    told = place.womm("parallel", "--version", **release.env).out
    assert told == release.local("--version").out
    assert (OLD in told.decode().splitlines()[0]) == (release.call != ON_STDIN)
    arguments = ("parallel", "--kube-pods", "1", "--", "sleep 600", ":::", "1")
    with place.started(*arguments, **release.env) as running:
        [login] = running.until(lambda: logins(release))
        assert f"-- exec perl {release.call}" in login
        assert running.interrupt(signal.SIGINT).status != 0


def test_output_is_whole_and_in_order_with_its_tags(release: Release) -> None:
    numbers = "".join(f"{n}\n" for n in range(200)).encode()
    options = ("-j", "4", "--tag", "-k", "--", "for i in 1 2 3; do echo $i of {}; done; echo not {} >&2")
    done, local = release.parallel(*options, pods=2, stdin=numbers), release.local(*options, stdin=numbers)
    assert (done.status, done.out) == (0, local.out)
    told = [line for line in done.messages.splitlines() if "not" in line]
    assert sorted(told) == sorted(local.messages.splitlines())


def test_exit_statuses_and_deaths_by_signals_pass(release: Release, tmp_path: Path) -> None:
    log = tmp_path / "joblog"
    jobs = ["exit 0", "exit 1", "exit 42", "exit 255", "kill -KILL $$", "kill -TERM $$"]
    done = release.parallel("-j", "3", "--joblog", str(log), "--", "eval {}", ":::", *jobs)
    assert done.status == 5
    found = {jobs[int(row[0]) - 1]: row[6] for row in joblog(log)}
    assert found == dict(zip(jobs, ["0", "1", "42", "255", "137", "143"], strict=True))


def test_blocks_of_stdin_arrive_whole(release: Release) -> None:
    data = b"".join(b"%d\n" % n for n in range(1_500_000))
    done = release.parallel("--pipe", "--block", "3M", "-k", "--", "cat", pods=2, stdin=data)
    assert done.status == 0
    assert hashlib.sha256(done.out).digest() == hashlib.sha256(data).digest()


def test_a_job_whose_reader_has_gone_ends(release: Release) -> None:
    # What is left of its stdin nobody takes.
    data = b"".join(b"%d\n" % n for n in range(1_500_000))
    done = release.parallel("--pipe", "--block", "20M", "--", "head -n 2; exit 3", stdin=data)
    assert (done.status, done.out) == (1, b"0\n1\n")


def test_jobs_of_a_lost_pod_run_again(release: Release, register: Register) -> None:
    place = release.place
    command = register.job("echo {} began; sleep 2; echo {} ended")
    arguments = ("parallel", "--kube-pods", "2", "-j", "2", "--", command, ":::", *"12345678")
    with place.started(*arguments, **release.env) as running:
        running.until(lambda: len(register.runs) >= 3)
        kubectl("--namespace", place.namespace, "delete", "pod", pods(place, running)[0], *FORCE)
        done = running.wait()
    assert done.status == 0, done.messages
    assert done.lines == sorted(f"{n} {what}" for n in "12345678" for what in ("began", "ended"))
    assert "its job runs again" in done.messages
    assert set(register.most.values()) == {1}
