#!/usr/bin/env bats
# nfs-dirs.pl with packets as an SFTP server makes them (draft-ietf-secsh-filexfer-02).
# shellcheck disable=SC2016 # Perl, not shell

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  # attrs MODE TIME: attributes with all that there is; few MODE: with a mode alone; packet TYPE BODY.
  cat >"$BED/packets.pl" <<'PERL'
sub attrs { my ($mode, $time) = @_; return pack "N Q> N N N N N", 15, 7, 1000, 1000, $mode, 1, $time }
sub few { return pack "N N", 4, $_[0] }
sub packet { my ($type, $body) = @_; return pack "N C N a*", 5 + length $body, $type, 9, $body }
sub entry { my ($name, $attrs) = @_; return pack("N/a* N/a*", $name, "ls says $name") . $attrs }
sub name { return packet(104, pack "N a*", scalar @_, join "", @_) }
PERL
}

teardown() {
  drop_run
}

# passed PERL: print, in hex, what comes of the packets that PERL makes, with hours as the SECONDS.
passed() {
  perl -e 'require shift; print eval shift; die $@ if $@' "$BED/packets.pl" "$1" |
    perl "$SCRIPTS/nfs-dirs.pl" 3600 | od -An -v -tx1
}

# expected PERL: print what passed would print if nothing was changed; $HOUR in PERL is the last whole hour.
expected() {
  perl -e 'require shift; our $HOUR = time - time % 3600; print eval shift; die $@ if $@' "$BED/packets.pl" "$1" | od -An -v -tx1
}

@test "nfs-dirs: a directory's time is the last whole hour if it was older" {
  [[ $(passed 'packet(105, attrs(040755, 5))') == "$(expected 'packet(105, attrs(040755, $HOUR))')" ]]
}

@test "nfs-dirs: a directory that was changed since has its own time" {
  local later='packet(105, attrs(040755, 4000000000))'
  [[ $(passed "$later") == "$(expected "$later")" ]]
}

@test "nfs-dirs: files and links, and what has no times, are as they are" {
  local as_is='join "", map { packet(105, $_) } attrs(0100644, 5), attrs(0120777, 5), few(040755), pack("N", 0)'
  [[ $(passed "$as_is") == "$(expected "$as_is")" ]]
}

@test "nfs-dirs: in a list of names each one's own kind counts" {
  local one='name(entry("a", attrs(0100644, 5)), entry("b", attrs(040755, %s)), entry("", few(0100644)), entry("c", attrs(040700, %s)))'
  # shellcheck disable=SC2059 # the same list with other times
  [[ $(passed "$(printf "$one" 5 6)") == "$(expected "$(printf "$one" '$HOUR' '$HOUR')")" ]]
}

@test "nfs-dirs: what is no attributes passes as it is, however long" {
  local data='packet(103, pack("N/a*", packet(105, attrs(040755, 5)) x 9000)) . packet(101, pack("N", 0)) . packet(105, attrs(040755, %s))'
  # shellcheck disable=SC2059 # the same packets with another time
  [[ $(passed "$(printf "$data" 5)") == "$(expected "$(printf "$data" '$HOUR')")" ]]
}

@test "nfs-dirs: packets that come in pieces are put together, and none is kept back" {
  perl -e 'require shift; $| = 1; my $p = packet(105, attrs(040755, 5));
    for (split //, $p) { print; select undef, undef, undef, 0.01 } sleep 20' "$BED/packets.pl" |
    perl "$SCRIPTS/nfs-dirs.pl" 3600 | head -c 41 | od -An -v -tx1 >"$BED/got" &
  local end=$((SECONDS + 10))
  until [[ -s $BED/got ]]; do
    ((SECONDS < end))
    sleep 0.1
  done
  [[ $(<"$BED/got") == "$(expected 'packet(105, attrs(040755, $HOUR))')" ]]
}

@test "nfs-dirs: attributes with extensions, and lists that lie about their length, do no harm" {
  local odd='packet(105, pack("N N N/a* N/a*", 1 << 31, 1, "name", "value")) . packet(104, pack "N", 4000000000)'
  [[ $(passed "$odd" 2>/dev/null) == "$(expected "$odd")" ]]
}
