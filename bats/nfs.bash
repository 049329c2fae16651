# An NFS server's door without Ganesha and sshd, for the tests to load: a process that counts its HUPs is Ganesha, and
# `ssh` runs the door here.
# shellcheck shell=bash

# shellcheck source=server.bash
load server

# make_nfs: the bed of make_server, and the NFS server's root; what it runs, it runs as root if we are root.
make_nfs() {
  make_server
  export FILES_ROOT=$WOMM_ROOT NFS_ROOT=$BED/nfs NFS_RUN=$BED/nfs-run
  mkdir -p "$NFS_ROOT"/{mirror,live,links,exports.d,tasks} "$NFS_RUN/locks"
  echo 192.0.2.1,192.0.2.2 >"$NFS_RUN/clients"
  start_ganesha
}

# make_tree: have a directory, $WORK/tree, to be received, and two paths, $ONE and $TWO, to export what was.
make_tree() {
  # shellcheck disable=SC2034 # for the tests
  ONE=0123456789abcdef0123456789abcdef TWO=00000000000000000000000000000000
  mkdir "$WORK/tree"
  echo 1 >"$WORK/tree/file"
}

# start_ganesha: have the stand-in.
start_ganesha() {
  # shellcheck disable=SC2016 # that shell's variables
  bash -c '
    count=0
    trap '\''count=$((count + 1)); echo "$$:$count" >"$NFS_RUN/reread"'\'' HUP
    echo "$$:0" >"$NFS_RUN/reread"
    echo $$ >"$NFS_RUN/ganesha.pid"
    while true; do sleep 0.02; done' 3>&- &
  eventually test -s "$NFS_RUN/ganesha.pid"
}

# drop_nfs: all of it.
drop_nfs() {
  kill -KILL "$(cat "$NFS_RUN/ganesha.pid")" 2>/dev/null || true
  drop_run
}

# door: have the door do $*.
door() {
  WOMM_ROOT=$NFS_ROOT WOMM_RUN=$NFS_RUN SSH_ORIGINAL_COMMAND=$* bash "$SCRIPTS/nfs-door"
}

# rereads: how often Ganesha has been told to read its exports.
rereads() {
  cut -d : -f 2 "$NFS_RUN/reread"
}

# received: as if directory $2 had been received for task $1.
received() {
  mkdir -p "$NFS_ROOT/live/$1.new"
  cp -a "$2" "$NFS_ROOT/live/$1.new/files"
}
