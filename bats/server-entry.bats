#!/usr/bin/env bats
# server-entry: a real rsync on a free port of the loopback.

bats_require_minimum_version 1.5.0
load server

setup() {
  make_server
}

teardown() {
  drop_server
}

@test "server-entry: makes its directories, for its user only, and answers" {
  start_server
  [[ $(stat -c '%a %n' "$WOMM_ROOT"/*/ | sed "s,$WOMM_ROOT/,,") == $'700 modules/\n700 secrets/\n700 shares/' ]]
  run rsync "rsync://127.0.0.1:$WOMM_PORT/"
  [[ $status -eq 0 && -z $output ]]
}

@test "server-entry: what rsync logs is its stdout's, where kubectl logs finds it" {
  start_server
  run rsync "rsync://127.0.0.1:$WOMM_PORT/nothing/"
  logged() { grep -q "unknown module 'nothing' tried" "$BED/log"; }
  eventually logged
}

@test "server-entry: a second start finds what the first left, shares and all" {
  start_server
  mkdir "$BED/here" && echo 1 >"$BED/here/file"
  publish "$BED/here" taska key
  stop_server
  start_server
  pull taska "$BED/pod/files"
  [[ $(<"$BED/pod/files/file") == 1 ]]
}

@test "server-entry: a port that is taken is told, and ends it" {
  start_server
  run timeout 20 setpriv --pdeathsig KILL bash "$SCRIPTS/server-entry"
  [[ $status -ne 0 && $status -ne 124 ]]
  [[ $output == *'Address already in use'* ]]
}

@test "server-entry: as process 1 it ends at once on TERM" {
  choose_port
  in_pid_namespace bash "$SCRIPTS/server-entry" >"$BED/log" 2>&1 3>&- &
  local unshare=$!
  eventually answers
  pkill -TERM -P "$unshare"
  eventually ended_process "$unshare"
}
