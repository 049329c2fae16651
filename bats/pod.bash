# A run without a cluster, for the tests of womm/scripts to load: the pod is this machine.
# shellcheck shell=bash
# shellcheck disable=SC2034 # ROOT and SCRIPTS are for the tests

# make_run: a run in $WOMM_RUN, and $WORK for its jobs. All of it, and a copy of the scripts, is in $BED, where another
# user gets to, too.
make_run() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  BED=$(mktemp -d /tmp/womm-bats.XXXXXX)
  chmod 0755 "$BED"
  SCRIPTS=$BED/scripts
  cp -R "$ROOT/womm/scripts" "$SCRIPTS"
  export BED WORK=$BED/work WOMM_RUN=$BED/run HOME=$BED/home
  mkdir "$BED/bin" "$WOMM_RUN" "$HOME"
  mkdir -m 0777 "$WORK"
}

# drop_run: remove what make_run made. The tests' own processes have ended by then.
drop_run() {
  rm -rf "$BED"
}

# program: have a bash program $BED/bin/$1 of the text $2.
program() {
  printf '#!/bin/bash\n%s\n' "$2" >"$BED/bin/$1"
  chmod 0755 "$BED/bin/$1"
}

# as_user: run $@ as a user who is not root: nobody, if we are root, else ourselves.
as_user() {
  if [[ $(id -u) -eq 0 ]]; then
    setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
  else
    "$@"
  fi
}

# eventually: wait until the command $@ succeeds, 20 s at most. Exit 1 if it never does.
eventually() {
  local end=$((SECONDS + 20))
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.05
  done
}

# milliseconds: print the time.
milliseconds() {
  printf '%s\n' "${EPOCHREALTIME/./}" | sed 's/...$//'
}

# in_pid_namespace: run $@ as process 1 of a PID namespace; not root, of a user namespace, too.
in_pid_namespace() {
  if [[ $(id -u) -eq 0 ]]; then
    exec unshare --pid --fork --mount-proc --kill-child -- "$@"
  else
    exec unshare --user --map-current-user --pid --fork --mount-proc --kill-child -- "$@"
  fi
}

# ended_process: whether process $1 has ended, if maybe nobody has waited for it.
ended_process() {
  [[ $(ps -o stat= -p "$1") != [!Z]* ]]
}

# random_file: a file $1 of $2 random bytes, with NULs at its end.
random_file() {
  { head -c "$2" /dev/urandom && printf '\0\0'; } >"$1"
}

# every_byte: print every byte but NUL, each once; newlines last.
every_byte() {
  perl -e 'print map { chr } 1 .. 9, 11 .. 255, 10, 10'
}
