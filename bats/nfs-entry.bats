#!/usr/bin/env bats
# nfs-entry in namespaces of its own, with stand-ins of ganesha.nfsd, sshd and kubectl.
# shellcheck disable=SC2016 # the programs' text is for a shell of their own

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  export WOMM_ROOT=$BED/nfs WOMM_RUN=$BED/nfs-run WOMM_KEYS=$BED/keys WOMM_NODES_EVERY=1
  mkdir "$WOMM_KEYS"
  echo host >"$WOMM_KEYS/host_key"
  echo key >"$WOMM_KEYS/authorized_keys"
  program ganesha.nfsd 'echo "begun $$" >>"$BED/ganesha"; echo ": NFS SERVER INITIALIZED" >&2
    trap "echo : Reread exports complete >&2" HUP
    while true; do sleep 0.05; done'
  program sshd 'echo "$*" >>"$BED/sshd"; exec sleep 1000'
  nodes address 192.0.2.1 range 10.1.0.0/24 address '' address 10.5.0.7
  program kubectl '[[ -e $BED/nodes ]] && cat "$BED/nodes"'
}

teardown() {
  [[ ! -e $BED/pid ]] || kill -KILL "$(cat "$BED/pid")" 2>/dev/null || true
  eventually drop_run
}

# nodes: have kubectl print these kinds and values.
nodes() {
  printf '%s %s\n' "$@" >"$BED/nodes"
}

# enter: start nfs-entry as process 1, /run and /usr/sbin/sshd its own.
enter() {
  printf '#!/bin/bash\nmount -t tmpfs none /run && mkdir -p /usr/sbin\n%s\nPATH=$BED/bin:$PATH exec bash "$SCRIPTS/nfs-entry"\n' \
    'if [[ -e /usr/sbin/sshd ]]; then mount --bind "$BED/bin/sshd" /usr/sbin/sshd; fi' >"$BED/inside"
  export SCRIPTS
  unshare --user --map-root-user --mount --pid --fork --kill-child --mount-proc \
    bash "$BED/inside" >"$BED/log" 2>&1 3>&- &
  echo $! >"$BED/pid"
}

# clients: whether those who may mount are $1.
clients() {
  [[ $(cat "$WOMM_RUN/clients" 2>/dev/null) == "$1" ]]
}

# begun: whether Ganesha has begun $1 times.
begun() {
  [[ $(grep -c begun "$BED/ganesha") == "$1" ]]
}

@test "nfs-entry: nodes' addresses, the first two of their pods' and their tunnels' may mount, and what else is named" {
  WOMM_CLIENTS=198.51.100.0/24 enter
  eventually clients 10.1.0.0,10.1.0.1,10.5.0.7,192.0.2.1,198.51.100.0/24
}

@test "nfs-entry: a new node may mount soon, and exports say so" {
  mkdir -p "$WOMM_ROOT/tasks" "$WOMM_ROOT/exports.d" "$WOMM_ROOT/live/a/files"
  echo 'eager 0123456789abcdef0123456789abcdef 1 1 5 1.1 0 live/a/files 0' >"$WOMM_ROOT/tasks/a"
  : >"$WOMM_ROOT/exports.d/a.conf"
  enter
  eventually grep -q 'Clients = 10.1.0.0,10.1.0.1,10.5.0.7,192.0.2.1;' "$WOMM_ROOT/exports.d/a.conf"
  nodes address 192.0.2.1 address 192.0.2.3
  eventually grep -q 'Clients = 192.0.2.1,192.0.2.3;' "$WOMM_ROOT/exports.d/a.conf"
}

@test "nfs-entry: a container that is started anew lets those mount who might before" {
  mkdir -p "$WOMM_RUN" "$WOMM_ROOT/tasks" "$WOMM_ROOT/exports.d" "$WOMM_ROOT/live/a/files"
  echo 10.1.0.0,10.1.0.1,10.5.0.7,192.0.2.1 | tee "$WOMM_RUN/exported" >"$WOMM_RUN/clients"
  echo 'eager 0123456789abcdef0123456789abcdef 1 1 5 1.1 0 live/a/files 0' >"$WOMM_ROOT/tasks/a"
  : >"$WOMM_ROOT/exports.d/a.conf"
  enter
  eventually grep -q 'Clients = 10.1.0.0,10.1.0.1,10.5.0.7,192.0.2.1;' "$WOMM_ROOT/exports.d/a.conf"
}

@test "nfs-entry: exports that could not be written for new nodes are written at the next look" {
  mkdir -p "$WOMM_ROOT/tasks" "$WOMM_ROOT/exports.d" "$WOMM_ROOT/live/a/files"
  echo 'eager 0123456789abcdef0123456789abcdef 1 1 5 1.1 0 live/a/files 0' >"$WOMM_ROOT/tasks/a"
  : >"$WOMM_ROOT/exports.d/a.conf"
  enter
  eventually clients 10.1.0.0,10.1.0.1,10.5.0.7,192.0.2.1
  eventually test -s "$WOMM_RUN/exported"
  # No file takes its place.
  rm "$WOMM_ROOT/exports.d/a.conf"
  mkdir -p "$WOMM_ROOT/exports.d/a.conf/x"
  nodes address 192.0.2.7
  eventually grep -q "it is tried again" "$BED/log"
  rm -r "$WOMM_ROOT/exports.d/a.conf"
  : >"$WOMM_ROOT/exports.d/a.conf"
  eventually grep -q 'Clients = 192.0.2.7;' "$WOMM_ROOT/exports.d/a.conf"
}

@test "nfs-entry: those who are named may mount though the cluster does not answer" {
  rm "$BED/nodes"
  WOMM_CLIENTS=198.51.100.7 enter
  eventually grep -q 'are not known' "$BED/log"
  clients 198.51.100.7
}

@test "nfs-entry: while the cluster does not answer those who were known stay, and that is told once" {
  enter
  eventually clients 10.1.0.0,10.1.0.1,10.5.0.7,192.0.2.1
  rm "$BED/nodes"
  eventually grep -q 'are not known' "$BED/log"
  sleep 2.5
  [[ $(grep -c 'are not known' "$BED/log") == 1 ]]
  clients 10.1.0.0,10.1.0.1,10.5.0.7,192.0.2.1
}

@test "nfs-entry: what is no address is not taken" {
  nodes address 'x;y' address 192.0.2.1 other 192.0.2.2 range 10.1.2.128/25 range fd00:1::/64
  enter
  eventually clients 192.0.2.1,fd00:1::,fd00:1::1
}

@test "nfs-entry: Ganesha takes nothing from the modes that jobs ask for" {
  program ganesha.nfsd 'umask >"$BED/umask"; exec sleep 1000'
  enter
  eventually test -s "$BED/umask"
  [[ $(<"$BED/umask") == 0000 ]]
}

@test "nfs-entry: Ganesha is started again when it dies" {
  enter
  eventually begun 1
  eventually test -s "$WOMM_RUN/ganesha.pid"
  # Its pid is of the namespace of its own.
  nsenter -t "$(pgrep -P "$(cat "$BED/pid")")" -U -p -m --preserve-credentials kill -KILL "$(cat "$WOMM_RUN/ganesha.pid")"
  eventually begun 2
}

@test "nfs-entry: sshd takes one key, runs one program, and nobody else gets its key" {
  enter
  eventually test -s "$WOMM_RUN/sshd_config"
  eventually begun 1
  grep -qx "ForceCommand $SCRIPTS/nfs-door" "$WOMM_RUN/sshd_config"
  local line
  for line in 'PermitRootLogin forced-commands-only' 'AuthenticationMethods publickey' 'PasswordAuthentication no' \
    'DisableForwarding yes' 'PermitTTY no' 'PermitUserEnvironment no' 'AllowUsers root'; do
    grep -qx "$line" "$WOMM_RUN/sshd_config"
  done
  [[ $(stat -c %a "$WOMM_RUN/host_key") == 600 && $(<"$WOMM_RUN/host_key") == host ]]
}

@test "nfs-entry: on TERM it ends, and so does all that it began" {
  enter
  eventually begun 1
  local inside
  inside=$(pgrep -P "$(cat "$BED/pid")")
  kill -TERM "$inside"
  eventually ended_process "$inside"
}
