# Client - an SMTP client that does exactly what a test says, octet by octet.
#
#	my $c = Client->connect(port => $port);
#	$c->hello('client.example');
#	$c->send('MAIL FROM:<a@example.org>');
#	$c->expect(qr/^250 2\.1\.0/, 'sender accepted');
#
# expect() reads one whole reply, its lines joined by "\n", and is a check of
# its own. reply() reads one and returns (code, text). Each wait has a deadline;
# a reply that does not come, or a connection that is closed instead, is a
# reply with code 0 that says so.
package Client;

use strict;
use warnings;
use IO::Socket::IP;
use IO::Socket::SSL;
use IO::Socket::UNIX;
use Socket qw(IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER);
use Test::More ();
use Wait;

# port or unix; host; from: our address (any of 127.0.0.0/8); first: octets to
# send at once (a PROXY header); tls: 1 for TLS from the first octet.
sub connect
{
	my ($class, %o) = @_;
	my $fh;

	if ($o{unix}) {
		$fh = IO::Socket::UNIX->new(Peer => $o{unix});
	} else {
		my $host = $o{host} // '127.0.0.1';
		my %from = $o{from} ? (LocalHost => $o{from}) : ();

		$fh = IO::Socket::IP->new(PeerHost => $host, %from,
		    PeerPort => $o{port}, Type => Socket::SOCK_STREAM);
	}
	die "cannot connect to the proxy: $!" unless $fh;
	my $self = bless { fh => $fh, in => '', eof => 0 }, $class;
	$fh->blocking(0);
	setsockopt $fh, IPPROTO_TCP, TCP_NODELAY, 1 unless $o{unix};
	$self->octets($o{first}) if defined $o{first};
	$self->handshake(%{ref $o{tls} ? $o{tls} : {}}) if $o{tls};
	return $self;
}

sub port { return $_[0]{fh}->sockport; }

# Sending

# Each argument as a line, all with one write.
sub send
{
	my ($self, @lines) = @_;

	return $self->octets(join '', map { "$_\r\n" } @lines);
}

# Exactly these octets. False when the peer does not take them.
sub octets
{
	my ($self, $octets) = @_;

	while (length $octets) {
		my $n = syswrite $self->{fh}, $octets;

		if (defined $n) {
			substr($octets, 0, $n) = '';
		} elsif (!Wait::again() ||
		    !Wait::wait_writable($self->{fh})) {
			return 0;
		}
	}
	return 1;
}

# Exactly these octets in pieces of $size, each with its own write. They may
# still meet in the peer's socket buffer; unit tests settle the splitting,
# this one only tries.
sub pieces
{
	my ($self, $size, $octets) = @_;

	for (my $i = 0; $i < length $octets; $i += $size) {
		$self->octets(substr $octets, $i, $size) or return 0;
	}
	return 1;
}

# Each piece is read by the peer before the next one is written, so that they
# cannot meet. Only for a unix socket, where the kernel tells: Linux counts
# octets as outgoing until they are read (SIOCOUTQ).
sub apart
{
	my ($self, @pieces) = @_;

	for (@pieces) {
		$self->octets($_) && $self->wait_taken or return 0;
	}
	return 1;
}

sub wait_taken
{
	my ($self) = @_;
	my $end = Wait::now() + $Wait::DEADLINE;
	my $tries = 0;

	while (Wait::now() < $end) {
		my $left = pack 'i', 0;

		ioctl $self->{fh}, 0x5411, $left or return 0;
		return 1 if unpack('i', $left) == 0;
		Wait::turn($tries++ < 20 ? 0 : 0.001);
	}
	return 0;
}

# Reading

# Read what is there, or wait for it. False at the end.
sub fill
{
	my ($self, $seconds) = @_;

	return 0 if $self->{eof};
	my $end = Wait::now() + ($seconds // $Wait::DEADLINE);
	while (1) {
		my $n = sysread $self->{fh}, $self->{in}, 65536,
		    length $self->{in};

		return 1 if $n;
		if (defined $n || !Wait::again()) {
			$self->{reset} = 1 unless defined $n;
			$self->{eof} = 1;
			return 0;
		}
		my $left = $end - Wait::now();
		return 0 if $left <= 0;
		Wait::wait_readable($self->{fh}, $left);
	}
}

# The next line without its CR LF, or undef.
sub line
{
	my ($self) = @_;

	while ($self->{in} !~ /\n/) {
		return undef unless $self->fill;
	}
	$self->{in} =~ s/\A([^\n]*)\n//;
	my $line = $1;
	# A reply line that ends in LF alone is a fault of the proxy.
	$line .= '<no CR>' unless $line =~ s/\r\z//;
	return $line;
}

# One reply as (code, text), text being its lines joined by "\n".
sub reply
{
	my ($self) = @_;
	my @lines;

	while (1) {
		my $line = $self->line;

		if (!defined $line) {
			push @lines, $self->{eof} ? '000 connection closed'
			    : '000 no reply in time';
			return (0, join "\n", @lines);
		}
		push @lines, $line;
		last unless $line =~ /\A\d\d\d-/;
	}
	my ($code) = $lines[-1] =~ /\A(\d\d\d)(?: |\z)/;
	return ($code // 0, join "\n", @lines);
}

# Read one reply and check it. Returns its text.
sub expect
{
	my ($self, $like, $name) = @_;
	my (undef, $text) = $self->reply;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	Test::More::like($text, $like, $name // "reply $like");
	return $text;
}

# Nothing more comes: the proxy closes. Returns what came before the end.
sub expect_close
{
	my ($self, $name) = @_;

	1 while $self->fill;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	Test::More::ok($self->{eof}, $name // 'connection closed') or
	    Test::More::diag('still open');
	my $rest = $self->{in};
	$self->{in} = '';
	return $rest;
}

# Nothing has come that was not read. Says nothing about the future.
sub expect_nothing
{
	my ($self, $name) = @_;

	$self->fill(0) unless length $self->{in};
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	Test::More::is($self->{in}, '', $name // 'no reply yet');
}

# The steps of a session

sub greeting
{
	my ($self, $like) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->{greeted} = 1;
	return $self->expect($like // qr/^220[ -]/, 'greeting');
}

# Greeting, if it was not read, and EHLO. Returns the keywords as a hash.
sub hello
{
	my ($self, $name, $verb) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->greeting unless $self->{greeted};
	$verb //= 'EHLO';
	$self->send("$verb " . ($name // 'client.example'));
	my $text = $self->expect(qr/^250[ -]/, $verb);
	my (undef, @lines) = split /\n/, $text;
	$self->{ext} = {
		map { /\A250[ -](\S+) ?(.*)/ ? (uc $1 => $2) : () } @lines
	};
	return $self->{ext};
}

# An envelope, sent as one group; every reply has to be positive.
sub envelope
{
	my ($self, $from, @to) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->send("MAIL FROM:<$from>", map { "RCPT TO:<$_>" } @to);
	$self->expect(qr/^250 /, "MAIL FROM:<$from>");
	$self->expect(qr/^250 /, "RCPT TO:<$_>") for @to;
}

# The same without a check for each reply, for a test that does it often; true
# if all are positive.
sub envelope_quietly
{
	my ($self, $from, @to) = @_;

	$self->send("MAIL FROM:<$from>", map { "RCPT TO:<$_>" } @to);
	return !grep { ($self->reply)[0] != 250 } 0 .. @to;
}

# DATA, and the content as a proper client would send it. The reply to the end
# of data is for the caller to read.
sub message
{
	my ($self, $content) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->send('DATA');
	$self->expect(qr/^354[ -]/, 'DATA');
	$self->octets(stuff($content));
}

# Content as it travels after DATA, with the end of data.
sub stuff
{
	my ($content) = @_;

	$content =~ s/^\./../mg;
	$content .= "\r\n" if $content !~ /\r\n\z/ && length $content;
	return "$content.\r\n";
}

sub bdat
{
	my ($self, $octets, $last) = @_;

	return $self->octets('BDAT ' . length($octets) .
	    ($last ? ' LAST' : '') . "\r\n$octets");
}

# A whole message in a session that has said EHLO; checks that it is accepted.
sub deliver
{
	my ($self, $from, $to, $content) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->envelope($from, ref $to ? @$to : $to);
	$self->message($content // "Subject: test\r\n\r\nhello\r\n");
	return $self->expect(qr/^250 /, 'message accepted');
}

sub quit
{
	my ($self) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->send('QUIT');
	$self->expect(qr/^221 /, 'QUIT');
	$self->expect_close('closed after QUIT');
}

# STARTTLS and the handshake; hello() has to follow.
sub starttls
{
	my ($self, %o) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$self->send('STARTTLS');
	$self->expect(qr/^220 /, 'STARTTLS');
	return Test::More::ok($self->handshake(%o), 'TLS handshake');
}

# True, or false with ->{tls_error}. Options are those of IO::Socket::SSL.
sub handshake
{
	my ($self, %o) = @_;

	# The handshake itself blocks; its deadline is Timeout.
	$self->{fh}->blocking(1);
	my $tls = IO::Socket::SSL->start_SSL($self->{fh},
	    SSL_verify_mode => SSL_VERIFY_NONE, Timeout => $Wait::DEADLINE,
	    SSL_hostname => '', %o);
	if (!$tls) {
		$self->{tls_error} = $SSL_ERROR;
		return 0;
	}
	$self->{fh} = $tls;
	$tls->blocking(0);
	return 1;
}

sub tls_version { return $_[0]{fh}->get_sslversion; }

# Leave without a word.
sub close
{
	my ($self) = @_;

	my $fh = delete $self->{fh} or return;
	$fh->isa('IO::Socket::SSL') ?
	    $fh->close(SSL_no_shutdown => 1) : CORE::close($fh);
}

# Leave by a reset instead of a FIN.
sub reset
{
	my ($self) = @_;

	setsockopt $self->{fh}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
	$self->close;
}

# No more will be sent, but replies are still read.
sub half_close
{
	my ($self) = @_;

	shutdown $self->{fh}, 1;
}

1;
