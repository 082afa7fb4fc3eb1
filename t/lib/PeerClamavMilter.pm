# PeerClamavMilter - a real clamav-milter with a clamd that knows EICAR.
package PeerClamavMilter;

use strict;
use warnings;
use Peer;
use PeerClamd;

our @ISA = ('Peer');

sub start
{
	my ($class) = @_;
	my $self = $class->new;
	my $dir = $self->{dir};

	$self->{clamd} = PeerClamd->start;
	$self->{address} = "unix:$dir/socket";
	$self->write('milter.conf', <<"END");
MilterSocket unix:$dir/socket
MilterSocketMode 666
ClamdSocket @{[$self->{clamd}->address]}
Foreground yes
TemporaryDirectory $dir
OnInfected Reject
RejectMsg found %v
OnFail Defer
AddHeader Replace
END
	return $self->run('/usr/sbin/clamav-milter', '-c', "$dir/milter.conf");
}

1;
