# shellcheck shell=bash
# What the sandbox cannot do, it says before it changes anything.

# ports_of: print the ADDRESS:PORT pairs that part $1 listens on.
ports_of() {
  case $1 in
    etcd) echo 127.0.0.1:2379 127.0.0.1:2380 ;;
    registry) echo 127.0.0.1:5000 ;;
    node2-registry) echo "$BRIDGE_IP:5000" ;;
    apiserver) echo "$BRIDGE_IP:6443" ;;
    controller-manager) echo 127.0.0.1:10257 ;;
    scheduler) echo 127.0.0.1:10259 ;;
    kubelet) echo "$BRIDGE_IP:10250" 127.0.0.1:10248 ;;
    kube-proxy) echo 127.0.0.1:10249 127.0.0.1:10256 ;;
  esac
}

# port_owner: print who listens where a listener on $1 (ADDRESS:PORT) would be in the way: "PROGRAM (pid N)".
# Exit 1 if nobody does.
port_owner() {
  local address=${1%:*} port=${1##*:} line local_address users
  while IFS= read -r line; do
    read -r _ _ _ local_address _ users <<<"$line"
    case ${local_address%:*} in
      "$address" | 0.0.0.0 | '*' | '[::]' | "[::ffff:$address]") ;;
      *) continue ;;
    esac
    if [[ $users =~ \(\(\"([^\"]*)\",pid=([0-9]+) ]]; then
      printf '%s (pid %s)\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
    else
      echo "a program that cannot be told"
    fi
    return 0
  done < <(ss -H -ltnp "sport = :$port")
  return 1
}

# check_ports: exit 1 with the reason if a port of part $1 is taken.
check_ports() {
  local where owner
  for where in $(ports_of "$1"); do
    if owner=$(port_owner "$where"); then
      die "$1 needs port ${where##*:} on ${where%:*}, and $owner listens there" "end that program, then try again"
    fi
  done
}

# check_machine: exit 1 with the reason if this is no machine for the sandbox.
check_machine() {
  [[ $(uname -s) == Linux ]] || die "it needs Linux; this is $(uname -s)" "run it in a Linux virtual machine"
  ((EUID == 0)) || die "it needs root (this is uid $EUID): it makes network devices, mounts and containers" \
    "run it as root on a machine that may be used so, such as a virtual machine"
  command -v apt-get >/dev/null || die "it needs Debian's apt-get, from which its packages come" \
    "run it on Debian 12"
}

# free_memory: print the MiB of memory that are available.
free_memory() { awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo; }

# free_disk: print the MiB free where $1 is, or will be.
free_disk() {
  local directory=$1
  while [[ ! -d $directory ]]; do directory=$(dirname "$directory"); done
  df -Pm "$directory" | awk 'NR == 2 {print $4}'
}

# check_room: exit 1 with the reason if memory or disk are too little for $1: run, build, or node2.
# WOMM_SANDBOX_MIN_MEMORY_MIB and WOMM_SANDBOX_MIN_DISK_MIB replace what was measured.
check_room() {
  local memory=2048 disk=4096 for_what="to run" have directory
  if [[ $1 == build ]]; then
    memory=4096 disk=12288 for_what="to build Kubernetes and run it"
  elif [[ $1 == node2 ]]; then
    memory=2048 disk=2048 for_what="for the second node"
  fi
  memory=${WOMM_SANDBOX_MIN_MEMORY_MIB:-$memory}
  disk=${WOMM_SANDBOX_MIN_DISK_MIB:-$disk}
  have=$(free_memory)
  ((have >= memory)) || die "it needs $memory MiB of free memory $for_what; $have MiB are available" \
    "end other programs or give the machine more memory"
  for directory in "$STATE" "$CACHE"; do
    have=$(free_disk "$directory")
    ((have >= disk)) || die "it needs $disk MiB of free disk $for_what; $directory has $have MiB" \
      "make room, or set WOMM_SANDBOX_STATE and XDG_CACHE_HOME to where there is some"
  done
}

# check_strangers: exit 1 with the reason if another Kubernetes or another network is where ours would be.
# Only for a machine on which the sandbox has made nothing yet. A network without anything on it, as podman leaves its
# own, is no hindrance: our routes go first (see make_network).
check_strangers() {
  local net taken
  if command -v iptables-save >/dev/null && iptables-save 2>/dev/null | grep -q '^:KUBE-'; then
    die "the iptables chains of another Kubernetes (KUBE-*) are on this machine" \
      "the sandbox would overwrite them: use another machine"
  fi
  for net in "$POD_NET" "$SERVICE_NET" "$DOCKER_NET"; do
    taken=$(ip -4 route show root "$net" | grep -vw -m 1 linkdown) || continue
    die "the sandbox needs the network $net, and this machine routes it: $taken" \
      "remove that network, or use another machine"
  done
}
