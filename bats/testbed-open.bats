#!/usr/bin/env bats
# testbed-open, testbed-shell and testbed-close in namespaces of their own, on this machine's own files: /run/womm,
# /etc/womm and what testbed-close empties are tmpfs of the namespace. It needs root, as a container has it.

# shellcheck disable=SC2016 # the text is for shells of their own

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  mkdir "$BED/etc"
}

teardown() {
  drop_run
}

# container: run the sh text $1 where testbed-open has been.
container() {
  local program='
    mount -t tmpfs -o mode=0755 none /var/cache && mount -t tmpfs -o mode=0755 none /var/lib/apt
    cp -a /etc "$BED/etc" && mkdir -p "$BED/etc/etc/womm" && mount --bind "$BED/etc/etc" /etc
    mount -t tmpfs -o exec,suid,mode=0755 none /run
    mkdir -p /run/womm
    cp "$BED/scripts"/testbed-* /run/womm
    sh /run/womm/testbed-open 65534 65533
  '
  PATH=/usr/sbin:/usr/bin:/sbin:/bin unshare --mount --pid --fork --mount-proc --kill-child -- sh -euc "$program$1"
}

@test "testbed-open: the user has a sudo that works, others have none" {
  run container '
    setpriv --reuid=65534 --regid=65533 --clear-groups /run/womm/bin/sudo id -u
    for ids in 65532:65532 65532:65533 65532:0; do
      setpriv --reuid="${ids%:*}" --regid="${ids#*:}" --clear-groups /run/womm/bin/sudo id -u 2>&1 || echo "no $ids"
    done | grep -v "Permission denied"
    cd /run/womm && stat -c "%u:%g %a" private private/perl session /etc/womm
  '
  [[ $status -eq 0 && $output == $'0\nno 65532:65532\nno 65532:65533\nno 65532:0\n'* ]]
  [[ $output == *$'65534:65533 700\n0:65533 4750\n65534:65533 755\n65534:65533 755' ]]
}

@test "testbed-open and testbed-shell: without perl there is a shell all the same, with the earlier one's sudo" {
  run container '
    mkdir /run/bin && ln -s /usr/bin/* /run/bin/ && rm /run/bin/perl
    export PATH=/run/bin HOME=/
    sh /run/womm/testbed-open 65534 65533
    echo "sudo id -u" | setpriv --reuid=65534 --regid=65533 --clear-groups /run/womm/testbed-shell 2>/dev/null
  '
  [[ $status -eq 0 && $output == $'womm: perl is gone: this shell keeps no variables\n0' ]]
}

@test "testbed-shell: a terminal that is not known here becomes an xterm; what was exported before is there again" {
  run container '
    printf "A=b\0" >/etc/womm/environment
    echo "echo \$TERM \$A; exit 7" | TERM=no-such-terminal /run/womm/testbed-shell 2>/dev/null
  '
  [[ $status -eq 7 && $output == 'xterm b' ]]
}

@test "testbed-close: shells end and keep their variables, caches go, what root made in the home is the user's" {
  run container '
    mkdir -p /var/lib/apt/lists /var/cache/apk "$BED/home/sub"
    touch /var/lib/apt/lists/x /var/cache/apk/x "$BED/home/sub/x"
    mkfifo /run/fifo
    echo "export NEW=3; echo >/run/fifo" >/run/rc
    HOME=/run ENV= setsid perl /run/womm/testbed-environment.pl begin sh -c "
      trap \"\\\"\$WOMM_PERL\\\" -XT /run/womm/testbed-environment.pl save; exit 129\" HUP
      export NEW=3; echo >/run/fifo; while :; do sleep 0.1; done" &
    read -r _ </run/fifo
    /run/womm/testbed-close 65534 65533 "$BED/home" /none
    tr "\0" "\n" </etc/womm/environment
    stat -c "%u:%g" "$BED/home/sub/x" /etc/womm/environment
    ls /var/lib/apt/lists /var/cache/apk
  '
  [[ $status -eq 0 ]]
  [[ $output == *$'NEW=3\n65534:65533\n0:0\n/var/cache/apk:\n\n/var/lib/apt/lists:' ]]
}

@test "testbed-close: the real directory keeps its owners, wherever it is: in the home, the home itself, above it" {
  run container '
    mkdir -p "$BED/ann/work [1]*" "$BED/ann/work 1"
    touch "$BED/ann/work [1]*/real" "$BED/ann/work 1/made" "$BED/ann/made"
    for directory in "$BED/ann" "$BED" /; do
      /run/womm/testbed-close 65534 65533 "$BED/ann" "$directory"
      find "$BED/ann" -user 65534
    done
    /run/womm/testbed-close 65534 65533 "$BED/ann" "$BED/ann/work [1]*"
    cd "$BED/ann" && find . -user 65534 | sort
  '
  [[ $status -eq 0 && $output == $'.\n./made\n./work 1\n./work 1/made' ]]
}

@test "testbed-close: root's own files stay as they are" {
  run container '
    mkdir "$BED/root" && touch "$BED/root/x" && chown 0:65533 "$BED/root/x" && chmod 4755 "$BED/root/x"
    /run/womm/testbed-close 0 0 "$BED/root" /none
    stat -c "%u:%g %a" "$BED/root/x"
  '
  [[ $status -eq 0 && $output == "0:65533 4755" ]]
}

@test "testbed-close: what was typed in any shell is not in the image, and the machine's own history stays" {
  run container '
    mount -t tmpfs none /root
    mkdir -p "$BED/ann/work"
    for name in "$BED/ann" "$BED/ann/work" /root; do touch "$name/.bash_history" "$name/.ash_history" "$name/x"; done
    /run/womm/testbed-close 0 0 "$BED/ann" "$BED"
    /run/womm/testbed-close 0 0 "$BED/none" /root
    find "$BED/ann" /root -name "*_history" | wc -l
    /run/womm/testbed-close 0 0 "$BED/ann" "$BED/ann/work"
    find "$BED/ann" /root -type f | sed "s|$BED||" | sort
  '
  # The first took root's, not the real home.
  [[ $status -eq 0 && ${lines[0]} == 4 ]]
  [[ $output == *$'\n/ann/work/.ash_history\n/ann/work/.bash_history\n/ann/work/x\n/ann/x\n/root/x' ]]
}
