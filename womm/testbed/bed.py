"""One testbed: a container of the base, in which the user installs what jobs need; then it is an image."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from womm import config, signals, terminal
from womm.engine import Engine
from womm.errors import CommandFailed, Interrupted, WommError
from womm.files import SCRIPTS
from womm.image import Account
from womm.output import progress, warn
from womm.process import Done, attempt, run, show
from womm.testbed import delivery, environment, mounts
from womm.testbed.base import local_name, restore
from womm.testbed.container import Container

WELCOME = """\
This is a *local* shell where any dependencies you install will be saved.
`sudo` installs, what you export reaches your jobs, your directory is the real one.
Make it work! `exit` when it does."""

#: The label that tells whose work it is.
BY = "womm.dev/by"
# A tmpfs: no commit takes what is there.
_SCRIPTS = "/run/womm"
# Seconds for the end of the shells when womm itself has to end: they are killed after 3.
_PATIENCE = 15.0


class Bed(Container):
    """A container that runs.

    It is kept, whatever happens, until `save` has made an image of it or `discard` is called: see kept.py.
    """

    def shell(self) -> int:
        """Let the user in; returns his shell's status.

        What he exports is kept at the shell's end, even if that is a signal's or the terminal's.
        """
        self.make_ready()
        progress(WELCOME)
        there = ("--workdir", self.directory)
        shell = [f"{_SCRIPTS}/testbed-shell"]
        try:
            with terminal.taken() as on_terminal:
                status = self.enter(*there, command=shell, on_terminal=on_terminal)
        except Interrupted:
            # A terminal that is closed ends the engine's program, but not the shell behind it.
            signals.shield()
            attempt(self._closing(), patience=_PATIENCE)
            raise
        if not self.running:
            raise WommError(
                f"the container has ended under the shell; what was done in it is kept ({self.name})",
                "womm setup --yes --resume saves it",
            )
        return status

    def run(self, commands: Sequence[str]) -> None:
        """Run these lines as root in one shell of the container. Raises WommError if one fails."""
        self.make_ready()
        run_ = [f"{_SCRIPTS}/testbed-run", *commands]
        try:
            show(self._exec("--user", "0:0", *self.names, command=run_))
        except CommandFailed as failure:
            raise WommError(
                f"--run failed with status {failure.status}", "its own lines above say why"
            ) from failure

    def changes(self) -> dict[str, str | None]:
        """What jobs will find exported (None: unset) beside the image's own environment.

        Raises WommError if the engine doesn't answer: there could be a secret in it.
        """
        look = f"[ ! -f {environment.FILE} ] || cat {environment.FILE}"
        return environment.decode(run(self._exec("--user", "0:0", command=["sh", "-c", look])).stdout)

    def likely_secrets(self, known: Mapping[str, str | None] | None = None) -> list[str]:
        """The names of what it exports, beside what is `known`, that look like secrets."""
        changes = self.changes().items()
        return environment.likely_secrets(
            n for n, v in changes if v is not None and v != (known or {}).get(n)
        )

    def has(self, program: str) -> bool:
        """Whether jobs will find this program. Raises WommError if the engine doesn't answer."""
        # A word for each answer: an engine's own status 1 is neither.
        look = f"command -v {program} >/dev/null && echo yes || echo no"
        return run(self._exec("--user", "0:0", command=["sh", "-c", look])).text.strip() == "yes"

    def install(self, program: str) -> None:
        """Install what every image needs, with its own package manager. Raises WommError."""
        self._run_as_root(delivery.program(["install-tool"], _SCRIPTS))
        try:
            show(self._exec("--user", "0:0", command=["sh", f"{_SCRIPTS}/install-tool", program]))
        except CommandFailed as failure:
            raise WommError(f"{program} can't be installed", "its own lines above say why") from failure

    def forget(self, names: Collection[str]) -> None:
        """Leave these variables out."""
        left = {name: value for name, value in self.changes().items() if name not in names}
        self._run_as_root(environment.encode(left), "-c", f"cat >{environment.FILE}")

    def close(self) -> None:
        """End the shells that are open, one in another terminal, too: what they export changes no more."""
        self.make_ready()
        run(self._closing())

    def save(self, tag: str) -> None:
        """Make the image `tag` of it, once it is closed, and remove the container."""
        run(self.engine.argv("stop", "--time", "5", self.name))
        progress(f"womm: saving {tag}")
        self.commit(tag)
        run(self.engine.argv("tag", tag, local_name(self.directory, "saved")))
        self.discard()

    def commit(self, tag: str) -> None:
        """Make the image `tag` of what is in it now; it need not run."""
        # As pods need it, whatever the base had.
        changes = [
            "ENTRYPOINT []",
            'CMD ["/bin/sh"]',
            f"USER {self.account.uid}:{self.account.gid}",
            "WORKDIR /",
        ]
        run(self.engine.argv("commit", *(f"--change={c}" for c in changes), self.name, tag))
        # What a commit says of a variable that the container has counts for nothing.
        if given := self.withdrawn_proxies():
            restore(self.engine, tag, given)

    def discard(self) -> None:
        """Throw the container away, and the images that it was made from."""
        self.remove()
        for what in ("base", "dockerfile"):
            self.engine.drop("image", "rm", local_name(self.directory, what))

    def remove(self) -> None:
        """Throw the container away."""
        attempt(self.removal)

    def make_ready(self) -> None:
        """See to it that the container runs, and has what the shell needs: it may have been stopped."""
        run(self.engine.argv("start", self.name))
        scripts = sorted(path.name for path in SCRIPTS.glob("testbed-*"))
        open_ = f"exec sh {_SCRIPTS}/testbed-open {self.account.uid} {self.account.gid}\n"
        done = self._run_as_root(delivery.program(scripts, _SCRIPTS) + open_.encode())
        if done.stderr:
            warn(done.stderr.decode(errors="replace").strip().removeprefix("womm: "))

    def _run_as_root(self, stdin: bytes, *arguments: str) -> Done:
        # A sh with this stdin. Raises CommandFailed.
        with tempfile.NamedTemporaryFile(prefix="womm-testbed-") as file:
            file.write(stdin)
            file.flush()
            argv = self._exec("--interactive", "--user", "0:0", command=["sh", *arguments])
            return run(argv, stdin=Path(file.name))

    def _exec(self, *options: str, command: Sequence[str]) -> list[str]:
        return self.exec("--workdir", self.directory, *options, command=command)

    def _closing(self) -> list[str]:
        account = self.account
        close = [f"{_SCRIPTS}/testbed-close", str(account.uid), str(account.gid), account.home]
        close.append(self.directory)
        return self._exec("--user", "0:0", command=close)


def container_name(directory: str) -> str:
    """The name of the container of a directory's testbed."""
    return f"womm-testbed-{config.identity(directory)[:12]}"


def open_bed(
    engine: Engine,
    image: str,
    account: Account,
    directory: str,
    container: str,
    *,
    by: str,
    platform: str = "",
) -> Bed:
    """Start a container of `image`, which has been prepared for the account and the directory.

    `by` says whose work it will hold: a "shell"'s can't be done again without the user, a "run"'s can.
    Raises WommError.
    """
    bed = Bed(engine, account, directory, container)
    # The image has all that the container has, too: nothing of the base's own life shall go on in pods.
    words = ["--label", f"{BY}={by}", "--stop-signal", "SIGTERM", "--user", "0:0"]
    words += ["--tmpfs", f"{_SCRIPTS}:exec,suid,mode=0755"]
    mounted = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    root = mounts.host_root(mounted, directory, account.home)
    # Without what only some engines allow: the machine's root, seen from podman without root.
    for extra in [root, []] if root else [[]]:
        done = bed.create(image, *words, *extra, platform=platform)
        if done.status != 0:
            # There is none, or one of that name that is not ours: it may hold somebody's work.
            continue
        done = bed.start()
        if done.status == 0:
            break
        bed.remove()
    else:
        raise bed.refused(done)
    if extra:
        progress(f"womm: this machine's files are in {mounts.HOST}, read-only")
    else:
        why = "this engine does not allow it" if root else "your own are there"
        warn(f"this machine's files are not in {mounts.HOST}: {why}")
    return bed
