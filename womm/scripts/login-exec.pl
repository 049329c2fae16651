#!/usr/bin/env perl
# login-exec.pl POD COMMAND...: what rsync calls as its ssh where there is much to send.
#
# Runs COMMAND (joined by blanks, as ssh does) in POD by a `kubectl exec` of its own, which takes the place of this program.
# The hub's channel is there already and comes back when it is cut, but each byte of it costs this machine more (bench/sync).
# $WOMM_RUN/exec has the words that stand before POD, each ended by a NUL.
use strict;
use warnings;

# main: see above. Exits as ssh does when it is ssh that fails.
sub main {
    my ($pod, @command) = @ARGV;
    my $words;
    if (open my $file, "<", ($ENV{WOMM_RUN} // "") . "/exec") {
        local $/ = undef;
        $words = <$file>;
    }
    if (!@command or !defined $words) {
        print STDERR "usage: WOMM_RUN=DIR login-exec.pl POD COMMAND...\n";
        exit 255;
    }
    no warnings "exec";
    exec split(/\0/, $words), $pod, "--", "sh", "-c", "@command";
}

main();
print STDERR "womm: kubectl can't be run: $!\n";
exit 255;
