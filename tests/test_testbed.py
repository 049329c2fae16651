"""The testbed's pure parts: what it mounts, the variables it keeps, what it builds for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from womm.testbed import base, environment, mounts, proxies

MOUNTINFO = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
28 27 254:1 / /home rw,relatime shared:1 - xfs /dev/vdb rw
29 27 0:40 / /data\\040of,mine rw - nfs4 host:/x rw
30 27 0:41 / /run/user/0 rw - tmpfs tmpfs rw
31 27 254:2 / /var/lib/docker rw - ext4 /dev/vdc rw
32 27 254:3 / /caf\udce9 rw - ext4 /dev/vdd rw
"""
ALONE = "readonly=true,bind-nonrecursive=true"

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)
values = st.binary().map(lambda b: b.replace(b"\0", b"").decode("utf-8", "surrogateescape"))


def test_each_file_system_of_the_machine_is_mounted_alone_and_read_only() -> None:
    assert mounts.host_root(MOUNTINFO, "/home/ann/work", "/home/ann") == [
        "--mount",
        f"type=bind,src=/,dst=/mnt,{ALONE}",
        "--mount",
        f'type=bind,"src=/data of,mine","dst=/mnt/data of,mine",{ALONE}',
        "--mount",
        f"type=bind,src=/home,dst=/mnt/home,{ALONE}",
    ]


@pytest.mark.parametrize("needed", ["/mnt", "/mnt/work"])
def test_the_machines_root_never_hides_the_users_own_directories(needed: str) -> None:
    assert mounts.host_root(MOUNTINFO, needed, "/home/ann") == []
    assert mounts.host_root(MOUNTINFO, "/mntx", "/home/ann")


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        ("/a b,c", ["--volume", "/a b,c:/a b,c"]),
        ("/a:b", ["--mount", "type=bind,src=/a:b,dst=/a:b"]),
        ('/a:"b",', ["--mount", 'type=bind,"src=/a:""b"",","dst=/a:""b"","']),
    ],
)
def test_a_directory_of_any_name_is_mounted(path: str, arguments: list[str]) -> None:
    assert mounts.directory(path) == arguments


@given(st.dictionaries(names, st.none() | values))
def test_variables_survive_whatever_their_values(entries: dict[str, str | None]) -> None:
    assert environment.decode(environment.encode(entries)) == entries


def test_names_that_look_like_secrets_are_told() -> None:
    secret = [
        "API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "DBPASS",
        "DB_PASS",
        "GITHUB_TOKEN",
        "JWT",
        "MYPWD",
        "MYPWD2",
    ]
    secret += ["PGPASSWORD", "SSHKEY", "SSH_KEYS", "my_secret", "userpass"]
    plain = ["KEYBOARD", "LANG", "PASSENGERS", "PATH", "MONKEY", "AUTHORS", "PYTHONPATH", "COMPASS", "BYPASS"]
    plain += ["OLDPWD", "HOSTKEYBOARD"]
    assert environment.likely_secrets([*plain, *reversed(secret)]) == secret


def test_images_are_built_for_the_nodes_unless_one_is_as_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert base.foreign_platform([]) == ""
    assert base.foreign_platform(["arm64", "amd64", "arm64"]) == ""
    assert base.foreign_platform(["arm64", "s390x", "arm64"]) == "linux/arm64"


def test_a_variable_of_the_bases_is_written_as_dockerfiles_want_it() -> None:
    assert base._quoted('A=it\'s "x" $HOME \\') == 'A="it\'s \\"x\\" \\$HOME \\\\"'


def test_proxies_that_the_engine_has_given_are_withdrawn_and_an_images_own_stay() -> None:
    image = ["PATH=/bin", "http_proxy=http://own", "NO_PROXY=here"]
    container = [
        "PATH=/opt:/bin",
        "http_proxy=http://a:b=c@p",
        "HTTPS_PROXY=http://p",
        "NO_PROXY=here",
        "NOT_PROXY=1",
    ]
    assert proxies.withdrawn(container, image) == ["HTTPS_PROXY=", "http_proxy=http://own"]
    assert proxies.withdrawn(image, image) == []
