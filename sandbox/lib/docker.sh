# shellcheck shell=bash
# The Docker engine (the user's if one answers, else one of our own), the registry and the base image.

# own_docker: exit 0 if the Docker engine is ours.
own_docker() { [[ -e $STATE/own-docker ]]; }

# docker_cli: run Docker's command with "$@" on the engine of the sandbox.
docker_cli() {
  if own_docker; then
    env -u DOCKER_CONTEXT DOCKER_HOST="unix://$DOCKER_SOCKET" DOCKER_CONFIG="$STATE/docker-config" docker "$@"
  else
    env -u DOCKER_CONTEXT DOCKER_HOST="$(<"$STATE/user-docker")" docker "$@"
  fi
}

# docker_host: print the address of the engine of the sandbox.
docker_host() {
  if own_docker; then echo "unix://$DOCKER_SOCKET"; else cat "$STATE/user-docker"; fi
}

# choose_docker: decide whose engine to use, once: later the user's default may be ours (make sandbox-env).
# It must be on this machine, or it would look for the registry elsewhere; and one that runs here is used even
# if the default is elsewhere, as two engines would spoil each other's iptables rules.
choose_docker() {
  local host
  [[ ! -e $STATE/own-docker && ! -e $STATE/user-docker ]] || return 0
  for host in "${DOCKER_HOST:-}" "$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || :)" \
    unix:///var/run/docker.sock; do
    [[ $host == unix://* && $host != "unix://$DOCKER_SOCKET" ]] || continue
    timeout 5 env -u DOCKER_CONTEXT DOCKER_HOST="$host" docker info >/dev/null 2>&1 || continue
    printf '%s\n' "$host" >"$STATE/user-docker"
    return
  done
  touch "$STATE/own-docker"
}

# start_docker-containerd: a containerd for Docker alone, or it would take the machine's, if that has one.
start_docker-containerd() {
  mkdir -p "$STATE/docker-containerd"
  cat >"$STATE/docker-containerd.toml" <<END
version = 2
root = "$STATE/docker-containerd"
state = "$RUN/docker-containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$RUN/docker-containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/docker-containerd/opt"
END
  launch docker-containerd containerd --config "$STATE/docker-containerd.toml"
}

# start_dockerd: the engine, with everything it keeps in our directories. The machine's proxies go with it.
start_dockerd() {
  local name environment=()
  for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR; do
    [[ -z ${!name:-} ]] || environment+=("$name=${!name}")
  done
  mkdir -p "$STATE/docker" "$STATE/docker-config"
  # Published ports stay on loopback. The key is a leftover of an old protocol and would go to /etc/docker.
  cat >"$STATE/dockerd.json" <<END
{"ip": "127.0.0.1", "deprecated-key-path": "$STATE/docker/key.json"}
END
  # Without CAP_SYS_RESOURCE it could not lower its own score for the out-of-memory killer, and would end.
  # One that was killed leaves this, and the next one takes whoever has the number now for it.
  rm -f "$RUN/dockerd.pid"
  launch dockerd "${environment[@]}" dockerd --config-file "$STATE/dockerd.json" --host "unix://$DOCKER_SOCKET" \
    --containerd "$RUN/docker-containerd.sock" --data-root "$STATE/docker" --exec-root "$RUN/docker" \
    --pidfile "$RUN/dockerd.pid" --storage-driver overlay2 --bridge "$DOCKER_BRIDGE" --oom-score-adjust 0
}

# start_registry: Debian's docker-registry on loopback, by plain http.
start_registry() {
  mkdir -p "$STATE/registry"
  cat >"$STATE/registry.yml" <<END
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $STATE/registry}
  delete: {enabled: true}
http: {addr: "127.0.0.1:5000"}
END
  launch registry docker-registry serve "$STATE/registry.yml"
}

BASE_PACKAGES=perl,procps,ca-certificates
WORK=$CACHE/base.part

# base_tar: print the path of the base image's file system.
base_tar() { printf '%s/base-%s-%s.tar\n' "$CACHE" "$SUITE" "${BASE_PACKAGES//,/-}"; }

# clear_work: remove the tree in which the base image is made, with what debootstrap mounts in it. Safe to call at
# any time.
clear_work() {
  local path
  [[ -d $WORK ]] || return 0
  mounts_below "$WORK" | while IFS= read -r path; do umount -l "$path" 2>/dev/null || :; done
  rm -rf --one-file-system "$WORK"
}

# make_base: make the base image's file system in the cache, unless it is there.
make_base() {
  local tar sources mirror
  tar=$(base_tar)
  [[ ! -e $tar ]] || return 0
  clear_work
  # Without a mirror of the machine's own, debootstrap takes its default, and that stays in the image's sources.
  sources=$(suite_sources deb)
  mirror=$(awk -v s="$SUITE" '$3 == s {print $2; exit}' <<<"$sources")
  if ! debootstrap --variant=minbase --include="$BASE_PACKAGES" "$SUITE" "$WORK" ${mirror:+"$mirror"} \
    >>"$LOG/debootstrap.log" 2>&1; then
    tail -n 5 "$LOG/debootstrap.log" >&2
    die "the base image could not be made" "the log: $LOG/debootstrap.log"
  fi
  [[ -z $mirror ]] || printf '%s\n' "$sources" >"$WORK/etc/apt/sources.list"
  rm -rf "$WORK"/var/cache/apt/archives/*.deb "$WORK"/var/lib/apt/lists/* "$WORK/etc/resolv.conf" "$WORK/etc/hostname"
  tar -C "$WORK" --numeric-owner --one-file-system -cf "$tar.part" .
  mv "$tar.part" "$tar"
  clear_work
}

# push_base: bring the base image into the registry, unless it is there.
push_base() {
  local name=${BASE_IMAGE#"$REGISTRY"}
  if curl -sf -o /dev/null "http://127.0.0.1:5000/v2/${name%:*}/manifests/${name##*:}" \
    -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' &&
    docker_cli image inspect "$BASE_IMAGE" >/dev/null 2>&1; then
    return
  fi
  {
    docker_cli import --change 'CMD ["/bin/bash"]' --change \
      'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$(base_tar)" "$BASE_IMAGE" &&
      docker_cli push "$BASE_IMAGE"
  } >>"$LOG/base-image.log" 2>&1 || {
    tail -n 5 "$LOG/base-image.log" >&2
    die "the base image could not be brought into the registry" "the log: $LOG/base-image.log"
  }
}
