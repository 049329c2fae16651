# shellcheck shell=bash
# Which Kubernetes: the versions there are, which one is meant, what is particular to each, whether it is built.

NEWEST=1.36
# Where Go modules cannot be reached this one is taken: its source is a Debian package.
FROM_DEBIAN=1.20
PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
# The version that is up, unless told; up refuses another one beside it.
RUNNING=$(cat "$STATE/kubernetes" 2>/dev/null || :)

# use_version: let $1 be the version. Its recipe says what it is built from: go.mod and go.sum, or debian-source.
use_version() {
  KUBERNETES=$1
  RECIPE=$SANDBOX/kubernetes/$1
}

# Whether the version was said, or goes without saying; else choose_version may take another one.
CHOSEN=true
[[ -n ${KUBERNETES:-$RUNNING} ]] || CHOSEN=false
use_version "${KUBERNETES:-${RUNNING:-$NEWEST}}"

# check_version: exit 1, naming the versions there are, if $KUBERNETES is none of them.
check_version() {
  local versions=("$SANDBOX"/kubernetes/*/)
  versions=("${versions[@]%/}")
  [[ $KUBERNETES =~ ^[0-9]+\.[0-9]+$ && -d $RECIPE ]] ||
    die "there is no Kubernetes $KUBERNETES here" "KUBERNETES is one of: $(join ', ' "${versions[@]##*/}")"
  [[ ${RUNNING:-$KUBERNETES} == "$KUBERNETES" ]] ||
    die "the sandbox is up with Kubernetes $RUNNING, not $KUBERNETES" "make sandbox-down"
}

# choose_version: unless the version is said, take the newest if it is built or can be, and else Debian's.
choose_version() {
  if ! $CHOSEN && ! programs_built && ! modules_reachable; then
    use_version "$FROM_DEBIAN"
    say "  Go modules cannot be reached from here: taking Kubernetes $(full_version) from Debian's source package"
  fi
  CHOSEN=true
}

# from_debian: exit 0 if the version is built from Debian's source package, not from Go modules.
from_debian() { [[ -e $RECIPE/debian-source ]]; }

# full_version: print the version that the recipe builds, such as v1.36.3.
full_version() {
  if from_debian; then cat "$RECIPE/debian-source"; else
    awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ {print $2}' "$RECIPE/go.mod"
  fi
}

# version_flags: set what this version of Kubernetes alone takes: CONTROL_FLAGS for controller manager and scheduler,
# KUBELET_FLAGS, and lines for two configurations: KUBELET_CONFIG, PROXY_CONFIG. All that differs between versions
# when they run is here, but for the place of the pods' logs (see start_kubelet).
# shellcheck disable=SC2034 # control.sh and node.sh read them
version_flags() {
  CONTROL_FLAGS=() KUBELET_FLAGS=() KUBELET_CONFIG='' PROXY_CONFIG=''
  case $KUBERNETES in
    1.20)
      # Else they would also listen without encryption on every address.
      CONTROL_FLAGS=(--port=0)
      KUBELET_FLAGS=(--container-runtime=remote)
      ;;
    *)
      # The kubelet refuses cgroup v1 since 1.35 unless told; it keeps pod logs where it is told since 1.32.
      KUBELET_CONFIG=$'failCgroupV1: false\n'"podLogsDir: $STATE/pod-logs"
      # Node ports on loopback would change a setting of the machine's; 1.20 cannot do without.
      PROXY_CONFIG='iptables: {localhostNodePorts: false}'
      ;;
  esac
}

# ld_flags: print the linker's flags for the version. In Debian's tree the packages are vendored.
ld_flags() {
  local package vendor='' flags="-s -w"
  ! from_debian || vendor=k8s.io/kubernetes/vendor/
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $vendor$package.gitVersion=$(full_version)"
  done
  printf '%s\n' "$flags"
}

# stamp: print what the programs depend on, as one checksum.
stamp() {
  {
    if from_debian; then cat "$RECIPE/debian-source"; else cat "$RECIPE/go.mod" "$RECIPE/go.sum"; fi
    ld_flags
  } | sha256sum | cut -d ' ' -f 1
}

# programs: print the directory of the built programs.
programs() { printf '%s\n' "$CACHE/kubernetes-$(full_version | tr -d v)"; }

# programs_built: exit 0 if the programs are there and made from this recipe.
programs_built() {
  local directory program
  directory=$(programs)
  for program in "${PROGRAMS[@]}"; do
    [[ -x $directory/$program ]] || return 1
  done
  [[ -r $directory/stamp && $(<"$directory/stamp") == "$(stamp)" ]]
}
