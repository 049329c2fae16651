"""A container that idles, and its user's way into it: what setup's shell and `womm shell --local` share."""

from __future__ import annotations

import contextlib
import os
import termios
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from womm.engine import Engine
from womm.errors import WommError
from womm.image import Account
from womm.manifests import script
from womm.process import Done, attempt, interact
from womm.testbed import mounts, proxies

#: The label that names the directory that a container is for.
DIRECTORY = "womm.dev/directory"

_NOTHING: Mapping[str, str] = MappingProxyType({})
# The keys with which docker would leave a shell are ones that nobody types (by default Ctrl-P hangs).
_DETACH = "--detach-keys=ctrl-^,ctrl-@,ctrl-^"


@dataclass(frozen=True)
class Container:
    """One container; `directory` is the one that is set up, which it sees at its own path."""

    engine: Engine
    account: Account
    directory: str
    name: str

    def create(
        self, image: str, *options: str, platform: str = "", env: Mapping[str, str] = _NOTHING
    ) -> Done:
        """Try to make it of `image`, with the engine's `options`; its process 1 is as a pod's.

        `env` is added to the engine's program's own environment.
        """
        words = ["--name", self.name, "--label", f"{DIRECTORY}={self.directory}"]
        words += ["--no-healthcheck", "--workdir", "/", "--security-opt", "label=disable"]
        words += ["--platform", platform] if platform else []
        if self.engine.name == "podman":
            # Its own variables are not the jobs'.
            words += ["--unsetenv", "TERM", "--unsetenv", "container"]
        if self.engine.name == "podman" and os.getuid() != 0:
            # Else the user would be root in there, and his files somebody else's.
            words += ["--userns=keep-id"]
        words += mounts.directory(self.directory)
        # No entrypoint at all: docker's commit can change one, but not take it away.
        program = ["--entrypoint", "", image, "perl", "-e", script("pod-init.pl")]
        # Ctrl-C comes to us, who see it to its end.
        return attempt(self.engine.argv("create", *words, *options, *program), env=env, detached=True)

    def start(self, env: Mapping[str, str] = _NOTHING) -> Done:
        """Try to start it. `env`: see create."""
        return attempt(self.engine.argv("start", self.name), env=env, detached=True)

    def refused(self, done: Done) -> WommError:
        """The error for a start that failed."""
        said = done.stderr.decode(errors="replace").strip()
        return WommError(
            f"the container can't be started: {said}",
            f"can `{self.engine.name} create` mount {self.directory}?",
        )

    def exec(self, *options: str, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in it."""
        return self.engine.argv("exec", *options, self.name, *command)

    @property
    def names(self) -> list[str]:
        """The options that tell a program who its user is."""
        account = self.account
        names = {"HOME": account.home, "USER": account.user, "LOGNAME": account.user}
        return [word for name, value in names.items() for word in ("--env", f"{name}={value}")]

    def enter(
        self, *options: str, command: Sequence[str], on_terminal: bool, env: Mapping[str, str] = _NOTHING
    ) -> int:
        """Let the user in: run `command` as him, with his own streams; returns its status.

        An engine's program that a signal ends may leave the command behind. `env`: see create.
        """
        words = ["--interactive", "--user", f"{self.account.uid}:{self.account.gid}", *self.names]
        if on_terminal:
            words += ["--tty", _DETACH, "--env", f"TERM={os.environ.get('TERM') or 'dumb'}"]
        with _terminal_restored():
            return interact(self.exec(*words, *options, command=command), env)

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return bool(self.engine.inspect("container", self.name).get("State", {}).get("Running"))

    def withdrawn_proxies(self) -> list[str]:
        """What the variables of proxies that it got from the engine were in its image (NAME=VALUE)."""
        container = self.engine.known("container", self.name)
        image = self.engine.known("image", container["Image"])
        own, its = (known["Config"].get("Env") or [] for known in (container, image))
        return proxies.withdrawn(own, its)

    @property
    def removal(self) -> list[str]:
        """The command line that throws it away."""
        return self.engine.argv("container", "rm", "--force", "--volumes", self.name)


@contextlib.contextmanager
def _terminal_restored() -> Iterator[None]:
    # The engine puts it into raw mode, and one that a signal ends leaves it there.
    try:
        before = termios.tcgetattr(0)
    except termios.error:
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(0, termios.TCSADRAIN, before)
