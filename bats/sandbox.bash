# The sandbox's functions, for its tests to load: nothing here needs a sandbox or touches one.
# shellcheck shell=bash
# shellcheck disable=SC2034 # the sourced functions read the variables

# load_sandbox: source all of sandbox/lib, with directories of the test's own.
load_sandbox() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  export WOMM_SANDBOX_STATE=$BATS_TEST_TMPDIR/state WOMM_SANDBOX_RUN=$BATS_TEST_TMPDIR/run
  export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache HOME=$BATS_TEST_TMPDIR/home
  unset KUBERNETES NODES RUNNING
  mkdir -p "$HOME" "$WOMM_SANDBOX_STATE/pid" "$WOMM_SANDBOX_STATE/log"
  SANDBOX=$ROOT/sandbox
  STARTED=()
  local part
  for part in common process checks packages kubernetes go debian build certificates network docker control node disk node2 teardown; do
    # shellcheck source=/dev/null
    source "$SANDBOX/lib/$part.sh"
  done
}

# end_started: end what background has started and still runs.
end_started() {
  ((!${#STARTED[@]})) || kill -KILL "${STARTED[@]}" 2>/dev/null || :
}

# background: run the command in the background until the test ends; its pid is in $PID.
background() {
  "$@" >/dev/null 2>&1 3>&- &
  PID=$!
  disown "$PID"
  STARTED+=("$PID")
}
