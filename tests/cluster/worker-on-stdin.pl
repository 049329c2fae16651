#!/usr/bin/env perl
# worker-on-stdin.pl [-l USER] [-p PORT] HOST -- COMMAND...: womm's login as GNU parallel of 2026 calls it.
#
# That one gives `exec perl - SEQ` as the command and sends its worker on the login's stdin: Perl text, __END__, 16 KiB
# of padding in which perl's reading ahead ends, and then what the job itself is to read. A line of the padding is 64
# bytes long and says how many bytes of it follow; the worker skips them with sysread.
# Called with the worker of an earlier release in its arguments, this calls login-itself.pl, beside it, in the new way.
use strict;
use warnings;

use constant { LINE => 64, LINES => 256, CHUNK => 1 << 16 };

# The Perl text that skips the rest of the padding.
my $skip = <<'PERL';
{
    my ($seen, $left) = ("");
    until (defined $left) {
        sysread STDIN, $seen, 128, length $seen or die "no padding";
        $left = $1 - (length($seen) - $+[0]) if $seen =~ /(?:\A|\n)([0-9]{63})\n/;
    }
    while ($left > 0) {
        my $n = sysread STDIN, my $skipped, $left or die "the padding is cut";
        $left -= $n;
    }
}
PERL

# put BYTES: write all of them to stdout, or end: nobody reads them any more.
sub put {
    my ($bytes) = @_;
    while (length $bytes) {
        my $n = syswrite STDOUT, $bytes or exit;
        substr $bytes, 0, $n, "";
    }
}

# feed WORKER: give stdin a WORKER before what it holds, and be the process behind that.
sub feed {
    my ($worker) = @_;
    pipe my $read, my $write or die "pipe: $!\n";
    # Once more: it must be no child of the login's.
    if (my $pid = fork // die "fork: $!\n") {
        waitpid $pid, 0;
        open STDIN, "<&", $read or die "stdin: $!\n";
        return;
    }
    exit if fork;
    close $read;
    open STDOUT, ">&", $write and close $write;
    open STDERR, ">", "/dev/null";
    put("$skip$worker\n__END__\n" . join "", map { sprintf "%063d\n", LINE * (LINES - $_) } 1 .. LINES);
    my $bytes;
    put($bytes) while sysread STDIN, $bytes, CHUNK;
    exit;
}

# main: see above.
sub main {
    my @host;
    push @host, shift @ARGV while @ARGV and $ARGV[0] ne "--";
    my $command = "@ARGV";
    if ($command =~ s/ exec perl -X -e GNU_Parallel_worker,\S+ ([0-9a-f ]+)\z/ exec perl - $ENV{PARALLEL_SEQ}/) {
        (my $hex = $1) =~ tr/ //d;
        feed(pack "H*", $hex);
    }
    (my $login = $0) =~ s/[^\/]+\z/login-itself.pl/;
    exec $^X, "-X", $login, @host, $command =~ /\A(--) (.*)\z/s or die "$login: $!\n";
}

main();
