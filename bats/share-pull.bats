#!/usr/bin/env bats
# share-pull: what it does when all is well is in server-share.bats; here, what it does when it is not.

bats_require_minimum_version 1.5.0
load server

setup() {
  make_server
  mkdir "$BED/here" && echo 1 >"$BED/here/file"
  export RSYNC_PASSWORD=$SECRET WOMM_TASK=taska
  # Its pauses are noted, and short.
  # shellcheck disable=SC2016 # the program's variable
  program sleep 'echo "$1" >>"$BED/pauses"; exec /bin/sleep 0.05'
}

teardown() {
  drop_server
}

# under: share-pull by the shell $1, into $BED/pod/files, with the programs that a test has made before all others.
under() {
  mkdir -p "$BED/pod"
  PATH=$BED/bin:$PATH "$@" "$SCRIPTS/share-pull" "$BED/pod/files"
}

@test "share-pull: dash and busybox run it, too" {
  start_server
  publish "$BED/here" taska key
  under dash
  [[ $(<"$BED/pod/files/file") == 1 ]]
  rm -r "$BED/pod"
  under busybox sh
  [[ $(<"$BED/pod/files/file") == 1 ]]
}

@test "share-pull: a server that is not there is asked five times, and rsync's status is the end" {
  export WOMM_SERVER=127.0.0.1 WOMM_PORT=1
  run -10 under sh
  [[ $(wc -l <"$BED/pauses") -eq 4 ]]
}

@test "share-pull: a refusal is not asked again" {
  start_server
  run -5 under sh
  [[ ! -e $BED/pauses ]]
}

@test "share-pull: a server that comes back is enough" {
  start_server
  publish "$BED/here" taska key
  # The first try fails; the real rsync is behind it.
  # shellcheck disable=SC2016 # the program's variables
  program rsync 'if mkdir "$BED/once" 2>/dev/null; then exit 12; fi; exec /usr/bin/rsync "$@"'
  under sh
  [[ $(<"$BED/pod/files/file") == 1 ]]
  [[ $(wc -l <"$BED/pauses") -eq 1 ]]
}

@test "share-pull: a second try mends what the first left half done" {
  start_server
  mkdir "$BED/here/closed" && echo 2 >"$BED/here/closed/file" && chmod 0555 "$BED/here/closed"
  publish "$BED/here" taska key
  pull taska "$BED/pod/files"
  rm -f "$BED/pod/files/file"
  chmod 0755 "$BED/pod/files/closed" && echo half >"$BED/pod/files/closed/file" && chmod 0555 "$BED/pod/files/closed"
  pull taska "$BED/pod/files"
  diff <(listing "$BED/here") <(listing "$BED/pod/files")
  chmod 0755 "$BED/here/closed" "$BED/pod/files/closed"
}

@test "share-pull: the secret is in no argument" {
  # shellcheck disable=SC2016 # the program's variables
  program rsync 'printf "%s\n" "$*" >"$BED/arguments"'
  WOMM_SERVER=server WOMM_PORT=8873 under sh
  [[ $(<"$BED/arguments") == *' rsync://taska@server:8873/taska/ '"$BED/pod/files/" ]]
  [[ $(<"$BED/arguments") != *"$SECRET"* ]]
}
