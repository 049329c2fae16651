#!/usr/bin/env perl
# pod-init.pl: process 1 of a worker pod (run by perl -e). Reaps what its jobs leave behind, and ends on TERM:
# a process 1 without a handler (sleep, say) would not, and deleting the pod would take its whole grace period.
#
# Its end kills everything else, one after the other: a shell may see its child die first and report that as the
# job's own end. So the agents go before it; they tell nothing more, and end their jobs.
use strict;
use warnings;

use constant { PATIENCE => 150, PAUSE => 0.02 };
# The status of a process that TERM has ended. With 0 an evicted pod would be one that has Succeeded, and nobody learnt
# of the eviction.
use constant { ENDED => 143 };

# agents: the processes that call themselves womm-agent.
sub agents {
    opendir my $proc, "/proc" or return;
    return grep { is_agent($_) } grep { /\A[0-9]+\z/ } readdir $proc;
}

# is_agent PID: whether it is an agent.
sub is_agent {
    open my $file, "<", "/proc/$_[0]/cmdline" or return 0;
    local $/;
    return (readline($file) // "") =~ /\Awomm-agent /;
}

# end: see the agents to their end, and end.
sub end {
    kill "TERM", agents();
    my $looks = 0;
    select undef, undef, undef, PAUSE while $looks++ < PATIENCE and agents();
    exit ENDED;
}

$SIG{TERM} = $SIG{INT} = \&end;
# The kernel reaps the children of a process that ignores SIGCHLD.
$SIG{CHLD} = "IGNORE";
sleep while 1;
