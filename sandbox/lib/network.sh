# shellcheck shell=bash
# The bridges, the rules that let pods out, and the settings of the kernel; with what they were before.

SYSCTLS=(net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables
  # The kubelet sets these to what it wants and cannot be told not to.
  vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes
  # So does kube-proxy 1.20.
  net.ipv4.conf.all.route_localnet)

# remember: note the settings, chains and policies of the machine before anything changes them. Once only: a
# second up would note what the first one made.
remember() {
  local name tool
  [[ ! -e $BEFORE/complete ]] || return 0
  # bridge-nf-call-iptables is there only once the module is.
  modprobe br_netfilter 2>/dev/null || :
  for name in "${SYSCTLS[@]}"; do
    printf '%s=%s\n' "$name" "$(sysctl -n "$name" 2>/dev/null)"
  done >"$BEFORE/sysctl"
  for tool in iptables ip6tables; do
    "$tool-save" 2>/dev/null | awk '/^\*/ {table = substr($1, 2)} /^:/ {print table, substr($1, 2), $2}' >"$BEFORE/$tool"
  done
  cgroups_here >"$BEFORE/cgroups"
  for name in "${STRAY_DIRECTORIES[@]}"; do
    [[ ! -d $name ]] || printf '%s\n' "$name"
  done >"$BEFORE/directories"
  touch "$BEFORE/complete"
}

# cgroups_here: print the cgroups directly below the root of each hierarchy.
cgroups_here() {
  find -H /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d 2>/dev/null | sort
}

# bridge: make bridge $1 with the address $2, unless it is there, and set it up. The hardware address is fixed:
# else it would change with each pod that comes.
bridge() {
  ip link show dev "$1" >/dev/null 2>&1 || ip link add "$1" address "$3" type bridge
  ip addr replace "$2" dev "$1"
  ip link set "$1" up
}

# rule: add the rule "${@:3}" to the chain $3 of the table $2, unless it is there: at the top if $1 is -I, at
# the end if it is -A. The comment is by what down knows it.
rule() {
  local how=$1 table=$2 chain=$3
  shift 3
  set -- "$@" -m comment --comment womm-sandbox
  iptables -w 10 -t "$table" -C "$chain" "$@" 2>/dev/null || iptables -w 10 -t "$table" "$how" "$chain" "$@"
}

# make_network: make the bridges and let traffic pass: from pods to anywhere, to pods only from here and from
# pods. Nobody beyond this machine reaches a pod or a container, although forwarding is on.
make_network() {
  local half
  sysctl -qw net.ipv4.ip_forward=1
  [[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ]] || sysctl -qw net.bridge.bridge-nf-call-iptables=1
  bridge "$BRIDGE" "$BRIDGE_IP/16" 02:77:6f:6d:6d:01
  # Two halves go before an idle network of the same range (podman's default). They go with the bridge.
  for half in "${POD_HALVES[@]}"; do ip route replace "$half" dev "$BRIDGE" src "$BRIDGE_IP"; done
  rule -I filter FORWARD -o "$BRIDGE" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  rule -I filter FORWARD -i "$BRIDGE" -j ACCEPT
  rule -A filter FORWARD -o "$BRIDGE" -j DROP
  # One rule instead of CNI's ipMasq, which would make a chain for each pod.
  rule -I nat POSTROUTING -s "$POD_NET" ! -d "$POD_NET" -j MASQUERADE
  if own_docker; then
    bridge "$DOCKER_BRIDGE" "$DOCKER_IP/24" 02:77:6f:6d:6d:02
    rule -A filter FORWARD -o "$DOCKER_BRIDGE" -j DROP
  fi
}

# network_well: exit 0 if the bridge, forwarding and our rules are there: others may have flushed them.
network_well() {
  local rules wanted=4
  ! own_docker || wanted=5
  rules=$(iptables-save 2>/dev/null | grep -c -- '--comment womm-sandbox') || return 1
  [[ -e /sys/class/net/$BRIDGE && $(</proc/sys/net/ipv4/ip_forward) == 1 ]] && ((rules >= wanted))
}
