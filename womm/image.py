"""The testbed's image: base, perl and the user's account; and the file server's."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from womm import __version__, config, elf, libraries
from womm.engine import Engine, repository_of
from womm.errors import WommError
from womm.files import PACKAGE, SCRIPTS, TEMPLATES
from womm.process import run, tool

# A host, maybe; a repository; a tag, maybe. What else a registry wants, it says itself.
_NAME = re.compile(
    r"([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][\w.-]{0,100})?",
    re.ASCII,
)


@dataclass(frozen=True)
class Account:
    """Who the pods run as."""

    uid: int
    gid: int
    user: str
    home: str


def build_worker(
    engine: Engine, tag: str, base_image: str, account: Account, directory: str, *, platform: str = ""
) -> None:
    """Build a directory's image: the base with what pods need, and the user's account."""
    with tempfile.TemporaryDirectory(prefix="womm-image-") as temporary:
        context = Path(temporary)
        for name in ("install-tool", "prepare-image"):
            shutil.copy(SCRIPTS / name, context)
        arguments = (account.uid, account.gid, account.user, account.home, directory)
        (context / "account").write_text(shlex.join(map(str, arguments)), encoding="utf-8")
        engine.build(context, TEMPLATES / "Dockerfile.worker", tag, base_image, platform)


@dataclass(frozen=True)
class Kubectl:
    """A kubectl that an image for `arch` can hold."""

    path: Path
    arch: str


def kubectl_for_image(given: str | None) -> Kubectl:
    """Return the kubectl for the file server's image: the file that was `given`, else the user's own.

    Raises WommError for one that runs on this machine only, or not at all.
    """
    path = Path(given or tool("kubectl"))
    try:
        # The name may be a link; `path` is as the user knows it.
        with path.open("rb") as file:
            program = elf.look(file.read(elf.BEGINNING))
    except OSError as error:
        raise _unfit(path, f"it can't be read ({error.strerror})") from error
    if program is None:
        raise _unfit(path, "it is a script, or no program at all")
    if not program.static:
        raise _unfit(path, "it needs libraries of this machine")
    return Kubectl(path, program.arch)


def build_server(engine: Engine, prefix: str, base_image: str, kubectl: Kubectl) -> tuple[str, str]:
    """Build and push the file server's image, which is the coordinator's, too.

    Returns its name (with its tag), and its architecture. Raises WommError.
    """
    tag = f"{prefix}womm-server:{__version__}"
    with _context(kubectl) as context:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, context / "womm", ignore=ignored)
        libraries.copy(context / "lib")
        _open_to_all(context)
        engine.build(context, TEMPLATES / "Dockerfile.server", tag, base_image)
        arch = engine.architecture(tag)
        # An engine that emulates others has run it all the same, and the nodes would not.
        if arch != kubectl.arch:
            raise _unfit(kubectl.path, f"it is for {kubectl.arch}, and the image for {arch}")
        return _pushed(engine, tag), arch


def build_nfs(engine: Engine, prefix: str, base_image: str, kubectl: Kubectl) -> str:
    """Build and push the NFS server's image; what it has in common with the file server's is built once.

    Returns its name (with its tag). Raises WommError.
    """
    tag = f"{prefix}womm-nfs:{__version__}"
    with _context(kubectl) as context:
        shutil.copytree(SCRIPTS, context / "womm" / "scripts")
        _open_to_all(context)
        engine.build(context, TEMPLATES / "Dockerfile.nfs", tag, base_image)
        return _pushed(engine, tag)


@contextlib.contextmanager
def _context(kubectl: Kubectl) -> Iterator[Path]:
    # What a server's image is built from, of which nothing is there but kubectl.
    with tempfile.TemporaryDirectory(prefix="womm-image-") as context:
        copied = Path(context, "kubectl")
        shutil.copyfile(kubectl.path, copied)
        copied.chmod(0o755)
        yield Path(context)


def _pushed(engine: Engine, tag: str) -> str:
    # Its name with the tag, for those who look, and the digest, for the cluster.
    _, at, digest = engine.push(tag).rpartition("@")
    return f"{tag}@{digest}" if at else digest


def _unfit(path: Path, why: str) -> WommError:
    return WommError(
        f"{path} can't be the kubectl of the file server's image: {why}",
        "--kubectl FILE names one that can: a program of Kubernetes' own, as "
        "https://kubernetes.io/docs/tasks/tools/install-kubectl-linux/ has it, for the image's architecture",
    )


def _open_to_all(context: Path) -> None:
    # What is copied keeps its mode, and who installed womm may have kept it to himself.
    for directory, _, names in os.walk(context):
        for path in (Path(directory), *(Path(directory, name) for name in names)):
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))


def try_push(engine: Engine, name: str, patience: float | None = None) -> None:
    """See whether images may be pushed to the repository of the image `name`. Raises WommError.

    Each of the engine's three steps may take `patience` seconds.
    """
    if engine.load:
        return
    probe = f"{repository_of(name)}:womm-probe"
    with tempfile.TemporaryDirectory(prefix="womm-image-") as temporary:
        archive = Path(temporary, "probe.tar")
        with tarfile.open(archive, "w") as tar:
            tar.addfile(tarfile.TarInfo("womm-probe"))
        run(engine.argv("import", str(archive), probe), patience=patience)
    try:
        engine.try_push(probe, patience)
    finally:
        engine.drop("image", "rm", probe, patience=patience)


def repository(directory: str) -> str:
    """The name of a directory's image in the registry: a slug of the directory's own name."""
    from slugify import slugify  # noqa: PLC0415 - its tables take 0.05 s

    return slugify(Path(directory).name, max_length=100) or "womm"


def tag(directory: str) -> str:
    """The tag of a directory's image: another directory of the same name has another one."""
    return f"womm-{config.identity(directory)[:12]}"


def full_name(name: str, directory: str) -> str:
    """An image's name as it was given, with the directory's tag if it has none. Raises WommError."""
    if not _NAME.fullmatch(name):
        raise WommError(
            f"{name!r} is no name of an image", "for example --image registry.example.com/team/jobs:mine"
        )
    return name if ":" in name.rpartition("/")[2] else f"{name}:{tag(directory)}"


def check_prefix(prefix: str) -> str:
    """Return the registry prefix with its trailing slash. Raises WommError for what can't be one."""
    completed = prefix if prefix.endswith("/") else f"{prefix}/"
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789.-_:/")
    host, _, path = completed.partition("/")
    if not host or not set(completed.lower()) <= allowed or path != path.lower() or "//" in completed:
        raise WommError(
            f"{prefix!r} is no registry prefix", "for example --prefix registry.example.com/team/"
        )
    return completed
