"""The sandbox itself: up twice, up after a death, refusals, and a down that leaves no trace.

These tests take the sandbox down and up, so they run before those that use it, and leave it up.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from kit import eventually
from machine import RUN, STATE, is_alive, machine, output, processes, rules

SANDBOX = Path(__file__).resolve().parents[2] / "sandbox"
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.sandbox("it is taken down and up"),
    pytest.mark.alone("the sandbox is taken down and up"),
]


def script(name: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the sandbox and return what it printed, whatever its status."""
    return subprocess.run(
        [SANDBOX / name],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def up() -> str:
    """Bring the sandbox up, a second node left as it is, and return what `up` said."""
    done = script("up", NODES="1")
    assert done.returncode == 0, done.stderr
    return done.stderr


def down() -> None:
    """Take the sandbox down."""
    done = script("down")
    assert done.returncode == 0, done.stderr


def in_sandbox(command: str) -> str:
    """Run a shell command with the sandbox's environment and return its stdout."""
    exports = f'eval "$({SANDBOX}/env)" && {command}'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", exports], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pids() -> dict[str, int]:
    """Return the recorded pid of every part."""
    return {file.name: int(file.read_text().split()[0]) for file in (STATE / "pid").iterdir()}


@pytest.fixture(autouse=True)
def _up() -> Iterator[None]:
    """Have the sandbox up before and after each test, even after one that failed half-way."""
    up()
    yield
    up()


def test_a_second_up_changes_nothing() -> None:
    before = pids()
    assert "[1/" not in up()
    assert pids() == before
    assert all(is_alive(pid) for pid in before.values())


def test_status_tells_of_every_part_and_names_the_logs() -> None:
    done = script("status")
    assert done.returncode == 0
    for part, pid in pids().items():
        assert re.search(rf"^{part} +well +{pid} .*{STATE}/log/{part}.log$", done.stdout, re.MULTILINE)
        assert (STATE / "log" / f"{part}.log").is_file()
    assert f"Logs: {STATE}/log" in done.stdout
    assert "is Ready" in done.stdout


def test_env_prints_exports_that_a_shell_can_use() -> None:
    done = script("env")
    assert done.returncode == 0
    assert done.stderr == ""
    assert all(line.startswith("export ") for line in done.stdout.splitlines())
    assert in_sandbox("command -v kubectl").startswith("/")
    assert in_sandbox("kubectl get node womm-sandbox -o name") == "node/womm-sandbox\n"
    assert (
        in_sandbox("echo $WOMM_SANDBOX_REGISTRY$WOMM_KUBE_CPU$WOMM_KUBE_MEM") == "localhost:5000/100m64Mi\n"
    )
    assert in_sandbox("docker image inspect --format ok $WOMM_SANDBOX_BASE_IMAGE") == "ok\n"


def test_a_second_env_adds_nothing_to_the_path() -> None:
    once = in_sandbox("echo $PATH")
    assert in_sandbox(f'eval "$({SANDBOX}/env)" && echo $PATH') == once


@pytest.mark.node2
def test_down_takes_the_second_node_along_and_up_brings_it_back_only_if_asked() -> None:
    selector = "echo ${WOMM_KUBE_NODE_SELECTOR-none}"
    assert script("up", NODES="2").returncode == 0
    assert "node2" in pids()
    assert in_sandbox(selector) == "womm.dev/sandbox-node=nfs\n"
    down()
    assert processes() == {}
    assert not Path("/sys/class/net/wommtap2").exists()
    assert script("up", NODES="1").returncode == 0
    assert "node2" not in pids()
    assert in_sandbox(f'unset WOMM_KUBE_NODE_SELECTOR; eval "$({SANDBOX}/env)"; {selector}') == "none\n"
    done = script("up", NODES="2")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Node node2 .* is Ready", script("status").stdout, re.MULTILINE)


@pytest.mark.node2
def test_an_up_that_is_not_asked_for_the_second_node_takes_away_what_is_left_of_a_dead_one() -> None:
    assert script("up", NODES="2").returncode == 0
    node = pids()["node2"]
    os.kill(node, signal.SIGKILL)
    eventually(lambda: not is_alive(node))
    assert script("status").returncode == 1
    assert script("up", NODES="1").returncode == 0
    assert not {"node2", "node2-registry"} & set(pids())
    assert script("status").returncode == 0
    assert in_sandbox("kubectl get nodes -o name") == "node/womm-sandbox\n"
    assert not Path("/sys/class/net/wommtap2").exists()


def test_up_starts_again_what_died_and_leaves_the_rest() -> None:
    before = pids()
    died = ["scheduler", "registry"]
    for part in died:
        os.kill(before[part], signal.SIGKILL)
    eventually(lambda: not any(is_alive(before[part]) for part in died))
    assert script("status").returncode == 1
    said = up()
    after = pids()
    for part, pid in after.items():
        assert (pid != before[part]) == (part in died), part
    for part in died:
        assert f"{part} has died: starting it again" in said
        assert is_alive(after[part])
    assert script("status").returncode == 0


def test_up_puts_back_rules_that_were_flushed_and_leaves_the_parts() -> None:
    before = pids()
    saved = rules("iptables")
    added = output("iptables", "-t", "nat", "-S", "POSTROUTING")
    ours = [line for line in added.splitlines() if "--comment womm-sandbox" in line]
    assert ours
    for line in ours:
        output("iptables", "-t", "nat", *line.replace("-A", "-D", 1).split())
    assert rules("iptables") != saved
    up()
    assert rules("iptables") == saved
    assert pids() == before


def test_nothing_listens_beyond_loopback_and_the_bridges() -> None:
    ours = set(processes())
    for line in output("ss", "-H", "-ltnup").splitlines():
        users = {int(pid) for pid in re.findall(r"pid=(\d+)", line)}
        if users & ours:
            assert re.match(r"127\.|10\.8[78]\.0\.1:", line.split()[4]), line


def test_up_refuses_a_port_in_use_and_names_it_and_the_program(tmp_path: Path) -> None:
    # A network of its own: there the port is free for another program while the sandbox is up.
    listener = (
        'import socket, time; s = socket.create_server(("127.0.0.1", 5000));'
        'print("listening", flush=True); time.sleep(600)'
    )
    inside = f"""
        ip link set lo up
        {sys.executable} -c '{listener}' >{tmp_path}/said &
        trap "kill $!" EXIT
        until [[ -s {tmp_path}/said ]]; do sleep 0.1; done
        {SANDBOX}/up
    """
    done = subprocess.run(
        ["unshare", "--net", "bash", "-c", inside],
        env={
            **os.environ,
            "WOMM_SANDBOX_STATE": f"{tmp_path}/state",
            "WOMM_SANDBOX_RUN": f"{tmp_path}/run",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(r"registry needs port 5000 on 127\.0\.0\.1, and python\S* \(pid \d+\)", done.stderr)
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("what", "said"), [("MEMORY", "free memory"), ("DISK", "free disk")])
def test_up_refuses_too_little_room_before_it_makes_anything(tmp_path: Path, what: str, said: str) -> None:
    done = subprocess.run(
        ["unshare", "--net", SANDBOX / "up"],
        env={
            **os.environ,
            "WOMM_SANDBOX_STATE": f"{tmp_path}/state",
            "WOMM_SANDBOX_RUN": f"{tmp_path}/run",
            f"WOMM_SANDBOX_MIN_{what}_MIB": "99999999",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"needs 99999999 MiB of {said}" in done.stderr
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "run").exists()


def test_up_refuses_a_second_sandbox_beside_this_one(tmp_path: Path) -> None:
    done = script("up", WOMM_SANDBOX_STATE=str(tmp_path / "state"))
    assert done.returncode == 1
    assert f"a sandbox with its state in {STATE} is up" in done.stderr


@contextlib.contextmanager
def decoys(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Make things of the user's that look like the sandbox's; yield a check that all are there."""
    mount = tmp_path / "kubelet"
    mount.mkdir()
    log = Path("/var/log/pods-of-mine")
    with contextlib.ExitStack() as undo:

        def make(*argv: str, undone_by: list[str]) -> None:
            output(*argv)
            undo.callback(subprocess.run, undone_by, check=False)

        etcd = subprocess.Popen(["etcd", "600"], executable="/bin/sleep", cwd="/")
        undo.callback(etcd.wait)
        undo.callback(etcd.kill)
        make("mount", "-t", "tmpfs", "decoy", str(mount), undone_by=["umount", str(mount)])
        make(
            "ip",
            "link",
            "add",
            "decoybr0",
            "type",
            "bridge",
            undone_by=["ip", "link", "del", "decoybr0"],
        )
        make("ip", "netns", "add", "cni-decoy", undone_by=["ip", "netns", "del", "cni-decoy"])
        make("iptables", "-N", "KUBERNETES-DECOY", undone_by=["iptables", "-X", "KUBERNETES-DECOY"])
        rule = ["FORWARD", "-i", "decoybr0", "-j", "KUBERNETES-DECOY"]
        make("iptables", "-A", *rule, undone_by=["iptables", "-D", *rule])
        log.symlink_to("/dev/null")
        undo.callback(log.unlink)

        def check() -> None:
            assert etcd.poll() is None
            assert mount.is_mount()
            assert Path("/sys/class/net/decoybr0").exists()
            assert Path("/run/netns/cni-decoy").exists()
            output("iptables", "-C", *rule)
            assert log.is_symlink()

        yield check


def interrupt_up_at(step: str) -> None:
    """Start `up`, send it SIGINT when it announces `step`, and wait for its end."""
    with subprocess.Popen(
        [SANDBOX / "up"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        stderr: IO[str] | None = process.stderr
        assert stderr is not None
        for line in stderr:
            if step in line:
                process.send_signal(signal.SIGINT)
                break
        else:
            pytest.fail(f"up never came to: {step}")
        stderr.read()
    assert process.returncode != 0


def test_down_leaves_the_machine_as_it_was(tmp_path: Path) -> None:
    down()
    with decoys(tmp_path) as intact:
        before = machine()
        up()
        # What people leave in it when they take it down.
        in_sandbox('kubectl run left --image="$WOMM_BASE_IMAGE" --port=80 --command -- sleep 600')
        in_sandbox("kubectl expose pod left --type=NodePort")
        in_sandbox("kubectl wait pod left --for=condition=Ready --timeout=60s")
        in_sandbox("docker network create left")
        in_sandbox('docker run -d --network left -p 8089:80 "$WOMM_BASE_IMAGE" sleep 600')
        during = processes()
        assert len(during) > len(pids())
        assert machine() != before
        intact()

        down()
        after = machine()
        for name, value in before.items():
            assert after[name] == value, name
        assert processes() == {}
        assert not STATE.exists()
        assert not RUN.exists()
        intact()

        # The same after all of it was killed, with containers left behind.
        up()
        in_sandbox("docker network create left")
        in_sandbox('docker run -d --network left -p 8089:80 "$WOMM_BASE_IMAGE" sleep 600')
        in_sandbox('docker run -d -p 8090:80 "$WOMM_BASE_IMAGE" sleep 600')
        in_sandbox('kubectl run left --image="$WOMM_BASE_IMAGE" --port=80 --command -- sleep 600')
        in_sandbox("kubectl wait pod left --for=condition=Ready --timeout=60s")
        for pid in pids().values():
            os.kill(pid, signal.SIGKILL)
        down()
        assert machine() == before
        assert processes() == {}

        # The same after an up that was cut short, whether up goes on after it or not.
        interrupt_up_at("control plane")
        down()
        assert machine() == before
        assert processes() == {}
        interrupt_up_at("base image")
        interrupt_up_at("control plane")
        up()
        assert script("status").returncode == 0
        intact()
