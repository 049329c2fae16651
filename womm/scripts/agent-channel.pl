#!/usr/bin/env perl
# agent-channel.pl: the part of the agent (see agent.pl) that hands channels over, and sends and takes in frames.
package Womm::Agent;
use strict;
use warnings;
use POSIX ();
use Fcntl ();

use constant VERSION => "womm1";
# Bytes: the longest payload; one read of the channel; what may wait to be sent before jobs are no longer read; how
# often what arrives is acknowledged; the longest greeting.
use constant {
    LONGEST => 4 << 20, GULP => 1 << 18, MOST_UNSENT => 2 << 20, ACKNOWLEDGE_AFTER => 1 << 20,
    LONGEST_GREETING => 1 << 16,
};
# Seconds for a greeting.
use constant { GREET => 10 };
use constant { SOL_SOCKET => 1, SCM_RIGHTS => 1, SO_PEERCRED => 17 };
use constant { MSG_DONTWAIT => 0x40, MSG_CMSG_CLOEXEC => 0x4000_0000, MSG_CTRUNC => 8 };
# Numbers of the system calls that perl has no function for: sendmsg, recvmsg.
use constant SYSCALLS => (POSIX::uname())[4] eq "aarch64" ? (211, 212) : (46, 47);

# The channel in use, and those that have not greeted: socket (to the dialer), in, out, text, until, wide (in, out).
our ($channel, @dialled);
# Bytes received, and how many of them were acknowledged; those that make no whole frame yet; when the last came.
our ($received, $acknowledged, $arrived, $heard) = (0, 0, "", 0);
# Bytes not acknowledged; the counts of those before them, and of those sent.
our ($outgoing, $dropped, $sent) = ("", 0, 0);
# Those of agent.pl and agent-jobs.pl.
our ($listener, $session, %jobs, $highest);

# --- Frames out

# put TYPE NUMBER PAYLOAD: send a frame, sooner or later.
sub put {
    $outgoing .= pack "a N N", $_[0], $_[1], length $_[2];
    $outgoing .= $_[2];
}

# unsent: how many bytes wait to be sent.
sub unsent { return $channel ? $dropped + length($outgoing) - $sent : length $outgoing }

# has_room: whether more may be sent of what jobs write.
sub has_room { return unsent() < MOST_UNSENT }

# acknowledge: tell how much has been received.
sub acknowledge {
    $acknowledged = $received;
    put("A", 0, pack "Q>", $received);
}

# drop COUNT: forget the bytes before COUNT, which the hub says it has.
sub drop {
    my ($count) = @_;
    refuse() if $count < $dropped or $count > $sent;
    forget($count);
}

# forget COUNT: keep nothing of the bytes before COUNT.
sub forget {
    my ($count) = @_;
    substr $outgoing, 0, $count - $dropped, "";
    $dropped = $count;
}

# flush: send what the channel takes.
sub flush {
    while ($channel and unsent()) {
        my $n = syswrite $channel->{out}, $outgoing, GULP, $sent - $dropped;
        if (defined $n)          { $sent += $n }
        elsif (not for_now())    { lose_channel() }
        elsif (not widen("out")) { last }
    }
}

# widen END: have this end of the channel hold more, so that each turn of ours, and of what is behind it, moves more.
# Returns whether that changed something. Only where bulk goes: such memory is accounted to containerd's user.
sub widen {
    my ($end) = @_;
    return !$channel->{wide}{$end}++ && fcntl $channel->{$end}, F_SETPIPE_SZ(), PIPE();
}

# for_now: whether $! says that there is nothing wrong, but nothing to do now.
sub for_now { return $! == POSIX::EAGAIN() || $! == POSIX::EINTR() }

# --- Channels

# message VECTOR CONTROL: a struct msghdr that points to both, which must outlive it.
sub message { return pack "x16 P Q P Q x8", $_[0], 1, $_[1], length $_[1] }

# hand_over SOCKET: pass stdin and stdout to the agent.
sub hand_over {
    my ($socket) = @_;
    my ($byte, $control) = ("d", pack "Q i4", 24, SOL_SOCKET, SCM_RIGHTS, 0, 1);
    my $vector = pack "P Q", $byte, length $byte;
    my $header = message($vector, $control);
    syscall((SYSCALLS)[0], fileno $socket, $header, 0) > 0 or die "womm: sendmsg: $!\n";
}

# lose_channel: let go of the channel. What was not acknowledged stays.
sub lose_channel {
    close_channel($channel) if $channel;
    $channel = undef;
}

# close_channel CHANNEL: let go of its ends, and of its dialer, which is told that it was on purpose.
sub close_channel {
    syswrite $_[0]{socket}, ".";
    close $_ for grep { defined } @{ $_[0] }{qw(in out socket)};
}

# answer_dialer: take in a dialer, if it is of our own user.
sub answer_dialer {
    accept my $socket, $listener or return;
    my $peer = getsockopt $socket, SOL_SOCKET, SO_PEERCRED;
    return if not defined $peer or (unpack "i I I", $peer)[1] != $>;
    push @dialled, { socket => $socket, text => "", until => now() + GREET };
}

# receive_ends DIALLED: take the two ends of the channel from the dialer. Returns whether they came.
sub receive_ends {
    my ($dialled) = @_;
    # Written by the system call: strings of their own, no copies that perl shares.
    vec(my $byte = "", 0, 8) = 0;
    vec(my $control = "", 23, 8) = 0;
    my $vector = pack "P Q", $byte, length $byte;
    my $header = message($vector, $control);
    my $n      = syscall((SYSCALLS)[1], fileno $dialled->{socket}, $header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    return $n < 0 && for_now() if $n <= 0;
    my ($size, $level, $type, $in, $out) = unpack "Q i4", $control;
    return 0 if $size != 24 or $level != SOL_SOCKET or $type != SCM_RIGHTS or unpack("x48 I", $header) & MSG_CTRUNC;
    open $dialled->{in}, "<&=", $in and open $dialled->{out}, ">&=", $out or return 0;
    fcntl $_, Fcntl::F_SETFL(), Fcntl::O_NONBLOCK() for @$dialled{qw(in out)};
    return 1;
}

# listen_to DIALLED: read of its greeting what is there, and not a byte beyond it; answer it when it is whole.
# Returns whether it stays: as one that has not greeted yet, or as the channel.
sub listen_to {
    my ($dialled) = @_;
    my $have = length $dialled->{text};
    my $whole = 9 + ($have < 9 ? 0 : unpack "x5 N", $dialled->{text});
    my $n = sysread $dialled->{in}, $dialled->{text}, $whole - $have, $have;
    return defined $n ? 0 : for_now() unless $n;
    return 1 if $have + $n < 9;
    my ($type, $number, $length, $payload) = unpack "a N N a*", $dialled->{text};
    return 0 if $type ne "H" or $number != 0 or $length > LONGEST_GREETING;
    return 1 if length $payload < $length;
    return greeted($dialled, split /\0/, $payload, -1);
}

# greeted DIALLED FIELDS...: answer the hub's greeting. If it is our hub's, this is the channel from now on.
# Returns whether it is.
sub greeted {
    my ($dialled, $version, $key, $count, $dead_man, $directory, $shell) = @_;
    return 0 if @_ != 7 or $version ne VERSION or $key !~ /\A[0-9a-f]{32}\z/;
    return 0 if grep { !/\A[0-9]{1,15}\z/ } $count, $dead_man;
    return answer($dialled, "busy", "another run uses this pod") && 0 if $session and $session->{key} ne $key;
    # One that was long on its way, from a dial that the hub has given up: since then it has told more.
    return 0 if $session and ($count < $dropped or $count > $dropped + length $outgoing);
    lose_channel();
    forget($count) if $session;
    answer($dialled, $session ? "same" : "new", "") or return 0;
    # The hub may have given up on this dial, and counts from the last channel's end: its frames are signs of life,
    # its greeting is none (but for an agent that has no jobs yet).
    $heard = now() unless $session;
    $session ||= { key => $key, dead_man => $dead_man, directory => $directory, shell => find_shell($shell) };
    ($channel, $sent, $acknowledged) = ($dialled, $dropped, $received);
    return 1;
}

# answer DIALLED WORD REASON: send our greeting. Returns whether it went out; it is too short to go in pieces.
sub answer {
    my ($dialled, $word, $reason) = @_;
    my $payload = join "\0", VERSION, $word, $received, $reason;
    return syswrite $dialled->{out}, pack "a N N/a*", "H", 0, $payload;
}

# serve_channel READ: hear what it says. A dialer that has ended ends its channel.
sub serve_channel {
    my ($read) = @_;
    return unless $channel;
    return lose_channel() if vec $read, fileno $channel->{socket}, 1;
    hear() if vec $read, fileno $channel->{in}, 1;
}

# serve_dialled READ: take the next step with each that has not greeted.
sub serve_dialled {
    my ($read) = @_;
    my @left;
    for my $dialled (@dialled) {
        my $stays = $dialled->{until} > now();
        my $is    = $dialled->{in} || $dialled->{socket};
        $stays = $dialled->{in} ? listen_to($dialled) : receive_ends($dialled) if $stays and vec $read, fileno $is, 1;
        if    (!$stays) { close_channel($dialled) }
        elsif (!$channel or $channel != $dialled) { push @left, $dialled }
    }
    @dialled = @left;
    answer_dialer() if vec $read, fileno $listener, 1;
}
# --- Frames in

# What each frame from the hub does, with its job (undef if it has ended) and payload; the length of the payload
# (undef: any), and whether it is about a job.
my %frames = (
    I => [\&take_input,   undef, 1],
    Z => [\&end_input,    0,     1],
    W => [\&take_credit,  5,     1],
    B => [\&break_output, 1,     1],
    K => [\&kill_job,     0,     1],
    S => [\&resize,       4,     1],
    P => [\&acknowledge,  0,     0],
    A => [sub { drop(unpack "Q>", $_[1]) }, 8, 0],
    Q => [sub { end(1) }, 0,     0],
);

# obey TYPE NUMBER PAYLOAD: do what a frame says.
sub obey {
    my ($type, $number, $payload) = @_;
    return start_job($number, $payload) if $type eq "R";
    my ($do, $length, $for_job) = @{ $frames{$type} || refuse() };
    refuse() if defined $length and $length != length $payload;
    refuse() if $for_job ? $number == 0 || $number > $highest : $number != 0;
    $do->($jobs{$number}, $payload) if $jobs{$number} or not $for_job;
}

# hear: read from the channel what is there, and obey its whole frames.
sub hear {
    my $n = sysread $channel->{in}, $arrived, GULP, length $arrived;
    return defined $n || !for_now() ? lose_channel() : () unless $n;
    $received += $n;
    $heard = now();
    my $at = 0;
    while ($channel and length($arrived) - $at >= 9) {
        my ($type, $number, $length) = unpack "a N N", substr $arrived, $at, 9;
        refuse() if $length > LONGEST or $type ne "R" and not $frames{$type};
        last if length($arrived) - $at - 9 < $length;
        obey($type, $number, substr $arrived, $at + 9, $length);
        $at += 9 + $length;
    }
    substr $arrived, 0, $at, "";
    return if $received - $acknowledged < ACKNOWLEDGE_AFTER;
    widen("in") if $channel;
    acknowledge();
}
