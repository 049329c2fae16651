"""This machine's part in a setup: which directory, whose jobs, which distribution."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from pathlib import Path

from womm import config
from womm.errors import WommError
from womm.image import Account

# A distribution's image, by its ID; RHEL's own is for subscribers, and Alma is made of the same sources.
_BASES = {
    "almalinux": "almalinux:{major}",
    "alpine": "alpine:{version}",
    "amzn": "amazonlinux:{version}",
    "arch": "archlinux:latest",
    "centos": "quay.io/centos/centos:stream{major}",
    "debian": "debian:{version}",
    "fedora": "fedora:{version}",
    "ol": "oraclelinux:{major}",
    "opensuse-leap": "opensuse/leap:{version}",
    "opensuse-tumbleweed": "opensuse/tumbleweed:latest",
    "rhel": "almalinux:{major}",
    "rocky": "rockylinux/rockylinux:{major}",
    "ubuntu": "ubuntu:{version}",
}
_SOME = "debian:stable"

#: What every program in the pod needs: no share may be mounted on it or above it.
_NEEDED = ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr/bin", "/usr/lib")
#: Where nobody's files are, neither a share nor a home.
_KERNEL = ("/dev", "/proc", "/sys")
#: Who root's jobs run as in the pods, unless setup is told otherwise.
_ORDINARY = 1000


def check_directory(directory: Path) -> str:
    """Return the directory as text. Raises WommError if it can't be set up."""
    text = str(directory)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise WommError("this directory's name is not valid UTF-8", "work in one whose name is") from error
    if any(_is_within(text, place) for place in _KERNEL):
        raise WommError(f"{text} is the kernel's", "work in a directory of yours")
    return text


def unshareable(directory: str) -> str:
    """Why pods can't see this directory at its own path; "" if they can."""
    if any(_is_within(needed, directory) for needed in _NEEDED):
        return "pods need their own"
    return "with a ':' in its path it can't be mounted in pods" if ":" in directory else ""


def holds_home(directory: str) -> bool:
    """Whether the user's home, and so all that he has, is in this directory."""
    homes = {os.environ.get("HOME", "")}
    with contextlib.suppress(KeyError):
        homes.add(pwd.getpwuid(os.getuid()).pw_dir)
    return any(_is_within(os.path.realpath(home), directory) for home in homes if os.path.isabs(home))


def check_writable(directory: Path) -> None:
    """Raise WommError unless it can take its configuration: better before an image is built for nothing."""
    path = directory / config.FILE_NAME
    if not os.access(directory, os.W_OK) or path.is_dir():
        raise WommError(f"{path} can't be written", "work in a directory of yours")


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def account(as_root: bool) -> Account:
    """Whom the jobs run as. Raises WommError for --as-root where it means nothing."""
    uid, gid = os.getuid(), os.getgid()
    if as_root and uid != 0:
        raise WommError("--as-root is for a user who is root here", "leave it out")
    if uid == 0 and not as_root:
        return Account(_ORDINARY, _ORDINARY, "womm", "/home/womm")
    if uid == 0:
        return Account(0, 0, "root", "/root")
    try:
        known = pwd.getpwuid(uid)
    except KeyError:
        return Account(uid, gid, "womm", "/home/womm")
    user = known.pw_name if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", known.pw_name) else "womm"
    # No component of dots: the image would get its owner's rights on another directory.
    plain = re.fullmatch(r"(/(?!\.\.?(/|$))[A-Za-z0-9_.@+-]+){2,}", known.pw_dir)
    usable = plain is not None and not any(_is_within(known.pw_dir, place) for place in (*_NEEDED, "/usr"))
    return Account(uid, gid, user, known.pw_dir if usable else f"/home/{user}")


def own_distribution() -> str:
    """The base image that is most like this machine."""
    try:
        return like(Path("/etc/os-release").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return _SOME


def like(os_release: str) -> str:
    """The base image that is most like a machine whose /etc/os-release has this text."""
    said = dict(re.findall(r"""^([A-Z_]+)=["']?([^"'\n]*)["']?$""", os_release, re.MULTILINE))
    name, version = said.get("ID", ""), said.get("VERSION_ID", "")
    if name in _BASES and (version or "{" not in _BASES[name]):
        return _BASES[name].format(version=version, major=version.partition(".")[0])
    # Mint and its like tell what they are made of; Debian's testing has no number yet.
    ubuntu, debian = said.get("UBUNTU_CODENAME"), said.get("DEBIAN_CODENAME")
    if name == "debian":
        debian = said.get("VERSION_CODENAME")
    return f"ubuntu:{ubuntu}" if ubuntu else f"debian:{debian}" if debian else _SOME
