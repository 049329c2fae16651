#!/usr/bin/env perl
# agent-boot.pl LENGTH NAME: read LENGTH bytes of Perl from stdin, and nothing beyond them, and evaluate them
# with NAME as the argument.
#
# The client sends this text without its comments and on one line, as an argument of perl -e: keep it short.
# What it evaluates shares no variable with it: the agent lets GNU parallel's programs see an empty perl.

# womm_read: the LENGTH bytes. sysread takes no more from stdin than it is asked for.
sub womm_read {
    my ($left, $text) = (shift @ARGV, "");
    while ($left > 0) {
        my $n = sysread STDIN, $text, $left, length $text;
        die "womm: the agent did not arrive whole\n" unless $n;
        $left -= $n;
    }
    return $text;
}
eval womm_read();
die $@ if $@;
