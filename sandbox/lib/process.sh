# shellcheck shell=bash
# Processes: started detached, known by pid and start time, never by name.

# start_time: print the time at which process $1 started, in clock ticks since boot. Exit 1 if there is none.
start_time() {
  local stat
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
  # The second field is the program's name in parentheses and may hold blanks; the 22nd is the 20th after it.
  # shellcheck disable=SC2086 # split into fields on purpose
  set -- ${stat##*) }
  # A zombie is dead: only its parent has yet to notice.
  [[ $1 != Z ]] || return 1
  printf '%s\n' "${20}"
}

# pid_of: print the pid of part $1. Exit 1 if it isn't alive, or its number is another process's by now.
pid_of() {
  local pid started boot
  { read -r pid started boot <"$STATE/pid/$1"; } 2>/dev/null || return 1
  [[ $boot == "$(</proc/sys/kernel/random/boot_id)" && $started == "$(start_time "$pid")" ]] || return 1
  printf '%s\n' "$pid"
}

# launch: start part $1 as the command after it, in a session of its own, with its log in $LOG/$1.log, and
# record it. It gets nothing of the caller's: no terminal, no descriptor, no variable but those in the command.
launch() {
  local name=$1 fd pid
  shift
  rm -f "$STATE/pid/$name"
  (
    for fd in /proc/self/fd/*; do
      fd=${fd##*/}
      ((fd <= 2)) || eval "exec $fd>&-"
    done
    # Recorded before it is started: an up that is killed here leaves nothing that nobody knows of. This process
    # leads no group, so setsid and env keep its number.
    pid=$BASHPID
    printf '%s %s %s\n' "$pid" "$(start_time "$pid")" "$(</proc/sys/kernel/random/boot_id)" \
      >"$STATE/pid/$name"
    exec setsid env -i PATH="$PATH" HOME="$STATE" LC_ALL=C "$@"
  ) </dev/null >>"$LOG/$name.log" 2>&1 &
  disown $!
  eventually 5 test -s "$STATE/pid/$name" || die "$name could not be started" "its log: $LOG/$name.log"
}

# stop: end part $1, politely for $2 seconds (5 unless told). Nothing happens if it isn't alive.
stop() {
  local pid
  if pid=$(pid_of "$1"); then
    kill -TERM "$pid" 2>/dev/null || :
    eventually "${2:-5}" is_gone "$1" || kill -KILL "$pid" 2>/dev/null || :
    eventually 5 is_gone "$1" || die "part $1 (pid $pid) cannot be ended"
  fi
  rm -f "$STATE/pid/$1"
}

# is_gone: exit 0 if part $1 isn't alive.
is_gone() { ! pid_of "$1" >/dev/null; }

# begin: start part $1 by start_$1 without waiting for it. Nothing if it is alive.
begin() {
  ! pid_of "$1" >/dev/null || return 0
  [[ ! -e $STATE/pid/$1 ]] || say "  $1 has died: starting it again"
  check_ports "$1"
  "start_$1"
}

# ensure: make part $1 run: nothing if it is alive and healthy; else start it and wait up to $2 seconds until
# healthy says so. Prints the end of its log and exits 1 if it never is.
ensure() {
  # A busy machine may be slow to answer; a part that runs is not ended lightly.
  if pid_of "$1" >/dev/null && ! eventually 20 healthy "$1"; then
    say "  $1 is alive but does not answer: starting it again"
    stop "$1"
  fi
  begin "$1"
  await "$1" "$2"
}

# await: wait up to $2 seconds until part $1 is healthy. Prints the end of its log and exits 1 if it never is.
await() {
  local deadline=$((SECONDS + $2))
  until healthy "$1" >/dev/null 2>&1; do
    if is_gone "$1" || ((SECONDS >= deadline)); then
      say "--- the end of $LOG/$1.log"
      tail -n 15 "$LOG/$1.log" >&2 || :
      say "---"
      is_gone "$1" && die "$1 ended while starting" "its log: $LOG/$1.log"
      die "$1 did not become ready in $2 s" "its log: $LOG/$1.log"
    fi
    sleep 0.2
  done
}
