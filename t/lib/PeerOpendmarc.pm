# PeerOpendmarc - a real opendmarc that refuses what fails the policy of
# example.org and strict.example, which is "reject". It believes the
# Authentication-Results of mx.test.example and upstream.example, and needs no
# name server: what the DNS would say is in a file.
package PeerOpendmarc;

use strict;
use warnings;
use Peer;

our @ISA = ('Peer');

sub start
{
	my ($class) = @_;
	my $self = $class->new;
	my $dir = $self->{dir};

	# Clients of its own machine would not be asked about otherwise.
	$self->write('ignored', "192.0.2.1\n");
	$self->write('dns', join '', map { "_dmarc.$_ v=DMARC1; p=reject\n" }
	    qw(example.org strict.example));
	$self->write('opendmarc.conf', <<"END");
AuthservID mx.test.example
TrustedAuthservIDs mx.test.example,upstream.example
Socket local:$dir/socket
UMask 000
Syslog no
RejectFailures true
IgnoreHosts $dir/ignored
HistoryFile $dir/history
TestDNSData $dir/dns
PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
END
	$self->{address} = "unix:$dir/socket";
	return $self->run('/usr/sbin/opendmarc', '-f', '-c',
	    "$dir/opendmarc.conf");
}

1;
