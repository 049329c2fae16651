#!/usr/bin/env bats
# install-tool with package managers that only note what they were asked, on a PATH that has nothing else.
# shellcheck disable=SC2016 # the programs' text is for a shell of their own

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  # rm must be a stand-in: the real one would empty this machine's package lists.
  note rm
}

teardown() {
  drop_run
}

# lacks: have a program $1 that runs, but for the module that it is asked for until the file $BED/module is there.
lacks() {
  program "$1" 'case "$*" in *HiRes*|*psutil*|*asyncio*) [[ -e $BED/module ]] ;; esac'
}

# note: have a program $1 that notes its call, and does $2.
note() {
  printf '#!/bin/sh\necho "$(/usr/bin/basename "$0") $*" >>"$BED/noted"\n%s\n' "${2-}" >"$BED/bin/$1"
  chmod 0755 "$BED/bin/$1"
}

# install: call install-tool for $@, under each shell that images have; the PATH is the stand-ins'.
install() {
  PATH=$BED/bin "${SHELL_OF_IMAGE:-/bin/sh}" "$SCRIPTS/install-tool" "$@"
}

# installing: a manager $1 that puts the tool $2 in place.
installing() {
  note "$1" "printf '#!/bin/sh\n' >'$BED/bin/$2'; /bin/chmod 0755 '$BED/bin/$2'"
}

@test "install-tool: where the program works nothing is done" {
  note apt-get
  program perl 'exit 0'
  run install perl
  [[ $status -eq 0 && -z $output && ! -e $BED/noted ]]
}

@test "install-tool: a program that is there and does not run is installed again" {
  program perl 'exit 127'
  installing apt-get perl
  run install perl
  [[ $status -eq 0 ]]
  grep -q 'apt-get .* --reinstall install perl-base$' "$BED/noted"
}

@test "install-tool: without a package manager it says the way out" {
  run -1 install perl
  [[ ${lines[-1]} == *'choose another --base-image, or one that has it' ]]
}

@test "install-tool: a manager that fails, or installs nothing, is an error" {
  note apk 'exit 1'
  run -1 install rsync
  note apk
  run -1 install rsync
  [[ ${lines[-1]} == 'womm: no rsync in the base image'* ]]
}

@test "install-tool: each package manager is asked in its own words, under dash and busybox" {
  local manager wanted shell
  # busybox by a link of this name is its sh.
  ln -s "$(type -P busybox)" "$BED/sh"
  for shell in "$(type -P dash)" "$BED/sh"; do
    while IFS='|' read -r manager wanted; do
      rm -f "${BED:?}"/bin/* "$BED/noted"
      note rm
      installing "$manager" perl
      SHELL_OF_IMAGE=$shell run install perl
      [[ $status -eq 0 ]]
      [[ $(grep install "$BED/noted" || grep add "$BED/noted" || grep -- -S "$BED/noted") == "$manager $wanted" ]]
    done <<'TABLE'
apt-get|-q -y --no-install-recommends --reinstall install perl-base
apk|add --no-cache perl
dnf|-y install perl-interpreter
microdnf|-y install perl-interpreter
yum|-y install perl
zypper|--non-interactive install perl
pacman|-Sy --noconfirm perl
TABLE
  done
}

@test "install-tool: a module is installed though its program runs, and not where it is there" {
  local tool program
  for tool in perl-time-hires python3-psutil python3; do
    program=${tool%%-*}
    rm -f "$BED/module" "$BED/noted"
    lacks "$program"
    note apt-get "case \$* in *install*) : >'$BED/module' ;; esac"
    run install "$tool"
    [[ $status -eq 0 && $output == "womm: this base image has no $tool; installing it"* ]]
    [[ -e $BED/module ]]
    rm "$BED/noted"
    run install "$tool"
    [[ $status -eq 0 && -z $output && ! -e $BED/noted ]]
  done
}

@test "install-tool: all that is missing is installed at once, and what works is left alone" {
  program perl 'exit 0'
  lacks python3
  note apt-get "case \$* in *install*) : >'$BED/module'; printf '#!/bin/sh\n' >'$BED/bin/rsync'; /bin/chmod 0755 '$BED/bin/rsync' ;; esac"
  run install perl rsync python3 python3-psutil
  [[ $status -eq 0 && $output == 'womm: this base image has no rsync, python3, python3-psutil; installing it' ]]
  [[ $(grep -c update "$BED/noted") -eq 1 ]]
  grep -qx 'apt-get -q -y --no-install-recommends --reinstall install rsync python3 python3-psutil' "$BED/noted"
}

@test "install-tool: what is missing in the end is named, and what is not is not" {
  lacks python3
  installing apk rsync
  run -1 install rsync python3
  [[ ${lines[-1]} == 'womm: no python3 in the base image, and no way to install it here'* ]]
}

@test "install-tool: what a module is called differs from one package manager to the other" {
  local manager hires python psutil wanted
  while IFS='|' read -r manager hires python psutil; do
    for wanted in "perl-time-hires $hires" "python3 $python" "python3-psutil $psutil"; do
      rm -f "${BED:?}"/bin/* "$BED/noted" "$BED/module"
      note rm
      lacks perl
      lacks python3
      note "$manager" ": >'$BED/module'"
      run install "${wanted% *}"
      [[ $status -eq 0 ]]
      [[ $(grep -E ' (install|add|-Sy) ' "$BED/noted") == *" ${wanted#* }" ]]
    done
  done <<'TABLE'
apt-get|perl|python3|python3-psutil
apk|perl|python3|py3-psutil
dnf|perl-Time-HiRes|python3|python3-psutil
microdnf|perl-Time-HiRes|python3|python3-psutil
yum|perl-Time-HiRes|python3|python3-psutil
zypper|perl|python3|python3-psutil
pacman|perl|python|python-psutil
TABLE
}

@test "install-tool: a compiler is more than one package, and libfuse is its headers" {
  local manager wanted
  while IFS='|' read -r manager wanted; do
    rm -f "${BED:?}"/bin/* "$BED/noted"
    note rm
    note "$manager"
    HEADERS=$BED run -1 install cc libfuse
    [[ $(grep -E ' (install|add|-Sy) ' "$BED/noted") == *" $wanted" ]]
    [[ $output == *'no cc'*'--no-nfs' ]]
  done <<'TABLE'
apt-get|gcc libc6-dev libfuse3-dev
apk|gcc musl-dev fuse3-dev
dnf|gcc glibc-devel fuse3-devel
zypper|gcc glibc-devel fuse3-devel
pacman|gcc fuse3
TABLE
}

@test "install-tool: apt's lists are fetched before, and removed after" {
  installing apt-get rsync
  run install rsync
  [[ $status -eq 0 ]]
  [[ $(cut -d ' ' -f 1-3 "$BED/noted") == $'apt-get -q update\napt-get -q -y\nrm -rf /var/lib/apt/lists/'* ]]
}

@test "install-tool: without a name it says its usage" {
  run -2 install
  [[ $output == 'usage: install-tool '* ]]
}
