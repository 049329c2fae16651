#!/usr/bin/env bats
# server-task, by itself: no server has to run.
# shellcheck disable=SC2016 # the text is for a shell of its own
# shellcheck disable=SC2154 # run sets stderr, too

bats_require_minimum_version 1.5.0
load server

setup() {
  make_server
  TASKS=$WOMM_ROOT/tasks
  STARTED=()
  : >"$WORK/sessions"
  chmod 0666 "$WORK/sessions"
}

teardown() {
  kill_sessions
  ((!${#STARTED[@]})) || kill -KILL "${STARTED[@]}" 2>/dev/null || true
  drop_run
}

# beside: run server-task $@ in the background, $PID.
beside() {
  # Without being told so, what runs in the background has no stdin.
  as_user setsid bash -c 'echo $$ >>"$WORK/sessions"; exec bash "$@"' beside "$SCRIPTS/server-task" "$@" <&0 3>&- &
  PID=$!
}

# kill_sessions: kill whatever runs of them, with the programs that they started.
kill_sessions() {
  local session
  while read -r session; do kill -KILL -- "-$session" 2>/dev/null || true; done <"$WORK/sessions"
}

# begun: a task $1 that has an order and has begun.
begun() {
  echo '{}' | task put "$1" order >/dev/null
  [[ $(task begin "$1") == '0 0 0' ]]
}

# has: whether file $1, which may be a pipe, is $2, byte for byte.
has() {
  cmp - "$1" < <(printf '%b' "$2")
}

# logged: whether `logs` of task t prints $1 on stdout and $2 on stderr, from the start.
logged() {
  task logs t 0 0 now >"$BED/out" 2>"$BED/err" && has "$BED/out" "$1" && has "$BED/err" "$2"
}

# receiving: whether a commit of task t waits for its bytes.
receiving() {
  [[ -n $(ls "$TASKS"/t/.part.* 2>/dev/null) ]]
}

# on_small_disk: run the bash program $2 where $WOMM_ROOT is a disk of the size $1.
on_small_disk() {
  local how=(--mount)
  [[ $(id -u) -eq 0 ]] || how=(--user --map-root-user --mount)
  TASK=$SCRIPTS/server-task unshare "${how[@]}" bash -c \
    'set -e; mount -t tmpfs -o "size=$0" none "$WOMM_ROOT"; task() { bash "$TASK" "$@"; }; eval "$1"' "$1" "$2"
}

@test "server-task: what is put is what one gets, byte for byte, and its length and checksum are told" {
  local name
  for name in order stdin places; do
    random_file "$BED/$name" 100000
    run -0 task put t "$name" <"$BED/$name"
    [[ $output == "100002 $(sha256sum <"$BED/$name" | head -c 64)" ]]
    cmp "$BED/$name" <(task get t "$name")
  done
  [[ $(printf 'no newline' | task put t stdin) == "10 $(printf 'no newline' | sha256sum | head -c 64)" ]]
  [[ $(task put t stdin </dev/null) == "0 $(sha256sum </dev/null | head -c 64)" ]]
  [[ -e $TASKS/t/stdin && -z $(task get t stdin) ]]
}

@test "server-task: 100 MB of stdin are put" {
  head -c 100000000 /dev/urandom >"$BED/big"
  run -0 task put t stdin <"$BED/big"
  [[ $output == "100000000 $(sha256sum <"$BED/big" | head -c 64)" ]]
  cmp "$BED/big" "$TASKS/t/stdin"
}

@test "server-task: what a task has is for the server's user only" {
  begun t
  printf ab | task commit t 0 0 0 1 1 0
  task end t 0
  [[ $(find "$TASKS" -type d -printf '%m\n' | sort -u) == 700 ]]
  [[ $(find "$TASKS" -type f -printf '%m\n' | sort -u) == 600 ]]
}

@test "server-task: until a file has been put whole the former one is there; a put that is killed leaves that" {
  echo former | task put t stdin
  mkfifo "$BED/pipe"
  exec 7<>"$BED/pipe"
  beside put t stdin <&7
  printf new >&7
  arrived() { [[ $(cat "$TASKS"/t/.put.* 2>/dev/null) == new ]]; }
  eventually arrived
  [[ $(task get t stdin) == former ]]
  kill_sessions
  eventually ended "$(<"$WORK/sessions")"
  [[ $(task get t stdin) == former ]]
}

@test "server-task: what a full disk can't take is not put, and nothing half-made is left" {
  run -0 on_small_disk 200k '
    head -c 100000 /dev/zero | task put t stdin
    ! head -c 300000 /dev/zero | task put t stdin || exit 9
    [[ $(task get t stdin | wc -c) -eq 100000 && $(ls -A "$WOMM_ROOT/tasks/t") == stdin ]] || exit 8
    status=0
    head -c 300000 /dev/zero | task put other stdin || status=$?
    [[ $status -eq 1 && $(ls "$WOMM_ROOT/tasks") == t ]] || exit 7
    echo 1 | task put other stdin'
  [[ $output == *'stdin of other can'\''t be stored'* ]]
}

@test "server-task: what is not there can't be got, and a file that there never is, neither" {
  run -3 task get t order
  [[ $output == 'server-task: there is no task t' ]]
  task put t order </dev/null
  run -3 task get t stdin
  [[ $output == 'server-task: task t has no stdin' ]]
  run -2 task get t ../t/order
  [[ $output == 'server-task: there are no files ../t/order' ]]
  run -2 task put t out
  [[ $output == 'server-task: order, stdin, places, total or file1 to file9, not out' ]]
  [[ ! -e $TASKS/t/out ]]
}

@test "server-task: a task begins when it has its order; it goes on at its state" {
  run -3 task begin t
  echo 1 | task put t stdin
  run -3 task begin t
  [[ $output == 'server-task: there is no task t' ]]
  begun t
  run -0 task begin t
  [[ $output == '0 0 0' ]]
  printf abbccc | task commit t 0 0 0 1 2 3
  run -0 task begin t
  [[ $output == '1 2 3' ]]
}

@test "server-task: commits add up, byte for byte, each to its file" {
  begun t
  printf '\0a\n\xff\0e' | task commit t 0 0 0 4 2 0
  printf 'log\n' | task commit t 4 2 0 0 0 4
  printf '\nXYmore\n' | task commit t 4 2 4 1 2 5
  task commit t 5 4 9 0 0 0 </dev/null
  [[ $(task get t state) == '5 4 9' ]]
  has "$TASKS/t/out" '\0a\n\xff\n'
  has "$TASKS/t/err" '\0eXY'
  has "$TASKS/t/joblog" 'log\nmore\n'
  logged '\0a\n\xff\n' '\0eXY'
  [[ $(task get t joblog) == $'log\nmore' ]]
}

@test "server-task: a commit takes its own bytes only, and waits for no end of stdin" {
  begun t
  mkfifo "$BED/pipe"
  exec 7<>"$BED/pipe"
  printf 'oeLrest\n' >&7
  run -0 timeout 20 bash -c 'as_user bash "$0/server-task" commit t 0 0 0 1 1 1' "$SCRIPTS" <&7
  local rest
  read -rt 10 -u 7 rest
  [[ $rest == rest ]]
  printf 'again, but not all' >&7
  run -0 timeout 20 bash -c 'as_user bash "$0/server-task" commit t 0 0 0 1 1 1' "$SCRIPTS" <&7
  logged o e
}

@test "server-task: a commit that is repeated, its answer was lost, counts once" {
  begun t
  printf abc | task commit t 0 0 0 1 1 1
  printf abc | task commit t 0 0 0 1 1 1
  # Its bytes may be cut this time.
  task commit t 0 0 0 1 1 1 </dev/null
  [[ $(task get t state) == '1 1 1' ]]
  logged a b
  [[ $(wc -l <"$TASKS/t/times") -eq 1 ]]
}

@test "server-task: a commit that is cut anywhere commits nothing, and the next one all of it" {
  begun t
  printf 1234 | task commit t 0 0 0 2 1 1
  local length
  for ((length = 0; length < 9; length++)); do
    run -4 task commit t 2 1 1 3 4 2 < <(printf 'OOOEEEEL\n' | head -c "$length")
    [[ $output == "server-task: of 9 bytes came $length" ]]
    [[ $(task get t state) == '2 1 1' ]]
    logged 12 3
  done
  printf 'OOOEEEEL\n' | task commit t 2 1 1 3 4 2
  logged 12OOO 3EEEE
  has "$TASKS/t/joblog" '4L\n'
  [[ -z $(ls "$TASKS"/t/.part.* 2>/dev/null) ]]
}

@test "server-task: what lies beyond the state is read by nobody, and cut off by the next commit" {
  begun t
  printf 123 | task commit t 0 0 0 1 1 1
  local name
  # As a commit leaves it that was killed in the middle.
  for name in out err joblog; do echo garbage >>"$TASKS/t/$name"; done
  logged 1 2
  [[ $(task get t out)$(task get t err)$(task get t joblog) == 123 ]]
  printf abc | task commit t 1 1 1 1 1 1
  logged 1a 2b
  [[ $(<"$TASKS/t/joblog") == 3c ]]
}

@test "server-task: commits that are killed before or after any program that they start lose and repeat nothing" {
  begun t
  head -c 600000 /dev/urandom >"$BED/data"
  local name moment step state ended out=0 killed=0
  # Such a program kills the whole session when it is the one whose turn it is.
  for name in head flock stat dd truncate mv rm; do
    program "$name" 'read -r left <"$WORK/left"
echo $((left - 1)) >"$WORK/left"
if ((left == 1)) && [[ $MOMENT == before ]]; then kill -KILL 0; fi
'"$(command -v "$name")"' "$@" || exit
if ((left == 1)); then kill -KILL 0; fi'
  done
  for moment in before after; do
    ended=137
    for ((step = 1; ended == 137; step++)); do
      echo "$step" >"$WORK/left"
      chmod 0666 "$WORK/left"
      tail -c +$((out * 6 + 1)) "$BED/data" | head -c 6000 >"$BED/next"
      ended=0
      as_user env PATH="$BED/bin:$PATH" MOMENT="$moment" setsid --wait bash "$SCRIPTS/server-task" \
        commit t "$out" $((out * 2)) $((out * 3)) 1000 2000 3000 <"$BED/next" || ended=$?
      killed=$((killed + (ended == 137)))
      # As a coordinator goes on that was started anew: from the state on.
      state=$(task begin t)
      if [[ $ended -ne 0 && $state == "$out $((out * 2)) $((out * 3))" ]]; then
        task commit t "$out" $((out * 2)) $((out * 3)) 1000 2000 3000 <"$BED/next"
      fi
      out=$((out + 1000))
      [[ $(task get t state) == "$out $((out * 2)) $((out * 3))" ]]
    done
    [[ $ended -eq 0 ]]
  done
  ((killed >= 14))
  # Each commit's part of the data, one file after the other.
  local offset
  for ((offset = 0; offset < out * 6; offset += 6000)); do
    tail -c +$((offset + 1)) "$BED/data" | head -c 1000 >>"$BED/out"
    tail -c +$((offset + 1001)) "$BED/data" | head -c 2000 >>"$BED/err"
    tail -c +$((offset + 3001)) "$BED/data" | head -c 3000 >>"$BED/joblog"
  done
  for name in out err joblog; do cmp "$BED/$name" <(task get t "$name"); done
}

@test "server-task: of two commits at once one counts; if they are the same, both are content" {
  begun t
  local i first second
  for i in 0 1 2 3 4; do
    printf '%0100000d' 1 | task commit t $((i * 100000)) 0 0 100000 0 0 &
    first=$!
    printf '%0100001d' 2 | task commit t $((i * 100000)) 0 0 100000 1 0 2>/dev/null &
    second=$!
    local one=0 two=0
    wait "$first" || one=$?
    wait "$second" || two=$?
    [[ "$one $two" == '0 4' || "$one $two" == '4 0' ]]
    if ((two == 0)); then break; fi
  done
  [[ $(task get t state) == "$(stat -c %s "$TASKS/t/out") $((two ? 0 : 1)) 0" ]]
  begun u
  printf abc | task commit u 0 0 0 1 1 1 &
  first=$!
  printf abc | task commit u 0 0 0 1 1 1 &
  second=$!
  wait "$first"
  wait "$second"
  [[ $(task get u state) == '1 1 1' && $(<"$TASKS/u/out") == a ]]
}

@test "server-task: a commit whose bytes don't come holds nobody up; it is too late when they come" {
  begun t
  mkfifo "$BED/pipe"
  exec 7<>"$BED/pipe"
  beside commit t 0 0 0 3 0 0 <&7 2>"$BED/said"
  eventually receiving
  printf new | task commit t 0 0 0 1 1 1
  printf old >&7
  local status=0
  wait "$PID" || status=$?
  [[ $status -eq 4 && $(<"$BED/said") == 'server-task: the state of t is 1 1 1, not 0 0 0' ]]
  logged n e
}

@test "server-task: a commit from before a new begin, whose bytes come after it, is not committed" {
  begun t
  printf 123 | task commit t 0 0 0 3 0 0
  mkfifo "$BED/pipe"
  exec 7<>"$BED/pipe"
  beside commit t 3 0 0 3 0 0 <&7 2>"$BED/said"
  eventually receiving
  [[ $(task begin t) == '3 0 0' ]]
  printf old >&7
  local status=0
  wait "$PID" || status=$?
  [[ $status -eq 4 && $(task get t state) == '3 0 0' ]]
  logged 123 ''
}

@test "server-task: a full disk commits nothing, and once there is room it goes on" {
  run -0 on_small_disk 300k '
    echo {} | task put t order
    task begin t
    printf abc | task commit t 0 0 0 1 1 1
    for size in 400000 200000; do
      status=0
      head -c $size /dev/zero | task commit t 1 1 1 $((size - 2)) 1 1 || status=$?
      [[ $status -eq 1 && $(task get t state) == "1 1 1" ]] || exit 9
      [[ $(task logs t 0 0 now 2>&1) == ab ]] || exit 8
    done
    mount -o remount,size=2m "$WOMM_ROOT"
    head -c 400000 /dev/zero | task commit t 1 1 1 399998 1 1
    [[ $(task get t state) == "399999 2 2" && $(task logs t 0 0 now out | wc -c) -eq 399999 ]]'
  [[ $output == *'nothing more of t can be stored'* ]]
}

@test "server-task: a file that is shorter than what was committed is told of" {
  begun t
  printf abcdef | task commit t 0 0 0 2 2 2
  as_user truncate -s 1 "$TASKS/t/err"
  run -1 task commit t 2 2 2 1 0 0 <<<x
  [[ $output == "server-task: $TASKS/t/err is shorter than what was committed" ]]
  as_user rm "$TASKS/t/joblog" && printf f | as_user tee -a "$TASKS/t/err" >/dev/null
  run -1 task commit t 2 2 2 1 0 0 <<<x
  [[ $(task get t state) == '2 2 2' ]]
}

@test "server-task: once another coordinator has begun, an earlier one commits and ends nothing" {
  echo '{}' | task put t order
  [[ $(task begin t first) == '0 0 0' ]]
  printf ab | task commit t 0 0 0 2 0 0 first
  [[ $(task begin t second) == '2 0 0' ]]
  run -5 task commit t 2 0 0 1 0 0 first <<<x
  [[ $output == 'server-task: first is not the coordinator of t any more' ]]
  # Even what it had committed before: it is to end.
  run -5 task commit t 0 0 0 2 0 0 first <<<ab
  run -5 task end t 0 first
  [[ ! -e $TASKS/t/status && -z $(find "$TASKS/t" -name '.part*') ]]
  printf cd | task commit t 2 0 0 2 0 0 second
  task end t 3 second
  has <(task get t out) 'abcd'
  [[ $(task get t status) == 3 ]]
  # Who only looks does not take over.
  [[ $(task begin t) == '4 0 0' ]]
  printf e | task commit t 4 0 0 1 0 0 second
}

@test "server-task: who has another state than the server is refused, and one without begin, too" {
  echo '{}' | task put t order
  run -4 task commit t 0 0 0 1 0 0 <<<x
  [[ $output == 'server-task: the state of t is none, not 0 0 0' ]]
  task begin t
  run -4 task commit t 1 0 0 1 0 0 <<<x
  [[ $output == 'server-task: the state of t is 0 0 0, not 1 0 0' ]]
  run -3 task commit nothing 0 0 0 1 0 0 <<<x
  [[ ! -e $TASKS/nothing ]]
}

@test "server-task: logs are read from offsets on, each stream for itself" {
  begun t
  printf 'abcdefEFGH' | task commit t 0 0 0 6 4 0
  run -0 --separate-stderr task logs t 4 1 now
  [[ $output == ef && $stderr == FGH ]]
  run -0 --separate-stderr task logs t 4 1 now out
  [[ $output == ef && -z $stderr ]]
  run -0 --separate-stderr task logs t 4 1 now err
  [[ -z $output && $stderr == FGH ]]
  run -0 --separate-stderr task logs t 6 4 now both
  [[ -z $output$stderr ]]
  # Beyond the end, as of one who knows more than the server.
  run -0 --separate-stderr task logs t 7 400 now
  [[ -z $output$stderr ]]
}

@test "server-task: who follows while commits come gets every byte once, and ends with the task" {
  echo '{}' | task put t order
  head -c 400000 /dev/urandom >"$BED/data"
  # From before the begin.
  beside logs t 0 0 follow >"$BED/out" 2>"$BED/err"
  local first=$PID offset
  task begin t
  for ((offset = 0; offset < 200000; offset += 20000)); do
    tail -c +$((offset * 2 + 1)) "$BED/data" | head -c 40000 | task commit t $offset $offset 0 20000 20000 0
    if ((offset == 100000)); then
      beside logs t 90001 80001 follow >"$BED/late.out" 2>"$BED/late.err"
    fi
  done
  task end t 7
  wait "$first"
  wait "$PID"
  local name
  for name in out err; do
    cmp "$BED/$name" "$TASKS/t/$name"
    [[ $(stat -c %s "$BED/$name") -eq 200000 ]]
  done
  cmp "$BED/late.out" <(tail -c +90002 "$BED/out")
  cmp "$BED/late.err" <(tail -c +80002 "$BED/err")
}

@test "server-task: the last commit before the end is followed to its last byte; an ended task at once" {
  begun t
  beside logs t 0 0 follow out >"$BED/out"
  printf 'no newline' | task commit t 0 0 0 10 0 0
  task end t 0
  wait "$PID"
  has "$BED/out" 'no newline'
  run -0 timeout 20 bash -c 'as_user bash "$0/server-task" logs t 3 0 follow' "$SCRIPTS"
  [[ $output == newline ]]
}

@test "server-task: what is committed, and the end, while a follower prints what came before, is not missed" {
  begun t
  printf first | task commit t 0 0 0 5 0 0
  program dd 'if mkdir "$WORK/once" 2>/dev/null; then
  PATH='"$PATH"'
  printf " and last" | bash '"$SCRIPTS"'/server-task commit t 5 0 0 9 0 0 && bash '"$SCRIPTS"'/server-task end t 0
fi
exec '"$(command -v dd)"' "$@"'
  run -0 as_user env PATH="$BED/bin:$PATH" bash "$SCRIPTS/server-task" logs t 0 0 follow
  [[ $output == 'first and last' ]]
}

@test "server-task: who waits for what does not come starts no programs" {
  begun t
  mkdir "$BED/none"
  local bash follower
  bash=$(command -v bash)
  PATH=$BED/none "$bash" "$SCRIPTS/server-task" logs t 0 0 follow >"$BED/out" 2>"$BED/err" 3>&- &
  follower=$!
  PATH=$BED/none "$bash" "$SCRIPTS/server-task" wait t >"$BED/status" 2>>"$BED/err" 3>&- &
  STARTED+=("$follower" "$!")
  sleep 1
  kill -0 "$follower"
  task end t 3
  wait "$!"
  wait "$follower"
  [[ ! -s $BED/err && ! -s $BED/out && $(<"$BED/status") == 3 ]]
}

@test "server-task: who follows a task that is dropped ends with 3, without a word among the task's" {
  begun t
  printf oe | task commit t 0 0 0 1 1 0
  beside logs t 0 0 follow >"$BED/out" 2>"$BED/err"
  local follower=$PID status=0
  beside wait t 2>"$BED/said"
  followed() { [[ $(cat "$BED/out" "$BED/err") == oe ]]; }
  eventually followed
  task drop t
  wait "$follower" || status=$?
  [[ $status -eq 3 && $(cat "$BED/out" "$BED/err") == oe ]]
  status=0
  wait "$PID" || status=$?
  [[ $status -eq 3 && $(<"$BED/said") == 'server-task: there is no task t' ]]
  run -3 task logs t 0 0 now
  [[ -z $output ]]
  run -3 task wait t
}

@test "server-task: a follower whose reader has gone ends with the next byte" {
  begun t
  mkfifo "$BED/pipe"
  # Each opens the pipe in the background: that waits for the other one.
  head -c 1 "$BED/pipe" >/dev/null &
  local reader=$! status=0
  beside logs t 0 0 follow >"$BED/pipe"
  printf ab | task commit t 0 0 0 2 0 0
  wait "$reader"
  printf c | task commit t 2 0 0 1 0 0
  wait "$PID" || status=$?
  [[ $status -eq 1 ]]
}

@test "server-task: since tells the offsets of a time by the server's clock, whatever a full disk did to the list" {
  run -3 task since t 0
  begun t
  run -0 task since t 0
  [[ $output == '0 0' ]]
  local now=$EPOCHSECONDS
  as_user tee "$TASKS/t/times" >/dev/null <<<"$((now - 1000)) 1 2
$((now - 500)) 3 4
17959$((now - 300)) 5 6
$((now - 200)) 7
$((now - 100)) 8 9"
  local ago
  for ago in 2000:'0 0' 900:'1 2' 400:'3 4' 150:'3 4' 50:'8 9' 0:'8 9'; do
    run -0 task since t "${ago%:*}"
    [[ $output == "${ago#*:}" ]]
  done
  printf abc | task commit t 0 0 0 2 1 0
  run -0 task since t 0
  [[ $output == '2 1' ]]
}

@test "server-task: the end has an exit status, and the first one stays" {
  run -3 task end t 0
  begun t
  run -2 task end t 256
  run -2 task end t -1
  run -2 task end t x
  [[ ! -e $TASKS/t/status ]]
  task end t 255
  task end t 255
  task end t 0
  run -0 task wait t
  [[ $output == 255 && $(task get t status) == 255 ]]
  [[ -z $(find "$TASKS/t" -name '.status*') ]]
}

@test "server-task: the list tells of each task how far it is, by the rows that were committed" {
  run -0 task list
  [[ -z $output ]]
  local header=$'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n'
  # row: print a joblog's row of exit value $1, signal $2 and command $3.
  row() { printf '1\tpod.1\t1700000000.123\t     0.004\t0\t0\t%s\t%s\t%b\n' "$1" "$2" "$3"; }
  begun running
  { printf '%s' "$header" && row 0 0 'a\tb\0c' && row 1 0 '' && row 0 9 x && row -1 0 x && row 0 0 x; } >"$BED/log"
  { printf 'oooee' && cat "$BED/log"; } | task commit running 0 0 0 3 2 "$(stat -c %s "$BED/log")"
  row 1 0 'not committed' | as_user tee -a "$TASKS/running/joblog" >/dev/null
  begun ended
  row 0 0 whole >"$BED/log"
  # All but the end of the second row.
  { cat "$BED/log" && row 1 0 cut; } | task commit ended 0 0 0 0 0 $(($(stat -c %s "$BED/log") + 40))
  task end ended 3
  echo 1 | task put early stdin
  echo '{}' | task put ordered order
  echo 120 | task put running total
  echo none | task put ended total
  as_user mkdir "$TASKS/Not-ours"
  as_user touch "$TASKS/file"
  run -0 task list
  [[ $output == 'early . 0 0 0 0 -
ended 3 0 0 1 0 -
ordered - 0 0 0 0 -
running - 3 2 5 3 120' ]]
}

@test "server-task: 10,000 jobs and 20 tasks are listed in less than 5 s" {
  local i
  for ((i = 1; i <= 10000; i++)); do
    printf '%d\tpod.1\t1700000000.123\t     0.004\t0\t0\t0\t0\techo %d\n' "$i" "$i"
  done >"$BED/log"
  begun many
  local size
  size=$(stat -c %s "$BED/log")
  task commit many 0 0 0 0 0 "$size" <"$BED/log"
  for ((i = 0; i < 20; i++)); do as_user cp -r "$TASKS/many" "$TASKS/many$i"; done
  local before
  before=$(milliseconds)
  run -0 task list
  (($(milliseconds) - before < 5000))
  [[ ${#lines[@]} -eq 21 && ${lines[20]} == 'many9 - 0 0 10000 0 -' ]]
}

@test "server-task: what is dropped is gone, however often" {
  begun t
  begun tt
  # What another drop has left, which was killed.
  as_user mkdir -p "$TASKS/.dropped.t.123/out"
  task drop t
  task drop t
  task drop never
  [[ $(ls -A "$TASKS") == tt ]]
  run -3 task commit t 0 0 0 1 0 0 <<<x
  run -3 task begin t
  run -3 task end t 0
  [[ $(ls -A "$TASKS") == tt ]]
}

@test "server-task: a commit that waits while its task is dropped ends with 3, and makes nothing" {
  begun t
  mkfifo "$BED/pipe"
  exec 7<>"$BED/pipe"
  beside commit t 0 0 0 3 0 0 <&7 2>"$BED/said"
  eventually receiving
  task drop t
  printf old >&7
  local status=0
  wait "$PID" || status=$?
  [[ $status -eq 3 && $(<"$BED/said") == 'server-task: there is no task t' && -z $(ls -A "$TASKS") ]]
}

@test "server-task: names that could be paths are refused, whatever is to be done" {
  local name verb
  for name in .. a/b '' A 'a b' $'a\nb' '[x]' .dropped.t.1; do
    for verb in 'put NAME order' 'get NAME order' 'begin NAME' 'commit NAME 0 0 0 0 0 0' 'end NAME 0' 'logs NAME 0 0 now' \
      'since NAME 0' 'wait NAME' 'drop NAME'; do
      local words
      read -ra words <<<"$verb"
      words[1]=$name
      run -2 task "${words[@]}" </dev/null
      [[ $output == "server-task: bad name: $name" ]]
    done
  done
  [[ -z $(ls -A "$WOMM_ROOT") ]]
}

@test "server-task: numbers that are none, an unknown verb and a wrong number of arguments are refused" {
  begun t
  local number words
  for number in -1 08 1.5 x '' '1+1' 'a[$(id)]' 99999999999999999999; do
    run -2 task commit t 0 0 0 0 "$number" 0 </dev/null
    [[ $output == "server-task: not a number: $number" ]]
    run -2 task logs t 0 "$number" now
    run -2 task since t "$number"
  done
  for words in '' 'begin' 'begin t t t' 'remove t' 'list t' 'logs t 0 0 never' 'logs t 0 0 now all' 'put t' 'commit t 0 0 0'; do
    # shellcheck disable=SC2086 # they are words
    run -2 task $words </dev/null
    [[ $output == 'usage: server-task '* ]]
  done
}
