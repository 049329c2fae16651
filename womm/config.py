"""What womm remembers: `.womm` in a set-up directory, and the user's own settings.

`.womm` is one JSON file. Like git's, it serves its whole subtree: the nearest one upwards counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from womm.errors import WommError
from womm.kubectl import Kube, KubeChoice
from womm.trust import demand, is_trusted, shown
from womm.trust import directory as state_directory
from womm.trust import remember as remember_trust

FILE_NAME = ".womm"
#: The shares that are sent when a run begins; of the second, what jobs change comes back.
COPIES = (EAGER, SYNCBACK) = ("eager", "syncback")
#: The one whose files come when a job opens them; it is always over NFS.
LAZY = "lazy"
#: How pods see those: each has a copy, or all have one over NFS; AUTO finds out what works.
VIA = (AUTO, NFS, COPY) = ("auto", "nfs", "copy")
#: Raised with every change that older versions can't read.
FORMAT = 1
#: Bytes that a share may send without a question.
SHARE_LIMIT = 2_000_000_000


@dataclass(frozen=True)
class Project:
    """One set-up directory.

    `image` names the pods' image by digest; `arch` is its architecture as the nodes' label spells
    it; `uid`, `gid`, `user` and `home` are those inside the pods.
    """

    directory: str
    share: str
    image: str
    arch: str
    base_image: str
    prefix: str
    namespace: str
    context: str
    kubeconfig: str | None
    uid: int
    gid: int
    user: str
    home: str
    #: The Secret with which the cluster pulls the image; None where it needs none.
    pull_secret: str | None = None
    #: Bytes that the user has permitted to be shared.
    share_limit: int = SHARE_LIMIT
    #: NFS or COPY: how pods see a share that is sent.
    via: str = COPY

    @property
    def choice(self) -> KubeChoice:
        """The cluster and namespace that setup chose."""
        return KubeChoice(self.namespace, self.context, self.kubeconfig)

    @property
    def over_nfs(self) -> bool:
        """Whether pods see the directory over NFS."""
        return self.share == LAZY or (self.share in COPIES and self.via == NFS)


def working_directory() -> Path:
    """Where womm was called. Raises WommError if that directory is gone."""
    try:
        return Path.cwd()
    except OSError as error:
        raise WommError("this directory is gone", "cd to one that exists") from error


def find(start: Path) -> Path | None:
    """Return the nearest directory upwards from `start` that was set up; None if there is none."""
    return next((d for d in (start, *start.parents) if (d / FILE_NAME).is_file()), None)


def load(start: Path, trust: bool = False, may_ask: bool = True) -> Project:
    """Read the configuration that serves `start`. Raises WommError with the way out.

    One that this user did not make is shown and asked about once, unless he says that he trusts it, or it
    is not the time for questions.
    """
    directory = find(start)
    if directory is None:
        raise WommError("this directory is not set up", "run `womm setup` here, or in a parent")
    project, written = _read(directory)
    demand(directory / FILE_NAME, written, lambda: _story(project), trust, may_ask)
    return project


def earlier(directory: Path) -> Project | None:
    """What an earlier setup of this very directory has chosen, if it can be read and was the user's own."""
    try:
        project, written = _read(directory)
    except WommError:
        return None
    return project if is_trusted(directory / FILE_NAME, written) else None


def _read(directory: Path) -> tuple[Project, bytes]:
    # Returns the file's content, too. Raises WommError.
    path = directory / FILE_NAME
    again = f"run `womm setup` in {directory} again"
    try:
        written = path.read_bytes()
        content: Any = json.loads(written)
        version = content.pop("format")
        if version != FORMAT:
            raise WommError(f"{path} is of another version of womm (format {shown(str(version))})", again)
        project = Project(**content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WommError(f"{path} can't be read ({shown(str(error))})", again) from error
    _check_types(project, path, again)
    if Path(project.directory) != directory:
        raise WommError(f"this directory was {shown(project.directory)} when it was set up", again)
    return project, written


def _story(project: Project) -> list[str]:
    # What a file of others could do to its user.
    kubeconfig = project.kubeconfig or "your own"
    server = Kube(project.namespace, project.context, project.kubeconfig).server()
    return [
        f"directory {project.directory}, share {project.share}",
        f"image {project.image}",
        f"namespace {project.namespace}, context {project.context}, kubeconfig {kubeconfig}",
        f"server {server or 'unknown'}",
    ]


def save(project: Project) -> Path:
    """Write `.womm` into the project's directory; it appears whole or not at all. It is trusted, if that
    can be remembered."""
    path = Path(project.directory) / FILE_NAME
    written = _write(path, {"format": FORMAT, **asdict(project)})
    with contextlib.suppress(WommError):
        remember_trust(path, written)
    return path


def identity(directory: str | Path) -> str:
    """What tells this directory from every other: of this user, on this machine; hexadecimal digits."""
    text = f"{socket.gethostname()}\0{os.getuid()}\0{directory}"
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def machine() -> str:
    """What tells this user on this machine from every other, and says neither's name; hexadecimal digits."""
    text = f"{socket.gethostname()}\0{os.getuid()}"
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def user_directory() -> Path:
    """Where womm keeps what it remembers of this user: $XDG_CONFIG_HOME/womm."""
    root = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        return (Path(root) if os.path.isabs(root) else Path.home() / ".config") / "womm"
    except RuntimeError as error:
        raise WommError("you have no home directory to remember things in", "set HOME") from error


def remembered(key: str) -> str | None:
    """What the user's settings hold under `key`, if anything; an unreadable file holds nothing."""
    try:
        value = _settings().get(key)
    except (OSError, ValueError, WommError):
        return None
    return value if isinstance(value, str) else None


def remember(key: str, value: str) -> None:
    """Keep `value` under `key` in the user's settings. Raises WommError if it can't be written."""
    path = user_directory() / "settings.json"
    try:
        settings = _settings()
    except (OSError, ValueError):
        settings = {}
    _write(path, {**settings, key: value})


def forget(key: str) -> None:
    """Drop `key` from the user's settings. Raises WommError if they can't be written."""
    settings = {name: value for name, value in _settings().items() if name != key}
    _write(user_directory() / "settings.json", settings)


def cannot_remember() -> str:
    """Why nothing can be kept for this user beside the directory's own file; "" if it can."""
    try:
        for directory in (user_directory(), state_directory()):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(directory, os.W_OK | os.X_OK):
                return f"{directory} can't be written"
    except OSError as error:
        return f"{error.filename} can't be made: {error.strerror}"
    except WommError as error:
        return error.message
    return ""


def _settings() -> dict[str, Any]:
    content: Any = json.loads((user_directory() / "settings.json").read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _check_types(project: Project, path: Path, again: str) -> None:
    for field in fields(Project):
        value = getattr(project, field.name)
        expected = int if field.name in ("uid", "gid", "share_limit") else str
        # A bool is an int to Python, and not to us.
        if (type(value) is expected and "\0" not in str(value)) or (
            value is None and field.name in ("kubeconfig", "pull_secret")
        ):
            continue
        raise WommError(f"{path} can't be read ({field.name} is {value!r})", again)


def _write(path: Path, content: dict[str, Any]) -> bytes:
    # Returns what is written.
    text = (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with open(descriptor, "wb") as file:
                file.write(text)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise WommError(
            f"{path} can't be written ({error.strerror})", "make room there, or see whose it is"
        ) from error
    return text
