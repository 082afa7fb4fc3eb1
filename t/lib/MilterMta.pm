# MilterMta - an MTA that asks a milter, octet by octet: the protocol itself,
# without any of libmilter's or Postfix's ideas about it.
#
#	my $mta = MilterMta->connect('unix:/path');
#	$mta->negotiate(actions => 0x1ff, protocol => 0x1fffff);
#	$mta->hello(client => '192.0.2.1', name => 'c.example', helo => 'c.example');
#	$mta->ask(M => "<a\@example.org>\0")	# "c", or "y550 5.7.1 no"
#	my @said = $mta->message("Subject: x\r\n\r\nhello\r\n");
#
# What a milter says is its letter and its payload: "h" . "X-A\0v\0".
package MilterMta;

use strict;
use warnings;
use IO::Socket::IP;
use IO::Socket::UNIX;
use Wait;

# Events by their letter, and the bit by which the milter does not reply.
my %silent = (C => 0x1000, H => 0x2000, M => 0x4000, R => 0x8000,
    T => 0x10000, L => 0x80, N => 0x40000, B => 0x80000);
my %skip = (C => 0x1, H => 0x2, M => 0x4, R => 0x8, B => 0x10, L => 0x20,
    N => 0x40, T => 0x200);

sub connect
{
	my ($class, $where) = @_;
	my $s = $where =~ /\Aunix:(.*)/ ? IO::Socket::UNIX->new(Peer => $1) :
	    $where =~ /\Ainet:(\d+)@(.*)/ ? IO::Socket::IP->new(PeerPort => $1,
	    PeerHost => $2) : undef;

	die "$where: $!" unless $s;
	$s->blocking(1);
	return bless { socket => $s, in => '' }, $class;
}

sub send
{
	my ($self, $letter, $payload) = @_;
	my $packet = pack('N', 1 + length $payload) . $letter . $payload;

	while (length $packet) {
		my $n = syswrite $self->{socket}, $packet or return 0;
		substr($packet, 0, $n) = '';
	}
	return 1;
}

# The next thing it says; undef when it does not, or has gone.
sub hear
{
	my ($self, $seconds) = @_;

	while (1) {
		my $len = length($self->{in}) >= 4 ? unpack 'N', $self->{in} : undef;
		if (defined $len && length $self->{in} >= 4 + $len) {
			my $said = substr $self->{in}, 4, $len;
			substr($self->{in}, 0, 4 + $len) = '';
			return $said;
		}
		Wait::wait_readable($self->{socket}, $seconds) or return undef;
		sysread($self->{socket}, $self->{in}, 65536, length $self->{in})
		    or return undef;
	}
}

# Returns what it wants: actions, protocol, and the lists of macros.
sub negotiate
{
	my ($self, %o) = @_;

	$self->send(O => pack 'NNN', $o{version} // 6, $o{actions} // 0x1ff,
	    $o{protocol} // 0x1fffff);
	my $said = $self->hear // return;
	my ($version, $actions, $protocol, $lists) = unpack 'xNNNa*', $said;
	@$self{qw(version actions protocol)} = ($version, $actions, $protocol);
	while ($lists =~ s/\A(....)([^\0]*)\0//s) {
		$self->{macros}{unpack 'N', $1} = $2;
	}
	return ($actions, $protocol);
}

sub macros
{
	my ($self, $letter, %m) = @_;

	$self->send(D => $letter . join '', map { "$_\0$m{$_}\0" } sort keys %m);
}

# An event. What it answers; "c" where it said that it would not answer, or does
# not want to hear of it.
sub ask
{
	my ($self, $letter, $payload) = @_;

	return 'c' if ($skip{$letter} // 0) & $self->{protocol};
	$self->send($letter, $payload // '') or return 'gone';
	return 'c' if ($silent{$letter} // 0) & $self->{protocol};
	my $said = $self->hear // return 'gone';
	$said =~ s/\0\z//;
	return $said;
}

sub client
{
	my ($self, %o) = @_;
	my $ip = $o{client} // '192.0.2.1';

	return $self->ask(C => ($o{name} // "[$ip]") . "\0" .
	    ($ip =~ /:/ ? '6' : '4') . pack('n', 12345) . "$ip\0");
}

sub helo { return $_[0]->ask(H => ($_[1] // 'c.example') . "\0"); }

sub mail
{
	my ($self, $from, @params) = @_;

	return $self->ask(M => join '', map { "$_\0" } "<$from>", @params);
}

sub rcpt
{
	my ($self, $to, @params) = @_;

	return $self->ask(R => join '', map { "$_\0" } "<$to>", @params);
}

# All up to the content. Returns the first answer that is not "c".
sub envelope
{
	my ($self, %o) = @_;

	my @steps = (sub { $self->client(%o) }, sub { $self->helo($o{helo}) },
	    sub { $self->mail($o{from} // 'a@example.org') },
	    (map { my $to = $_; sub { $self->rcpt($to) } }
	    @{$o{rcpts} // ['b@example.com']}), sub { $self->ask('T') });

	# A milter that has said more does not hear what follows.
	for (@steps) {
		my $said = $_->();
		return $said if $said ne 'c';
	}
	return 'c';
}

# The content; returns all that it says at the end, or the first answer that is
# not "c" before. skipped counts the pieces of body it did not want to see.
sub message
{
	my ($self, $text) = @_;
	my ($header, $body) = $text =~ /\A(?:(.*?\r\n)?)\r\n(.*)\z/s;
	my $lead = $self->{protocol} & 0x100000;

	$header //= '';
	$header =~ s/\r\n(?=[ \t])/\n/g;
	$self->{skipped} = 0;
	for (split /\r\n/, $header) {
		my ($name, $value) = /\A([^:]*):(.*)\z/s;
		$value =~ s/\A // unless $lead;
		my $said = $self->ask(L => "$name\0$value\0");
		return $said if $said ne 'c';
	}
	my $said = $self->ask('N');
	return $said if $said ne 'c';
	my $enough = 0;
	for my $piece (unpack '(a65000)*', $body) {
		if ($enough) {
			$self->{skipped}++;
			next;
		}
		$said = $self->ask(B => $piece);
		$enough = $said eq 's';
		return $said if $said ne 'c' && !$enough;
	}
	return $self->end;
}

sub end
{
	my ($self) = @_;
	my @said;

	$self->send(E => '');
	do {
		push @said, $self->hear // 'gone';
	} while ($said[-1] =~ /\A[-+2ebhimpq]/);
	$said[-1] =~ s/\0\z//;
	return @said;
}

# The changes of a message, for people to read.
sub tell
{
	return map {
		my ($letter, $rest) = /\A(.)(.*)\z/s;
		my $n = $letter =~ /[im]/ && length $rest >= 4 ?
		    unpack('N', substr $rest, 0, 4, '') . ' ' : '';
		$rest =~ s/\0\z// unless $letter eq 'b';
		$rest =~ s/\0/ /g;
		"$letter $n$rest";
	} @_;
}

sub abort { $_[0]->send(A => ''); }

sub quit
{
	my ($self) = @_;

	$self->send(Q => '');
	close $self->{socket};
}

1;
