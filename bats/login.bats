#!/usr/bin/env bats
# login.pl, by itself and as GNU parallel's and rsync's ssh, with stand-ins for the hub: one that notes what it was asked
# for in $BED/asked and uses the streams, and one (hub.bash) that runs it. What arguments and streams hold is compared as
# bytes, in files.

# shellcheck disable=SC2016 # the jobs' text is for shells of their own
# shellcheck disable=SC2154 # run sets stderr, too

bats_require_minimum_version 1.5.0
load hub

setup() {
  make_run
  # That of a GNU parallel in whose job these tests may run.
  unset PARALLEL_SEQ
}

teardown() {
  stop_hub
  drop_run
}

# stand_in: wait for one login; write "out" and then its stdin to its stdout, "err" to its stderr; answer with the
# bytes $1, in Python's escapes.
stand_in() {
  rm -f "$WOMM_RUN/hub"
  python3 - "$WOMM_RUN/hub" "$BED/asked" "$1" <<'PYTHON' 3>&- &
import os, socket, struct, sys
path, asked, answer = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path + ".new")
listener.listen()
os.rename(path + ".new", path)
login, _ = listener.accept()
text, (stdin, stdout, stderr), _, _ = socket.recv_fds(login, 65536, 3)
while len(text) < 4 or len(text) < 4 + struct.unpack("<I", text[:4])[0]:
    text += login.recv(65536)
with open(asked, "wb") as file:
    file.write(text[4:])
try:
    os.write(stderr, b"err\n")
    os.write(stdout, b"out\n")
    while chunk := os.read(stdin, 65536):
        os.write(stdout, chunk)
except OSError:
    pass
login.sendall(answer.encode().decode("unicode_escape").encode("latin-1"))
PYTHON
  eventually test -S "$WOMM_RUN/hub"
}

# login: call login.pl as GNU parallel does.
login() {
  timeout 20 perl -X "$SCRIPTS/login.pl" "$@"
}

# parallel: GNU parallel as womm calls it, with the login $HOST, which is pod1 with two jobslots.
parallel() {
  RSYNC_OLD_ARGS=1 PARALLEL='' timeout 60 perl "$ROOT/womm/vendor/parallel" --will-cite --profile /dev/null \
    --sshlogin "${HOST:-2/pod1}" --ssh "perl -X $SCRIPTS/login.pl" "$@"
}

@test "login.pl: host and command reach the hub, and the status comes back" {
  local status_wanted
  for status_wanted in 0 3 255; do
    stand_in "\\x$(printf %02x "$status_wanted")\\0\\0\\0"
    run "-$status_wanted" login pod1 -- exec perl -X -e 'a  b' </dev/null
    printf 'pod1\0\0exec perl -X -e a  b' | cmp - "$BED/asked"
  done
}

@test "login.pl: the job's number goes with it, if GNU parallel has told one" {
  stand_in '\0\0\0\0'
  PARALLEL_SEQ=4711 login pod1 -- x </dev/null >/dev/null 2>&1
  printf 'pod1\x004711\0x' | cmp - "$BED/asked"
}

@test "login.pl: ssh's options before the host are passed over" {
  stand_in '\0\0\0\0'
  login -l me -p 22 -q -o X=y pod1 echo -l ran </dev/null >/dev/null 2>&1
  printf 'pod1\0\0echo -l ran' | cmp - "$BED/asked"
}

@test "login.pl: the hub has its three streams" {
  random_file "$BED/in" 300000
  stand_in '\0\0\0\0'
  login pod1 -- x <"$BED/in" >"$BED/out" 2>"$BED/err"
  { echo out && cat "$BED/in"; } | cmp - "$BED/out"
  [[ $(<"$BED/err") == err ]]
}

@test "login.pl: a long command with any byte arrives whole" {
  local text
  text=$(every_byte && head -c 120000 /dev/zero | tr '\0' x)
  stand_in '\0\0\0\0'
  login pod1 -- "$text" "$text" "$text" "$text" "$text" </dev/null >/dev/null 2>&1
  printf 'pod1\0\0%s %s %s %s %s' "$text" "$text" "$text" "$text" "$text" | cmp - "$BED/asked"
}

@test "login.pl: closed streams are as good as /dev/null" {
  stand_in '\7\0\0\0'
  login pod1 -- x <&- >"$BED/out" 2>/dev/null || [[ $? -eq 7 ]]
  [[ $(<"$BED/out") == out ]]
  stand_in '\7\0\0\0'
  login pod1 -- x </dev/null >&- 2>"$BED/err" || [[ $? -eq 7 ]]
  [[ $(<"$BED/err") == err ]]
  stand_in '\7\0\0\0'
  login pod1 -- x <&- >&- 2>&- || [[ $? -eq 7 ]]
  printf 'pod1\0\0x' | cmp - "$BED/asked"
}

@test "login.pl: a hub that ends without an answer is a lost job" {
  local answer
  for answer in '' '\0\0\0'; do
    stand_in "$answer"
    run --separate-stderr login pod1 -- x </dev/null
    [[ $status -eq 255 && $stderr == $'err\nwomm: the run has ended before this job' ]]
  done
}

@test "login.pl: without a hub no job is started" {
  run login pod1 -- x
  [[ $status -eq 255 && $output == 'womm: the run is over; this job was not started' ]]
}

@test "login.pl: a socket that nobody listens at is no hub" {
  stand_in '\0\0\0\0'
  login pod1 -- x </dev/null >/dev/null 2>&1
  run login pod1 -- x
  [[ $status -eq 255 && $output == 'womm: the run is over; this job was not started' ]]
}

@test "login.pl: without a command, or outside a run, it says its usage" {
  run login pod1
  [[ $status -eq 255 && $output == 'usage: login.pl '* ]]
  unset WOMM_RUN
  run login pod1 -- x
  [[ $status -eq 255 && $output == 'usage: login.pl '* ]]
}

@test "login.pl: no module is loaded" {
  run perl -X -e 'END { print join ",", grep { !/login/ } keys %INC } do shift' "$SCRIPTS/login.pl"
  [[ $output != *.pm* ]]
}

@test "login.pl: GNU parallel runs its jobs by it" {
  start_hub
  run --separate-stderr parallel -k 'echo {} $(pwd)' ::: 1 'b  c' "d'e" </dev/null
  [[ $status -eq 0 && -z $stderr ]]
  [[ $output == "1 $WORK"$'\n'"b  c $WORK"$'\n'"d'e $WORK" ]]
  [[ $(<"$BED/calls") == $'pod1\npod1\npod1' ]]
}

@test "login.pl: GNU parallel sees the jobs' exit statuses" {
  start_hub
  run parallel --joblog "$BED/log" 'exit {}' ::: 0 1 7 254 </dev/null
  [[ $status -eq 3 ]]
  [[ $(tail -n +2 "$BED/log" | cut -f 7 | sort -n | tr '\n' ' ') == '0 1 7 254 ' ]]
}

@test "login.pl: GNU parallel tells each job's number, also at its second try" {
  start_hub
  run parallel --retries 2 'exit {}' ::: 0 1 0 </dev/null
  [[ $status -eq 1 ]]
  [[ $(sort "$BED/calls-numbers" | tr '\n' ' ') == '1 2 2 3 ' ]]
}

@test "login.pl: GNU parallel's arguments may hold every byte but NUL" {
  start_hub
  every_byte >"$BED/in"
  parallel -0 'printf %s {}' <"$BED/in" >"$BED/out"
  cmp "$BED/in" "$BED/out"
}

@test "login.pl: GNU parallel tells stdout from stderr" {
  start_hub
  parallel --line-buffer 'echo out; echo err >&2' ::: 1 </dev/null >"$BED/out" 2>"$BED/err"
  [[ $(<"$BED/out") == 'out' && $(<"$BED/err") == 'err 1' ]]
}

@test "login.pl: GNU parallel's --timeout ends the job there, too" {
  start_hub
  run parallel --timeout 1 --joblog "$BED/log" 'echo $$ >pid; exec sleep 600' ::: 1 </dev/null
  [[ $status -eq 1 ]]
  [[ $(tail -n 1 "$BED/log" | cut -f 7) == -1 ]]
  eventually ended_process "$(<"$WORK/pid")"
}

@test "login.pl: GNU parallel's --halt now ends the other jobs there, too" {
  start_hub
  run parallel --halt now,fail=1 'if [ {} = 1 ]; then echo $$ >pid; exec sleep 600; fi
    while ! [ -s pid ]; do sleep 0.05; done; exit 4' ::: 1 2 </dev/null
  [[ $status -eq 4 ]]
  eventually ended_process "$(<"$WORK/pid")"
}

@test "login.pl: GNU parallel's -X gives one job many arguments" {
  start_hub
  parallel -X -j1 'printf "%s\n" a{}' ::: {1..2000} </dev/null >"$BED/out"
  printf 'a%s\n' {1..2000} | cmp - "$BED/out"
  (($(wc -l <"$BED/calls") < 20))
}

@test "login.pl: GNU parallel's --pipe gives each job its block of stdin" {
  start_hub
  seq 100000 >"$BED/in"
  parallel --pipe --block 100k -k cat <"$BED/in" >"$BED/out"
  cmp "$BED/in" "$BED/out"
  (($(wc -l <"$BED/calls") > 3))
}

@test "login.pl: GNU parallel's --pipe passes on every byte, as one block" {
  start_hub
  random_file "$BED/in" 3000000
  parallel --pipe --recend '' --block 100M -k cat <"$BED/in" >"$BED/out"
  cmp "$BED/in" "$BED/out"
}

@test "login.pl: GNU parallel brings a file there, the result back, and cleans up; names have blanks" {
  start_hub
  mkdir "$BED/here" && cd "$BED/here"
  echo content >'a b'
  echo more >"it's"
  run --separate-stderr parallel --workdir ./. --transferfile {} --return {}.out --cleanup \
    'tr a-z A-Z <{} >{}.out; pwd' ::: 'a b' "it's" </dev/null
  [[ $status -eq 0 && -z $stderr ]]
  [[ $output == "$WORK"$'\n'"$WORK" ]]
  [[ $(<'a b.out') == CONTENT && $(<"it's.out") == MORE ]]
  [[ -z $(find "$WORK" -type f) ]]
}

@test "login.pl: GNU parallel's --workdir is a directory of the pod's" {
  start_hub
  mkdir "$WORK/sub"
  run parallel --workdir "$WORK/sub" 'pwd' ::: 1 </dev/null
  [[ $output == "$WORK/sub" ]]
}

@test "login.pl: GNU parallel's --nonall runs the command once in each pod" {
  start_hub
  run parallel --sshlogin pod2 --nonall --tag pwd </dev/null
  [[ $status -eq 0 ]]
  [[ $(sort <<<"$output") == "pod1"$'\t'"$WORK"$'\n'"pod2"$'\t'"$WORK" ]]
  [[ $(sort "$BED/calls") == $'pod1\npod2' ]]
}

@test "login.pl: GNU parallel's --retries give a lost job to a pod again" {
  start_hub
  HOST=1/lost run --separate-stderr parallel --retries 3 'echo {}' ::: 1 </dev/null
  [[ $status -eq 0 && $output == 1 ]]
  [[ $(<"$BED/calls") == $'lost\nlost' ]]
  [[ $stderr == 'womm: the run has ended before this job' || -z $stderr ]]
}

@test "login.pl: rsync brings directories there and back by it" {
  start_hub
  mkdir -p "$BED/here/a b" && random_file "$BED/here/a b/file" 2000000
  rsync --archive --rsh="perl -X $SCRIPTS/login.pl" "$BED/here/" "pod1:$WORK/there/"
  rsync --archive --rsh="perl -X $SCRIPTS/login.pl" -l "pod1:$WORK/there/" "$BED/back/"
  diff -r "$BED/here" "$BED/back"
}
