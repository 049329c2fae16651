#!/usr/bin/env bats
# keeper: COMMAND runs when the writer of its stdin has gone without a line.

# shellcheck disable=SC2154 # run sets stderr, too

bats_require_minimum_version 1.5.0
load pod

setup() {
  KEEPER=$(cd "$BATS_TEST_DIRNAME/.." && pwd)/womm/scripts/keeper
  BED=$(mktemp -d /tmp/womm-bats.XXXXXX)
  mkfifo "$BED/line"
}

teardown() {
  [[ -z ${PID:-} ]] || kill -KILL "$PID" 2>/dev/null || true
  rm -rf "$BED"
}

# keep: start a keeper, $PID, that notes in $BED/ran that it ran; this test writes to it by descriptor 7.
keep() {
  bash "$KEEPER" touch "$BED/ran" <"$BED/line" 3>&- &
  PID=$!
  exec 7>"$BED/line"
  eventually waits
}

# waits: whether the keeper has come to wait for its line: it ignores HUP, INT and TERM (bits 0, 1 and 14) by then.
waits() {
  local ignored
  ignored=$(sed -n 's/^SigIgn:\t//p' "/proc/$PID/status")
  (((16#$ignored & 0x4003) == 0x4003))
}

@test "keeper: a line, and COMMAND is not run" {
  keep
  echo 'all is well' >&7
  wait "$PID"
  [[ ! -e $BED/ran ]]
}

@test "keeper: a line counts even if its writer has gone already" {
  run -0 bash "$KEEPER" touch "$BED/ran" <<<'all is well'
  [[ ! -e $BED/ran ]]
}

@test "keeper: an end without a line, and COMMAND is run" {
  keep
  [[ ! -e $BED/ran ]]
  exec 7>&-
  wait "$PID"
  [[ -e $BED/ran ]]
}

@test "keeper: half a line is none" {
  keep
  printf don >&7
  exec 7>&-
  wait "$PID"
  [[ -e $BED/ran ]]
}

@test "keeper: a killed writer is one that has gone" {
  sleep 99 >"$BED/line" 3>&- &
  local writer=$!
  bash "$KEEPER" touch "$BED/ran" <"$BED/line" 3>&- &
  PID=$!
  eventually waits
  kill -KILL "$writer"
  wait "$PID"
  [[ -e $BED/ran ]]
}

@test "keeper: COMMAND's words stay words, and its status counts" {
  run -7 --separate-stderr bash "$KEEPER" bash -c 'printf "<%s>" "$@"; exit 7' bash 'a b' '' '*' $'c\nd' </dev/null
  [[ $output == $'<a b><><*><c\nd>' ]]
  [[ -z $stderr ]]
}

@test "keeper: TERM, INT and HUP do not end it" {
  keep
  local signal
  for signal in TERM INT HUP; do
    kill -"$signal" "$PID"
  done
  # It still waits, and then still does what it is for.
  waits
  [[ ! -e $BED/ran ]]
  exec 7>&-
  wait "$PID"
  [[ -e $BED/ran ]]
}
