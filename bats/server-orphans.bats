#!/usr/bin/env bats
# server-orphans, with a kubectl that answers what the test says.
# shellcheck disable=SC2016 # the text is for a shell of its own

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  export PATH=$BED/bin:$PATH WOMM_ORPHANS_EVERY=1 WOMM_ORPHANS_AFTER=2 TMPDIR=$BED
  : >"$BED/calls"
  # The Nth list is answer.N, or else `answer`; `fails` is a part of what can't be done. NOW in an answer is
  # another time each time. What was asked is in `calls`, without the options that stand before each verb.
  program kubectl '
[[ $1 == --cache-dir=* && $2 != -* ]] || { echo "kubectl: what is $*?"; exit 1; }
shift
echo "$*" >>"$BED/calls"
if [[ $1 == get ]]; then
  answer=$BED/answer.$(grep -c "^get" "$BED/calls")
  [[ -e $answer ]] || answer=$BED/answer
  [[ $(head -n 1 "$answer") != FAIL* ]] || { cat "$answer" >&2; exit 1; }
  sed "s/NOW/$EPOCHREALTIME/" "$answer"
elif [[ -e $BED/fails && $* == *"$(<"$BED/fails")"* ]]; then
  echo "error: no $2 today" >&2
  exit 1
elif [[ $2 == leases* ]]; then
  sed -i "/ $3 /d" "$BED/answer"
fi'
}

teardown() {
  [[ -z ${PID:-} ]] || kill -KILL "$PID" 2>/dev/null || true
  drop_run
}

# watch: start server-orphans.
watch() {
  bash "$SCRIPTS/server-orphans" >"$BED/out" 2>"$BED/err" 3>&- &
  PID=$!
}

# lists: print how often the Leases were listed.
lists() {
  grep -c '^get' "$BED/calls" || true
}

# listed: whether that was $1 times.
listed() {
  (($(lists) >= $1))
}

# deleted: print what was deleted.
deleted() {
  grep -v '^get' "$BED/calls" || true
}

# said: whether it has said $1.
said() {
  grep -qF -- "$1" "$BED/err"
}

@test "server-orphans: only a Lease that nobody renews is an orphan's: its deployment, its Secret and then itself go" {
  echo 'aaaabbbb womm-task-aaaabbbb 2026-01-01T00:00:00.000000Z
ccccdddd womm-task-ccccdddd NOW' >"$BED/answer"
  watch
  eventually said 'task aaaabbbb'
  listed 2
  local after
  after=$(lists)
  eventually listed $((after + 3))
  local how='--ignore-not-found --wait=false'
  [[ $(deleted) == "delete deployments.apps -l app.kubernetes.io/managed-by=womm,womm.dev/task=aaaabbbb $how
delete secrets womm-task-aaaabbbb $how
delete leases.coordination.k8s.io womm-task-aaaabbbb $how" ]]
  [[ $(<"$BED/err") =~ ^'server-orphans: nobody has renewed the Lease of task aaaabbbb for '[2-4]' s: '[^$'\n']*$ ]]
  [[ ! -s $BED/out ]]
}

@test "server-orphans: it asks for the Leases that are womm's, in one call a look" {
  : >"$BED/answer"
  watch
  eventually listed 2
  local line='{.metadata.labels.womm\.dev/task} {.metadata.name} {.spec.renewTime}{"\n"}'
  local labels=app.kubernetes.io/managed-by=womm,womm.dev/task
  [[ $(sort -u "$BED/calls") == "get leases.coordination.k8s.io -l $labels -o jsonpath={range .items[*]}$line{end}" ]]
  [[ ! -s $BED/err ]]
}

@test "server-orphans: a Lease that has never been renewed is one that nobody renews" {
  echo 'aaaabbbb womm-task-aaaabbbb ' >"$BED/answer"
  watch
  eventually said 'task aaaabbbb'
}

@test "server-orphans: where kubectl failed for a while, that time does not count; it is told of once" {
  export WOMM_ORPHANS_AFTER=4
  echo 'aaaabbbb womm-task-aaaabbbb then' | tee "$BED/answer.1" >"$BED/answer.7"
  local i
  for i in 2 3 4 5 6; do printf 'FAIL\nThe connection was refused\n' >"$BED/answer.$i"; done
  echo 'aaaabbbb womm-task-aaaabbbb NOW' >"$BED/answer"
  watch
  eventually listed 9
  [[ -z $(deleted) ]]
  [[ $(<"$BED/err") == 'server-orphans: the list of Leases: The connection was refused; it is tried again' ]]
}

@test "server-orphans: a second failure is told of again, and the Lease is an orphan's all the same" {
  echo FAIL | tee "$BED/answer.1" >"$BED/answer.3"
  echo 'aaaabbbb womm-task-aaaabbbb then' >"$BED/answer"
  watch
  eventually said 'task aaaabbbb'
  [[ $(grep -c 'the list of Leases: FAIL' "$BED/err") -eq 2 ]]
}

@test "server-orphans: a Lease that vanished and is back begins anew" {
  echo 'aaaabbbb womm-task-aaaabbbb then' >"$BED/answer"
  : >"$BED/answer.3"
  export WOMM_ORPHANS_AFTER=3
  watch
  eventually said 'task aaaabbbb'
  # At the fourth look it would have been idle for three seconds.
  listed 6
}

@test "server-orphans: as long as something can't be deleted the Lease stays, that is told once, and it is tried again" {
  echo 'aaaabbbb womm-task-aaaabbbb then' >"$BED/answer"
  echo secrets >"$BED/fails"
  watch
  eventually said 'error: no secrets today'
  local after
  after=$(lists)
  eventually listed $((after + 2))
  [[ $(<"$BED/err") == 'server-orphans: the Secret of task aaaabbbb: error: no secrets today; it is tried again' ]]
  [[ $(deleted | grep -c '^delete secrets') -ge 2 ]]
  [[ $(deleted) != *leases* ]]
  rm "$BED/fails"
  eventually said 'nobody has renewed'
  [[ $(deleted | tail -n 1) == 'delete leases.coordination.k8s.io womm-task-aaaabbbb '* ]]
}

@test "server-orphans: one task that can't be deleted does not keep the others" {
  echo 'aaaabbbb womm-task-aaaabbbb then
ccccdddd womm-task-ccccdddd then' >"$BED/answer"
  echo task=aaaabbbb >"$BED/fails"
  watch
  eventually said 'the deployment of task aaaabbbb: error: no deployments.apps today'
  eventually said 'the Lease of task ccccdddd'
  [[ $(deleted) != *'leases.coordination.k8s.io womm-task-aaaabbbb'* ]]
}

@test "server-orphans: names that are not womm's, and what kubectl says beside its answer, become no arguments" {
  echo 'Warning: this version is old
--all womm-task---all then
-A womm-task--A then
a;b womm-task-a;b then
a,b womm-task-a,b then
UPPER womm-task-UPPER then
x[$(touch $BED/ran)] womm-task-x[$(touch $BED/ran)] then
aaaabbbb other then
aaaabbbb womm-task-ccccdddd then
 womm-task- then
* womm-task-* then' >"$BED/answer"
  watch
  eventually listed 5
  [[ -z $(deleted) && ! -s $BED/err && ! -e $BED/ran ]]
  kill -0 "$PID"
}

@test "server-orphans: with 0 seconds it does not run" {
  WOMM_ORPHANS_AFTER=0 run -0 bash "$SCRIPTS/server-orphans"
  [[ -z $output && ! -s $BED/calls ]]
}

@test "server-orphans: an environment that says no seconds is refused" {
  local bad
  for bad in -1 1.5 x '' 08 9999999999; do
    [[ -z $bad ]] || WOMM_ORPHANS_AFTER=$bad run -2 bash "$SCRIPTS/server-orphans"
    WOMM_ORPHANS_EVERY=${bad:-0} run -2 bash "$SCRIPTS/server-orphans"
    [[ $output == "server-orphans: not seconds: WOMM_ORPHANS_AFTER=2, WOMM_ORPHANS_EVERY=${bad:-0}" ]]
  done
  [[ ! -s $BED/calls ]]
}
