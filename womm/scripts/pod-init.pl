#!/usr/bin/env perl
# pod-init.pl: process 1 of a worker pod (run by perl -e). Reaps what its jobs leave behind, and ends at
# once on TERM: a process 1 without a handler (sleep, say) would not, and deleting the pod would take
# its whole grace period.
use strict;
use warnings;

$SIG{TERM} = $SIG{INT} = sub { exit 0 };
# The kernel reaps the children of a process that ignores SIGCHLD.
$SIG{CHLD} = "IGNORE";
sleep while 1;
