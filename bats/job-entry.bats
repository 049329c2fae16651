#!/usr/bin/env bats
# job-entry.pl as a login calls it: perl -e TEXT NONCE DIRECTORY SHELL COMMAND..., all but the nonce in base64.

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

# encode: print $1 in base64, in one line.
encode() {
  printf '%s' "$1" | base64 -w 0
}

# entry: run the command $1 in directory $2 ($WORK) with shell $3 (none). Its marks are taken out of its output and
# written to $BED/status and $BED/status2.
entry() {
  # perl by its path: the tests choose the PATH of the job.
  "$(type -P perl)" -e "$(<"$SCRIPTS/job-entry.pl")" n "$(encode "${2-$WORK}")" "$(encode "${3-}")" "$(encode "$1")" \
    >"$BED/out" 2>"$BED/err"
}

# marked: print what file $1 holds before its mark; the mark, which must end it, says status $2.
marked() {
  local mark
  mark="$(printf '\365womm:n:%s' "$2" | od -An -tx1 | tr -d ' \n')00"
  [[ $(od -An -v -tx1 "$1" | tr -d ' \n') == *"$mark" ]] || return 1
  head -c "-$((${#mark} / 2))" "$1"
}

@test "job-entry: each stream ends with a mark that tells the status" {
  entry 'echo out; echo err >&2; exit 3'
  [[ $(marked "$BED/out" 3) == out ]]
  [[ $(marked "$BED/err" 3) == err ]]
}

@test "job-entry: a signal's number is told as a shell tells it" {
  entry 'kill -15 $$'
  marked "$BED/out" 143
}

@test "job-entry: base64 is understood for every length and every byte" {
  local length text pieces=()
  for length in 1 2 3 4 5 42 43 44 45 46 47 48 89 90 91 92 93 94; do
    pieces+=("$(head -c "$length" /dev/zero | tr '\0' x | base64 -w 0)")
  done
  perl "$SCRIPTS/job-entry.pl" n "$(encode "$WORK")" '' "$(encode 'printf %s ')" "${pieces[@]}" >"$BED/out"
  [[ $(marked "$BED/out" 0) =~ ^x{879}$ ]]
  text=$(perl -e 'print map { chr } 1 .. 255, 10' && echo x)
  entry "printf %s $(quoted "$text")"
  marked "$BED/out" 0 | cmp - <(printf '%s' "$text")
}

@test "job-entry: a command in several arguments is put together" {
  perl "$SCRIPTS/job-entry.pl" n "$(encode "$WORK")" '' "$(encode 'printf %s "on')" "$(encode 'e  word"')" >"$BED/out"
  [[ $(marked "$BED/out" 0) == 'one  word' ]]
}

@test "job-entry: the job has the directory as PWD, and a link stays one" {
  ln -s "$WORK" "$BED/link"
  entry 'echo $PWD; pwd; pwd -P' "$BED/link"
  [[ $(marked "$BED/out" 0) == "$BED/link"$'\n'"$BED/link"$'\n'"$WORK" ]]
}

@test "job-entry: directories on the way are made" {
  entry 'pwd' "$WORK/a/ b/c"
  [[ $(marked "$BED/out" 0) == "$WORK/a/ b/c" ]]
}

@test "job-entry: jobs that start together make the directory together" {
  local jobs=()
  for _ in {1..10}; do
    perl "$SCRIPTS/job-entry.pl" n "$(encode "$WORK/x/y/z")" '' "$(encode 'echo >"$(mktemp ./XXXXXX)"')" >/dev/null 2>&1 &
    jobs+=("$!")
  done
  # Not for all: bats has a process of its own that tells the time.
  wait "${jobs[@]}"
  [[ $(find "$WORK/x/y/z" -type f | wc -l) -eq 10 ]]
}

@test "job-entry: a directory that is a file is told, and the job does not run" {
  touch "$WORK/file"
  entry 'echo ran' "$WORK/file"
  [[ -z $(marked "$BED/out" 255) ]]
  [[ $(marked "$BED/err" 255) == "womm: the pod has no directory $WORK/file and can't make it: Not a directory" ]]
}

@test "job-entry: SHELL is the very program that was asked for" {
  program mysh 'exit 0'
  entry 'echo $SHELL' "$WORK" "$BED/bin/mysh"
  [[ $(marked "$BED/out" 0) == "$BED/bin/mysh" ]]
}

# with_shells: print the SHELL of a job that asked for $1 in a pod whose PATH has the programs $2….
with_shells() {
  local name wanted=$1 dir=$BED/path
  shift
  rm -rf "$dir" && mkdir "$dir"
  for name in "$@"; do
    printf '#!/bin/sh\n' >"$dir/$name"
    chmod 0755 "$dir/$name"
  done
  perl=$(type -P perl)
  PATH=$dir "$perl" "$SCRIPTS/job-entry.pl" n "$(encode "$WORK")" "$(encode "$wanted")" "$(encode 'echo $SHELL')" >"$BED/out"
  marked "$BED/out" 0
}

@test "job-entry: a SHELL that the pod has elsewhere is found by its name" {
  [[ $(with_shells /opt/of/mine/zsh zsh bash sh) == "$BED/path/zsh" ]]
}

@test "job-entry: a SHELL that the pod lacks is bash, and where that lacks sh" {
  [[ $(with_shells /opt/of/mine/fish bash sh) == "$BED/path/bash" ]]
  [[ $(with_shells /opt/of/mine/fish sh) == "$BED/path/sh" ]]
  [[ $(with_shells /opt/of/mine/fish) == /bin/sh ]]
}

@test "job-entry: no SHELL at all is bash" {
  [[ $(with_shells '' bash sh) == "$BED/path/bash" ]]
}

@test "job-entry: a directory is no SHELL" {
  mkdir "$BED/bash"
  [[ $(with_shells "$BED/bash" bash sh) == "$BED/path/bash" ]]
  [[ $(with_shells /) == /bin/sh ]]
}

@test "job-entry: a long command leaves no trace of how it came" {
  local filler
  filler=$(head -c 300000 /dev/zero | tr '\0' x)
  perl "$SCRIPTS/job-entry.pl" n "$(encode "$WORK")" '' \
    "$(encode ": ${filler:0:80000}")" "$(encode "${filler:0:80000}")" "$(encode "; echo \"\$# \$0 end\"; exit 5")" >"$BED/out"
  [[ $(marked "$BED/out" 5) == '0 /bin/sh end' ]]
}

@test "job-entry: stdin is the job's" {
  printf 'a\0b' >"$BED/in"
  entry 'cat' <"$BED/in"
  marked "$BED/out" 0 | cmp - "$BED/in"
}

@test "job-entry: it stays a moment after the marks, which may be on their way" {
  local before
  before=$(milliseconds)
  entry 'exit 0'
  (($(milliseconds) - before >= 500))
}
