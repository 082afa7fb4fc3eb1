# Socketmap - a socketmap server in the process of the test, which answers when
# the test wants: at once, later, wrongly or never.
#
#	my $map = Socketmap->start(sub { my ($map, $key) = @_; return 'OK x'; });
#	table x "socketmap:inet:ADDRESS:map" with $map->address
#
# The function returns an answer ("OK value", "NOTFOUND ", "TEMP x"), a
# reference to octets that are sent as they are ("" closes), or undef: then the
# question waits for answer($key, 'OK x'). It runs whenever the test waits for
# anything (Wait.pm).
package Socketmap;

use strict;
use warnings;
use IO::Socket::IP;
use Socket qw(SOCK_STREAM);
use Wait;

sub start
{
	my ($class, $says) = @_;
	my $self = bless { says => $says, conns => {}, asked => [] }, $class;

	$self->{listener} = IO::Socket::IP->new(LocalHost => '127.0.0.1',
	    LocalPort => 0, Listen => 100, Type => SOCK_STREAM)
	    or die "socket: $!";
	$self->{listener}->blocking(0);
	Wait::pump($self->{listener}, $self, 'accept');
	return $self;
}

sub address { return '127.0.0.1:' . $_[0]{listener}->sockport; }

sub accept
{
	my ($self) = @_;

	while (my $fh = $self->{listener}->accept) {
		my $conn = bless { fh => $fh, in => '', server => $self },
		    'Socketmap::Connection';
		$fh->blocking(0);
		$self->{conns}{fileno $fh} = $conn;
		Wait::pump($fh, $conn, 'read');
	}
}

# All keys that were asked for; those that wait for their answer.
sub asked { return map { $_->{key} } @{$_[0]{asked}}; }

sub waiting
{
	return map { $_->{key} } grep { !$_->{answered} } @{$_[0]{asked}};
}

sub wait_asked
{
	my ($self, $key) = @_;

	return Wait::wait_until(sub {
		(grep { $_->{key} eq $key && !$_->{answered} }
		    @{$self->{asked}})[0];
	});
}

# Answer those who wait for this key. False: nobody does.
sub answer
{
	my ($self, $key, $answer) = @_;
	my $n = 0;

	for (@{$self->{asked}}) {
		next if $_->{key} ne $key || $_->{answered};
		$_->{conn}->say($answer);
		$n = $_->{answered} = 1;
	}
	return $n;
}

sub DESTROY
{
	my ($self) = @_;

	return if ${^GLOBAL_PHASE} eq 'DESTRUCT';
	Wait::unpump($self->{listener});
	$_->close for values %{$self->{conns}};
}

package Socketmap::Connection;

sub close
{
	my ($self) = @_;
	my $fh = delete $self->{fh} or return;

	Wait::unpump($fh);
	delete $self->{server}{conns}{fileno $fh};
	delete $self->{server};
	close $fh;
}

sub say
{
	my ($self, $answer) = @_;

	return unless $self->{fh};
	return $self->close if ref $answer && $$answer eq '';
	syswrite $self->{fh}, ref $answer ? $$answer :
	    length($answer) . ":$answer,";
}

sub read
{
	my ($self) = @_;
	my $n = sysread $self->{fh}, $self->{in}, 65536, length $self->{in};

	return if !defined $n && Wait::again();
	return $self->close unless $n;
	while ($self->{in} =~ /\A(\d+):/ &&
	    length $self->{in} > $+[0] + $1) {
		my ($start, $len) = ($+[0], $1);
		my ($name, $key) = split / /,
		    substr($self->{in}, $start, $len), 2;
		substr($self->{in}, 0, $start + $len + 1) = '';
		my $asked = { conn => $self, key => $key };
		my $server = $self->{server};
		push @{$server->{asked}}, $asked;
		my $answer = $server->{says}->($name, $key);
		next unless defined $answer;
		$asked->{answered} = 1;
		$self->say($answer);
		last unless $self->{fh};
	}
}

1;
