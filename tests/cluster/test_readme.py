"""The README's commands run as they stand, and `make demo` does what it says."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import ROOT, Done, User, call, kubectl, new_namespace
from servers import drop_nfs_server

pytestmark = pytest.mark.xdist_group("docker")

#: What sets the stage for the commands (this suite does that), and what the demo's own test runs.
STAGE = ("make demo", "eval ", "make vendor")


def commands() -> list[str]:
    """The commands of the README's shell blocks, in their order, without those that set the stage."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if not line.startswith(STAGE)]


@pytest.fixture(scope="module")
def newcomer(home: User, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a user whose kubectl points to an empty namespace."""
    config = tmp_path_factory.mktemp("kube") / "config"
    shutil.copy(os.environ["KUBECONFIG"], config)
    with new_namespace("readme") as namespace:
        kubectl("--kubeconfig", str(config), "config", "set-context", "--current", f"--namespace={namespace}")
        yield {**home.environment, "KUBECONFIG": str(config)}
        drop_nfs_server(namespace)


@pytest.mark.timeout(600)
@pytest.mark.sandbox("the README's commands name its registry")
def test_the_readmes_commands_run_as_they_stand(newcomer: dict[str, str], tmp_path: Path) -> None:
    directory = tmp_path / "My project"
    directory.mkdir()
    for n in (1, 2, 3):
        (directory / f"file {n}").write_text("line\n" * n)

    def shell(line: str) -> Done:
        return call(["bash", "-o", "pipefail", "-c", line], cwd=directory, env=newcomer, limit=300)

    main_job, *others = commands()
    # The first is what the page begins with: it needs what follows it.
    assert shell(main_job).status == 125
    seen = {}
    for line in [*others, main_job]:
        seen[line] = shell(line)
        assert seen[line].status == 0, f"{line}: {seen[line].messages}"
        if "kubectl apply" in line:
            namespace = shell("kubectl config view --minify -o 'jsonpath={..namespace}'").out.decode()
            kubectl("-n", namespace, "rollout", "status", "deployment/womm-server", "--timeout=120s")
    expected = shell("find -type f -exec wc -l {} \\;").lines
    assert seen[main_job].lines == expected
    assert (directory / "jobs.tsv").read_text().count("\n") == 4


def test_make_demo_counts_in_pods_what_wc_counts_here() -> None:
    # With the caches that the sandbox was made from: another HOME would have none.
    # As a user types it: a make that is called by another one tells of it on stdout.
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = call(["make", "demo"], cwd=ROOT, env=own, limit=170)
    assert done.status == 0, done.messages
    assert "wc here counts the same" in done.messages
    assert re.search(r"[0-9.]+ s  womm parallel\n", done.messages)
    assert re.fullmatch(r"([0-9]+ \./.+\n){10,}", done.out.decode())
