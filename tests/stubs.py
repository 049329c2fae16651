"""Stubs of docker and kubectl that note how they were called."""

DOCKER = """\
#!/bin/sh
printf '%s\\n' "docker $*" >>"$CALLS"
case $1 in
  build) for last; do :; done; cp -r "$last" "$CONTEXT" ;;
  push) echo "the push refers to repository"; echo "womm: digest: sha256:${DIGEST} size: 1" ;;
  image) echo '[{"Architecture": "arm64"}]' ;;
esac
"""

KUBECTL = """\
#!/bin/sh
printf '%s\\n' "kubectl $*" >>"$CALLS"
case "$*" in
  *"config view"*)
    echo '{"current-context": "dev", "contexts": [{"name": "dev", "context": {"namespace": "team"}}]}' ;;
  *) echo '{"items": []}' ;;
esac
"""
