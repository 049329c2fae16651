# shellcheck shell=bash
# One certificate authority, and for each program a certificate and a kubeconfig made from it.

# certificate: make $PKI/$1.key and .crt for the subject $2 with the extensions $3.
certificate() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$PKI/$1.key" \
    -subj "$2" -out "$PKI/$1.csr" 2>>"$LOG/openssl.log"
  openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 3650 \
    -out "$PKI/$1.crt" -extfile <(printf '%s\n' "$3") 2>>"$LOG/openssl.log"
  rm "$PKI/$1.csr"
}

# kubeconfig: print a kubeconfig for the certificate $1, with everything in it.
kubeconfig() {
  cat <<END
apiVersion: v1
kind: Config
clusters:
- name: womm-sandbox
  cluster:
    server: $API
    certificate-authority-data: $(base64 -w 0 "$PKI/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w 0 "$PKI/$1.crt")
    client-key-data: $(base64 -w 0 "$PKI/$1.key")
contexts:
- name: womm-sandbox
  context: {cluster: womm-sandbox, user: $1}
current-context: womm-sandbox
END
}

# make_certificates: make all certificates and kubeconfigs, unless they are there.
make_certificates() {
  local client=extendedKeyUsage=clientAuth server=extendedKeyUsage=serverAuth name
  [[ ! -e $PKI/complete ]] || return 0
  # umask only here: other files of the state are read by programs that aren't root.
  (
    umask 077
    openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$PKI/ca.key" \
      -subj "/CN=womm-sandbox-ca" -days 3650 -out "$PKI/ca.crt" 2>>"$LOG/openssl.log"
    certificate apiserver "/CN=kube-apiserver" "$server
subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:$BRIDGE_IP,IP:${SERVICE_NET%.0.0/*}.0.1"
    certificate kubelet-server "/CN=$NODE" "$server"$'\n'"subjectAltName=DNS:$NODE,IP:$BRIDGE_IP"
    certificate admin "/O=system:masters/CN=admin" "$client"
    certificate apiserver-kubelet "/O=system:masters/CN=apiserver-kubelet-client" "$client"
    certificate kubelet "/O=system:nodes/CN=system:node:$NODE" "$client"
    for name in controller-manager scheduler proxy; do
      certificate "$name" "/CN=system:kube-$name" "$client"
    done
    openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:prime256v1 -out "$PKI/tokens.key" 2>>"$LOG/openssl.log"
    openssl pkey -in "$PKI/tokens.key" -pubout -out "$PKI/tokens.pub" 2>>"$LOG/openssl.log"
    for name in controller-manager scheduler proxy kubelet; do
      kubeconfig "$name" >"$PKI/$name.kubeconfig"
    done
    kubeconfig admin >"$ADMIN"
    touch "$PKI/complete"
  )
}
