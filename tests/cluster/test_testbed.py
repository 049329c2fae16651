"""The local shell in a real pseudo-terminal, the image made from it, and jobs that find it in their pods."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest
from bases import BUSYBOX, MINIMAL
from dialogue import BASE, left
from kit import IMAGES, Place, User, eventually, good

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("docker"),
]

DRIVER = Path(__file__).parent / "local_shell.py"
#: The same with all that may be odd about a base.
ODD = f"""\
{MINIMAL}
RUN mkdir /data
USER 77
WORKDIR /home
ENV QUOTED="it's \\"quoted\\" \\$HOME"
VOLUME /data /home
ENTRYPOINT ["/bin/false"]
HEALTHCHECK CMD false
STOPSIGNAL SIGUSR1
ONBUILD COPY no-such-file /
"""


@pytest.fixture(autouse=True)
def no_containers(home: User) -> Iterator[None]:
    """Whatever a test that failed has kept goes."""
    yield
    for container in good(
        ["docker", "ps", "--all", "--quiet", "--filter", "label=womm.dev/directory"]
    ).split():
        labels = good(["docker", "inspect", "--format", "{{json .Config.Labels}}", container])
        if json.loads(labels)["womm.dev/directory"].startswith(f"{home.root}/"):
            good(["docker", "rm", "--force", container])


@contextmanager
def shell(place: Place, base: str, **env: str) -> Iterator[pexpect.spawn]:
    """The local shell in a terminal of 40 lines and 100 columns, at its first prompt."""
    child = pexpect.spawn(
        sys.executable,
        [str(DRIVER), "docker", base],
        cwd=str(place.path),
        env={**place.user.environment, "TERM": "xterm-256color", **env},
        dimensions=(40, 100),
        timeout=60,
    )
    # What a failure shows of the screen.
    child.str_last_chars = 4000
    try:
        child.expect_exact("This is a *local* shell where any dependencies you install will be saved.")
        child.expect_exact("(womm) ")
        child.expect_exact("$ ")
        yield child
    finally:
        child.close(force=True)


def type_in(child: pexpect.spawn, line: str) -> str:
    """Type a line, and return what comes before the next prompt: its echo and its output."""
    child.sendline(f"{line}; echo do''ne")
    child.expect_exact("done\r\n")
    output: str = child.before.decode()
    child.expect_exact("$ ")
    return output


def jobs(place: Place, script: str) -> bytes:
    """What a job prints."""
    done = place.parallel("--", f"{script}; : {{}}", ":::", "1")
    assert done.status == 0, done.messages
    return done.out


def resume(place: Place) -> str:
    """Save and push what is kept; return the image's name."""
    place.setup("none", "--resume")
    image: str = place.config()["image"]
    return image


def setuid(image: str) -> list[str]:
    """The files of an image that run as somebody else."""
    find = ["find", "/", "-xdev", "-perm", "/6000", "-type", "f"]
    return sorted(good(["docker", "run", "--rm", "--user", "0", "--entrypoint", "", image, *find]).split())


def make_package(directory: Path) -> None:
    """A Debian package with the program `greet`: what apt installs without a network."""
    root = directory / "greet"
    for name, text in (("DEBIAN/control", CONTROL), ("usr/bin/greet", "#!/bin/sh\necho installed\n")):
        path = root / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
        path.chmod(0o755)
    good(["dpkg-deb", "--build", root, directory / "greet.deb"])


CONTROL = "Package: greet\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: greets\n"


def test_what_is_installed_and_exported_in_the_shell_is_in_the_pods(
    make_place: Callable[[str], Place],
) -> None:
    place = make_place("by hand, 1")
    place.path.chmod(0o777)
    make_package(place.path)
    with shell(place, BASE, TERM="no-such-terminal", MACHINES_OWN="x") as child:
        assert "installed" in type_in(child, "sudo apt-get install -y ./greet.deb >/dev/null 2>&1; greet")
        assert "womm-root-xterm." in type_in(child, "echo $(id -un)-$(sudo -n id -un)-$TERM.")
        # Others have no sudo, not even those of the user's group.
        other = "sudo setpriv --reuid=1001 --regid=$(id -g) --clear-groups"
        assert "Permission denied" in type_in(child, f"{other} sudo id -u")
        assert "Read-only file system" in type_in(child, "sudo touch /mnt/tmp/x")
        assert "here\r\n" in type_in(child, 'echo here >here; sudo cat "/mnt$PWD/here"')
        # The terminal: its size, a program that Ctrl-C ends, one that Ctrl-Z stops.
        assert "40 100" in type_in(child, "stty size")
        child.setwinsize(30, 77)
        eventually(lambda: "30 77" in type_in(child, "stty size"))
        for key, expected in (("\x03", "^C"), ("\x1a", "Stopped")):
            child.sendline("echo rea''dy; sleep 1000")
            child.expect_exact("ready\r\n")
            child.send(key)
            child.expect_exact(expected)
            child.expect_exact("$ ")
        # Without `wait`: for bash a job that ends during it can stay a stopped one, and then `exit` refuses.
        assert "sleep 1000" in type_in(child, "jobs; kill %1")
        eventually(lambda: "Stopped" not in type_in(child, "jobs"))
        type_in(child, r"""export ODD=$'it\'s "a"\n\xff $HOME é' EMPTY= PATH=/opt/own:$PATH LC_ALL=C""")
        type_in(child, "export FORGOTTEN=1; unset FORGOTTEN; echo mine >~/mine; NOT=exported")
        child.sendline("exit 3")
        child.expect(pexpect.EOF)
    assert child.exitstatus == 3
    assert (place.path / "here").read_text() == "here\n"
    refused = place.womm("setup", "--yes", "--share", "none", *IMAGES)
    assert refused.status == 125
    assert "womm setup --yes --resume" in refused.messages
    image = resume(place)
    assert left(place) == []
    assert jobs(place, "greet; cat ~/mine; ls -A") == b"installed\nmine\n"
    odd = b'it\'s "a"\n\xff $HOME \xc3\xa9|'
    assert jobs(place, 'printf "%s|" "$ODD" "${EMPTY-unset}" "${NOT-unset}" "$LC_ALL"') == odd + b"|unset|C|"
    path = "/opt/own:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert jobs(place, "printf %s $PATH").decode() == path
    names = jobs(place, "env -0 | cut -z -d= -f1 | tr '\\0' '\\n'").decode().split()
    assert not {"MACHINES_OWN", "FORGOTTEN", "ENV", "WOMM_BED"} & set(names)
    assert setuid(image) == setuid(BASE)
    ours = "find /run/womm /etc/sudoers* ! -path /run/womm 2>/dev/null; :"
    assert good(["docker", "run", "--rm", image, "sh", "-c", ours]) == ""


def test_a_base_of_busybox_and_perl_has_a_shell_with_sudo_too_and_a_closed_terminal_loses_nothing(
    make_place: Callable[[str], Place], build: Callable[..., str]
) -> None:
    base = build(MINIMAL, busybox=BUSYBOX)
    place = make_place("busy")
    with shell(place, base) as child:
        assert "by 0." in type_in(child, "sudo sh -c 'echo text >/etc/own'; echo by $(stat -c %u /etc/own).")
        type_in(child, "export ODD='it''s \"a\"\n$HOME'")
        # As a terminal's window that is closed.
        child.ptyproc.fileobj.close()
        eventually(lambda: not child.isalive())
    image = resume(place)
    assert jobs(place, 'cat /etc/own; printf "%s|" "$ODD"') == b'text\nits "a"\n$HOME|'
    assert setuid(image) == setuid(base) == []
    assert left(place) == []


def test_run_does_the_same_without_a_terminal_on_a_base_with_odd_settings(
    make_place: Callable[[str], Place], build: Callable[..., str], tmp_path: Path
) -> None:
    place = make_place("odd")
    (place.path / "Dockerfile").write_text(
        f"FROM {build(ODD.replace('ONBUILD', '#'), busybox=BUSYBOX)}\nUSER root\nCOPY file /file\n"
    )
    (place.path / "file").write_text("copied\n")
    arguments = [
        "--run",
        'test "$http_proxy"; export A=b; echo data >/data/mine; cp /file ~/',
        "--run",
        'sudo sh -c "id -u >/uid"; B=$A; export B',
    ]
    # The proxies that docker gives to its containers are not for pods.
    settings = {"proxies": {"default": {"httpProxy": "http://me:secret@localhost:1"}}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    more = ["--dockerfile", "Dockerfile", "--share", "none", *IMAGES]
    done = place.womm("setup", "--yes", *more, *arguments, DOCKER_CONFIG=str(tmp_path))
    assert done.status == 0, done.messages
    assert "secret" not in good(["docker", "image", "inspect", place.config()["image"]])
    job = 'cat /data/mine /uid ~/file; printf "%s|" $A$B "$QUOTED"; rm ~/file; echo $PWD'
    expected = f'data\n0\ncopied\nbb|it\'s "quoted" $HOME|{place.path}\n'
    assert jobs(place, job).decode() == expected
    failed = place.womm("setup", "--yes", "--share", "none", *IMAGES, "--run", "(exit 7)")
    assert failed.status == 125
    assert "womm: --run failed with status 7" in failed.messages
    # What ONBUILD says is for others' files.
    place.setup("none", "--base-image", build(ODD, busybox=BUSYBOX), "--run", "touch /data/x")
    assert jobs(place, "ls /data") == b"x\n"
    assert left(place) == []
