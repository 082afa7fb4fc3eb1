# PeerClamd - a real clamd (clamav-daemon) that knows one virus: EICAR.
package PeerClamd;

use strict;
use warnings;
use Peer;

our @ISA = ('Peer');

# tcp: on a port instead of a UNIX socket; limit: StreamMaxLength.
sub start
{
	my ($class, %o) = @_;
	my $self = $class->new;
	my $dir = $self->{dir};
	my $limit = $o{limit} // '25M';
	my $where = "LocalSocket $dir/socket";

	mkdir "$dir/db";
	$self->write('db/eicar.ndb', 'Eicar-Test-Signature:0:*:' .
	    unpack('H*', $Peer::EICAR) . "\n");
	$self->{address} = "unix:$dir/socket";
	if ($o{tcp}) {
		my $port = Peer::free_port();
		$where = "TCPSocket $port\nTCPAddr 127.0.0.1";
		$self->{address} = "127.0.0.1:$port";
	}
	$self->write('clamd.conf', <<"END");
DatabaseDirectory $dir/db
TemporaryDirectory $dir
$where
Foreground yes
MaxThreads 4
StreamMaxLength $limit
SelfCheck 0
Bytecode no
END
	return $self->run('/usr/sbin/clamd', '-c', "$dir/clamd.conf");
}

1;
