#!/usr/bin/env bats
# What the sandbox installs, chooses, makes on the machine, and takes back.

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
    for name in docker.io podman docker-registry containerd runc containernetworking-plugins debootstrap iproute2 \
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

@test "suite_sources: the machine's mirrors of the release are taken, and no other suite's" {
  apt-get() {
    printf '%s\n' 'http://m/debian/ bookworm' 'http://m/debian-security/ bookworm-security' 'http://m/debian/ trixie'
  }
  run suite_sources deb-src
  [[ $output == $'deb-src http://m/debian-security/ bookworm-security main\ndeb-src http://m/debian/ bookworm main' ]]
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
