#!/usr/bin/env perl
# relay.pl POD NONCE COMMAND...: run COMMAND (a kubectl exec of job-entry.pl) and pass on what the job
# writes, byte for byte; exit with the job's status.
#
# kubectl can lose the end of a stream and exit with 0 (kubernetes/kubernetes#124571, #73056). So the
# entry ends each stream with a mark: "\0womm:NONCE:" STATUS "\0". Both marks are taken out here, and
# a stream that ends without its mark is a lost job: exit 255, never a success.
# No modules: this program starts once per job.
use strict;
use warnings;

use constant { EINTR => 4, EPIPE => 32, SIGPIPE => 13, LOST => 255 };

my ($pod, $nonce, @command) = @ARGV;
my $mark = "\0womm:$nonce:";
my @held   = ("", "");       # bytes read but not passed on yet, of stdout and stderr
my @status = (undef, undef); # the status that each stream's mark told

# fail WHAT: say that WHAT did not work, and end as a lost job does (die's own status would be errno).
sub fail {
    print STDERR "womm: $_[0]: $!\n";
    exit LOST;
}

# start: run @command with our stdin, and its stdout and stderr on pipes.
# Returns its pid and the ends to read from.
sub start {
    pipe(my $out, my $to_out) && pipe(my $err, my $to_err) or fail("pipe");
    my $pid = fork;
    fail("fork") unless defined $pid;
    if (!$pid) {
        my $complaint = "womm: can't run $command[0]";
        open(STDOUT, ">&", $to_out) && open(STDERR, ">&", $to_err) or exit LOST;
        close $_ for $out, $err, $to_out, $to_err;
        no warnings "exec";
        exec { $command[0] } @command;
        print STDERR "$complaint: $!\n";
        exit LOST;
    }
    return ($pid, $out, $err);
}

# put CHANNEL BYTES: write all of BYTES to our stdout (0) or stderr (1). If the reader has gone, end as
# SIGPIPE would end us.
sub put {
    my ($channel, $bytes) = @_;
    my $to = $channel == 0 ? \*STDOUT : \*STDERR;
    for (my $done = 0 ; $done < length $bytes ;) {
        my $n = syswrite $to, $bytes, length($bytes) - $done, $done;
        if (defined $n) { $done += $n; next }
        next if $! == EINTR;
        kill SIGPIPE, $$ if $! == EPIPE;
        fail("write");
    }
}

# held_back BYTES: the length of the end of BYTES that may be the beginning of the mark.
sub held_back {
    my ($bytes) = @_;
    for my $n (reverse 1 .. length($mark) + 3) {
        next if $n > length $bytes;
        my $end = substr $bytes, -$n;
        return $n if $end =~ /\A\Q$mark\E[0-9]*\z/ or $end eq substr $mark, 0, $n;
    }
    return 0;
}

# pass CHANNEL: pass on what is held of CHANNEL, but for the mark and what may become it.
sub pass {
    my ($channel) = @_;
    if ($held[$channel] =~ s/\Q$mark\E([0-9]{1,3})\0//) {
        $status[$channel] = $1;
        put($channel, $held[$channel]);
        $held[$channel] = "";
        return;
    }
    my $ready = length($held[$channel]) - held_back($held[$channel]);
    put($channel, substr $held[$channel], 0, $ready, "");
}

# main: see above. Returns the exit status.
sub main {
    my ($pid, @from) = start();
    my %open = (0 => $from[0], 1 => $from[1]);
    while (%open and not(defined $status[0] and defined $status[1])) {
        my $bits = "";
        vec($bits, fileno $_, 1) = 1 for values %open;
        next if select(my $ready = $bits, undef, undef, undef) < 0;
        for my $channel (sort keys %open) {
            next unless vec $ready, fileno $open{$channel}, 1;
            my $n = sysread $open{$channel}, $held[$channel], 65536, length $held[$channel];
            next if !defined $n and $! == EINTR;
            if ($n) { pass($channel) }
            else    { delete $open{$channel} }
        }
    }
    # With both marks here all output is here: kubectl has nothing more to tell.
    kill "KILL", $pid;
    waitpid $pid, 0;
    return $status[1] if defined $status[0] and defined $status[1];
    put($_, $held[$_]) for 0, 1;
    put(1, "womm: the connection to $pod was lost before its job had ended\n");
    return LOST;
}

exit main();
