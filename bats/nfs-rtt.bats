#!/usr/bin/env bats
# nfs-rtt.pl with an SFTP server that is a few lines of Perl.
# shellcheck disable=SC2016 # Perl, not shell
# shellcheck disable=SC2094 # both ends of a fifo

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  # server.pl SECONDS: answer each SSH_FXP_INIT with a version and an extension, SECONDS later; then say what else came.
  cat >"$BED/server.pl" <<'PERL'
$| = 1;
while (read(STDIN, my $packet, 9) == 9) {
    my ($length, $type, $version) = unpack "N C N", $packet;
    exit print "other" if $length != 5 || $type != 1 || $version != 3;
    select undef, undef, undef, $ARGV[0];
    print pack "N C N N/a* N/a*", 5 + 4 + 4 + 4 + 1, 2, 3, "name", "1";
}
PERL
}

teardown() {
  drop_run
}

# between: run nfs-rtt.pl with the server $@ at its other end; print what it tells.
between() {
  mkfifo "$BED/there"
  "$@" <"$BED/there" | perl "$SCRIPTS/nfs-rtt.pl" 3>"$BED/told" >"$BED/there"
  local status=("${PIPESTATUS[@]}")
  cat "$BED/told"
  return "${status[1]}"
}

@test "nfs-rtt: the shortest of some round trips is told, in ms" {
  run -0 between perl "$BED/server.pl" 0.05
  ((output >= 50 && output < 1000))
}

@test "nfs-rtt: a near server is 0 or little away" {
  run -0 between perl "$BED/server.pl" 0
  ((output < 50))
}

@test "nfs-rtt: not a byte is taken beyond the answers" {
  mkfifo "$BED/there"
  # What comes after the fifth answer is the next reader's.
  { perl "$BED/server.pl" 0 && echo rest; } <"$BED/there" |
    { perl "$SCRIPTS/nfs-rtt.pl" 3>/dev/null >"$BED/there" && cat >"$BED/rest"; }
  [[ $(<"$BED/rest") == rest ]]
}

@test "nfs-rtt: what speaks something else, or ends, is told" {
  run -1 between sh -c 'echo SSH-2.0-OpenSSH; exec cat >/dev/null'
  [[ $output == *'nfs-rtt: this is no SFTP server'* ]]
  rm "$BED/there"
  run -1 between true
  [[ $output == *'nfs-rtt: the link ended'* ]]
}
