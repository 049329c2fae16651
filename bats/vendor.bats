#!/usr/bin/env bats
# tools/vendor, without the network: apt and its helper are met only through stand-ins on PATH where a test needs them;
# the real GNU parallel is the one that `make vendor` has put into the checkout.

setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  REAL=$ROOT/womm/vendor/parallel
  VENDOR=$ROOT/tools/vendor
  export WOMM_VENDOR_DIR=$BATS_TEST_TMPDIR/vendor
  export HOME=$BATS_TEST_TMPDIR
  unset PARALLEL LICENCE
  echo 'the text of a licence' >"$BATS_TEST_TMPDIR/LICENCE"
  export WOMM_GPL_TEXT=$BATS_TEST_TMPDIR/LICENCE
  mkdir "$BATS_TEST_TMPDIR/bin"
}

# vendor_from: run tools/vendor with PARALLEL=$1.
vendor_from() {
  PARALLEL=$1 run "$VENDOR"
}

# stand_in: put a program $1 before all others that does the shell command $2.
stand_in() {
  printf '#!/bin/sh\n%s\n' "$2" >"$BATS_TEST_TMPDIR/bin/$1"
  chmod +x "$BATS_TEST_TMPDIR/bin/$1"
  PATH=$BATS_TEST_TMPDIR/bin:$PATH
}

# nothing_vendored: whether the target holds nothing at all, half-made directories included.
nothing_vendored() {
  [[ -z $(ls -A "$WOMM_VENDOR_DIR") ]]
}

@test "vendor: a file named by PARALLEL is put there with licence, copyright, origin and options" {
  cp "$REAL" "$BATS_TEST_TMPDIR/my parallel"
  vendor_from "$BATS_TEST_TMPDIR/my parallel"
  [[ $status -eq 0 ]]
  cmp "$REAL" "$WOMM_VENDOR_DIR/parallel"
  [[ -x $WOMM_VENDOR_DIR/parallel ]]
  [[ $(ls -A "$WOMM_VENDOR_DIR") == $'COPYING.parallel\nCOPYRIGHT.parallel\noptions.json\nparallel\nparallel.json' ]]
  [[ $(<"$WOMM_VENDOR_DIR/COPYING.parallel") == 'the text of a licence' ]]
  grep -q '^Copyright (C) .* Ole Tange' "$WOMM_VENDOR_DIR/COPYRIGHT.parallel"
  grep -qF "\"sha256\" : \"$(sha256sum "$REAL" | cut -d ' ' -f 1)\"" "$WOMM_VENDOR_DIR/parallel.json"
  grep -q '"version" : "[0-9]\{8\}"' "$WOMM_VENDOR_DIR/parallel.json"
  grep -qF '"source" : "PARALLEL=my parallel"' "$WOMM_VENDOR_DIR/parallel.json"
  cmp "$ROOT/womm/vendor/options.json" "$WOMM_VENDOR_DIR/options.json"
}

@test "vendor: a second run replaces the first" {
  vendor_from "$REAL"
  echo broken >"$WOMM_VENDOR_DIR/parallel"
  vendor_from "$REAL"
  [[ $status -eq 0 ]]
  cmp "$REAL" "$WOMM_VENDOR_DIR/parallel"
}

@test "vendor: a PARALLEL that is missing is refused by name" {
  vendor_from /no/such/parallel
  [[ $status -eq 1 ]]
  [[ $output == 'vendor: PARALLEL=/no/such/parallel: no readable file' ]]
  nothing_vendored
}

@test "vendor: a program that is not GNU parallel is refused" {
  vendor_from /bin/ls
  [[ $status -eq 1 ]]
  [[ $output == 'vendor: PARALLEL=/bin/ls is not GNU parallel (a Perl script)' ]]
  nothing_vendored
}

@test "vendor: a Perl script that is not GNU parallel is refused, and not run" {
  # shellcheck disable=SC2016 # the variable is Perl's
  printf '#!/usr/bin/perl\nopen my $f, ">", "%s/ran";\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/other"
  vendor_from "$BATS_TEST_TMPDIR/other"
  [[ $status -eq 1 ]]
  [[ ! -e $BATS_TEST_TMPDIR/ran ]]
  nothing_vendored
}

@test "vendor: without the licence's text the error asks for LICENCE" {
  export WOMM_GPL_TEXT=/no/such/licence
  vendor_from "$REAL"
  [[ $status -eq 1 ]]
  [[ ${#lines[@]} -eq 1 ]]
  [[ $output == *LICENCE=FILE* ]]
  nothing_vendored
}

@test "vendor: LICENCE names the licence's text" {
  export WOMM_GPL_TEXT=/no/such/licence
  echo 'mine' >"$BATS_TEST_TMPDIR/mine"
  export LICENCE=$BATS_TEST_TMPDIR/mine
  vendor_from "$REAL"
  [[ $status -eq 0 ]]
  [[ $(<"$WOMM_VENDOR_DIR/COPYING.parallel") == mine ]]
}

@test "vendor: a PARALLEL with GNU parallel's own default options is not taken for a file" {
  stand_in apt-get 'exit 100'
  vendor_from '-j4 --bar'
  [[ $status -eq 1 ]]
  [[ $output != *'no readable file'* ]]
  [[ $output == *"make vendor PARALLEL=/path/to/parallel"* ]]
}

@test "vendor: where apt knows no GNU parallel, one line says the way out" {
  stand_in apt-get 'echo "E: no packages found" >&2; exit 100'
  run "$VENDOR"
  [[ $status -eq 1 ]]
  # Before it, apt itself may say why (as root its lists were fetched once more).
  [[ ${lines[-1]} == "vendor: apt knows no package parallel: run 'make vendor PARALLEL=/path/to/parallel'"* ]]
  nothing_vendored
}

@test "vendor: on a system without apt one line says the way out" {
  WOMM_APT_HELPER=/no/such/helper run "$VENDOR"
  [[ $status -eq 1 ]]
  [[ ${#lines[@]} -eq 1 ]]
  [[ $output == *"can only be had through apt: run 'make vendor PARALLEL=/path/to/parallel'"* ]]
  nothing_vendored
}

@test "vendor: empty apt lists are fetched once, by root" {
  stand_in id 'echo 0'
  stand_in apt-get "echo \"\$1\" >>'$BATS_TEST_TMPDIR/calls'; exit 100"
  run "$VENDOR"
  [[ $status -eq 1 ]]
  [[ $(<"$BATS_TEST_TMPDIR/calls") == $'download\nupdate\ndownload' ]]
}

@test "vendor: the pinned file is taken from the pool, whatever version apt itself would take" {
  export WOMM_APT_HELPER=$BATS_TEST_TMPDIR/bin/helper
  stand_in apt-get "echo \"'http://mirror.invalid/pool/p/parallel_99999999_all.deb' parallel_99999999_all.deb 1 SHA256:0\""
  stand_in helper "echo \"\$@\" >>'$BATS_TEST_TMPDIR/calls'; exit 100"
  run "$VENDOR"
  [[ $status -eq 1 ]]
  grep -qF 'http://mirror.invalid/pool/p/parallel_20240222%2bds.orig.tar.xz' "$BATS_TEST_TMPDIR/calls"
  grep -q 'SHA256:[0-9a-f]\{64\}$' "$BATS_TEST_TMPDIR/calls"
  [[ $output == *'could not be downloaded'* ]]
  nothing_vendored
}

# tarball_of: make a tarball of the files $2… below $1, a manifest that pins it, and a mirror that has it.
tarball_of() {
  local sum
  tar -cJ -C "$1" -f "$BATS_TEST_TMPDIR/source.tar.xz" "${@:2}"
  sum=$(sha256sum "$BATS_TEST_TMPDIR/source.tar.xz" | cut -d ' ' -f 1)
  export WOMM_VENDOR_MANIFEST=$BATS_TEST_TMPDIR/manifest.json WOMM_APT_HELPER=$BATS_TEST_TMPDIR/bin/helper
  printf '{"package": "parallel", "version": "1", "file": "p_1+ds.orig.tar.xz", "sha256": "%s", "licence": "GPL"}' \
    "$sum" >"$WOMM_VENDOR_MANIFEST"
  stand_in apt-get "echo \"'http://mirror.invalid/p/parallel_2_all.deb' x 1 SHA256:0\""
  stand_in helper "while [ \$# -gt 2 ]; do shift; done; cp '$BATS_TEST_TMPDIR/source.tar.xz' \"\$1\""
}

@test "vendor: the pinned tarball gives the script and its licence; the copyright notice is the script's head" {
  local tree=$BATS_TEST_TMPDIR/tree
  mkdir -p "$tree/parallel-1/src" "$tree/parallel-1/LICENSES"
  cp "$REAL" "$tree/parallel-1/src/parallel"
  echo 'the licence of the tarball' >"$tree/parallel-1/LICENSES/GPL-3.0-or-later.txt"
  tarball_of "$tree" parallel-1
  # Neither the machine's text of the GPL nor LICENCE is needed, or looked at.
  WOMM_GPL_TEXT=/no/such/licence run "$VENDOR"
  [[ $status -eq 0 ]]
  cmp "$REAL" "$WOMM_VENDOR_DIR/parallel"
  [[ $(ls -A "$WOMM_VENDOR_DIR") == $'COPYING.parallel\nCOPYRIGHT.parallel\noptions.json\nparallel\nparallel.json' ]]
  [[ $(stat -c %U:%a "$WOMM_VENDOR_DIR/parallel") == "$(id -un):755" ]]
  [[ $(<"$WOMM_VENDOR_DIR/COPYING.parallel") == 'the licence of the tarball' ]]
  [[ $(head -n 1 "$WOMM_VENDOR_DIR/COPYRIGHT.parallel") == 'Copyright (C) '*' Ole Tange'* ]]
  grep -qF '"source" : "p_1+ds.orig.tar.xz in Debian' "$WOMM_VENDOR_DIR/parallel.json"
}

@test "vendor: a tarball without the script is refused by what it lacks" {
  mkdir -p "$BATS_TEST_TMPDIR/tree/parallel-1/src"
  touch "$BATS_TEST_TMPDIR/tree/parallel-1/src/sem"
  tarball_of "$BATS_TEST_TMPDIR/tree" parallel-1
  run "$VENDOR"
  [[ $status -eq 1 ]]
  [[ ${lines[-1]} == 'vendor: p_1+ds.orig.tar.xz has no parallel-1/src/parallel'* ]]
  nothing_vendored
}

@test "vendor: the GNU parallel that is there is upstream's, citation dialogue and all" {
  run perl "$REAL" --citation </dev/null
  [[ $output == *"Type: 'will cite' and press enter."* ]]
  grep -qF '"citation"' "$ROOT/womm/vendor/options.json"
}

@test "vendor: a download with another checksum is refused, even if the download was content" {
  export WOMM_APT_HELPER=$BATS_TEST_TMPDIR/bin/helper
  stand_in apt-get "echo \"'http://mirror.invalid/p/parallel_1_all.deb' x 1 SHA256:0\""
  # The last argument but one is the file to write.
  # shellcheck disable=SC2016 # the stand-in's arguments, not ours
  stand_in helper 'while [ $# -gt 2 ]; do shift; done; echo forged >"$1"'
  run "$VENDOR"
  [[ $status -eq 1 ]]
  [[ $output == *'has not the pinned SHA-256'* ]]
  nothing_vendored
}

@test "vendor: a failure leaves the parallel of an earlier run in place" {
  vendor_from "$REAL"
  vendor_from /bin/ls
  [[ $status -eq 1 ]]
  cmp "$REAL" "$WOMM_VENDOR_DIR/parallel"
}
