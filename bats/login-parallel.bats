#!/usr/bin/env bats
# login as GNU parallel's ssh, with relay.pl, job-entry.pl and a kubectl that runs here what it is to run in the pod.
# What arguments and streams hold is compared as bytes, in files.

# shellcheck disable=SC2016 # the jobs' and programs' text is for shells of their own
# shellcheck disable=SC2154 # run sets stderr and stderr_lines, too

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
}

teardown() {
  drop_run
}
# parallel: GNU parallel as womm calls it, with two jobslots in the pod.
parallel() {
  RSYNC_OLD_ARGS=1 PARALLEL='' timeout 60 perl "$ROOT/womm/vendor/parallel" --profile /dev/null \
    --sshlogin 2/pod1 --ssh "bash $SCRIPTS/login" "$@"
}

@test "login: GNU parallel runs its jobs by it, in the run's directory" {
  run --separate-stderr parallel -k 'echo {} $(pwd)' ::: 1 'b  c' "d'e" </dev/null
  [[ $status -eq 0 && -z $stderr ]]
  [[ $output == "1 $WORK"$'\n'"b  c $WORK"$'\n'"d'e $WORK" ]]
  [[ $(wc -l <"$BED/calls") -eq 3 ]]
}

@test "login: GNU parallel sees the jobs' exit statuses" {
  run parallel --joblog "$BED/log" 'exit {}' ::: 0 1 7 0 </dev/null
  [[ $status -eq 2 ]]
  [[ $(cut -f 7 "$BED/log" | sort | tr '\n' ' ') == '0 0 1 7 Exitval ' ]]
}

@test "login: GNU parallel's arguments may hold every byte but NUL" {
  every_byte >"$BED/in"
  parallel -0 'printf %s {}' <"$BED/in" >"$BED/out"
  cmp "$BED/in" "$BED/out"
}

@test "login: GNU parallel brings a file there, the result back, and cleans up; names have blanks" {
  local there=$WORK/there
  printf '%s' "$there" >"$WOMM_RUN/directory"
  mkdir "$BED/here" && cd "$BED/here"
  echo content >'a b'
  echo more >"it's"
  run --separate-stderr parallel --workdir ./. --transferfile {} --return {}.out --cleanup \
    'tr a-z A-Z <{} >{}.out; pwd' ::: 'a b' "it's" </dev/null
  [[ $status -eq 0 && -z $stderr ]]
  [[ $output == "$there"$'\n'"$there" ]]
  [[ $(<'a b.out') == CONTENT && $(<"it's.out") == MORE ]]
  [[ -z $(find "$there" -type f) ]]
}

@test "login: GNU parallel's --workdir is a directory of the pod's" {
  mkdir "$WORK/sub"
  run parallel --workdir "$WORK/sub" 'pwd' ::: 1 </dev/null
  [[ $output == "$WORK/sub" ]]
  run parallel --workdir ./. 'pwd' ::: 1 </dev/null
  [[ $output == "$WORK" ]]
}

@test "login: GNU parallel's --pipe gives each job its block of stdin" {
  seq 100000 >"$BED/in"
  parallel --pipe --block 100k -k cat <"$BED/in" >"$BED/out"
  cmp "$BED/in" "$BED/out"
  (($(wc -l <"$BED/calls") > 3))
}

@test "login: GNU parallel's --nonall runs the command once in each pod" {
  echo pod2 >>"$WOMM_RUN/pods"
  run parallel --sshlogin pod2 --nonall --tag pwd </dev/null
  [[ $status -eq 0 ]]
  [[ $(sort <<<"$output") == "pod1"$'\t'"$WORK"$'\n'"pod2"$'\t'"$WORK" ]]
  [[ $(sort "$BED/calls") == *' pod1 '*$'\n'*' pod2 '* ]]
}

@test "login: GNU parallel's --retries give a lost job to a pod again" {
  program kubectl 'if mkdir "$BED/once" 2>/dev/null; then exit 0; fi
    while [[ $1 != -- ]]; do shift; done; shift
    exec "$@"'
  run --separate-stderr parallel --retries 3 'echo {}' ::: 1 </dev/null
  [[ $status -eq 0 && $output == 1 ]]
}
