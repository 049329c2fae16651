#!/usr/bin/env bats
# The sandbox's functions, without a sandbox: nothing here needs one or touches one.

# For the whole file:
# shellcheck disable=SC2016 # programs in single quotes are for perl and for inner shells
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and STARTED is for its own teardown
# shellcheck disable=SC2034,SC2317 # the sourced functions read the variables and call the stand-ins

bats_require_minimum_version 1.5.0

setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  export WOMM_SANDBOX_STATE=$BATS_TEST_TMPDIR/state WOMM_SANDBOX_RUN=$BATS_TEST_TMPDIR/run
  export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache HOME=$BATS_TEST_TMPDIR/home
  unset KUBERNETES RUNNING
  mkdir -p "$HOME" "$WOMM_SANDBOX_STATE/pid" "$WOMM_SANDBOX_STATE/log"
  SANDBOX=$ROOT/sandbox
  STARTED=()
  local part
  for part in common process checks packages kubernetes certificates network docker control node teardown; do
    # shellcheck source=/dev/null
    source "$SANDBOX/lib/$part.sh"
  done
}

teardown() {
  ((!${#STARTED[@]})) || kill -KILL "${STARTED[@]}" 2>/dev/null || :
}

# background: run the command in the background until the test ends; its pid is in $PID.
background() {
  "$@" >/dev/null 2>&1 3>&- &
  PID=$!
  disown "$PID"
  STARTED+=("$PID")
}

# listener: listen on the address $1; its port is in $PORT and its pid in $PID.
listener() {
  local file=$BATS_TEST_TMPDIR/port
  rm -f "$file"
  background perl -MIO::Socket::INET -e '
    my $s = IO::Socket::INET->new(LocalAddr => $ARGV[0], LocalPort => 0, Listen => 1) or die;
    open my $f, ">", "$ARGV[1].new"; print $f $s->sockport, "\n"; close $f; rename "$ARGV[1].new", $ARGV[1];
    sleep 60' "$1" "$file"
  eventually 10 test -s "$file"
  PORT=$(<"$file")
}

# record: write the pid file of part $1: pid, start time, boot.
record() { printf '%s %s %s\n' "$2" "$3" "${4:-$(</proc/sys/kernel/random/boot_id)}" >"$STATE/pid/$1"; }

@test "port_owner: names the program and the pid that listen on a port" {
  listener 127.0.0.1
  run port_owner "127.0.0.1:$PORT"
  [[ $status -eq 0 ]]
  [[ $output == "perl (pid $PID)" ]]
}

@test "port_owner: who listens on every address is in the way of any" {
  listener 0.0.0.0
  run port_owner "127.0.0.1:$PORT"
  [[ $output == "perl (pid $PID)" ]]
}

@test "port_owner: who listens on another address is not in the way" {
  listener 127.0.0.2
  run port_owner "127.0.0.1:$PORT"
  [[ $status -eq 1 ]]
  [[ -z $output ]]
}

@test "check_ports: a port in use is refused with the part, the port and the program" {
  listener 127.0.0.1
  ports_of() { echo "127.0.0.1:$PORT"; }
  run check_ports etcd
  [[ $status -eq 1 ]]
  [[ $output == *"etcd needs port $PORT on 127.0.0.1, and perl (pid $PID) listens there"* ]]
}

@test "pid_of: a recorded process is found" {
  background sleep 60
  record part "$PID" "$(start_time "$PID")"
  run pid_of part
  [[ $status -eq 0 ]]
  [[ $output == "$PID" ]]
}

@test "pid_of: a number that is another process's by now is not the part" {
  background sleep 60
  record part "$PID" 1
  run pid_of part
  [[ $status -eq 1 ]]
}

@test "pid_of: a number from before the machine was started anew is not the part" {
  background sleep 60
  record part "$PID" "$(start_time "$PID")" another-boot
  run pid_of part
  [[ $status -eq 1 ]]
}

@test "stop: a process that has the part's number by chance lives on" {
  background sleep 60
  record part "$PID" 1
  stop part
  kill -0 "$PID"
  [[ ! -e $STATE/pid/part ]]
}

@test "stop: a part that ignores SIGTERM is killed" {
  # The file tells that the signal is ignored by now.
  background perl -e '$SIG{TERM} = "IGNORE"; open my $f, ">", $ARGV[0]; sleep 60' "$BATS_TEST_TMPDIR/deaf"
  eventually 10 test -e "$BATS_TEST_TMPDIR/deaf"
  record part "$PID" "$(start_time "$PID")"
  stop part 1
  run start_time "$PID"
  [[ $status -eq 1 ]]
}

@test "start_time: a program with blanks and parentheses in its name is read right" {
  cp "$(command -v sleep)" "$BATS_TEST_TMPDIR/a) S 1 (b"
  background "$BATS_TEST_TMPDIR/a) S 1 (b" 60
  local expected
  expected=$(perl -pe 's/.*\) //' "/proc/$PID/stat" | cut -d ' ' -f 20)
  run start_time "$PID"
  [[ $output == "$expected" ]]
}

@test "launch: a part gets a session of its own and none of the caller's descriptors and variables" {
  exec {held}>"$BATS_TEST_TMPDIR/held"
  export SECRET=1
  launch part bash -c 'ls -l "/proc/$$/fd"; env; ps -o sid= -p $$; exec sleep 60'
  local pid
  pid=$(pid_of part)
  STARTED+=("$pid")
  eventually 10 grep -qE "^ *$pid\$" "$LOG/part.log"
  [[ -z $(find "/proc/$pid/fd" -lname "$BATS_TEST_TMPDIR/held") ]]
  run ! grep -q SECRET "$LOG/part.log"
  exec {held}>&-
}

@test "await: a part that ends while starting shows the end of its log and names it" {
  healthy() { return 1; }
  launch part sh -c 'echo no such file'
  run await part 10
  [[ $status -eq 1 ]]
  [[ $output == *"no such file"* ]]
  [[ $output == *"part ended while starting"*"$LOG/part.log"* ]]
}

@test "await: a part that never gets well shows the end of its log and names it" {
  healthy() { return 1; }
  launch part sh -c 'echo waiting for godot; exec sleep 60'
  STARTED+=("$(pid_of part)")
  run await part 1
  [[ $status -eq 1 ]]
  [[ $output == *"waiting for godot"*"part did not become ready in 1 s"*"$LOG/part.log"* ]]
}

@test "check_room: too little memory is refused with what there is and what is needed" {
  free_memory() { echo 512; }
  run check_room run
  [[ $status -eq 1 ]]
  [[ $output == *"needs 2048 MiB of free memory to run; 512 MiB are available"* ]]
}

@test "check_room: a build needs more memory than a run" {
  free_memory() { echo 3000; }
  free_disk() { echo 100000; }
  run check_room run
  [[ $status -eq 0 ]]
  run check_room build
  [[ $status -eq 1 ]]
  [[ $output == *"4096 MiB of free memory to build Kubernetes"* ]]
}

@test "check_room: too little disk is refused with the directory" {
  free_disk() { echo 100; }
  WOMM_SANDBOX_MIN_MEMORY_MIB=1 run check_room run
  [[ $status -eq 1 ]]
  [[ $output == *"free disk to run; $STATE has 100 MiB"* ]]
}

@test "free_disk: a directory that is yet to be made counts as where it will be" {
  [[ $(free_disk "$BATS_TEST_TMPDIR/not/yet") -gt 0 ]]
}

@test "check_strangers: the chains of another Kubernetes are refused" {
  iptables-save() { printf '*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n'; }
  run check_strangers
  [[ $status -eq 1 ]]
  [[ $output == *"another Kubernetes (KUBE-*)"* ]]
}

@test "check_strangers: a network that the machine routes already is refused by name" {
  iptables-save() { :; }
  ip() { [[ $* != *10.88.0.0/16* ]] || echo "10.88.0.0/16 dev cni-podman0 scope link"; }
  run check_strangers
  [[ $status -eq 1 ]]
  [[ $output == *"needs the network 10.88.0.0/16"*cni-podman0* ]]
}

@test "check_version: a version that isn't there is refused with those that are" {
  KUBERNETES=1.99
  MODULES=$SANDBOX/kubernetes/1.99
  run check_version
  [[ $status -eq 1 ]]
  [[ $output == *"no Kubernetes 1.99 here"*"KUBERNETES is one of:"*1.36* ]]
}

@test "check_version: a version beside the one that is up is refused" {
  RUNNING=1.20
  run check_version
  [[ $status -eq 1 ]]
  [[ $output == *"up with Kubernetes 1.20, not 1.36"*"make sandbox-down"* ]]
}

@test "check_owner: a directory that holds something else is refused" {
  touch "$STATE/precious"
  run check_owner
  [[ $status -eq 1 ]]
  [[ $output == *"$STATE holds something that is not the sandbox's"* ]]
}

@test "check_owner: a second sandbox is refused with the way to end the first" {
  mkdir "$RUN"
  echo /elsewhere >"$RUN/state"
  run check_owner
  [[ $status -eq 1 ]]
  [[ $output == *"its state in /elsewhere is up"*"WOMM_SANDBOX_STATE=/elsewhere make sandbox-down"* ]]
}

@test "programs_built: programs of another go.sum are not taken" {
  local program
  mkdir -p "$(programs)"
  for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    ln -s /bin/true "$(programs)/$program"
  done
  stamp >"$(programs)/stamp"
  programs_built
  echo other >"$(programs)/stamp"
  run ! programs_built
}

@test "find_go: a Go that is too old is passed over" {
  mkdir -p "$BATS_TEST_TMPDIR/bin" "$CACHE/go-$GO_RELEASE/bin"
  printf '#!/bin/sh\necho go1.19.8\n' >"$BATS_TEST_TMPDIR/bin/go"
  printf '#!/bin/sh\necho go1.%s.0\n' "$GO_WANTED" >"$CACHE/go-$GO_RELEASE/bin/go"
  chmod +x "$BATS_TEST_TMPDIR/bin/go" "$CACHE/go-$GO_RELEASE/bin/go"
  GOS=("$BATS_TEST_TMPDIR/bin/go" "$CACHE/go-$GO_RELEASE/bin/go")
  run find_go
  [[ $output == "$CACHE/go-$GO_RELEASE/bin/go" ]]
  GOS=("$BATS_TEST_TMPDIR/bin/go")
  run find_go
  [[ $status -eq 1 ]]
}

@test "needed_packages: only what is missing is named" {
  find_go() { :; }
  dpkg-query() {
    local name
    for name in docker.io docker-registry containerd runc containernetworking-plugins debootstrap iproute2 \
      openssl curl ca-certificates jq procps util-linux; do echo "$name ii "; done
    echo "etcd-server rc "
  }
  run needed_packages
  [[ $output == $'etcd-server\niptables' ]]
}

@test "ban_services: a policy of the machine's own stays, ours goes" {
  POLICY=$BATS_TEST_TMPDIR/policy-rc.d
  ban_services
  [[ -x $POLICY ]]
  run "$POLICY"
  [[ $status -eq 101 ]]
  allow_services
  [[ ! -e $POLICY ]]
  echo '#!/bin/sh' >"$POLICY"
  ban_services
  allow_services
  [[ $(<"$POLICY") == '#!/bin/sh' ]]
}

@test "disable_services: what was installed is not started at the next boot, and nothing else is touched" {
  SYSTEMD=$BATS_TEST_TMPDIR
  dpkg() { printf '%s\n' /lib/systemd/system "/lib/systemd/system/$2.service" /usr/lib/systemd/system/x@.service; }
  systemctl() { echo "$*" >>"$BATS_TEST_TMPDIR/said"; }
  disable_services etcd-server docker.io
  [[ $(<"$BATS_TEST_TMPDIR/said") == $'disable --quiet etcd-server.service\ndisable --quiet docker.io.service' ]]
}

# engines: have a docker that answers on the sockets $@ alone, and whose default is that of the context $CONTEXT.
engines() {
  ENGINES=" $* "
  timeout() {
    shift
    "$@"
  }
  env() { [[ $ENGINES == *" ${3#DOCKER_HOST=} "* ]]; }
  docker() { echo "$CONTEXT"; }
}

@test "choose_docker: an engine of the machine's that answers is used" {
  CONTEXT=unix:///var/run/docker.sock
  engines unix:///var/run/docker.sock
  choose_docker
  [[ $(docker_host) == unix:///var/run/docker.sock ]]
  run ! own_docker
}

@test "choose_docker: one elsewhere is of no use, one of this machine is, whatever the default" {
  DOCKER_HOST=tcp://192.0.2.1:2375
  CONTEXT=ssh://elsewhere
  engines "$DOCKER_HOST" "$CONTEXT" unix:///var/run/docker.sock
  choose_docker
  [[ $(docker_host) == unix:///var/run/docker.sock ]]
}

@test "choose_docker: where none answers one of our own is started" {
  CONTEXT=unix:///var/run/docker.sock
  engines
  choose_docker
  own_docker
  [[ $(docker_host) == unix://$RUN/docker.sock ]]
}

@test "choose_docker: our own engine is not taken for the user's" {
  DOCKER_HOST=unix://$RUN/docker.sock
  CONTEXT=$DOCKER_HOST
  engines "$DOCKER_HOST"
  choose_docker
  own_docker
}

@test "base_sources: the machine's mirrors of the release are taken, and no other suite's" {
  apt-get() {
    printf '%s\n' 'http://m/debian/ bookworm' 'http://m/debian-security/ bookworm-security' 'http://m/debian/ trixie'
  }
  run base_sources
  [[ $output == $'deb http://m/debian-security/ bookworm-security main\ndeb http://m/debian/ bookworm main' ]]
}

@test "name_server: one on loopback is of no use to pods" {
  RESOLV=$BATS_TEST_TMPDIR/resolv.conf
  printf 'nameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.53\n' >"$RESOLV"
  run name_server
  [[ $output == 192.0.2.53 ]]
}

@test "rules_to_undo: our chains, the jumps to them and our rules go, the user's stay" {
  printf 'filter FORWARD ACCEPT\nfilter DOCKER-USER -\n' >"$BATS_TEST_TMPDIR/before"
  local save='*filter
:FORWARD ACCEPT [0:0]
:DOCKER-USER - [0:0]
:KUBE-FORWARD - [0:0]
:KUBERNETES-OF-MINE - [0:0]
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -j DOCKER-USER
-A FORWARD -i wommbr0 -m comment --comment womm-sandbox -j ACCEPT
-A FORWARD -o wommdock0 -j ACCEPT
-A FORWARD -i wommbr01 -j ACCEPT
-A FORWARD -s 10.88.0.0/16 -j KUBERNETES-OF-MINE
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE
COMMIT'
  run rules_to_undo "$BATS_TEST_TMPDIR/before" <<<"$save"
  [[ $output == '*filter
-D FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-D FORWARD -i wommbr0 -m comment --comment womm-sandbox -j ACCEPT
-D FORWARD -o wommdock0 -j ACCEPT
-F KUBE-FORWARD
-X KUBE-FORWARD
COMMIT' ]]
}

@test "rules_to_undo: what a killed Docker engine of ours has left goes too" {
  touch "$STATE/own-docker"
  mkdir -p "$STATE/docker/network/files" "$STATE/docker/containers/c"
  printf '\0"BridgeName":"br-0123456789ab"\0' >"$STATE/docker/network/files/local-kv.db"
  echo '{"IPAddress":"172.18.0.2","IPAddress":""}' >"$STATE/docker/containers/c/config.v2.json"
  local save='*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 172.18.0.0/16 ! -o br-0123456789ab -j MASQUERADE
-A POSTROUTING -s 172.18.0.2/32 -d 172.18.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
-A POSTROUTING -s 172.19.0.0/16 ! -o br-fedcba987654 -j MASQUERADE
COMMIT'
  run rules_to_undo /dev/null <<<"$save"
  [[ $output == '*nat
-D POSTROUTING -s 172.18.0.0/16 ! -o br-0123456789ab -j MASQUERADE
-D POSTROUTING -s 172.18.0.2/32 -d 172.18.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE
COMMIT' ]]
}

@test "forward_policy: the filter table's counts, and a missing one accepts" {
  [[ $(forward_policy <<<$'*mangle\n:FORWARD ACCEPT [0:0]\n*filter\n:FORWARD DROP [1:2]') == DROP ]]
  [[ $(forward_policy </dev/null) == ACCEPT ]]
}

@test "shims: a process that only mentions the socket is not one" {
  background bash -c 'exec -a "not-a-shim -address $0/containerd.sock" sleep 60' "$RUN"
  background bash -c 'exec -a containerd-shim-runc-v2 sleep 60'
  run shims
  [[ -z $output ]]
}

@test "up: whoever isn't root is told so, and nothing is made" {
  rm -rf "$WOMM_SANDBOX_STATE"
  local as=()
  ((EUID)) || as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  run "${as[@]}" "$SANDBOX/up"
  [[ $status -eq 1 ]]
  [[ $output == *"needs root"* ]]
  [[ ! -e $WOMM_SANDBOX_STATE && ! -e $WOMM_SANDBOX_RUN ]]
}

@test "up: another system than Linux is refused" {
  uname() { echo Darwin; }
  run check_machine
  [[ $status -eq 1 ]]
  [[ $output == *"needs Linux; this is Darwin"* ]]
}

@test "env: a sandbox that is down says how to start it, and prints no export" {
  run --separate-stderr "$SANDBOX/env"
  [[ $status -eq 1 ]]
  [[ -z $output ]]
  # shellcheck disable=SC2154 # bats sets it
  [[ $stderr == *"make sandbox-up"* ]]
}

@test "status: a sandbox that is down says so" {
  run "$SANDBOX/status"
  [[ $status -eq 1 ]]
  [[ $output == *"is down"*"make sandbox-up"* ]]
}

@test "down: where nothing is up nothing happens" {
  rm -rf "$WOMM_SANDBOX_STATE"
  check_machine || return 1
  run "$SANDBOX/down"
  [[ $status -eq 0 ]]
  [[ $output == *"is down"* ]]
  [[ ! -e $WOMM_SANDBOX_RUN.lock && ! -e $WOMM_SANDBOX_STATE ]]
}

@test "lock: whoever waited for a down takes the next lock, not the one that is gone" {
  mkdir "$BATS_TEST_TMPDIR/order"
  lock
  background bash -c 'eval "exec $3>&-"; source "$1/lib/common.sh"; lock; touch "$2/second"; sleep 60' \
    bash "$SANDBOX" "$BATS_TEST_TMPDIR/order" "$LOCK_FD"
  # It waits: its descriptor is open on the file.
  eventually 10 bash -c 'ls -l /proc/$0/fd | grep -qF "$1"' "$PID" "$RUN.lock"
  [[ ! -e $BATS_TEST_TMPDIR/order/second ]]
  unlock
  eventually 10 test -e "$BATS_TEST_TMPDIR/order/second"
  run ! flock -n "$RUN.lock" true
}

@test "the sandbox names no registry's or mirror's host" {
  local found
  found=$(grep -rhoE 'https?://[a-z0-9.-]+\.[a-z]{2,}' "$SANDBOX" --include='*.sh' --include=up --include=down \
    --include=env --include=status | sort -u)
  [[ $found == https://kubernetes.default.svc ]]
}
