#!/usr/bin/env perl
# nfs-relay.pl keep SOCKET LIMIT PROGRAM…: run PROGRAM, and have its stdin and stdout be a stream with the program of
#       another such relay, over links that may end and be begun anew without a byte lost: whoever connects to SOCKET is the
#       link from then on, and what was it before is let go. A link that is silent, or says what is no frame, is let go.
#       Ends when PROGRAM does, or when there was no link for LIMIT seconds; with LIMIT 0, when stdin ends. PROGRAM sees the
#       end of its input then, and is killed if it is still there 3 s later. While there is a link, there is a file SOCKET.up.
# nfs-relay.pl attach SOCKET [LINE]: be a link's end with our stdin and stdout, until either side ends it. LINE is told on
#       stderr once the relay answers.
#
# sshfs in the NFS server has one of these, the SFTP server on the user's machine the other one. Only what every perl has.
# Environment: WOMM_SILENCE, seconds (default 20) after which a silent link is none.
use strict;
use warnings;
use IO::Handle ();
use POSIX ();
require(__FILE__ =~ s{[^/]*$}{nfs-stream.pm}r);

use constant { AF_UNIX => 1, SOCK_STREAM => 1, BACKLOG => 8 };
# Bytes that are read at once; on their way to the program at most, beside what was just read.
use constant { CHUNK => 1 << 17, MOST => 1 << 18 };
# Seconds of silence after which a link is none; between two signs of life; that its other end may take to begin, besides.
use constant SILENCE => $ENV{WOMM_SILENCE} // 20;
use constant { SIGN => SILENCE / 4, GREETING => SILENCE };
# Seconds after which the time is looked at.
use constant GLANCE => SIGN < 1 ? SIGN : 1;
# Seconds that the program has to end; that a relay has to listen.
use constant { LAST => 3, START => 10 };

# now: seconds since some moment. Unlike time, nobody can set this clock.
sub now {
    return (POSIX::times())[0] / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# passing: whether what a read or write just failed of is no end.
sub passing {
    return $!{EAGAIN} || $!{EINTR};
}

# address PATH: of a socket.
sub address {
    my ($path) = @_;
    return pack "S a*", AF_UNIX, $path;
}

# --- keep

# start PROGRAM…: run it. Returns its pid, and the socket that its stdin and stdout are.
sub start {
    my (@program) = @_;
    socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0) or die "nfs-relay: $!\n";
    my $pid = fork;
    die "nfs-relay: $!\n" if !defined $pid;
    if (!$pid) {
        no warnings "exec";
        # One that is ignored would stay so.
        $SIG{PIPE} = "DEFAULT";
        open(STDIN, "<&", $theirs) && open(STDOUT, ">&", $theirs) && exec { $program[0] } @program;
        print STDERR "nfs-relay: $program[0]: $!\n";
        POSIX::_exit(127);
    }
    $ours->blocking(0);
    return ($pid, $ours);
}

# listening PATH: a socket that only our user can connect to; it is there once it can be connected to.
sub listening {
    my ($path) = @_;
    my $new    = "$path.new";
    my $before = umask 0177;
    socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die "nfs-relay: $!\n";
    bind($socket, address($new)) && listen($socket, BACKLOG) && rename $new, $path or die "nfs-relay: $path: $!\n";
    umask $before;
    $socket->blocking(0);
    return $socket;
}

# linked RELAY: whether there is a link whose other end has begun.
sub linked {
    my ($relay) = @_;
    return $relay->{link} && $relay->{stream}->begun;
}

# drop RELAY: let its link go.
sub drop {
    my ($relay) = @_;
    if (linked($relay)) {
        $relay->{alone} = now();
        unlink $relay->{up};
    }
    @$relay{qw(link out)} = (undef, "");
}

# admit RELAY: somebody connects; that is the link.
sub admit {
    my ($relay) = @_;
    accept my $link, $relay->{listener} or return;
    drop($relay);
    $link->blocking(0);
    @$relay{qw(link out)} = ($link, $relay->{stream}->begin);
    $relay->{signed} = now();
    $relay->{heard}  = now() + GREETING;
}

# from_link RELAY: take what came over the link.
sub from_link {
    my ($relay) = @_;
    my $n = sysread $relay->{link}, my $bytes, CHUNK;
    return if !defined $n && passing();
    if (!$n) {
        drop($relay);
        return;
    }
    my $linked = linked($relay);
    my $new = eval { $relay->{stream}->take($bytes) };
    if (!defined $new) {
        print STDERR "nfs-relay: a link that can't be used: $@";
        drop($relay);
        return;
    }
    if (!$linked && linked($relay)) { open my $up, ">", $relay->{up} }
    $relay->{heard} = now();
    $relay->{in} .= $new;
}

# to_link RELAY: send what is due, as far as the link takes it.
sub to_link {
    my ($relay) = @_;
    while ($relay->{link}) {
        $relay->{out} = $relay->{stream}->due if $relay->{out} eq "";
        last if $relay->{out} eq "";
        my $n = syswrite $relay->{link}, $relay->{out};
        if (defined $n) {
            substr $relay->{out}, 0, $n, "";
        } elsif (passing()) {
            last;
        } else {
            drop($relay);
        }
    }
}

# from_program RELAY: take what the program says. Returns false when it says nothing more.
sub from_program {
    my ($relay) = @_;
    my $room = $relay->{stream}->room;
    my $n = sysread $relay->{program}, my $bytes, $room < CHUNK ? $room : CHUNK;
    $relay->{stream}->give($bytes) if $n;
    return defined $n ? $n : passing();
}

# to_program RELAY: pass on what has come for it, as far as it reads. Returns false when it reads nothing more.
sub to_program {
    my ($relay) = @_;
    return 1 if $relay->{in} eq "";
    my $n = syswrite $relay->{program}, $relay->{in};
    return passing() if !defined $n;
    substr $relay->{in}, 0, $n, "";
    return 1;
}

# mind_the_time RELAY: give a sign of life, and look for the other end's. Returns false when there was no link for too long.
sub mind_the_time {
    my ($relay) = @_;
    my $now = now();
    if ($relay->{link}) {
        # What we don't read can't be heard.
        $relay->{heard} = $now if length $relay->{in} >= MOST;
        drop($relay)           if $now - $relay->{heard} > SILENCE;
    }
    if ($relay->{link} && $now - $relay->{signed} >= SIGN) {
        $relay->{out} .= $relay->{stream}->acknowledgement;
        $relay->{signed} = $now;
    }
    $relay->{alone} = $now if linked($relay);
    return !$relay->{limit} || $now - $relay->{alone} <= $relay->{limit};
}

# turn RELAY: wait until something can be done, for a short time, and do it. Returns false when that was all.
sub turn {
    my ($relay) = @_;
    my ($read, $write) = ("", "");
    my %wanted = (listener => 1, program => $relay->{stream}->room > 0, link => length $relay->{in} < MOST);
    for my $name (grep { $wanted{$_} && $relay->{$_} } keys %wanted) { vec($read, fileno $relay->{$name}, 1) = 1 }
    vec($read,  fileno STDIN, 1) = 1             if !$relay->{limit};
    vec($write, fileno $relay->{program}, 1) = 1 if $relay->{in} ne "";
    vec($write, fileno $relay->{link}, 1) = 1    if $relay->{link} && $relay->{out} ne "";
    if (select($read, $write, undef, GLANCE) > 0) {
        my $readable = sub { my ($handle) = @_; return $handle && vec $read, fileno $handle, 1 };
        return 0 if !$relay->{limit} && $readable->(\*STDIN) && !sysread STDIN, my $bytes, CHUNK;
        return 0 if $readable->($relay->{program}) && !from_program($relay);
        from_link($relay) if $readable->($relay->{link});
        admit($relay)     if $readable->($relay->{listener});
        return 0          if !to_program($relay);
    }
    return 0 if !mind_the_time($relay);
    to_link($relay);
    return 1;
}

# see_off PID: wait until the program has ended, and kill it if it takes too long.
sub see_off {
    my ($pid) = @_;
    my $end = now() + LAST;
    while (waitpid($pid, POSIX::WNOHANG()) == 0) {
        if (now() > $end) {
            kill "KILL", $pid;
            waitpid $pid, 0;
            return;
        }
        select undef, undef, undef, 0.02;
    }
}

# keep SOCKET LIMIT PROGRAM…: see above.
sub keep {
    my ($path, $limit, @program) = @_;
    my ($pid, $program) = start(@program);
    my %relay = (
        program => $program, listener => listening($path), up => "$path.up", link => undef, limit => $limit, alone => now(),
        stream  => Stream->new, in => "", out => "", heard => 0, signed => 0,
    );
    1 while turn(\%relay);
    unlink $path, $relay{up};
    # The program's input ends, and the link does.
    undef $program;
    %relay = ();
    see_off($pid);
}

# --- attach

# connected PATH: a connection to the relay, which may be starting.
sub connected {
    my ($path) = @_;
    my $end = now() + START;
    while (1) {
        socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die "nfs-relay: $!\n";
        return $socket if connect $socket, address($path);
        die "nfs-relay: $path: $!\n" if now() > $end;
        select undef, undef, undef, 0.02;
    }
}

# pour FROM TO [LINE]: copy until either ends. LINE is told when there is something.
sub pour {
    my ($from, $to, $line) = @_;
    while (1) {
        my $n = sysread $from, my $bytes, CHUNK;
        next if !defined $n && $!{EINTR};
        return if !$n;
        print STDERR "$line\n" if defined $line;
        undef $line;
        while ($bytes ne "") {
            $n = syswrite $to, $bytes;
            next if !defined $n && $!{EINTR};
            return if !defined $n;
            substr $bytes, 0, $n, "";
        }
    }
}

# attach SOCKET [LINE]: see above.
sub attach {
    my ($path, $line) = @_;
    my $relay = connected($path);
    my $pid = fork;
    die "nfs-relay: $!\n" if !defined $pid;
    if (!$pid) {
        pour(\*STDIN, $relay);
        # The other half sees it.
        shutdown $relay, 2;
        POSIX::_exit(0);
    }
    pour($relay, \*STDOUT, $line);
    kill "KILL", $pid;
    waitpid $pid, 0;
}

# main: see above.
sub main {
    my ($verb, @words) = @ARGV;
    # Who reads nothing more is told by the write.
    $SIG{PIPE} = "IGNORE";
    return keep(@words)   if $verb eq "keep"   && @words >= 3;
    return attach(@words) if $verb eq "attach" && @words >= 1;
    die "usage: nfs-relay.pl keep SOCKET LIMIT PROGRAM… | attach SOCKET [LINE]\n";
}

main();
