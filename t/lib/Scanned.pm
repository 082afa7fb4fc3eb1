# Scanned - one daemon with a listener for each of several chains of filters.
#
#	my $s = Scanned->start(backend => $mta->address, filters => $text,
#	    chains => { name => ['a', 'b'], … });
#	$s->says('name', $message, qr/^250 /, 'clean');
package Scanned;

use strict;
use warnings;
use Test::More ();
use Proxy;

our @ISA = ('Proxy');

sub start
{
	my ($class, %o) = @_;
	my %chains = %{delete $o{chains}};
	my @names = sort keys %chains;
	my $self = $class->SUPER::start(
		listen => [map { { chain => $chains{$_} } } @names],
		extra => delete $o{filters}, %o);

	$self->{chain} = { map { $names[$_] => $_ } 0 .. $#names };
	return $self;
}

# An example of contrib/ with other addresses: { text => text } says what takes
# the place of what. It has one chain, called "example".
sub example
{
	my ($class, $name, $backend, %instead) = @_;
	my $self = $class->prepare;
	my %set = (log => 'stderr', workers => 1, hostname => $Proxy::HOSTNAME,
	    'control-socket' => $self->{control});

	open my $in, '<', "contrib/examples/$name" or die "$name: $!";
	my $text = join '', <$in>;
	# Who we are, where we listen, and who is behind us.
	$text =~ s/^(?:user|hostname|log|control-socket) .*\n//mg;
	my $n = 0;
	$text =~ s/^(listen) "[^"]*"/"$1 \"127.0.0." . ++$n . ':0"'/mge;
	$text =~ s/^(\s*address\s*=) "127\.0\.0\.1:10025"/$1 "$backend"/m
	    or die "$name: no backend";
	$text =~ s/^(\s*identity\s*=) .*/$1 "none"/m;
	for my $from (keys %instead) {
		$text =~ s/\Q$from\E/$instead{$from}/g
		    or die "$name: no $from";
	}
	$self->write('vratar.conf', Proxy::settings('', %set) . $text);
	$self->run('serve', @{$self->{args}});
	$self->wait_ready or die "$name does not start:\n" . $self->log;
	$self->{chain} = { example => 0 };
	return $self;
}

# A client of this chain that has said hello.
sub to
{
	my ($self, $chain) = @_;

	# Test::More is no concern of a hello that works.
	my $c = $self->client(listener => $self->{chain}{$chain});
	$c->reply;
	$c->{greeted} = 1;
	$c->send('EHLO client.example');
	$c->reply;
	return $c;
}

# A session that has sent a whole message; the reply is to be read.
sub sent
{
	my ($self, $chain, $message, @to) = @_;
	my $c = $self->to($chain);

	$c->envelope_quietly('a@example.org', @to ? @to : 'b@example.com')
	    or die 'the envelope is refused';
	$c->send('DATA');
	$c->reply;
	$c->octets(Client::stuff($message));
	return $c;
}

# What the client of a message is told.
sub says
{
	my ($self, $chain, $message, $like, $name) = @_;
	my $c = $self->sent($chain, $message);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $text = $c->expect($like, $name);
	$c->close;
	return $text;
}

1;
