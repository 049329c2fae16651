#!/usr/bin/env perl
# lazy-job.pl VERB …: what bench/lazy has done where a lazy share is seen, in the directory; each time on a line: NAME SECONDS.
#   list DIR…         `ls -l` of each: cold, and again
#   aged SECONDS DIR  the same once more, after a pause: aged, and twice
#   own COUNT         the same of as many new files beside it, in /tmp
#   read FILE…        each from its first byte to its last
#   see COUNT         wait for new-N, and then for N in `changing`; say seen-N, changed-N by files of these names
#   small TEAM COUNT PREFIX   wait until as many as TEAM of us are here; then read COUNT files, PREFIX-0 and so on, each from
#                     open to close
# Before each time that is taken it makes a directory marks/mark-NAME: whoever looks at the link sees where it begins. Whether
# there is one might be known there.
use strict;
use warnings;
use Time::HiRes qw(sleep time);

# Bytes of one read; seconds between two looks, and where others are at work meanwhile.
use constant { BLOCK => 1 << 20, GLANCE => 0.02, SELDOM => 0.5 };

# timed NAME CODE: print how long CODE takes.
sub timed {
    my ($name, $code) = @_;
    mark($name);
    my $start = time;
    $code->();
    printf "%s %.4f\n", $name, time - $start;
}

# mark NAME: see above.
sub mark {
    my ($name) = @_;
    mkdir "marks/mark-$name" or $!{EEXIST} or die "marks/mark-$name: $!\n";
}

# list DIR: look at all that is in DIR, as `ls -l` does.
sub list {
    my ($dir) = @_;
    system("ls -l $dir >/dev/null") == 0 or die "ls $dir: $?\n";
}

# whole FILE: read FILE; return how many bytes it has.
sub whole {
    my ($file) = @_;
    my $size = 0;
    open my $handle, "<", $file or die "$file: $!\n";
    while (my $got = sysread $handle, my $block, BLOCK) { $size += $got }
    close $handle or die "$file: $!\n";
    return $size;
}

# put FILE TEXT: write FILE.
sub put {
    my ($file, $text) = @_;
    open my $handle, ">", $file or die "$file: $!\n";
    print $handle $text;
    close $handle or die "$file: $!\n";
}

# content FILE: what FILE holds now.
sub content {
    my ($file) = @_;
    open my $handle, "<", $file or die "$file: $!\n";
    local $/;
    return <$handle> // "";
}

my %verbs = (
    list => sub {
        for my $dir (@_) {
            timed("cold-$dir",  sub { list($dir) });
            timed("again-$dir", sub { list($dir) });
        }
        mark("listed-$_[0]");
    },
    aged => sub {
        my ($pause, $dir) = @_;
        sleep $pause;
        timed("aged-$dir",  sub { list($dir) });
        timed("twice-$dir", sub { list($dir) });
        mark("all-aged");
    },
    own => sub {
        mkdir "/tmp/own" or die "/tmp/own: $!\n";
        put("/tmp/own/$_", "x") for 1 .. $_[0];
        timed("own", sub { list("/tmp/own") });
    },
    read => sub {
        for my $file (@_) {
            timed("read-$file", sub { whole($file) });
        }
    },
    see => sub {
        for my $number (1 .. $_[0]) {
            put("ready-$number", "");
            sleep GLANCE until -e "new-$number";
            put("seen-$number", "");
            sleep GLANCE until content("changing") eq $number;
            put("changed-$number", "");
        }
    },
    small => sub {
        my ($team, $count, $prefix) = @_;
        mkdir "/tmp/team";
        put("/tmp/team/$$", "");
        sleep SELDOM until (() = glob "/tmp/team/*") >= $team;
        mark("small");
        for my $file (map {"$prefix-$_"} 0 .. $count - 1) {
            my $start = time;
            whole($file) == 10_000 or die "$file is cut short\n";
            printf "small %.4f\n", time - $start;
        }
        put("/tmp/team/$$-done", "");
        sleep SELDOM until (() = glob "/tmp/team/*-done") >= $team;
        mark("all-small");
    },
);

# main VERB …: see above.
sub main {
    my ($verb, @words) = @_;
    $| = 1;
    my $code = $verbs{$verb // ""} or die "usage: lazy-job.pl list|aged|own|read|see|small …\n";
    $code->(@words);
}

main(@ARGV);
