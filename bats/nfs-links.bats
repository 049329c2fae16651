#!/usr/bin/env bats
# nfs-links.bash, what becomes of the links that nfs-door lets in; Ganesha and sshfs are stand-ins.
# shellcheck disable=SC2094 # both ends of a fifo

bats_require_minimum_version 1.5.0
load nfs

setup() {
  make_nfs
  ONE=0123456789abcdef0123456789abcdef
}

teardown() {
  exec 8>&-
  drop_nfs
}

@test "nfs-links: a link is ended before Ganesha lets go of it, who would wait for one that hangs" {
  setsid sleep 1000 3>&- &
  local link=$!
  echo "lazy $ONE 1 1 7 1.1 1 links/b.1 $link" >"$NFS_ROOT/tasks/b"
  : >"$NFS_ROOT/exports.d/b.conf"
  kill -KILL "$(cat "$NFS_RUN/ganesha.pid")"
  # shellcheck disable=SC2016 # that shell's variables
  LINK=$link bash -c '
    trap '\''while [[ $(ps -o stat= -p "$LINK") == [!Z]* ]]; do sleep 0.02; done; echo 2 >"$NFS_RUN/reread"'\'' HUP
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

@test "nfs-links: what is mounted outlives its link, loses nothing, and goes on with the next one" {
  mounting
  linked
  link link a "$ONE" 1 1 auto 0123456789abcdef
  eventually grep -qx 'womm-nfs: ready [0-9]* 1 new' "$BED/said"
  [[ $(door list) == "a lazy $ONE ready 1" && $(rereads) == 1 ]]
  grep -qx "  Path = $NFS_ROOT/links/a.0123456789abcdef;" "$NFS_ROOT/exports.d/a.conf"
  # shellcheck disable=SC2046 # two processes
  kill $(pgrep -f "attach $BED/near")
  eventually over attach
  echo between >"$BED/say"
  [[ $(door list) == "a lazy $ONE down 1" && ! -s $BED/here ]]
  link resume a 0123456789abcdef
  eventually grep -qx 'womm-nfs: ready [0-9]* 1 same' "$BED/said"
  eventually grep -qx between "$BED/here"
  [[ $(door list) == "a lazy $ONE ready 1" && $(rereads) == 1 ]]
  # Its end is that of all.
  door close a
  eventually over links
  nothing
  run -3 door resume a 0123456789abcdef
  [[ $output == 'womm-nfs: gone' ]]
}

@test "nfs-links: another one's link takes the place of the first, which can't be resumed" {
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

@test "nfs-links: where sshfs ends, nobody sees anything of it any more" {
  mounting
  linked
  link link a "$ONE" 1 1 7 0123456789abcdef
  eventually grep -q ' 7 new' "$BED/said"
  kill "$(<"$BED/sshfs")"
  eventually nothing
  [[ $(rereads) == 2 ]]
}

@test "nfs-links: a link to what is no relay, or has no SFTP server behind it, is refused" {
  run -1 door link a "$ONE" 1 1 auto 0123456789abcdef < <(echo SSH-2.0-something else && sleep 2)
  [[ $output == *"nfs-relay: a link that can't be used: this is no frame"* ]]
  linked sh -c 'echo SSH-2.0-something else; exec cat >/dev/null'
  link link a "$ONE" 1 1 auto 0123456789abcdef
  eventually grep -q 'nfs-rtt: this is no SFTP server' "$BED/said"
  eventually nothing
}
