#!/usr/bin/env bats
# nfs-door, the only thing that the NFS server's sshd runs; Ganesha is a stand-in.
# shellcheck disable=SC2094 # both ends of a fifo

bats_require_minimum_version 1.5.0
load nfs

setup() {
  make_nfs
  ONE=0123456789abcdef0123456789abcdef TWO=00000000000000000000000000000000
  mkdir "$WORK/tree"
  echo 1 >"$WORK/tree/file"
}

teardown() {
  exec 8>&-
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

@test "nfs-door: what was received is exported to the nodes alone, as its owner, and Ganesha has read it" {
  local conf=$NFS_ROOT/exports.d/a.conf
  received a "$WORK/tree"
  door publish a "$ONE" 1001 1002
  [[ $(rereads) == 1 ]]
  grep -qx "  Path = $NFS_ROOT/live/a/files;" "$conf"
  grep -qx "  Pseudo = /$ONE;" "$conf"
  grep -qx '  Squash = All_Squash;' "$conf"
  grep -qx '  Anonymous_Uid = 1001;' "$conf"
  grep -qx '  Anonymous_Gid = 1002;' "$conf"
  grep -qx '  Access_Type = None;' "$conf"
  grep -q 'CLIENT { Clients = 192.0.2.1,192.0.2.2; Access_Type = RW;' "$conf"
  [[ $(<"$NFS_ROOT/live/a/files/file") == 1 ]]
  [[ $(door list) == "a eager $ONE ready 0" ]]
}

@test "nfs-door: as long as no node is known, nobody may mount" {
  : >"$NFS_RUN/clients"
  received a "$WORK/tree"
  door publish a "$ONE" 1 1
  run ! grep CLIENT "$NFS_ROOT/exports.d/a.conf"
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

@test "nfs-door: two tasks have numbers of their own, and a third one none that is in use" {
  received a "$WORK/tree"
  received b "$WORK/tree"
  door publish a "$ONE" 1 1
  door publish b "$TWO" 1 1
  [[ $(grep -h Export_Id "$NFS_ROOT"/exports.d/*.conf | sort -u | wc -l) == 2 ]]
  [[ $(grep -h Filesystem_Id "$NFS_ROOT"/exports.d/*.conf | sort -u | wc -l) == 2 ]]
  echo 1 >"$NFS_ROOT/next"
  received c "$WORK/tree"
  door publish c 11111111111111111111111111111111 1 1
  [[ $(grep -h Export_Id "$NFS_ROOT"/exports.d/*.conf | sort -u | wc -l) == 3 ]]
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

@test "nfs-door: other nodes are written into all exports" {
  received a "$WORK/tree"
  door publish a "$ONE" 1 1
  local id
  id=$(grep Export_Id "$NFS_ROOT/exports.d/a.conf")
  echo 192.0.2.9 >"$NFS_RUN/clients"
  WOMM_ROOT=$NFS_ROOT WOMM_RUN=$NFS_RUN bash "$SCRIPTS/nfs-door" refresh
  grep -q 'Clients = 192.0.2.9;' "$NFS_ROOT/exports.d/a.conf"
  # The rest is as it was: handles stay good.
  [[ $(grep Export_Id "$NFS_ROOT/exports.d/a.conf") == "$id" && $(rereads) == 2 ]]
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

@test "nfs-door: a link is ended before Ganesha lets go of it, who would wait for one that hangs" {
  setsid sleep 1000 3>&- &
  local link=$!
  echo "lazy $ONE 1 1 7 1.1 1 links/b.1 $link" >"$NFS_ROOT/tasks/b"
  : >"$NFS_ROOT/exports.d/b.conf"
  kill -KILL "$(cat "$NFS_RUN/ganesha.pid")"
  # shellcheck disable=SC2016 # that shell's variables
  LINK=$link bash -c '
    trap '\''[[ $(ps -o stat= -p "$LINK") == [!Z]* ]] || echo 2 >"$NFS_RUN/reread"'\'' HUP
    echo $$ >"$NFS_RUN/ganesha.pid"
    while true; do sleep 0.02; done' 3>&- &
  eventually grep -qx "$!" "$NFS_RUN/ganesha.pid"
  door close b
  [[ -z $(door list) ]]
}

# linked: have a relay at $BED/near, as the user has one, in place of an earlier one; it ends with descriptor 8. Its program is
# an SFTP server that answers what is asked first; what comes then goes to $BED/here.
linked() {
  cat >"$BED/sftp.pl" <<'PERL'
$| = 1;
for (1 .. 5) {
    sysread STDIN, my $packet, 9;
    print pack "N C N", 5, 2, 3;
}
open my $here, ">", "$ENV{BED}/here";
while (sysread STDIN, my $bytes, 4096) { syswrite $here, $bytes }
PERL
  exec 8>&-
  eventually test ! -e "$BED/near"
  rm -f "$BED/life" "$BED/sshfs"
  mkfifo "$BED/life"
  perl "$SCRIPTS/nfs-relay.pl" keep "$BED/near" 0 "${@:-perl}" "$BED/sftp.pl" <"$BED/life" 3>&- 8>&- &
  exec 8>"$BED/life"
  eventually test -S "$BED/near"
}

# mounting: have an sshfs that says what is in $BED/say, once it is there.
mounting() {
  # shellcheck disable=SC2016 # that shell's variables
  {
    program sshfs 'echo $$ >"$BED/sshfs"; until [[ -e $BED/say ]]; do sleep 0.02; done; cat "$BED/say"; exec cat'
    program mountpoint '[[ -e $BED/sshfs ]]'
  }
  PATH=$BED/bin:$PATH
}

# link VERB…: have the door do VERB with a link to that relay; what it says goes to $BED/said.
link() {
  rm -f "$BED/fifo" "$BED/said"
  mkfifo "$BED/fifo"
  perl "$SCRIPTS/nfs-relay.pl" attach "$BED/near" <"$BED/fifo" 3>&- 8>&- |
    door "$@" >"$BED/fifo" 2>"$BED/said" 3>&- 8>&- &
}

# over NAME: whether no process has $BED and NAME in its arguments.
over() {
  ! pgrep -f "$BED.*$1" >/dev/null
}

# nothing: whether the server has nothing of any task.
nothing() {
  [[ -z $(door list)$(find "$NFS_ROOT/links" "$NFS_ROOT/exports.d" "$NFS_RUN/links" -mindepth 1) ]]
}

@test "nfs-door: what is mounted outlives its link, loses nothing, and goes on with the next one" {
  mounting
  linked
  link link a "$ONE" 1 1 auto 0123456789abcdef
  eventually grep -qx 'womm-nfs: ready [0-9]* 3 new' "$BED/said"
  [[ $(door list) == "a lazy $ONE ready 3" && $(rereads) == 1 ]]
  grep -qx "  Path = $NFS_ROOT/links/a.0123456789abcdef;" "$NFS_ROOT/exports.d/a.conf"
  # shellcheck disable=SC2046 # two processes
  kill $(pgrep -f "attach $BED/near")
  eventually over attach
  echo between >"$BED/say"
  [[ $(door list) == "a lazy $ONE down 3" && ! -s $BED/here ]]
  link resume a 0123456789abcdef
  eventually grep -qx 'womm-nfs: ready [0-9]* 3 same' "$BED/said"
  eventually grep -qx between "$BED/here"
  [[ $(door list) == "a lazy $ONE ready 3" && $(rereads) == 1 ]]
  # Its end is that of all.
  door close a
  eventually over links
  nothing
  run -3 door resume a 0123456789abcdef
  [[ $output == 'womm-nfs: gone' ]]
}

@test "nfs-door: another one's link takes the place of the first, which can't be resumed" {
  mounting
  linked
  link link a "$ONE" 1 1 7 0123456789abcdef
  eventually grep -q ' 7 new' "$BED/said"
  linked
  link link a "$ONE" 1 1 7 fedcba9876543210
  eventually grep -q ' 7 new' "$BED/said"
  [[ $(ls "$NFS_ROOT/links") == a.fedcba9876543210 && $(door list) == "a lazy $ONE ready 7" ]]
  run -3 door resume a 0123456789abcdef
  door close a
}

@test "nfs-door: where sshfs ends, nobody sees anything of it any more" {
  mounting
  linked
  link link a "$ONE" 1 1 7 0123456789abcdef
  eventually grep -q ' 7 new' "$BED/said"
  kill "$(<"$BED/sshfs")"
  eventually nothing
  [[ $(rereads) == 2 ]]
}

@test "nfs-door: a link to what is no relay, or has no SFTP server behind it, is refused" {
  run -1 door link a "$ONE" 1 1 auto 0123456789abcdef < <(echo SSH-2.0-something else && sleep 2)
  [[ $output == *"nfs-relay: a link that can't be used: this is no frame"* ]]
  linked sh -c 'echo SSH-2.0-something else; exec cat >/dev/null'
  link link a "$ONE" 1 1 auto 0123456789abcdef
  eventually grep -q 'nfs-rtt: this is no SFTP server' "$BED/said"
  eventually nothing
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
