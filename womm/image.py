"""The testbed's image: base, perl and the user's account; and the file server's."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from womm import __version__, config, engine
from womm.errors import WommError
from womm.files import PACKAGE, SCRIPTS, TEMPLATES


@dataclass(frozen=True)
class Account:
    """Who the pods run as."""

    uid: int
    gid: int
    user: str
    home: str


def build_worker(tag: str, base_image: str, account: Account, directory: str) -> tuple[str, str]:
    """Build and push a directory's image. Returns its name by digest, and its architecture."""
    with tempfile.TemporaryDirectory(prefix="womm-image-") as temporary:
        context = Path(temporary)
        for name in ("install-tool", "prepare-image"):
            shutil.copy(SCRIPTS / name, context)
        arguments = (account.uid, account.gid, account.user, account.home, directory)
        (context / "account").write_text(shlex.join(map(str, arguments)), encoding="utf-8")
        engine.build(context, TEMPLATES / "Dockerfile.worker", tag, base_image)
        return engine.push(tag), engine.architecture(tag)


def build_server(prefix: str, base_image: str) -> tuple[str, str]:
    """Build and push the file server's image. Returns its name (tag and digest), and its architecture."""
    tag = f"{prefix}womm-server:{__version__}"
    with tempfile.TemporaryDirectory(prefix="womm-image-") as temporary:
        context = Path(temporary)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGE, context / "womm", ignore=ignored)
        engine.build(context, TEMPLATES / "Dockerfile.server", tag, base_image)
        by_digest = engine.push(tag)
        return f"{tag}@{by_digest.rpartition('@')[2]}", engine.architecture(tag)


def repository(directory: str) -> str:
    """The name of a directory's image in the registry: a slug of the directory's own name."""
    from slugify import slugify  # noqa: PLC0415 - its tables take 0.05 s

    return slugify(Path(directory).name, max_length=100) or "womm"


def tag(directory: str) -> str:
    """The tag of a directory's image: another directory of the same name has another one."""
    return f"womm-{config.identity(directory)[:12]}"


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
