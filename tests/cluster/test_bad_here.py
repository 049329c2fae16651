"""What may be wrong here while the cluster would do: told with the way out, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from kit import IMAGES, Place, call
from test_bad_input import JOBS, refusal

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("clean")]

ONE = ("--kube-pods", "1")
SETUP = ("setup", "--yes", "--share", "none", *IMAGES)
PARALLEL = ("parallel", *ONE, *JOBS)


def path_without(directory: Path, *programs: str) -> str:
    """A PATH on which everything is that is on this one, but for these programs."""
    for place in os.environ["PATH"].split(os.pathsep):
        for file in Path(place).glob("*"):
            if file.name not in programs and not (directory / file.name).is_symlink():
                (directory / file.name).symlink_to(file)
    return str(directory)


@pytest.mark.parametrize(
    ("lacking", "arguments", "error"),
    [
        (["kubectl"], PARALLEL, "kubectl is not installed"),
        (["kubectl"], SETUP, "kubectl is not installed"),
        (["docker", "podman"], SETUP, "docker is not installed"),
    ],
    ids=["parallel-kubectl", "setup-kubectl", "setup-docker"],
)
def test_a_program_that_is_missing_is_told_with_where_to_get_it(
    none: Place, tmp_path: Path, lacking: Sequence[str], arguments: Sequence[str], error: str
) -> None:
    first, way_out = refusal(none.womm(*arguments, PATH=path_without(tmp_path, *lacking)))
    assert first == f"womm: {error}"
    assert "install" in way_out
    assert "https://" in way_out


def test_a_docker_that_does_not_answer_is_told(none: Place, tmp_path: Path) -> None:
    env = {"PATH": path_without(tmp_path, "podman"), "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    first, way_out = refusal(none.womm(*SETUP, **env))
    assert first == "womm: docker doesn't answer"
    assert "`docker version`" in way_out


def test_a_kubeconfig_without_a_cluster_is_told(none: Place, tmp_path: Path) -> None:
    place = replace(none, path=tmp_path)
    first, way_out = refusal(call(["womm", *SETUP], cwd=place.path, env=empty(none, tmp_path)))
    assert "no Kubernetes context to work in" in first
    assert "--context NAME" in way_out
    first, _ = refusal(call(["womm", *PARALLEL], cwd=none.path, env=empty(none, tmp_path)))
    assert first.startswith("womm: kubectl knows no context ")


def empty(place: Place, directory: Path) -> dict[str, str]:
    """The environment of a user who has no cluster."""
    return {**place.user.environment, "KUBECONFIG": str(directory / "no-config")}


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("parallel", *ONE, "echo"), "`--` is missing before 'echo'", "--kube-pods 3 -- "),
        (("parallel", *JOBS), "--kube-pods is missing", "--kube-pods 3 -- "),
        (("parallel", "--kube-pods", "0", *JOBS), "a whole number above 0, not '0'", "--kube-pods 3"),
        (("parallel", "--kube-pods", "-2", *JOBS), "a whole number above 0, not '-2'", "--kube-pods 3"),
        (("parallel", "--kube-pods", "few", *JOBS), "a whole number above 0, not 'few'", "--kube-pods 3"),
        (
            ("parallel", *ONE, "--kube-cpu", "lots", *JOBS),
            "--kube-cpu: 'lots' is no Kubernetes quantity",
            "500m",
        ),
        (
            ("parallel", *ONE, "--kube-mem", "1Zi", *JOBS),
            "--kube-mem: '1Zi' is no Kubernetes quantity",
            "512Mi",
        ),
        (("parallel", *ONE, "--kube-mem", "512", *JOBS), "--kube-mem 512 is too little for a pod", "512Mi"),
        (("paralel", *JOBS), "unknown command paralel", "did you mean `womm parallel`?"),
    ],
)
def test_a_command_line_that_cannot_be_is_told(
    none: Place, arguments: Sequence[str], error: str, hint: str
) -> None:
    first, way_out = refusal(none.womm(*arguments))
    assert error in first
    assert hint in way_out


def test_an_option_that_nobody_knows_is_refused_in_gnu_parallels_words(none: Place) -> None:
    done = none.womm("parallel", *ONE, "--no-such-option", *JOBS)
    assert (done.status, done.out) == (255, b"")
    assert done.messages.startswith("Unknown option: no-such-option\n")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ("", "can't be read (Expecting value"),
        ("[", "can't be read (Expecting value"),
        ({"format": 99}, "is of another version of womm (format 99)"),
        ({"share": 7}, "can't be read (share is 7)"),
        ({"directory": "/elsewhere"}, "this directory was /elsewhere when it was set up"),
    ],
    ids=["empty", "half", "version", "type", "moved"],
)
def test_a_configuration_that_cannot_be_used_is_told(
    none: Place, tmp_path: Path, changed: str | dict[str, object], error: str
) -> None:
    own = {**none.config(), "directory": str(tmp_path)}
    content = changed if isinstance(changed, str) else json.dumps({**own, **changed})
    (tmp_path / ".womm").write_text(content)
    first, way_out = refusal(replace(none, path=tmp_path).parallel(*JOBS))
    assert error in first
    assert "womm setup` in " in way_out
    assert way_out.endswith(" again")


def test_a_directory_that_came_from_elsewhere_is_shown_and_refused_until_it_is_trusted(
    none: Place, tmp_path: Path
) -> None:
    cloned = replace(none, path=tmp_path)
    (tmp_path / ".womm").write_text(json.dumps({**none.config(), "directory": str(tmp_path)}))
    first, way_out = refusal(cloned.parallel(*JOBS))
    assert f"{tmp_path}/.womm was not made by your `womm setup` on this machine: " in first
    assert none.config()["image"] in first
    assert "womm parallel --trust" in way_out
    for trust in (("--trust",), ()):
        done = cloned.parallel(*trust, *JOBS)
        assert (done.status, done.out) == (0, b"x\n"), done.messages


def test_output_for_which_the_disk_has_no_room_fails_its_job_and_says_so(none: Place, tmp_path: Path) -> None:
    # A file system of 64 KiB, of which others see nothing, for what GNU parallel keeps of its jobs.
    apart = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]
    small = shlex.quote(str(tmp_path))
    script = f'mount -t tmpfs -o size=64k small {small}; TMPDIR={small} exec "$@"'
    womm = ["womm", "--namespace", none.namespace, "parallel", *ONE, "--"]
    jobs = ["seq {}", ":::", "3", "1000000"]
    done = call([*apart, "sh", "-c", script, "sh", *womm, *jobs], cwd=none.path, env=none.user.environment)
    # One fits, the other does not.
    assert (done.status, done.out) == (255, b"1\n2\n3\n")
    assert "Is the disk full?" in done.messages
