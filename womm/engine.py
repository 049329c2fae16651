"""The container engine on this machine, docker or podman: called as a human would, with the same words."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from womm import registries, signals
from womm.errors import CommandFailed, WommError
from womm.output import is_quiet
from womm.process import attempt, probe, run, show, tool

#: In the order in which they are looked for.
NAMES = ("docker", "podman")

_INSTALL = {
    "docker": "install docker: https://docs.docker.com/engine/install/",
    "podman": "install podman: https://podman.io/docs/installation",
}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# What an engine says of a name that nothing has, or that nothing can have.
_UNKNOWN = re.compile(
    rb"no such (image|container|object)|image not known|invalid reference|must be lowercase", re.IGNORECASE
)
# Seconds in which an engine has to say which one it is: a daemon may take the question and never answer.
_ANSWER = 5.0


@dataclass(frozen=True)
class Engine:
    """One engine; `name` is its program's.

    `load` is the beginning of a command line that gives an image to the nodes without a registry
    (`kind load docker-image`); empty where images are pushed.
    """

    name: str
    load: tuple[str, ...] = ()

    def argv(self, *words: str) -> list[str]:
        """A command line of the engine's."""
        return [self.name, *words]

    def build(
        self, context: Path, dockerfile: Path, tag: str, base_image: str = "", platform: str = ""
    ) -> None:
        """Build the image `tag` from `context`; its steps are shown on stderr.

        `base_image` is the argument BASE of our own Dockerfiles; `platform` (linux/ARCH) is needed where it
        is not this machine's.
        """
        argv = self.argv("build", "--file", str(dockerfile), "--tag", tag)
        argv += ["--build-arg", f"BASE={base_image}"] if base_image else []
        argv += ["--platform", platform] if platform else []
        # Even with --quiet docker has its own notes to tell, and the image's number.
        build_, quiet = (run, ["--quiet"]) if is_quiet() else (show, [])
        try:
            build_([*argv, *quiet, str(context)])
        except CommandFailed as failure:
            shown = f" ({failure.message})" if is_quiet() else ""
            source = f"on {base_image}" if base_image else f"from {dockerfile}"
            emulated = f"; is this machine able to run programs of {platform} (qemu's binfmt entry)?"
            raise WommError(
                f"the image could not be built {source}{shown}",
                f"{self.name}'s own lines above say why{emulated if platform else ''}",
            ) from failure

    def push(self, tag: str) -> str:
        """Push `tag`, with the engine's own progress on stderr, or load it; return its name as pods use it.

        A pushed one is named by digest (NAME@sha256:…), a loaded one by a tag of its own.
        """
        if self.load:
            return self._load(tag)
        with tempfile.TemporaryDirectory(prefix="womm-push-") as directory:
            said = Path(directory, "digest")
            noted = ["--digestfile", str(said)] if self.name == "podman" else []
            with self._refusals(tag):
                (run if is_quiet() else show)(self.argv("push", *self._plain_http(tag), *noted, tag))
            text = said.read_text(encoding="utf-8") if said.exists() else self._digest(tag)
        match = _DIGEST.match(text)
        if match is None:
            raise WommError(f"{self.name} push of {tag} left no digest", f"{self.name} push {tag}")
        return f"{repository_of(tag)}@{match.group()}"

    def try_push(self, tag: str, patience: float | None = None) -> None:
        """Push `tag`, and show nothing, within `patience` seconds. Raises WommError."""
        with self._refusals(tag):
            run(self.argv("push", *self._plain_http(tag), tag), patience=patience)

    @contextlib.contextmanager
    def _refusals(self, tag: str) -> Iterator[None]:
        try:
            yield
        except CommandFailed as failure:
            raise WommError(
                f"{tag} can't be pushed ({failure.message})", f"`{self.name} login`, or another --prefix"
            ) from failure

    def _digest(self, tag: str) -> str:
        # Of an image that has been pushed; docker leaves its default registry out of the name.
        for name in self.known("image", tag).get("RepoDigests") or []:
            repository, _, digest = name.partition("@")
            if f"/{repository_of(tag)}".endswith(f"/{repository}"):
                return str(digest)
        return ""

    def _load(self, tag: str) -> str:
        # A name that no other content ever has: a node that has an image of that name has this one.
        number = str(self.known("image", tag)["Id"]).removeprefix("sha256:")
        name = f"{tag}-{number[:12]}"
        run(self.argv("tag", tag, name))
        try:
            show([*self.load, name])
        except CommandFailed as failure:
            raise WommError(
                f"{name} can't be loaded ({failure.message})",
                f"try it yourself: {shlex.join([*self.load, name])}",
            ) from failure
        return name

    def pull(self, image: str, platform: str = "") -> None:
        """Pull an image, with the engine's own progress; `platform` as for build. Raises CommandFailed."""
        chosen = ["--platform", platform] if platform else []
        (run if is_quiet() else show)(self.argv("pull", *chosen, *self._plain_http(image), image))

    def _plain_http(self, image: str) -> list[str]:
        # The option of push and pull without which podman would refuse a registry on this machine.
        plain = self.name == "podman" and registries.is_here(registries.host(image))
        return ["--tls-verify=false"] if plain else []

    def architecture(self, image: str) -> str:
        """The image's architecture as nodes spell it (kubernetes.io/arch)."""
        return str(self.known("image", image)["Architecture"])

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """What the engine knows of an image or a container; empty if there is none.

        Raises WommError if it does not say: what it does not show may be somebody's work.
        """
        done = attempt(self.argv(kind, "inspect", name))
        if done.status != 0 and not _UNKNOWN.search(done.stderr):
            said = done.stderr.decode(errors="replace").strip() or f"exit status {done.status}"
            raise WommError(f"{self.name} doesn't answer ({said})", f"see `{self.name} version`")
        found: list[dict[str, Any]] = json.loads(done.stdout) if done.status == 0 else []
        return found[0] if found else {}

    def known(self, kind: str, name: str) -> dict[str, Any]:
        """The same of one that has to be there. Raises WommError."""
        if found := self.inspect(kind, name):
            return found
        raise WommError(f"the {kind} {name} is gone", f"was it removed meanwhile? `{self.name} {kind} ls`")

    def drop(self, *words: str, patience: float | None = None) -> None:
        """Remove something that may be gone already: `container rm NAME`, `image rm TAG`."""
        attempt(self.argv(*words), patience=patience)


def load_command(text: str | None) -> tuple[str, ...]:
    """The words of --load, split as a shell does; () for None.

    Raises WommError unless they begin with a program that is there.
    """
    if text is None:
        return ()
    way_out = "for example --load 'kind load docker-image'"
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise WommError(f"--load {shlex.quote(text)}: {error}", way_out) from error
    if not words:
        raise WommError("--load names no command", way_out)
    tool(words[0])
    return tuple(words)


def find(wanted: str | None = None) -> Engine:
    """The engine to use: the one that is `wanted`, else the first that answers. Raises WommError."""
    names = [name for name in NAMES if name == wanted] or NAMES
    broken: WommError | None = None
    for name in names:
        # The one before may have been ended by a signal.
        signals.check()
        try:
            if probe([name, "version"], patience=_ANSWER):
                return Engine(name)
        except WommError as error:
            broken = broken or error
    if broken is not None:
        raise broken
    there = next((name for name in names if shutil.which(name)), names[0])
    # One that is remembered may be there no more.
    others = [name for name in NAMES if name not in names and shutil.which(name)]
    another = "".join(f"; or take another one: womm setup --engine {name}" for name in others)
    tool(there, _INSTALL[there] + another)
    raise WommError(
        f"{there} doesn't answer",
        f"start its daemon, or join the group that may use it: see `{there} version`{another}",
    )


def repository_of(tag: str) -> str:
    """An image's name without its tag."""
    # The last colon is the tag's unless a port's slash follows it.
    name, colon, last = tag.rpartition(":")
    return name if colon and "/" not in last else tag
