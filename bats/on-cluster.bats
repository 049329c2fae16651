#!/usr/bin/env bats
# tools/on-cluster: a copy of it in a checkout of its own, with a sandbox, a kubectl and a docker that the tests make up.

# For the whole file:
# shellcheck disable=SC2016 # the variables are those of the programs and of the command

setup() {
  local root
  root=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  CHECKOUT=$BATS_TEST_TMPDIR/checkout
  mkdir -p "$CHECKOUT"/{tools,sandbox,bin}
  cp "$root/tools/on-cluster" "$CHECKOUT/tools/"
  program "$CHECKOUT/sandbox/up" "touch '$CHECKOUT/up'"
  program "$CHECKOUT/sandbox/env" 'echo export IN_SANDBOX=yes WOMM_SANDBOX_REGISTRY=registry/'
  # A kubectl that knows the context `mine` and its cluster.
  program "$CHECKOUT/bin/kubectl" 'case "$*" in *"--context mine") echo config of mine ;; get*) ;; *) exit 1 ;; esac'
  program "$CHECKOUT/bin/docker" 'exit 0'
  PATH=$CHECKOUT/bin:$PATH
  export TMPDIR=$BATS_TEST_TMPDIR/tmp
  mkdir "$TMPDIR"
  unset WOMM_KUBE_CONTEXT WOMM_TEST_PREFIX WOMM_TEST_LOAD WOMM_BASE_IMAGE WOMM_SANDBOX_REGISTRY WOMM_SANDBOX_BASE_IMAGE WOMM_KUBE_CPU \
    WOMM_KUBE_NODE_SELECTOR WOMM_KUBE_TOLERATION NODES
}

# program: make the program $1 do the shell command $2.
program() {
  printf '#!/bin/sh\n%s\n' "$2" >"$1"
  chmod +x "$1"
}

# shows: have $output be what the shell command $1 prints on the cluster.
shows() {
  run "$CHECKOUT/tools/on-cluster" sh -c "$1"
}

@test "on-cluster: without a context it is the sandbox, started and with its environment" {
  shows 'echo $IN_SANDBOX $WOMM_TEST_PREFIX'
  [[ $status -eq 0 && $output == 'yes registry/' && -e $CHECKOUT/up ]]
}

@test "on-cluster: the command's status is its own" {
  shows 'exit 7'
  [[ $status -eq 7 ]]
  WOMM_KUBE_CONTEXT=mine WOMM_TEST_PREFIX=p/ shows 'exit 7'
  [[ $status -eq 7 ]]
}

@test "on-cluster: a sandbox that does not come up ends it, and the command does not run" {
  program "$CHECKOUT/sandbox/up" 'exit 4'
  shows 'echo ran'
  [[ $status -eq 4 && -z $output ]]
}

@test "on-cluster: a context is alone in a kubeconfig that is nobody else's and gone at the end" {
  WOMM_KUBE_CONTEXT=mine WOMM_TEST_PREFIX=p/ shows 'cat "$KUBECONFIG"; stat -c %a "$KUBECONFIG"'
  [[ $status -eq 0 && $output == $'config of mine\n600' ]]
  [[ -z $(ls -A "$TMPDIR") ]]
}

@test "on-cluster: with a context the sandbox is not started, and nothing of it is in the environment" {
  export WOMM_SANDBOX_REGISTRY=registry/ WOMM_KUBE_CONTEXT=mine WOMM_TEST_PREFIX=there
  shows 'echo ${IN_SANDBOX-}${WOMM_SANDBOX_REGISTRY-} $WOMM_TEST_PREFIX $WOMM_BASE_IMAGE $WOMM_KUBE_CPU'
  [[ $status -eq 0 && $output == 'there/ debian:bookworm-slim 100m' ]]
  [[ ! -e $CHECKOUT/up ]]
}

@test "on-cluster: a context without a registry is refused with the variables that help" {
  WOMM_KUBE_CONTEXT=mine shows 'echo ran'
  [[ $status -eq 1 && $output == *'WOMM_TEST_PREFIX=PREFIX/ names a registry'*"WOMM_TEST_LOAD='kind load docker-image'"* ]]
}

@test "on-cluster: a command that loads images takes the registry's place" {
  WOMM_KUBE_CONTEXT=mine WOMM_TEST_LOAD='load it' shows 'echo "$WOMM_TEST_LOAD,$WOMM_TEST_PREFIX."'
  [[ $status -eq 0 && $output == 'load it,.' ]]
}

@test "on-cluster: a registry and a command that loads images are one too many" {
  WOMM_KUBE_CONTEXT=mine WOMM_TEST_PREFIX=p/ WOMM_TEST_LOAD=load shows 'echo ran'
  [[ $status -eq 1 && $output == *"the tests' images have two ways to mine"*'unset WOMM_TEST_PREFIX, or WOMM_TEST_LOAD'* ]]
}

@test "on-cluster: the sandbox has its registry, whatever loads images elsewhere" {
  WOMM_TEST_LOAD=load shows 'echo "$WOMM_TEST_LOAD,$WOMM_TEST_PREFIX"'
  [[ $status -eq 0 && $output == ,registry/ ]]
}

@test "on-cluster: the sandbox's second node is for who asks for it" {
  program "$CHECKOUT/sandbox/env" 'echo export WOMM_KUBE_NODE_SELECTOR=a=b WOMM_KUBE_TOLERATION=a WOMM_SANDBOX_REGISTRY=registry/'
  shows 'echo "${WOMM_KUBE_NODE_SELECTOR-none} ${WOMM_KUBE_TOLERATION-none}"'
  [[ $status -eq 0 && $output == 'none none' ]]
  NODES=2 shows 'echo "${WOMM_KUBE_NODE_SELECTOR-none} ${WOMM_KUBE_TOLERATION-none}"'
  [[ $status -eq 0 && $output == 'a=b a' ]]
}

@test "on-cluster: a context that there is not is refused by name, and nothing is left" {
  WOMM_KUBE_CONTEXT=other WOMM_TEST_PREFIX=p/ shows 'echo ran'
  [[ $status -eq 1 && $output == *'kubectl has no context other'* ]]
  [[ -z $(ls -A "$TMPDIR") ]]
}

@test "on-cluster: a cluster that does not answer is told before anything runs" {
  program "$CHECKOUT/bin/kubectl" '[ "$1" = config ]'
  WOMM_KUBE_CONTEXT=mine WOMM_TEST_PREFIX=p/ shows 'echo ran'
  [[ $status -eq 1 && $output == *'the cluster of context mine does not answer'* ]]
}
