"""What tests share: a hermetic environment, stubs of programs, and polling.

Nothing here acts on its own: a file of tests asks for `hermetic` by `pytestmark`.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from womm import output

#: Programs that a test must never reach but by a stub of its own.
FORBIDDEN = ("kubectl", "docker", "podman", "ssh")
#: Variables that change what womm or the programs under it do.
FOREIGN = (
    "WOMM_",
    "PARALLEL",
    "XDG_",
    "KUBE",
    "DOCKER_",
    "POSIXLY_CORRECT",
    "PERL",
    "PYTHONPATH",
    "COLUMNS",
    "LINES",
)

_LOUD = """\
#!/bin/sh
echo "unexpected call in a test: $0 $*" >&2
exit 99
"""


class Hermetic:
    """A home, configuration and PATH of the test's own."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.home = root / "home"
        self.bin = root / "bin"
        self.runtime = root / "run"
        self.kubeconfig = root / "kubeconfig"
        for directory in (self.home, self.bin):
            directory.mkdir()
        self.runtime.mkdir(mode=0o700)
        self._monkeypatch = monkeypatch

    def stub(self, name: str, script: str) -> Path:
        """Put a program `name` into PATH, before all others; `script` begins with its #! line."""
        path = self.bin / name
        path.write_text(script)
        path.chmod(0o755)
        return path

    def real(self, name: str) -> None:
        """Let the machine's own `name` be found in place of the loud stub."""
        (self.bin / name).unlink()

    def only(self, *names: str) -> None:
        """Let PATH hold nothing but the test's own directory, with links to these programs."""
        for stub in self.bin.iterdir():
            stub.unlink()
        for name in names:
            found = shutil.which(name)
            assert found is not None, name
            (self.bin / name).symlink_to(found)
        self._monkeypatch.setenv("PATH", str(self.bin))


#: Characters of a parameter, beyond which a test is not named by it.
_LONGEST_NAME = 1000


@pytest.fixture
def hermetic(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Hermetic:
    """A temporary HOME, XDG directories and KUBECONFIG; kubectl and docker fail loudly."""
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    # Short and plain: womm refuses to keep its sockets and logins under anything else.
    world = Hermetic(tmp_path_factory.mktemp("w"), monkeypatch)
    for name in FORBIDDEN:
        world.stub(name, _LOUD)
    monkeypatch.setenv("HOME", str(world.home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(world.runtime))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(world.home / ".config"))
    monkeypatch.setenv("KUBECONFIG", str(world.kubeconfig))
    monkeypatch.setenv("PATH", f"{world.bin}:{os.environ['PATH']}")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setattr(output, "_quiet", False)
    return world


@pytest.fixture
def kubectl(hermetic: Hermetic) -> str:
    """A kubectl: this machine's own, else a stand-in that reads YAML and kubeconfigs without a cluster."""
    loud = hermetic.bin / "kubectl"
    loud.unlink()
    found = shutil.which("kubectl")
    if found is None:
        stand_in = Path(__file__).parent / "kubectl-stand-in"
        loud.write_text(f"#!{sys.executable}\n{stand_in.read_text()}")
        loud.chmod(0o755)
    return "kubectl"


@pytest.fixture
def womm() -> list[str]:
    """The beginning of a command line that runs this checkout's womm in a process of its own."""
    return [sys.executable, "-m", "womm"]


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Poll until `condition` is true; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Keep what names a test short: it is in the environment, where too much lets no program start."""
    return f"{len(val)}-long" if isinstance(val, (bytes, str)) and len(val) > _LONGEST_NAME else None
