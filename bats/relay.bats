#!/usr/bin/env bats
# relay.pl with commands that write what an entry in a pod would, or would not. The nonce is `n` throughout.

# shellcheck disable=SC2016 # the jobs' and programs' text is for shells of their own
# shellcheck disable=SC2154 # run sets stderr and stderr_lines, too

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  cd "$WORK" || return
}

teardown() {
  drop_run
}

# relay: run the shell command $1 behind the relay. It has `mark STATUS`, and `marks STATUS` for both streams.
relay() {
  perl "$SCRIPTS/relay.pl" pod1 n bash -c 'mark() { printf "\365womm:n:$1\0"; }
    marks() { mark "$1"; mark "$1" >&2; }
    '"$1"
}

@test "relay: both streams pass without their marks, and the status is the marks'" {
  run --separate-stderr relay 'echo out; echo err >&2; marks 7'
  [[ $status -eq 7 ]]
  [[ $output == out && $stderr == err ]]
}

@test "relay: marks that arrive byte by byte are marks all the same" {
  # bash writes no output of printf before its end, so each byte is a write of its own.
  relay 'for c in o u t "\365" w o m m : n : 1 2 "\0"; do printf "$c"; printf "$c" >&2; done' \
    >out 2>err || [[ $? -eq 12 ]]
  [[ $(<out) == out && $(<err) == out ]]
}

@test "relay: the status is the mark's number, to the last digit" {
  local number
  for number in 0 1 42 127 255; do
    run "-$number" relay "marks $number"
    [[ -z $output ]]
  done
}

@test "relay: what only begins like a mark, or is another's, is data" {
  local text='a\365b\365\365womm\365womm:\365womm:n\365womm:n:\365womm:n:x\0\365womm:n:1234\0\365womm:m:0\0\365womm:n:\0\365wom'
  # shellcheck disable=SC2059 # the text is a format
  printf "$text" >wanted
  relay "printf '$text'; printf '$text' >&2; marks 0" >out 2>err
  cmp wanted out
  cmp wanted err
}

@test "relay: a mark between any two reads is found: data of every length around the size of a read" {
  local size
  for size in 65519 65523 65524 65525 65530 65534 65535 65536 65537; do
    head -c "$size" /dev/zero >wanted
    relay 'cat wanted; marks 0' >out
    cmp wanted out
  done
}

@test "relay: what may be the beginning of the mark is not held for ever: a program may wait for the answer" {
  mkfifo answer
  timeout 20 perl "$SCRIPTS/relay.pl" pod1 n bash -c \
    'printf "question\365"; read -r line; printf "$line\365womm:n:0\0"; printf "\365womm:n:0\0" >&2' <answer >out &
  exec 7>answer
  asked() { printf 'question\365' | cmp -s - out; }
  eventually asked
  echo answer >&7
  exec 7>&-
  wait $!
  printf 'question\365answer' | cmp - out
}

@test "relay: a mark whose beginning has been passed on as output is a lost job" {
  mkfifo go
  timeout 20 perl "$SCRIPTS/relay.pl" pod1 n bash -c \
    'printf "\365wom"; read -r line; printf "m:n:0\0"; printf "\365womm:n:0\0" >&2' <go >out 2>err &
  exec 7>go
  begun() { [[ -s out ]]; }
  eventually begun
  echo >&7
  exec 7>&-
  run -255 wait $!
  [[ $(<err) == 'womm: the connection to pod1 was lost before its job had ended' ]]
}

@test "relay: a stream that ends without its mark is a lost job, whatever the command's status" {
  local ending
  for ending in 'mark 0' 'mark 0 >&2' ':' 'marks 0 >/dev/null' 'printf "\365womm:n:0"; mark 0 >&2' 'kill -9 $$'; do
    run --separate-stderr -255 relay "echo out; $ending; exit 0"
    [[ ${lines[0]} == out* ]]
    LC_ALL=C
    [[ ${stderr_lines[-1]} == *'womm: the connection to pod1 was lost before its job had ended' ]]
  done
}

@test "relay: what came before the loss is passed on, to the last byte" {
  relay 'printf "data\365womm:"' >out 2>/dev/null || [[ $? -eq 255 ]]
  printf 'data\365womm:' | cmp - out
}

@test "relay: with both marks here it does not wait for the command, and ends it" {
  timeout 20 perl "$SCRIPTS/relay.pl" pod1 n bash -c \
    'echo $$ >pid; printf "\365womm:n:3\0"; printf "\365womm:n:3\0" >&2; exec sleep 100' || [[ $? -eq 3 ]]
  run ! kill -0 "$(<pid)"
}

@test "relay: a command that can't be started is named, and the status is 255" {
  run --separate-stderr -255 perl "$SCRIPTS/relay.pl" pod1 n /no/such/program x
  [[ -z $output ]]
  [[ ${stderr_lines[0]} == "womm: can't run /no/such/program: No such file or directory" ]]
}

@test "relay: arguments reach the command as they are" {
  local argument=$'a  b\n\'"$x\377\n'
  perl "$SCRIPTS/relay.pl" pod1 n bash -c \
    'printf %s "$1"; printf "\365womm:n:0\0"; printf "\365womm:n:0\0" >&2' x "$argument" >out
  printf '%s' "$argument" | cmp - out
}

@test "relay: a reader that has enough ends it by SIGPIPE, as it ends a program here" {
  run timeout 20 bash -c 'perl "$0" pod1 n yes | head -n 1; echo "${PIPESTATUS[0]}"' "$SCRIPTS/relay.pl"
  [[ $output == $'y\n141' ]]
}

@test "relay: a reader that has enough ends it even where SIGPIPE is ignored" {
  run timeout 20 bash -c 'trap "" PIPE; perl "$0" pod1 n yes 2>/dev/null | head -n 1; echo "${PIPESTATUS[0]}"' \
    "$SCRIPTS/relay.pl"
  [[ $output == $'y\n255' ]]
}

@test "relay: output that can't be written is a lost job, not a success" {
  relay 'echo out; marks 0' >/dev/full 2>err || [[ $? -eq 255 ]]
  [[ $(<err) == 'womm: write: No space left on device' ]]
}

@test "relay: a slow reader gets everything" {
  relay 'seq 200000; touch written; marks 0' | {
    # The job is done writing only when most of it has been read: a pipe holds 64 KiB.
    read -r first
    [[ ! -e written ]] || touch early
    echo "$first"
    cat
  } >out
  [[ ! -e early ]]
  seq 200000 | cmp - out
}
