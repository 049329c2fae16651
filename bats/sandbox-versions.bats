#!/usr/bin/env bats
# Which Kubernetes the sandbox takes, and what it is built with.

# For the whole file:
# shellcheck disable=SC2016 # programs in single quotes are for another shell
# shellcheck disable=SC2030,SC2031 # each test is a subshell
# shellcheck disable=SC2034,SC2317 # the sourced functions read the variables and call the stand-ins

bats_require_minimum_version 1.5.0

setup() {
  load sandbox
  load_sandbox
  # A machine with a Go that would do, whether this one has it or not.
  MACHINES_GO=$BATS_TEST_TMPDIR/bin/go
  mkdir "${MACHINES_GO%/*}"
  GOS=("$MACHINES_GO")
}

# go_says: have a Go that runs the shell command $1 for everything but the question for its version.
go_says() {
  printf '#!/bin/sh\n[ "$1" != env ] || { echo go1.99; exit; }\n%s\n' "$1" >"$MACHINES_GO"
  chmod +x "$MACHINES_GO"
}

# built: put programs of the version that is meant into the cache.
built() {
  local program
  mkdir -p "$(programs)"
  for program in "${PROGRAMS[@]}"; do ln -s /bin/true "$(programs)/$program"; done
  stamp >"$(programs)/stamp"
}

@test "choose_version: a proxy that has the modules means the newest" {
  go_says '[ "$GOPROXY" != off ]'
  run --separate-stderr choose_version
  choose_version
  [[ $KUBERNETES == 1.36 && -z $output$stderr ]]
}

@test "choose_version: modules that are all on this machine need no proxy" {
  go_says '[ "$GOPROXY" = off ]'
  choose_version
  [[ $KUBERNETES == 1.36 ]]
}

@test "choose_version: where modules cannot be reached it is Debian's, and a line says so" {
  go_says 'exit 1'
  choose_version 2>"$BATS_TEST_TMPDIR/said"
  [[ $KUBERNETES == 1.20 ]]
  from_debian
  [[ $(<"$BATS_TEST_TMPDIR/said") == *"Go modules cannot be reached"*"v1.20.2 from Debian's source package" ]]
}

@test "choose_version: a real Go whose proxy is off reaches nothing" {
  GOS=("$(command -v go || :)" /usr/local/go/bin/go)
  # A machine that has no Go is not to fetch one for this.
  python3() { return 1; }
  GOPROXY=off GOMODCACHE=$BATS_TEST_TMPDIR/modules choose_version 2>"$BATS_TEST_TMPDIR/said"
  [[ $KUBERNETES == 1.20 ]]
}

@test "choose_version: what is built needs no modules" {
  go_says 'exit 1'
  built
  choose_version
  [[ $KUBERNETES == 1.36 ]]
}

@test "choose_version: the version that was said is taken, whatever can be reached" {
  local version
  go_says 'exit 1'
  for version in 1.36 1.20; do
    CHOSEN=true
    use_version "$version"
    choose_version
    [[ $KUBERNETES == "$version" ]]
  done
}

@test "programs_built: the versions have directories and stamps of their own" {
  built
  use_version 1.20
  run ! programs_built
  built
  programs_built
  use_version 1.36
  programs_built
}

@test "needed_packages: what Debian's Kubernetes is built with is needed until it is built, and for no other" {
  dpkg-query() { :; }
  use_version 1.20
  CHOSEN=true
  [[ $(needed_packages) == golang-1.19-go* ]]
  built
  [[ $(needed_packages) == docker.io* ]]
  use_version 1.36
  go_says 'exit 0'
  [[ $(needed_packages) == docker.io* ]]
}

@test "version_flags: an old kubelet is told its runtime, a new one what old ones do not know" {
  use_version 1.20
  version_flags
  [[ ${KUBELET_FLAGS[*]} == --container-runtime=remote && ${CONTROL_FLAGS[*]} == --port=0 && -z $KUBELET_CONFIG ]]
  use_version 1.36
  version_flags
  [[ ${#KUBELET_FLAGS[@]} -eq 0 && ${#CONTROL_FLAGS[@]} -eq 0 && $KUBELET_CONFIG == *failCgroupV1* ]]
}

@test "get_source: an apt without a mirror of Debian 12 is told so, and nothing is left that looks whole" {
  apt-get() { :; }
  use_version 1.20
  mkdir -p "$CACHE"
  run get_source "$CACHE/source"
  [[ $status -eq 1 ]]
  [[ $output == *"no mirror of Debian's bookworm"* ]]
  [[ ! -e $CACHE/source ]]
}
