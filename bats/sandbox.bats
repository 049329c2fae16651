#!/usr/bin/env bats
# The sandbox's parts as processes, what it refuses, and its commands.

# For the whole file:
# shellcheck disable=SC2016 # programs in single quotes are for perl and for inner shells
# shellcheck disable=SC2030,SC2031 # each test is a subshell, and STARTED is for its own teardown
# shellcheck disable=SC2034,SC2317 # the sourced functions read the variables and call the stand-ins

bats_require_minimum_version 1.5.0

setup() {
  load sandbox
  load_sandbox
}

teardown() {
  end_started
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

@test "check_strangers: a network that nothing is attached to is no hindrance" {
  iptables-save() { :; }
  ip() { [[ $* != *10.88.0.0/16* ]] || echo "10.88.0.0/16 dev cni-podman0 proto kernel src 10.88.0.1 linkdown"; }
  check_strangers
}

@test "check_version: a version that isn't there is refused with those that are" {
  use_version 1.99
  run check_version
  [[ $status -eq 1 ]]
  [[ $output == *"no Kubernetes 1.99 here"*"KUBERNETES is one of: 1.20, 1.36"* ]]
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
