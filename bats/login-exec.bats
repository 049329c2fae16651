#!/usr/bin/env bats
# login-exec.pl, by itself and as rsync's ssh, with stand-ins: a kubectl that notes its words and runs the command here, and a
# hub (hub.bash).

# shellcheck disable=SC2016 # the text is for a shell of its own
# shellcheck disable=SC2154 # run sets stderr, too

bats_require_minimum_version 1.5.0
load hub

setup() {
  make_run
  # Words with blanks, an empty one, one with a line feed.
  printf '%s\0' "$BED/a kubectl" --context "" $'--namespace=n\ns' exec -i >"$WOMM_RUN/exec"
  cat >"$BED/a kubectl" <<'KUBECTL'
#!/bin/bash
printf '<%s>' "$@" >>"${0%/*}/called"
until [[ $1 == -- ]]; do shift; done
exec "${@:2}"
KUBECTL
  chmod +x "$BED/a kubectl"
  start_hub
}

teardown() {
  stop_hub
  drop_run
}

# login: call login-exec.pl.
login() {
  timeout 20 perl "$SCRIPTS/login-exec.pl" "$@"
}

# no_job: whether the hub has no job.
no_job() {
  ! pgrep -x -P "$HUB" cat >/dev/null
}

@test "login-exec: the command runs by a shell in the pod, with our streams and its own exit status" {
  login pod1 'cat; echo "$0  x"' ">&2;" exit 7 <<<in >"$BED/out" 2>"$BED/err" && status=0 || status=$?
  [[ $status -eq 7 ]]
  [[ $(<"$BED/out") == in ]]
  [[ $(<"$BED/err") == "sh  x" ]]
  [[ $(<"$BED/called") == $'<--context><><--namespace=n\ns><exec><-i><pod1><--><sh><-c><cat; echo "$0  x" >&2; exit 7>' ]]
}

@test "login-exec: rsync sends by it, odd names too" {
  mkdir "$BED/from"
  echo 1 >"$BED/from/a b"
  echo 2 >"$BED/from/"$'c\n'"'\$d"
  rsync -a --rsh="perl $SCRIPTS/login-exec.pl" --rsync-path="env X=1 rsync" "$BED/from/" "pod1:$BED/to/"
  diff -r "$BED/from" "$BED/to"
}

@test "login-exec: while it runs the hub has a job there, and its loss is ours" {
  login pod1 "exec sleep 1000" 2>"$BED/err" 3>&- &
  local ours=$! status=0
  eventually pgrep -f "^sleep 1000$"
  eventually grep -qx pod1 "$BED/calls"
  # The job, of the hub's.
  eventually pkill -x -P "$HUB" cat
  wait "$ours" || status=$?
  [[ $status -eq 255 && $(<"$BED/err") == "womm: pod1 is lost" ]]
}

@test "login-exec: where the hub has no way to the pod nothing goes on" {
  run --separate-stderr login lost "exec sleep 1000"
  [[ $status -eq 255 && $stderr == *"womm: lost is lost" ]]
}

@test "login-exec: when it ends, so does the hub's job" {
  login pod1 "sleep 1"
  eventually no_job
}

@test "login-exec: a kubectl that is not there, and a call without a run or a command, are ssh's failure" {
  printf '%s\0' "$BED/none" exec >"$WOMM_RUN/exec"
  run --separate-stderr login pod1 true
  [[ $status -eq 255 && $stderr == "womm: $BED/none can't be run: No such file or directory" ]]
  run --separate-stderr login pod1
  [[ $status -eq 255 && $stderr == "usage: "* ]]
  rm "$WOMM_RUN/exec"
  run --separate-stderr login pod1 true
  [[ $status -eq 255 && $stderr == "usage: "* ]]
}
