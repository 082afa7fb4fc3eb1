# PeerSpamassMilter - a real spamass-milter with a spamd that has few rules. It
# refuses from 15 points on; below that it marks what has 5.
package PeerSpamassMilter;

use strict;
use warnings;
use Peer;
use PeerSpamd;

our @ISA = ('Peer');

sub start
{
	my ($class) = @_;
	my $self = $class->new;
	my $dir = $self->{dir};

	# As a whole installation has it, by which this milter knows spam.
	$self->{spamd} = PeerSpamd->start(rules => <<'END');
add_header spam Flag _YESNOCAPS_
add_header all Status _YESNO_, score=_SCORE_ required=_REQD_ tests=_TESTS_
END
	my ($port) = $self->{spamd}->address =~ /:(\d+)\z/;
	$self->{address} = "unix:$dir/socket";
	return $self->run('/usr/sbin/spamass-milter', '-p', "$dir/socket",
	    '-r', 15, '--', '-d', '127.0.0.1', '-p', $port);
}

1;
