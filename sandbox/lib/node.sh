# shellcheck shell=bash
# The node: containerd, CNI, kubelet, kube-proxy.

# start_containerd: Kubernetes' containerd, apart from Docker's and from one of the machine's.
start_containerd() {
  mkdir -p "$STATE/containerd" "$STATE/cni-config"
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc fails with "can't get final child's PID from pipe".
  # netns_mounts_under_state_dir: else they would be in /run/netns, among the machine's own.
  cat >"$STATE/containerd.toml" <<END
version = 2
root = "$STATE/containerd"
state = "$RUN/containerd"
[grpc]
  address = "$RUNTIME_SOCKET"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  max_concurrent_downloads = 8
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "$RUN/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/cni-config"
END
  cat >"$STATE/cni-config/10-womm-sandbox.conflist" <<END
{"cniVersion": "0.4.0", "name": "womm-sandbox", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$STATE/cni", "routes": [{"dst": "0.0.0.0/0"}],
            "ranges": [[{"subnet": "$POD_NET", "rangeEnd": "$LAST_POD"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}, "conditionsV4": ["-d", "$BRIDGE_IP"]}]}
END
  launch containerd containerd --config "$STATE/containerd.toml"
}

# import_pause: give containerd the pause image, unless it has it.
import_pause() {
  local ctr=(ctr --address "$RUNTIME_SOCKET" --namespace k8s.io images)
  [[ -z $("${ctr[@]}" ls -q "name==$PAUSE_IMAGE") ]] || return 0
  "${ctr[@]}" import "$CACHE/pause-1.tar" >>"$LOG/containerd.log" 2>&1 ||
    die "containerd does not take the pause image" "the log: $LOG/containerd.log"
}

RESOLV=/etc/resolv.conf

# name_server: print the machine's first name server that pods can reach, so not one on loopback.
name_server() { awk '$1 == "nameserver" && $2 !~ /^(127\.|::1)/ {print $2; exit}' "$RESOLV"; }

# place_pod_logs: have the pods' logs in our state where the kubelet cannot be told to (before 1.32).
place_pod_logs() {
  mkdir -p "$STATE/pod-logs"
  [[ $KUBELET_CONFIG != *podLogsDir* && ! $POD_LOGS -ef $STATE/pod-logs ]] || return 0
  mkdir -p "$POD_LOGS"
  mount --bind "$STATE/pod-logs" "$POD_LOGS"
}

# kubelet_config: print the configuration of a kubelet that listens on the address $1, has its certificates in the
# directory $2 and plugins below $3. Images are never collected and pods never evicted for want of disk: the disk is the
# user's, and how full it is says nothing of the sandbox.
kubelet_config() {
  local dns
  # There is no cluster DNS. Without a server here each pod would get a warning event; with the machine's own
  # pods resolve what the machine does.
  dns=$(name_server)
  cat <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $1
healthzBindAddress: 127.0.0.1
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $2/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $2/kubelet-server.crt
tlsPrivateKeyFile: $2/kubelet-server.key
cgroupDriver: cgroupfs
failSwapOn: false
$KUBELET_CONFIG
clusterDNS: [${dns:+"\"$dns\""}]
clusterDomain: cluster.local
volumePluginDir: $3/volume-plugins
maxPods: 250
serializeImagePulls: false
registryPullQPS: 0
eventRecordQPS: 0
kubeAPIQPS: 100
kubeAPIBurst: 200
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 0%, imagefs.available: 0%, nodefs.inodesFree: 0%}
END
}

# start_kubelet: the first node's.
start_kubelet() {
  version_flags
  mkdir -p "$STATE/kubelet" "$STATE/volume-plugins"
  place_pod_logs
  kubelet_config "$BRIDGE_IP" "$PKI" "$STATE" >"$STATE/kubelet.yaml"
  launch kubelet "$(programs)/kubelet" --kubeconfig="$PKI/kubelet.kubeconfig" --config="$STATE/kubelet.yaml" \
    --container-runtime-endpoint="unix://$RUNTIME_SOCKET" --root-dir="$STATE/kubelet" \
    --cert-dir="$STATE/kubelet/pki" --hostname-override="$NODE" --node-ip="$BRIDGE_IP" "${KUBELET_FLAGS[@]}"
}

# proxy_config: print the configuration of the kube-proxy of node $1 with the kubeconfig $2, node ports on the address
# $3, and its health on $4. Services by iptables; node ports on the bridge alone. The machine's settings for connection
# tracking stay as they are (0).
proxy_config() {
  cat <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $2}
hostnameOverride: $1
mode: iptables
clusterCIDR: $POD_NET
bindAddress: $3
healthzBindAddress: $4:10256
metricsBindAddress: 127.0.0.1:10249
nodePortAddresses: [$3/32]
$PROXY_CONFIG
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
}

# start_kube-proxy: the first node's.
start_kube-proxy() {
  version_flags
  proxy_config "$NODE" "$PKI/proxy.kubeconfig" "$BRIDGE_IP" 127.0.0.1 >"$STATE/kube-proxy.yaml"
  launch kube-proxy "$(programs)/kube-proxy" --config="$STATE/kube-proxy.yaml"
}
