#!/usr/bin/env bats
# nfs-exports.bash, the exports that nfs-door makes; Ganesha is a stand-in.

bats_require_minimum_version 1.5.0
load nfs

setup() {
  make_nfs
  make_tree
}

teardown() {
  drop_nfs
}

@test "nfs-exports: what was received is exported to the nodes alone, as its owner, and Ganesha has read it" {
  local conf=$NFS_ROOT/exports.d/a.conf
  received a "$WORK/tree"
  door publish a "$ONE" 1001 1002
  [[ $(rereads) == 1 ]]
  grep -qx "  Path = $NFS_ROOT/live/a/files;" "$conf"
  grep -qx "  Pseudo = /$ONE;" "$conf"
  grep -qx '  Squash = All_Squash;' "$conf"
  grep -qx '  Anonymous_Uid = 1001;' "$conf"
  grep -qx '  Anonymous_Gid = 1002;' "$conf"
  grep -qx '  Access_Type = None;' "$conf"
  grep -q 'CLIENT { Clients = 192.0.2.1,192.0.2.2; Access_Type = RW;' "$conf"
  [[ $(<"$NFS_ROOT/live/a/files/file") == 1 ]]
  [[ $(door list) == "a eager $ONE ready 0" ]]
}

@test "nfs-exports: as long as no node is known, nobody may mount" {
  : >"$NFS_RUN/clients"
  received a "$WORK/tree"
  door publish a "$ONE" 1 1
  run ! grep CLIENT "$NFS_ROOT/exports.d/a.conf"
}

@test "nfs-exports: two tasks have numbers of their own, and a third one none that is in use" {
  received a "$WORK/tree"
  received b "$WORK/tree"
  door publish a "$ONE" 1 1
  door publish b "$TWO" 1 1
  [[ $(grep -h Export_Id "$NFS_ROOT"/exports.d/*.conf | sort -u | wc -l) == 2 ]]
  [[ $(grep -h Filesystem_Id "$NFS_ROOT"/exports.d/*.conf | sort -u | wc -l) == 2 ]]
  echo 1 >"$NFS_ROOT/next"
  received c "$WORK/tree"
  door publish c 11111111111111111111111111111111 1 1
  [[ $(grep -h Export_Id "$NFS_ROOT"/exports.d/*.conf | sort -u | wc -l) == 3 ]]
}

@test "nfs-exports: other nodes are written into all exports" {
  received a "$WORK/tree"
  door publish a "$ONE" 1 1
  local id
  id=$(grep Export_Id "$NFS_ROOT/exports.d/a.conf")
  echo 192.0.2.9 >"$NFS_RUN/clients"
  WOMM_ROOT=$NFS_ROOT WOMM_RUN=$NFS_RUN bash "$SCRIPTS/nfs-door" refresh
  grep -q 'Clients = 192.0.2.9;' "$NFS_ROOT/exports.d/a.conf"
  # The rest is as it was: handles stay good.
  [[ $(grep Export_Id "$NFS_ROOT/exports.d/a.conf") == "$id" && $(rereads) == 2 ]]
}

@test "nfs-exports: a record that can't be written is none, and the task can be published later" {
  rmdir "$NFS_ROOT/tasks"
  : >"$NFS_ROOT/tasks"
  received a "$WORK/tree"
  run -1 door publish a "$ONE" 1 1
  rm "$NFS_ROOT/tasks"
  mkdir "$NFS_ROOT/tasks"
  [[ -z $(door list) && $(rereads) == 0 ]]
  received a "$WORK/tree"
  [[ $(door publish a "$ONE" 1 1) == new ]]
  [[ $(rereads) == 1 && -e $NFS_ROOT/exports.d/a.conf ]]
}

@test "nfs-exports: what was noted, and no more, is exported when it is published again" {
  received a "$WORK/tree"
  door publish a "$ONE" 1 1
  rm "$NFS_ROOT/exports.d/a.conf"
  # No pod has seen it.
  [[ $(door publish a "$ONE" 1 1) == new ]]
  [[ $(rereads) == 2 && -e $NFS_ROOT/exports.d/a.conf ]]
  [[ $(door publish a "$ONE" 1 1) == same ]]
  [[ $(rereads) == 2 ]]
}
