"""Stubs of docker, podman and kubectl that note how they were called; programs' first bytes."""

from __future__ import annotations

import struct

DOCKER = """\
#!/bin/sh
printf '%s\\n' "docker $*" >>"$CALLS"
case $1 in
  build) for last; do :; done; cp -r "$last" "$CONTEXT" ;;
  container) echo "No such container" >&2; exit 1 ;;
  image)
    case $* in *inspect*localhost/womm-testbed/*:saved) echo "No such image" >&2; exit 1 ;; esac
    for last; do :; done
    repository=$last
    case ${last##*/} in *:*) repository=${last%:*} ;; esac
    printf '[{"Architecture": "arm64", "Id": "sha256:%s", "RepoDigests": ["%s@sha256:%s"]}]' \\
      "$DIGEST" "$repository" "$DIGEST"
    ;;
esac
"""

#: It has no digest to print: it writes it into the file that --digestfile names.
PODMAN_PUSH = """\
#!/bin/sh
printf '%s\\n' "podman $*" >>"$CALLS"
while [ "$1" != --digestfile ]; do shift; done
printf 'sha256:%s' "$DIGEST" >"$2"
"""

KUBECTL = """\
#!/bin/sh
printf '%s\\n' "kubectl $*" >>"$CALLS"
case "$*" in
  *"config view"*)
    echo '{"current-context": "dev", "contexts": [{"name": "dev", "context": {"namespace": "team"}}]}' ;;
  *get-contexts*) echo dev ;;
  *"version -o json") echo '{"serverVersion": {"gitVersion": "v1.36.3"}}' ;;
  *version*) echo v1.36.3 ;;
  # All rights are granted.
  *create*) ;;
  *) echo '{"items": []}' ;;
esac
"""

# k8s.io: the architectures that Kubernetes runs on, and their numbers in an ELF header.
MACHINES = {"386": 3, "ppc64le": 21, "s390x": 22, "arm": 40, "amd64": 62, "arm64": 183, "riscv64": 243}


def program(arch: str, *kinds: int) -> bytes:
    """The beginning of an ELF program for `arch` with program headers of these `kinds` (3: interpreter)."""
    wide, order = arch not in ("386", "arm"), ">" if arch == "s390x" else "<"
    identity = b"\x7fELF" + bytes([2 if wide else 1, 2 if order == ">" else 1, 1]) + bytes(9)
    word, head, entry = ("Q", 64, 56) if wide else ("I", 52, 32)
    header = struct.pack(
        f"{order}HHI3{word}I6H", 2, MACHINES[arch], 1, 0, head, 0, 0, head, entry, len(kinds), 0, 0, 0
    )
    entries = (struct.pack(f"{order}I", kind).ljust(entry, b"\0") for kind in kinds)
    return identity + header + b"".join(entries)
