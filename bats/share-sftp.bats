#!/usr/bin/env bats
# share-sftp: which server it becomes, and how; that the real one sees nothing but its directory is tested on the cluster.

bats_require_minimum_version 1.5.0

SCRIPT=$BATS_TEST_DIRNAME/../womm/scripts/share-sftp

@test "share-sftp: it becomes the server, with its complaints on stderr, and modes are the client's affair" {
  # shellcheck disable=SC2016 # the program's variables
  printf '%s\n' '#!/bin/sh' 'echo "$(umask) $*"; cat' >"$BATS_TEST_TMPDIR/server"
  chmod +x "$BATS_TEST_TMPDIR/server"
  run sh -c "umask 077; echo bytes | WOMM_SFTP='$BATS_TEST_TMPDIR/server' sh '$SCRIPT'; :"
  [[ $status -eq 0 && ${lines[0]} == '0000 -e -l ERROR' && ${lines[1]} == bytes ]]
}

@test "share-sftp: an image without an SFTP server is told" {
  sed 's,/usr/lib[a-z]*/,/nowhere/,g' "$SCRIPT" >"$BATS_TEST_TMPDIR/without"
  run -127 --separate-stderr sh "$BATS_TEST_TMPDIR/without"
  # shellcheck disable=SC2154 # bats sets it
  [[ -z $output && $stderr == 'share-sftp: this image has no sftp-server' ]]
}
