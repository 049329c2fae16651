"""What the local shell's container sees of this machine, as the engine's arguments (pure)."""

from __future__ import annotations

import re

#: Where it sees the machine's root.
HOST = "/mnt"

# File systems that hold files: what the kernel, a desktop or an engine mounts elsewhere is no use there.
_KINDS = re.compile(
    r"(ext[234]|xfs|btrfs|zfs|f2fs|bcachefs|nfs4?|cifs|smb3|lustre|beegfs|ceph|gpfs|9p|virtiofs)$"
)
_OTHERS = ("/boot", "/dev", "/mnt", "/proc", "/run", "/snap", "/sys", "/var/lib")


def directory(path: str) -> list[str]:
    """The directory that is set up, at its own path; it may be written."""
    return _bind(path, path)


def host_root(mountinfo: str, *needed: str) -> list[str]:
    """The machine's root, read-only, with its other file systems; nothing if it would hide what is `needed`.

    `mountinfo` is the text of /proc/self/mountinfo. Each file system is mounted alone: `readonly` is not
    passed down to what is mounted below a mount, and sudo would write there (docker before 25, podman).
    """
    if any(path == HOST or path.startswith(f"{HOST}/") for path in needed):
        return []
    return [word for place in ["/", *_places(mountinfo)] for word in _alone(place)]


def _places(mountinfo: str) -> list[str]:
    found = []
    for line in mountinfo.splitlines():
        fields, _, (kind, *_rest) = (part.split() for part in line.partition(" - "))
        place = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[4])
        other = any(place == path or place.startswith(f"{path}/") for path in _OTHERS)
        # A name that is no UTF-8 can't be said to an engine.
        other = other or any("\udc80" <= c <= "\udcff" for c in place)
        if place != "/" and _KINDS.match(kind) and not other and place not in found:
            found.append(place)
    return sorted(found)


def _alone(place: str) -> list[str]:
    target = HOST if place == "/" else HOST + place
    return [
        "--mount",
        f"type=bind,{_field('src', place)},{_field('dst', target)},readonly=true,bind-nonrecursive=true",
    ]


def _bind(source: str, target: str) -> list[str]:
    if ":" not in source:
        return ["--volume", f"{source}:{target}"]
    return ["--mount", f"type=bind,{_field('src', source)},{_field('dst', target)}"]


def _field(key: str, value: str) -> str:
    # Comma-separated values.
    text = f"{key}={value}"
    return '"' + text.replace('"', '""') + '"' if set(',"\n') & set(text) else text
