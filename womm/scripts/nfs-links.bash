# nfs-links.bash: the part of nfs-door that has links: the relay and the sshfs of each, which outlive it, and their mount.
#
# Only nfs-door reads it, which has complain, locked and DOOR for it. From nfs-exports.bash it uses record, with the variables
# that it sets, export_task, unexport and CACHED. nfs-door calls do_link, do_resume and, where a task is closed, end_link; its
# `serve` and `mount_link` are here.
#
# A link's files are below $WOMM_RUN, under the name of its place: the relay's `socket`, and `socket.up` while it is linked;
# `view`, the round trip and the age; `said`, what relay and sshfs complained of.
# nfs-door's list and begin know of them, too.
# shellcheck disable=SC2153 # PLACE and place are two things: record's, and a link's that is being made

# Seconds that a mount waits for its next link; then whoever reads there gets an error.
LIMIT=120
# Seconds that the server's own kernel keeps files' attributes and names.
KERNEL=0.2
# Milliseconds of a round trip below which a link is short: a change is to be seen a second later.
NEAR=6

# do_link TASK PATH UID GID AGE TOKEN: see nfs-door. Exit 1 if it can't be mounted or exported.
do_link() {
  local place=links/$1.$6 there=$WOMM_RUN/links/$1.$6 keeper link trip age
  mkdir -p "$WOMM_RUN/links"
  mkdir "$there" "$WOMM_ROOT/$place"
  # To be read when its name is gone.
  exec 5<>"$there/said"
  # A session of its own: it outlives us, and its processes can be ended as one.
  setsid bash "$DOOR" serve "$1" "$place" "$3" "$4" "$5" </dev/null >/dev/null 2>"$there/said" 5>&- &
  keeper=$!
  perl "${BASH_SOURCE[0]%/*}/nfs-relay.pl" attach "$there/socket" <&0 &
  link=$!
  exec </dev/null >/dev/null
  if answers "$WOMM_ROOT/$place" "$link" && read -r trip age <"$there/view" &&
    locked "task-$1" take_over "$1" "$2" "$3" "$4" "$age" "$place" "$keeper"; then
    echo "womm-nfs: ready $trip $age new" >&2
    wait "$link" || true
    return
  fi
  cat <&5 >&2
  kill -KILL -- "-$keeper" 2>/dev/null || true
  locked "task-$1" let_go "$1" "$place"
  return 1
}

# do_resume TASK TOKEN: see nfs-door. Exit 3 if nothing is mounted.
do_resume() {
  local trip age
  if ! record "$1" || [[ $PLACE != "links/$1.$2" ]] || ! kill -0 "$PID" 2>/dev/null; then
    echo 'womm-nfs: gone' >&2
    return 3
  fi
  read -r trip age <"$WOMM_RUN/$PLACE/view"
  perl "${BASH_SOURCE[0]%/*}/nfs-relay.pl" attach "$WOMM_RUN/$PLACE/socket" "womm-nfs: ready $trip $age same"
}

# serve TASK PLACE UID GID AGE: have the mount of the link at PLACE, until it ends; then nobody sees it any more.
serve() {
  local there=$WOMM_RUN/$2
  perl "${BASH_SOURCE[0]%/*}/nfs-relay.pl" keep "$there/socket" "$LIMIT" \
    bash "$DOOR" mount_link "${@:2}" || true
  locked "task-$1" let_go "$1" "$2"
}

# mount_link PLACE UID GID AGE: be the sshfs there; stdin and stdout are an SFTP server's.
mount_link() {
  local trip age=$4
  exec 4>&1
  # Before sshfs speaks: what it asks in the beginning, the other end answers again.
  trip=$(perl "${BASH_SOURCE[0]%/*}/nfs-rtt.pl" 3>&1 1>&4)
  exec 4>&-
  if [[ $age == auto ]]; then age=$(age_for "$trip"); fi
  printf '%s\n' "$trip $age" >"$WOMM_RUN/$1/view"
  # noforget: ganesha's handles stay good. The owner is who the pods' owner is, whoever owns it there.
  WOMM_VIEW_MS=$(view_for "$age") LD_PRELOAD=${BASH_SOURCE[0]%/*}/../lib/sshfs-view.so exec \
    sshfs womm: "$WOMM_ROOT/$1" -f -o "passive,noforget,allow_other,uid=$2,gid=$3" \
    -o "dir_cache=no,attr_timeout=$KERNEL,entry_timeout=$KERNEL"
}

# age_for MILLISECONDS: print how many seconds old what is told may be on a link of this round trip: to read a directory anew
# takes some four round trips, and shall take a tenth of the time at most. On a short link, changes are seen soon.
age_for() {
  local age=$((($1 * 50 + 3699) / 1000))
  if (($1 < NEAR)); then age=1; fi
  echo $((age < 61 ? age : 60))
}

# view_for AGE: print for how many milliseconds an answer counts (sshfs-view/view.h), so that with all that is kept above it
# nothing is older than AGE seconds: the kernel's, and ganesha's up to 2 s where it keeps any.
view_for() {
  echo $(($1 < CACHED ? $1 * 1000 - 500 : $1 * 1000 - 2700))
}

# answers PLACE PID: wait until the mount answers. Exit 1 if it doesn't, or PID, the link, ends before.
answers() {
  local end=$((SECONDS + 30))
  until timeout -k 1 20 mountpoint -q "$1"; do
    if ((SECONDS > end)) || ! kill -0 "$2" 2>/dev/null; then
      complain 'the link could not be mounted'
      return 1
    fi
    sleep 0.05
  done
  # As root would see it: readdir's answers are in the cache then.
  timeout -k 1 20 ls "$1" >/dev/null || {
    complain 'the link does not answer'
    return 1
  }
}

# take_over TASK PATH UID GID AGE PLACE PID: the link is exported, in place of an earlier one. Call it locked, as the task.
take_over() {
  if record "$1"; then
    if [[ $KIND != lazy ]]; then
      complain "task $1 has another export"
      return 1
    fi
    end_link "$1"
  fi
  locked exports export_task "$1" lazy "$2" "$3" "$4" "$5" "$6" "$7"
}

# end_link TASK: end the link of the record: relay and sshfs, its export, its mount. Ganesha waits with an export's end for
# what it has asked of the file system: of a link that does not answer, that has no end but sshfs's.
end_link() {
  # Not ourselves: to `serve` they have ended.
  if ((PID != $$)); then kill -KILL -- "-$PID" 2>/dev/null || true; fi
  locked exports unexport "$1"
  take_off "$PLACE"
  rm -f "$WOMM_ROOT/tasks/$1"
}

# take_off PLACE: nothing is mounted there any more, whoever uses it.
take_off() {
  umount --lazy "$WOMM_ROOT/$1" 2>/dev/null || true
  rmdir "$WOMM_ROOT/$1" 2>/dev/null || true
  rm -rf "${WOMM_RUN:?}/$1"
}

# let_go TASK PLACE: sshfs has ended. Nothing of a later one is touched.
let_go() {
  if record "$1" && [[ $PLACE == "$2" ]]; then end_link "$1"; else take_off "$2"; fi
}
