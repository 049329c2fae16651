#!/usr/bin/env perl
# share-back.pl note|list|serve ROOT: what jobs change in a pod's copy of a share, ROOT/files, goes to the file server.
#   note   have ROOT/base tell what was pulled; the init container's last act
#   list   have ROOT/names and ROOT/report tell what has changed since then. Nothing is sent: the NFS server's door, which
#          has one copy for all pods, sees to that
#   serve  answer whoever connects to the abstract socket "womm/TASK/back" with "done" once all that has changed
#          since then is on the server. Who comes while something is being sent waits for the next turn, so what
#          a job did before it asked is always covered. A try that fails is told ("failed REASON"), and made
#          again as long as somebody waits.
#
# Runs in the file server's image, as the user's uid; the jobs' container sees ROOT/files only, and no secret.
# On the server each pod has a directory of its own: files/ holds what has changed, `report` names, each ended by a NUL,
# what is new (N) and what was deleted (D) since the pull.
# Environment: WOMM_TASK, WOMM_POD, WOMM_SERVER (address), WOMM_PORT, RSYNC_PASSWORD.
# Only what every perl has (Debian's perl-base): POSIX, no Socket, no Time::HiRes.
use strict;
use warnings;
use POSIX ();
use Fcntl ();

use constant { AF_UNIX => 1, SOCK_STREAM => 1, BACKLOG => 128 };
# Number of the system call statx, whose answer is the same everywhere; its arguments.
use constant STATX => (POSIX::uname())[4] eq "aarch64" ? 291 : 332;
use constant { AT_FDCWD => -100, AT_SYMLINK_NOFOLLOW => 0x100, BASIC_STATS => 0x7ff };
# Seconds between two tries; more than the clock of files takes for a tick.
use constant { PAUSE => 1, TICK => 0.05 };
# rsync's status if files went away meanwhile: the next look finds that.
use constant VANISHED => 24;

# --- What is there

# look PATH: (kind, what changes when it is changed, when it was changed last in ns); () if it is gone, or no file,
# directory or link.
sub look {
    my ($path) = @_;
    vec(my $answer = "", 255, 8) = 0;
    return if syscall(STATX, AT_FDCWD, $path, AT_SYMLINK_NOFOLLOW, BASIC_STATS, $answer) < 0;
    my ($mode, $seconds, $ns) = unpack "x28 S x66 q L", $answer;
    # A directory's times say only what its entries say, too.
    return ("d", pack("S", $mode), 0) if POSIX::S_ISDIR($mode);
    my $kind = POSIX::S_ISREG($mode) ? "f" : ($mode & 0170000) == 0120000 ? "l" : return;
    # Mode; inode and size; time of the last change of anything; modification time.
    my $trace = join "", map { substr $answer, $_->[0], $_->[1] } [28, 2], [32, 16], [96, 12], [112, 12];
    return ($kind, $trace, $seconds * 1_000_000_000 + $ns);
}

# scan: what is in `files` now: path => kind and trace. Where the next change might leave the same trace, because the
# clock has not ticked since the last one, there is none, and it counts as changed. Dies if it can't look everywhere.
sub scan {
    list("clock", "");
    my (undef, undef, $now) = look("clock");
    my %found;
    my @directories = ("files");
    while (defined(my $directory = pop @directories)) {
        my $handle;
        if (!opendir $handle, $directory) {
            die "$directory can't be read: $!\n" if $! != POSIX::ENOENT();
            next;
        }
        while (defined(my $name = readdir $handle)) {
            next if $name eq "." or $name eq "..";
            my $path = "$directory/$name";
            my ($kind, $trace, $changed) = look($path) or next;
            $found{$path} = $kind . ($changed < $now ? $trace : "");
            push @directories, $path if $kind eq "d";
        }
    }
    return \%found;
}

# save NAME STATE: write it as a whole.
sub save {
    my ($name, $state) = @_;
    open my $file, ">", "$name.new" or die "$name.new: $!\n";
    print $file pack "(N/a*)*", %$state;
    close $file and rename "$name.new", $name or die "$name: $!\n";
}

# load NAME: a state that was saved.
sub load {
    open my $file, "<", $_[0] or die "share-back: $_[0]: $!\n";
    local $/;
    return { unpack "(N/a*)*", readline($file) // "" };
}

# --- What is sent

# list NAME PATHS: write paths, each ended by a NUL.
sub list {
    my ($name, @paths) = @_;
    open my $file, ">", $name or die "$name: $!\n";
    print $file map { "$_\0" } @paths;
    close $file or die "$name: $!\n";
}

# changed STATE NOW: what is new or another one in NOW.
sub changed {
    my ($state, $now) = @_;
    return grep { length $now->{$_} == 1 or $now->{$_} ne ($state->{$_} // "") } keys %$now;
}

# report BASE NOW: write it.
sub report {
    my ($base, $now) = @_;
    list("report", (map { "N" . substr $_, 6 } grep { !exists $base->{$_} } keys %$now),
        map { "D" . substr $_, 6 } grep { !exists $now->{$_} } keys %$base);
}

# list_all BASE: see `list` above. Where nothing has changed there is nothing in `names`.
sub list_all {
    my ($base) = @_;
    my $now = scan();
    my @changed = changed($base, $now);
    report($base, $now);
    list("names", @changed || grep({ !exists $now->{$_} } keys %$base) ? ("report", @changed) : ());
}

# send_all BASE SENT: bring the server up to date. BASE is what was pulled, SENT what the server knows. Returns "" or what
# went wrong; or dies of it.
sub send_all {
    my ($base, $sent) = @_;
    my $now = scan();
    my @changed = changed($sent, $now);
    my @gone = grep { !exists $now->{$_} } keys %$sent;
    return "" unless @changed or @gone;
    # Whatever becomes of this try: these may be there from now on.
    $sent->{$_} = "" for @changed;
    save("sent", $sent);
    report($base, $now);
    # Where a directory is gone as a whole, or is none any more, what was in it goes with it.
    list("names", "report", @changed, grep { is_directory($now, s{/[^/]*\z}{}r) } @gone);
    my $problem = rsync();
    return $problem if $problem ne "";
    %$sent = %$now;
    save("sent", $sent);
    return "";
}

# is_directory STATE PATH: whether PATH is a directory there.
sub is_directory { return $_[1] eq "files" || ($_[0]{ $_[1] } // "") =~ /\Ad/ }

# rsync: send what `names` names; what is not there is deleted on the server. Returns "" or what went wrong.
sub rsync {
    my $to = "rsync://$ENV{WOMM_TASK}\@$ENV{WOMM_SERVER}:$ENV{WOMM_PORT}/$ENV{WOMM_TASK}-back/pods/$ENV{WOMM_POD}/";
    my @how = split " ", "--archive --no-owner --no-group --no-devices --no-specials --omit-dir-times --sparse"
        . " --modify-window=-1 --chmod=Du+rx,Fu+r --files-from=names --from0 --delete-missing-args --force"
        . " --temp-dir=/temp --timeout=60 --contimeout=10";
    my $pid = fork // return "the pod can't start another process: $!";
    if (!$pid) {
        open STDOUT, ">", "/dev/null" and open STDERR, ">", "complaint" or POSIX::_exit(1);
        no warnings "exec";
        exec "rsync", @how, "./", $to;
        POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return "" if $? == 0 or $? == VANISHED << 8;
    open my $file, "<", "complaint" or return "rsync: status $?";
    my ($first) = grep { /\S/ } readline $file;
    return ($first // "rsync: status $?") =~ s/\s+\z//r;
}

# --- Who asks

# address: that of the socket; the pod's containers share a network.
sub address { return pack "S x a*", AF_UNIX, "womm/$ENV{WOMM_TASK}/back" }

# callers LISTENER SECONDS: those who have come, waiting SECONDS (undef: for ever) for the first.
sub callers {
    my ($listener, $seconds) = @_;
    my $read = "";
    vec($read, fileno $listener, 1) = 1;
    select $read, undef, undef, $seconds;
    my @callers;
    while (accept my $caller, $listener) { push @callers, $caller }
    return @callers;
}

# serve: see above. Does not return.
sub serve {
    my $base = load("base");
    # A container that was started anew goes on where it was.
    my $sent = -e "sent" ? load("sent") : {%$base};
    $SIG{TERM} = $SIG{INT} = sub { POSIX::_exit(0) };
    $SIG{PIPE} = "IGNORE";
    my $listener;
    socket $listener, AF_UNIX, SOCK_STREAM, 0 and bind $listener, address() and listen $listener, BACKLOG
        or die "share-back: the socket: $!\n";
    fcntl $listener, Fcntl::F_SETFL(), Fcntl::O_NONBLOCK();
    my @waiting;
    while (1) {
        push @waiting, callers($listener, @waiting ? PAUSE : undef);
        next unless @waiting;
        my $problem = eval { send_all($base, $sent) } // $@ =~ s/\n.*//sr;
        my $answer = $problem eq "" ? "done\n" : "failed $problem\n";
        # Who has gone waits no longer.
        @waiting = grep { syswrite $_, $answer and $problem ne "" } @waiting;
    }
}

# main: see above. Exit 2 on bad arguments.
sub main {
    my ($verb, $root) = @ARGV;
    if (@ARGV != 2 or $verb !~ /\A(?:note|list|serve)\z/) {
        print STDERR "usage: share-back.pl note|list|serve ROOT\n";
        exit 2;
    }
    umask 077;
    chdir $root or die "share-back: $root: $!\n";
    if ($verb eq "serve") { serve() }
    if ($verb eq "list") { return list_all(load("base")) }
    # What came last would count as changed.
    select undef, undef, undef, TICK;
    save("base", scan());
}

main();
