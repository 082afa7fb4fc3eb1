#!/usr/bin/perl
# TLS on the client's side: offered, required, from the first octet; a session
# over it is like any other.
use strict;
use warnings;
use lib 't/lib';
use IO::Socket::SSL;
use Test::More;
use Backend;
use Cert;
use Proxy;

my $cert = Cert->shared;
my $mta  = Backend->start;

subtest 'STARTTLS' => sub {
	my $proxy = Proxy->start(backend => $mta->address, tls => $cert);
	my $c     = $proxy->client;

	ok(exists $c->hello->{STARTTLS}, 'offered');
	$c->starttls(SSL_verify_mode => SSL_VERIFY_PEER,
	    SSL_ca_file => $cert->ca, SSL_verifycn_name => 'mx.test.example',
	    SSL_verifycn_scheme => 'smtp');
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^503 /, 'what was said before is forgotten');
	ok(!exists $c->hello->{STARTTLS}, 'not offered twice');
	$c->send('STARTTLS');
	$c->expect(qr/^503 5\.5\.1/, 'nor done twice');
	$c->deliver('a@example.org', 'b@example.com',
	    "x\r\n" x 200_000);
	ok($mta->last->{content} eq "x\r\n" x 200_000, 'a large message');
	$proxy->log_like(qr/proto=ESMTPS/, 'logged as ESMTPS');
	$c->quit;
};

subtest 'in a transaction, with an argument, before EHLO' => sub {
	my $proxy = Proxy->start(backend => $mta->address, tls => $cert);
	my $c     = $proxy->client;

	$c->greeting;
	$c->send('STARTTLS');
	$c->expect(qr/^503 5\.5\.1/, 'before EHLO');
	$c->hello;
	$c->send('STARTTLS now');
	$c->expect(qr/^501 5\.5\.4/, 'with an argument');
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('STARTTLS');
	$c->expect(qr/^503 5\.5\.1/, 'in a transaction');
	$c->message("x\r\n");
	$c->expect(qr/^250 /, 'which goes on');
};

subtest 'required' => sub {
	my $proxy = Proxy->start(backend => $mta->address, tls => $cert,
	    listen => { starttls => 'required' });
	my $c     = $proxy->client;

	$mta->forget;
	$c->hello;
	for my $line ('MAIL FROM:<a@example.org>', 'VRFY x', 'AUTH PLAIN =') {
		$c->send($line);
		$c->expect(qr/^530 5\.7\.0/, $line);
	}
	$c->send('NOOP');
	$c->expect(qr/^250 /, 'NOOP');
	$c->bdat("MAIL FROM:<evil\@example.org>\r\n", 1);
	$c->expect(qr/^530 5\.7\.0|^503 /, 'BDAT');
	my $rest = '';
	$c->send('QUIT');
	$rest .= (($c->reply)[1]) . "\n" while !$c->{eof} && $rest !~ /^221/m;
	is(scalar $mta->commands(qr/evil/), 0, 'nothing of it went on');
	$c = $proxy->client;
	$c->hello;
	$c->starttls;
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'off, and no certificate' => sub {
	for my $proxy (Proxy->start(backend => $mta->address, tls => $cert,
	    listen => { starttls => 'off' }),
	    Proxy->start(backend => $mta->address)) {
		my $c = $proxy->client;
		ok(!exists $c->hello->{STARTTLS}, 'not offered');
		$c->send('STARTTLS');
		$c->expect(qr/^50[02] 5\.5\.[12]/, 'nor taken');
		$c->deliver('a@example.org', 'b@example.com');
	}
};

subtest 'implicit' => sub {
	my $proxy = Proxy->start(backend => $mta->address, tls => $cert,
	    listen => { tls => 'implicit' });
	my $c     = $proxy->client(tls => 1);

	ok(!exists $c->hello->{STARTTLS}, 'no STARTTLS inside');
	$c->deliver('a@example.org', 'b@example.com');
	$c->quit;

	$c = $proxy->client;
	$c->send('EHLO x');
	my $rest = $c->expect_close('plain text is no handshake');
	unlike($rest, qr/^220|^250/m, 'and gets no banner');
	$c = $proxy->client(tls => 1);
	$c->hello;
};

subtest 'versions' => sub {
	my $proxy = Proxy->start(backend => $mta->address, tls => $cert,
	    listen => { tls => 'implicit' });

	for my $version ('TLSv1_2', 'TLSv1_3') {
		my $c = $proxy->client(tls => { SSL_version => $version });
		is($c->tls_version, $version, $version);
		$c->hello;
	}
	for my $version ('TLSv1', 'TLSv1_1') {
		my $c = $proxy->client;
		ok(!$c->handshake(SSL_version => $version,
		    SSL_cipher_list => 'ALL:@SECLEVEL=0'), "not $version");
	}
};

subtest 'a handshake that does not end' => sub {
	my $proxy = Proxy->start(backend => $mta->address, tls => $cert);

	for my $octets ('', "\x16\x03\x01\x02\x00\x01", 'NOT TLS AT ALL',
	    "\x16\x03\x01\xff\xff" . 'x' x 1000) {
		my $c = $proxy->client;
		$c->hello;
		$c->send('STARTTLS');
		$c->expect(qr/^220 /);
		$c->octets($octets);
		my $d = $proxy->client;
		$d->hello;
		$proxy->clock(5 * 60 * 1000 + 1000);
		$c->expect_close('does not stay for ever');
	}
	my $c = $proxy->client;
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'the connection breaks off' => sub {
	my $proxy = Proxy->start(backend => $mta->address, tls => $cert);

	$mta->forget;
	for my $how ('close', 'reset') {
		my $c = $proxy->client;
		$c->hello;
		$c->starttls;
		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		$c->send('DATA');
		$c->expect(qr/^354/);
		$c->octets("half\r\n");
		$c->$how;
		$proxy->log_like(qr/close reason=/, "$how is noticed");
	}
	is(scalar $mta->messages, 0, 'nothing is delivered');
};

# A ticket of one listener is not good for another with other rules.
subtest 'session tickets' => sub {
	my $proxy = Proxy->start(backend => $mta->address, tls => $cert,
	    listen => [{ tls => 'implicit' }, { tls => 'implicit' }]);
	my $cache = IO::Socket::SSL::Session_Cache->new(10);
	my @how = (SSL_session_cache => $cache, SSL_version => 'TLSv1_2',
	    SSL_session_key => 'one');
	my @reused;

	for my $listener (0, 0, 1) {
		my $c = $proxy->client(listener => $listener, tls => {@how});
		$c->hello;
		push @reused, $c->{fh}->get_session_reused ? 1 : 0;
		$c->quit;
	}
	is("@reused[0, 2]", '0 0', 'not at another listener');
};

done_testing;
