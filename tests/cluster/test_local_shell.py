"""womm shell --local: the image in a container here is as a pod, and nothing stays of it."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import Done, Place, eventually, good
from test_shell import ALONE, GONE, SIX_TIMES_SEVEN, in_front, size, typed

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.usefixtures("clean"),
    pytest.mark.xdist_group("docker"),
]

#: What differs from one pod to another, is Kubernetes' or the task's own, or an empty trace of this machine.
ELSEWHERE = re.compile(r"(HOSTNAME|KUBERNETES_\w+|WOMM_\w+)=|(?i:http_proxy)=$")


@pytest.fixture(scope="module")
def place(make_place: Callable[[str], Place]) -> Place:
    """A directory whose image has a variable of its own; whoever jobs run as may write there."""
    made = make_place("local").setup("none", "--run", "export LEVEL='3 é'; export PATH=/opt/own:$PATH")
    made.path.chmod(0o777)
    return made


def containers(place: Place) -> list[str]:
    """The containers that there are for this directory."""
    label = f"label=womm.dev/directory={place.path}"
    return good(["docker", "ps", "--all", "--quiet", "--filter", label]).split()


def local(place: Place, *arguments: str | bytes, **more: str) -> Done:
    """What `womm shell --local` does where there is no cluster."""
    return place.womm("shell", "--local", *arguments, KUBECONFIG="/no/such", **more)


def test_a_command_finds_here_what_it_finds_in_a_pod(place: Place, tmp_path: Path) -> None:
    # The engine's proxies are for this machine.
    settings = {"proxies": {"default": {"httpProxy": "http://me:secret@localhost:1"}}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    command = "pwd; id; grep -E '^(Cap|NoNewPrivs)' /proc/$$/status; readlink /proc/$$/exe; env"
    there = place.womm("shell", "--", command)
    here = local(place, "--", command, DOCKER_CONFIG=str(tmp_path))
    assert (there.status, here.status) == (0, 0), here.messages
    found, expected = ([line for line in done.lines if not ELSEWHERE.match(line)] for done in (here, there))
    assert found == expected
    assert "LEVEL=3 é" in found


def test_the_directory_is_the_real_one_bytes_pass_and_the_status_comes_back(place: Place) -> None:
    (place.path / "sub").mkdir(mode=0o777)
    (place.path / "sub").chmod(0o777)
    data = os.urandom(5_000_000)
    done = local(place, "--quiet", "--", "tee copy /dev/stderr; exit 3", stdin=data, cwd=place.path / "sub")
    assert (done.status, done.out, done.err) == (3, data, data)
    assert (place.path / "sub" / "copy").read_bytes() == data
    words = local(place, "--", "printf", "%s|", "a b", "$HOME", "")
    assert (words.status, words.out) == (0, b"a b|$HOME||")
    assert place.shell("womm shell --local -- yes | head -n 1; echo ${PIPESTATUS[0]}").out == b"y\n141\n"
    assert containers(place) == []


@ALONE
def test_a_terminal_works_as_in_a_pod_and_a_closed_one_takes_the_container_along(place: Place) -> None:
    with typed(place, "--local") as terminal:
        terminal.ready()
        terminal.type("tty; stty size; echo $TERM; pwd; shopt -q login_shell && echo $0\r")
        terminal.until(rf"/dev/pts/\d+\r\n30 100\r\nxterm-256color\r\n{place.path}\r\n-bash\r\n")
        terminal.child.setwinsize(50, 132)
        eventually(lambda: size(terminal) == b"50 132")
        terminal.type("sleep 1000\r")
        in_front(terminal, "sleep", "LEVEL")
        terminal.type("\x03")
        terminal.type(f"echo status $?, {SIX_TIMES_SEVEN}, x is $x\r")
        terminal.until("status 130, 42, x is kept")
        terminal.type("exit 7\r")
        assert terminal.ends() == 7
    assert containers(place) == []
    with typed(place, "--local") as terminal:
        terminal.ready()
        terminal.child.ptyproc.fileobj.close()
        eventually(lambda: containers(place) == [], GONE)
        eventually(lambda: not place.user.runs())


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_womm_ends_its_container_goes(place: Place, signum: signal.Signals) -> None:
    with place.started("shell", "--local", "--", "echo begun; exec sleep 1000") as running:
        running.until(lambda: running.out == b"begun\n")
        assert len(containers(place)) == 1
        done = running.interrupt(signum)
    assert done.status in (128 + signum, -signum)
    eventually(lambda: place.left() == [])
    assert containers(place) == []
