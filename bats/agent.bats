#!/usr/bin/env bats
# agent-boot.pl and agent.pl, with its parts agent-channel.pl, agent-terminal.pl, agent-shell.pl, agent-back.pl and
# agent-jobs.pl, as the hub calls them, the frames written by hand. tests/test_agent.py has the rest.

# shellcheck disable=SC2016 # the jobs' and programs' text is for shells of their own

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  NAME=bats-$BASHPID-$RANDOM
  KEY=0123456789abcdef0123456789abcdef
}

teardown() {
  drop_run
}

# boot: agent-boot.pl as the client sends it, with the arguments $@. The agent must not hold what bats waits for.
boot() {
  perl -e "$(grep -v '^ *#' "$SCRIPTS/agent-boot.pl" | tr -s '\n ' '  ')" "$@" 3>&-
}

# source_code: print the agent as the client sends it: its parts, each in braces.
source_code() {
  local part
  for part in agent-channel agent-terminal agent-shell agent-back agent-jobs agent; do
    echo '{'
    grep -v '^ *#' "$SCRIPTS/$part.pl"
    echo '}'
  done
}

# frame: print the frame of type $1 for job $2; $3 is its payload, with perl's escapes.
frame() {
  perl -e 'print pack "a N N/a*", $ARGV[0], $ARGV[1], eval qq("$ARGV[2]")' "$1" "$2" "${3-}"
}

# greeting: print the hub's, of a session with key $1 and a dead-man time of $2 seconds.
greeting() {
  # \x00: a digit may follow.
  frame H 0 "womm1\\x00$1\\x000\\x00$2\\x00$WORK\\x00/bin/sh"
}

# dial: open a channel: the source, then what the command $@ prints, is its input.
dial() {
  { source_code && "$@"; } | boot "$(source_code | wc -c)" "$NAME"
}

# holds: whether file $1 ends with the bytes $2, in perl's escapes.
holds() {
  perl -e 'undef $/; $text = <STDIN>; exit !($text =~ /\Q@{[eval qq("$ARGV[0]")]}\E\z/)' "$2" <"$1"
}

# run_and_quit: run the command $1 as job 1, and have the agent end when it has.
run_and_quit() {
  greeting "$KEY" 20
  frame R 1 "\\1$1"
  eventually holds "$BED/out" 'X\0\0\0\1\0\0\0\4\0\0\3\0'
  frame Q 0
}

@test "agent-boot: what is shorter than it was told is not run" {
  run --separate-stderr boot 100 "$NAME" <<<'print "ran";'
  [[ $status -eq 255 && -z $output ]]
  # shellcheck disable=SC2154 # run sets stderr, too
  [[ $stderr == 'womm: the agent did not arrive whole' ]]
}

@test "agent-boot: what comes after the length is left alone" {
  local text='$| = 1; print "@ARGV:"; exec "cat"'
  printf '%s and the rest' "$text" | boot "${#text}" "$NAME" >"$BED/out"
  [[ $(<"$BED/out") == "$NAME: and the rest" ]]
}

@test "agent-boot: what does not compile is told" {
  run boot 3 "$NAME" <<<'1 +'
  [[ $status -ne 0 && $output == 'syntax error '* ]]
}

@test "agent: a job runs in the session's directory, and its end is told after its output" {
  dial run_and_quit 'pwd; exit 3' >"$BED/out"
  {
    frame H 0 'womm1\0new\0000\0'
    frame O 1 "$WORK\\n"
    frame X 1 '\0\0\3\0'
  } | cmp - "$BED/out"
}

@test "agent: it outlives its channel, and the next one goes on" {
  dial greeting "$KEY" 20 >"$BED/first"
  dial run_and_quit 'exit 3' >"$BED/out"
  frame H 0 'womm1\0new\0000\0' | cmp - "$BED/first"
  {
    frame H 0 'womm1\0same\0000\0'
    frame X 1 '\0\0\3\0'
  } | cmp - "$BED/out"
}

@test "agent: another session is told that it is busy" {
  dial greeting "$KEY" 20 >"$BED/first"
  dial greeting "${KEY//0/f}" 20 >"$BED/second"
  dial run_and_quit 'exit 3' >"$BED/out"
  frame H 0 'womm1\0busy\0000\0another run uses this pod' | cmp - "$BED/second"
}

@test "agent: another user is not heard" {
  [[ $(id -u) -eq 0 ]] || skip 'only root can be another user'
  dial greeting "$KEY" 20 >"$BED/first"
  { source_code && greeting "$KEY" 20; } |
    as_user bash -c 'perl -e "$@"' bash "$(grep -v '^ *#' "$SCRIPTS/agent-boot.pl")" "$(source_code | wc -c)" "$NAME" \
      >"$BED/second" 3>&- || true
  [[ ! -s $BED/second ]]
  dial run_and_quit 'exit 3' >"$BED/out"
}

# run_on_terminal: run the command $1 as job 1 on a terminal of 30 rows and 100 columns, and have the agent end then.
run_on_terminal() {
  greeting "$KEY" 20
  frame R 1 "\\x08\\x00\\x1e\\x00\\x64xterm\\x00$1"
  eventually holds "$BED/out" 'X\0\0\0\1\0\0\0\4\0\0\3\0'
  frame Q 0
}

@test "agent: a job on a terminal is told its size and its name" {
  dial run_on_terminal 'stty size; env | grep ^TERM=; exit 3' >"$BED/out"
  grep -aq $'30 100\r$' "$BED/out"
  grep -aq $'TERM=xterm\r$' "$BED/out"
}

# run_by: run the command in file $2 by the shell $1 (words) as the agent has /bin/sh run it.
run_by() {
  perl -e 'my ($part, $shell, $file) = @ARGV; do $part; die $@ if $@; undef $/; open my $text, "<", $file or die $!;
    my @words = split / /, $shell; exec { $words[0] } @words, Womm::Agent::shell_arguments(readline $text)' \
    "$SCRIPTS/agent-shell.pl" "$1" "$2"
}

@test "agent: a command beyond the length of an argument runs the same by each shell that images have" {
  local shell size
  for size in 100 119000 121000 400000; do
    { every_byte && head -c "$size" /dev/zero | tr '\0' "\\\\" && printf ' $x "`'; } >"$BED/wanted"
    { printf "printf %%s '" && sed "s/'/'\\\\''/g" "$BED/wanted" && printf "'; echo \" \$# \$*\"; exit 3"; } >"$BED/command"
    echo ' 0 ' >>"$BED/wanted"
    for shell in 'dash' 'bash' 'busybox sh'; do
      type -P "${shell%% *}" >/dev/null || continue
      run_by "$shell" "$BED/command" >"$BED/out" || [[ $? -eq 3 ]]
      cmp "$BED/wanted" "$BED/out"
    done
  done
}

@test "agent: a long command sees no trace of how it came, and its stdin" {
  local shell
  { head -c 130000 /dev/zero | tr '\0' ' ' && echo 'cat; set -- a; echo "$1 ${2-none} $-"'; } >"$BED/command"
  for shell in 'dash' 'bash' 'busybox sh'; do
    type -P "${shell%% *}" >/dev/null || continue
    [[ $(echo in | run_by "$shell" "$BED/command") == $'in\na none '* ]]
  done
}

# sidecar: answer who asks whether a job's changes are safe: the lines $2… one after the other once file $1 is there.
sidecar() {
  perl -e 'my ($name, $file, @lines) = @ARGV;
    my $listener; socket $listener, 1, 1, 0 and bind $listener, pack "S x a*", 1, "womm/$name/back" and listen $listener, 8 or die;
    $SIG{ALRM} = sub { exit }; $SIG{PIPE} = "IGNORE"; alarm 60;
    my $asks; while (accept $asks, $listener) {
        select undef, undef, undef, 0.05 until -e $file;
        syswrite $asks, "$_\n" for @lines;
    }' "$NAME" "$@" 3>&- &
  SIDECAR=$!
}

@test "agent: where changes go back, a job's end is told when they are safe, and not before" {
  sidecar "$BED/safe" 'failed for now' 'done'
  export WOMM_SYNCBACK=1
  ends_when_safe() {
    greeting "$KEY" 20
    frame R 1 '\1env | grep -c SYNCBACK; exit 3'
    eventually holds "$BED/out" 'O\0\0\0\1\0\0\0\0020\n'
    # A ping is answered meanwhile, after whatever was told before it.
    frame P 0
    eventually holds "$BED/out" '\0\0\0\61'
    touch "$BED/safe"
    eventually holds "$BED/out" 'X\0\0\0\1\0\0\0\4\0\0\3\0'
    frame Q 0
  }
  dial ends_when_safe >"$BED/out"
  {
    frame H 0 'womm1\0new\0000\0'
    frame O 1 '0\n'
    frame A 0 '\0\0\0\0\0\0\0\61'
    frame X 1 '\0\0\3\0'
  } | cmp - "$BED/out"
  kill "$SIDECAR"
}

@test "agent: a job whose changes don't get to the server in time has failed, and says why" {
  touch "$BED/now"
  sidecar "$BED/now" 'failed rsync: no route'
  export WOMM_SYNCBACK=1
  fails() {
    greeting "$KEY" 2
    frame R 1 '\1exit 0'
    eventually pinged holds "$BED/out" 'X\0\0\0\1\0\0\0\4\0\0\377\0'
    frame Q 0
  }
  # A hub that lives pings.
  pinged() {
    frame P 0
    "$@"
  }
  dial fails >"$BED/out"
  grep -aq 'womm: what this job has changed could not be sent to the file server within 2 s, so it counts as failed: rsync: no route$' \
    "$BED/out"
  kill "$SIDECAR"
}

@test "agent: a job that is killed is not waited for" {
  export WOMM_SYNCBACK=1
  kill_it() {
    greeting "$KEY" 20
    frame R 1 '\1echo x; exit 3'
    eventually holds "$BED/out" 'O\0\0\0\1\0\0\0\2x\n'
    frame K 1
    eventually holds "$BED/out" 'X\0\0\0\1\0\0\0\4\0\0\3\0'
    frame Q 0
  }
  dial kill_it >"$BED/out"
}
