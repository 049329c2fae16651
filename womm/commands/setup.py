"""`womm setup`: make the current directory's image, and remember how its jobs run."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Sequence
from pathlib import Path

from womm import config, engine, image, server
from womm.commands.arguments import Parser
from womm.config import Project
from womm.errors import WommError
from womm.image import Account
from womm.kubectl import Kube, KubeChoice, resolve
from womm.output import be_quiet, progress, warn
from womm.process import tool
from womm.runs import sweep

_SHARES = ("lazy", "eager", "syncback", "none")
_LATER = ("lazy", "syncback")
#: What every program in the pod needs: no share may be mounted on it or above it.
_NEEDED = ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr/bin", "/usr/lib")
#: Where nobody's files are, neither a share nor a home.
_KERNEL = ("/dev", "/proc", "/sys")
#: Who root's jobs run as in the pods, unless setup is told otherwise.
_ORDINARY = 1000


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns 0."""
    parser = Parser("setup", "Make an image for this directory, and remember how its jobs run.")
    parser.add_argument("--yes", action="store_true", help="ask nothing: take the defaults")
    parser.add_argument(
        "--share",
        choices=_SHARES,
        default="eager",
        help="how pods see this directory: a copy of it (eager), or not at all (none); default: %(default)s",
    )
    parser.add_argument(
        "--base-image",
        metavar="IMAGE",
        default=os.environ.get("WOMM_BASE_IMAGE") or _own_distribution(),
        help="what the image is built on (default: WOMM_BASE_IMAGE, or this machine's own: %(default)s)",
    )
    parser.add_argument("--prefix", metavar="REGISTRY/", help="where the image is pushed (remembered)")
    parser.add_argument("--as-root", action="store_true", help="run the jobs as root, if you are root here")
    options, choice = parser.understand(arguments, choice)
    if options.quiet:
        be_quiet()
    if not options.yes:
        raise WommError("the questions come later", "womm setup --yes --share none|eager --prefix REGISTRY/")
    if options.share in _LATER:
        raise WommError(f"--share {options.share} comes later", "--share eager, or --share none")
    prefix = options.prefix or config.remembered("prefix")
    if not prefix:
        raise WommError("which registry takes the image?", "--prefix REGISTRY/")
    prefix = image.check_prefix(prefix)
    account = _account(options.as_root)
    directory = _check_directory(config.working_directory(), options.share)
    _check_writable(Path(directory))
    sweep()
    kube = resolve(choice)
    _preflight(kube, options.share)
    tag = f"{prefix}{image.repository(directory)}:{image.tag(directory)}"
    progress(f"womm: building {tag} on {options.base_image}")
    name, arch = image.build_worker(tag, options.base_image, account, directory)
    path = config.save(
        Project(
            directory=directory,
            share=options.share,
            image=name,
            arch=arch,
            base_image=options.base_image,
            prefix=prefix,
            namespace=kube.namespace,
            context=kube.context,
            kubeconfig=kube.kubeconfig,
            uid=account.uid,
            gid=account.gid,
            user=account.user,
            home=account.home,
        )
    )
    config.remember("prefix", prefix)
    progress(f"womm: set up ({path}). Now: womm parallel --kube-pods 3 -- COMMAND …")
    return 0


def _check_directory(directory: Path, share: str) -> str:
    text = str(directory)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise WommError("this directory's name is not valid UTF-8", "work in one whose name is") from error
    if any(_is_within(text, place) for place in _KERNEL):
        raise WommError(f"{text} is the kernel's", "work in a directory of yours")
    if share != "none" and any(_is_within(needed, text) for needed in _NEEDED):
        raise WommError(f"{text} can't be shared: pods need their own", "--share none, or another directory")
    if ":" in text and share != "none":
        raise WommError(
            "a directory with a ':' in its path can't be mounted in pods", "--share none, or rename it"
        )
    return text


def _check_writable(directory: Path) -> None:
    # Known before an image is built for nothing.
    path = directory / config.FILE_NAME
    if not os.access(directory, os.W_OK) or path.is_dir():
        raise WommError(f"{path} can't be written", "work in a directory of yours")


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _preflight(kube: Kube, share: str) -> None:
    engine.check()
    tool("perl")
    if share == "eager":
        tool("rsync")
        try:
            server.find(kube)
        except WommError as missing:
            warn(f"{missing.message}; womm parallel will need it: {missing.hint}")


def _account(as_root: bool) -> Account:
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


def _own_distribution() -> str:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return "debian:stable"
    known = ("alpine", "debian", "fedora", "ubuntu")
    found = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]+)"?$', text, re.MULTILINE))
    if found.get("ID") in known and "VERSION_ID" in found:
        return f"{found['ID']}:{found['VERSION_ID']}"
    return "debian:stable"
