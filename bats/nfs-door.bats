#!/usr/bin/env bats
# nfs-door, the only thing that the NFS server's sshd runs; Ganesha is a stand-in.

bats_require_minimum_version 1.5.0
load nfs

setup() {
  make_nfs
  make_tree
}

teardown() {
  drop_nfs
}

@test "nfs-door: whatever is not a command of its own is refused, and nothing is run" {
  local said
  # shellcheck disable=SC2016 # words of others
  while IFS= read -r said; do
    run -2 door "$said"
    [[ $output == 'nfs-door: not a command of this door' ]]
  done <<TABLE

id
begin
refresh
leave
close
close ../x
close a/b
close A
close a b
close \$(touch $BED/hit)
close a;touch $BED/hit
close a\`touch $BED/hit\`
publish a $ONE 1 x
publish a short 1 1
publish a ${ONE}0 1 1
publish a $ONE 01 1
publish a $ONE 1 1 forth
publish a $ONE 1 1 back more
publish a $ONE -1 1
publish a * 1 1
receive a b 1
receive a ../b 1 1
link a $ONE 1 1 0 0123456789abcdef
link a $ONE 1 1 soon 0123456789abcdef
link a $ONE 1 1 100000 0123456789abcdef
link a $ONE 1 1 auto
link a $ONE 1 1 auto 0123456789abcdex
resume a
resume a ../../x
probe a
probe-restart now
list all
rsync --server --daemon .
send
sftp-server
TABLE
  [[ ! -e $BED/hit && -z $(find "$NFS_ROOT" -type f) ]]
}

@test "nfs-door: a second line of a command is refused" {
  run -2 door $'list\nlist'
}

@test "nfs-door: where pods come under their node's address nothing is exported" {
  received a "$WORK/tree"
  export SSH_CONNECTION='192.0.2.2 4711 10.1.0.9 2222'
  local said
  for said in "publish a $ONE 1 1" "link a $ONE 1 1 auto 0123456789abcdef" "probe $ONE"; do
    run -6 door "$said"
    [[ $output == *'hides pods behind the node 192.0.2.2:'* ]]
  done
  [[ -z $(ls "$NFS_ROOT/exports.d") && -z $(door list) ]]
  # What is there can be ended.
  door close a
  SSH_CONNECTION='192.0.2.22 4711 10.1.0.9 2222' door probe "$ONE"
}

@test "nfs-door: a task that is published stays as it is, and gets no other path" {
  received a "$WORK/tree"
  door publish a "$ONE" 1 1
  echo 2 >"$NFS_ROOT/live/a/files/file"
  door publish a "$ONE" 1 1
  [[ $(<"$NFS_ROOT/live/a/files/file") == 2 && $(rereads) == 1 ]]
  run -1 door publish a "$TWO" 1 1
  [[ $output == 'nfs-door: task a has another export' ]]
}

@test "nfs-door: what was never received can't be published" {
  run -3 door publish a "$ONE" 1 1
  [[ $output == 'nfs-door: nothing was received for task a' ]]
}

@test "nfs-door: a task that is closed is gone, and may be closed again" {
  received a "$WORK/tree"
  ln -s "$WORK/tree" "$NFS_ROOT/live/a.new/files/out"
  door publish a "$ONE" 1 1 back
  door close a
  [[ $(rereads) == 2 && -z $(door list) ]]
  [[ ! -e $NFS_ROOT/live/a && ! -e $NFS_ROOT/exports.d/a.conf && ! -e $NFS_ROOT/tasks/a ]]
  # Where its links led nothing was touched.
  [[ $(<"$WORK/tree/file") == 1 ]]
  door close a
  [[ $(rereads) == 2 ]]
}

@test "nfs-door: what jobs have changed is told by name" {
  echo keep >"$WORK/tree/kept"
  echo gone >"$WORK/tree/gone"
  received a "$WORK/tree"
  door publish a "$ONE" 1 1 back
  [[ -z $(door changes a | tr '\0' '\n') ]]
  echo 22 >"$NFS_ROOT/live/a/files/file"
  echo new >"$NFS_ROOT/live/a/files/$(printf 'new\nname')"
  rm "$NFS_ROOT/live/a/files/gone"
  [[ $(door changes a | sort -z | tr '\0\n' '\n?') == $'files/file\nfiles/new?name\nreport' ]]
  [[ $(sort -z "$NFS_ROOT/live/a/report" | tr '\0\n' '\n?') == $'Dgone\nNnew?name' ]]
}

@test "nfs-door: without \`back\` there is nothing to be told, nor is there of a task that is not here" {
  received a "$WORK/tree"
  door publish a "$ONE" 1 1
  run -3 door changes a
  run -3 door changes b
  [[ $output == 'nfs-door: there is nothing of task b' ]]
}

@test "nfs-door: after a new start links are no more, and copies are what they were" {
  received a "$WORK/tree"
  door publish a "$ONE" 1 1
  local before
  before=$(cat "$NFS_ROOT/exports.d/a.conf")
  echo "lazy $TWO 1 1 7 1.1 1 links/b.1 1" >"$NFS_ROOT/tasks/b"
  : >"$NFS_ROOT/exports.d/b.conf"
  mkdir "$NFS_ROOT/links/b.1"
  WOMM_ROOT=$NFS_ROOT WOMM_RUN=$NFS_RUN bash "$SCRIPTS/nfs-door" begin
  [[ $(door list) == "a eager $ONE ready 0" && $(ls "$NFS_ROOT/exports.d") == a.conf ]]
  [[ $(cat "$NFS_ROOT/exports.d/a.conf") == "$before" && -z $(ls "$NFS_ROOT/links") ]]
}

@test "nfs-door: a probe holds what it is asked for, and is closed as a task" {
  door probe "$ONE"
  [[ $(<"$NFS_ROOT/live/probe${ONE:0:16}/files/probe") == "$ONE" ]]
  grep -qx "  Pseudo = /$ONE;" "$NFS_ROOT/exports.d/probe${ONE:0:16}.conf"
  door close "probe${ONE:0:16}"
  [[ -z $(door list) ]]
}

# in_state LETTER PID: whether the process is.
in_state() {
  [[ $(sed 's/.*) //' "/proc/$2/stat") == "$1"* ]]
}

@test "nfs-door: who leaves ends what sshd has for its callers, lets nobody in, and what is exported stays" {
  # A stand-in: a listener with a caller.
  bash -c 'sleep 100 & echo $! >"$1/caller"; wait' _ "$BED" 3>&- &
  local sshd=$! exported
  echo "$sshd" >"$NFS_RUN/sshd.pid"
  eventually test -s "$BED/caller"
  door probe "$ONE"
  exported=$(cat "$NFS_ROOT"/exports.d/*.conf)
  WOMM_ROOT=$NFS_ROOT WOMM_RUN=$NFS_RUN WOMM_LEAVING=0 bash "$SCRIPTS/nfs-door" leave
  # Nobody collects it: its parent is stopped.
  eventually in_state Z "$(cat "$BED/caller")"
  in_state T "$sshd"
  [[ $(cat "$NFS_ROOT"/exports.d/*.conf) == "$exported" ]]
  kill -KILL "$sshd"
}
