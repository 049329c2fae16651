"""The sandbox seen as a stranger's cluster: WOMM_KUBE_CONTEXT, and nothing that only the sandbox has."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from kit import REGISTRY, ROOT, call, good, kubectl
from loading import loading

pytestmark = [
    pytest.mark.sandbox("it plays the stranger's cluster"),
    pytest.mark.xdist_group("docker"),
]


@pytest.fixture
def stranger(tmp_path: Path) -> dict[str, str]:
    """The environment of a user whose kubeconfig has this cluster under a name of its own.

    Its current context is of another one, which does not answer. No way of images to the cluster is said.
    """
    view = json.loads(good(["kubectl", "config", "view", "--raw", "--minify", "--flatten", "-o", "json"]))
    context = view["contexts"][0]["context"]
    view["clusters"].append({"name": "gone", "cluster": {"server": "https://127.0.0.1:1"}})
    view["contexts"] = [
        {"name": "my own", "context": {**context, "namespace": "default"}},
        {"name": "other", "context": {**context, "cluster": "gone"}},
    ]
    view["current-context"] = "other"
    config = tmp_path / "config"
    config.write_text(json.dumps(view))
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "kubectl").symlink_to(shutil.which("kubectl") or "")
    # A sandbox that is another one, and down: a command that reached for it would take long, and say so.
    return {
        "PATH": f"{tools}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "KUBECONFIG": str(config),
        "DOCKER_HOST": os.environ["DOCKER_HOST"],
        "WOMM_BASE_IMAGE": os.environ["WOMM_BASE_IMAGE"],
        "WOMM_KUBE_CONTEXT": "my own",
        "WOMM_SANDBOX_STATE": str(tmp_path / "no-state"),
    }


def suite(stranger: dict[str, str], chosen: str, passed: int) -> dict[str, str]:
    """Run the chosen cluster tests, of which so many pass; return the names of those left out, and why."""
    done = call(["make", "test-cluster", f"ARGS=-k '{chosen}'"], cwd=ROOT, env=stranger)
    said = done.out.decode() + done.messages
    assert done.status == 0, said
    assert re.search(rf"^{passed} passed, 0 failed$", said, re.MULTILINE), said
    return dict(re.findall(r"^deselected: .*::(\S+) \((.*)\)$", said, re.MULTILINE))


def untouched(stranger: dict[str, str], config: str) -> bool:
    """Whether neither the sandbox nor the user's kubeconfig was touched, and no copy of that is left."""
    home = Path(stranger["HOME"])
    left = [home / "no-state", *home.glob("tmp.*")]
    return (home / "config").read_text() == config and not any(path.exists() for path in left)


def test_the_suite_runs_on_a_context_and_names_what_it_leaves_out(stranger: dict[str, str]) -> None:
    before = Path(stranger["KUBECONFIG"]).read_text()
    chosen = "three_colons or named_by_digest or as_root_is or stands_still or job_at_a_time"
    assert suite({**stranger, "WOMM_TEST_PREFIX": REGISTRY}, chosen, passed=2) == {
        "test_a_pod_that_stands_still_is_given_up_and_kills_its_job_when_it_goes_on": (
            "needs the sandbox: the processes in a pod are stopped from this machine"
        ),
        "test_as_root_is_for_root": "needs the sandbox: an account that is not root's uses its docker",
        "test_the_image_is_named_by_digest_and_its_repository_is_the_directorys_slug": (
            "needs the sandbox: its registry is asked over plain http"
        ),
    }
    assert untouched(stranger, before)


@pytest.mark.timeout(300)
def test_a_command_that_loads_images_takes_the_registrys_place_in_the_demo_and_the_suite(
    stranger: dict[str, str], tmp_path: Path
) -> None:
    before = Path(stranger["KUBECONFIG"]).read_text()
    with loading(tmp_path) as load:
        stranger["WOMM_TEST_LOAD"] = load
        demo = call(["make", "demo"], cwd=ROOT, env=stranger)
        assert demo.status == 0, demo.messages
        assert "wc here counts the same" in demo.messages
        # Its file server's image is not there much longer.
        kubectl("delete", "namespace", "womm-demo")
        assert suite(stranger, "main_job_counts or prefix_gets_its_slash", passed=1) == {
            "test_a_prefix_gets_its_slash_and_is_remembered_for_the_next_directory": (
                "needs a registry, and WOMM_TEST_LOAD is in its place: its prefix is what is remembered"
            )
        }
    assert untouched(stranger, before)
