#!/usr/bin/env bats
# pod-init.pl as what it is in a pod: process 1 of a PID namespace.

# shellcheck disable=SC2016 # the agents' text is perl

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  in_pid_namespace perl -e "$(<"$SCRIPTS/pod-init.pl")" 3>&- &
  UNSHARE=$!
  eventually ready
}

teardown() {
  kill -KILL "$UNSHARE" 2>/dev/null || true
  drop_run
}

# ready: whether the init, INIT from now on, runs and has its handlers: it catches TERM (bit 14 of SigCgt).
ready() {
  local caught
  INIT=$(pgrep -P "$UNSHARE") || return 1
  caught=$(sed -n 's/^SigCgt:\t//p' "/proc/$INIT/status")
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

@test "pod-init: TERM ends it at once, with the status of that" {
  kill -TERM "$INIT"
  local status=0
  wait "$UNSHARE" || status=$?
  [[ $status -eq 143 ]]
}

@test "pod-init: INT ends it, too" {
  kill -INT "$INIT"
  eventually ended_process "$INIT"
}

# agent: have a process in the pod that calls itself an agent; on TERM it does $1 (perl), and else sleeps. Returns once
# its handler stands.
agent() {
  inside perl -e '$0 = "womm-agent x"; $SIG{TERM} = eval "sub { $ARGV[0] }"; open my $file, ">", $ARGV[1]; sleep 1 while 1' \
    "$1" "$BED/agent" 3>&- &
  eventually test -e "$BED/agent"
}

# end_in_time: send TERM to the init; $TOOK is how many milliseconds it took to end. Exit 1 if its status is not that of TERM.
end_in_time() {
  local began status=0
  began=$(milliseconds)
  kill -TERM "$INIT"
  wait "$UNSHARE" || status=$?
  TOOK=$(($(milliseconds) - began))
  [[ $status -eq 143 ]]
}

@test "pod-init: an agent gets TERM, and is waited for" {
  agent "select undef, undef, undef, 0.7; open my \$done, '>', '$BED/done'; exit 0"
  end_in_time
  [[ -e $BED/done ]]
  ((TOOK >= 700 && TOOK < 2500))
}

@test "pod-init: an agent that does not end is not waited for longer than 3 s" {
  agent '1'
  end_in_time
  ((TOOK >= 2500 && TOOK < 5000))
}

@test "pod-init: without an agent, whatever else runs, it ends at once" {
  inside sleep 600 3>&- &
  inside perl -e '$0 = "womm-age"; sleep 600' 3>&- &
  running() { [[ $(inside ps -e -o args= | grep -c -e '^sleep 600' -e '^womm-age') -eq 2 ]]; }
  eventually running
  end_in_time
  ((TOOK < 700))
}
