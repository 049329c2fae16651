"""The ways to the pods: who may take them, what they let through, other ways, what --debug tells of them."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import pytest
from kit import MARK, Place, Running, good, kubectl, objects, pods

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("clean")]

NOBODY = 65534
SLEEP = ("-u", "--", "echo here; sleep 600; : {}", ":::", "1")
ADDRESS = "10.88.0.1"


@contextmanager
def running_job(place: Place, *options: str) -> Iterator[Running]:
    """A run with one job that runs."""
    with place.started(*options, "parallel", "--kube-pods", "1", *SLEEP) as running:
        running.until(lambda: b"here" in running.out)
        yield running


def run_directory(place: Place, running: Running) -> Path:
    """The run's private directory."""
    return place.user.root / "run" / "womm" / running.task().removeprefix("womm-task-")


def sockets(directory: Path) -> list[Path]:
    """The sockets in a directory."""
    return [path for path in directory.iterdir() if stat.S_ISSOCK(path.lstat().st_mode)]


# --- Who may.


# Not Python: the interpreter of the tests may be in a directory that others can't enter.
CONNECT = 'socket(my $s, 1, 1, 0); print $! unless connect $s, pack "S a*", 1, $ARGV[0]'


def connected(path: Path, user: int) -> str:
    """Connect to a socket as a user; "", or what is wrong."""
    argv = ["perl", "-e", CONNECT, str(path)]
    done = subprocess.run(
        argv, user=user, group=user, extra_groups=[], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_sockets_are_the_users_alone(none: Place) -> None:
    with running_job(none) as running:
        directory = run_directory(none, running)
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        found = sockets(directory)
        assert sorted(path.name.partition("-")[0] for path in found) == ["hub", "kube"]
        # All that is above it may be passed; it is the run's directory that keeps others out.
        opened = [none.user.root, none.user.root / "run", none.user.root / "run" / "womm"]
        modes = [path.stat().st_mode for path in opened]
        for path in opened:
            path.chmod(0o755)
        try:
            for path in found:
                assert len(bytes(path)) < 108
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
                assert connected(path, os.getuid()) == ""
                assert connected(path, NOBODY) == "Permission denied"
            # The second lock, where the first is open.
            directory.chmod(0o755)
            assert [connected(path, NOBODY) for path in found] == ["Permission denied"] * len(found)
        finally:
            for path, mode in zip(opened, modes, strict=True):
                path.chmod(stat.S_IMODE(mode))
        running.interrupt(signal.SIGINT)


class Unix(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        """Connect to it."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


def asked(path: Path, method: str, url: str) -> int:
    """The status that the proxy answers with, at the end of all redirections."""
    for _ in range(5):
        connection = Unix(path)
        try:
            connection.request(method, url, body=b"{}" if method != "GET" else None)
            answer = connection.getresponse()
            # kubectl 1.20 says the first one of a path that is not clean.
            if answer.status not in (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.TEMPORARY_REDIRECT):
                return answer.status
            url = answer.headers["Location"]
        finally:
            connection.close()
    return answer.status


def test_the_proxy_lets_nothing_through_but_exec_into_the_runs_pods(none: Place) -> None:
    space = f"/api/v1/namespaces/{none.namespace}"
    found = objects(none.namespace, "pods")
    [server] = [pod for pod in found if pod["metadata"]["name"].startswith("womm-server")]
    with running_job(none) as running:
        [pod] = pods(none, running)
        [proxy] = [path for path in sockets(run_directory(none, running)) if path.name.startswith("kube")]
        ours = f"{space}/pods/{pod}"
        # What passes is answered by the API server: there is no upgrade in this request.
        assert asked(proxy, "GET", f"{ours}/exec?command=id&stdout=true") == 400
        refused = [
            "/",
            "/version",
            "/api/v1/namespaces",
            f"{space}/pods",
            f"{space}/secrets",
            ours,
            f"{ours}/log",
            f"{ours}/attach?stdout=true",
            f"{ours}/portforward?ports=1",
            f"{ours}/execute",
            f"{ours}/exec/",
            f"{space}/pods/{server['metadata']['name']}/exec?command=id&stdout=true",
            f"/api/v1/namespaces/default/pods/{pod}/exec?command=id&stdout=true",
            f"{ours}/exec/../../../secrets",
            f"{ours}%2f..%2f..%2fsecrets/exec",
            f"{ours}/../../secrets?x=/exec",
            f"/apis/../{ours}/../x/exec",
        ]
        assert {url: asked(proxy, "GET", url) for url in refused} == dict.fromkeys(refused, 403)
        assert asked(proxy, "DELETE", ours) == 403
        assert asked(proxy, "POST", f"{space}/pods") == 403
        running.interrupt(signal.SIGINT)


def shown(pid: str) -> tuple[str, str]:
    """What `ps` shows of a process: its arguments, and its environment."""
    try:
        return tuple(  # type: ignore[return-value]
            Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b"\n").decode(errors="replace")
            for name in ("cmdline", "environ")
        )
    except OSError:
        return "", ""


@pytest.mark.sandbox("the processes in pods are looked at from this machine")
def test_nothing_secret_is_in_an_argument_or_in_the_environment(eager: Place) -> None:
    with running_job(eager) as running:
        task = running.task()
        run = task.removeprefix("womm-task-")
        [secret] = [s for s in objects(eager.namespace, "secrets") if s["metadata"]["name"] == task]
        values = [base64.b64decode(value).decode() for value in secret["data"].values()]
        values = [word for value in values for word in re.split(r"[\s:]", value) if len(word) >= 16]
        assert values
        seen = 0
        for pid in (path.name for path in Path("/proc").iterdir() if path.name.isdecimal()):
            if pid == str(os.getpid()):
                continue
            arguments, environment = shown(pid)
            assert not any(value in arguments or value in environment for value in values), arguments
            if eager.user.mark in environment or run in arguments + environment:
                seen += 1
                text = (arguments + environment).replace(eager.user.mark, "")
                # A session's key is of 32 hexadecimal digits.
                assert not re.search(r"(?<![0-9a-z])[0-9a-f]{32}(?![0-9a-z])", text), text
        # womm, its keeper, kubectl's proxy and watch, GNU parallel, a login; the agent and its job.
        assert seen >= 8
        running.interrupt(signal.SIGINT)


# --- The other ways.


@pytest.mark.parametrize("transport", ["exec", "websocket", "auto"])
def test_each_transport_does_the_main_job(eager: Place, transport: str) -> None:
    found = good(["find", "-type", "f"], cwd=eager.path).encode()
    done = eager.parallel("--transport", transport, "--", "wc", "-l", "{}", pods=2, stdin=found)
    local = good(["sh", "-c", "find -type f -exec wc -l {} ';'"], cwd=eager.path)
    assert (done.status, done.lines) == (0, sorted(local.splitlines()))


class ConnectProxy:
    """An HTTP proxy that knows CONNECT, and the way to the API server."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        with client, client.makefile("rb", buffering=0) as lines:
            self.asked.append(lines.readline().decode())
            while lines.readline().strip():
                pass
            with socket.create_connection((ADDRESS, 6443)) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
                back.start()
                self._copy(client, server)
                back.join()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def behind_a_proxy(tmp_path: Path) -> Iterator[tuple[ConnectProxy, str]]:
    """A proxy, and a kubeconfig with which the API server is only to be reached through it."""
    proxy = ConnectProxy()
    config = json.loads(kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    for cluster in config["clusters"]:
        # Nothing listens there; the certificate is for the real address.
        cluster["cluster"]["server"] = "https://127.0.0.2:6443"
        cluster["cluster"]["tls-server-name"] = ADDRESS
        cluster["cluster"]["proxy-url"] = f"http://127.0.0.1:{proxy.port}"
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    yield proxy, str(path)
    proxy.close()


@pytest.mark.sandbox("its API server's address is known")
def test_auto_falls_back_to_exec_where_upgrades_fail(
    none: Place, behind_a_proxy: tuple[ConnectProxy, str]
) -> None:
    proxy, kubeconfig = behind_a_proxy
    done = none.parallel("-k", "--", "echo", ":::", *"1234", pods=2, KUBECONFIG=kubeconfig, limit=40)
    assert (done.status, done.out) == (0, b"1\n2\n3\n4\n"), done.messages
    assert "CONNECT 127.0.0.2:6443 HTTP/1.1\r\n" in proxy.asked


@pytest.mark.sandbox("its API server's address is known")
def test_https_proxy_is_the_way_of_all_where_it_is_set(
    none: Place, behind_a_proxy: tuple[ConnectProxy, str]
) -> None:
    proxy, kubeconfig = behind_a_proxy
    # Of no address at all: only the proxy knows the way. (To 127.0.0.2 Go goes without it, whatever is set.)
    config = Path(kubeconfig)
    view = json.loads(config.read_text())
    for cluster in view["clusters"]:
        del cluster["cluster"]["proxy-url"]
        cluster["cluster"]["server"] = "https://kubernetes.invalid:6443"
    config.write_text(json.dumps(view))
    arguments = ("--transport", "auto", "--pipe", "-N", "2", "-k", "--", "cat; echo told >&2")
    ways = {
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}",
        "NO_PROXY": "",
        "no_proxy": "",
        "https_proxy": "",
    }
    done = none.parallel(*arguments, pods=2, stdin=b"1\n2\n3\n4\n", KUBECONFIG=kubeconfig, limit=60, **ways)
    assert (done.status, done.out) == (0, b"1\n2\n3\n4\n"), done.messages
    assert done.messages.count("told\n") == 2
    # The dry run, the watch, the deployment, its deletion; a `kubectl exec` for each pod that had a job.
    assert len(proxy.asked) >= 5
    assert set(proxy.asked) == {"CONNECT kubernetes.invalid:6443 HTTP/1.1\r\n"}
    # Without it there is no way.
    lost = none.parallel(
        "--", "echo", ":::", "1", KUBECONFIG=kubeconfig, limit=60, HTTPS_PROXY="", https_proxy=""
    )
    assert (lost.status, lost.out) == (125, b""), lost.messages


@pytest.mark.sandbox("its API server's address is known")
def test_websocket_alone_says_why_it_can_not_where_upgrades_fail(
    none: Place, behind_a_proxy: tuple[ConnectProxy, str]
) -> None:
    arguments = ("--transport", "websocket", "--", "echo", ":::", "1")
    done = none.parallel(*arguments, KUBECONFIG=behind_a_proxy[1], limit=90)
    assert (done.status, done.out) == (125, b"")
    errors = [line for line in done.messages.splitlines() if line.startswith("womm: ")]
    assert len(errors) == 2, errors
    assert errors[0].startswith("womm: the pods run, but can't be reached: ")
    assert "connection refused" in errors[0]
    assert errors[1].startswith("womm: → try it yourself: kubectl ")


# --- What --debug tells.


def test_debug_prints_commands_that_can_be_typed_while_stdout_is_the_jobs(
    none: Place, tmp_path: Path
) -> None:
    job = "echo said {}; mkdir /tmp/first && while [ ! -e /tmp/go ]; do sleep 0.1; done; exit 0"
    arguments = ("--debug", "parallel", "--kube-pods", "1", "-j", "2", "-u", "--", job, ":::", "1")
    with none.started(*arguments) as running:
        running.until(lambda: b"said 1\n" in running.out)
        lines = [line[2:] for line in running.err.splitlines() if line.startswith("+ ")]
        commands = {word: line for line in lines for word in shlex.split(line)}
        assert all(shlex.split(line) for line in lines)
        assert running.out == b"said 1\n"

        def typed(line: str) -> subprocess.CompletedProcess[str]:
            shell = ["bash", "-c", line]
            env = none.user.environment
            return subprocess.run(
                shell, env=env, cwd=none.path, capture_output=True, text=True, check=False, timeout=60
            )

        watch = commands["--watch"]
        done = typed(watch.replace(" --watch", "").replace(" --output-watch-events", ""))
        assert (done.returncode, len(json.loads(done.stdout)["items"])) == (0, 1)
        done = typed(commands["create"])
        assert done.returncode != 0
        assert "AlreadyExists" in done.stderr or "already exists" in done.stderr
        proxied = commands["proxy"]
        found = re.search(r"--unix-socket=(\S+)", proxied)
        assert found
        own = tmp_path / "socket"
        with subprocess.Popen(
            ["bash", "-c", f"exec {proxied.replace(found[1], str(own))}"],
            env={**none.user.environment, MARK: none.user.mark},
            stdout=subprocess.PIPE,
        ) as proxy:
            assert proxy.stdout is not None
            assert b"Starting to serve" in proxy.stdout.readline()
            proxy.kill()
        # The run's own GNU parallel, once more: the hub takes its jobs, too.
        again = next(line for line in lines if "vendor/parallel" in line)
        assert "WOMM_RUN=" in again
        with subprocess.Popen(
            ["bash", "-c", again],
            env=none.user.environment,
            cwd=none.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        ) as second:
            assert second.stdout is not None
            assert second.stdout.read() == b"said 1\n"
        assert second.returncode == 0
        [pod] = pods(none, running)
        kubectl("--namespace", none.namespace, "exec", pod, "--", "touch", "/tmp/go")
        done = running.wait()
    assert (done.status, done.out) == (0, b"said 1\n")
    deletions = [
        line[2:] for line in done.messages.splitlines() if line.startswith("+ ") and " delete " in line
    ]
    assert deletions
    assert [typed(line).returncode for line in deletions] == [0] * len(deletions)
