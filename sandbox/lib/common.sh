# shellcheck shell=bash
# What every part of the sandbox shares: where things are, how it speaks, its lock.
# shellcheck disable=SC2034 # the names set here are read by the files that source this one

# The kernel limits a unix socket's path to 107 bytes, so sockets have a short directory of their own.
STATE=$(realpath -m "${WOMM_SANDBOX_STATE:-/var/lib/womm-sandbox}")
RUN=$(realpath -m "${WOMM_SANDBOX_RUN:-/run/womm-sandbox}")
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/womm-sandbox
LOG=$STATE/log
PKI=$STATE/pki
BEFORE=$STATE/before
ADMIN=$STATE/admin.kubeconfig
MARKER=$STATE/.made-by-womm-sandbox

NODE=womm-sandbox
BRIDGE=wommbr0
BRIDGE_IP=10.88.0.1
POD_NET=10.88.0.0/16
POD_HALVES=(10.88.0.0/17 10.88.128.0/17)
# The second node has a slice of the same network, beyond the first one's last address for a pod.
LAST_POD=10.88.239.255
NODE2=node2
NODE2_IP=10.88.250.2
NODE2_PODS=(10.88.251.2 10.88.251.250)
NODE2_TAP=wommtap2
NODE2_MEMORY_MIB=3072
NODE2_LOGS=(containerd kubelet kube-proxy)
# Its label, and its taint: nothing comes there unasked.
NODE2_KEY=womm.dev/sandbox-node
NODE2_VALUE=nfs
SERVICE_NET=10.96.0.0/16
API=https://$BRIDGE_IP:6443
DOCKER_BRIDGE=wommdock0
DOCKER_IP=10.87.0.1
DOCKER_NET=10.87.0.0/24
DOCKER_SOCKET=$RUN/docker.sock
# Where kubelets have the pods' logs unless told.
POD_LOGS=/var/log/pods
RUNTIME_SOCKET=$RUN/containerd.sock
REGISTRY=localhost:5000/
# Debian 12: the base image's suite, and the one that has the whole of Kubernetes as a source package.
SUITE=bookworm
BASE_IMAGE=${REGISTRY}womm-sandbox/debian:$SUITE
PAUSE_IMAGE=localhost/womm-sandbox/pause:1

# In the order they start; down stops them in the opposite order.
PARTS=(etcd registry docker-containerd dockerd containerd apiserver controller-manager scheduler kubelet kube-proxy)
# The second node's (NODES=2).
NODE2_PARTS=(node2-registry node2)

# Tools of the system come first: a pyenv shim or a wrapper of the user's must not stand in for them.
export PATH=/usr/local/sbin:/usr/sbin:/sbin:$PATH
export LC_ALL=C
# kubectl would keep its discovery cache in the user's home and read the user's configuration.
export KUBECACHEDIR=$STATE/kube-cache
unset KUBECONFIG

# say: print the line "$*" for the user, on stderr: stdout belongs to `env`.
say() { printf '%s\n' "$*" >&2; }

# die: print what went wrong ($1) and, if given, the way out ($2). Ends the program with status 1.
die() {
  say "sandbox: $1"
  [[ -z ${2:-} ]] || say "  $2"
  exit 1
}

STEP=0
STEPS=9
STEP_NAME=
STEP_SINCE=0
STEP_TIMES=()

# step: end the step before, note its time, and announce step $1, which takes roughly $2.
step() {
  end_step
  STEP=$((STEP + 1))
  STEP_NAME=$1
  STEP_SINCE=$SECONDS
  say "[$STEP/$STEPS] $1 … (about $2)"
}

# end_step: note how long the running step took.
end_step() {
  [[ -z $STEP_NAME ]] || STEP_TIMES+=("$STEP_NAME $((SECONDS - STEP_SINCE)) s")
  STEP_NAME=
}

# join: print the arguments after $1 with $1 between them.
join() {
  local between=$1 text=${2:-} word
  shift 2 || return 0
  for word; do text+=$between$word; done
  printf '%s\n' "$text"
}

# eventually: run "$@" (from $2 on) every 0.2 s until it succeeds. Exit 1 after $1 seconds.
eventually() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}

# mounts_below: print the mount points below the directories "$@", innermost first.
mounts_below() {
  local path directory
  while read -r _ _ _ _ path _; do
    # A blank in a path is written \040.
    printf -v path '%b' "${path//\\/\\0}"
    for directory; do
      [[ $path != "$directory"/* ]] || printf '%s\n' "$path"
    done
  done </proc/self/mountinfo | sort -r
}

# lock: wait until no other up or down is at work, and keep others waiting while this one is.
# The descriptor is closed in every daemon (see launch), so the lock ends with this program.
lock() {
  while true; do
    exec {LOCK_FD}>>"$RUN.lock"
    if ! flock -n "$LOCK_FD"; then
      say "sandbox: another up or down is at work; waiting for it"
      flock "$LOCK_FD"
    fi
    # A down removes the file at its end: then this is the lock of a file that nobody else will find.
    [[ ! $RUN.lock -ef /proc/self/fd/$LOCK_FD ]] || return 0
    exec {LOCK_FD}>&-
  done
}

# unlock: remove the lock.
unlock() {
  rm -f "$RUN.lock"
  exec {LOCK_FD}>&-
}

# check_owner: exit 1 with the reason if another sandbox is up, or the state directory is none that will do.
check_owner() {
  local owner=
  # They go into YAML, TOML and lists of words.
  [[ $STATE$RUN =~ ^[A-Za-z0-9._/-]+$ ]] || die "the names $STATE and $RUN may hold letters, digits, and . _ - /"
  [[ ! -r $RUN/state ]] || owner=$(<"$RUN/state")
  if [[ -n $owner && $owner != "$STATE" ]]; then
    die "a sandbox with its state in $owner is up" "WOMM_SANDBOX_STATE=$owner make sandbox-down"
  fi
  if [[ -d $STATE && ! -e $MARKER && -n $(ls -A "$STATE") ]]; then
    die "$STATE holds something that is not the sandbox's" "set WOMM_SANDBOX_STATE to a directory of its own"
  fi
}

# claim: make the directories of the sandbox, with the mark by which down knows that they may be removed.
claim() {
  mkdir -p "$STATE" "$RUN" "$CACHE"
  chmod 0755 "$STATE" "$RUN"
  touch "$MARKER"
  printf '%s\n' "$STATE" >"$RUN/state"
  cat /proc/sys/kernel/random/boot_id >"$STATE/boot"
  mkdir -p "$LOG" "$STATE/pid" "$BEFORE"
  install -d -m 0700 "$PKI"
}
