#!/usr/bin/env bats
# share-back.pl, with share-pull before it and the file server behind it: a real rsync on the loopback, no cluster.

bats_require_minimum_version 1.5.0
load server

setup() {
  make_server
  TASK=t$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
  HERE=$BED/here
  mkdir "$HERE"
}

teardown() {
  end_pod
  drop_server
}

# start_pod: publish $HERE and pull it into $BED/pod/files, as a pod named $1 does, whose sidecar then runs.
start_pod() {
  POD=$BED/pod
  mkdir -p "$POD"
  chmod 0777 "$POD"
  WOMM_TASK=$TASK RSYNC_PASSWORD=$SECRET as_user sh "$SCRIPTS/share-pull" "$POD/files" "$POD"
  start_sidecar "$1"
}

# start_sidecar: that of pod $1.
start_sidecar() {
  # shellcheck disable=SC2016 # that shell's variables
  WOMM_POD=$1 WOMM_TASK=$TASK RSYNC_PASSWORD=$SECRET as_user bash -c 'echo $$ >"$1/pid"; exec perl "$0" serve "$1"' \
    "$SCRIPTS/share-back.pl" "$POD" >"$BED/said" 2>&1 3>&- &
  ask 'done' >/dev/null
}

# end_pod: end the sidecar with signal $1, if there is one.
end_pod() {
  local pid
  pid=$(cat "$BED/pod/pid" 2>/dev/null) || return 0
  kill -"${1-KILL}" "$pid" 2>/dev/null || true
  eventually ended_process "$pid"
}

# publish_here: publish $HERE, and let what changes come back.
publish_here() {
  publish "$HERE" "$TASK" key
  share receive "$TASK" key
  BACK=$WOMM_ROOT/results/$TASK/pods
}

# ask: print what the sidecar says, up to and with the line that matches $1.
ask() {
  perl -e 'socket $s, 1, 1, 0; $a = pack "S x a*", 1, "womm/$ARGV[0]/back";
    for (1 .. 200) { last if $c = connect $s, $a; select undef, undef, undef, 0.05 }
    exit 1 unless $c;
    $SIG{ALRM} = sub { exit 1 }; alarm 30;
    while (<$s>) { print; exit 0 if /^$ARGV[1]/ } exit 1' "$TASK" "$1"
}

# in_pod: run the shell text $1 in the pod's copy, as its user.
in_pod() {
  (cd "$POD/files" && as_user bash -c "$1")
}

# report: print what pod $1 reports, a line each, sorted.
report() {
  tr '\0' '\n' <"$BACK/$1/report" | sort
}

@test "share-back: what is new, changed and deleted is on the server when the answer comes; the rest is not sent" {
  start_server
  mkdir "$HERE/d" && echo 1 >"$HERE/same" && echo 1 >"$HERE/changed" && echo 1 >"$HERE/gone" && echo 1 >"$HERE/d/gone"
  publish_here
  start_pod pod1
  in_pod 'echo 2 >changed; rm gone; rm -r d; mkdir -p new/empty; echo 3 >new/file; chmod 0751 new/file; ln -s file new/link'
  [[ $(ask 'done') == 'done' ]]
  [[ $(report pod1) == $'Dd\nDd/gone\nDgone\nNnew\nNnew/empty\nNnew/file\nNnew/link' ]]
  [[ $(cd "$BACK/pod1/files" && find . -mindepth 1 | sort) == $'./changed\n./new\n./new/empty\n./new/file\n./new/link' ]]
  [[ $(<"$BACK/pod1/files/changed") == 2 && $(stat -c %a "$BACK/pod1/files/new/file") == 751 ]]
  # A link can't lead out of the place.
  [[ $(readlink "$BACK/pod1/files/new/link") == /rsyncd-munged/file ]]
}

@test "share-back: without a change nothing is sent" {
  start_server
  echo 1 >"$HERE/file"
  publish_here
  start_pod pod1
  [[ $(ask 'done') == 'done' ]]
  [[ -z $(ls -A "$BACK") ]]
}

@test "share-back: names may hold any bytes" {
  start_server
  publish_here
  start_pod pod1
  in_pod 'echo 1 >$'"'"'new\nline'"'"'; mkdir $'"'"'\xff\xfe'"'"'; echo 2 >$'"'"'\xff\xfe/#x'"'"'; echo 3 >"-a b"; echo 4 >";c"; echo 5 >"*"'
  ask 'done'
  diff -r "$POD/files" "$BACK/pod1/files"
}

@test "share-back: what was made after an answer and deleted before the next one is gone on the server, too" {
  start_server
  mkdir "$HERE/d" && echo 1 >"$HERE/d/f"
  publish_here
  start_pod pod1
  in_pod 'mkdir -p x/y; echo 1 >x/y/z; echo 1 >w; echo 2 >d/f; echo 1 >d/g'
  ask 'done'
  in_pod 'rm -r x w; echo file >x; rm -r d; echo file >d'
  ask 'done'
  [[ $(cd "$BACK/pod1/files" && find . -mindepth 1 -type f | sort) == $'./d\n./x' ]]
  in_pod 'rm x; mkdir x; echo 1 >x/again'
  ask 'done'
  [[ $(<"$BACK/pod1/files/x/again") == 1 ]]
}

@test "share-back: a directory that may not be written is filled, twice" {
  start_server
  mkdir "$HERE/closed" && echo 1 >"$HERE/closed/a" && echo 1 >"$HERE/closed/b" && chmod 0555 "$HERE/closed"
  publish_here
  start_pod pod1
  in_pod 'echo 2 >closed/a'
  ask 'done'
  in_pod 'echo 3 >closed/a; chmod 0755 closed; rm closed/b; echo 4 >closed/c; chmod 0555 closed'
  ask 'done'
  [[ $(<"$BACK/pod1/files/closed/a") == 3 && $(<"$BACK/pod1/files/closed/c") == 4 ]]
  [[ $(stat -c %a "$BACK/pod1/files/closed") == 555 && $(report pod1) == $'Dclosed/b\nNclosed/c' ]]
  chmod 0755 "$HERE/closed"
}

@test "share-back: a change that keeps size and time is seen" {
  start_server
  echo old >"$HERE/file"
  publish_here
  start_pod pod1
  in_pod 'touch -r file ../stamp; echo new >file; touch -r ../stamp file'
  ask 'done'
  [[ $(<"$BACK/pod1/files/file") == new ]]
}

@test "share-back: as long as the server is away the reason is told; when it is back, all is sent" {
  start_server
  publish_here
  start_pod pod1
  local port=$WOMM_PORT
  stop_server
  in_pod 'echo 1 >file'
  [[ $(ask failed) == 'failed rsync: '*'onnect'* ]]
  launch_server
  [[ $(ask 'done' | tail -n 1) == 'done' && $WOMM_PORT == "$port" ]]
  [[ $(<"$BACK/pod1/files/file") == 1 ]]
}

@test "share-back: what can't be read is a failure, and told" {
  [[ $(id -u) -eq 0 ]] || chmod 0755 "$BED"
  start_server
  publish_here
  start_pod pod1
  in_pod 'mkdir -m 0300 d; echo 1 >d/f'
  [[ $(ask failed) == 'failed files/d can'"'"'t be read: Permission denied' ]]
  in_pod 'chmod 0700 d'
  ask 'done'
  [[ $(<"$BACK/pod1/files/d/f") == 1 ]]
}

@test "share-back: a sidecar that starts again goes on where it was" {
  start_server
  echo 1 >"$HERE/kept" && echo 1 >"$HERE/gone"
  publish_here
  start_pod pod1
  in_pod 'echo 1 >short; rm gone'
  ask 'done'
  end_pod KILL
  in_pod 'rm short; echo 1 >more'
  start_sidecar pod1
  ask 'done'
  [[ $(cd "$BACK/pod1/files" && find . -mindepth 1) == ./more && $(report pod1) == $'Dgone\nNmore' ]]
}

@test "share-back: pods have a place each, and the latest to report comes last" {
  start_server
  publish_here
  start_pod pod1
  in_pod 'echo 1 >file'
  ask 'done'
  end_pod TERM
  rm "$POD/sent"
  start_sidecar pod2
  in_pod 'echo 2 >file'
  ask 'done'
  run share results "$TASK" key
  [[ $output == "$BACK"$'\n'"$BACK/pod1/report"$'\n'"$BACK/pod2/report" ]]
}

@test "share-back: another task's place can't be written, nor can it be read" {
  start_server
  publish_here
  local other=${SECRET//[0-9]/z} name
  publish "$HERE" taskb key2 "$other"
  share receive taskb key2
  echo 1 >"$BED/new"
  for name in "$TASK" taskb; do
    RSYNC_PASSWORD=$other run ! rsync "$BED/new" "rsync://$name@127.0.0.1:$WOMM_PORT/$TASK-back/pods/x/"
  done
  RSYNC_PASSWORD='' run ! rsync "$BED/new" "rsync://$TASK@127.0.0.1:$WOMM_PORT/$TASK-back/pods/x/"
  RSYNC_PASSWORD=$SECRET run ! rsync "$BED/new" "rsync://$TASK@127.0.0.1:$WOMM_PORT/$TASK/new"
  RSYNC_PASSWORD=$SECRET run ! rsync -r "rsync://$TASK@127.0.0.1:$WOMM_PORT/$TASK-back/" "$BED/read/"
  [[ -z $(ls -A "$BACK") && ! -e $PLACE/new ]]
  RSYNC_PASSWORD=$other rsync "$BED/new" "rsync://taskb@127.0.0.1:$WOMM_PORT/taskb-back/pods/x/"
}

@test "share-back: a link in the place leads nowhere" {
  start_server
  publish_here
  ln -s "$WOMM_ROOT/secrets" "$BED/link"
  RSYNC_PASSWORD=$SECRET rsync -l "$BED/link" "rsync://$TASK@127.0.0.1:$WOMM_PORT/$TASK-back/pods/link"
  echo 1 >"$BED/new"
  RSYNC_PASSWORD=$SECRET run ! rsync "$BED/new" "rsync://$TASK@127.0.0.1:$WOMM_PORT/$TASK-back/pods/link/$TASK"
  [[ $(<"$WOMM_ROOT/secrets/$TASK") == "$TASK:$SECRET" ]]
}

@test "share-back: the secret is in no argument" {
  start_server
  publish_here
  # shellcheck disable=SC2016 # the program's variables
  program rsync 'printf "%s\n" "$*" >>"$BED/pod/arguments"; exec /usr/bin/rsync "$@"'
  PATH=$BED/bin:$PATH start_pod pod1
  in_pod 'echo 1 >file'
  ask 'done'
  [[ $(<"$POD/arguments") == *"/$TASK-back/pods/pod1/"* && $(<"$POD/arguments") != *"$SECRET"* ]]
}

@test "share-back: bad arguments are refused" {
  local arguments
  for arguments in '' note 'send /' 'serve / more'; do
    # shellcheck disable=SC2086 # words
    run -2 perl "$SCRIPTS/share-back.pl" $arguments
    [[ $output == 'usage: share-back.pl '* ]]
  done
  run ! perl "$SCRIPTS/share-back.pl" note "$BED/nowhere"
}
