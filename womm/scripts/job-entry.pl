#!/usr/bin/env perl
# job-entry.pl NONCE DIRECTORY SHELL COMMAND...: what a login starts in the pod (by perl -e: nothing of
# womm's is installed in the image). Runs COMMAND with sh -c in DIRECTORY, as sshd would.
#
# DIRECTORY, SHELL and COMMAND are base64: they may hold any byte, and the kubelet passes UTF-8 only.
# SHELL is the user's own: $SHELL becomes it if the image has it, else bash, else sh; GNU parallel
# runs the job in $SHELL. When the command has ended, a mark with its status ends stdout and stderr
# (relay.pl takes them out); the entry stays a moment, because what is still on its way when the last
# process ends may be lost.
# No modules: minimal images have none, and this program starts once per job.
use strict;
use warnings;

use constant {
    LINGER  => 0.5,        # seconds
    LONGEST => 120_000,    # bytes: Linux takes no argument of 128 KiB
};

my ($nonce, $directory, $shell, @command) = @ARGV;
$_ = decode($_) for $directory, $shell;
my $command = join "", map { decode($_) } @command;

# decode BASE64: its bytes. Perl itself knows uuencoding, which differs by its alphabet, and by lines
# that begin with their length.
sub decode {
    my ($text) = @_;
    $text =~ tr{A-Za-z0-9+/}{}cd;
    $text =~ tr{A-Za-z0-9+/}{ -_};
    $text =~ s{(.{1,60})}{chr(32 + int(length($1) * 3 / 4)) . "$1\n"}ge;
    return unpack("u", $text) // "";
}

# find_shell WANTED: the path of the first shell that there is: WANTED itself, one of its name, bash, sh.
sub find_shell {
    my ($wanted) = @_;
    return $wanted if $wanted =~ m{^/} and -x $wanted and not -d _;
    my ($name) = $wanted =~ m{([^/]*)\z};
    for my $candidate (grep { length } $name, "bash", "sh") {
        for my $place (split /:/, $ENV{PATH} // "/usr/local/bin:/usr/bin:/bin") {
            return "$place/$candidate" if -x "$place/$candidate" and not -d _;
        }
    }
    return "/bin/sh";
}

# enter DIRECTORY: make it if it is missing, and go there. Returns "" or what is wrong.
sub enter {
    my ($path) = @_;
    return "" if chdir $path;
    my $complaint = "womm: the pod has no directory $path and can't make it";
    my $made      = "";
    for my $part (grep { length } split m{/}, $path) {
        $made .= "/$part";
        next if -e $made or mkdir $made;
        my $why = $!;
        # Another job may have made it meanwhile.
        return "$complaint: $why\n" unless -e $made;
    }
    return chdir $path ? "" : "$complaint: $!\n";
}

# shell_arguments COMMAND: what follows `sh` to run COMMAND. One that is too long for an argument goes in
# pieces, which the shell puts together and forgets before it runs them.
sub shell_arguments {
    my ($text) = @_;
    return ("-c", $text) if length $text <= LONGEST;
    my @pieces = unpack "(a@{[LONGEST]})*", $text;
    my $joined = join "", map { "\${$_}" } 1 .. @pieces;
    return ("-c", "eval \"set --\n$joined\"", "/bin/sh", @pieces);
}

# run_command: run the command and return its status as a shell counts it.
sub run_command {
    my $problem = enter($directory);
    if ($problem) { print STDERR $problem; return 255 }
    $ENV{PWD}   = $directory;
    $ENV{SHELL} = find_shell($shell);
    my $pid = fork;
    if (!defined $pid) { print STDERR "womm: fork: $!\n"; return 255 }
    if (!$pid) {
        no warnings "exec";
        exec "/bin/sh", shell_arguments($command);
        print STDERR "womm: the pod can't run /bin/sh: $!\n";
        exit 255;
    }
    waitpid $pid, 0;
    return $? & 127 ? 128 + ($? & 127) : $? >> 8;
}

my $status = run_command();
syswrite STDOUT, "\xf5womm:$nonce:$status\0";
syswrite STDERR, "\xf5womm:$nonce:$status\0";
close STDIN;
select undef, undef, undef, LINGER;
