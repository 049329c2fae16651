#!/usr/bin/env bats
# pod-init.pl as what it is in a pod: process 1 of a PID namespace.

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  in_pid_namespace perl -e "$(<"$SCRIPTS/pod-init.pl")" 3>&- &
  UNSHARE=$!
  eventually ready
  INIT=$(pgrep -P "$UNSHARE")
}

teardown() {
  kill -KILL "$UNSHARE" 2>/dev/null || true
  drop_run
}

# ready: whether the init runs and has its handlers: it catches TERM (bit 14 of SigCgt).
ready() {
  local init caught
  init=$(pgrep -P "$UNSHARE") || return 1
  caught=$(sed -n 's/^SigCgt:\t//p' "/proc/$init/status")
  (((16#$caught >> 14) & 1))
}

# inside: run $@ in the init's namespaces.
inside() {
  nsenter --target "$INIT" --pid --mount "$@"
}

@test "pod-init: what jobs leave behind is reaped" {
  # Five processes whose parent has ended before them.
  inside bash -c 'for n in 1 2 3 4 5; do (sleep 0.1 &) ; done'
  only_init() { [[ $(inside ps -e -o pid=,comm= | grep -cv -e ps -e grep) -eq 1 ]]; }
  eventually only_init
}

@test "pod-init: TERM ends it at once, with status 0" {
  kill -TERM "$INIT"
  local status=0
  wait "$UNSHARE" || status=$?
  [[ $status -eq 0 ]]
}

@test "pod-init: INT ends it, too" {
  kill -INT "$INIT"
  eventually ended_process "$INIT"
}
