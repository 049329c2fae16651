# shellcheck shell=bash
# Building Kubernetes in the background, beside what else up has to do: sandbox/build does it.

BUILD=
# start_build: build Kubernetes in the background, behind everything else that wants the processors.
start_build() {
  BUILD_SINCE=$SECONDS
  say "  building Kubernetes $(full_version) beside the rest (about 10 min on 2 cores); its log: $LOG/build.log"
  KUBERNETES=$KUBERNETES GO=$GO setsid nice -n 10 "$SANDBOX/build" </dev/null >>"$LOG/build.log" 2>&1 {LOCK_FD}>&- &
  BUILD=$!
}

# stop_build: end the build with all it started. Safe to call at any time.
stop_build() {
  [[ -n $BUILD ]] || return 0
  kill -TERM -- "-$BUILD" 2>/dev/null || :
  BUILD=
}

# await_build: wait for the build and tell once a minute that it goes on. Exits 1 with the log's end if it fails.
await_build() {
  local said=$SECONDS
  [[ -n $BUILD ]] || return 0
  while kill -0 "$BUILD" 2>/dev/null; do
    if ((SECONDS - said >= 60)); then
      said=$SECONDS
      say "  still building: $(((SECONDS - BUILD_SINCE) / 60)) min of about 10"
    fi
    sleep 0.5
  done
  if ! wait "$BUILD"; then
    BUILD=
    tail -n 15 "$LOG/build.log" >&2
    die "Kubernetes could not be built" "the log: $LOG/build.log; the next up goes on where this one ended"
  fi
  BUILD=
}
