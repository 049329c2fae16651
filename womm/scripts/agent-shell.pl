#!/usr/bin/env perl
# agent-shell.pl: the part of the agent (see agent.pl) that a container on the user's own machine has, too (womm shell
# --local): the directory, the environment and the shell that a job finds.
package Womm::Agent;
use strict;
use warnings;

# Bytes of the longest argument: Linux takes none of 128 KiB.
use constant { LONGEST_ARGUMENT => 120_000 };
# That of agent.pl; of a container here: directory and shell.
our $session;

# content FILE: what it holds, "" if it can't be read.
sub content {
    open my $file, "<", $_[0] or return "";
    local $/;
    return readline($file) // "";
}

# find_shell WANTED: the path of the first shell that there is: WANTED itself, one of its name, bash, sh.
sub find_shell {
    my ($wanted) = @_;
    return $wanted if $wanted =~ m{^/} and -x $wanted and not -d _;
    my ($base) = $wanted =~ m{([^/]*)\z};
    for my $candidate (grep { length } $base, "bash", "sh") {
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
    my $complaint = "womm: the directory $path can't be entered, nor made";
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

# take_environment: have what the user exported in the local shell (see testbed-environment.pl).
sub take_environment {
    for my $entry (split /\0/, content("/etc/womm/environment")) {
        my ($variable, $value) = split /=/, $entry, 2;
        if   (defined $value) { $ENV{$variable} = $value }
        else                  { delete $ENV{$variable} }
    }
}

# settle_in: in the child: be in the session's directory with its environment. Ends with 255 if it can't.
sub settle_in {
    my $problem = enter($session->{directory});
    if ($problem) { print STDERR $problem; exit 255 }
    take_environment();
    @ENV{qw(PWD SHELL)} = @$session{qw(directory shell)};
}

# shell_arguments COMMAND: what follows `sh` to run COMMAND. One that is too long for an argument goes in
# pieces, which the shell puts together and forgets before it runs them.
sub shell_arguments {
    my ($text) = @_;
    return ("-c", $text) if length $text <= LONGEST_ARGUMENT;
    my @pieces = unpack "(a@{[LONGEST_ARGUMENT]})*", $text;
    my $joined = join "", map { "\${$_}" } 1 .. @pieces;
    return ("-c", "eval \"set --\n$joined\"", "/bin/sh", @pieces);
}

# be_users_shell COMMAND: in the child: be the session's shell, which runs COMMAND; without one, a login shell.
sub be_users_shell {
    my ($command) = @_;
    my $shell = $session->{shell};
    my ($base) = $shell =~ m{([^/]*)\z};
    # A login shell's /etc/profile may set PATH anew, and the image's /etc/profile.d/womm.sh takes that back.
    $ENV{WOMM_PATH} = $ENV{PATH} if $command eq "" and defined $ENV{PATH};
    no warnings "exec";
    exec { $shell } $command eq "" ? "-$base" : ($base, shell_arguments($command));
    print STDERR "womm: $shell can't be run: $!\n";
    exit 255;
}

# be_here SHELL DIRECTORY COMMAND: in a container here: be_users_shell, of a session with these. Does not return.
sub be_here {
    $session = { shell => find_shell($_[0]), directory => $_[1] };
    settle_in();
    be_users_shell($_[2]);
}
