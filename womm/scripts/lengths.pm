# lengths.pm: loaded into GNU parallel by `perl -Mlengths parallel ...`: no command line of a job in a pod gets too long
# to be started.
#
# The whole call of the login is one argument of a shell, and Linux takes no longer one than LONGEST. Two things make
# GNU parallel give more (then it ends with "No more processes: cannot run a single job"):
# - Reading its login file again it finds the limit among logins that are new to it; without one the limit is 50 MB
#   (sub parse_sshlogin). womm writes the file anew with the same pods, too.
# - A command goes in hexadecimal, within a worker, and every backslash doubled. Of that it counts the first, and a fixed
#   length for the second, whatever --env and --workdir add to it.
# Files that go with a job (--transferfile, --return) have commands of their own in the same argument: not counted here.
# A line that fits is as long as it would be without this, and so is one that -s keeps short.
# Depends on names of GNU parallel's own. bats runs the real one.
package lengths;

use strict;
use warnings;

# MAX_ARG_STRLEN without the NUL; what surrounds the worker's text, with a pod's name; the variables that GNU parallel
# sets for each job; what a variable, a working directory and any shell function cost beside their texts.
use constant { LONGEST => 131_071, CALL => 200, OWN => 500, VARIABLE => 60, DIRECTORY => 150, FUNCTIONS => 300 };

my ($around, $doubled) = (undef, 0);

# backslashes TEXT: how many it has.
sub backslashes {
    my ($text) = @_;
    return $text =~ tr/\\//;
}

# around: how many bytes the worker has beside the command.
sub around {
    my $length = OWN + length Job::monitor_parent_sshd_script();
    for my $name (Job::vars_to_export()) {
        $length += 2 * length($name) + VARIABLE + length main::perl_quote_scalar($ENV{$name});
        $length += FUNCTIONS if $name =~ /^BASH_FUNC_/;
    }
    # It is there three times.
    $length += DIRECTORY + 3 * length main::perl_quote_scalar($opt::workdir) if defined $opt::workdir;
    return $length;
}

# in_command LINE: how many backslashes its command has, without its arguments; with -X what stands at an argument is
# there once for each.
sub in_command {
    my ($line) = @_;
    (my $command = "@{$line->{command}}") =~ s/\257<.*?\257>/\0/gs;
    my $repeated = $line->{context_replace} ? backslashes(join "", $command =~ /\S*\0\S*/g) : 0;
    return backslashes($command) - $repeated + $repeated * $line->number_of_recargs();
}

# fits LINE LENGTH: whether a command line of that length can be started.
sub fits {
    my ($line, $length) = @_;
    $around //= around();
    my $worker = $around + $length + ($line->{doubled} // 0) + in_command($line);
    # A blank after every 1000 digits.
    return CALL + length($opt::ssh // "ssh") + 2 * $worker + int($worker / 500) <= LONGEST;
}

# original PACKAGE NAME: GNU parallel's sub of that name.
sub original {
    my ($package, $name) = @_;
    return $package->can($name) // die "lengths: this GNU parallel counts otherwise: no $name in $package\n";
}

# After GNU parallel has been compiled, before it runs.
INIT {
    original("Job", $_) for qw(monitor_parent_sshd_script vars_to_export);
    my $parse = original("main", "parse_sshlogin");
    my $replace = original("Arg", "replace");
    my ($len, $push, $pop, $pop_all) = map original("CommandLine", $_), qw(len push pop pop_all);
    no warnings qw(once prototype redefine);
    *main::parse_sshlogin = sub {
        my $limit = $Global::usable_command_line_length;
        $parse->();
        $Global::usable_command_line_length = $limit
            if defined $limit and $limit < $Global::usable_command_line_length;
    };
    # LINE->push and LINE->pop count an argument's lengths by this.
    *Arg::replace = sub {
        my ($arg, $expression, $quoted, $line) = @_;
        my $text = $replace->($arg, $expression, $quoted, $line);
        $doubled += backslashes($text) * ($line->{replacecount}{$expression} // 1);
        return $text;
    };
    *CommandLine::push = sub {
        my ($line, $record) = @_;
        $doubled = 0;
        $push->($line, $record);
        $line->{doubled} += $doubled;
    };
    *CommandLine::pop = sub {
        my ($line) = @_;
        $doubled = 0;
        my $record = $pop->($line);
        $line->{doubled} -= $doubled;
        return $record;
    };
    *CommandLine::pop_all = sub {
        my ($line) = @_;
        $line->{doubled} = 0;
        return $pop_all->($line);
    };
    # The limit is what no line reaches.
    *CommandLine::len = sub {
        my ($line) = @_;
        my ($length, $limit) = ($len->($line), $Global::usable_command_line_length);
        return $length >= $limit || fits($line, $length) ? $length : $limit;
    };
}

1;
