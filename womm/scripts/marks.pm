# marks.pm: loaded into GNU parallel by `perl -Mmarks parallel ...`: notes, in the file $WOMM_MARKS, when it begins and
# has ended to print a job's output, and how long its output and its joblog were then.
#
# A line for each: `b OUT ERR LOG` (what follows is a job's) or `e OUT ERR LOG` (the job's row is in the joblog, all of
# its output before): the bytes in the files $WOMM_OUT and $WOMM_ERR, which are its stdout and stderr, and $WOMM_LOG. So
# whoever copies these files knows where a copy may end. Only for grouped output: jobs print one after the other.
# With $WOMM_TOTAL, a file, it also counts the jobs, as --eta does: for that it reads all arguments first.
# Depends on names of GNU parallel's own: Job::print prints a job's output and its row, start_more_jobs is called when its
# queue is ready. bats runs the real one.
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

# count FILE: write there how many jobs there are. Not where a job takes several arguments: GNU parallel miscounts them.
sub count {
    my ($file) = @_;
    return if ($Global::max_number_of_args // 1) > 1 or $Global::max_lines;
    open my $written, ">", $file or return;
    print {$written} $Global::JobQueue->total_jobs(), "\n";
    close $written;
    return;
}

# After GNU parallel has been compiled, before it runs.
INIT {
    my $name = delete $ENV{WOMM_MARKS};
    @files = delete @ENV{qw(WOMM_OUT WOMM_ERR WOMM_LOG)};
    open $marks, ">>", $name or die "marks: $name: $!\n";
    my $print = Job->can("print") or die "marks: this GNU parallel prints otherwise\n";
    no warnings qw(redefine prototype);
    if (defined(my $total = delete $ENV{WOMM_TOTAL})) {
        my $start = main->can("start_more_jobs") or die "marks: this GNU parallel starts jobs otherwise\n";
        *main::start_more_jobs = sub {
            count($total) if defined $total;
            undef $total;
            return $start->(@_);
        };
    }
    *Job::print = sub {
        note("b");
        my @result = wantarray ? $print->(@_) : scalar $print->(@_);
        note("e");
        return wantarray ? @result : $result[0];
    };
}

1;
