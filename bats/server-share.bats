#!/usr/bin/env bats
# server-share, with server-entry and share-pull around it: a real rsync on the loopback, no cluster.

bats_require_minimum_version 1.5.0
load server

setup() {
  make_server
  # As server-entry makes them.
  as_user mkdir -m 0700 "$WOMM_ROOT"/{shares,modules,secrets}
  HERE=$BED/here
  mkdir "$HERE"
}

teardown() {
  drop_server
}

# cut_push: begin to push $HERE as the share of task $1 with key `key`, and have all of it killed in the middle.
cut_push() {
  head -c 300000 /dev/urandom >"$HERE/cut"
  # Not head: it may keep what it has read until there is more, and rsync's greeting is short.
  # shellcheck disable=SC2016 # the program's variables
  program server-shell 'shift
    perl -e "while (\$n < 100000 and \$got = sysread STDIN, \$b, 4096) { syswrite STDOUT, \$b; \$n += \$got }" |
      as_user sh -c "$*"'
  # Nothing is removed yet: whose tree it goes on with can be seen.
  run ! push "$HERE" "$1" key --delete-after
  # shellcheck disable=SC2016 # the program's variables
  program server-shell 'shift; as_user sh -c "$*"'
}

@test "server-share: what is pushed is what a pod pulls: names, modes, times, links, holes" {
  start_server
  cd "$HERE" || return
  mkdir -p 'a b' .hidden $'new\nline' $'not\xffutf8' -- '-dash' empty
  echo 1 >'a b/c d' && echo 2 >.hidden/.x && echo 3 >$'new\nline/\t' && echo 4 >$'not\xffutf8/\xfe' && echo 5 >./-dash/-f
  echo run >program && chmod 0755 program
  echo read >unwritable && chmod 0444 unwritable
  mkdir closed && echo in >closed/file && chmod 0555 closed
  touch -d '2001-02-03 04:05:06.789012345' program
  ln -s 'a b/c d' link && ln -s /etc/passwd absolute && ln -s nowhere dangling && ln -s .. up
  ln program hard
  truncate -s 10M hole && printf x >>hole
  : >zero
  publish "$HERE" taska key
  pull taska "$BED/pod/files"
  diff <(listing "$HERE") <(listing "$BED/pod/files")
  [[ $BED/pod/files/hard -ef $BED/pod/files/program ]]
  (($(stat -c %b "$BED/pod/files/hole") < 1000))
  chmod 0755 closed "$BED/pod/files/closed"
}

@test "server-share: an empty directory is a share, too" {
  start_server
  publish "$HERE" taska key
  pull taska "$BED/pod/files"
  [[ -d $BED/pod/files && -z $(ls -A "$BED/pod/files") ]]
}

@test "server-share: what is pulled belongs to who pulls it" {
  start_server
  echo 1 >"$HERE/file"
  publish "$HERE" taska key
  pull taska "$BED/pod/files"
  [[ $(stat -c %U "$BED/pod/files/file") == "$(as_user id -un)" ]]
}

@test "server-share: before it is ready a share can't be pulled" {
  start_server
  push "$HERE" taska key
  run -5 pull taska "$BED/pod/files"
}

@test "server-share: another task's secret is refused, and so are a wrong one and none" {
  local other secret
  start_server
  # shellcheck disable=SC2153 # make_server makes SECRET
  other=${SECRET//[0-9]/z}
  publish "$HERE" taska key
  publish "$HERE" taskb key2 "$other"
  for secret in "$other" wrong ''; do
    run -5 pull taska "$BED/pod/files" "$secret"
  done
  # The other task's name does not open it either.
  WOMM_TASK=taskb RSYNC_PASSWORD=$other run ! rsync "rsync://taskb@127.0.0.1:$WOMM_PORT/taska/"
  pull taskb "$BED/pod/files" "$other"
}

@test "server-share: tasks have their shares side by side, each its own" {
  start_server
  echo first >"$HERE/file"
  publish "$HERE" taska key
  echo second >"$HERE/file"
  publish "$HERE" taskb key
  mkdir "$BED/elsewhere" && echo third >"$BED/elsewhere/file"
  publish "$BED/elsewhere" taskc key2
  local task
  for task in taska taskb taskc; do pull "$task" "$BED/pod/$task"; done
  [[ $(cat "$BED"/pod/*/file) == $'first\nsecond\nthird' ]]
}

@test "server-share: the names of shares are told to nobody" {
  start_server
  publish "$HERE" taska key
  run rsync "rsync://127.0.0.1:$WOMM_PORT/"
  [[ $output != *taska* ]]
}

@test "server-share: a share can't be written" {
  start_server
  publish "$HERE" taska key
  echo new >"$BED/new"
  RSYNC_PASSWORD=$SECRET run ! rsync "$BED/new" "rsync://taska@127.0.0.1:$WOMM_PORT/taska/"
  [[ ! -e $PLACE/new ]]
}

@test "server-share: a closed share is refused, and what was pulled stays" {
  start_server
  echo 1 >"$HERE/file"
  publish "$HERE" taska key
  pull taska "$BED/pod/files"
  share close taska key
  run -5 pull taska "$BED/pod/again"
  [[ -f $BED/pod/files/file ]]
  [[ -z $(find "$WOMM_ROOT/modules" "$WOMM_ROOT/secrets" -type f) ]]
}

@test "server-share: closing twice, or what never was, is no error" {
  publish "$HERE" taska key
  share close taska key
  share close taska key
  share close taskx nokey
}

@test "server-share: a push after the close goes on with what the last task has left" {
  echo same >"$HERE/same" && echo old >"$HERE/changed" && echo gone >"$HERE/gone"
  echo 1 >"$HERE/mode" && mkdir "$HERE/closed" && echo 2 >"$HERE/closed/file" && chmod 0555 "$HERE/closed"
  publish "$HERE" taska key
  local inode
  inode=$(stat -c %i "$PLACE/same")
  share close taska key
  echo new >"$HERE/changed"
  chmod 0755 "$HERE/closed"
  rm -r "$HERE/gone" "$HERE/closed"
  chmod 0600 "$HERE/mode"
  publish "$HERE" taskb key
  [[ $(stat -c %i "$PLACE/same") -eq $inode && ! -e $WOMM_ROOT/shares/key/base ]]
  diff <(listing "$HERE") <(listing "$PLACE")
}

@test "server-share: a push while another task runs is linked to its snapshot, and does not change it" {
  echo same >"$HERE/same" && echo old >"$HERE/changed"
  publish "$HERE" taska key
  local first=$PLACE
  echo new >"$HERE/changed"
  publish "$HERE" taskb key
  [[ $PLACE/same -ef $first/same ]]
  [[ $(<"$first/changed") == old && $(<"$PLACE/changed") == new ]]
  share close taskb key
  [[ $(<"$first/changed") == old ]]
  share close taska key
}

@test "server-share: what the ignore file leaves out is gone from the next snapshot, and from what a cut push left" {
  start_server
  mkdir "$HERE/.git" && echo 1 >"$HERE/.git/HEAD" && echo 2 >"$HERE/kept" && echo 3 >"$HERE/.hidden"
  publish "$HERE" taska key
  share close taska key
  printf '%s\n' '# mine' '- .git/' '- .hidden*' >"$HERE/.wommignore"
  # As a push that was killed leaves it.
  as_user touch "$WOMM_ROOT/shares/key/base/.hidden.AbCdEf"
  publish "$HERE" taskb key
  pull taskb "$BED/pod/files"
  [[ $(ls -A "$BED/pod/files") == $'.wommignore\nkept' ]]
  [[ $(ls -A "$PLACE") == $'.wommignore\nkept' ]]
}

@test "server-share: only one snapshot of a directory outlives its tasks" {
  local task
  echo 1 >"$HERE/file"
  for task in taska taskb taskc; do publish "$HERE" "$task" key; done
  for task in taskb taskc taska; do share close "$task" key; done
  [[ $(ls "$WOMM_ROOT/shares/key") == $'base\nnewest' ]]
  [[ $(stat -c %h "$WOMM_ROOT/shares/key/base/file") -eq 1 ]]
}

@test "server-share: of a share that was never ready no pod gets anything, and the next push goes on with it" {
  start_server
  echo 1 >"$HERE/file" && echo 2 >"$HERE/old"
  publish "$HERE" taska key
  share close taska key
  rm "$HERE/old" && echo 3 >"$HERE/file"
  cut_push taskb
  [[ $(readlink "$WOMM_ROOT/shares/key/newest") == base && ! -e $WOMM_ROOT/shares/key/base ]]
  run -5 pull taskb "$BED/pod/files"
  share close taskb key
  [[ $(ls "$WOMM_ROOT/shares/key") == $'base\nnewest' && $(<"$WOMM_ROOT/shares/key/base/old") == 2 ]]
  publish "$HERE" taskc key
  pull taskc "$BED/pod/files"
  diff <(listing "$HERE") <(listing "$BED/pod/files")
}

@test "server-share: a push that is cut is tried once more in its own place" {
  echo 1 >"$HERE/file"
  publish "$HERE" taska key
  share close taska key
  echo 2 >"$HERE/new"
  cut_push taskb
  publish "$HERE" taskb key
  diff <(listing "$HERE") <(listing "$PLACE")
  [[ $(readlink "$WOMM_ROOT/shares/key/newest") == taskb ]]
}

@test "server-share: files that another task's snapshot has, too, keep their modes there" {
  echo 1 >"$HERE/file" && ln -s file "$HERE/link"
  publish "$HERE" taska key
  local first=$PLACE before
  before=$(listing "$first")
  publish "$HERE" taskb key
  share close taskb key
  chmod 0600 "$HERE/file"
  publish "$HERE" taskc key
  [[ $(listing "$first") == "$before" && $(stat -c %a "$PLACE/file") == 600 ]]
  # Nor does a second try of a push whose end alone was lost change what others have taken from it meanwhile.
  before=$(listing "$PLACE")
  publish "$HERE" taskd key
  first=$PLACE
  chmod 0644 "$HERE/file"
  publish "$HERE" taskc key
  [[ $(listing "$first") == "$before" && $(stat -c %a "$PLACE/file") == 644 ]]
}

@test "server-share: two names of one file that have become two files have a mode each" {
  echo 1 >"$HERE/one" && ln "$HERE/one" "$HERE/two"
  publish "$HERE" taska key
  share close taska key
  cp -p "$HERE/two" "$HERE/new" && mv "$HERE/new" "$HERE/two" && chmod 0600 "$HERE/two"
  publish "$HERE" taskb key
  diff <(listing "$HERE") <(listing "$PLACE")
}

# taskb_fills RATE: taskb, in the background ($!), fills what taska has left, with a large file at so many kB/s.
taskb_fills() {
  publish "$HERE" taska key
  share close taska key
  head -c 300000 /dev/urandom >"$HERE/large"
  push "$HERE" taskb key --bwlimit="$1" 3>&- &
  eventually test -d "$WOMM_ROOT/shares/key/taskb"
}

@test "server-share: a push waits for the one that has what it could begin with, and then begins with that one's" {
  local number
  for number in {1..40}; do echo "$number" >"$HERE/$number"; done
  taskb_fills 100
  admit taskc key
  push "$HERE" taskc key
  wait $!
  [[ $WOMM_ROOT/shares/key/taskc/large -ef $WOMM_ROOT/shares/key/taskb/large ]]
  diff <(listing "$HERE") <(listing "$WOMM_ROOT/shares/key/taskc")
}

@test "server-share: a push that waits in vain sends all, and touches nothing of the other's" {
  echo 1 >"$HERE/file"
  taskb_fills 50
  export WOMM_PATIENCE=1
  admit taskc key
  push "$HERE" taskc key
  kill -0 $!
  [[ ! $WOMM_ROOT/shares/key/taskc/file -ef $WOMM_ROOT/shares/key/taskb/file ]]
  wait $!
  diff <(listing "$HERE") <(listing "$WOMM_ROOT/shares/key/taskb")
  diff <(listing "$HERE") <(listing "$WOMM_ROOT/shares/key/taskc")
}

@test "server-share: a push that waited, and was closed meanwhile, takes nothing" {
  echo 1 >"$HERE/file"
  taskb_fills 100
  share close taskc key
  run ! push "$HERE" taskc key
  wait $!
  [[ ! -e $WOMM_ROOT/shares/key/taskc ]]
}

@test "server-share: a push that fills the disk leaves nothing there" {
  echo 1 >"$HERE/file"
  publish "$HERE" taska key
  share close taska key
  head -c 300000 /dev/urandom >"$HERE/large"
  # shellcheck disable=SC2016 # the program's variables
  program server-shell 'shift; trap "" XFSZ; ulimit -f 100; as_user sh -c "$*"'
  run -11 push "$HERE" taskb key
  share close taskb key
  [[ $(ls "$WOMM_ROOT/shares/key") == newest ]]
  rm "$HERE/large"
  publish "$HERE" taskc key
  diff <(listing "$HERE") <(listing "$PLACE")
}

# watch_rm: have every `rm -rf` of server-share tell, in $WOMM_ROOT/rm, whether `.lock` of key `key` is free, and the name. For
# those with $BED/bin in their PATH.
watch_rm() {
  # shellcheck disable=SC2016 # the program's variables
  program rm 'if [[ $1 == -rf ]]; then
      held=held && if flock -n "$WOMM_ROOT/shares/key/.lock" true; then held=free; fi
      echo "$held ${@: -1}" >>"$WOMM_ROOT/rm"
    fi
    exec /bin/rm "$@"'
}

@test "server-share: nobody waits while a snapshot is removed" {
  local key=$WOMM_ROOT/shares/key task
  echo 1 >"$HERE/file"
  for task in taska taskb taskc; do publish "$HERE" "$task" key; done
  share close taskc key
  publish "$HERE" taskd key
  watch_rm
  # It is not the newest; and that is, and there is a base.
  PATH=$BED/bin:$PATH share close taska key
  PATH=$BED/bin:$PATH share close taskd key
  [[ $(<"$WOMM_ROOT/rm") == "free $key/.gone.taska"$'\n'"free $key/.gone.taskd" ]]
  # What a close that was cut has left.
  as_user mkdir "$key/.gone.taska"
  share close taska key
  [[ ! -e $key/.gone.taska ]]
}

@test "server-share: what filled the disk has lost its name before it is removed" {
  head -c 300000 /dev/urandom >"$HERE/large"
  # shellcheck disable=SC2016 # the program's variables
  program server-shell 'shift; trap "" XFSZ; ulimit -f 100; as_user sh -c "$*"'
  watch_rm
  PATH=$BED/bin:$PATH run -11 push "$HERE" taska key
  [[ $(<"$WOMM_ROOT/rm") == "free $WOMM_ROOT/shares/key/.gone.taska" ]]
}

@test "server-share: a push that ends after its close does not become the newest" {
  head -c 300000 /dev/urandom >"$HERE/large"
  push "$HERE" taska key --bwlimit=100 3>&- &
  eventually test -d "$WOMM_ROOT/shares/key/taska"
  share close taska key
  wait $! || true
  [[ $(readlink "$WOMM_ROOT/shares/key/newest") == base ]]
}

# half_sent: whether a push is bringing the file `large` into the directory $1, not by the name $HALF; $HALF is its name then.
half_sent() {
  local found
  found=$(find "$1" -name '.large.??????' ! -path "${HALF-}" -print -quit)
  [[ -n $found ]] && HALF=$found
}

@test "server-share: what is closed while a second try without the other lock still fills it is not taken over" {
  local key=$WOMM_ROOT/shares/key first second
  echo 1 >"$HERE/file"
  publish "$HERE" taska key
  share close taska key
  [[ -e $key/.alone ]]
  head -c 300000 /dev/urandom >"$HERE/large"
  push "$HERE" taskb key --bwlimit=60 3>&- &
  first=$!
  eventually half_sent "$key/taskb"
  admit taskb key
  WOMM_PATIENCE=1 push "$HERE" taskb key --bwlimit=20 3>&- &
  second=$!
  eventually half_sent "$key/taskb"
  # The second one's --delete has removed its half.
  wait "$first" || true
  share close taskb key
  kill -0 "$second"
  [[ -d $key/base && ! -e $key/.alone ]]
  wait "$second" || true
}

@test "server-share: arguments that rsync sends by its own protocol arrive, too" {
  echo 1 >"$HERE/file"
  publish "$HERE" taska key
  local first=$PLACE
  RSYNC_PROTECT_ARGS=1 publish "$HERE" taskb key
  [[ $PLACE/file -ef $first/file ]]
}

@test "server-share: directories without permission to write are removed like others" {
  mkdir -p "$HERE/a/"$'b\xff\n'/.c && echo 1 >"$HERE/a/"$'b\xff\n'/.c/file
  ln -s "$HERE" "$HERE/a/link"
  chmod -R a-w "$HERE/a"
  publish "$HERE" taska key
  publish "$HERE" taskb key
  share close taska key
  [[ ! -e $WOMM_ROOT/shares/key/taska ]]
  chmod -R u+w "$HERE/a"
  publish "$HERE" taskc key
  share close taskb key
  share close taskc key
  [[ $(ls "$WOMM_ROOT/shares/key") == $'base\nnewest' ]]
}

@test "server-share: removing a snapshot leaves the modes of files that others share" {
  mkdir "$HERE/closed" && echo 1 >"$HERE/closed/file"
  chmod 0444 "$HERE/closed/file" && chmod 0555 "$HERE/closed"
  publish "$HERE" taska key
  publish "$HERE" taskb key
  share close taska key
  [[ $(stat -c '%a %h' "$PLACE/closed/file") == '444 1' ]]
  chmod 0755 "$HERE/closed"
}

@test "server-share: nobody else on the server's machine may read secrets or shares" {
  publish "$HERE" taska key
  [[ $(stat -c %a "$WOMM_ROOT/secrets/taska") == 600 ]]
  [[ $(stat -c %a "$WOMM_ROOT/secrets" "$WOMM_ROOT/shares" "$WOMM_ROOT/shares/key" 2>/dev/null | sort -u) == 700 ]]
}

@test "server-share: a secret without a newline is a secret; a short one and none are refused" {
  push "$HERE" taska key
  printf '%s' "$SECRET" | share ready taska key
  [[ -e $WOMM_ROOT/modules/taska.conf ]]
  local secret
  for secret in '' short 'with blanks, and longer than thirty-two'; do
    run -1 share ready taskb key <<<"$secret"
    [[ $output == 'server-share: no secret on stdin' ]]
  done
  [[ ! -e $WOMM_ROOT/modules/taskb.conf ]]
}

@test "server-share: names that could be paths are refused" {
  local name
  for name in .. a/b '' A 'a b' $'a\nb' '[x]'; do
    run -2 share ready "$name" key
    [[ $output == "server-share: bad name: $name" ]]
    run -2 share close task "$name"
  done
  [[ -z $(ls -A "$WOMM_ROOT/shares") ]]
}

@test "server-share: an unknown action and a wrong number of arguments are refused" {
  run -2 share remove taska key
  [[ $output == 'server-share: fill, ready, receive, results or close, not remove' ]]
  run -2 share ready taska
  [[ $output == 'usage: server-share '* ]]
  run -2 share fill taska key file
  [[ $output == 'usage: server-share '* ]]
  run -2 share fill taska key
  [[ $output == 'usage: server-share '* ]]
}
