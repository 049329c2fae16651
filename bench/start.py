"""From nothing to a job's output and back to nothing: `womm parallel`, and the same with kubectl by hand.

Once with the sandbox's own credentials, and once with a plugin that takes a second for them, as the
clouds' do: then it shows how often kubectl is started before the first job.
"""

from __future__ import annotations

import base64
import json
import shlex
import shutil
import time
from collections.abc import Callable

from bench.figures import Bound, Report, Table, amount, medians
from bench.made import write_script
from bench.measure import Wrong, measured
from bench.place import LIMIT, Bench, good, pod

TITLE = "`womm parallel --kube-pods 1 -- echo ::: hi` from start to end"

_PLUGIN = "client.authentication.k8s.io/v1"


def run(bench: Bench) -> Report:
    """Measure both in turns; womm may take half a second more."""
    slow = _slow_credentials(bench)
    ways: dict[str, Callable[[], float]] = {
        "womm": lambda: _womm(bench, bench.environment),
        "by hand": lambda: _by_hand(bench, bench.environment),
        "womm, slow credentials": lambda: _womm(bench, slow),
        "by hand, slow credentials": lambda: _by_hand(bench, slow),
    }
    rounds = [{name: way() for name, way in ways.items()} for _ in range(bench.rounds(5))]
    middle = medians(rounds)
    calls, first = _calls_before_first_job(bench, slow)
    rows = [(name, amount(took, "s")) for name, took in middle.items()]
    bounds = [
        Bound("womm - by hand", middle["womm"] - middle["by hand"], 0.5, "s"),
        Bound("kubectl started before the first job", len(calls), 4),
    ]
    notes = [
        f"Medians of {len(rounds)} round(s), in turns. By hand: kubectl create, wait, exec, delete.",
        f"Slow credentials: a plugin that takes 1 s. The first job then ran after {amount(first, 's')},"
        f" and after these: {', '.join(f'kubectl {call}' for call in calls)}.",
    ]
    return Report(TITLE, [Table(("", "seconds"), rows)], bounds, notes)


def _womm(bench: Bench, environment: dict[str, str]) -> float:
    argv = [*bench.womm_parallel("--kube-pods", "1"), "--", "echo", ":::", "hi"]
    done = measured(argv, environment, cwd=bench.place.path)
    if done.out != b"hi\n":
        raise Wrong(f"the job's output was {done.out!r}")
    return done.seconds


def _by_hand(bench: Bench, environment: dict[str, str]) -> float:
    manifest = bench.scratch("start.json")
    manifest.write_text(json.dumps(pod("start", bench.image)))
    steps = (
        bench.kubectl("create", "-f", str(manifest)),
        bench.kubectl("wait", "--for=condition=Ready", "pod/start", f"--timeout={LIMIT:.0f}s"),
        bench.kubectl("exec", "start", "--", "echo", "hi"),
        bench.kubectl("delete", "pod", "start", "--wait"),
    )
    start = time.monotonic()
    done = [measured(step, environment) for step in steps]
    seconds = time.monotonic() - start
    if done[2].out != b"hi\n":
        raise Wrong(f"the output was {done[2].out!r}")
    return seconds


def _calls_before_first_job(bench: Bench, environment: dict[str, str]) -> tuple[list[str], float]:
    """What kubectl was called with before the first job ran, and the seconds until then."""
    log, directory = bench.scratch("calls"), bench.scratch("bin")
    directory.mkdir(exist_ok=True)
    real = shutil.which("kubectl")
    write_script(
        directory / "kubectl",
        f"log={shlex.quote(str(log))}\n"
        'printf "%s %s\\n" "$(date +%s.%N)" "$(printf "%s " "$@" | tr "\\n" " ")" >>"$log"\n'
        f'exec {real} "$@"\n',
    )
    environment = {**environment, "PATH": f"{directory}:{environment['PATH']}"}
    start = time.time()
    # The node is this machine: its clock is ours.
    argv = [*bench.womm_parallel("--kube-pods", "1"), "--", "date", "+%s.%N", ":::", "-u"]
    first = float(measured(argv, environment, cwd=bench.place.path).out)
    calls = [line.split(" ", 1) for line in log.read_text().splitlines()]
    return [_shown(call) for when, call in calls if float(when) <= first], first - start


def _shown(call: str) -> str:
    # The verb and what it is about: none of the options, nor where it applies.
    words = iter(call.split())
    place = ("--context", "--namespace", "--kubeconfig")
    kept = [word for word in words if word not in place or not next(words)]
    return " ".join([word for word in kept if not word.startswith("-")][:2])


def _slow_credentials(bench: Bench) -> dict[str, str]:
    """An environment whose kubeconfig gets the same credentials from a plugin that sleeps first."""
    config = json.loads(good(["kubectl", "config", "view", "--raw", "--minify", "-o", "json"]))
    user = config["users"][0]["user"]
    given = {
        "clientCertificateData": base64.b64decode(user["client-certificate-data"]).decode(),
        "clientKeyData": base64.b64decode(user["client-key-data"]).decode(),
    }
    credential = {"apiVersion": _PLUGIN, "kind": "ExecCredential", "status": given}
    plugin = bench.scratch("slow-credentials")
    write_script(plugin, f"sleep 1\nprintf '%s\\n' {shlex.quote(json.dumps(credential))}\n")
    how = {
        "apiVersion": _PLUGIN,
        "command": str(plugin),
        "interactiveMode": "Never",
        "provideClusterInfo": False,
    }
    config["users"][0]["user"] = {"exec": how}
    kubeconfig = bench.scratch("slow.kubeconfig")
    kubeconfig.write_text(json.dumps(config))
    return {**bench.environment, "KUBECONFIG": str(kubeconfig)}
