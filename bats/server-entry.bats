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
  [[ $(stat -c '%a %n' "$WOMM_ROOT"/*/ | sed "s,$WOMM_ROOT/,,") == $'700 modules/\n700 secrets/\n700 shares/\n700 tasks/' ]]
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

# has_kubectl: have server-orphans run, with a kubectl of the text $1, which notes in $BED/calls that it ran.
has_kubectl() {
  export PATH=$BED/bin:$PATH WOMM_ORPHANS_AFTER=600 WOMM_ORPHANS_EVERY=1
  : >"$BED/calls"
  chmod 0666 "$BED/calls"
  program kubectl "echo \"\$*\" >>'$BED/calls'; $1"
}

# called: whether kubectl was called $1 times.
called() {
  (($(wc -l <"$BED/calls") >= $1))
}

# orphans: print the processes of server-orphans.
orphans() {
  pgrep -f "$SCRIPTS/server-orphans"
}

# no_orphans: whether there are none.
no_orphans() {
  ! orphans
}

@test "server-entry: orphans are looked for beside rsync; what is said of them is in the server's log" {
  has_kubectl 'echo "no such cluster"; exit 1'
  start_server
  eventually called 2
  grep -q '^server-orphans: .*no such cluster' "$BED/log"
}

@test "server-entry: what looks for orphans is started again when it dies" {
  has_kubectl :
  start_server
  eventually called 1
  local first
  first=$(orphans)
  kill -KILL "$first"
  another() { [[ -n $(orphans) && $(orphans) != "$first" ]]; }
  eventually another
  : >"$BED/calls"
  eventually called 1
  grep -q 'server-orphans ended with status 137, and is started again' "$BED/log"
  answers
}

@test "server-entry: with WOMM_ORPHANS_AFTER=0, and with nonsense in it, nobody looks for orphans, and rsync serves" {
  local after
  for after in 0 nonsense; do
    has_kubectl :
    WOMM_ORPHANS_AFTER=$after start_server
    eventually no_orphans
    [[ ! -s $BED/calls ]]
    stop_server
  done
  grep -q 'not seconds: WOMM_ORPHANS_AFTER=nonsense' "$BED/log"
}

@test "server-entry: a kubectl that hangs holds nothing up, and all ends with process 1" {
  choose_port
  has_kubectl 'exec sleep 600'
  in_pid_namespace bash "$SCRIPTS/server-entry" >"$BED/log" 2>&1 3>&- &
  local unshare=$!
  eventually answers
  eventually called 1
  [[ -n $(orphans) ]]
  pkill -TERM -P "$unshare"
  eventually ended_process "$unshare"
  eventually no_orphans
}
