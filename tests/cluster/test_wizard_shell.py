"""womm setup's shell and the questions after it, in a real pseudo-terminal: nothing that was done is lost."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from bases import BUSYBOX, MINIMAL
from dialogue import (
    ANSWERED,
    BASE,
    CLEAR,
    CTRL_C,
    DOWN,
    KEPT,
    UNCHANGED,
    UP,
    in_shell,
    interrupt,
    left,
    reply,
    status,
    wizard,
)
from kit import DOCKER_SOCKET, PREFIX, REGISTRY, Place, good
from relay import relayed

from womm.testbed.bed import container_name

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("docker"),
]


@pytest.fixture(scope="module")
def small(build: Callable[..., str]) -> str:
    """A base of perl and busybox."""
    return build(MINIMAL, busybox=BUSYBOX)


def jobs(place: Place, script: str) -> str:
    """What a job prints."""
    done = place.parallel("--", f"{script}; : {{}}", ":::", "1")
    assert done.status == 0, done.messages
    return done.out.decode()


@pytest.mark.registry("its prefix is an answer that is not asked for again")
def test_ctrl_c_at_each_question_after_the_shell_keeps_the_work_and_the_answers(
    make_place: Callable[[str], Place], small: str
) -> None:
    place = make_place("kept")
    with wizard(place, "--namespace", place.namespace, "--base-image", small, *ANSWERED) as child:
        in_shell(child, "echo mine | sudo tee /etc/mine; export FOUND=yes API_TOKEN=t; exit")
        interrupt(child, "Does it work?", KEPT)
    with wizard(place) as child:
        child.expect_exact("an earlier setup of this directory was not finished; what was installed")
        interrupt(child, "Go on with it?", UNCHANGED)
    with wizard(place) as child:
        # Nothing else is asked again.
        reply(child, "Go on with it?")
        in_shell(child, "echo found=$FOUND; exit")
        child.expect_exact("found=yes\r\n")
        reply(child, "Does it work?")
        child.expect_exact("these look like secrets")
        interrupt(child, "Which of them", KEPT)
    with wizard(place) as child:
        reply(child, "Go on with it?")
        in_shell(child, "sudo mv /usr/bin/perl /perl; exit")
        interrupt(child, "Install it?", KEPT)
    with wizard(place) as child:
        reply(child, "Go on with it?")
        child.expect_exact("perl is gone: this shell keeps no variables")
        in_shell(child, "sudo mv /perl /usr/bin/perl; exit")
        # Keep it for later.
        reply(child, "Does it work?", f"{DOWN}{DOWN}\r")
        child.expect_exact(KEPT)
        assert status(child) == 0
    assert not (place.path / ".womm").exists()
    done = place.womm("setup", "--yes", "--resume")
    assert done.status == 0, done.messages
    assert "not in the image, because they look like secrets: API_TOKEN" in done.messages
    assert (place.config()["share"], place.config()["base_image"]) == ("none", small)
    assert jobs(place, "cat /etc/mine; echo $FOUND ${API_TOKEN-none}") == "mine\nyes none\n"
    assert left(place) == []


@pytest.mark.registry("its prefix is an answer that is not asked for again")
def test_a_terminal_that_can_do_nothing_has_numbered_lines_and_a_perl_that_can_t_be_installed_bars_the_yes(
    make_place: Callable[[str], Place], small: str
) -> None:
    place = make_place("dumb")
    with wizard(place, "--namespace", place.namespace, *ANSWERED, TERM="dumb") as child:
        child.expect_exact(f"Base image [{BASE}] ")
        child.sendline(small)
        in_shell(child, "export FOUND=yes; exit")
        child.expect_exact("Number [1]: ")
        assert "\x1b[?" not in child.before
        child.send(CTRL_C)
        child.expect_exact(f"^C\r\n{KEPT}")
        assert status(child) == 130
    with wizard(place, TERM="dumb") as child:
        # Never mind.
        reply(child, "Number [1]", "3\r")
        assert status(child) == 0
    with wizard(place, "--resume", TERM="dumb") as child:
        in_shell(child, "echo found=$FOUND; sudo mv /usr/bin/perl /perl; exit")
        child.expect_exact("found=yes\r\n")
        reply(child, "Install it? [Y/n")
        child.expect_exact("womm: perl can't be installed")
        child.expect_exact("-  yes")
        child.expect_exact("(not here: jobs need perl)")
        # Back into the shell.
        reply(child, "Number [2]")
        in_shell(child, "sudo mv /perl /usr/bin/perl; exit")
        # Throw it away.
        reply(child, "Number [1]", "4\r")
        assert status(child) == 0
    assert left(place) == []
    assert not (place.path / ".womm").exists()


def test_perl_that_is_gone_is_offered_and_installed_with_the_bases_own_package_manager(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("no perl")
    with wizard(place, "--namespace", place.namespace, "--base-image", BASE, *ANSWERED) as child:
        in_shell(child, "sudo rm /usr/bin/perl; exit")
        child.expect_exact("womm: perl is gone, and womm's jobs need it")
        reply(child, "Install it?", "y")
        reply(child, "Does it work?", f"{DOWN}\r")
        in_shell(child, r"perl -e 'print 6 * 7, qq(.\n)'; exit")
        child.expect_exact("42.\r\n")
        # Throw it away.
        reply(child, "Does it work?", f"{UP}\r")
        assert status(child) == 0
    assert left(place) == []


def test_work_goes_on_after_the_machine_was_restarted_even_without_the_perl_that_is_its_process_1(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("restarted")
    container = container_name(str(place.path))
    flags = ("--namespace", place.namespace, "--base-image", BASE, *ANSWERED)
    # The shell is where the questions are.
    with wizard(place, *flags, argv=("sh", "-c", 'exec "$@" </dev/null', "sh")) as child:
        in_shell(child, "echo mine | sudo tee /etc/mine; export FOUND=yes; exit")
        interrupt(child, "Does it work?", KEPT)
    good(["docker", "stop", "--time", "1", container])
    with wizard(place) as child:
        reply(child, "Go on with it?")
        in_shell(child, "cat /etc/mine; echo found=$FOUND; sudo rm /usr/bin/perl; exit")
        child.expect_exact("mine\r\nfound=yes\r\n")
        interrupt(child, "Install it?", KEPT)
    good(["docker", "stop", "--time", "1", container])
    with wizard(place) as child:
        reply(child, "Go on with it?")
        child.expect_exact("womm: what is kept can't be started, and goes to a new container")
        in_shell(child, "cat /etc/mine; echo found=$FOUND; exit")
        child.expect_exact("mine\r\nfound=yes\r\n")
        # Throw it away.
        reply(child, "Does it work?", f"{UP}\r")
        assert status(child) == 0
    assert left(place) == []


def test_work_is_kept_when_docker_is_stopped_under_the_shell(
    make_place: Callable[[str], Place], tmp_path: Path
) -> None:
    place = make_place("stopped")
    near = tmp_path / "docker.sock"
    flags = ("--namespace", place.namespace, "--base-image", BASE, *ANSWERED)
    with (
        relayed(near, DOCKER_SOCKET) as relay,
        wizard(place, *flags, DOCKER_HOST=f"unix://{near}") as child,
    ):
        # A bash saves its variables at its end only, and this one lives on.
        in_shell(child, "export FOUND=yes API_TOKEN=t; echo mine | sudo tee /etc/mine; echo rea''dy")
        child.expect_exact("ready\r\n")
        relay.kill()
        child.expect_exact("what was installed is kept")
        assert status(child) == 125
        assert "Traceback" not in child.before
    place.setup("none", "--resume")
    assert jobs(place, "cat /etc/mine; echo $FOUND ${API_TOKEN-none}") == "mine\nyes none\n"
    assert left(place) == []


@pytest.mark.registry("a push to it is refused")
@pytest.mark.sandbox("its registry is reached by another port, too")
def test_an_image_whose_push_was_interrupted_or_refused_is_kept_and_pushed_by_the_next_setup(
    make_place: Callable[[str], Place], small: str
) -> None:
    place = make_place("refused")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = (
        "--namespace",
        place.namespace,
        "--base-image",
        small,
        *ANSWERED,
        "--prefix",
        f"localhost:{port}",
    )
    with relayed(port, REGISTRY.partition(":")[2].rstrip("/")) as relay:
        with wizard(place, *flags, debug=True) as child:
            in_shell(child, "exit")
            child.expect_exact("Does it work?")
            relay.send_signal(signal.SIGSTOP)
            child.send("\r")
            child.expect_exact("+ docker push ")
            child.send(CTRL_C)
            child.expect_exact("womm: the image is kept, and `womm setup --yes --resume` pushes it\r\n")
            assert status(child) == 130
        relay.send_signal(signal.SIGCONT)
        with wizard(place, *flags) as child:
            child.expect_exact("its image is not pushed yet")
            # Begin anew.
            reply(child, "Go on with it?", f"{DOWN}\r")
            in_shell(child, "echo mine | sudo tee /etc/mine; exit")
            child.expect_exact("Does it work?")
            relay.kill()
            child.send("\r")
            child.expect_exact("can't be pushed")
            child.expect_exact("the image is kept")
            assert status(child) == 125
    assert not (place.path / ".womm").exists()
    with wizard(place) as child:
        child.expect_exact("its image is not pushed yet")
        reply(child, "Go on with it?")
        reply(child, "Registry prefix", f"{CLEAR}{PREFIX}\r")
        child.expect("digest: sha256:[0-9a-f]{64}")
        assert status(child) == 0
    assert jobs(place, "cat /etc/mine") == "mine\n"
    assert left(place) == []
