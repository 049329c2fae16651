#!/usr/bin/env bats
# prepare-image in an image made of nothing but busybox, by chroot: it needs root, as the build of an image does.

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  IMAGE=$BED/image
  mkdir -p "$IMAGE"/{bin,etc,root}
  chmod 0700 "$IMAGE/root"
  cp "$(type -P busybox)" "$IMAGE/bin/busybox"
  local name
  for name in sh chmod chown dirname mkdir tail; do ln -s busybox "$IMAGE/bin/$name"; done
  cp "$SCRIPTS/prepare-image" "$IMAGE/prepare-image"
  echo 'root:x:0:0::/root:/bin/sh' >"$IMAGE/etc/passwd"
  echo 'root:x:0:' >"$IMAGE/etc/group"
}

teardown() {
  drop_run
}

# prepare: run prepare-image with the arguments $@ in the image.
prepare() {
  PATH=/bin:/usr/sbin:/usr/bin chroot "$IMAGE" /bin/sh /prepare-image "$@"
}

# owner: print uid:gid and mode of the image's $1.
owner() {
  stat -c '%u:%g %a' "$IMAGE$1"
}

@test "prepare-image: an account that the image lacks is added, with home and directory" {
  prepare 1234 2345 alice /home/alice /data/project
  [[ $(tail -n 1 "$IMAGE/etc/passwd") == 'alice:x:1234:2345::/home/alice:/bin/sh' ]]
  [[ $(tail -n 1 "$IMAGE/etc/group") == 'alice:x:2345:' ]]
  [[ $(owner /home/alice) == '1234:2345 755' && $(owner /data/project) == '1234:2345 755' ]]
}

@test "prepare-image: a uid that the image has gets the user's name and home, a gid keeps its own" {
  echo 'node:x:1234:2345::/home/node:/bin/bash' >>"$IMAGE/etc/passwd"
  echo 'staff:x:2345:' >>"$IMAGE/etc/group"
  cp "$IMAGE/etc/passwd" "$IMAGE/etc/group" "$BED"
  prepare 1234 2345 alice /home/alice /data
  [[ $(head -n 1 "$IMAGE/etc/passwd") == 'alice:x:1234:2345::/home/alice:/bin/bash' ]]
  tail -n +2 "$IMAGE/etc/passwd" | cmp "$BED/passwd"
  cmp "$BED/group" "$IMAGE/etc/group"
  prepare 1234 2345 alice /home/alice /data
  tail -n +2 "$IMAGE/etc/passwd" | cmp "$BED/passwd"
  [[ $(owner /home/alice) == '1234:2345 755' ]]
}

@test "prepare-image: last lines without a newline are lines" {
  printf 'node:x:1234:1::/:/bin/sh' >>"$IMAGE/etc/passwd"
  printf 'staff:x:7:' >>"$IMAGE/etc/group"
  prepare 1234 2345 alice /home/alice /data
  [[ $(<"$IMAGE/etc/passwd") == $'alice:x:1234:2345::/home/alice:/bin/sh\nroot:'*$'\nnode:x:1234:1::/:/bin/sh' ]]
  [[ $(tail -n 2 "$IMAGE/etc/group") == $'staff:x:7:\nalice:x:2345:' ]]
}

@test "prepare-image: a name that is another number's in the image is the user's, and root stays root" {
  echo 'alice:x:7:7::/var/alice:/bin/false' >>"$IMAGE/etc/passwd"
  prepare 1234 2345 alice /home/alice /data
  [[ $(head -n 1 "$IMAGE/etc/passwd") == 'alice:x:1234:2345::/home/alice:/bin/sh' ]]
  cp "$IMAGE/etc/passwd" "$BED/passwd"
  prepare 0 0 root /root /data
  cmp "$BED/passwd" "$IMAGE/etc/passwd"
}

@test "prepare-image: an image without accounts gets its first" {
  rm -r "${IMAGE:?}/etc"
  prepare 1234 2345 alice /home/alice /data
  [[ $(<"$IMAGE/etc/passwd") == 'alice:x:1234:2345::/home/alice:/bin/sh' ]]
}

# shellcheck disable=SC2016 # for the image's shell
@test "prepare-image: a login shell keeps the PATH that it is given, whatever the profile sets" {
  printf '%s\n' 'PATH=/profile:/bin' 'for i in /etc/profile.d/*.sh; do . "$i"; done' >"$IMAGE/etc/profile"
  local show='echo $PATH ${WOMM_PATH-none}'
  umask 0077
  prepare 1234 2345 alice /home/alice /data
  [[ $(owner /etc/profile.d/womm.sh) == '0:0 644' ]]
  [[ $(WOMM_PATH=/jobs:/bin chroot "$IMAGE" /bin/sh -l -c "$show") == '/jobs:/bin none' ]]
  [[ $(chroot "$IMAGE" /bin/sh -l -c "$show") == '/profile:/bin none' ]]
}

@test "prepare-image: a second time changes nothing" {
  prepare 1234 2345 alice /home/alice /data
  cp "$IMAGE/etc/passwd" "$BED/passwd"
  prepare 1234 2345 alice /home/alice /data
  cmp "$BED/passwd" "$IMAGE/etc/passwd"
}

@test "prepare-image: closed directories above home and directory are passable, and no more" {
  prepare 1234 2345 alice /root/alice /root/a/b/c
  [[ $(stat -c %a "$IMAGE/root") == 711 ]]
  [[ $(owner /root/a/b/c) == '1234:2345 755' ]]
}

@test "prepare-image: a home that is there becomes the user's; a directory that is there keeps its owner" {
  mkdir -p "$IMAGE/home/alice" "$IMAGE/data"
  prepare 1234 2345 alice /home/alice /data
  [[ $(owner /home/alice) == '1234:2345 755' && $(owner /data) == '0:0 755' ]]
}

@test "prepare-image: directories may have any name" {
  local name
  # shellcheck disable=SC2016 # a name, not an expansion
  for name in '/a b' '/-x/-y' $'/new\nline' '/\n$HOME"`' $'/\xff'; do
    prepare 1234 2345 alice "/home$name" "$name"
    [[ $(owner "$name") == '1234:2345 755' ]]
  done
}

@test "prepare-image: a wrong number of arguments is refused" {
  run -1 prepare 1234 2345 alice
  [[ $output == 'usage: prepare-image '* ]]
}
