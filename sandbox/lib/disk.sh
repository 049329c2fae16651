# shellcheck shell=bash
# The second node's disk: kernel, initrd and root file system, made once and kept in the cache; sandbox/build-disk does
# it. Nothing of a version of Kubernetes or of one run is in it (see node2.sh), so it serves all of them.

# disk_directory: print the directory of the disk that this recipe makes: disk.img, initrd and vmlinuz.
disk_directory() {
  local recipe
  recipe=$({ base_tar && cat "$SANDBOX/build-disk" "$SANDBOX/node2/initrd"; } | sha256sum)
  printf '%s/node2-%s\n' "$CACHE" "${recipe:0:16}"
}

# disk_made: exit 0 if the disk is there.
disk_made() { [[ -d $(disk_directory) ]]; }

DISK_WORK=$CACHE/node2.part

# clear_disk_work: remove the tree in which the disk is made, with what is mounted in it. Safe to call at any time.
clear_disk_work() {
  local path
  [[ -d $DISK_WORK ]] || return 0
  mounts_below "$DISK_WORK" | while IFS= read -r path; do umount -l "$path" 2>/dev/null || :; done
  rm -rf --one-file-system "$DISK_WORK"
}

# make_disk: make the disk, unless it is there. Prints the end of the log and exits 1 if that fails.
make_disk() {
  ! disk_made || return 0
  "$SANDBOX/build-disk" </dev/null >>"$LOG/node2-disk.log" 2>&1 {LOCK_FD}>&- || {
    tail -n 15 "$LOG/node2-disk.log" >&2
    die "the second node's disk could not be made" "the log: $LOG/node2-disk.log"
  }
}
