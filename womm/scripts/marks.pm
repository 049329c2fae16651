# marks.pm: loaded into GNU parallel by `perl -Mmarks parallel ...`: notes, in the file $WOMM_MARKS, when it begins and
# has ended to print a job's output, and how long its output and its joblog were then.
#
# A line for each: `b OUT ERR LOG` (what follows is a job's) or `e OUT ERR LOG` (the job's row is in the joblog, all of
# its output before): the bytes in the files $WOMM_OUT and $WOMM_ERR, which are its stdout and stderr, and $WOMM_LOG. So
# whoever copies these files knows where a copy may end. Only for grouped output: jobs print one after the other.
# Depends on two names of GNU parallel's own: Job::print prints a job's output and its row. bats runs the real one.
package marks;

use strict;
use warnings;

my ($marks, @files);

# note KIND: write a line.
sub note {
    my ($kind) = @_;
    syswrite $marks, join(" ", $kind, map { (stat $_)[7] // 0 } @files) . "\n";
    return;
}

# After GNU parallel has been compiled, before it runs.
INIT {
    my $name = delete $ENV{WOMM_MARKS};
    @files = delete @ENV{qw(WOMM_OUT WOMM_ERR WOMM_LOG)};
    open $marks, ">>", $name or die "marks: $name: $!\n";
    my $print = Job->can("print") or die "marks: this GNU parallel prints otherwise\n";
    no warnings qw(redefine prototype);
    *Job::print = sub {
        note("b");
        my @result = wantarray ? $print->(@_) : scalar $print->(@_);
        note("e");
        return wantarray ? @result : $result[0];
    };
}

1;
