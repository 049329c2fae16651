#!/usr/bin/env bats
# kube-rsh with a kubectl that runs here what it is to run in the server's container.

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
}

teardown() {
  drop_run
}

@test "kube-rsh: the command runs in the server's container, with stdin, stdout and status" {
  run -3 bash "$SCRIPTS/kube-rsh" server-pod bash -c 'cat; exit 3' <<<data
  [[ $output == data ]]
  [[ $(<"$BED/calls") == '--context a test exec -i server-pod -c server' ]]
}

@test "kube-rsh: arguments arrive as they are" {
  bash "$SCRIPTS/kube-rsh" server-pod printf '%s|' 'a  b' '' $'\n*' >"$BED/out"
  printf 'a  b||\n*|' | cmp - "$BED/out"
}

@test "kube-rsh: rsync copies by it, names with blanks and all" {
  mkdir "$BED/from"
  echo 1 >"$BED/from/a b"
  rsync -a --rsh="bash $SCRIPTS/kube-rsh" "$BED/from/" "server-pod:$WORK/to/"
  [[ $(<"$WORK/to/a b") == 1 ]]
}
