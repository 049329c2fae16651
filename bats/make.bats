#!/usr/bin/env bats
# The Makefile and the small tools beside it, in a checkout of their own where they need one.

setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  CHECKOUT=$BATS_TEST_TMPDIR/checkout
  mkdir -p "$CHECKOUT"/{sandbox,tools,womm/vendor} "$BATS_TEST_TMPDIR/bin"
  cp "$ROOT/Makefile" "$CHECKOUT/"
  cp "$ROOT"/tools/{files,install-missing} "$CHECKOUT/tools/"
  # This may run under make, whose flags and variables are not the inner make's.
  unset MAKEFLAGS MAKELEVEL MFLAGS PARALLEL LICENCE KUBERNETES NODES WOMM_KUBE_CONTEXT ARGS
}

# makes: run make in the copy with the arguments $@.
makes() {
  run make -C "$CHECKOUT" "$@"
}

# program: make the program $1 do the shell command $2.
program() {
  printf '#!/bin/sh\n%s\n' "$2" >"$1"
  chmod +x "$1"
}

@test "make: without a target it lists every target that is for people" {
  makes -s
  [[ $status -eq 0 ]]
  local target
  for target in help venv vendor lint format test test-unit test-bats test-cluster test-nfs demo build \
    sandbox-up sandbox-down sandbox-status sandbox-env clean; do
    grep -q "^  $target  *[a-z]" <<<"$output"
  done
}

@test "make: sandbox-env prints nothing but the exports" {
  program "$CHECKOUT/sandbox/env" 'echo export A=1'
  makes -s sandbox-env
  [[ $status -eq 0 ]]
  [[ $output == 'export A=1' ]]
}

@test "make: KUBERNETES reaches the sandbox" {
  program "$CHECKOUT/sandbox/up" "echo \"version \$KUBERNETES\""
  makes -s sandbox-up KUBERNETES=1.20
  [[ $output == 'version 1.20' ]]
}

@test "make: KUBERNETES reaches the tests, and an empty one is none" {
  touch "$CHECKOUT/womm/vendor/parallel"
  mkdir -p "$CHECKOUT/.venv/bin"
  touch "$CHECKOUT/.venv/.installed"
  # shellcheck disable=SC2016 # the shell of the program
  program "$CHECKOUT/.venv/bin/python" 'echo "$* on ${KUBERNETES-any}"'
  makes -s -o .venv/.installed -o womm/vendor/parallel test KUBERNETES=1.20
  [[ $output == 'tools/test unit bats cluster nfs on 1.20' ]]
  makes -s -o .venv/.installed -o womm/vendor/parallel test-cluster
  [[ $output == 'tools/test cluster -- on any' ]]
}

@test "make: NODES reaches the sandbox; a cluster of the caller's own has no second node to test" {
  # shellcheck disable=SC2016 # the shell of the program
  program "$CHECKOUT/sandbox/up" 'echo "nodes ${NODES-any}"'
  makes -s sandbox-up
  [[ $output == 'nodes any' ]]
  makes -s sandbox-up NODES=2
  [[ $output == 'nodes 2' ]]
  mkdir -p "$CHECKOUT/.venv/bin"
  touch "$CHECKOUT/womm/vendor/parallel" "$CHECKOUT/.venv/.installed"
  # shellcheck disable=SC2016 # the shell of the program
  program "$CHECKOUT/.venv/bin/python" 'echo "$*"'
  WOMM_KUBE_CONTEXT=mine makes -s -o .venv/.installed -o womm/vendor/parallel test
  [[ $output == 'tools/test unit bats cluster' ]]
}

@test "make: what is given to it is not given to a make that the sandbox calls" {
  # shellcheck disable=SC2016 # the inner make's variable
  program "$CHECKOUT/sandbox/up" 'printf "all:;@echo inner \$(KUBERNETES)\nKUBERNETES = own\n" | make --no-print-directory -f -'
  makes -s sandbox-up KUBERNETES=1.20
  [[ $output == 'inner own' ]]
}

@test "make: vendor passes PARALLEL and LICENCE on" {
  program "$CHECKOUT/tools/install-missing" 'exit 0'
  program "$CHECKOUT/tools/vendor" "echo \"\$PARALLEL and \$LICENCE\""
  makes -s vendor PARALLEL='/my dir/parallel' LICENCE=/gpl
  [[ $output == '/my dir/parallel and /gpl' ]]
}

@test "make: PARALLEL reaches no other program, where it would be options of GNU parallel" {
  program "$CHECKOUT/sandbox/up" "echo \"<\${PARALLEL-unset}>\""
  makes -s sandbox-up PARALLEL=/my/parallel
  [[ $output == '<unset>' ]]
  PARALLEL=-j4 makes -s sandbox-up
  [[ $output == '<unset>' ]]
}

@test "install-missing: nothing is missing here, and nothing is said" {
  run "$ROOT/tools/install-missing"
  [[ $status -eq 0 ]]
  [[ -z $output ]]
}

@test "install-missing: who is not root is told the command" {
  # A PATH with everything but shellcheck and shfmt.
  local name
  for name in bash id perl python3 bats dash git make rsync pgrep xz busybox chromium cc sshfs nfs-ls apt-get; do
    ln -s "$(type -P "$name")" "$BATS_TEST_TMPDIR/bin/$name"
  done
  rm "$BATS_TEST_TMPDIR/bin/id"
  program "$BATS_TEST_TMPDIR/bin/id" 'echo 1000'
  # python3 may be a wrapper that needs the rest of PATH.
  PYTHON=$(python3 -c 'import sys; print(sys.executable)')
  export PYTHON
  PATH=$BATS_TEST_TMPDIR/bin run "$BATS_TEST_TMPDIR/bin/bash" "$ROOT/tools/install-missing"
  [[ $status -eq 1 ]]
  [[ $output == 'missing on this machine; run: sudo apt-get install shellcheck shfmt' ]]
}

@test "files: names what git knows and what is new, not what it ignores, and sorts by kind" {
  cd "$CHECKOUT"
  git init -q .
  echo /ignored >.gitignore
  touch ignored 'with blank.py'
  printf '#!/bin/sh\n' >posix
  printf 'x=1\n' >library.sh
  printf '#!/usr/bin/env python3\n' >script
  git add .gitignore
  [[ $(tools/files | grep -c ignored) -eq 0 ]]
  [[ $(tools/files sh) == posix ]]
  [[ $(tools/files python) == $'script\nwith blank.py' ]]
  [[ $(tools/files bash) == $'library.sh\ntools/files\ntools/install-missing' ]]
}
