"""Bad input, made to happen for real: one clear error with the way out, and nothing left behind."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from kit import IMAGES, Done, Place, call, good, kubectl
from machine import STATE

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("clean")]

JOBS = ("--", "echo", ":::", "x")


def refusal(done: Done) -> tuple[str, str]:
    """The error and the way out with which a womm ended: nothing else is said."""
    assert (done.status, done.out) == (125, b""), done.messages
    lines = done.messages.splitlines()
    assert len(lines) == 2, done.messages
    assert lines[0].startswith("womm: ")
    assert lines[1].startswith("womm: → ")
    return lines[0], lines[1]


@contextmanager
def deaf_server() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def stranger(none: Place, tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """Return a function that makes a kubeconfig for the tests' cluster, but for what is given.

    It returns womm's options that take it.
    """
    mine = yaml.safe_load(kubectl("config", "view", "--minify", "--flatten", "--raw", "-o", "yaml"))

    def make(user: dict[str, object] | None = None, **cluster: object) -> tuple[str, ...]:
        mine["users"][0]["user"] = user if user is not None else mine["users"][0]["user"]
        mine["clusters"][0]["cluster"] |= cluster
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(mine))
        return "--kubeconfig", str(path), "--context", mine["current-context"], "--namespace", none.namespace

    return make


Stranger = Callable[..., tuple[str, ...]]


def parallel(place: Place, options: tuple[str, ...]) -> Done:
    return place.womm("parallel", "--kube-pods", "1", *options, *JOBS)


@pytest.mark.parametrize("verb", ["parallel", "setup"])
def test_a_cluster_that_never_answers_ends_womm_within_ten_seconds(
    none: Place, stranger: Stranger, verb: str
) -> None:
    setup = ("setup", "--yes", "--share", "none", *IMAGES)
    with deaf_server() as address:
        options = stranger(server=address)
        begin = time.monotonic()
        done = parallel(none, options) if verb == "parallel" else none.womm(*setup, *options)
        took = time.monotonic() - begin
    error, way_out = refusal(done)
    assert error.startswith(f"womm: the cluster does not answer: {address} (context ")
    assert "--context NAME" in way_out
    # The bound is 10 s; the tests' machine may be busy.
    assert took < 15


@pytest.mark.parametrize("share", ["none", "eager"])
def test_a_cluster_that_refuses_connections_is_told(
    request: pytest.FixtureRequest, stranger: Stranger, share: str
) -> None:
    place: Place = request.getfixturevalue(share)
    # Port 1 of this machine: nobody listens.
    error, _ = refusal(parallel(place, stranger(server="https://127.0.0.1:1")))
    assert "does not answer: https://127.0.0.1:1 (context " in error
    assert "refused" in error


@pytest.mark.parametrize(
    ("user", "error"),
    [
        ({"token": "of last year"}, "the cluster refuses your login: "),
        ({}, "the cluster refuses your login: "),
        ({"exec": {"command": "womm-no-such-login"}}, "the program womm-no-such-login, which is not install"),
        ({"exec": {"command": "false"}}, "false failed with exit code 1"),
    ],
    ids=["token", "nothing", "plugin-missing", "plugin-fails"],
)
def test_a_login_that_the_cluster_refuses_is_told(
    none: Place, stranger: Stranger, user: dict[str, dict[str, str]], error: str
) -> None:
    if "exec" in user:
        user["exec"] |= {"apiVersion": "client.authentication.k8s.io/v1beta1", "interactiveMode": "Never"}
    first, way_out = refusal(parallel(none, stranger(user)))
    assert error in first
    assert "get pods` works" in way_out


def certificate(directory: Path, days: int) -> dict[str, object]:
    """A login that the sandbox's authority has signed for so many days from now."""
    pki = STATE / "pki"
    key, request, signed = (str(directory / name) for name in ("key", "request", "certificate"))
    ask = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    good([*ask, "-subj", "/O=system:masters/CN=ann", "-keyout", key, "-out", request])
    sign = ["openssl", "x509", "-req", "-CA", pki / "ca.crt", "-CAkey", pki / "ca.key", "-days", str(days)]
    good([*sign, "-in", request, "-out", signed])
    parts = {"client-certificate-data": signed, "client-key-data": key}
    return {name: base64.b64encode(Path(file).read_bytes()).decode() for name, file in parts.items()}


@pytest.mark.sandbox("its certificate authority signs a login")
@pytest.mark.parametrize("share", ["none", "eager"])
def test_a_login_that_has_expired_is_told(
    request: pytest.FixtureRequest, stranger: Stranger, tmp_path: Path, share: str
) -> None:
    place: Place = request.getfixturevalue(share)
    # Nothing but the date is wrong with it.
    options = stranger(certificate(tmp_path, days=1))
    assert call(["kubectl", *options, "get", "pods"]).status == 0
    first, way_out = refusal(parallel(place, stranger(certificate(tmp_path, days=-1))))
    assert first.startswith("womm: the cluster refuses your login: https://")
    assert first.endswith(": it has expired, or is not known there")
    assert "get pods` works" in way_out


def test_a_server_with_a_certificate_of_others_is_told(none: Place, stranger: Stranger) -> None:
    kubeconfig = {"certificate-authority-data": None}
    error, way_out = refusal(parallel(none, stranger(**kubeconfig)))
    assert "the cluster can't prove who it is: " in error
    assert "x509" in error
    assert "get its kubeconfig anew" in way_out


def test_a_namespace_or_a_context_that_there_is_not_is_told(none: Place) -> None:
    error, way_out = refusal(none.parallel("--namespace", "no-such", *JOBS))
    assert error.startswith("womm: there is no namespace no-such in https://")
    assert "create namespace no-such" in way_out
    error, way_out = refusal(none.parallel("--context", "no-such", "--namespace", "x", *JOBS))
    assert error == "womm: kubectl knows no context no-such"
    assert "kubectl config get-contexts" in way_out


def test_a_user_without_rights_is_told_which_one_is_missing(none: Place, stranger: Stranger) -> None:
    nobody = stranger()
    path = Path(nobody[1])
    content = yaml.safe_load(path.read_text())
    content["users"][0]["user"]["as"] = f"system:serviceaccount:{none.namespace}:nobody"
    path.write_text(yaml.safe_dump(content))
    error, way_out = refusal(parallel(none, nobody))
    assert error.startswith("womm: you may not ")
    assert f" in namespace {none.namespace}: " in error
    assert "cluster-setup --user-role" in way_out


def test_a_home_that_is_missing_or_cannot_be_written_stops_no_run(none: Place) -> None:
    # What setup remembered is still read; GNU parallel and kubectl do without what they would keep.
    done = none.womm("--quiet", "parallel", "--kube-pods", "1", *JOBS, HOME="/sys")
    assert (done.status, done.out) == (0, b"x\n"), done.messages
    assert "Traceback" not in done.messages


def test_without_a_home_for_what_womm_itself_remembers_a_run_needs_to_be_told_whom_to_trust(
    none: Place,
) -> None:
    own = ("XDG_CONFIG_HOME", "XDG_STATE_HOME")
    kept = {name: value for name, value in none.user.environment.items() if name not in own}
    argv = ["womm", "--namespace", none.namespace, "parallel", "--kube-pods", "1"]
    env = {**kept, "HOME": "/proc/self/no-home"}
    first, way_out = refusal(call([*argv, *JOBS], cwd=none.path, env=env))
    assert "was not made by your `womm setup` on this machine" in first
    assert "womm parallel --trust" in way_out
    done = call([*argv, "--trust", *JOBS], cwd=none.path, env=env)
    assert (done.status, done.out) == (0, b"x\n"), done.messages
    assert "womm: it is not remembered that you trust " in done.messages
    assert "Traceback" not in done.messages


@pytest.mark.parametrize(
    ("redirected", "status"),
    [("<&-", "0"), (">&-", "0"), ("| head -n 1", "141")],
    ids=["stdin", "stdout", "head"],
)
def test_a_stream_that_is_closed_ends_the_run_quietly(none: Place, redirected: str, status: str) -> None:
    jobs = "'echo {}' ::: 1 2 3" if redirected != "| head -n 1" else "'yes {}' ::: 1"
    womm = f'womm --quiet --namespace "$1" parallel --kube-pods 1 --line-buffer -- {jobs}'
    done = none.shell(f"{womm} {redirected}; echo ${{PIPESTATUS[0]}}", none.namespace)
    assert done.out.decode().split()[-1] == status, done.messages
    assert "Traceback" not in done.messages
    assert "womm: " not in done.messages
