#!/usr/bin/env bats
# login, with relay.pl and job-entry.pl behind it and a kubectl that runs here what it is to run in the pod.
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
@test "login: the command runs in the pod of that name, in the run's directory" {
  run --separate-stderr login pod1 -- pwd
  [[ $status -eq 0 ]]
  [[ $output == "$WORK" && -z $stderr ]]
  [[ $(<"$BED/calls") == '--context a test exec -i pod1 -c womm' ]]
}

@test "login: as another user it does the same" {
  run --separate-stderr as_user bash "$SCRIPTS/login" pod1 -- 'pwd; exit 3'
  [[ $status -eq 3 ]]
  [[ $output == "$WORK" && -z $stderr ]]
}

@test "login: arguments are joined by blanks, as ssh does" {
  run login pod1 echo a '' "'b  c'" '|' cat -
  [[ $output == 'a b  c' ]]
}

@test "login: ssh's options before the host are passed over" {
  run login -l me -p 22 -q -o X=y pod1 -- echo ran
  [[ $output == ran ]]
  [[ $(<"$BED/calls") == *'exec -i pod1 -c womm' ]]
}

@test "login: without a command it says its usage" {
  run login pod1
  [[ $status -eq 255 ]]
  [[ $output == 'usage: login '* ]]
}

@test "login: stdout and stderr arrive apart, and byte for byte" {
  random_file "$WORK/out" 300000
  random_file "$WORK/err" 200000
  login pod1 -- 'cat out & cat err >&2; wait' >"$BED/out" 2>"$BED/err"
  cmp "$WORK/out" "$BED/out"
  cmp "$WORK/err" "$BED/err"
}

@test "login: output without a last newline, and none at all, stay as they are" {
  login pod1 -- 'printf a; printf b >&2' >"$BED/out" 2>"$BED/err"
  [[ $(od -An -c "$BED/out" "$BED/err" | tr -d ' ') == ab ]]
  login pod1 -- : >"$BED/out" 2>"$BED/err"
  [[ ! -s $BED/out && ! -s $BED/err ]]
}

@test "login: 50 MB arrive whole" {
  head -c 50000000 /dev/urandom >"$WORK/big"
  login pod1 -- cat big | cmp - "$WORK/big"
}

@test "login: stdin reaches the job whole" {
  random_file "$BED/in" 5000000
  login pod1 -- 'cat >copy' <"$BED/in"
  cmp "$BED/in" "$WORK/copy"
}

@test "login: a job that leaves its stdin unread ends all the same" {
  yes | timeout 20 bash "$SCRIPTS/login" pod1 -- exit 4 || [[ $? -eq 4 ]]
}

@test "login: the exit status is the job's" {
  local wanted
  for wanted in 0 1 3 126 127 255; do
    run "-$wanted" login pod1 -- "exit $wanted"
    [[ -z $output ]]
  done
  run -127 login pod1 -- no-such-program-of-ours
  run login pod1 -- "$WORK"
  [[ $status -eq 126 ]]
}

@test "login: a job that a signal kills has the status 128 and the signal's number" {
  local signal
  for signal in 1 2 9 11 15; do
    run login pod1 -- "kill -$signal \$\$"
    [[ $status -eq $((128 + signal)) ]]
  done
}

@test "login: an argument may hold every byte" {
  local argument
  argument=$(every_byte && echo x)
  login pod1 -- "printf %s $(quoted "$argument")" >"$BED/out"
  printf '%s' "$argument" | cmp - "$BED/out"
}

@test "login: nothing between here and the job's shell expands or trims a command" {
  local argument=$'$ID `id` $(id) {{ .x }} %s \\ \n "q" * ~\n\n'
  login pod1 -- "printf %s $(quoted "$argument")"$'\n\n' >"$BED/out"
  printf '%s' "$argument" | cmp - "$BED/out"
  ID=here run login pod1 -- 'ID=there; echo $ID'
  [[ $output == there ]]
}

@test "login: an empty command is a job that does nothing" {
  run login pod1 -- ''
  [[ $status -eq 0 && -z $output ]]
}

@test "login: a command of 128 KiB and one above pass" {
  local size part
  for size in 98304 119999 120001 131000; do
    part=$(head -c "$size" /dev/zero | tr '\0' x)
    run login pod1 -- "printf %s $part | wc -c"
    [[ $status -eq 0 && $output -eq $size ]]
  done
  # More than Linux takes as one argument: ssh's caller gives it in several.
  login pod1 -- printf '%s.' "$part" "$part" "$part" '; echo " $# $0"' >"$BED/out"
  [[ $(wc -c <"$BED/out") -eq $((3 * 131001 + 11)) ]]
  [[ $(tail -c 11 "$BED/out") == ' 0 /bin/sh' ]]
}

@test "login: a directory that the pod lacks is made" {
  printf '%s' "$WORK/a b/ä/"$'\n' >"$WOMM_RUN/directory"
  run login pod1 -- 'pwd; echo "$PWD" >here'
  [[ $status -eq 0 ]]
  [[ -f $WORK/a\ b/ä/$'\n'/here ]]
}

@test "login: a directory that can't be made is named, and the status is 255" {
  touch "$BED/file"
  printf '%s' "$BED/file/x" >"$WOMM_RUN/directory"
  run --separate-stderr login pod1 -- echo ran
  [[ $status -eq 255 && -z $output ]]
  [[ $stderr == "womm: the pod has no directory $BED/file/x and can't make it: Not a directory" ]]
}

@test "login: a directory that the user may not make is named, and the status is 255" {
  mkdir "$WORK/closed"
  chmod 0555 "$WORK/closed"
  printf '%s' "$WORK/closed/x" >"$WOMM_RUN/directory"
  run --separate-stderr as_user bash "$SCRIPTS/login" pod1 -- echo ran
  [[ $status -eq 255 && -z $output ]]
  [[ $stderr == "womm: the pod has no directory $WORK/closed/x and can't make it: Permission denied" ]]
}

@test "login: the job's SHELL is the user's where the pod has it" {
  program mysh 'exit 0'
  printf '%s' "$BED/bin/mysh" >"$WOMM_RUN/shell"
  run login pod1 -- 'echo $SHELL'
  [[ $output == "$BED/bin/mysh" ]]
}

@test "login: a host that is no pod of the run any longer is replaced by one that is" {
  echo pod2 >"$WOMM_RUN/pods"
  run login pod1 -- echo ran
  [[ $output == ran ]]
  [[ $(<"$BED/calls") == *'exec -i pod2 -c womm' ]]
}

@test "login: the host itself is taken where it is one of several pods" {
  printf '%s\n' pod0 pod1 pod2 pod3 >"$WOMM_RUN/pods"
  for _ in 1 2 3 4 5; do login pod2 -- :; done
  [[ $(sort -u "$BED/calls") == *'exec -i pod2 -c womm' ]]
}

@test "login: while the run has no pod it waits for one" {
  : >"$WOMM_RUN/pods"
  # Its own pauses tell that it has looked and waits.
  program sleep 'echo >>"$BED/pauses"; exec /bin/sleep "$@"'
  PATH=$BED/bin:$PATH login pod1 -- echo ran >"$BED/out" &
  eventually test -s "$BED/pauses"
  [[ ! -s $BED/calls ]]
  echo pod7 >"$WOMM_RUN/.pods" && mv "$WOMM_RUN/.pods" "$WOMM_RUN/pods"
  wait $!
  [[ $(<"$BED/out") == ran ]]
  [[ $(<"$BED/calls") == *'exec -i pod7 -c womm' ]]
}

@test "login: a run that is over starts no job, and says so" {
  rm "$WOMM_RUN/pods"
  run login pod1 -- echo ran
  [[ $status -eq 255 ]]
  [[ $output == 'womm: the run is over; this job was not started' ]]
}

@test "login: a run that ends while a job waits ends the wait" {
  : >"$WOMM_RUN/pods"
  program sleep 'rm -rf "$WOMM_RUN"'
  PATH=$BED/bin:$PATH run timeout 20 bash "$SCRIPTS/login" pod1 -- echo ran
  [[ $status -eq 255 ]]
  [[ $output == 'womm: the run is over; this job was not started' ]]
}

@test "login: a kubectl that can't be started is named, and the status is 255" {
  printf '%s\0' /no/such/kubectl >"$WOMM_RUN/kubectl"
  run --separate-stderr login pod1 -- echo ran
  [[ $status -eq 255 && -z $output ]]
  [[ ${stderr_lines[0]} == "womm: can't run /no/such/kubectl: No such file or directory" ]]
}

@test "login: a kubectl that cuts a stream and succeeds is a lost job, not a success" {
  local stream LC_ALL=C
  for stream in 1 2; do
    # Everything but the last byte of the mark comes through.
    program kubectl 'while [[ $1 != -- ]]; do shift; done; shift
      exec 3>&'$stream'
      "$@" '$stream'> >(head -c -1 >&3) & wait $!; wait; exit 0'
    run --separate-stderr login pod1 -- 'echo out; echo err >&2'
    [[ $status -eq 255 ]]
    [[ ${lines[0]} == out* && ${stderr_lines[0]} == err* ]]
    [[ ${stderr_lines[-1]} == *'womm: the connection to pod1 was lost before its job had ended' ]]
  done
}

@test "login: what kubectl itself complains of is passed on" {
  program kubectl 'echo "error: pods \"pod1\" not found" >&2; exit 1'
  run --separate-stderr login pod1 -- echo ran
  [[ $status -eq 255 && -z $output ]]
  [[ ${stderr_lines[0]} == 'error: pods "pod1" not found' ]]
}

@test "login: a reader that has enough ends the job" {
  timeout 20 bash "$SCRIPTS/login" pod1 -- 'echo $$ >pid; exec yes' | head -n 1 >"$BED/out"
  [[ $(<"$BED/out") == y ]]
  eventually ended_process "$(<"$WORK/pid")"
}

@test "login: what a job leaves running does not keep it" {
  local start
  start=$(milliseconds)
  run login pod1 -- 'sleep 60 & echo $! >pid; echo ran'
  [[ $status -eq 0 && $output == ran ]]
  (($(milliseconds) - start < 30000))
  kill "$(<"$WORK/pid")"
}

# --- GNU parallel on top
