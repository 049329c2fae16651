#!/usr/bin/env perl
# login.pl [-l USER] [-p PORT] HOST [--] COMMAND...: what GNU parallel, and rsync for it, call as their ssh.
#
# Hands HOST, the job's number (GNU parallel's $PARALLEL_SEQ, if it is set), COMMAND (joined by blanks, as ssh does) and
# its own stdin, stdout and stderr to the run's hub, which listens at $WOMM_RUN/hub, and exits with the status that the
# hub tells.
# No modules, not even strict and warnings: this program starts once per job, and they would cost more than all
# it does (`perl -e 0` takes 2.7 ms, this 0.2 more; strict and warnings take 2.5, Socket 8). Numbers are Linux's.

# fail MESSAGE: end as ssh does when it is ssh that fails.
sub fail {
    print STDERR "$_[0]\n";
    exit 255;
}

# fill_streams: have something behind stdin, stdout and stderr where they are closed.
sub fill_streams {
    # A file that is opened gets the lowest number that is free.
    while (open my $null, "+<", "/dev/null") {
        last if fileno $null > 2;
        push @main::kept, $null;
    }
}

# send_first SOCKET BYTES: send some of BYTES, and our streams with them. Returns how many went.
sub send_first {
    my ($socket, $bytes) = @_;
    # struct cmsghdr: its length, SOL_SOCKET, SCM_RIGHTS, the files; struct iovec; struct msghdr.
    my $control = pack "Q i5 x4", 28, 1, 1, 0, 1, 2;
    my $vector  = pack "P Q", $bytes, length $bytes;
    my $header  = pack "x16 P Q P Q x8", $vector, 1, $control, length $control;
    # sendmsg is 46 on x86_64 and 211 on aarch64, where 46 is ftruncate: invalid for a socket (EINVAL).
    my $sent = syscall 46, fileno $socket, $header, 0;
    $sent = syscall 211, fileno $socket, $header, 0 if $sent < 0 and $! == 22;
    return $sent;
}

# main: see above.
sub main {
    fill_streams();
    while (@ARGV and $ARGV[0] =~ /^-./ and $ARGV[0] ne "--") {
        my $option = shift @ARGV;
        shift @ARGV if $option =~ /^-[lpoS]$/;
    }
    my $host = shift @ARGV;
    fail("usage: login.pl [-l USER] [-p PORT] HOST [--] COMMAND...") unless @ARGV and defined $ENV{WOMM_RUN};
    shift @ARGV if $ARGV[0] eq "--";
    my $request = "$host\0" . ($ENV{PARALLEL_SEQ} // "") . "\0@ARGV";
    $request = pack("V", length $request) . $request;
    # AF_UNIX, SOCK_STREAM.
    my $hub;
    socket($hub, 1, 1, 0) && connect $hub, pack "S a*", 1, "$ENV{WOMM_RUN}/hub"
        or fail("womm: the run is over; this job was not started");
    $SIG{PIPE} = "IGNORE";
    my $sent = send_first($hub, $request);
    while ($sent > 0 and $sent < length $request) {
        my $n = syswrite $hub, $request, length($request) - $sent, $sent;
        $sent = $n ? $sent + $n : 0;
    }
    my $answer = "";
    1 while length $answer < 4 and sysread $hub, $answer, 4 - length $answer, length $answer;
    fail("womm: the run has ended before this job") if length $answer < 4;
    exit unpack "V", $answer;
}

main();
