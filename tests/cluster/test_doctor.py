"""womm doctor: what is well, what is missing with its fix, and an end in any case."""

from __future__ import annotations

import http.server
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kit import LIMIT, PREFIX, Done, Place, eventually, kubectl, may, new_namespace
from test_bad_input import deaf_server

pytestmark = pytest.mark.timeout(120)


def findings(done: Done) -> dict[str, dict[str, str]]:
    """What `womm doctor -o json` printed, by name."""
    return {found["name"]: found for found in json.loads(done.out)}


def kubeconfig(directory: Path, user: dict[str, str], **cluster: str) -> str:
    """Write the tests' own kubeconfig, with these changes; return its path."""
    content = yaml.safe_load(kubectl("config", "view", "--minify", "--flatten", "--raw", "-o", "yaml"))
    content["users"][0]["user"] |= user
    content["clusters"][0]["cluster"] |= cluster
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.registry("it is among what is well")
def test_where_all_is_well_every_line_says_so(eager: Place) -> None:
    done = eager.womm("doctor")
    assert (done.status, done.messages) == (0, "")
    lines = done.out.decode().splitlines()
    assert all(line.startswith("ok ") for line in lines), done.out.decode()
    words = {line.split()[1]: line for line in lines}
    assert f"namespace {eager.namespace}" in words["cluster"]
    assert words["shares"].endswith("eager, syncback, none")
    assert f"{eager.path} is set up: share eager" in words["directory"]
    assert re.search(f"{PREFIX}eager$", words["registry"])


def test_what_a_user_may_not_is_named_with_the_way_out(eager: Place, tmp_path: Path) -> None:
    viewer = f"viewer-of-{eager.namespace}"
    kubectl(
        "-n", eager.namespace, "create", "rolebinding", "viewer", "--clusterrole=view", f"--user={viewer}"
    )
    eventually(lambda: may(viewer, eager.namespace, "get", "pods"))
    done = eager.womm("doctor", "--kubeconfig", kubeconfig(tmp_path, {"as": viewer}), "-o", "json")
    found = findings(done)
    assert done.status == 1
    assert found["rights"]["state"] == "missing"
    assert "create deployments" in found["rights"]["text"]
    assert "create pods/exec" in found["rights"]["text"]
    assert "get pods," not in found["rights"]["text"]
    assert "womm cluster-setup --user-role" in found["rights"]["fix"]
    assert found["server"]["state"] == "ok"


def test_without_a_file_server_the_command_that_makes_one_is_told(none: Place) -> None:
    with new_namespace("no-server") as namespace:
        done = none.womm("doctor", "--namespace", namespace, "-o", "json")
    found = findings(done)
    assert (done.status, found["server"]["state"]) == (0, "note")
    assert f"--namespace {namespace} cluster-setup --build" in found["server"]["fix"]
    assert found["shares"]["text"] == "none only: the file server is not there"


#: Seconds: the bound is 15, and the tests' machine may be busy.
IN_TIME = 15 + 5


@pytest.mark.registry("it is among what is looked at")
def test_it_ends_when_neither_the_cluster_nor_docker_answers(none: Place, tmp_path: Path) -> None:
    with deaf_server() as address, socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(tmp_path / "docker"))
        daemon.listen()
        options = ("--engine", "docker", "--kubeconfig", kubeconfig(tmp_path, {}, server=address))
        begin = time.monotonic()
        done = none.womm("doctor", *options, DOCKER_HOST=f"unix://{tmp_path}/docker")
        took = time.monotonic() - begin
        # Nor does a setup go on from there.
        setup = none.womm("setup", "--yes", "--engine", "docker", DOCKER_HOST=f"unix://{tmp_path}/docker")
    lines = done.out.decode()
    assert done.status == 1
    assert "missing  cluster " in lines
    assert re.search("missing  engine +docker doesn't answer", lines)
    assert re.search("unknown  registry +.* without an engine no push can be tried", lines)
    assert "ok       perl " in lines
    assert took < IN_TIME
    assert (setup.status, "womm: docker doesn't answer" in setup.messages) == (125, True), setup.messages


class Listening(http.server.BaseHTTPRequestHandler):
    """A registry that says that it is one, and then nothing any more."""

    over: threading.Event

    def do_GET(self) -> None:
        """Answer the first question of all."""
        if self.path != "/v2/":
            self.over.wait(LIMIT)
        self.send_response(200)
        self.end_headers()

    def __getattr__(self, name: str) -> Callable[[], None]:
        """All others likewise."""
        if name.startswith("do_"):
            return self.do_GET
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_it_ends_when_a_registry_takes_no_push(none: Place, tmp_path: Path) -> None:
    Listening.over = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listening) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        prefix = f"127.0.0.1:{server.server_port}/"
        (tmp_path / "womm").mkdir()
        (tmp_path / "womm" / "settings.json").write_text(json.dumps({"prefix": prefix}))
        begin = time.monotonic()
        # A directory that is not set up, where a setup would push to what is remembered.
        done = none.womm("doctor", "-o", "json", cwd=tmp_path, XDG_CONFIG_HOME=str(tmp_path))
        took = time.monotonic() - begin
        Listening.over.set()
        server.shutdown()
    found = findings(done)["registry"]
    assert found["state"] == "missing"
    assert re.match(rf"{prefix}[\w-]+:womm-probe can't be pushed", found["text"]), found
    assert took < IN_TIME
