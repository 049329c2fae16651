"""What this machine decides of a setup: the directory, whom jobs run as, the distribution."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from womm import here
from womm.errors import WommError
from womm.image import Account


@pytest.mark.parametrize(
    "directory", ["/", "/etc", "/usr", "/usr/lib", "/bin", "/run", "/lib64", "/home/a:b"]
)
def test_a_directory_that_pods_need_themselves_or_can_t_mount_is_not_shared(directory: str) -> None:
    assert here.unshareable(directory)
    assert here.check_directory(Path(directory)) == directory


@pytest.mark.parametrize(
    "directory",
    [
        "/home/ann",
        "/etcetera",
        "/usrlocal/x",
        "/usr/local/src",
        "/run/user/0/x",
        "/srv",
        "/root/work",
        "/mnt/é ü",
    ],
)
def test_other_directories_are_shared(directory: str) -> None:
    assert here.unshareable(directory) == ""


@pytest.mark.parametrize("directory", ["/dev/shm", "/proc", "/proc/1", "/sys/x"])
def test_the_kernels_directories_are_refused(directory: str) -> None:
    with pytest.raises(WommError, match="is the kernel's"):
        here.check_directory(Path(directory))


def be(monkeypatch: pytest.MonkeyPatch, uid: int, gid: int = 1002) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(os, "getgid", lambda: gid)


def entry(name: str, home: str) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", 1001, 1002, "", home, "/bin/sh"))


def test_roots_jobs_run_as_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 0, 0)
    assert here.account(as_root=False) == Account(1000, 1000, "womm", "/home/womm")


def test_roots_jobs_run_as_root_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 0, 0)
    assert here.account(as_root=True) == Account(0, 0, "root", "/root")


def test_nobody_else_gets_root(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 1001)
    with pytest.raises(WommError, match="--as-root"):
        here.account(as_root=True)


@pytest.mark.parametrize(
    ("name", "home", "account"),
    [
        ("ann", "/home/ann", ("ann", "/home/ann")),
        ("ann", "/home/team-1/a.n+n@x", ("ann", "/home/team-1/a.n+n@x")),
        ("ann", "/", ("ann", "/home/ann")),
        ("ann", "/root", ("ann", "/home/ann")),
        ("ann", "", ("ann", "/home/ann")),
        ("ann", "relative", ("ann", "/home/ann")),
        ("ann", "/home/an n", ("ann", "/home/ann")),
        ("ann", "/home/$(reboot)", ("ann", "/home/ann")),
        ("ann", "/home/ann\n", ("ann", "/home/ann")),
        ("ann", "/home/é", ("ann", "/home/ann")),
        ("ann", "/usr/share/ann", ("ann", "/home/ann")),
        ("ann", "/proc/ann", ("ann", "/home/ann")),
        ("ann", "/runners/ann", ("ann", "/runners/ann")),
        ("ann", "/home/../etc", ("ann", "/home/ann")),
        ("ann", "/home/./ann", ("ann", "/home/ann")),
        ("-rf", "/home/rf", ("womm", "/home/rf")),
        ("a b", "/nonexistent", ("womm", "/home/womm")),
        ("DOM\\ann", "/", ("womm", "/home/womm")),
        ("ann\n", "/home/ann", ("womm", "/home/ann")),
    ],
)
def test_a_user_runs_as_itself_with_a_home_that_can_be_made(
    monkeypatch: pytest.MonkeyPatch, name: str, home: str, account: tuple[str, str]
) -> None:
    be(monkeypatch, 1001)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: entry(name, home))
    assert here.account(as_root=False) == Account(1001, 1002, *account)


def test_a_uid_without_an_entry_has_a_home_too(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 54321)

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert here.account(as_root=False) == Account(54321, 1002, "womm", "/home/womm")


def test_the_base_is_this_machines_own_distribution() -> None:
    assert here.own_distribution().partition(":")[2]


@pytest.mark.parametrize(
    ("os_release", "base"),
    [
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\nUBUNTU_CODENAME=jammy', "ubuntu:22.04"),
        ('ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm', "debian:12"),
        ('PRETTY_NAME="Debian GNU/Linux forky/sid"\nID=debian\nVERSION_CODENAME=forky', "debian:forky"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"', "rockylinux/rockylinux:9"),
        ('ID="almalinux"\nVERSION_ID="8.10"', "almalinux:8"),
        ("ID=fedora\nVERSION_ID=40", "fedora:40"),
        ("ID=alpine\nVERSION_ID=3.20.1", "alpine:3.20.1"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="21.3"\nUBUNTU_CODENAME=jammy', "ubuntu:jammy"),
        ('ID=linuxmint\nVERSION_ID="6"\nDEBIAN_CODENAME=bookworm', "debian:bookworm"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.6"', "opensuse/leap:15.6"),
        ("ID='opensuse-tumbleweed'\nVERSION_ID='20240101'", "opensuse/tumbleweed:latest"),
        ("ID=arch\nBUILD_ID=rolling", "archlinux:latest"),
        ("ID=nixos\nVERSION_ID=24.05", "debian:stable"),
        ("", "debian:stable"),
    ],
)
def test_each_common_distribution_has_a_base_of_its_own_release(os_release: str, base: str) -> None:
    assert here.like(os_release) == base
