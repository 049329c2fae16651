#!/usr/bin/env bats
# lengths.pm in the vendored GNU parallel, with the login and a stand-in for the hub: as many arguments as can be started
# go to one job, and all of them arrive.

# shellcheck disable=SC2016 # the jobs' text is for shells of their own

bats_require_minimum_version 1.5.0
load hub

setup() {
  make_run
  unset PARALLEL_SEQ
  echo 1/pod1 >"$BED/logins"
  # Notes how long its call is.
  program login 'LC_ALL=C; call="$0 $*;"; echo "${#call}" >>"$BED/lengths"; exec perl -X "$SCRIPTS/login.pl" "$@"'
  export SCRIPTS
}

teardown() {
  stop_hub
  drop_run
}

# parallel: GNU parallel as womm calls it, with lengths.pm.
parallel() {
  PARALLEL='' timeout 100 perl -I "$SCRIPTS" -Mlengths "$ROOT/womm/vendor/parallel" --will-cite --profile /dev/null \
    --sshloginfile "$BED/logins" --ssh "$BED/bin/login" "$@"
}

# AGAIN: a job's first words: the first job goes on until GNU parallel looks for a change in its login file again, and
# has the same pod written there anew.
AGAIN='[ "$PARALLEL_SEQ" != 1 ] || { touch -d "+9 seconds" "$BED/logins"; sleep 2.5; }; '

# arguments KIND COUNT: print COUNT arguments, each followed by NUL; `all`: of each kind in turn.
arguments() {
  perl -e '
    my %like = (
      plain => "%d", quote => "%d\x27", quotes => "\x27\x27\"%d\x27", blanks => " %d  x ", newlines => "\n%d\n\n", dollar => "\$(%d)*",
      bytes => "\xe2\x98\x83%d\xff", backslashes => "\\\\%d\\\\\\", words => "x y" x 30 . "%d",
    );
    my @kinds = $ARGV[0] eq "all" ? sort keys %like : $ARGV[0];
    printf "$like{$kinds[$_ % @kinds]}\0", $_ for 1 .. $ARGV[1]' "$1" "$2"
}

# longest: print the length of the longest call.
longest() {
  sort -n "$BED/lengths" | tail -n 1
}

# whole KIND COUNT OPTION...: run so many arguments with GNU parallel's OPTIONs, and fail unless all of them arrive, in
# more than one job, and none of the calls is too long.
whole() {
  local kind=$1 count=$2
  shift 2
  rm -f "$BED/lengths"
  arguments "$kind" "$count" >"$BED/in"
  parallel -0 -k -j1 "$@" -- "$AGAIN"'printf "%s\0" {}' <"$BED/in" >"$BED/out"
  cmp "$BED/in" "$BED/out"
  (($(wc -l <"$BED/lengths") > 1))
  (($(longest) < 131072))
}

# count OPTION...: print how many jobs GNU parallel makes of the arguments in $BED/in with these OPTIONs.
count() {
  perl "$@" "$ROOT/womm/vendor/parallel" --will-cite --profile /dev/null -S 1/pod1 --dry-run -0 -X -j1 -s 300 echo \
    <"$BED/in" | wc -l
}

@test "lengths: 20,000 arguments of any kind arrive by -X, in calls as long as can be, with the login file read again" {
  local kind
  start_hub
  for kind in all plain backslashes; do
    whole "$kind" 20000 -X
    (($(longest) > 125000))
  done
}

@test "lengths: the same with -m, --xargs and -n" {
  start_hub
  whole backslashes 8000 -m
  whole backslashes 8000 --xargs
  whole backslashes 8000 -n 6000
}

@test "lengths: what stands at each argument counts as often as it does" {
  start_hub
  arguments plain 20000 >"$BED/in"
  parallel -0 -k -X -j1 -- "$AGAIN"'printf "%s\0" \\\\{}\\\\{}' <"$BED/in" >"$BED/out"
  perl -e 'printf "\\\\%d\\\\%d\0", $_, $_ for 1 .. 20000' | cmp - "$BED/out"
  (($(longest) > 125000 && $(longest) < 131072))
}

@test "lengths: so do variables, functions and the working directory" {
  local wd
  start_hub
  export PARALLEL_SHELL=/bin/bash
  TEXT=$(head -c 20000 /dev/zero | tr '\0' '"')
  greet() { echo hello; }
  export TEXT
  export -f greet
  wd=$WORK/$(head -c 200 /dev/zero | tr '\0' '@')
  whole quote 20000 -X --env TEXT,greet --workdir "$wd"
  parallel --env TEXT,greet --workdir "$wd" 'greet; echo ${#TEXT} {}; pwd' ::: 1 </dev/null >"$BED/out"
  [[ $(<"$BED/out") == $'hello\n20000 1\n'"$wd" ]]
}

@test "lengths: one argument that is too long is told of, and no job begins" {
  start_hub
  perl -e 'print "\\" x 40000' >"$BED/in"
  run --separate-stderr parallel 'printf %s {} | wc -c' <"$BED/in"
  # shellcheck disable=SC2154 # bats sets it
  [[ $status -eq 255 && $stderr == *'Command line too long'* ]]
  [[ ! -s $BED/calls ]]
  perl -e 'print "\\" x 30000' >"$BED/in"
  run parallel 'printf %s {} | wc -c' <"$BED/in"
  [[ $status -eq 0 && $output == 30000 ]]
}

@test "lengths: lines that fit are as long as without it" {
  local kind
  for kind in plain quotes backslashes; do
    arguments "$kind" 2000 >"$BED/in"
    [[ $(count -I "$SCRIPTS" -Mlengths) == "$(count -X)" ]]
  done
}

@test "lengths: a GNU parallel that counts otherwise is refused before it runs a job" {
  printf 'print "ran"; sub Job::other { }' >"$BED/other"
  run --separate-stderr perl -I "$SCRIPTS" -Mlengths "$BED/other"
  ((status != 0))
  [[ $output != *ran* ]]
  [[ $stderr == *'this GNU parallel counts otherwise'* ]]
}
