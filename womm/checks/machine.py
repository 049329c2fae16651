"""This machine: programs, the container engine, the registry, the directory."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable

from womm import config, engine, here, image, registries, signals
from womm.checks.finding import MISSING, NOTE, OK, PATIENCE, UNKNOWN, Finding
from womm.config import Project
from womm.engine import Engine
from womm.errors import WommError
from womm.files import PARALLEL
from womm.process import attempt

# What has to be installed here: the program, how it tells its version, how to get it.
TOOLS = (
    ("kubectl", ("version", "--client"), "install it: https://kubernetes.io/docs/tasks/tools/"),
    ("perl", ("-v",), "install perl"),
    ("bash", ("--version",), "install bash"),
    ("rsync", ("--version",), "install rsync: shares are copied by it"),
)
_VERSION = re.compile(r"v?[0-9]+\.[0-9][0-9A-Za-z.+~-]*")


def tool(name: str, version: Iterable[str], fix: str) -> Finding:
    """Whether a program is there and works."""
    if shutil.which(name) is None:
        return Finding(name, MISSING, f"{name} is not installed", fix)
    try:
        done = attempt([name, *version], patience=PATIENCE)
    except WommError as broken:
        return Finding(name, MISSING, broken.message, fix)
    found = _VERSION.search(done.text)
    if done.status != 0 or found is None:
        said = done.stderr.decode(errors="replace").strip() or f"exit status {done.status}"
        return Finding(name, MISSING, f"{name} does not work: {said}", fix)
    return Finding(name, OK, found.group())


def parallel() -> Finding:
    """Whether womm's own GNU parallel is there: a checkout may lack it."""
    if not PARALLEL.exists():
        return Finding("parallel", MISSING, "womm's own GNU parallel is not there", "make vendor")
    pinned = json.loads((PARALLEL.parent / "manifest.json").read_text(encoding="utf-8"))
    return Finding("parallel", OK, f"GNU parallel {pinned['version']}, womm's own")


def container_engine(name: str | None) -> tuple[Finding, Engine | None]:
    """Whether docker or podman is there, and this user may use it; the one that is."""
    try:
        found = engine.find(name)
    except WommError as error:
        return Finding("engine", MISSING, error.message, error.hint), None
    version = _VERSION.search(attempt([found.name, "--version"], patience=PATIENCE).text)
    return Finding("engine", OK, f"{found.name} {version.group() if version else ''}".strip()), found


def directory() -> tuple[Finding, Project | None]:
    """Whether this directory is set up, and how."""
    try:
        start = config.working_directory()
        if config.find(start) is None:
            return Finding("directory", NOTE, f"{start} is not set up", "womm setup"), None
        # A check asks nothing of anybody: its report may be JSON, and has to end in time.
        project = config.load(start, may_ask=False)
    except WommError as error:
        return Finding("directory", MISSING, error.message, error.hint), None
    text = f"{project.directory} is set up: share {project.share}, {project.image} ({project.arch})"
    return Finding("directory", OK, text), project


def unshareable() -> str:
    """Why pods can't see the directory that is, or would be, set up; "" if they can."""
    try:
        start = config.working_directory()
        return here.unshareable(str(config.find(start) or start))
    except WommError as error:
        return error.message


def registry(project: Project | None, found: Callable[[], Engine | None]) -> Finding:
    """Whether the registry answers, and takes what this user pushes to the directory's repository.

    `found` waits for the engine that pushes.
    """
    try:
        name = _pushed(project)
        if name is None:
            return Finding("registry", NOTE, "none is chosen yet", "womm setup --prefix REGISTRY/")
        if not name:
            return Finding("registry", OK, "none is needed: --load gives the image to the nodes")
        host = registries.host(name)
        if not host:
            fix = "it is public: say your registry's host, womm setup --prefix HOST/…"
            return Finding("registry", UNKNOWN, f"{name} is a name of the engine's default registry", fix)
        if (silent := _silent(host)) is not None:
            return silent
        builder = found()
        if builder is None:
            fix = "see what is said of the engine"
            return Finding(
                "registry", UNKNOWN, f"{host} answers; without an engine no push can be tried", fix
            )
        signals.check()
        image.try_push(builder, name, PATIENCE)
    except WommError as refusal:
        return Finding("registry", MISSING, refusal.message, refusal.hint)
    return Finding("registry", OK, f"{host} answers, and takes what is pushed to {name}")


def _pushed(project: Project | None) -> str | None:
    # The repository to which a setup of this directory has pushed or would push; "" if the nodes get the
    # image without a registry, None if none is chosen yet.
    if project is not None:
        name, digest, _ = project.image.partition("@")
        return name if digest else ""
    prefix = config.remembered("prefix")
    return f"{prefix}{image.repository(str(config.working_directory()))}" if prefix else None


def _silent(host: str) -> Finding | None:
    # What is wrong with what answers there, if anything is.
    url = f"{'http' if registries.is_here(host) else 'https'}://{host}/v2/"
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - http(s), as built above
            status = answer.status
    except urllib.error.HTTPError as refusal:
        # It wants to know who asks: the engine will tell it.
        status = refusal.code
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            # The engine has certificates of its own, and registries that need none: its push will tell.
            return None
        return Finding(
            "registry", MISSING, f"{host} doesn't answer: {reason}", "start it, or choose another --prefix"
        )
    if status in (200, 401):
        return None
    return Finding("registry", MISSING, f"{host} is no registry (status {status})", "another --prefix")
