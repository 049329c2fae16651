# shellcheck shell=bash
# The control plane: etcd, API server, controller manager, scheduler; and how each part tells that it is well.

# kube: run kubectl on the sandbox's cluster and no other. That of 1.20 has its cache in the home.
kube() { HOME=$STATE "$(programs)/kubectl" --kubeconfig "$ADMIN" "$@"; }

# start_etcd: no fsync, because nothing here outlives `down`.
start_etcd() {
  launch etcd etcd --name "$NODE" --data-dir "$STATE/etcd" --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster "$NODE=http://127.0.0.1:2380"
}

# start_apiserver: on the bridge's address, where pods reach it too. It calls the kubelet by address: the node's
# name is in no DNS.
start_apiserver() {
  launch apiserver "$(programs)/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --bind-address="$BRIDGE_IP" --advertise-address="$BRIDGE_IP" --secure-port=6443 \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --client-ca-file="$PKI/ca.crt" --service-cluster-ip-range="$SERVICE_NET" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$PKI/tokens.pub" \
    --service-account-signing-key-file="$PKI/tokens.key" \
    --kubelet-client-certificate="$PKI/apiserver-kubelet.crt" --kubelet-client-key="$PKI/apiserver-kubelet.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP
}

# start_controller-manager: one of each, so no election.
start_controller-manager() {
  version_flags
  launch controller-manager "$(programs)/kube-controller-manager" --kubeconfig="$PKI/controller-manager.kubeconfig" \
    --bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials \
    --service-account-private-key-file="$PKI/tokens.key" --root-ca-file="$PKI/ca.crt" \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    "${CONTROL_FLAGS[@]}"
}

# start_scheduler: as above.
start_scheduler() {
  version_flags
  launch scheduler "$(programs)/kube-scheduler" --kubeconfig="$PKI/scheduler.kubeconfig" \
    --bind-address=127.0.0.1 --leader-elect=false "${CONTROL_FLAGS[@]}"
}

# answers: exit 0 if the URL $1 answers with a status below 400 within 2 s. Never through a proxy.
answers() { curl --noproxy '*' -sfk -o /dev/null -m 2 "$1"; }

# healthy: exit 0 if part $1 is alive and says that it is well.
healthy() {
  pid_of "$1" >/dev/null || return 1
  case $1 in
    etcd) answers http://127.0.0.1:2379/health ;;
    registry) answers http://127.0.0.1:5000/v2/ ;;
    node2-registry) answers "http://$BRIDGE_IP:5000/v2/" ;;
    node2) node_ready "$NODE2" && answers "http://$NODE2_IP:10256/healthz" ;;
    docker-containerd) timeout 5 ctr --address "$RUN/docker-containerd.sock" version >/dev/null ;;
    dockerd) curl -sf -o /dev/null -m 5 --unix-socket "$DOCKER_SOCKET" http://docker/_ping ;;
    containerd) timeout 5 ctr --address "$RUNTIME_SOCKET" version >/dev/null ;;
    apiserver) answers "$API/readyz" ;;
    controller-manager) answers https://127.0.0.1:10257/healthz ;;
    scheduler) answers https://127.0.0.1:10259/healthz ;;
    kubelet) answers http://127.0.0.1:10248/healthz ;;
    kube-proxy) answers http://127.0.0.1:10256/healthz ;;
    *) return 1 ;;
  esac
}

# node_ready: exit 0 if the node $1 is Ready (the first one, unless told).
node_ready() {
  [[ $(kube get node "${1:-$NODE}" --request-timeout=5s \
    -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) == True ]]
}

# cluster_usable: exit 0 if the node is Ready and takes pods, and pods in the namespace default can be made.
# Taints that people set are theirs.
cluster_usable() {
  node_ready && kube get serviceaccount default -n default --request-timeout=5s >/dev/null 2>&1 &&
    [[ $(kube get node "$NODE" --request-timeout=5s -o 'jsonpath={.spec.taints[*].key}') != *not-ready* ]]
}
