#!/usr/bin/env perl
# agent.pl NAME: the dialer and the agent of task NAME in a pod. ARCHITECTURE.md documents what they say and do.
#
# The dialer is what the hub starts; it hands its stdin and stdout, a channel, to the agent, which it starts if
# there is none. The agent lives as long as its session with one hub, and runs the jobs.
# The client sends agent-channel.pl, agent-terminal.pl, agent-shell.pl, agent-back.pl, agent-jobs.pl and this, one text,
# each part in braces and without its full-line comments, and agent-boot.pl evaluates it: no other comments. What the parts share are variables
# (our) and functions, called with parentheses, constants too.
# Only what every perl has (Debian's perl-base): POSIX, no Socket.
package Womm::Agent;
use strict;
use warnings;
use POSIX ();
use Fcntl ();

# Seconds: from TERM to KILL; for a dial; to hear nothing in before there is a session; between two looks.
use constant { GRACE => 1, DIAL => 5, DEAD_MAN => 30, PAUSE => 0.02 };
# The status of a dialer whose agent has died.
use constant { DIED => 70 };
use constant { AF_UNIX => 1, SOCK_STREAM => 1, BACKLOG => 16 };
use constant { SFD_NONBLOCK => 0x800, SFD_CLOEXEC => 0x80000 };
# Number of the system call signalfd4.
use constant SIGNALFD => (POSIX::uname())[4] eq "aarch64" ? 74 : 289;
use constant TICKS => POSIX::sysconf(POSIX::_SC_CLK_TCK());

our ($name) = @ARGV;
our ($listener, $signals);
# The session: key, dead_man, directory, shell; undef before the first greeting.
our $session;
# Those of agent-channel.pl, agent-jobs.pl and agent-back.pl.
our ($channel, @dialled, $heard, %jobs, @doomed, $goes_back);

# --- The dialer

# now: seconds of a clock that nobody sets.
sub now { return (POSIX::times())[0] / TICKS }

# address: that of the agent's socket. Containers that share a network have one each.
sub address {
    return pack "S x a*", AF_UNIX, "womm/$name/" . (readlink "/proc/self/ns/mnt" // "");
}

# dial: connect to the agent, and start it if there is none. Returns the socket; dies if there is none in time.
sub dial {
    my ($until, $started) = (now() + DIAL);
    while (1) {
        socket my $socket, AF_UNIX, SOCK_STREAM, 0 or die "womm: socket: $!\n";
        return $socket if connect $socket, address();
        my $why = $!;
        close $socket;
        be_agent() unless $started++ or fork // die "womm: the pod can't start another process: $!\n";
        die "womm: no agent: $why\n" if now() > $until;
        select undef, undef, undef, PAUSE;
    }
}

# main: be a dialer until the agent lets go of the channel. Ends with DIED if the agent did not say so before: then
# it has died, which the hub can't tell from a cut otherwise.
sub main {
    my $socket = dial();
    hand_over($socket);
    my $let_go = 0;
    $let_go = 1 while sysread $socket, my $bytes, 1;
    POSIX::_exit($let_go ? 0 : DIED);
}

# --- Processes

# processes NUMBERS SESSION...: the living processes that the jobs with these NUMBERS, the keys of a hash (undef: any
# job of the task), have started: those with a job's mark in their environment or (see be_worker) command line, and all
# of their sessions and of SESSION.
sub processes {
    my ($numbers, @sessions) = @_;
    my %wanted = map { $_ => 1 } @sessions;
    my %session_of;
    opendir my $proc, "/proc" or return;
    for my $pid (grep { /\A[0-9]+\z/ and $_ != 1 and $_ != $$ } readdir $proc) {
        my ($state, $parent, undef, $id) = content("/proc/$pid/stat") =~ /.*\) (\S) (\S+) (\S+) (\S+)/s or next;
        next if $state =~ /[ZX]/;
        # One that we have started a moment ago, and that has no session of its own yet.
        $id = $pid if $parent == $$ and $wanted{$pid};
        my $said   = join "\0", "", content("/proc/$pid/environ"), content("/proc/$pid/cmdline"), "";
        my $marked = index($said, "\0WOMM_TASK=$name\0") >= 0
            && (!$numbers || grep { $numbers->{$_} } $said =~ /\0WOMM_JOB=([0-9]+)(?=\0)/g);
        $session_of{$pid} = $marked ? "marked" : $id;
        $wanted{$id} = 1 if $marked and $id > 1 and $id != $$;
    }
    return grep { $session_of{$_} eq "marked" or $wanted{ $session_of{$_} } } keys %session_of;
}

# kill_all: KILL all that jobs of the task have started, until there is nothing, 2 s at most.
sub kill_all {
    my $until = now() + 2;
    while (my @pids = processes(undef, map { $_->{pid} } values %jobs)) {
        kill "KILL", @pids;
        last if now() > $until;
        select undef, undef, undef, PAUSE;
    }
}

# end [WANTED]: TERM the jobs, KILL them after GRACE, and end. What is listening goes first: the next dial starts anew.
# If it is what the hub WANTED, or would want, the dialer ends well, and last.
sub end {
    my ($wanted) = @_;
    close $_->{socket} for @dialled;
    close $listener;
    my $until    = now() + GRACE;
    my @sessions = map { $_->{pid} } values %jobs;
    hang_up($_) for grep { $_->{terminal} } values %jobs;
    kill "TERM", processes(undef, @sessions);
    select undef, undef, undef, PAUSE while processes(undef, @sessions) and now() < $until;
    kill_all();
    lose_channel() if $wanted;
    POSIX::_exit(0);
}

# refuse: the hub does not keep to the protocol.
sub refuse {
    lose_channel();
    end();
}

# --- The agent

# be_agent: take the socket's name, or end if another agent has it; kill what an earlier one has left; serve.
# Does not return.
sub be_agent {
    POSIX::setsid();
    # The name that pod-init.pl looks for.
    $0 = "womm-agent $name";
    open STDIN, "<", "/dev/null" and open STDOUT, ">", "/dev/null" and open STDERR, ">", "/dev/null" or POSIX::_exit(1);
    socket $listener, AF_UNIX, SOCK_STREAM, 0 and bind $listener, address() and listen $listener, BACKLOG
        or POSIX::_exit(0);
    fcntl $listener, Fcntl::F_SETFL(), Fcntl::O_NONBLOCK();
    $SIG{PIPE} = "IGNORE";
    $SIG{CHLD} = "DEFAULT";
    # Ours alone: jobs need not know.
    $goes_back = delete $ENV{WOMM_SYNCBACK};
    $signals = open_signals(POSIX::SIGCHLD(), POSIX::SIGTERM(), POSIX::SIGINT(), POSIX::SIGHUP());
    kill_all();
    $heard = now();
    eval { serve() while 1 };
    end();
}

# open_signals SIGNAL...: a file that tells of these signals, which do nothing else from now on. (A handler could
# run just before select begins to wait, which would then not end.)
sub open_signals {
    my @numbers = @_;
    POSIX::sigprocmask(POSIX::SIG_BLOCK(), POSIX::SigSet->new(@numbers));
    my $mask = 0;
    $mask |= 1 << $_ - 1 for @numbers;
    my $set = pack "Q", $mask;
    my $fd = syscall(SIGNALFD, -1, $set, 8, SFD_NONBLOCK | SFD_CLOEXEC);
    open my $file, "<&=", $fd or POSIX::_exit(1);
    return $file;
}

# heed_signals: reap jobs, or end if that is what a signal says: then nothing more is told of any job.
sub heed_signals {
    while (sysread $signals, my $told, 128) {
        end() if unpack("L", $told) != POSIX::SIGCHLD();
    }
    reap();
}

# dead_line: when to end if nothing is heard.
sub dead_line { return $heard + ($session ? $session->{dead_man} : DEAD_MAN) }

# patience: how many seconds there is nothing to do if nothing happens.
sub patience {
    my $now = now();
    my ($first) = sort { $a <=> $b } dead_line(), map({ $_->{at} } @doomed), map({ $_->{until} } @dialled),
        map({ $_->{told_at} // () } values %jobs);
    return $first > $now ? $first - $now : 0;
}

# watched: the files to wait for, as two strings of bits: those to read, and those to write.
sub watched {
    my ($read, $write) = ("", "");
    vec($read, fileno $_, 1) = 1 for $signals, $listener, map({ $_->{in} || $_->{socket} } @dialled),
        grep { defined } map { $_->{back} ? $_->{back}{socket} : undef } values %jobs;
    if ($channel) {
        vec($read, fileno $_, 1) = 1 for @$channel{qw(in socket)};
        vec($write, fileno $channel->{out}, 1) = 1 if unsent();
    }
    my $room = has_room();
    for my $job (values %jobs) {
        vec($write, fileno $job->{to}, 1) = 1 if $job->{text} ne "";
        next unless $room;
        vec($read, fileno $_->{from}, 1) = 1 for grep { $_->{credit} > 0 } values %{ $job->{output} };
    }
    return ($read, $write);
}

# serve: wait until something happens, and deal with it.
sub serve {
    my ($read, $write) = watched();
    my $ready = select $read, $write, undef, patience();
    # Before anything is heard: where the whole pod stood still, what came in meanwhile is no sign of life. The
    # dialer ends well: a machine that slept is no fault of the jobs.
    end(1) if now() > dead_line();
    ($read, $write) = ("", "") if $ready <= 0;
    serve_jobs($read, $write);
    heed_signals() if vec $read, fileno $signals, 1;
    serve_channel($read);
    serve_dialled($read);
    kill_doomed();
    serve_back($read);
    settle($_) for grep { defined $_->{told_at} } map { $jobs{$_} } keys %jobs;
    flush();
}

# serve_jobs READ WRITE: move their bytes.
sub serve_jobs {
    my ($read, $write) = @_;
    for my $job (map { $jobs{$_} } keys %jobs) {
        write_input($job) if $job->{text} ne "" and vec $write, fileno $job->{to}, 1;
        for my $stream (1, 2) {
            my $output = $job->{output}{$stream} or next;
            # A terminal says only when it is read that it holds nothing more.
            my $ready = vec($read, fileno $output->{from}, 1) || $job->{terminal} && defined $job->{status};
            # As much as a pipe holds: a look at all files costs more than a read.
            for (1 .. PIPE() / CHUNK()) {
                last unless $ready and $job->{output}{$stream} and readable($output) and read_output($job, $stream);
            }
        }
    }
}

main();
