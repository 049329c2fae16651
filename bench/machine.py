"""What the figures were measured on: the machine and the versions."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
from pathlib import Path

from bench.place import PARALLEL, ROOT, good, kubectl


def facts() -> dict[str, str]:
    """The machine, the date, and the version of everything that has a part in the figures."""
    versions = json.loads(kubectl("version", "-o", "json"))
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_cpu()}, {os.cpu_count()} cores, {_memory()} GiB, all of the cluster on it",
        "kernel": platform.release(),
        "load average before": f"{os.getloadavg()[0]:.1f} (a busy machine's figures are worth little)",
        "Kubernetes": versions["serverVersion"]["gitVersion"],
        "kubectl": versions["clientVersion"]["gitVersion"],
        "GNU parallel": good(["perl", PARALLEL, "--version"]).split("\n")[0].split()[-1],
        "Python": platform.python_version(),
        "womm": _commit(),
    }


def _cpu() -> str:
    named = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return named[1] if named else platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)


def _commit() -> str:
    git = ["git", "-c", "safe.directory=*", "-C", ROOT]
    commit = good([*git, "rev-parse", "--short=12", "HEAD"]).strip()
    changed = good([*git, "status", "--porcelain", "--", "womm"]).strip()
    return f"commit {commit}{' with changes that are not committed' if changed else ''}"
