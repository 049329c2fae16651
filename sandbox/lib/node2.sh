# shellcheck shell=bash
# The second node: a virtual machine whose kernel has an NFS client, beside the first node on the same bridge. QEMU
# computes its processor (TCG), so it needs no /dev/kvm.

# check_nodes: exit 1 with the reason if $NODES is no number of nodes that the sandbox can have.
check_nodes() {
  [[ ${NODES:-1} == [12] ]] || die "NODES is 1 or 2, not $NODES" "2 starts a second node, with an NFS client"
}

# two_nodes: exit 0 if the second node is wanted.
two_nodes() { [[ ${NODES:-1} == 2 ]]; }

# node2_up: exit 0 if the second node was started, in which case it may have died since.
node2_up() { [[ -e $STATE/pid/node2 ]]; }

# node2_well: exit 0 if all parts of the second node are well.
node2_well() {
  local part
  for part in "${NODE2_PARTS[@]}"; do healthy "$part" || return 1; done
}

# forget_in_cluster: have the cluster know nothing of the second node.
forget_in_cluster() { kube delete node "$NODE2" --ignore-not-found --request-timeout=20s >/dev/null; }

# forget_node2: where the second node has died, or was not started after its registry, take away what is left of it. Nothing
# if it lives or never was.
forget_node2() {
  [[ -e $STATE/pid/node2 || -e $STATE/pid/node2-registry ]] && ! pid_of node2 >/dev/null || return 0
  say "  node2 is dead, and not asked for (NODES=2): what is left of it is taken away"
  stop node2-registry
  forget_in_cluster
  ip link delete dev "$NODE2_TAP" 2>/dev/null || :
  rm -f "$STATE/pid/node2"
}

# start_node2-registry: the registry once more, on the bridge's address: loopback is out of the node's reach.
start_node2-registry() {
  sed "s/127\.0\.0\.1:5000/$BRIDGE_IP:5000/" "$STATE/registry.yml" >"$STATE/node2/registry.yml"
  launch node2-registry docker-registry serve "$STATE/node2/registry.yml"
}

# node2_certificates: make the kubelet's certificates and kubeconfig, unless they are there.
node2_certificates() {
  [[ ! -e $PKI/node2.kubeconfig ]] || return 0
  (
    umask 077
    certificate node2 "/O=system:nodes/CN=system:node:$NODE2" extendedKeyUsage=clientAuth
    certificate node2-server "/CN=$NODE2" \
      extendedKeyUsage=serverAuth$'\n'"subjectAltName=DNS:$NODE2,IP:$NODE2_IP"
    kubeconfig node2 >"$PKI/node2.kubeconfig"
  )
}

# node2_containerd: print the configuration of the node's containerd. The registry has the name it has everywhere.
node2_containerd() {
  cat <<END
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  max_concurrent_downloads = 8
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/womm/cni"
  [plugins."io.containerd.grpc.v1.cri".registry.mirrors."${REGISTRY%/}"]
    endpoint = ["http://$BRIDGE_IP:5000"]
END
}

# node2_cni: print the configuration of the pods' network: a bridge in the node that is one with the machine's, and
# addresses that the first node doesn't give (see start_containerd).
node2_cni() {
  cat <<END
{"cniVersion": "0.4.0", "name": "womm-sandbox", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "hairpinMode": true,
   "ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}],
            "ranges": [[{"subnet": "$POD_NET", "rangeStart": "${NODE2_PODS[0]}", "rangeEnd": "${NODE2_PODS[1]}",
                         "gateway": "$NODE2_IP"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}, "conditionsV4": ["-d", "$NODE2_IP"]}]}
END
}

# node2_settings: print the shell variables that the node's init reads.
node2_settings() {
  printf '%s=%q\n' NODE "$NODE2" ADDRESS "$NODE2_IP" BRIDGE "$BRIDGE" GATEWAY "$BRIDGE_IP" NET_BITS "${POD_NET#*/}" \
    KEY "$NODE2_KEY" VALUE "$NODE2_VALUE"
  printf 'KUBELET_FLAGS=(%s)\n' "${KUBELET_FLAGS[*]}"
}

# make_node2_files: make the file system that the node has at /womm: what is of this version of Kubernetes and of this run.
make_node2_files() {
  local files=$STATE/node2/files
  version_flags
  rm -rf "$files"
  (
    umask 077
    mkdir -p "$files"/{bin,cni,pki}
    ln "$(programs)"/{kubelet,kube-proxy} "$files/bin/" 2>/dev/null || cp "$(programs)"/{kubelet,kube-proxy} "$files/bin/"
    cp "$SANDBOX/node2/init" "$files/"
    cp "$PKI/ca.crt" "$PKI/node2.kubeconfig" "$PKI/proxy.kubeconfig" "$files/pki/"
    cp "$PKI/node2-server.crt" "$files/pki/kubelet-server.crt"
    cp "$PKI/node2-server.key" "$files/pki/kubelet-server.key"
    node2_containerd >"$files/containerd.toml"
    node2_cni >"$files/cni/10-womm-sandbox.conflist"
    node2_settings >"$files/settings"
    # Reported often, so that pods go there soon after the start.
    { kubelet_config "$NODE2_IP" /womm/pki /var/lib/womm-sandbox && echo 'nodeStatusUpdateFrequency: 1s'; } >"$files/kubelet.yaml"
    proxy_config "$NODE2" /womm/pki/proxy.kubeconfig "$NODE2_IP" "$NODE2_IP" >"$files/kube-proxy.yaml"
    rm -f "$STATE/node2/files.img"
    mke2fs -q -t ext4 -O '^has_journal' -m 0 -d "$files" "$STATE/node2/files.img" 300M
  ) >>"$LOG/node2.log" 2>&1 || die "the second node's files could not be made" "the log: $LOG/node2.log"
  rm -rf "$files"
}

# start_node2: what it writes to its disk goes with it (snapshot=on). Its programs' logs come out by ports of their own.
start_node2() {
  local disk name number=0 logs=()
  disk=$(disk_directory)
  # One of an earlier start would seem Ready; its pods went with its disk.
  forget_in_cluster
  node2_certificates
  make_node2_files
  ip link show dev "$NODE2_TAP" >/dev/null 2>&1 || ip tuntap add dev "$NODE2_TAP" mode tap
  ip link set "$NODE2_TAP" master "$BRIDGE" up
  for name in "${NODE2_LOGS[@]}"; do
    number=$((number + 1))
    logs+=(-chardev "file,id=$name,append=on,path=$LOG/node2-$name.log"
      -device "virtserialport,chardev=$name,nr=$number")
  done
  launch node2 TMPDIR="$STATE/node2" qemu-system-x86_64 -name "$NODE2" -nodefaults -no-user-config -display none -no-reboot \
    -machine q35 -accel tcg,thread=multi,tb-size=512 -cpu max,la57=off -smp 2 -m "$NODE2_MEMORY_MIB" \
    -kernel "$disk/vmlinuz" -initrd "$disk/initrd" \
    -append "console=ttyS0 quiet mitigations=off nokaslr audit=0 apparmor=0 selinux=0 tsc=reliable no_timer_check panic=1" \
    -drive "file=$disk/disk.img,format=raw,if=virtio,snapshot=on" \
    -drive "file=$STATE/node2/files.img,format=raw,if=virtio,readonly=on" \
    -netdev "tap,id=net,ifname=$NODE2_TAP,script=no,downscript=no" \
    -device virtio-net-pci,netdev=net,mac=02:77:6f:6d:6d:03 -device virtio-rng-pci \
    -device virtio-serial-pci "${logs[@]}" -serial stdio
}
