#!/usr/bin/env bats
# server-proof with programs that are stand-ins, on a PATH that has nothing else but what a shell's base has.
# shellcheck disable=SC2016 # the programs' text is for a shell of their own

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  # What the coordinator calls: each notes its call.
  local name
  for name in kubectl bash rsync ssh sftp-server perl python3; do
    stand_in "$name"
  done
  for name in env sh uname; do
    ln -s "$(type -P "$name")" "$BED/bin/$name"
  done
}

teardown() {
  drop_run
}

# stand_in: have a program $1 that notes its call, and does $2.
stand_in() {
  printf '#!/bin/sh\necho "${0##*/} $*" >>"$BED/noted"\n%s\n' "${2-}" >"$BED/bin/$1"
  chmod 0755 "$BED/bin/$1"
}

# proof: call server-proof under the image's shell.
proof() {
  PATH=$BED/bin "${SHELL_OF_IMAGE:-/bin/sh}" "$SCRIPTS/server-proof" "$@"
}

@test "server-proof: all that file server and coordinator call is run, under dash and busybox" {
  local shell
  ln -s "$(type -P busybox)" "$BED/sh"
  for shell in "$(type -P dash)" "$BED/sh"; do
    rm -f "$BED/noted"
    SHELL_OF_IMAGE=$shell run proof
    [[ $status -eq 0 && -z $output ]]
    [[ $(cut -d ' ' -f 1 "$BED/noted") == $'kubectl\nbash\nrsync\nssh\nsftp-server\nperl\nperl\npython3\npython3' ]]
    grep -qx 'perl /opt/womm/vendor/parallel --version' "$BED/noted"
    grep -qx 'python3 -m womm --version' "$BED/noted"
  done
}

@test "server-proof: what is named is tried alone" {
  run proof kubectl
  [[ $status -eq 0 && $(<"$BED/noted") == 'kubectl version --client' ]]
}

@test "server-proof: a kubectl that does not run is told in its own words, with the way out" {
  stand_in kubectl 'echo "Exec format error" >&2; exit 126'
  run -1 proof
  [[ ${lines[0]} == 'Exec format error' ]]
  [[ ${lines[1]} == 'womm: this does not run in the image: '*'kubectl version --client' ]]
  [[ ${lines[2]} == "  name another one by --kubectl FILE: a program for $(uname -m)" ]]
}

@test "server-proof: a kubectl that wants a home to write to is none for the pod" {
  stand_in kubectl '[ -d "$HOME" ]'
  run -1 proof kubectl
}

@test "server-proof: whatever else fails, the way out is another base image" {
  local name
  for name in bash rsync ssh sftp-server perl python3; do
    stand_in "$name" 'exit 3'
    run -1 proof
    [[ ${lines[-1]} == *'choose another --base-image'* ]]
    stand_in "$name"
  done
}

@test "server-proof: a program that is missing is told likewise" {
  rm "$BED/bin/rsync"
  run -1 proof
  [[ $output == *'rsync'*'not found'*'does not run in the image: rsync --version'* ]]
}

@test "server-proof: the GNU parallel that is packed with womm passes" {
  PATH=$BED/bin:$PATH
  rm "$BED/bin/perl"
  WOMM_HOME=$ROOT/womm run "$SCRIPTS/server-proof" perl parallel
  [[ $status -eq 0 && -z $output ]]
}

@test "server-proof: sshfs has to call libfuse by the names that the view of it knows" {
  ln -s "$(type -P grep)" "$BED/bin/grep"
  # The library is a stand-in, too.
  stand_in sshfs '[ "$WOMM_VIEW_MS" = proof ] && [ "$LD_PRELOAD" ] && cat "$BED/said"'
  ln -s "$(type -P cat)" "$BED/bin/cat"
  echo sshfs-view >"$BED/said"
  run proof sshfs-view
  [[ $status -eq 0 ]]
  : >"$BED/said"
  run -1 proof sshfs-view
  [[ ${lines[-1]} == *'leave NFS out: --no-nfs' ]]
}

@test "server-proof: an unknown name is an error" {
  run -2 proof docker
}
