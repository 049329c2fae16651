"""The machine as the sandbox's tests see it: processes, mounts, devices, rules, settings."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from pathlib import Path

STATE = Path(os.environ.get("WOMM_SANDBOX_STATE", "/var/lib/womm-sandbox"))
RUN = Path("/run/womm-sandbox")
STRAYS = [
    "/run/containerd",
    "/run/docker",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
]


def output(*argv: str) -> str:
    """Run a program that must succeed and return its stdout."""
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def is_alive(pid: int) -> bool:
    """Tell whether a process runs (a zombie doesn't)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def rules(tool: str) -> list[str]:
    """Return what `tool`-save says but for counters, comments and tables without any content."""
    text = re.sub(r"\[\d+:\d+\]", "", output(f"{tool}-save"))
    tables = re.findall(r"^\*.*?^COMMIT", text, re.MULTILINE | re.DOTALL)
    full = [t for t in tables if re.search(r"^-A|^:\S+ (-|DROP)", t, re.MULTILINE)]
    return sorted(line.rstrip() for table in full for line in table.splitlines())


def settings() -> dict[str, str]:
    """Return the kernel's settings that networks, kubelets and engines are known to change."""
    kept = re.compile(r"(net\.(ipv4|ipv6|bridge|netfilter)|vm|kernel\.(panic|keys))[._].*")
    moving = re.compile(r".*(nf_conntrack_count|random|_mem$|fs\.).*")
    pairs = (line.partition(" = ") for line in output("sysctl", "-a").splitlines())
    return {name: v for name, _, v in pairs if kept.fullmatch(name) and not moving.fullmatch(name)}


def cgroups() -> list[str]:
    """Return the cgroups of containers, at the top of each hierarchy."""
    return sorted(
        str(group)
        for hierarchy in [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
        for group in (hierarchy / "kubepods", hierarchy / "docker")
        if group.is_dir()
    )


def machine() -> dict[str, object]:
    """Return all that `down` has to put back. Processes are looked at apart: others come and go."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    links = output("ip", "-o", "link").splitlines()
    return {
        "mounts": sorted(line.split()[4] for line in mounts),
        "links": sorted(line.split(": ")[1].partition("@")[0] for line in links),
        "routes": sorted(output("ip", "route").splitlines()),
        "iptables": rules("iptables"),
        "ip6tables": rules("ip6tables"),
        "settings": settings(),
        "cgroups": cgroups(),
        "strays": [path for path in STRAYS if Path(path).exists()],
        "policy": Path("/usr/sbin/policy-rc.d").exists(),
    }


def processes() -> dict[int, str]:
    """Return the command lines of the sandbox's processes by pid.

    Its daemons and all they start have its state as HOME, or its directories in their arguments;
    its containers are in the cgroups of pods and of Docker.
    """
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environ = (directory / "environ").read_bytes().split(b"\0")
            ours = f"HOME={STATE}".encode() in environ or f"-address {RUN}/" in command
            contained = re.search(r":/(kubepods|docker)/", (directory / "cgroup").read_text())
            if command and (ours or contained):
                found[int(directory.name)] = command
    return found
