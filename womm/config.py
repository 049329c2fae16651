"""What womm remembers: `.womm` in a set-up directory, and the user's own settings.

`.womm` is one JSON file. Like git's, it serves its whole subtree: the nearest one upwards counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from womm.errors import WommError
from womm.kubectl import KubeChoice

FILE_NAME = ".womm"
#: Raised with every change that older versions can't read.
FORMAT = 1


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

    @property
    def choice(self) -> KubeChoice:
        """The cluster and namespace that setup chose."""
        return KubeChoice(self.namespace, self.context, self.kubeconfig)


def working_directory() -> Path:
    """Where womm was called. Raises WommError if that directory is gone."""
    try:
        return Path.cwd()
    except OSError as error:
        raise WommError("this directory is gone", "cd to one that exists") from error


def find(start: Path) -> Path | None:
    """Return the nearest directory upwards from `start` that was set up; None if there is none."""
    return next((d for d in (start, *start.parents) if (d / FILE_NAME).is_file()), None)


def load(start: Path) -> Project:
    """Read the configuration that serves `start`. Raises WommError with the way out."""
    directory = find(start)
    if directory is None:
        raise WommError("this directory is not set up", "run `womm setup` here, or in a parent")
    path = directory / FILE_NAME
    again = f"run `womm setup` in {directory} again"
    try:
        owner = path.stat().st_uid
        if owner not in (os.getuid(), 0):
            # It names an image, a cluster, a kubeconfig (which may name programs): as good as a script.
            raise WommError(
                f"{path} is somebody else's (uid {owner})", "run `womm setup` in a directory of yours"
            )
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        version = content.pop("format")
        if version != FORMAT:
            raise WommError(f"{path} is of another version of womm (format {version})", again)
        project = Project(**content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WommError(f"{path} can't be read ({error})", again) from error
    _check_types(project, path, again)
    if Path(project.directory) != directory:
        raise WommError(f"this directory was {project.directory} when it was set up", again)
    return project


def save(project: Project) -> Path:
    """Write `.womm` into the project's directory; it appears whole or not at all."""
    path = Path(project.directory) / FILE_NAME
    _write(path, {"format": FORMAT, **asdict(project)})
    return path


def identity(directory: str | Path) -> str:
    """What tells this directory from every other: of this user, on this machine; hexadecimal digits."""
    text = f"{socket.gethostname()}\0{os.getuid()}\0{directory}"
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
    except (OSError, ValueError):
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


def _settings() -> dict[str, Any]:
    content: Any = json.loads((user_directory() / "settings.json").read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _check_types(project: Project, path: Path, again: str) -> None:
    for field in fields(Project):
        value = getattr(project, field.name)
        expected = int if field.name in ("uid", "gid") else str
        # A bool is an int to Python, and not to us.
        if type(value) is expected or (value is None and field.name == "kubeconfig"):
            continue
        raise WommError(f"{path} can't be read ({field.name} is {value!r})", again)


def _write(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise WommError(f"{path} can't be written ({error.strerror})") from error
