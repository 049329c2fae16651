"""The NFS server: who may have something done by it, who may mount, and as whom; real clients of both kinds.

A pod that speaks NFS itself (libnfs) is what a hostile job would be; the second node's kernel is the honest
client.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest
from bases import BUSYBOX
from kit import PREFIX, Done, call, deliver, kubectl
from servers import OWNER, Servers

pytestmark = [pytest.mark.node2, pytest.mark.timeout(300)]

#: The exports of two tasks.
MINE, OTHERS = "0123456789abcdef" * 2, "fedcba9876543210" * 2
#: A client in user space and a busybox, nothing else: what the second node has to pull is small.
CLIENT = f"""\
FROM {os.environ.get("WOMM_BASE_IMAGE", "")} AS whole
RUN apt-get -q update && apt-get -q -y --no-install-recommends install libnfs-utils
COPY busybox /small/bin/busybox
RUN mkdir -p /small/mnt && cd /small \\
 && cp --parents /usr/bin/nfs-cat /usr/bin/nfs-ls /lib64/ld-linux-*.so.2 \\
  $(ldd /usr/bin/nfs-cat /usr/bin/nfs-ls | grep -o '/lib[^ ]*') . \\
 && for name in sh cat sleep stat mkdir chmod; do ln -s busybox bin/$name; done
FROM scratch
COPY --from=whole /small/ /
"""


@pytest.fixture(scope="module")
def exports(servers: Servers) -> Iterator[Servers]:
    """Both servers, with the exports of two tasks."""
    servers.publish("mine", MINE, "mine\n")
    servers.publish("others", OTHERS, "secret\n")
    yield servers
    for task in ("mine", "others"):
        servers.nfs("close", task)


def client(name: str, image: str, node: str, **more: object) -> str:
    """A pod on a node; `export` of `more` is what it mounts at /mnt, as (server, path)."""
    spec: dict[str, object] = {
        "nodeName": node,
        "terminationGracePeriodSeconds": 0,
        "tolerations": [{"operator": "Exists"}],
        "hostNetwork": more.get("host", False),
    }
    container: dict[str, object] = {"name": "client", "image": image, "command": ["sleep", "1000"]}
    if export := more.get("export"):
        spec["volumes"] = [{"name": "share", "nfs": export}]
        container["volumeMounts"] = [{"name": "share", "mountPath": "/mnt"}]
    spec["containers"] = [container]
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


@pytest.fixture(scope="module")
def clients(exports: Servers, build: Callable[..., str]) -> Iterator[Servers]:
    """Pods `near` and `far` with a client of their own, on either node; `node` with the first node's address.

    `kernel`, on the second one, has MINE mounted.
    """
    image = f"{PREFIX}womm-test/libnfs:1"
    call(["docker", "tag", build(CLIENT, busybox=BUSYBOX), image])
    deliver(image)
    first = kubectl(
        "get", "nodes", "-l", "womm.dev/sandbox-node!=nfs", "-o", "jsonpath={.items[0].metadata.name}"
    )
    pods = [
        client("near", image, first),
        client("far", image, "node2"),
        client("node", image, first, host=True),
        client("kernel", image, "node2", export={"server": exports.address, "path": f"/{MINE}"}),
    ]
    where = ("--namespace", exports.namespace)
    kubectl(*where, "create", "-f", "-", stdin="\n---\n".join(pods))
    names = ("pods/near", "pods/far", "pods/node", "pods/kernel")
    kubectl(*where, "wait", "--for=condition=Ready", *names, "--timeout=110s")
    yield exports
    kubectl(*where, "delete", *names, "--ignore-not-found", "--timeout=60s")


def read(servers: Servers, pod: str, address: str, path: str) -> Done:
    """Read a task's file by NFS, in user space."""
    return servers.inside(pod, "nfs-cat", f"nfs://{address}/{path}/file?version=4")


SSH = (
    *("ssh", "-F", "/dev/null", "-T", "-p", "2222", "-l", "root", "-o", "BatchMode=yes"),
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
)


def test_a_key_of_a_strangers_opens_nothing(servers: Servers) -> None:
    done = servers.files("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/tmp/stranger")
    assert done.status == 0, done.messages
    done = servers.files(*SSH, "-i", "/tmp/stranger", servers.address, "list")
    assert (done.status, done.out) == (255, b"")
    assert "Permission denied (publickey)" in done.messages


@pytest.mark.parametrize("command", ["id", "sh -c id", "begin", "list;id", "close ../x"])
def test_the_right_key_opens_one_door_only(servers: Servers, command: str) -> None:
    done = servers.files(*SSH, "-i", "/etc/womm/nfs/id", servers.address, command)
    assert (done.status, done.out) == (2, b"")
    assert "nfs-door: not a command of this door" in done.messages


def test_the_right_key_carries_no_port(servers: Servers) -> None:
    done = servers.files(*SSH, "-i", "/etc/womm/nfs/id", "-W", "127.0.0.1:2049", servers.address)
    assert done.status == 255
    assert "stdio forwarding failed" in done.messages


def test_a_nodes_kernel_reads_and_writes_as_the_owner(clients: Servers) -> None:
    # Root in the pod.
    script = (
        "cat /mnt/file; echo new >/mnt/new; mkdir /mnt/made; chmod 0700 /mnt/made; stat -c %u:%g:%a /mnt/*"
    )
    done = clients.inside("kernel", "sh", "-c", script)
    owner = "{}:{}".format(*OWNER)
    assert (done.status, done.out.decode().splitlines()) == (
        0,
        ["mine", f"{owner}:644", f"{owner}:700", f"{owner}:644"],
    ), done.messages


@pytest.mark.parametrize("pod", ["near", "far"])
def test_a_pods_own_client_reads_no_tasks_share(clients: Servers, pod: str) -> None:
    for address in (clients.address, clients.pod):
        for path in (MINE, OTHERS):
            done = read(clients, pod, address, path)
            assert (done.status != 0, done.out) == (True, b"")
            assert "NFS4ERR_NOENT" in done.messages, done.messages
        # Nor does it see what there is.
        done = clients.inside(pod, "nfs-ls", f"nfs://{address}/?version=4")
        assert (done.status, done.out) == (0, b""), done.messages


def test_it_is_the_address_that_counts_who_has_the_nodes_reads_all_of_it(clients: Servers) -> None:
    # docs/shares.md says so. It is also the proof that the client of the test above can read.
    done = read(clients, "node", clients.address, OTHERS)
    assert (done.status, done.out) == (0, b"secret\n"), done.messages


def test_a_new_ganesha_serves_who_had_it_mounted(clients: Servers) -> None:
    clients.nfs("probe-restart")
    done = clients.inside("kernel", "cat", "/mnt/file")
    assert (done.status, done.out) == (0, b"mine\n"), done.messages


def test_a_task_that_is_closed_is_gone_for_who_has_it_mounted_and_no_pod_is_stuck(clients: Servers) -> None:
    clients.nfs("close", "mine")
    assert clients.nfs("list") == f"others eager {OTHERS} ready 0\n"
    done = clients.inside("kernel", "sh", "-c", "cat /mnt/file || echo >/mnt/more")
    assert (done.status != 0, done.out) == (True, b"")
    assert "Stale file handle" in done.messages
    assert "NFS4ERR_NOENT" in read(clients, "node", clients.address, MINE).messages
    # The other one's stays.
    assert read(clients, "node", clients.address, OTHERS).out == b"secret\n"
    kubectl("--namespace", clients.namespace, "delete", "pod", "kernel", "--timeout=60s")
