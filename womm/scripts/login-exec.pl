#!/usr/bin/env perl
# login-exec.pl POD COMMAND...: what rsync calls as its ssh where there is much to send.
#
# Runs COMMAND (joined by blanks, as ssh does) in POD by a `kubectl exec` of its own, on our streams: the hub's channel is there
# already and comes back when it is cut, but each byte of it costs this machine more (bench/sync). The hub watches: a job of its
# own lives there as long as COMMAND. Where that is lost, COMMAND is given up: neither rsync, which goes on asking whether the
# other end lives, nor kubectl would ever end.
# $WOMM_RUN/exec has the words that stand before POD, each ended by a NUL.
use strict;
use warnings;

# begin WORDS...: start a program, on our streams. Returns its pid.
sub begin {
    my $pid = fork // fail("womm: another process can't be started: $!");
    return $pid if $pid;
    no warnings "exec";
    exec { $_[0] } @_ or fail("womm: $_[0] can't be run: $!");
}

# fail MESSAGE: end as ssh does when it is ssh that fails.
sub fail {
    print STDERR "$_[0]\n";
    exit 255;
}

# watch POD: have the hub run a job there that does nothing until we end. Returns its login's pid.
sub watch {
    my ($pod) = @_;
    my ($login) = $0 =~ m{^(.*)-exec\.pl$};
    # It has the other end, and lives as long as we do.
    pipe my $nothing, our $life or fail("womm: pipe: $!");
    my $pid = fork // fail("womm: another process can't be started: $!");
    return $pid if $pid;
    open STDIN, "<&", $nothing and open STDOUT, ">", "/dev/null" and exec $^X, "-X", "$login.pl", $pod, "--", "exec cat";
    fail("womm: the hub can't be asked: $!");
}

# main: see above.
sub main {
    my ($pod, @command) = @ARGV;
    my $words;
    if (open my $file, "<", ($ENV{WOMM_RUN} // "") . "/exec") {
        local $/ = undef;
        $words = <$file>;
    }
    fail("usage: WOMM_RUN=DIR login-exec.pl POD COMMAND...") if !@command or !defined $words;
    my $watch = watch($pod);
    my $exec  = begin(split(/\0/, $words), $pod, "--", "sh", "-c", "@command");
    my $ended = wait;
    my $status = $?;
    kill "TERM", $watch, $exec;
    fail("womm: $pod is lost") if $ended == $watch;
    exit($status & 127 ? 128 + ($status & 127) : $status >> 8);
}

main();
