"""What kubectl said, as kubectl said it (1.20 and 1.36), and what womm makes of it."""

from __future__ import annotations

import pytest

from womm.complaints import (
    Forbidden,
    Place,
    essence,
    explain,
    is_no_namespace,
    no_answer,
    refused_lists,
)

AT = "https://10.0.0.1:6443 (context dev)"
FLAGS = "--context dev --namespace team"
PLACE = Place("team", "dev", "https://10.0.0.1:6443", FLAGS)

LOGGED = """\
E1122 19:44:47.349745    4271 memcache.go:265] "Unhandled Error" err="couldn't get current server API group \
list: Get \\"https://10.0.0.1:6443/api?timeout=32s\\": dial tcp 10.0.0.1:6443: connect: connection refused"
The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?
"""
VALIDATION = """\
error: error validating "task.yaml": error validating data: failed to download openapi: %s; \
if you choose to ignore these errors, turn validation off with --validate=false
"""
PLUGIN = """\
Unable to connect to the server: getting credentials: exec: executable cloud-auth not found

It looks like you are trying to use a client-go credential plugin that is not installed.
"""
FORBIDDEN = (
    'Error from server (Forbidden): deployments.apps is forbidden: User "ann" cannot create resource '
    '"deployments" in API group "apps" in the namespace "team"\n'
)
ANONYMOUS = 'Error from server (Forbidden): pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope'  # noqa: E501 - as it is


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            LOGGED,
            f"the cluster does not answer: {AT}: connection to the server 10.0.0.1:6443 was refused",
            "--context NAME",
        ),
        # As far as it goes when only the log tells.
        (LOGGED.splitlines()[0], f"{AT}: connect: connection refused", "--context NAME"),
        (
            "Error from server (ServiceUnavailable): the server is currently unable to handle the request",
            "the cluster does not answer",
            "VPN",
        ),
        ("Error from server (Unauthorized): Unauthorized", "refuses your login", "log in again"),
        (
            "Unable to connect to the server: tls: failed to verify certificate: x509: certificate has"
            " expired or is not yet valid: current time 2026-01-01T00:00:00Z is after 2025-01-01T00:00:00Z",
            "the cluster can't prove who it is",
            "renew its certificate",
        ),
        (
            "Unable to connect to the server: dial tcp: lookup x.invalid on 10.0.0.53:53: no such host",
            f"the cluster does not answer: {AT}: no such host",
            f"`kubectl {FLAGS} get pods`",
        ),
        ("Unable to connect to the server: dial tcp 10.0.0.1:6443: i/o timeout", f"{AT}: i/o timeout", "VPN"),
        (
            "Unable to connect to the server: net/http: TLS handshake timeout",
            "TLS handshake timeout",
            "--context",
        ),
        (
            VALIDATION % 'Get "https://10.0.0.1:6443/openapi": dial tcp: connect: no route to host',
            f"the cluster does not answer: {AT}: connect: no route to host",
            "VPN",
        ),
        (
            "error: You must be logged in to the server (Unauthorized)",
            f"the cluster refuses your login: {AT}",
            "log in again",
        ),
        (
            VALIDATION % "the server has asked for the client to provide credentials",
            "refuses your login",
            "log in",
        ),
        ("error: EOF\n", "refuses your login", "log in again"),
        (ANONYMOUS, "refuses your login", "log in again"),
        (
            PLUGIN,
            f"the login to {AT} is made by the program cloud-auth, which is not installed",
            "install it",
        ),
        (
            "error: getting credentials: exec: executable sso failed with exit code 1",
            f"the login to {AT} failed: exec: executable sso failed with exit code 1",
            "log in again",
        ),
        (
            "Unable to connect to the server: x509: certificate signed by unknown authority",
            f"the cluster can't prove who it is: {AT}: x509: certificate signed by unknown authority",
            "kubeconfig",
        ),
        (
            FORBIDDEN,
            f"you may not create deployments.apps in namespace team: {AT} knows you as ann",
            f"womm {FLAGS} cluster-setup --user-role",
        ),
        (
            'Error from server (NotFound): error when creating "x": namespaces "team" not found',
            f"there is no namespace team in {AT}",
            "create namespace team",
        ),
        (
            "Error in configuration: context was not found for specified context: dev",
            "kubectl knows no context dev",
            "get-contexts",
        ),
        ('error: context "dev" does not exist', "kubectl knows no context dev", "get-contexts"),
        (
            'error: error loading config file "/k": yaml: line 1: no',
            "kubectl can't read its configuration",
            "KUBECONFIG",
        ),
        (
            "error: stat /k: no such file or directory",
            "kubectl can't read its configuration: stat /k",
            "mend",
        ),
        (
            "Error from server (NotFound): the server could not find the requested resource",
            f"what answers at {AT} is no Kubernetes",
            "--context NAME",
        ),
        (
            'Error from server (Forbidden): pods "x" is forbidden: exceeded quota: q',
            'kubectl failed: pods "x" is forbidden: exceeded quota: q',
            f"`kubectl {FLAGS} get pods`",
        ),
        ("", "kubectl failed: it said nothing", "try it yourself"),
    ],
)
def test_what_kubectl_complains_of_is_told_with_the_place_and_the_way_out(
    said: str, message: str, hint: str
) -> None:
    error = explain(said, PLACE)
    assert message in error.message
    assert hint in error.hint
    assert "\n" not in error.message
    assert "if you choose" not in error.message


@pytest.mark.parametrize(
    "quoted",
    [
        'Internal error occurred: failed calling webhook "v": connect: connection refused',
        'Internal error occurred: failed calling webhook "v": x509: certificate signed by unknown authority',
        'Internal error occurred: failed calling webhook "v": context deadline exceeded',
        'admission webhook "v" denied the request: Unauthorized registry',
    ],
)
def test_a_cluster_that_answers_is_quoted_whatever_it_quotes(quoted: str) -> None:
    for server in ("Error from server (InternalError)", "Error from server (Forbidden)", "Error from server"):
        error = explain(f'{server}: error when creating "task.yaml": {quoted}', PLACE)
        assert error.message == f'kubectl failed: error when creating "task.yaml": {quoted}'


def test_the_log_of_an_api_that_is_broken_is_no_reason() -> None:
    log = (
        "E1122 19:44:47.349745    4271 memcache.go:287] couldn't get resource list for metrics.k8s.io/v1:"
        " the server is currently unable to handle the request\n"
    )
    there = 'Error from server (AlreadyExists): deployments.apps "x" already exists'
    assert explain(log + there, PLACE).message == 'kubectl failed: deployments.apps "x" already exists'
    odd = explain(f"{log}error: something of tomorrow's", PLACE)
    assert odd.message == "kubectl failed: something of tomorrow's"


def test_a_missing_right_is_an_error_of_its_own_unless_nobody_is_logged_in() -> None:
    assert isinstance(explain(FORBIDDEN, PLACE), Forbidden)
    assert not isinstance(explain(ANONYMOUS, PLACE), Forbidden)


def test_silence_is_told_with_the_seconds_that_it_lasted() -> None:
    assert no_answer(PLACE, 8).message.endswith(f"{AT}: nothing came within 8 s")


def test_a_place_without_an_address_is_named_by_its_context() -> None:
    assert (
        "team in context dev" in explain('namespaces "team" not found', Place("team", "dev", "", "")).message
    )


def test_several_lines_become_one_and_each_sentence_is_said_once() -> None:
    assert essence("error: a\n\nerror: a\nError from server (Conflict): b\n") == "a; b"
    assert essence(LOGGED.splitlines()[0]).endswith('connection refused"')


def test_of_what_is_refused_the_lists_are_told_apart() -> None:
    # As kubectl complains where one `get` asks for several kinds.
    lists = (
        'Error from server (Forbidden): jobs.batch is forbidden: User "ann" cannot list resource "jobs" '
        'in API group "batch" in the namespace "team"\n'
        'Error from server (Forbidden): pods is forbidden: User "ann" cannot list resource "pods" '
        'in API group "" in the namespace "team"\n'
    )
    assert refused_lists(lists + FORBIDDEN) == {"jobs.batch", "pods"}
    assert refused_lists("Error from server (NotFound): not found") == set()


def test_a_creation_tells_that_there_is_no_namespace() -> None:
    assert is_no_namespace('Error from server (NotFound): namespaces "team" not found\n')
    assert not is_no_namespace('Error from server (NotFound): deployments.apps "team" not found\n')
