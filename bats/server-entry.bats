#!/usr/bin/env bats
# server-entry: a real rsync on a free port of the loopback.
# shellcheck disable=SC2016 # the text is for a shell of its own

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
  local status=0
  as_user mkdir "$WOMM_ROOT/second"
  # The reader of its log outlives it here, so it has a session to be ended, and no pipe of ours.
  WOMM_ROOT=$WOMM_ROOT/second as_user timeout 20 setsid bash -c 'echo $$ >"$WOMM_ROOT/pid"; exec bash "$0"' \
    "$SCRIPTS/server-entry" >"$BED/second" 2>&1 3>&- || status=$?
  [[ $status -ne 0 && $status -ne 124 ]]
  said() { grep -q 'Address already in use' "$BED/second"; }
  # What reads the log may say it after rsync's end.
  eventually said
  kill -- "-$(<"$WOMM_ROOT/second/pid")"
}

@test "server-entry: as process 1 it ends at once on TERM" {
  choose_port
  in_pid_namespace bash "$SCRIPTS/server-entry" >"$BED/log" 2>&1 3>&- &
  local unshare=$!
  eventually answers
  pkill -TERM -P "$unshare"
  eventually ended_process "$unshare"
}
