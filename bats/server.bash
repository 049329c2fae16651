# A file server for the tests to load: server-entry on a free port of the loopback, as a user who is not root.
# shellcheck shell=bash

# shellcheck source=pod.bash
load pod

# make_server: the bed of make_run, and a root for the server in it. server-shell, for rsync's --rsh, drops the host and
# has a shell run the rest here, as the server's user.
make_server() {
  make_run
  # Without the loop that asks a cluster.
  export WOMM_ROOT=$BED/srv WOMM_ORPHANS_AFTER=0
  SECRET=$(head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n')
  mkdir -m 0700 "$WOMM_ROOT"
  [[ $(id -u) -ne 0 ]] || chown 65534:65534 "$WOMM_ROOT"
  export -f as_user
  # shellcheck disable=SC2016 # the program's variables
  program server-shell 'shift; as_user sh -c "$*"'
}

# choose_port: have a free port of the loopback in the environment.
choose_port() {
  # shellcheck disable=SC2016 # Perl, not shell
  WOMM_PORT=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
  export WOMM_PORT WOMM_SERVER=127.0.0.1
}

# start_server: start it and wait until it answers.
start_server() {
  choose_port
  launch_server
}

# launch_server: the same, on the port that was chosen.
launch_server() {
  # In a session of its own, which is then ended as a whole. bats waits for whoever holds its descriptor 3.
  # shellcheck disable=SC2016 # that shell's variables
  as_user setsid bash -c 'echo $$ >"$WOMM_ROOT/pid"; exec bash "$0"' "$SCRIPTS/server-entry" >"$BED/log" 2>&1 3>&- &
  eventually answers
}

# answers: whether the server takes connections.
answers() {
  (: <>"/dev/tcp/127.0.0.1/$WOMM_PORT") 2>/dev/null
}

# stop_server: end it, with the reader of its log, and wait until they have ended.
stop_server() {
  local pid
  pid=$(cat "$WOMM_ROOT/pid" 2>/dev/null) || return 0
  # rsync first: with the reader of its log gone, it would wait for one.
  kill "$pid" 2>/dev/null || true
  eventually ended_process "$pid"
  kill -- "-$pid" 2>/dev/null || true
  eventually ended "$pid"
  rm "$WOMM_ROOT/pid"
}

# ended: whether the process group $1 has ended. What nobody has waited for, as in a container without an init, has.
ended() {
  ! pgrep -g "$1" -r D,I,R,S,T >/dev/null
}

# drop_server: all of it.
drop_server() {
  stop_server
  drop_run
}

# share: server-share, as the server's user.
share() {
  as_user bash "$SCRIPTS/server-share" "$@"
}

# task: server-task, as the server's user.
task() {
  as_user bash "$SCRIPTS/server-task" "$@"
}

# admit: let the pods of task $1 read the share with key $2, as womm does beside its push.
admit() {
  printf '%032d\n' 1 | share ready "$1" "$2"
}

# push: fill the share of task $2 with key $3 from directory $1 as womm does. More arguments are rsync's.
push() {
  local filter=()
  [[ ! -e $1/.wommignore ]] || filter=('--filter=. .wommignore')
  (
    cd "$1" || return
    rsync --archive --hard-links --sparse --delete --delete-excluded --modify-window=-1 --no-owner --no-group \
      --chmod=Du+rx,Fu+r --no-inc-recursive --compress --compress-level=1 --rsh="$BED/bin/server-shell" --rsync-path="bash $SCRIPTS/server-share fill $2 $3" \
      ${filter[@]+"${filter[@]}"} "${@:4}" ./ server-pod:./
  )
}

# publish: push directory $1 as the share of task $2 with key $3, and make it ready. $PLACE is then where it lies.
publish() {
  # shellcheck disable=SC2034 # for the tests
  PLACE=$WOMM_ROOT/shares/$3/$2
  push "$1" "$2" "$3"
  share ready "$2" "$3" <<<"${4-$SECRET}"
}

# pull: share-pull of task $1 into directory $2, with secret $3 ($SECRET), as an ordinary user.
pull() {
  mkdir -p "${2%/*}"
  chmod 0777 "${2%/*}"
  WOMM_TASK=$1 RSYNC_PASSWORD=${3-$SECRET} as_user sh "$SCRIPTS/share-pull" "$2"
}

# listing: print what is below directory $1: kind, mode, size, time, link's target and name of each; contents by sum.
# Not the times of links: not every rsync can set them.
listing() {
  (
    cd "$1" || return
    find . -type d -printf '%y %m %p\0' -o -type l -printf '%y %l %p\0' -o -printf '%y %m %s %T@ %p\0' | sort -z | tr '\0' '\n'
    find . -type f -print0 | sort -z | xargs -0 -r sha256sum
  )
}
