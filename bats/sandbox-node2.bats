#!/usr/bin/env bats
# The sandbox's second node, without starting it: what it is told, what its disk depends on, what down takes back.

# For the whole file:
# shellcheck disable=SC1090,SC1091 # settings that the tests make
# shellcheck disable=SC2030,SC2031 # each test is a subshell
# shellcheck disable=SC2153 # NODE2_TAP and NODE2_IP are two
# shellcheck disable=SC2016 # the stand-ins read them
# shellcheck disable=SC2034,SC2317 # the sourced functions read the variables and call the stand-ins

bats_require_minimum_version 1.5.0

setup() {
  load sandbox
  load_sandbox
}

# number: print the IPv4 address $1 as a number.
number() {
  local IFS=.
  # shellcheck disable=SC2086 # split into bytes on purpose
  set -- $1
  echo $((($1 << 24) + ($2 << 16) + ($3 << 8) + $4))
}

@test "check_nodes: one node or two, and nothing else" {
  local nodes
  check_nodes
  for nodes in 1 2; do NODES=$nodes check_nodes; done
  for nodes in 0 3 two 22; do
    NODES=$nodes run check_nodes
    [[ $status -eq 1 && $output == *"NODES is 1 or 2, not $nodes"* ]]
  done
}

@test "needed_packages: QEMU is needed for two nodes only" {
  dpkg-query() { :; }
  CHOSEN=true
  [[ $(needed_packages) != *qemu* ]]
  [[ $(NODES=2 needed_packages) == *qemu-system-x86* ]]
}

@test "node2_settings: the node's init reads them, with the flags of this version's kubelet" {
  use_version 1.20
  version_flags
  node2_settings >"$BATS_TEST_TMPDIR/settings"
  unset KUBELET_FLAGS
  source "$BATS_TEST_TMPDIR/settings"
  [[ $NODE == node2 && $ADDRESS/$NET_BITS == 10.88.250.2/16 && $GATEWAY == 10.88.0.1 ]]
  [[ $KEY=$VALUE == womm.dev/sandbox-node=nfs ]]
  [[ ${KUBELET_FLAGS[*]} == --container-runtime=remote ]]
  use_version 1.36
  version_flags
  source <(node2_settings)
  ((${#KUBELET_FLAGS[@]} == 0))
}

@test "node2_cni: the nodes give their pods no address twice, and none that a node has" {
  local first last
  first=$(node2_cni | jq -r '.plugins[0].ipam.ranges[0][0].rangeStart')
  last=$(node2_cni | jq -r '.plugins[0].ipam.ranges[0][0].rangeEnd')
  (($(number "$LAST_POD") < $(number "$NODE2_IP")))
  (($(number "$NODE2_IP") < $(number "$first")))
  (($(number "$first") < $(number "$last")))
  launch() { :; }
  start_containerd
  [[ $(jq -r '.plugins[0].ipam.ranges[0][0].rangeEnd' "$STATE/cni-config/10-womm-sandbox.conflist") == "$LAST_POD" ]]
}

@test "start_node2-registry: the same registry on the bridge's address" {
  mkdir "$STATE/node2"
  launch() { :; }
  start_registry
  start_node2-registry
  run diff "$STATE/registry.yml" "$STATE/node2/registry.yml"
  [[ ${#lines[@]} -eq 4 ]]
  [[ ${lines[3]} == '> http: {addr: "10.88.0.1:5000"}' ]]
}

@test "forget_node2: what is left of a dead second node goes, a living one and none at all are left alone" {
  kube() { echo "kube $*" >>"$BATS_TEST_TMPDIR/called"; }
  ip() { echo "ip $*" >>"$BATS_TEST_TMPDIR/called"; }
  mkdir -p "$STATE/pid"
  forget_node2
  printf '%s %s %s\n' $$ "$(start_time $$)" "$(</proc/sys/kernel/random/boot_id)" >"$STATE/pid/node2"
  cp "$STATE/pid/node2" "$STATE/pid/registry"
  forget_node2
  [[ ! -e $BATS_TEST_TMPDIR/called && -e $STATE/pid/node2 ]]
  # Another process has its number by now.
  echo "$$ 1 another-boot" | tee "$STATE/pid/node2" "$STATE/pid/node2-registry"
  run forget_node2
  [[ $status -eq 0 && $output == *"node2 is dead"* ]]
  [[ $(ls "$STATE/pid") == registry ]]
  [[ $(<"$BATS_TEST_TMPDIR/called") == *"delete node node2 "*"link delete dev $NODE2_TAP"* ]]
  # Only its registry was started.
  echo "$$ 1 another-boot" >"$STATE/pid/node2-registry"
  forget_node2
  [[ $(ls "$STATE/pid") == registry ]]
}

@test "disk_directory: another recipe makes another disk" {
  local before
  before=$(disk_directory)
  [[ $(disk_directory) == "$before" ]]
  mkdir -p "$BATS_TEST_TMPDIR/sandbox/node2"
  cp "$SANDBOX/build-disk" "$BATS_TEST_TMPDIR/sandbox/"
  cp "$SANDBOX/node2/initrd" "$BATS_TEST_TMPDIR/sandbox/node2/"
  SANDBOX=$BATS_TEST_TMPDIR/sandbox
  [[ $(disk_directory) == "$before" ]]
  echo '# more' >>"$SANDBOX/node2/initrd"
  [[ $(disk_directory) != "$before" ]]
}

@test "make_disk: one that is there is taken; one that fails shows the end of its log" {
  mkdir -p "$BATS_TEST_TMPDIR/sandbox/node2"
  SANDBOX=$BATS_TEST_TMPDIR/sandbox
  printf '#!/bin/sh\necho no mirror; exit 1\n' >"$SANDBOX/build-disk"
  chmod +x "$SANDBOX/build-disk"
  touch "$SANDBOX/node2/initrd"
  exec {LOCK_FD}>/dev/null
  run make_disk
  [[ $status -eq 1 ]]
  [[ $output == *"no mirror"*"disk could not be made"*"$LOG/node2-disk.log"* ]]
  mkdir -p "$(disk_directory)"
  make_disk
}

# kernel KNOWN: run fetch_kernel of build-disk, as that runs it, into $KERNEL_TREE. Stand-ins for apt and dpkg note their
# calls in $CALLS; apt knows the kernel if KNOWN is 1, and after an update if it is 0.
kernel() {
  local stubs=$BATS_TEST_TMPDIR/stubs
  CALLS=$BATS_TEST_TMPDIR/calls KERNEL_TREE=$BATS_TEST_TMPDIR/kernel
  mkdir -p "$stubs"
  printf '%s\n' '#!/bin/bash' '[[ $KNOWN == 1 || ($KNOWN == 0 && -e $CALLS) ]] || { echo "E: No packages found" >&2; exit 100; }' \
    'echo "Depends: linux-image-6.1.0-0-cloud-amd64 (= 1)"' >"$stubs/apt-cache"
  printf '%s\n' '#!/bin/bash' 'echo "$*" >>"$CALLS"' '[[ $* != *download* ]] || touch kernel.deb' >"$stubs/apt-get"
  printf '%s\n' '#!/bin/bash' 'echo "dpkg-deb $*" >>"$CALLS"' >"$stubs/dpkg-deb"
  chmod +x "$stubs"/*
  CALLS=$CALLS KNOWN=$1 PATH=$stubs:$PATH bash -euo pipefail -c "
    source '$SANDBOX/lib/common.sh'
    KERNEL=linux-image-cloud-amd64
    $(sed -n '/^fetch_kernel()/,/^}/p' "$SANDBOX/build-disk")
    fetch_kernel '$KERNEL_TREE'"
}

@test "fetch_kernel: where apt has no lists they are fetched first" {
  kernel 0
  [[ $(<"$CALLS") == $'-q update\n-o APT::Sandbox::User=root download linux-image-6.1.0-0-cloud-amd64\ndpkg-deb -x ./kernel.deb .' ]]
  [[ -d $KERNEL_TREE && ! -e $KERNEL_TREE/kernel.deb ]]
}

@test "fetch_kernel: where apt knows the kernel nothing is updated" {
  kernel 1
  [[ $(head -n 1 "$CALLS") == *' download linux-image-6.1.0-0-cloud-amd64' ]]
}

@test "fetch_kernel: a kernel that no list has is told of" {
  run kernel none
  [[ $status -eq 1 && $output == *"this machine's apt knows no linux-image-cloud-amd64"* ]]
}

@test "remove_devices: the second node's device goes, others stay" {
  NODE2_TAP=womm-bats-$((BASHPID % 100000)) BRIDGE=womm-none DOCKER_BRIDGE=womm-none
  ip tuntap add dev "$NODE2_TAP" mode tap
  remove_devices
  [[ ! -e /sys/class/net/$NODE2_TAP ]]
  remove_devices
}

@test "healthy: the second node is well once it is Ready and its Services work" {
  pid_of() { :; }
  node_ready() { [[ $1 == node2 ]]; }
  answers() { [[ $1 == http://10.88.250.2:10256/healthz ]]; }
  healthy node2
  answers() { return 1; }
  run ! healthy node2
}
