#!/usr/bin/env bats
# marks.pm in the vendored GNU parallel: what it notes fits what GNU parallel writes.

bats_require_minimum_version 1.5.0

setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  cd "$BATS_TEST_TMPDIR" || return
  export HOME=$BATS_TEST_TMPDIR
}

# marked OPTION...: run GNU parallel with marks.pm; its stdout in `out`, its stderr in `err`, its joblog in `log`.
marked() {
  WOMM_MARKS=marks WOMM_OUT=$PWD/out WOMM_ERR=$PWD/err WOMM_LOG=$PWD/log \
    perl -I "$ROOT/womm/scripts" -Mmarks "$ROOT/womm/vendor/parallel" --joblog log "$@" >>out 2>>err
}

# consistent: fail unless at every note the joblog's rows are those of the jobs that are whole in `out` and `err`. Each
# job prints `NUMBER NUMBER...` three times on both.
consistent() {
  perl -e '
    local $/; sub slurp { open my $f, "<", $_[0] or die "$_[0]: $!"; <$f> }
    my ($out, $err, $log) = map slurp($_), qw(out err log);
    for (split /\n/, slurp("marks")) {
      my ($kind, $o, $e, $l) = /^([be]) (\d+) (\d+) (\d+)$/ or die "bad note: $_";
      my @rows = map { /^(\d+)\t/ ? $1 : () } split /\n/, substr $log, 0, $l;
      my $want = join "", map "$_ $_ $_\n" x 3, @rows;
      substr($out, 0, $o) eq $want or die "at $_: out is not that of jobs @rows\n";
      (my $mine = substr $err, 0, $e) =~ s/^parallel: .*\n//mg;
      $mine eq $want or die "at $_: err is not that of jobs @rows: $mine\n";
    }'
}

JOB='for i in 1 2 3; do echo {#} {#} {#}; echo {#} {#} {#} >&2; done'

@test "marks: a note before and after each job's output says what belongs together" {
  marked -j 4 "$JOB" ::: {1..40}
  consistent
  (($(grep -c '^b ' marks) == 40))
  (($(grep -c '^e ' marks) == 40))
  [[ $(tail -n 1 marks) == "e $(stat -c %s out) $(stat -c %s err) $(stat -c %s log)" ]]
}

@test "marks: the same where jobs are printed in their order, or fail" {
  marked -k -j 4 "sleep 0.{}; $JOB" ::: 3 1 2 0
  consistent
  run marked -j 2 "$JOB; exit 3" ::: 1 2
  [[ $status -eq 2 ]]
}

@test "marks: the jobs are counted where that is wanted, before the first one starts" {
  export WOMM_TOTAL=$PWD/total
  marked 'cat total; : {1} {2}' ::: a b c ::: 1 2
  [[ $(cat total) == 6 ]]
  [[ $(sort -u out) == 6 ]]
  rm total
  seq 7 >list
  marked -N 2 -a list echo
  marked -L 2 -a list echo
  [[ ! -e total ]]
}

@test "marks: jobs and GNU parallel's own children do not get its variables" {
  marked 'env | grep -E "^WOMM_(MARKS|OUT|ERR|LOG|TOTAL)=" || echo none; : {}' ::: 1
  [[ $(cat out) == none ]]
}

@test "marks: a GNU parallel that prints otherwise is refused before it runs a job" {
  printf 'print "ran"; sub Job::other { }' >other
  run --separate-stderr env WOMM_MARKS=marks perl -I "$ROOT/womm/scripts" -Mmarks other
  ((status != 0))
  [[ $output != *ran* ]]
  # shellcheck disable=SC2154 # bats sets it
  [[ $stderr == *'this GNU parallel prints otherwise'* ]]
}
