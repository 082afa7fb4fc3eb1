# PeerOpendkim - a real opendkim that signs for example.org what comes from
# 127.0.0.1 and verifies what comes from elsewhere.
#
#	my $dkim = PeerOpendkim->start or plan skip_all => $PeerOpendkim::why;
package PeerOpendkim;

use strict;
use warnings;
use Dns;
use Peer;

our @ISA = ('Peer');
our $why = '';

sub possible
{
	$why = 'opendkim is not installed' unless -x '/usr/sbin/opendkim' &&
	    -x '/usr/sbin/opendkim-genkey';
	return $why eq '';
}

sub start
{
	my ($class) = @_;

	return undef unless possible();
	my $self = $class->new;
	my $dir = $self->{dir};
	system('opendkim-genkey', '-b', '1024', '-d', 'example.org', '-s',
	    'sel', '-D', $dir) == 0 or die 'opendkim-genkey failed';
	open my $in, '<', "$dir/sel.txt" or die "sel.txt: $!";
	my $key = join '', map { /"([^"]*)"/g } <$in>;
	$self->{dns} = Dns->start('sel._domainkey.example.org TXT' => $key);
	$self->write('resolver.conf', <<"END");
server:
  do-not-query-localhost: no
  module-config: "iterator"
forward-zone:
  name: "."
  forward-addr: @{[$self->{dns}->server]}
END
	$self->write('opendkim.conf', <<"END");
Syslog no
Mode sv
Socket local:$dir/socket
UMask 000
Domain example.org
Selector sel
KeyFile $dir/sel.private
RequireSafeKeys no
Canonicalization relaxed/simple
InternalHosts 127.0.0.1
AlwaysAddARHeader yes
AuthservID mx.test.example
ResolverConfiguration $dir/resolver.conf
DNSTimeout 10
END
	$self->{address} = "unix:$dir/socket";
	return $self->run('/usr/sbin/opendkim', '-f', '-x',
	    "$dir/opendkim.conf");
}

1;
