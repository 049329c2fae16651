"""A `.womm` that its user did not make is shown and asked about once; without a terminal it is refused."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pexpect
import pytest
from conftest import Hermetic

from womm import config, kubectl, prompts, trust
from womm.config import FILE_NAME, Project
from womm.errors import WommError

pytestmark = pytest.mark.usefixtures("hermetic")

# It refuses every call, so that a womm that trusts the file ends with this.
KUBECTL = """\
#!/bin/sh
case "$*" in
  *"config view"*) printf https://evil:6443 ;;
  *) echo "connect: connection refused" >&2; exit 1 ;;
esac
"""
GONE_ON = "the cluster does not answer: https://evil:6443"
QUESTION = "Run jobs so, and let them see that directory"


@pytest.fixture
def cloned(hermetic: Hermetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a `.womm` of somebody else's."""
    hermetic.stub("kubectl", KUBECTL)
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


def write(directory: Path, **changes: Any) -> Path:
    project = Project(
        directory=str(directory),
        share="none",
        image="evil/image:1",
        arch="amd64",
        base_image="debian:12",
        prefix="r/",
        namespace="their-team",
        context="their-context",
        kubeconfig="/tmp/their-kubeconfig",
        uid=1000,
        gid=1000,
        user="ann",
        home="/home/ann",
    )
    path = directory / FILE_NAME
    path.write_text(json.dumps({"format": config.FORMAT, **project.__dict__, **changes}))
    return path


def run(womm: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    """A womm parallel without a terminal."""
    argv = [*womm, "parallel", "--kube-pods", "1", *options, "--", "echo", ":::", "x"]
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=60, check=False, start_new_session=True
    )


def on_terminal(womm: list[str], redirected: str = "", **env: str) -> pexpect.spawn[str]:
    argv = shlex.join([*womm, "parallel", "--kube-pods", "1", "--", "echo"])
    return pexpect.spawn(
        "sh",
        ["-c", f"{argv} {redirected}"],
        timeout=30,
        encoding="utf-8",
        env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **env},
    )


def end(child: pexpect.spawn[str]) -> tuple[int | None, str]:
    """The exit status, and what was said to the end."""
    said: str = child.read()
    child.close()
    return child.exitstatus, said


def test_without_a_terminal_it_is_shown_and_refused_with_the_flag_that_trusts_it(
    cloned: Path, womm: list[str]
) -> None:
    done = run(womm)
    assert (done.returncode, done.stdout) == (125, "")
    error, way_out = done.stderr.splitlines()
    assert error.startswith(f"womm: {cloned}/.womm was not made by your `womm setup` on this machine: ")
    for part in (
        "evil/image:1",
        "their-team",
        "their-context",
        "their-kubeconfig",
        "https://evil:6443",
        str(cloned),
    ):
        assert part in error
    assert way_out.startswith("womm: → `womm parallel --trust …` takes it")


def test_a_kubeconfig_of_theirs_that_has_no_end_is_shown_nevertheless(
    cloned: Path, hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a kubectl does that reads from a pipe to which nobody writes.
    hermetic.stub("kubectl", "#!/bin/sh\nexec sleep 99\n")
    monkeypatch.setattr(kubectl, "_ANSWER", 0.3)
    monkeypatch.setattr(prompts, "can_ask", lambda: False)
    with pytest.raises(WommError, match="server unknown"):
        config.load(cloned)


def test_it_is_trusted_once_and_asked_about_again_when_it_changes(cloned: Path, womm: list[str]) -> None:
    assert GONE_ON in run(womm, "--trust").stderr
    assert GONE_ON in run(womm).stderr
    write(cloned, image="evil/image:2")
    assert "evil/image:2" in run(womm).stderr


def test_what_is_trusted_in_one_directory_is_not_in_another(cloned: Path) -> None:
    other = cloned / "other"
    other.mkdir()
    path = write(cloned)
    trust.remember(path, path.read_bytes())
    trust.demand(path, path.read_bytes(), list, given=False)
    with pytest.raises(WommError, match="was not made by your"):
        trust.demand(other / FILE_NAME, path.read_bytes(), list, given=False)


def test_what_was_set_up_on_another_machine_is_asked_about_here(
    cloned: Path, hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same directory, on a disk that both have, and $XDG_CONFIG_HOME with it; not what this machine knows.
    path = write(cloned)
    content = {name: value for name, value in json.loads(path.read_text()).items() if name != "format"}
    config.save(Project(**content))
    assert config.load(cloned).image == "evil/image:1"
    monkeypatch.setenv("XDG_STATE_HOME", str(hermetic.root / "other-machine"))
    with pytest.raises(WommError, match="was not made by your `womm setup` on this machine"):
        config.load(cloned)


@pytest.mark.parametrize("redirected", ["", "</dev/null >/dev/null", "<&- >&-"])
@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_on_a_terminal_it_is_asked_about_whatever_stdin_and_stdout_are(
    cloned: Path, womm: list[str], redirected: str, term: str
) -> None:
    child = on_terminal(womm, redirected, TERM=term)
    child.expect("evil/image:1")
    child.expect(QUESTION)
    child.send("y\r" if term == "dumb" else "y")
    status, said = end(child)
    assert status == 125
    assert GONE_ON in said
    assert GONE_ON in run(womm).stderr


@pytest.mark.parametrize("answer", ["n", "\r", "\x04"], ids=["no", "return", "end"])
def test_no_is_the_default_and_nothing_is_done(cloned: Path, womm: list[str], answer: str) -> None:
    child = on_terminal(womm)
    child.expect(QUESTION)
    child.send(answer)
    status, said = end(child)
    assert status == 125
    assert f"{cloned}/.womm is not trusted" in said
    assert "was not made by your" in run(womm).stderr


def test_ctrl_c_at_the_question_ends_womm_with_130(cloned: Path, womm: list[str]) -> None:
    child = on_terminal(womm)
    child.expect(QUESTION)
    child.sendintr()
    status, said = end(child)
    assert status == 130
    assert "Traceback" not in said
    assert GONE_ON not in said
    assert "was not made by your" in run(womm).stderr


def test_a_stderr_that_is_no_terminal_is_asked_nothing(cloned: Path, womm: list[str]) -> None:
    child = on_terminal(womm, "2>err")
    assert end(child)[0] == 125
    assert "--trust …` takes it" in (cloned / "err").read_text()


def test_what_a_terminal_would_obey_is_shown_in_letters(cloned: Path, womm: list[str]) -> None:
    write(cloned, image="good\x1b[2K\r\u202eimage")
    assert "good\\x1b[2K\\r\\u202eimage" in run(womm).stderr


@pytest.mark.parametrize("state", ["/proc/self/x", "/dev/null/x"])
def test_where_nothing_can_be_remembered_the_flag_works_and_says_so(
    cloned: Path, womm: list[str], monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", state)
    said = run(womm, "--trust").stderr
    assert f"womm: it is not remembered that you trust {cloned}/.womm" in said
    assert GONE_ON in said


def test_the_note_is_in_the_users_own_state(cloned: Path, hermetic: Hermetic) -> None:
    path = write(cloned)
    trust.remember(path, path.read_bytes())
    [note] = (hermetic.home / ".local/state/womm/trusted").iterdir()
    assert note.parent.stat().st_mode & 0o077 == 0
