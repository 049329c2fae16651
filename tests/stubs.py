"""Stubs of docker, podman and kubectl that note how they were called."""

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
