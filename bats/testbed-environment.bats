#!/usr/bin/env bats
# testbed-environment.pl, as the shells of an image call it, and testbed-rc and testbed-run with it, in bash, dash and
# busybox's sh.

# shellcheck disable=SC2016 # the text is for shells of their own

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  export WOMM_BED=$SCRIPTS WOMM_SAVED=$BED/saved KEPT=1 GONE=2
  mkdir "$SCRIPTS/session"
}

teardown() {
  drop_run
}

# begin: run $@ with the environment that the earlier shell has saved.
begin() {
  perl "$SCRIPTS/testbed-environment.pl" begin "$@"
}

# in_shell: run the bash text $1 as in a shell that saves at its end.
in_shell() {
  begin bash -c "$1"'
"$WOMM_PERL" -XT "$WOMM_BED/testbed-environment.pl" save'
}

# saved: print the entries, a line each.
saved() {
  tr '\0' '\n' <"$WOMM_SAVED"
}

@test "testbed-environment: what is exported, changed and unset is saved, and nothing else" {
  in_shell 'export NEW=3 EMPTY=; KEPT=4; unset GONE; OWN=5; export HOME=/x TERM=y WOMM_TASK=z SHLVL=9; cd /'
  [[ $(saved) == $'EMPTY=\nGONE\nKEPT=4\nNEW=3' ]]
}

@test "testbed-environment: every byte of a value survives, and reaches the next shell" {
  every_byte >"$BED/bytes"
  BYTES=$BED/bytes in_shell 'unset BYTES; IFS= read -r -d "" ODD <"$BED/bytes" || :; export ODD'
  begin perl -e 'print $ENV{ODD}' >"$BED/again"
  cmp "$BED/bytes" "$BED/again"
}

@test "testbed-environment: the next shell begins with it, and what it does not change stays" {
  in_shell 'export NEW=3; unset GONE'
  in_shell 'export NEWER=$NEW${GONE-none}'
  [[ $(saved) == $'GONE\nNEW=3\nNEWER=3none' ]]
  in_shell 'unset NEW; export GONE=2'
  [[ $(saved) == NEWER=3none ]]
}

@test "testbed-environment: the sudo's place in PATH is the shell's only" {
  in_shell '[[ $PATH == "$WOMM_BED/bin:"* ]]; PATH=/opt/x:$PATH'
  [[ $(saved) == "PATH=/opt/x:$PATH" ]]
}

@test "testbed-environment: variables of perl's do no harm" {
  in_shell 'export PERL5OPT=-Mno_such_module PERL5LIB=/nowhere'
  [[ $(saved) == $'PERL5LIB=/nowhere\nPERL5OPT=-Mno_such_module' ]]
}

@test "testbed-environment: what can't be written is told, and what was saved stays" {
  in_shell 'export NEW=3'
  mkdir "$WOMM_SAVED.part"
  run in_shell 'export NEW=4'
  [[ $status -ne 0 && $output == *"womm: $WOMM_SAVED can't be written"* && $(saved) == NEW=3 ]]
}

@test "testbed-rc: each shell saves at its end, whatever its status" {
  local shell
  for shell in "bash --rcfile $SCRIPTS/testbed-rc -i" "env ENV=$SCRIPTS/testbed-rc dash -i" \
    "env ENV=$SCRIPTS/testbed-rc busybox sh -i"; do
    rm -f "$WOMM_SAVED"
    # shellcheck disable=SC2086 # words
    run -3 begin $shell <<<'export NEW=3; exit 3'
    # The machine's own bashrc may export things of its own.
    grep -qx NEW=3 <(saved)
  done
}

@test "testbed-run: runs the lines in one shell, stops at the first that fails, and saves" {
  run -7 --separate-stderr "$SCRIPTS/testbed-run" 'export A=1; B=2' 'export B' '(exit 7)' 'echo never'
  [[ $output == '' && $(saved) == $'A=1\nB=2' ]]
}
