# shellcheck shell=bash
# Debian's packages: only those that are missing, and no service of theirs is started.

POLICY=/usr/sbin/policy-rc.d
SYSTEMD=/run/systemd/system
POLICY_MARK='# made by the womm sandbox while it installs packages'

# needed_packages: print the packages that are not installed yet.
needed_packages() {
  # shellcheck disable=SC2016 # dpkg's variables, not the shell's
  local format='${Package} ${db:Status-Abbrev}\n' name status more=()
  local -A have=()
  while read -r name status; do
    [[ $status != ii* ]] || have[$name]=1
  done < <(dpkg-query -W -f "$format")
  if $CHOSEN && from_debian && ! programs_built; then more=(golang-1.19-go dpkg-dev make rsync); fi
  if two_nodes; then more+=(qemu-system-x86 e2fsprogs); fi
  for name in "${more[@]}" docker.io podman docker-registry etcd-server containerd runc containernetworking-plugins \
    debootstrap iptables iproute2 openssl curl ca-certificates jq procps util-linux; do
    [[ -n ${have[$name]:-} ]] || printf '%s\n' "$name"
  done
  if ! from_debian && ! find_go >/dev/null && ! python3 -m pip --version >/dev/null 2>&1; then
    printf '%s\n' python3-pip
  fi
}

# ban_services: keep package scripts from starting services, which would take our ports (docker-registry, etcd).
# A policy of the machine's own is left alone.
ban_services() {
  [[ ! -e $POLICY ]] || return 0
  printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" >"$POLICY"
  chmod 0755 "$POLICY"
}

# allow_services: take ban_services back. Safe to call at any time.
allow_services() {
  [[ -e $POLICY ]] || return 0
  ! grep -qxF "$POLICY_MARK" "$POLICY" || rm -f "$POLICY"
}

# disable_services: where systemd runs, keep it from starting at the next boot the services of the packages "$@",
# which the sandbox has just installed and starts itself.
disable_services() {
  local package unit
  [[ -d $SYSTEMD ]] || return 0
  for package; do
    dpkg -L "$package" | sed -n 's,^\(/usr\)\?/lib/systemd/system/\([^/@]*\.\(service\|socket\|timer\)\)$,\2,p' |
      while IFS= read -r unit; do systemctl disable --quiet "$unit" >>"$LOG/apt.log" 2>&1 || :; done
  done
}

# apt: run apt-get "$@" without questions, waiting for another apt, its output in the log. Exit as apt-get.
apt() {
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -y -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Options::=--force-confold "$@" </dev/null >>"$LOG/apt.log" 2>&1
}

# install_packages: install what is missing. The lists are fetched anew only if they don't suffice.
# Prints the end of the log and exits 1 if that fails.
install_packages() {
  local packages
  mapfile -t packages < <(needed_packages)
  ((${#packages[@]})) || return 0
  say "  installing ${packages[*]}"
  ban_services
  if ! apt install --no-install-recommends "${packages[@]}"; then
    if ! { apt update && apt install --no-install-recommends "${packages[@]}"; }; then
      tail -n 15 "$LOG/apt.log" >&2
      die "packages could not be installed: ${packages[*]}" "the log: $LOG/apt.log"
    fi
  fi
  allow_services
  disable_services "${packages[@]}"
}
