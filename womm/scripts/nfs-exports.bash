# nfs-exports.bash: the part of nfs-door that keeps tasks' records, and has nfs-ganesha export what they say.
#
# Only nfs-door reads it, which has complain and locked for it. It and nfs-links.bash use from here record, with the variables
# that it sets, export_task, unexport and CACHED; nfs-door alone write_exports, refresh and restart.
#
# Below $WOMM_ROOT are its files: tasks/TASK, a record; exports.d/TASK.conf, that task's export; next, the number that the next
# export gets if nobody has it. Below $WOMM_RUN are nfs-entry's: clients, who may mount; ganesha.pid; reread, which is another
# text each time that ganesha has read its exports.

# From this age on, in seconds, ganesha may keep a file's attributes for a second, which it counts as up to two: listings are
# several times as fast.
CACHED=3

# random: print 9 random digits that are no octal number.
random() {
  local bytes
  bytes=$(od -An -N4 -tu4 /dev/urandom)
  printf '%d\n' "$((bytes % 900000000 + 100000000))"
}

# record TASK: set KIND, EXPORTED, OWNER, GROUP, ID, FSID, LIFE, PLACE, PID from what is known of TASK. Exit 1 if nothing is.
record() {
  # shellcheck disable=SC2034 # PID is for the files that use this one
  [[ -e $WOMM_ROOT/tasks/$1 ]] && read -r KIND EXPORTED OWNER GROUP ID FSID LIFE PLACE PID <"$WOMM_ROOT/tasks/$1"
}

# put FILE LINE: have LINE in FILE, whole or not at all. Exit 1 if the disk is full, say.
put() {
  printf '%s\n' "$2" >"$WOMM_ROOT/.put.$BASHPID" && mv -fT "$WOMM_ROOT/.put.$BASHPID" "$1"
}

# note TASK KIND PATH UID GID AGE PLACE PID: have a record of TASK, with an export's number that nobody has, and a file
# system's of its own: so nodes know nothing of what was there before. PLACE is below the root. Exit 1 if that can't be.
note() {
  local id
  id=$(cat "$WOMM_ROOT/next" 2>/dev/null) || id=1
  while grep -qs "Export_Id = $id;" /dev/null "$WOMM_ROOT"/exports.d/*.conf; do id=$((id % 60000 + 1)); done
  put "$WOMM_ROOT/next" "$((id % 60000 + 1))" &&
    put "$WOMM_ROOT/tasks/$1" "$2 $3 $4 $5 $id $(random).$(random) $6 $7 $8"
}

# write_export TASK: write the export of TASK as its record says, for the nodes that there are now. Exit 1 if that can't be.
write_export() {
  local clients more=
  record "$1" || return
  clients=$(cat "$WOMM_RUN/clients")
  # A copy is changed through ganesha alone, which knows what it has done.
  if [[ $KIND == lazy ]]; then more="Attr_Expiration_Time = $((LIFE < CACHED ? 0 : 1));"; fi
  put "$WOMM_ROOT/exports.d/$1.conf" "$(
    cat <<BLOCK
EXPORT {
  Export_Id = $ID;
  Path = $WOMM_ROOT/$PLACE;
  Pseudo = /$EXPORTED;
  Filesystem_Id = $FSID;
  Squash = All_Squash;
  Anonymous_Uid = $OWNER;
  Anonymous_Gid = $GROUP;
  Access_Type = None;
  $more
  FSAL { Name = VFS; fsid_type = Major64; }
  ${clients:+CLIENT { Clients = $clients; Access_Type = RW; Squash = All_Squash; Protocols = 4; Transports = TCP; \}}
}
BLOCK
  )"
}

# reread: have ganesha read its exports, and wait for it. Exit 1 if it doesn't. Call it locked, as `exports`.
reread() {
  local before
  before=$(cat "$WOMM_RUN/reread" 2>/dev/null || true)
  # One that is being started reads them anyway.
  kill -HUP "$(cat "$WOMM_RUN/ganesha.pid" 2>/dev/null)" 2>/dev/null || true
  read_since "$before"
}

# read_since COUNT: wait until ganesha has read its exports once more than when COUNT was in $WOMM_RUN/reread. Exit 1 if it
# doesn't.
read_since() {
  local end=$((SECONDS + 20))
  while [[ $(cat "$WOMM_RUN/reread" 2>/dev/null || true) == "$1" ]]; do
    if ((SECONDS > end)); then
      complain 'nfs-ganesha does not answer'
      return 1
    fi
    sleep 0.02
  done
}

# export_task TASK KIND PATH UID GID AGE PLACE PID: note it and export it. Exit 1 if that can't be. Call it locked, as `exports`.
export_task() {
  note "$@" && export_noted "$1"
}

# export_noted TASK: export what has a record. Exit 1 if that can't be; then it has no export. Call it locked, as `exports`.
export_noted() {
  if write_export "$1" && reread; then return; fi
  rm -f "$WOMM_ROOT/exports.d/$1.conf"
  return 1
}

# unexport TASK: nobody sees it any more. Call it locked, as `exports`.
unexport() {
  if [[ -e $WOMM_ROOT/exports.d/$1.conf ]]; then
    rm -f "$WOMM_ROOT/exports.d/$1.conf"
    reread
  fi
}

# restart: have ganesha end, and wait until it serves again. Call it locked, as `exports`.
restart() {
  local before
  before=$(cat "$WOMM_RUN/reread")
  kill -KILL "$(cat "$WOMM_RUN/ganesha.pid")"
  read_since "$before"
}

# write_exports: write the exports of all tasks anew.
write_exports() {
  local file
  for file in "$WOMM_ROOT"/tasks/*; do
    # One that is being closed is none.
    if [[ -e $WOMM_ROOT/exports.d/${file##*/}.conf ]]; then write_export "${file##*/}"; fi
  done
}

# refresh: see nfs-door.
refresh() {
  locked exports renew
}

# renew: the same, locked.
renew() {
  write_exports
  reread
}
