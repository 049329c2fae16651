#!/usr/bin/env bats
# testbed-sudo.pl as root calls it; testbed-open.bats has the setuid perl with which everybody else does.

# shellcheck disable=SC2016 # the text is for shells of their own

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
}

teardown() {
  drop_run
}

# sudo: the shell's sudo.
sudo() {
  perl -XU "$SCRIPTS/testbed-sudo.pl" "$@"
}

@test "testbed-sudo: options that people type are taken, and the command's own are left to it" {
  [[ $(sudo echo -n -E x) == '-n -E x' || $(sudo printf %s -E) == -E ]]
  [[ $(sudo -n -E -- printf %s a) == a ]]
  [[ $(sudo -nEu root printf %s a) == a ]]
  [[ $(sudo -uroot -p 'word: ' printf %s a) == a ]]
  [[ $(sudo --user=root --preserve-env=A,B printf %s a) == a ]]
  [[ $(sudo A=1 B='2 3' sh -c 'printf %s "$A$B"') == '12 3' ]]
}

@test "testbed-sudo: HOME is root's, but with -E the user's; the environment stays" {
  [[ $(MINE=1 sudo sh -c 'printf %s "$HOME $USER $MINE"') == '/root root 1' ]]
  [[ $(sudo -E sh -c 'printf %s "$HOME"') == "$HOME" ]]
}

@test "testbed-sudo: -i and -s run a shell, with a command's words as they are" {
  [[ $(sudo -i pwd) == /root ]]
  [[ $(SHELL=/bin/sh sudo -s printf '%s|' 'a b' 'c;d') == 'a b|c;d|' ]]
  [[ $(SHELL=/bin/sh sudo -s <<<'echo from stdin') == 'from stdin' ]]
}

@test "testbed-sudo: -u runs as another user, with his groups only" {
  [[ $(sudo -u nobody sh -c 'echo "$(id -u) $(id -G) $USER"') == "$(id -u nobody) $(id -g nobody) nobody" ]]
  run -1 sudo -u no-such-user true
  [[ $output == 'sudo: unknown user no-such-user' ]]
}

@test "testbed-sudo: the command's status is its own; none, and an unknown one, are told" {
  run -7 sudo sh -c 'exit 7'
  run -127 sudo no-such-command
  [[ $output == 'sudo: no-such-command: No such file or directory' ]]
  run -1 sudo
  [[ $output == 'sudo: what shall be run?'* ]]
  sudo -v
}
