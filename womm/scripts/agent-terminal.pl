#!/usr/bin/env perl
# agent-terminal.pl: the part of the agent (see agent.pl) that gives a job a terminal: opens it, sizes it, hangs up.
package Womm::Agent;
use strict;
use warnings;
use POSIX ();
use Fcntl ();

# ioctls, the same on x86_64 and aarch64: unlock the other end; its number; take it as this session's; its size.
use constant { TIOCSPTLCK => 0x4004_5431, TIOCGPTN => 0x8004_5430, TIOCSCTTY => 0x540E, TIOCSWINSZ => 0x5414 };
# The line discipline erases whole characters of UTF-8.
use constant { IUTF8 => 0x4000 };
# More than a terminal holds: what an ended job has left in it is known when it has been read.
use constant { UNKNOWN => 1 << 30 };

# understand_terminal PAYLOAD: what an R frame says of it: rows, columns, name (TERM), and the command.
sub understand_terminal {
    my %terminal;
    @terminal{qw(rows columns name command)} = unpack "n n Z* a*", $_[0];
    return \%terminal;
}

# open_terminal TERMINAL: a new one, of its size: the job's three streams, and our ends of them (there is one, for
# both ways; nothing comes on stderr). () and $! if the pod has none to give.
sub open_terminal {
    my ($terminal) = @_;
    my $number = pack "i", 0;
    # The agent leads a session: without O_NOCTTY the terminal would be the agent's own.
    my $how = Fcntl::O_RDWR() | Fcntl::O_NOCTTY();
    sysopen my $ours, "/dev/ptmx", $how or return;
    ioctl $ours, TIOCSPTLCK, $number and ioctl $ours, TIOCGPTN, $number or return;
    sysopen my $theirs, "/dev/pts/" . unpack("i", $number), $how or return;
    open my $to, ">&", $ours or return;
    set_size($ours, @$terminal{qw(rows columns)});
    my $settings = POSIX::Termios->new;
    if ($settings->getattr(fileno $theirs)) {
        $settings->setiflag($settings->getiflag | IUTF8);
        $settings->setattr(fileno $theirs, POSIX::TCSANOW());
    }
    return ([$theirs, $theirs, $theirs], [$to, $ours, undef]);
}

# set_size FILE ROWS COLUMNS: give a terminal this size; its programs get a WINCH if it is another one.
sub set_size {
    my ($file, @size) = @_;
    my $size = pack "S4", @size, 0, 0;
    ioctl $file, TIOCSWINSZ, $size;
}

# take_terminal TERMINAL: in the child, which leads a session: have stdin as its terminal.
sub take_terminal {
    my ($terminal) = @_;
    ioctl STDIN, TIOCSCTTY, 0;
    $ENV{TERM} = $terminal->{name} if $terminal->{name} ne "";
}

# resize JOB PAYLOAD: the user's terminal has another size now.
sub resize {
    my ($job, $payload) = @_;
    set_size($job->{output}{1}{from}, unpack "n n", $payload) if $job->{terminal} and $job->{output}{1};
}

# hang_up JOB: close its terminal. The kernel tells its session, as if a modem had lost its line.
sub hang_up {
    my ($job) = @_;
    close_input($job);
    close_output($job, 1);
}
