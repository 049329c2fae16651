# shellcheck shell=bash
# Taking down what up made, and nothing else. Each step bears that the one before it has run already.

# Directories outside ours that containerd, runc, CNI, Docker and the kubelet make and that no setting moves.
STRAY_DIRECTORIES=(/run/containerd /run/docker /run/mount /var/lib/cni /var/lib/kubelet /var/log/containers
  "$POD_LOGS")

# stop_all: end the parts "$@" together: politely, and after 5 s for good.
stop_all() {
  local part pid
  for part; do
    ! pid=$(pid_of "$part") || kill -TERM "$pid" 2>/dev/null || :
  done
  for part; do stop "$part"; done
}

# shims: print the pids of the shims of our containerds: those that were told the address of one of our sockets.
shims() {
  local directory words
  for directory in /proc/[0-9]*; do
    { mapfile -d '' -t words <"$directory/cmdline"; } 2>/dev/null || continue
    [[ ${words[0]:-} == *containerd-shim-runc-v2 && " ${words[*]} " == *" -address $RUN/"* ]] || continue
    printf '%s\n' "${directory#/proc/}"
  done
}

# our_cgroups: print the top cgroups that are ours in every hierarchy: those of pods, and of our own Docker
# engine's containers, unless they were there before.
our_cgroups() {
  local names=(kubepods) name group
  [[ -e $BEFORE/complete ]] || return 0
  ! own_docker || names+=(docker)
  for name in "${names[@]}"; do
    for group in /sys/fs/cgroup/"$name" /sys/fs/cgroup/*/"$name"; do
      [[ -d $group ]] || continue
      grep -qxF "$group" "$BEFORE/cgroups" || printf '%s\n' "$group"
    done
  done
}

# contained: print the pids of all processes in our cgroups.
contained() {
  local group
  our_cgroups | while IFS= read -r group; do
    find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null || :
  done | sort -un
}

# kill_contained: end every process in a container of ours. Exit 1 as long as there are any.
kill_contained() {
  local pids
  mapfile -t pids < <(contained)
  ((${#pids[@]})) || return 0
  kill -KILL "${pids[@]}" 2>/dev/null || :
  return 1
}

# kill_shims: end our shims. Exit 1 as long as there are any.
kill_shims() {
  local pids
  mapfile -t pids < <(shims)
  ((${#pids[@]})) || return 0
  kill -KILL "${pids[@]}" 2>/dev/null || :
  return 1
}

# shim_sockets: print the paths of our shims' sockets, which containerd keeps outside its state directory.
# The files that name them end without a newline.
shim_sockets() {
  find "$RUN" -path '*/io.containerd.runtime.v2.task/*/address' -exec cat {} + 2>/dev/null |
    grep -o '/run/containerd/s/[0-9a-f]\{64\}' | sort -u || :
}

# empty_docker: remove what people made with our Docker engine and it would leave on the machine; from one of
# the machine's own only the name of the base image goes.
empty_docker() {
  local list
  if ! own_docker; then
    [[ ! -e $STATE/user-docker ]] || docker_cli rmi "$BASE_IMAGE" >/dev/null 2>&1 || :
    return 0
  fi
  healthy dockerd || return 0
  mapfile -t list < <(docker_cli ps -aq)
  ((!${#list[@]})) || docker_cli rm -f "${list[@]}" >/dev/null 2>&1 || :
  mapfile -t list < <(docker_cli network ls -q --filter type=custom)
  ((!${#list[@]})) || docker_cli network rm "${list[@]}" >/dev/null 2>&1 || :
}

# stop_everything: end all parts, all containers, all shims.
stop_everything() {
  stop_all "${NODE2_PARTS[@]}" kubelet kube-proxy scheduler controller-manager apiserver etcd containerd
  eventually 20 kill_contained || die "processes of containers cannot be ended: $(contained | xargs)"
  eventually 20 kill_shims || die "containerd's shims cannot be ended: $(shims | xargs)"
  empty_docker
  stop dockerd 15
  stop_all docker-containerd registry
  eventually 20 kill_contained || die "processes of containers cannot be ended: $(contained | xargs)"
  eventually 20 kill_shims || die "containerd's shims cannot be ended: $(shims | xargs)"
}

# unmount: take away all mounts in our directories, and of them elsewhere.
unmount() {
  local path
  while [[ $POD_LOGS -ef $STATE/pod-logs ]]; do umount "$POD_LOGS"; done
  mounts_below "$STATE" "$RUN" | while IFS= read -r path; do
    umount "$path" 2>/dev/null || umount -l "$path" 2>/dev/null || :
  done
  path=$(mounts_below "$STATE" "$RUN" | head -n 1)
  [[ -z $path ]] || die "$path cannot be unmounted"
}

# our_devices: print the names of our bridges and the second node's device, with those of networks that people made with our Docker engine:
# they are left if it was killed.
our_devices() {
  printf '%s\n' "$NODE2_TAP" "$BRIDGE" "$DOCKER_BRIDGE"
  ! own_docker || grep -aoshE 'br-[0-9a-f]{12}' "$STATE/docker/network/files/local-kv.db" | sort -u || :
}

# our_addresses: print the addresses of the containers of our Docker engine.
our_addresses() {
  ! own_docker || grep -oshE '"IPAddress":"[0-9.]+"' "$STATE"/docker/containers/*/config.v2.json |
    grep -o '[0-9.]\{7,\}' | sort -u || :
}

# remove_devices: remove our devices and the ends of pods' and containers' cables in them.
remove_devices() {
  local device end
  our_devices | while IFS= read -r device; do
    ip link show dev "$device" >/dev/null 2>&1 || continue
    ip -o link show type veth master "$device" | awk -F '[ @:]+' '{print $2}' | while read -r end; do
      ip link delete dev "$end" 2>/dev/null || :
    done
    ip link delete dev "$device"
  done
}

# rules_to_undo: read the output of iptables-save and print what iptables-restore has to do to remove our
# chains (those that were not there before, as told by the file $1) and all rules that lead to them, have our
# comment, or name our devices or the addresses of our containers.
rules_to_undo() {
  awk -v before="$1" -v devices="$(our_devices | xargs)" -v addresses="$(our_addresses | xargs)" '
    BEGIN {
      while ((getline line < before) > 0) { split(line, f, " "); old[f[1] " " f[2]] = 1 }
      n = split(devices, f, " "); for (i = 1; i <= n; i++) device[f[i]] = 1
      n = split(addresses, f, " "); for (i = 1; i <= n; i++) address[f[i] "/32"] = 1
    }
    /^\*/ { table = substr($1, 2); rules = flush = drop = ""; delete ours }
    /^:/ {
      chain = substr($1, 2)
      if (chain ~ /^(KUBE-|CNI-|DOCKER)/ && !((table " " chain) in old)) {
        ours[chain] = 1; flush = flush "-F " chain "\n"; drop = drop "-X " chain "\n"
      }
    }
    /^-A/ && !($2 in ours) {
      mine = /--comment womm-sandbox( |$)/
      for (i = 3; i < NF; i++) {
        if (($i == "-j" || $i == "-g") && $(i + 1) in ours) mine = 1
        if (($i == "-i" || $i == "-o") && $(i + 1) in device) mine = 1
        if ($i == "-s" && $(i + 1) in address) mine = 1
      }
      if (mine) rules = rules "-D" substr($0, 3) "\n"
    }
    /^COMMIT/ && (rules flush) != "" { printf "*%s\n%s%s%sCOMMIT\n", table, rules, flush, drop }'
}

# forward_policy: read the output of iptables-save and print the policy of FORWARD. A table that isn't there accepts.
forward_policy() {
  awk '/^\*/ {table = $1} table == "*filter" && $1 == ":FORWARD" {p = $2} END {print (p ? p : "ACCEPT")}'
}

# remove_rules: remove our chains and rules, and give FORWARD the policy it had (Docker may change it).
remove_rules() {
  local tool rules policy
  for tool in iptables ip6tables; do
    [[ -r $BEFORE/$tool ]] || continue
    rules=$("$tool-save" 2>/dev/null)
    rules_to_undo "$BEFORE/$tool" <<<"$rules" | "$tool-restore" --noflush --wait 10
    policy=$(awk '$1 == "filter" && $2 == "FORWARD" {print $3}' "$BEFORE/$tool")
    [[ $(forward_policy <<<"$rules") == "${policy:-ACCEPT}" ]] || "$tool" -w 10 -P FORWARD "${policy:-ACCEPT}"
  done
}

# restore_sysctls: give the kernel the settings it had.
restore_sysctls() {
  local line
  [[ -r $BEFORE/sysctl ]] || return 0
  while IFS= read -r line; do
    [[ -z ${line#*=} || $(sysctl -n "${line%%=*}" 2>/dev/null) == "${line#*=}" ]] || sysctl -qw "$line"
  done <"$BEFORE/sysctl"
}

# remove_cgroups: remove our cgroups, which are empty by now. Exit 1 if one is not: processes may still be ending.
remove_cgroups() {
  local group left=0
  while IFS= read -r group; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || :
    [[ ! -d $group ]] || left=1
  done < <(our_cgroups)
  return "$left"
}

# remove_strays: remove our files ($@: our shims' sockets) from directories that are not ours, and those
# directories if they are empty and were not there before.
remove_strays() {
  local directory link target
  (($# == 0)) || rm -f "$@"
  # CNI's notes on our pods name their network or, those on loopback, the pod's namespace in our directory.
  rm -f /var/lib/cni/results/womm-sandbox-*
  { grep -lsF "$RUN/" /var/lib/cni/results/* || :; } | xargs -r rm -f
  for link in /var/log/containers/*; do
    [[ -L $link ]] || continue
    target=$(readlink "$link")
    [[ $target != "$STATE"/* && ! -e $STATE/pod-logs/${target#"$POD_LOGS/"} ]] || rm -f "$link"
  done
  [[ -r $BEFORE/directories ]] || return 0
  for directory in "${STRAY_DIRECTORIES[@]}"; do
    [[ -d $directory ]] || continue
    ! grep -qxF "$directory" "$BEFORE/directories" || continue
    # The kubelet leaves its socket for device plugins, and that of 1.20 a note beside it.
    [[ $directory != /var/lib/kubelet ]] || rm -f /var/lib/kubelet/device-plugins/{kubelet.sock,DEPRECATION}
    find "$directory" -depth -type d -empty -delete
  done
}

# take_down: remove everything that up made but the cache. Safe to repeat, also after half an up or down.
take_down() {
  local sockets
  mapfile -t sockets < <(shim_sockets)
  stop_everything
  unmount
  clear_work
  remove_devices
  remove_rules
  restore_sysctls
  eventually 10 remove_cgroups || say "sandbox: some cgroups stay: $(our_cgroups | xargs)"
  remove_strays "${sockets[@]}"
  [[ ! -e $MARKER ]] || rm -rf --one-file-system "$STATE"
  rm -rf --one-file-system "$RUN"
}

# reset_after_boot: if the machine was started anew since up, remove the state: only files can be left of it.
# Without this up would take them for its own, and down what others have made since then.
reset_after_boot() {
  [[ -r $STATE/boot && $(<"$STATE/boot") != "$(</proc/sys/kernel/random/boot_id)" ]] || return 0
  say "sandbox: the machine has been started anew since the last up: removing what that left in $STATE"
  unmount
  rm -rf --one-file-system "$STATE" "$RUN"
}
