#!/usr/bin/env perl
# agent-back.pl: the part of the agent (see agent.pl) that has what a job has changed sent to the file server, by the
# pod's other container (see share-back.pl), before the job's end is told.
package Womm::Agent;
use strict;
use warnings;
use POSIX ();
use Fcntl ();

# Seconds until it is asked again where it does not answer.
use constant { AGAIN => 0.2 };

# Whether what jobs change goes back.
our $goes_back;
# Those of agent.pl and agent-jobs.pl.
our ($name, $session, %jobs);

# is_back JOB: whether what it has changed is on the file server, or will never be: then it has failed. The first
# call has it sent; told_at is when to call again at the latest.
sub is_back {
    my ($job) = @_;
    my $back = $job->{back} //= { until => now() + $session->{dead_man}, said => "", why => "nothing answers in the pod" };
    return 1 if $back->{done};
    return fail_back($job) if now() >= $back->{until};
    ask_back($back) unless $back->{socket};
    $job->{told_at} = $back->{socket} ? $back->{until} : now() + AGAIN;
    return 0;
}

# ask_back BACK: ask for it, if there is somebody to be asked.
sub ask_back {
    my ($back) = @_;
    socket my $socket, AF_UNIX(), SOCK_STREAM(), 0 or return;
    # A full queue is no reason to wait in it.
    fcntl $socket, Fcntl::F_SETFL(), Fcntl::O_NONBLOCK();
    # Without what tells the mount namespace: the containers share the network, and the task is theirs.
    connect $socket, pack "S x a*", AF_UNIX(), "womm/$name/back" or return;
    @$back{qw(socket said)} = ($socket, "");
}

# fail_back JOB: it counts as failed, for what it has done is not safe. Returns 1.
sub fail_back {
    my ($job) = @_;
    my $message = "womm: what this job has changed could not be sent to the file server within"
        . " $session->{dead_man} s, so it counts as failed: $job->{back}{why}" . ($job->{terminal} ? "\r\n" : "\n");
    # Its stderr may have used all its credit.
    put("E", $job->{number}, $message) if length $message <= $job->{spare};
    $job->{status} = 255 << 8;
    $job->{back}{done} = 1;
    return 1;
}

# serve_back READ: hear what is answered, and have the jobs looked at that it is about.
sub serve_back {
    my ($read) = @_;
    for my $job (grep { $_->{back} and $_->{back}{socket} and vec $read, fileno $_->{back}{socket}, 1 } values %jobs) {
        my $back = $job->{back};
        my $n = sysread $back->{socket}, $back->{said}, 4096, length $back->{said};
        next if not defined $n and for_now();
        close delete $back->{socket} unless $n;
        while ($back->{said} =~ s/\A(\w+) ?(.*)\n//) {
            if ($1 eq "done") { $back->{done} = 1 }
            else              { $back->{why}  = $2 }
        }
        # At once, or, where it has hung up, a little later.
        $job->{told_at} = $n ? now() : now() + AGAIN;
    }
}
