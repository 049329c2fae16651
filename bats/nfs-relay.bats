#!/usr/bin/env bats
# nfs-relay.pl and nfs-stream.pm: a stream that outlives its links.
# shellcheck disable=SC2016 # Perl, not shell, and the programs' shells' own
# shellcheck disable=SC2094 # both ends of a fifo

bats_require_minimum_version 1.5.0
load pod

setup() {
  make_run
  export SCRIPTS
}

teardown() {
  exec 8>&-
  kill "$(cat "$BED/far.pid" 2>/dev/null)" 2>/dev/null || true
  drop_run
}

# streams: run the Perl on stdin with the streams' code, and with carry(ENDS, GOT, SIZE, MOST, MOST): one link between both
# ENDS, which carries MOST bytes from the first one, and from the second one, SIZE at once; GOT grows by what each is told.
streams() {
  cat >"$BED/carry.pl" <<'PERL'
sub carry {
    my ($ends, $got, $size, @most) = @_;
    my @wire = map { $_->begin } @$ends;
    my $moved = 1;
    while ($moved) {
        $moved = 0;
        for my $from (0, 1) {
            my $to = 1 - $from;
            while ((my $frame = $ends->[$from]->due) ne "") { $wire[$from] .= $frame }
            my ($n) = sort { $a <=> $b } $size, $most[$from], length $wire[$from];
            next if !$n;
            $got->[$to] .= $ends->[$to]->take(substr $wire[$from], 0, $n, "");
            ($most[$from], $moved) = ($most[$from] - $n, 1);
        }
    }
}
1;
PERL
  perl -Mstrict -Mwarnings=FATAL,all -e '
    require "$ENV{SCRIPTS}/nfs-stream.pm";
    require "$ENV{BED}/carry.pl";
    eval join "", <STDIN>;
    die $@ if $@'
}

@test "nfs-stream: wherever a link is cut, on either way, both streams are whole in the end" {
  streams <<'PERL'
my @said = (join("", "a" .. "z"), join "", 0 .. 9);
for my $first (0 .. 60) {
    for my $second (map { 3 * $_ } 0 .. 17) {
        my ($ends, $got) = ([Stream->new, Stream->new], ["", ""]);
        $ends->[$_]->give(substr $said[$_], 0, 7) for 0, 1;
        carry($ends, $got, 1, $first, $second);
        $ends->[$_]->give(substr $said[$_], 7) for 0, 1;
        carry($ends, $got, 5, $second, $first);
        carry($ends, $got, 1, 1000, 1000);
        die "cut at $first and $second: @$got\n" if $got->[1] ne $said[0] || $got->[0] ne $said[1];
    }
}
PERL
}

@test "nfs-stream: so it is with much that is cut often, and no more is kept than 4 MiB" {
  streams <<'PERL'
my @said = map { join "", map { pack "N", rand 1 << 32 } 1 .. 1_500_000 } 0, 1;
my @left = @said;
my ($ends, $got) = ([Stream->new, Stream->new], ["", ""]);
while (length $got->[1] < length $said[0] || length $got->[0] < length $said[1]) {
    for (0, 1) {
        my $room = $ends->[$_]->room;
        $ends->[$_]->give(substr $left[$_], 0, $room, "");
        die "$room\n" if $room < 0 || $room > 4 << 20;
        die "more is kept\n" if $left[$_] ne "" && $ends->[$_]->room != 0;
    }
    carry($ends, $got, 50_000, int rand 2_000_000, int rand 2_000_000);
}
die "not the same\n" if $got->[1] ne $said[0] || $got->[0] ne $said[1];
PERL
}

@test "nfs-stream: what is no frame, or can't be true, is refused, and the stream goes on with the next link" {
  streams <<'PERL'
my $hello = pack "a N Q>", "A", 8, 0;
my %refused = (
    "not of this kind" => "SSH-2.0-OpenSSH",
    "of another length" => pack("a N Q> C", "A", 9, 0, 0),
    "longer than any" => $hello . pack("a N", "D", (1 << 17) + 1),
    "before it was asked for" => pack("a N/a*", "D", "x"),
    "more than was sent" => pack("a N Q>", "A", 8, 8),
    "less than was acknowledged" => pack("a N Q>", "A", 8, 3),
    "good, and then not" => $hello . pack("a N/a*", "D", "lost") . "garbage",
);
for my $what (sort keys %refused) {
    my ($ends, $got) = ([Stream->new, Stream->new], ["", ""]);
    if ($what =~ /less/) {
        $ends->[0]->give("first");
        carry($ends, $got, 100, 1000, 1000);
        # Once more, or it does not know that it has come.
        carry($ends, $got, 100, 1000, 1000);
    }
    $ends->[0]->begin;
    die "$what: taken\n" if defined eval { $ends->[0]->take($refused{$what}) };
    $ends->[$_]->give("good$_") for 0, 1;
    carry($ends, $got, 100, 1000, 1000);
    die "$what: @$got\n" if $got->[0] ne "good1" || $got->[1] !~ /^(first)?good0$/;
}
PERL
}

# relays NEAR FAR: two of them, with the programs `sh -c NEAR` and `sh -c FAR`. The near one ends with descriptor 8.
relays() {
  mkfifo "$BED/life"
  perl "$SCRIPTS/nfs-relay.pl" keep "$BED/near" 0 sh -c "$1" <"$BED/life" 2>>"$BED/near.said" 3>&- &
  echo $! >"$BED/near.pid"
  exec 8>"$BED/life"
  perl "$SCRIPTS/nfs-relay.pl" keep "$BED/far" "${LIMIT:-60}" sh -c "$2" </dev/null 2>>"$BED/far.said" 3>&- 8>&- &
  echo $! >"$BED/far.pid"
}

# wire COMMAND…: a link between both, with COMMAND in the way from the near one to the far one. Ends when it does.
wire() {
  rm -f "$BED/wire"
  mkfifo "$BED/wire"
  perl "$SCRIPTS/nfs-relay.pl" attach "$BED/near" <"$BED/wire" 3>&- 8>&- | "$@" 3>&- 8>&- |
    perl "$SCRIPTS/nfs-relay.pl" attach "$BED/far" >"$BED/wire" 3>&- 8>&-
}

# cut COUNT: copy so many bytes of stdin, at once.
cut() {
  perl -e 'my $left = shift;
    while ($left > 0 and my $n = sysread STDIN, my $bytes, $left) { syswrite STDOUT, $bytes; $left -= $n }' "$1"
}

@test "nfs-relay: links that end again and again cost nothing of what goes either way" {
  random_file "$BED/one" 5000000
  random_file "$BED/two" 5000000
  relays 'cat "$BED/one" & exec cat >"$BED/got-two"' 'cat "$BED/two" & exec cat >"$BED/got-one"'
  for _ in 1 2 3 4 5 6; do wire cut 700000; done
  run ! cmp -s "$BED/one" "$BED/got-one"
  wire cat 8>&- &
  local wire=$!
  eventually cmp -s "$BED/one" "$BED/got-one"
  eventually cmp -s "$BED/two" "$BED/got-two"
  exec 8>&-
  wait "$wire"
  # Its program's input has ended.
  eventually ended_process "$(<"$BED/near.pid")"
}

@test "nfs-relay: what goes one way while the other is full gets there" {
  random_file "$BED/one" 20000000
  export WOMM_SILENCE=2
  relays 'cat "$BED/one"; exec sleep 20' 'until [ -e "$BED/go" ]; do sleep 0.02; done; exec cat >"$BED/got-one"'
  wire cat 8>&- &
  # More than it is silent for: it is read as far as there is room, and says so.
  sleep 4.5
  : >"$BED/go"
  eventually cmp -s "$BED/one" "$BED/got-one"
  [[ $(pgrep -fc "attach $BED/") -ge 2 ]]
}

@test "nfs-relay: a link that says nothing more is let go, and the program is not" {
  export WOMM_SILENCE=2
  relays 'exec cat' 'echo word; exec cat >"$BED/back"'
  wire cat 8>&- &
  eventually grep -qx word "$BED/back"
  local far
  far=$(pgrep -f "attach $BED/far" | head -1)
  kill -STOP "$(<"$BED/near.pid")"
  eventually ended_process "$far"
  kill -CONT "$(<"$BED/near.pid")"
  kill -0 "$(<"$BED/far.pid")"
}

@test "nfs-relay: the last who comes has the link" {
  relays 'exec cat' 'echo word; exec cat >"$BED/back"'
  perl "$SCRIPTS/nfs-relay.pl" attach "$BED/far" told </dev/zero >/dev/null 2>"$BED/attached" 3>&- 8>&- &
  eventually grep -q "can't be used: this is no frame" "$BED/far.said"
  grep -qx told "$BED/attached"
  eventually ended_process $!
  sleep 20 3>&- 8>&- | perl "$SCRIPTS/nfs-relay.pl" attach "$BED/far" first >/dev/null 2>"$BED/attached" 3>&- 8>&- &
  eventually grep -qx first "$BED/attached"
  wire cat 8>&- &
  eventually grep -qx word "$BED/back"
}

@test "nfs-relay: without a link it ends after its time, and so does its program's input" {
  LIMIT=1 relays 'exec cat' 'cat; echo over >"$BED/over"'
  eventually test -e "$BED/over"
  eventually ended_process "$(<"$BED/far.pid")"
  [[ ! -e $BED/far ]]
}

@test "nfs-relay: it ends with its program, and a program that takes too long is killed" {
  relays 'trap "" TERM; while true; do sleep 1; done' 'exit 0'
  eventually ended_process "$(<"$BED/far.pid")"
  local program
  program=$(pgrep -P "$(<"$BED/near.pid")")
  exec 8>&-
  eventually ended_process "$(<"$BED/near.pid")"
  ended_process "$program"
}

@test "nfs-relay: nobody else gets in; what can't be run is told" {
  relays 'exec cat' 'exec cat'
  eventually test -S "$BED/near"
  [[ $(stat -c %a "$BED/near") == 600 ]]
  run -0 perl "$SCRIPTS/nfs-relay.pl" keep "$BED/other" 5 /no/such/program
  [[ $output == 'nfs-relay: /no/such/program: No such file or directory' ]]
  run -255 perl "$SCRIPTS/nfs-relay.pl" attach
  [[ $output == 'usage: nfs-relay.pl keep'* ]]
}
