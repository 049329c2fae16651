#!/usr/bin/env perl
# nfs-dirs.pl SECONDS: pass an SFTP server's answers from stdin to stdout; a directory's modification time in them is never
# older than the last multiple of SECONDS.
#
# nfs-ganesha reads a directory anew, all its files' attributes with it and in a few round trips, if its time has grown. If not,
# it asks for each file by itself once its attributes have aged: a round trip for each.
use strict;
use warnings;

# Bytes of one read. SFTP's answers with attributes; what tells that there are sizes, owners, modes, times, extensions; a mode's
# kind, and a directory's.
use constant { CHUNK => 1 << 17, NAME => 104, ATTRS => 105 };
use constant { SIZE => 1, OWNER => 2, MODE => 4, TIMES => 8, MORE => 1 << 31, KIND => 0170000, DIRECTORY => 0040000 };

my ($seconds) = @ARGV;

# renew PACKET AT: have the attributes at AT in PACKET a newer time if they are a directory's; return where they end, or nothing
# if that can't be told.
sub renew {
    my ($packet, $at) = @_;
    my $flags = unpack "N", substr $$packet, $at, 4;
    return if $flags & MORE;
    $at += 4;
    $at += 8 if $flags & SIZE;
    $at += 8 if $flags & OWNER;
    my $mode = 0;
    if ($flags & MODE) {
        $mode = unpack "N", substr $$packet, $at, 4;
        $at += 4;
    }
    if ($flags & TIMES) {
        my $now = time;
        my $least = $now - $now % $seconds;
        if (($mode & KIND) == DIRECTORY and unpack("N", substr $$packet, $at + 4, 4) < $least) {
            substr $$packet, $at + 4, 4, pack "N", $least;
        }
        $at += 8;
    }
    return $at;
}

# renew_all PACKET: the same for each attributes in a list of names.
sub renew_all {
    my ($packet) = @_;
    my ($count, $at) = (unpack("N", substr $$packet, 5, 4), 9);
    while ($count-- > 0 and defined $at and $at < length $$packet) {
        # A name, and its line as ls has it.
        $at += 4 + unpack "N", substr $$packet, $at, 4 for 1, 2;
        $at = renew($packet, $at);
    }
}

# put BYTES: write all of them.
sub put {
    my ($bytes) = @_;
    my $done = 0;
    while ($done < length $bytes) {
        my $count = syswrite STDOUT, $bytes, length($bytes) - $done, $done;
        next if !defined $count and $!{EINTR};
        exit 0 if !defined $count;
        $done += $count;
    }
}

# main: see above. Ends with stdin.
sub main {
    my ($rest, $passing) = ("", 0);
    $SIG{PIPE} = "IGNORE";
    while (1) {
        my $got = sysread STDIN, $rest, CHUNK, length $rest;
        next if !defined $got and $!{EINTR};
        last if !$got;
        my $out = "";
        while (length $rest) {
            if ($passing) {
                # The rest of a packet that holds no attributes: there is no need to have all of it first.
                my $piece = substr $rest, 0, $passing, "";
                $passing -= length $piece;
                $out .= $piece;
                next;
            }
            last if length $rest < 5;
            my ($length, $type) = unpack "N C", $rest;
            if ($type != NAME and $type != ATTRS) {
                $passing = 4 + $length;
                next;
            }
            last if length $rest < 4 + $length;
            $out .= substr $rest, 0, 4, "";
            my $packet = substr $rest, 0, $length, "";
            $type == NAME ? renew_all(\$packet) : renew(\$packet, 5);
            $out .= $packet;
        }
        put($out);
    }
}

main();
