# nfs-stream.pm: a stream of bytes in each direction that outlives its link: what the other end has not acknowledged is kept,
# and sent again over the next link. Bytes in, bytes out: nfs-relay.pl reads and writes them.
#
# Over a link go frames: type (D or A), length:u32, bytes. A has a u64, the count of all bytes that have come so far, over
# whatever links. It is the first frame of a link, from both ends, and nothing else is sent before the other's is there: it
# says where to go on.
package Stream;
use strict;
use warnings;

# Bytes that are kept at most; that a frame has at most; after so many that have come, that is told. Of a header.
use constant { WINDOW => 4 << 20, LONGEST => 1 << 17, STRIDE => 1 << 18, HEADER => 5 };

# new: a stream that has not begun.
sub new {
    my ($class) = @_;
    # Counts of bytes, from the beginning: sent at least once, acknowledged by the other end; received, and told to have
    # been. `kept` begins at `acknowledged`, and `next` is how much of it has been sent over this link; undef until the
    # other end has said where to go on. `heard`: a frame that has not come whole.
    my %fields = (sent => 0, acknowledged => 0, received => 0, told => 0, kept => "", next => undef, heard => "");
    return bless \%fields, $class;
}

# begin: there is a new link. Returns the first frame.
sub begin {
    my ($self) = @_;
    $self->{next}  = undef;
    $self->{heard} = "";
    return $self->acknowledgement;
}

# begun: whether the other end has said where to go on.
sub begun {
    my ($self) = @_;
    return defined $self->{next};
}

# acknowledgement: a frame that says what has come, and that we live.
sub acknowledgement {
    my ($self) = @_;
    $self->{told} = $self->{received};
    return pack "a N Q>", "A", 8, $self->{received};
}

# room: how many bytes may be given now.
sub room {
    my ($self) = @_;
    return WINDOW - length $self->{kept};
}

# give BYTES: they are to be sent.
sub give {
    my ($self, $bytes) = @_;
    $self->{kept} .= $bytes;
}

# due: the next frame, "" if there is none now.
sub due {
    my ($self) = @_;
    return ""                     if !$self->begun;
    return $self->acknowledgement if $self->{received} - $self->{told} >= STRIDE;
    my $bytes = substr $self->{kept}, $self->{next}, LONGEST;
    return "" if $bytes eq "";
    $self->{next} += length $bytes;
    my $sent = $self->{acknowledged} + $self->{next};
    $self->{sent} = $sent if $sent > $self->{sent};
    return pack "a N/a*", "D", $bytes;
}

# take BYTES: they have come over the link. Returns what the other end was given. Dies if that does not keep to the rules:
# then nothing of BYTES has come.
sub take {
    my ($self, $bytes) = @_;
    $self->{heard} .= $bytes;
    my ($new, $at) = ("", 0);
    while (length($self->{heard}) - $at >= HEADER) {
        my ($type, $length) = unpack "a N", substr $self->{heard}, $at, HEADER;
        die "this is no frame\n" if $type eq "A" ? $length != 8 : $type ne "D" || $length > LONGEST;
        last if length($self->{heard}) - $at - HEADER < $length;
        my $content = substr $self->{heard}, $at + HEADER, $length;
        $at += HEADER + $length;
        if ($type eq "A") {
            $self->acknowledged(unpack "Q>", $content);
        } else {
            die "nobody has asked for this\n" if !$self->begun;
            $new .= $content;
        }
    }
    substr $self->{heard}, 0, $at, "";
    $self->{received} += length $new;
    return $new;
}

# acknowledged COUNT: so much has come there. Dies if that can't be.
sub acknowledged {
    my ($self, $count) = @_;
    my $more = $count - $self->{acknowledged};
    my $next = $self->begun ? $self->{next} - $more : 0;
    die "this was never sent\n" if $more < 0 || $count > $self->{sent} || $next < 0;
    substr $self->{kept}, 0, $more, "";
    $self->{acknowledged} = $count;
    $self->{next} = $next;
}

1;
