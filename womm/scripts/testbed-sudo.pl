#!/usr/bin/env perl
# testbed-sudo.pl [OPTION...] [NAME=VALUE...] [COMMAND...]: the local shell's sudo, as far as people type it.
#
# A setuid copy of perl runs it, in a container that is the user's own: there is nothing to be protected, so it
# asks for no password and keeps the environment, but for what names the user.
use strict;

my %with_value = map { $_ => 1 } qw(-A -C -D -g -h -p -R -r -T -t -u --chdir --close-from --group --host --prompt
    --chroot --role --command-timeout --type --user);
my ($user, $login, $shell, $keep_home, $directory) = ("root");

# fail TEXT: say so and end, as sudo does.
sub fail { print STDERR "sudo: $_[0]\n"; exit 1 }

# take_option OPTION VALUE: heed what matters.
sub take_option {
    my ($option, $value) = @_;
    if    ($option =~ /^(?:-u|--user)$/)  { $user      = $value }
    elsif ($option =~ /^(?:-D|--chdir)$/) { $directory = $value }
    elsif ($option =~ /^(?:-i|--login)$/) { $login     = 1 }
    elsif ($option =~ /^(?:-s|--shell)$/) { $shell     = 1 }
    elsif ($option =~ /^(?:-E|--preserve-env)$/) { $keep_home = 1 }
    elsif ($option =~ /^(?:-V|--version)$/) { print "sudo of womm's local shell\n"; exit 0 }
    elsif ($option =~ /^(?:-[klvK]|--validate|--list|--(?:reset|remove)-timestamp)$/) { exit 0 unless @ARGV }
    elsif ($option =~ /^(?:-e|--edit)$/) { fail("edit the file with `sudo EDITOR FILE`") }
}

# take_options: from @ARGV; letters may stand together, and a value may follow its letter directly.
sub take_options {
    while (@ARGV and $ARGV[0] =~ /^-./s) {
        my $word = shift @ARGV;
        return if $word eq "--";
        if ($word =~ /^(--[^=]+)(?:=(.*))?\z/s) {
            take_option($1, $2 // ($with_value{$1} ? shift @ARGV : ""));
            next;
        }
        while ($word =~ s/^-(.)/-/s) {
            my $option = "-$1";
            # A lone -h is a request for help.
            my $takes = $with_value{$option} && ($option ne "-h" || @ARGV);
            take_option($option, !$takes ? "" : $word ne "-" ? substr $word, 1 : shift @ARGV);
            last if $takes or $word eq "-";
        }
    }
}

take_options();
while (@ARGV and $ARGV[0] =~ /^([A-Za-z_]\w*)=(.*)\z/s) {
    $ENV{$1} = $2;
    shift @ARGV;
}
my @account = $user =~ /^#(\d+)\z/ ? getpwuid $1 : getpwnam $user;
@account = ("root", "", 0, 0, "", "", "", "/root", "/bin/sh") if not @account and $user =~ /^(?:root|#0)\z/;
@account or fail("unknown user $user");
my ($name, $uid, $gid, $home, $its_shell) = @account[0, 2, 3, 7, 8];
@ARGV or $login or $shell or fail("what shall be run? sudo COMMAND …");

@ENV{qw(SUDO_USER SUDO_UID SUDO_GID SUDO_COMMAND)} = ($ENV{USER} // "", $<, $( + 0, "@ARGV");
@ENV{qw(USER LOGNAME)} = ($name, $name);
$ENV{HOME} = $home if $login or not $keep_home;
my @path = split /:/, $ENV{PATH} // "/usr/bin:/bin";
for my $place (qw(/usr/local/sbin /usr/sbin /sbin)) {
    push @path, $place unless grep { $_ eq $place } @path;
}
$ENV{PATH} = join ":", @path;
# Groups first: who is not root any more can't.
$)        = "$gid $gid";
$(        = $gid;
($<, $>)  = ($uid, $uid);
$directory = $home if $login and not defined $directory;
not defined $directory or chdir $directory or fail("$directory: $!");

my $program = $ARGV[0];
if ($login or $shell) {
    my $interpreter = $login ? $its_shell || "/bin/sh" : $ENV{SHELL} || "/bin/sh";
    # As sudo does: a command for a shell is one word for it, each of its own words quoted.
    my $line = join " ", map { s/([^\w\$-])/\\$1/gr } @ARGV;
    @ARGV = (($login ? "-" : "") . ($interpreter =~ m{([^/]*)\z})[0], @ARGV ? ("-c", $line) : ());
    $program = $interpreter;
}
exec {$program} @ARGV;
print STDERR "sudo: $program: $!\n";
exit 127;
