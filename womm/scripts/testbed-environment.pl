#!/usr/bin/env perl
# testbed-environment.pl begin COMMAND...|save: the variables that jobs get from the local shell.
#
# begin: note this environment, the image's own; add what an earlier shell has saved; become COMMAND.
# save: keep in /etc/womm/environment what the caller's environment has come to since.
#
# Entries end with NUL: NAME=VALUE, or NAME alone for a variable that was unset. WOMM_BED and WOMM_SAVED name other
# places, for tests.
use strict;
use warnings;

# By a pattern: `save` runs with -T, which keeps PERL5OPT and PERL5LIB out, and trusts no variable either.
my ($bed)   = ($ENV{WOMM_BED}   // "/run/womm")             =~ /(.*)/s;
my ($saved) = ($ENV{WOMM_SAVED} // "/etc/womm/environment") =~ /(.*)/s;
my $start = "$bed/session/environment";
# The pod's, the terminal's, the shell's and sudo's own. ENV is how an sh is told of testbed-rc.
my $not_theirs = qr/^(?:HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|SHLVL|_|TERM|COLUMNS|LINES|HOSTNAME|(?:WOMM|SUDO)_.*)\z/s;

# entries FILE: what it holds as a hash; undef for what was unset. Empty if there is no such file.
sub entries {
    open my $file, "<", $_[0] or return {};
    local $/;
    return { map { my ($name, $value) = split /=/, $_, 2; ($name, $value) } split /\0/, readline($file) // "" };
}

# write_entries FILE HASH: the reverse; the file appears whole or not at all.
sub write_entries {
    my ($path, $entries) = @_;
    my $text = join "", map { entry($_, $entries->{$_}) } sort keys %$entries;
    my $fine = open my $file, ">", "$path.part";
    # A statement of its own: with -T, none that reads a variable may rename.
    $fine &&= print {$file} $text;
    $fine &&= close $file;
    $fine &&= rename "$path.part", $path;
    die "womm: $path can't be written: $!\n" unless $fine;
}

# entry NAME VALUE: one entry.
sub entry { return defined $_[1] ? "$_[0]=$_[1]\0" : "$_[0]\0" }

# theirs: this environment, as far as it is the user's: without what names him, and PATH without our sudo.
sub theirs {
    my %environment = map { $_ => $ENV{$_} } grep { !/$not_theirs/ } keys %ENV;
    $environment{PATH} = join ":", grep { $_ ne "$bed/bin" } split /:/, $environment{PATH}, -1
        if defined $environment{PATH};
    return \%environment;
}

# begin COMMAND...: see above. Does not return.
sub begin {
    my @command = @_;
    write_entries($start, theirs());
    my $earlier = entries($saved);
    for my $name (keys %$earlier) {
        if   (defined $earlier->{$name}) { $ENV{$name} = $earlier->{$name} }
        else                             { delete $ENV{$name} }
    }
    $ENV{PATH} = join ":", "$bed/bin", grep { defined } $ENV{PATH};
    @ENV{qw(WOMM_SHELL WOMM_PERL)} = ($$, $^X);
    exec { $command[0] } @command;
    die "womm: $command[0]: $!\n";
}

# save: see above.
sub save {
    my ($before, $after) = (entries($start), theirs());
    my %changes = map { $_ => $after->{$_} }
        grep { not defined $before->{$_} or $before->{$_} ne $after->{$_} } keys %$after;
    $changes{$_} = undef for grep { not exists $after->{$_} } keys %$before;
    write_entries($saved, \%changes);
}

my $verb = shift @ARGV // "";
if    ($verb eq "begin" and @ARGV) { begin(@ARGV) }
elsif ($verb eq "save")            { save() }
else                               { die "usage: testbed-environment.pl begin COMMAND...|save\n" }
