# Milterd - "vratar milter" under test: the daemon of Proxy.pm behind an MTA.
#
#	my $m = Milterd->start(policy => $text);
#	my $mta = $m->mta;			# a MilterMta, connected
#	$m->socket				# for smtpd_milters
#
# Options are those of Proxy->start, and
#
#	policy   text of a policy: the only filter
#	filters  [name => text of the filter block, …]: all that there are
#	socket   "inet:0@127.0.0.1" or the like; else a unix socket
#	more     [ … ] for the command line
package Milterd;

use strict;
use warnings;
use parent -norequire, 'Proxy';
use MilterMta;
use Proxy;
use Wait;

sub start
{
	my ($class, %o) = @_;
	my $self = $class->prepare(%o);

	$self->serve;
	return $self;
}

sub prepare
{
	my ($class, %o) = @_;
	my $self = $class->SUPER::prepare(options => []);
	my @filters = @{$o{filters} // []};
	my %set = ('spool-directory' => $self->{dir},
	    'relay-domains' => undef, %{$o{set} // {}});
	my $text = '';

	if (defined $o{policy}) {
		my $file = $self->write('p0.rules', $o{policy});
		push @filters, p0 => "type = \"policy\" file = \"$file\"";
	}
	while (my ($name, $block) = splice @filters, 0, 2) {
		$text .= "filter \"$name\" { $block }\n";
	}
	my $conf = $self->configuration(%o, set => \%set, listen => $o{listen} // []);
	$self->write('vratar.conf', $conf . $text);
	$self->{socket} = $o{socket} // "unix:$self->{dir}/milter";
	$self->{args} = ['-c', "$self->{dir}/vratar.conf", '--foreground',
	    '--socket', $self->{socket}, @{$o{more} // []}];
	return $self;
}

# The chain of a listener of this daemon, behind this socket.
sub beside
{
	my ($class, $proxy, $listener, $socket) = @_;
	my $self = $class->SUPER::prepare(options => []);

	$self->{args} = ['-c', "$proxy->{dir}/vratar.conf", '--foreground',
	    '--control', $self->{control}, '--listener', $listener,
	    '--socket', $socket];
	$self->serve;
	return $self;
}

# Anybody may connect, whoever runs the test.
sub serve
{
	my ($self) = @_;
	my $old = umask 0;

	# Perhaps not for the first time.
	$self->{since} = @{$self->{log}};
	$self->run('milter', @{$self->{args}});
	umask $old;
	$self->wait_ready or die "the milter does not start:\n" . $self->log;
}

# "ready socket=unix:PATH"
sub wait_ready
{
	my ($self) = @_;
	my $line = Wait::wait_until(sub {
		for (@{$self->{log}}[$self->{since} .. $#{$self->{log}}]) {
			return $_ if /\bready socket=/;
		}
		return $self->{pipe} ? undef : 'gone';
	}) // '';

	($self->{socket}) = $line =~ /socket=(\S+)/ or return 0;
	return 1;
}

sub socket { return $_[0]{socket}; }

# The process that does the work.
sub worker { return ($_[0]->workers)[0]; }

# An MTA that has connected, and negotiated with these options.
sub mta
{
	my ($self, %o) = @_;
	my $mta = MilterMta->connect($self->{socket});

	$mta->negotiate(%o);
	return $mta;
}

1;
