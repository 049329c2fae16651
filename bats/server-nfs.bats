#!/usr/bin/env bats
# server-nfs with the real door behind it; ssh runs it here, and Ganesha is a stand-in.
# shellcheck disable=SC2016 # the programs' text is for a shell of their own

bats_require_minimum_version 1.5.0
load nfs

setup() {
  make_nfs
  ONE=0123456789abcdef0123456789abcdef
  export WOMM_NFS=womm-system/womm-nfs-team WOMM_NFS_KEYS=$BED/keys
  mkdir "$BED/keys"
  : >"$BED/keys/id"
  program kubectl 'echo "$*" >>"$BED/asked"; echo 192.0.2.8'
  # The last argument is the command.
  program ssh 'printf "%s\n" "$*" >>"$BED/dialled"; [[ ! -e $BED/down ]] || exit 255
    export SSH_ORIGINAL_COMMAND=${!#}; WOMM_ROOT=$NFS_ROOT WOMM_RUN=$NFS_RUN exec bash "$SCRIPTS/nfs-door"'
  export SCRIPTS
  PATH=$BED/bin:$PATH
  mkdir -p "$WOMM_ROOT/shares/key/task"
  cd "$WOMM_ROOT/shares/key/task" || return
}

teardown() {
  drop_nfs
}

# nfs: server-nfs. (Here both servers are one user's; the tests on the cluster have two.)
nfs() {
  bash "$SCRIPTS/server-nfs" "$@"
}

@test "server-nfs: a snapshot is exported as it is: names, modes, times, links, holes" {
  mkdir -p 'a b' empty $'new\nline' closed
  echo 1 >'a b/c d' && echo 2 >$'not\xffutf8' && echo run >program && chmod 0755 program
  ln -s /etc/passwd absolute && ln -s .. up && ln program hard
  truncate -s 10M hole && printf x >>hole
  echo in >closed/file && chmod 0555 closed
  touch -d '2001-02-03 04:05:06.789012345' program
  nfs publish task key "$ONE" "$(id -u)" "$(id -g)"
  diff <(listing .) <(listing "$NFS_ROOT/live/task/files")
  [[ $NFS_ROOT/live/task/files/hard -ef $NFS_ROOT/live/task/files/program ]]
  (($(stat -c %b "$NFS_ROOT/live/task/files/hole") < 1000))
  [[ $(nfs list) == "task eager $ONE ready 0" ]]
}

@test "server-nfs: all of an export is its owner's, and where links lead nothing is" {
  if [[ $(id -u) -eq 0 ]]; then owner=1001:1002; else owner=$(id -u):$(id -g); fi
  echo 1 >file
  echo other >"$BED/outside"
  ln -s "$BED/outside" link
  nfs publish task key "$ONE" "${owner%:*}" "${owner#*:}"
  [[ $(find "$NFS_ROOT/live/task/files" -printf '%U:%G\n' | sort -u) == "$owner" ]]
  [[ $(stat -c %u "$BED/outside") == "$(id -u)" ]]
}

@test "server-nfs: what jobs change in one task's tree is in no other one, nor in the mirror" {
  echo 1 >file
  mkdir ../second && cp file ../second
  nfs publish task key "$ONE" "$(id -u)" "$(id -g)"
  echo changed >"$NFS_ROOT/live/task/files/file"
  nfs publish second key 00000000000000000000000000000000 "$(id -u)" "$(id -g)"
  [[ $(<"$NFS_ROOT/live/second/files/file") == 1 && $(<"$NFS_ROOT/live/task/files/file") == changed ]]
}

@test "server-nfs: what is gone from the directory is gone from the next task's tree" {
  echo 1 >old && echo 1 >file && mkdir shut && echo 1 >shut/in && chmod 0555 shut
  nfs publish task key "$ONE" "$(id -u)" "$(id -g)"
  mkdir ../second && echo 1 >../second/file
  nfs publish second key 00000000000000000000000000000000 "$(id -u)" "$(id -g)"
  [[ $(ls "$NFS_ROOT/live/second/files") == file ]]
}

@test "server-nfs: results lie where server-share finds them, with what is new and what is gone" {
  echo 1 >file && echo 1 >gone && echo 1 >kept
  nfs publish task key "$ONE" "$(id -u)" "$(id -g)" back
  local tree=$NFS_ROOT/live/task/files place=$WOMM_ROOT/results/task/pods
  echo 22 >"$tree/file" && rm "$tree/gone" && mkdir "$tree/new" && echo x >"$tree/new/$(printf 'a\nb')"
  ln -s /etc/passwd "$tree/link"
  nfs results task
  [[ $(bash "$SCRIPTS/server-share" results task key) == "$place"$'\n'"$place/nfs/report" ]]
  [[ $(find "$place/nfs/files" -type f -printf '%P\0' | sort -z | tr '\0\n' '\n?') == $'file\nnew/a?b' ]]
  [[ $(sort -z "$place/nfs/report" | tr '\0\n' '\n?') == $'Dgone\nNlink\nNnew\nNnew/a?b' ]]
  # It leads nowhere.
  [[ $(readlink "$place/nfs/files/link") == /rsyncd-munged//etc/passwd ]]
  # Again, with less.
  rm "$tree/new/"* "$tree/link"
  nfs results task
  [[ -z $(find "$place/nfs/files" -name 'a*' -o -name link) ]]
}

@test "server-nfs: where nothing was changed there is no report, and of a task that is gone it says so" {
  echo 1 >file
  nfs publish task key "$ONE" "$(id -u)" "$(id -g)" back
  nfs results task
  [[ $(bash "$SCRIPTS/server-share" results task key) == "$WOMM_ROOT/results/task/pods" ]]
  mkdir ../second
  nfs publish second key 00000000000000000000000000000000 "$(id -u)" "$(id -g)" back
  nfs close second
  run -3 nfs results second
  run -3 nfs results never
}

@test "server-nfs: who holds a task can want its results, and gets them as long as they are asked for" {
  echo 1 >file
  run nfs hold task key "$ONE" "$(id -u)" "$(id -g)" back </dev/null
  [[ $status -eq 0 && $output == *'womm-nfs: ready 0 0 new' ]]
  echo 2 >"$NFS_ROOT/live/task/files/file"
  # As the NFS server's next container, or its next pod with the same volume.
  WOMM_ROOT=$NFS_ROOT WOMM_RUN=$NFS_RUN bash "$SCRIPTS/nfs-door" begin
  run nfs hold task key "$ONE" "$(id -u)" "$(id -g)" back </dev/null
  [[ $status -eq 0 && $output == *'womm-nfs: ready 0 0 same' ]]
  nfs results task
  local place=$WOMM_ROOT/results/task/pods
  [[ $(<"$place/nfs/files/file") == 2 ]]
  # All that there will be is here: the NFS server may go.
  nfs close task
  nfs results task
  [[ $(bash "$SCRIPTS/server-share" results task key) == "$place"$'\n'"$place/nfs/report" ]]
}

@test "server-nfs: that the results are a second tree's, and the first one is lost, is told" {
  echo 1 >file
  nfs hold task key "$ONE" "$(id -u)" "$(id -g)" back </dev/null
  echo 2 >"$NFS_ROOT/live/task/files/file"
  # As a new pod of the server's without a volume of its own.
  rm -rf "$NFS_ROOT"/{live,tasks,exports.d}/*
  run -3 nfs results task
  run nfs hold task key "$ONE" "$(id -u)" "$(id -g)" back </dev/null
  [[ $status -eq 0 && $output == *'womm-nfs: ready 0 0 new' ]]
  echo 3 >"$NFS_ROOT/live/task/files/other"
  local said='server-nfs: the NFS server was replaced, and with it went what jobs had changed that had ended before'
  run -5 nfs results task
  [[ $output == "$said" ]]
  nfs close task
  run -5 nfs results task
  [[ $output == "$said" ]]
  [[ $(<"$WOMM_ROOT/results/task/pods/nfs/files/other") == 3 ]]
}

@test "server-nfs: what its owner can't read stays there and is named, and the rest comes" {
  # Root could read it all.
  local owner=1001
  [[ $(id -u) == 0 ]] || owner=$(id -u)
  echo 1 >file
  nfs publish task key "$ONE" "$owner" "$owner" back
  local tree=$NFS_ROOT/live/task/files place=$WOMM_ROOT/results/task/pods/nfs
  mkdir "$tree/shut"
  echo 2 >"$tree/open" && echo 2 >"$tree/closed" && echo 2 >"$tree/shut/in"
  [[ $(id -u) != 0 ]] || chown -R "$owner" "$tree"
  chmod 0 "$tree/closed" "$tree/shut"
  run -5 nfs results task
  [[ $output == *'/closed" '*'Permission denied (13)'*'server-nfs: jobs have made some of it unreadable' ]]
  [[ $(<"$place/files/open") == 2 && ! -e $place/files/closed && ! -e $place/files/shut/in ]]
  chmod 0700 "$tree/shut"
}

@test "server-nfs: results for which there is no room here are none, and stay where they are" {
  echo 1 >file
  nfs publish task key "$ONE" "$(id -u)" "$(id -g)" back
  echo 2 >"$NFS_ROOT/live/task/files/file"
  local rsync
  rsync=$(command -v rsync)
  program rsync 'case "$*" in *--files-from*) echo "rsync: [receiver] mkstemp \"x\" failed: No space left on device (28)" >&2
    exit 23 ;; *) exec '"$rsync"' "$@" ;; esac'
  run -1 nfs results task
  [[ $output == *'No space left on device'* ]]
  rm "$BED/bin/rsync"
  hash -r
  nfs results task
  [[ $(<"$WOMM_ROOT/results/task/pods/nfs/files/file") == 2 ]]
}

@test "server-nfs: a copy that has failed is not published, and none of what it has is left" {
  echo 1 >file
  program cp '/bin/cp "$@"; echo "cp: No space left on device" >&2; exit 1'
  run nfs hold task key "$ONE" "$(id -u)" "$(id -g)" </dev/null
  ((status != 0))
  [[ $output == *'No space left on device'* && $output != *ready* ]]
  [[ $(nfs list) == '' ]]
  nfs close task
  [[ -z $(ls "$NFS_ROOT/live") ]]
}

@test "server-nfs: who holds a task again has the same export, even if the snapshot is gone" {
  echo 1 >file
  nfs publish task key "$ONE" "$(id -u)" "$(id -g)"
  run nfs hold task key "$ONE" "$(id -u)" "$(id -g)" </dev/null
  [[ $status -eq 0 && $output == *'womm-nfs: ready 0 0 same' ]]
  cd /
  rm -rf "$WOMM_ROOT/shares/key/task"
  run nfs hold task key "$ONE" "$(id -u)" "$(id -g)" </dev/null
  [[ $status -eq 0 && $output == *'womm-nfs: ready 0 0 same' ]]
  nfs close task
}

@test "server-nfs: a snapshot that is not there is told" {
  run -3 nfs publish other key "$ONE" 1 1
  [[ $output == 'server-nfs: there is no snapshot of task other' ]]
}

@test "server-nfs: the address is asked for once, and again when nobody answers there" {
  [[ $(nfs address) == 192.0.2.8 ]]
  nfs list
  [[ $(<"$BED/asked") == *'--namespace womm-system get service womm-nfs-team '* && $(wc -l <"$BED/asked") == 1 ]]
  : >"$BED/down"
  run -255 nfs list
  [[ $output == "server-nfs: the NFS server can't be reached at 192.0.2.8" ]]
  rm "$BED/down"
  nfs list
  [[ $(wc -l <"$BED/asked") == 2 ]]
}

@test "server-nfs: the NFS server has to have its own key, and ours is the only one that is shown" {
  nfs list
  local dialled
  dialled=$(<"$BED/dialled")
  [[ $dialled == *'-o StrictHostKeyChecking=yes'* && $dialled == *'-o HostKeyAlias=womm-nfs'* ]]
  [[ $dialled == *'-o IdentitiesOnly=yes'* && $dialled == *"-i $BED/keys/id"* && $dialled == *'-- 192.0.2.8 list' ]]
}

@test "server-nfs: what is no word of ours goes nowhere" {
  local said
  # shellcheck disable=SC2088
  for said in 'close ../x' 'close a;id' 'close $(id)' 'publish task ../key x 1 1' "close a'b"; do
    # shellcheck disable=SC2086 # words
    run -2 nfs $said
  done
  run -2 nfs
  run -2 nfs publish task key
  [[ ! -e $BED/dialled ]]
}

@test "server-nfs: a link that is not there can't be resumed, and that is told apart from a server that is away" {
  run -3 nfs resume task 0123456789abcdef
  [[ $output == 'womm-nfs: gone' ]]
  : >"$BED/down"
  run -255 nfs resume task 0123456789abcdef
}

@test "server-nfs: a namespace without an NFS server says so" {
  rm "$BED/keys/id"
  run -4 nfs list
  [[ $output == 'server-nfs: this namespace has no NFS server' ]]
}
