#!/usr/bin/env perl
# relay.pl POD NONCE COMMAND...: run COMMAND (a kubectl exec of job-entry.pl) and pass on what the job
# writes, byte for byte; exit with the job's status.
#
# kubectl can lose the end of a stream and exit with 0 (kubernetes/kubernetes#124571, #73056). So the
# entry ends each stream with a mark: "\xf5womm:NONCE:" STATUS "\0". Both marks are taken out here, and
# a stream that ends without its mark is a lost job: exit 255, never a success.
# Bytes that may be the beginning of the mark are held back, but not for long: a program like rsync may
# wait for an answer to just them. The mark begins with a byte that no UTF-8 has, so that this is rare.
# No modules: this program starts once per job.
use strict;
use warnings;

use constant { EINTR => 4, EPIPE => 32, SIGPIPE => 13, LOST => 255 };
use constant PATIENCE => 1;      # seconds

my ($pod, $nonce, @command) = @ARGV;
my $mark = "\xf5womm:$nonce:";
my @held   = ("", "");       # bytes of stdout and stderr that may be or become the mark
my @passed = (0, 0);         # how many of them have been passed on, because they were held too long
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
    if ($held[$channel] =~ /\Q$mark\E([0-9]{1,3})\0/) {
        my ($begin, $end, $told) = ($-[0], $+[0], $1);
        # A mark whose beginning has gone out as output spoils the output: the job is lost.
        $status[$channel] = $told if $begin >= $passed[$channel];
        substr $held[$channel], $begin, $end - $begin, "";
        release($channel);
        $held[$channel] = "";
        $passed[$channel] = 0;
        return;
    }
    my $ready = length($held[$channel]) - held_back($held[$channel]);
    my $new   = $ready - $passed[$channel];
    put($channel, substr $held[$channel], $passed[$channel], $new) if $new > 0;
    substr $held[$channel], 0, $ready, "";
    $passed[$channel] = $new > 0 ? 0 : -$new;
}

# release CHANNEL: pass on what is held of CHANNEL and was not passed on.
sub release {
    my ($channel) = @_;
    return if length $held[$channel] <= $passed[$channel];
    put($channel, substr $held[$channel], $passed[$channel]);
    $passed[$channel] = length $held[$channel];
}

# main: see above. Returns the exit status.
sub main {
    my ($pid, @from) = start();
    my %open = (0 => $from[0], 1 => $from[1]);
    while (%open and not(defined $status[0] and defined $status[1])) {
        my $bits = "";
        vec($bits, fileno $_, 1) = 1 for values %open;
        my $holding = grep { length $held[$_] > $passed[$_] } 0, 1;
        my $count   = select(my $ready = $bits, undef, undef, $holding ? PATIENCE : undef);
        next if $count < 0;
        if ($count == 0) { release($_) for 0, 1; next }
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
    release($_) for 0, 1;
    put(1, "womm: the connection to $pod was lost before its job had ended\n");
    return LOST;
}

exit main();
