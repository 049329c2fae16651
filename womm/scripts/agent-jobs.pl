#!/usr/bin/env perl
# agent-jobs.pl: the part of the agent (see agent.pl) that starts jobs, moves their bytes and ends them.
package main;

# womm_evaluate: evaluate $Womm::Agent::worker as `perl -X -e` would: without strict, warnings and variables in
# sight (so it stands before all of them). Ends the process with 255 where the text does not end it.
sub womm_evaluate {
    # The worker as we know it forks, runs the job in the child, waits for it, and kills it if its ssh goes: all
    # that is the agent's business, and so this process is the child at once.
    *CORE::GLOBAL::fork = sub { 0 } if index($Womm::Agent::worker, $Womm::Agent::RUNS_CHILD) >= 0;
    eval $Womm::Agent::worker;
    print STDERR $@ if $@;
    exit 255;
}

package Womm::Agent;
use strict;
use warnings;
use POSIX ();
use Fcntl ();

# Bytes: what may be on its way per stream; one read of a job's output; how much stdin a job takes before that is
# told; what pipes hold, a job's and the channel's.
use constant { WINDOW => 2 << 20, CHUNK => 1 << 16, CREDIT_AFTER => 1 << 19, PIPE => 1 << 18 };
use constant { F_SETPIPE_SZ => 1031 };
# Seconds until a job's death is told.
use constant { DOUBT => 0.2 };
# Flags of R.
use constant { NO_STDIN => 1, BY_SHELL => 2, AS_IT_IS => 4, TERMINAL => 8, USERS_SHELL => 16 };
use constant { FIONREAD => 0x541B };
# What GNU parallel's remote commands begin with (sub hexwrap); the rest is Perl in hexadecimal digits.
use constant WORKER => 'exec perl -X -e GNU_Parallel_worker,eval+pack+q/H10000000/,join+q//,@ARGV ';

# What GNU parallel 20240222's worker does last.
our $RUNS_CHILD = ';$pid=fork;unless($pid){eval{setpgrp};eval{setpriority(0,0,$nice)};exec($shell,$script);die(';
# The text that womm_evaluate evaluates.
our $worker;
# The jobs by number: pid, status (once it has ended), output => { 1 or 2 => { from, credit, left } }, to (stdin),
# text (for stdin), room (credit of the hub), freed, ends, killed, told_at (when to see whether its end may be told),
# terminal, spare (credit that its stderr has left), back (see agent-back.pl). left is what may be read of an ended job.
our %jobs;
# The jobs' numbers by pid; those to be killed: number, pid, at (when), by (a signal), pause (between two KILLs); the last
# number.
our (%number_of, @doomed);
our $highest = 0;
# Those of agent.pl, agent-channel.pl and agent-back.pl.
our ($name, $listener, $signals, $session, $channel, @dialled, $goes_back);

# open_pipes FLAGS: a job's stdin, stdout and stderr, and our ends of them; () if there can't be any.
sub open_pipes {
    my ($flags) = @_;
    my ($stdin, $to, $out, $stdout, $err, $stderr);
    ($flags & NO_STDIN ? open $stdin, "<", "/dev/null" : pipe $stdin, $to)
        && pipe($out, $stdout) && pipe($err, $stderr) or return;
    return ([$stdin, $stdout, $stderr], [$to, $out, $err]);
}

# start_job NUMBER PAYLOAD: start the job that an R frame describes.
sub start_job {
    my ($number, $payload) = @_;
    refuse() if $number <= $highest or $payload eq "";
    $highest = $number;
    my ($flags, $command) = unpack "C a*", $payload;
    my $terminal = $flags & TERMINAL ? understand_terminal($command) : undef;
    my ($theirs, $ours) = $terminal ? open_terminal($terminal) : open_pipes($flags);
    my $pid = $theirs ? fork : undef;
    if (!defined $pid) {
        my $what = $terminal && !$theirs ? "the pod has no terminal to give" : "the pod can't start another process";
        put("E", $number, "womm: $what: $!" . ($terminal ? "\r\n" : "\n"));
        return put("X", $number, pack "N", 255 << 8);
    }
    if (!$pid) {
        close $_ for grep { defined } @$ours;
        be_job($number, $flags, $terminal ? $terminal->{command} : $command, $terminal, @$theirs);
    }
    my ($to, $out, $err) = @$ours;
    for my $pipe (grep { defined } $to, $out, $err) {
        fcntl $pipe, Fcntl::F_SETFL(), Fcntl::O_NONBLOCK();
        # Fewer turns for as many bytes; no matter if the user has too many such pipes.
        fcntl $pipe, F_SETPIPE_SZ, PIPE;
    }
    my %output = map { $_->[0] => { from => $_->[1], credit => WINDOW } } grep { $_->[1] } [1, $out], [2, $err];
    $jobs{$number} = {
        number => $number, pid => $pid, output => \%output, to => $to, text => "", room => WINDOW, freed => 0,
        terminal => $terminal, spare => WINDOW,
    };
    $number_of{$pid} = $number;
}

# be_job NUMBER FLAGS COMMAND TERMINAL STDIN STDOUT STDERR: in the child: become the job. Does not return.
sub be_job {
    my ($number, $flags, $command, $terminal, @streams) = @_;
    POSIX::setsid();
    POSIX::dup2(fileno $streams[$_], $_) for 0 .. 2;
    take_terminal($terminal) if $terminal;
    # Not by exec: a worker is evaluated in this very process, and must hold no end of another job's pipes.
    close $_ for grep { defined } @streams, $listener, $signals,
        map({ @$_{qw(in out socket)} } grep { defined } $channel, @dialled),
        map { ($_->{to}, $_->{back} && $_->{back}{socket}, map { $_->{from} } values %{ $_->{output} }) } values %jobs;
    $SIG{PIPE} = "DEFAULT";
    POSIX::sigprocmask(POSIX::SIG_SETMASK(), POSIX::SigSet->new);
    @ENV{qw(WOMM_TASK WOMM_JOB)} = ($name, $number);
    settle_in() unless $flags & AS_IT_IS;
    be_worker($number, substr $command, length WORKER)
        if not $flags & (BY_SHELL | USERS_SHELL) and index($command, WORKER) == 0;
    no warnings "exec";
    be_users_shell($command) if $flags & USERS_SHELL;
    exec "/bin/sh", shell_arguments($command);
    print STDERR "womm: the pod can't run /bin/sh: $!\n";
    exit 255;
}

# be_worker NUMBER HEX: in the child: be the perl that GNU parallel's command starts, unless HEX holds more than
# digits and blanks. This process keeps the agent's environment in /proc, so its command line tells what it is.
sub be_worker {
    my ($number, $hex) = @_;
    return if $hex =~ tr/0-9a-f //c;
    $hex =~ tr/ //d;
    $worker = pack "H*", $hex;
    $0      = "WOMM_TASK=$name\0WOMM_JOB=$number";
    $^T     = time;
    @ARGV   = ();
    main::womm_evaluate();
}

# read_output JOB STREAM: pass on a piece of the job's stdout (1) or stderr (2). Returns whether there may be more.
sub read_output {
    my ($job, $stream) = @_;
    my $output = $job->{output}{$stream};
    my $most = (sort { $a <=> $b } CHUNK, $output->{credit}, $output->{left} // CHUNK)[0];
    my $n = sysread $output->{from}, my ($bytes), $most;
    return 0 if not defined $n and for_now() and not defined $output->{left};
    close_output($job, $stream) unless $n;
    return 0 if not $n or $job->{killed};
    put($stream == 1 ? "O" : "E", $job->{number}, $bytes);
    $output->{credit} -= $n;
    $output->{left} -= $n if defined $output->{left};
    close_output($job, $stream) if defined $output->{left} and $output->{left} <= 0;
    return $n == CHUNK;
}

# readable STREAM: whether a piece may be read of this output of a job.
sub readable { return $_[0]{credit} > 0 && has_room() }

# close_output JOB STREAM: read no more of it. The job may be over with this.
sub close_output {
    my ($job, $stream) = @_;
    my $output = delete $job->{output}{$stream} or return;
    close $output->{from};
    $job->{spare} = $output->{credit} if $stream == 2;
    settle($job);
}

# settle JOB: tell the hub if it has ended, all its output is on its way, and what it has changed is safe. One that was
# killed may have been the first of all that are killed with the container, and then it is no verdict: who comes back
# will tell.
sub settle {
    my ($job) = @_;
    return if not defined $job->{status} or %{ $job->{output} };
    if (not $job->{killed} and $job->{status} & 127 || $job->{status} >> 8 > 128) {
        $job->{told_at} //= now() + DOUBT;
        return if now() < $job->{told_at};
    }
    return if $goes_back and not $job->{killed} and not is_back($job);
    put("X", $job->{number}, pack "N", $job->{status});
    delete $jobs{ $job->{number} };
}

# reap: note which jobs have ended. Of their output counts what their pipes hold now: a child that stays in the
# background may hold them open, and write, for ever.
sub reap {
    while ((my $pid = waitpid -1, POSIX::WNOHANG()) > 0) {
        my $job = $jobs{ delete $number_of{$pid} // next } or next;
        $job->{status} = $?;
        close_input($job);
        for my $stream (1, 2) {
            my $output = $job->{output}{$stream} or next;
            $output->{left} = $job->{killed} ? 0 : $job->{terminal} ? UNKNOWN() : held($output->{from});
            close_output($job, $stream) unless $output->{left};
            read_output($job, $stream) while $job->{output}{$stream} and readable($output);
        }
        settle($job) if $jobs{ $job->{number} };
    }
}

# held PIPE: how many bytes are in it.
sub held {
    my $n = pack "i", 0;
    return ioctl($_[0], FIONREAD, $n) ? unpack "i", $n : 0;
}

# take_input JOB BYTES: have them for its stdin.
sub take_input {
    my ($job, $bytes) = @_;
    return unless $job->{to};
    refuse() if length $bytes > $job->{room} or $job->{ends};
    $job->{room} -= length $bytes;
    $job->{text} .= $bytes;
}

# end_input JOB: its stdin ends after what it has.
sub end_input {
    my ($job) = @_;
    $job->{ends} = 1;
    close_input($job) if $job->{text} eq "";
}

# close_input JOB: write no more to it.
sub close_input {
    my ($job) = @_;
    my $to = delete $job->{to} or return;
    close $to;
    $job->{text} = "";
}

# write_input JOB: write to its stdin what it takes, and give the hub credit for it.
sub write_input {
    my ($job) = @_;
    my $n = syswrite $job->{to}, $job->{text}, PIPE;
    if (!defined $n) {
        return if for_now();
        close_input($job);
        return put("C", $job->{number}, "");
    }
    substr $job->{text}, 0, $n, "";
    $job->{freed} += $n;
    if ($job->{freed} >= CREDIT_AFTER) {
        put("W", $job->{number}, pack "N", $job->{freed});
        $job->{room} += $job->{freed};
        $job->{freed} = 0;
    }
    close_input($job) if $job->{ends} and $job->{text} eq "";
}

# take_credit JOB PAYLOAD: more of an output may be sent.
sub take_credit {
    my ($job, $stream, $more) = ($_[0], unpack "C N", $_[1]);
    refuse() if $stream != 1 and $stream != 2;
    $job->{output}{$stream}{credit} += $more if $job->{output}{$stream};
}

# break_output JOB STREAM: nobody reads it.
sub break_output {
    my ($job, $stream) = ($_[0], unpack "C", $_[1]);
    refuse() if $stream != 1 and $stream != 2;
    close_output($job, $stream);
}

# kill_job JOB: TERM (HUP where it loses its terminal) all that it has started, and KILL it after GRACE. What it
# writes until then is read and dropped: it may clean up, and say so.
sub kill_job {
    my ($job) = @_;
    return if $job->{killed}++;
    hang_up($job) if $job->{terminal};
    push @doomed, {
        at => now(), by => $job->{terminal} ? "HUP" : "TERM", number => $job->{number}, pid => $job->{pid},
        pause => PAUSE(),
    };
    close_input($job);
    $_->{credit} = WINDOW for values %{ $job->{output} };
    return unless defined $job->{status};
    close_output($job, $_) for 1, 2;
    # It may have waited for the file server alone.
    settle($job) if $jobs{ $job->{number} };
}

# kill_doomed: send the doomed the signal that is due, all of them after one look at the processes, which takes its
# time. KILL comes again until nothing is left: a process may have been forked between the look and the signal.
sub kill_doomed {
    my $now = now();
    for my $signal (qw(HUP TERM KILL)) {
        my @due = grep { $_->{at} <= $now and $_->{by} eq $signal } @doomed or next;
        # A new job may have the pid of an old one.
        my @pids = processes(
            { map { $_->{number} => 1 } @due },
            map { $_->{pid} } grep { ($number_of{ $_->{pid} } // $_->{number}) == $_->{number} } @due,
        );
        kill $signal, @pids;
        for my $doomed (@due) {
            my $wait = $signal ne "KILL" ? GRACE() : @pids ? ($doomed->{pause} *= 1.25) : undef;
            @$doomed{qw(by at)} = ("KILL", defined $wait ? $now + $wait : undef);
        }
        @doomed = grep { defined $_->{at} } @doomed;
    }
}
