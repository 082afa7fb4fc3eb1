#!/usr/bin/perl
# TLS with clients: implicit or by STARTTLS, required or not, nothing below
# version 1.2, and a ticket of one listener is worth nothing at another.
use strict;
use warnings;
use lib 't/lib';
use IO::Socket::SSL;
use Test::More;
use Backend;
use Cert;
use Proxy;

my $cert  = Cert->shared;
my $mta   = Backend->start(auth => 'PLAIN LOGIN', xclient => 'NAME ADDR');
my $proxy = Proxy->start(backend => $mta->address, tls => $cert,
    set => { 'error-limit' => 1000, 'relay-domains' => ['example.com'] },
    listen => [
	{ },
	{ address => '127.0.0.2:0', starttls => 'required' },
	{ address => '127.0.0.3:0', tls => 'implicit' },
	{ address => '127.0.0.4:0', starttls => 'off' },
	{ address => '127.0.0.5:0',
	    'accept-xclient-from' => ['127.0.0.0/8'] },
	{ address => '127.0.0.6:0', tls => 'implicit' },
    ]);
my ($OPTIONAL, $REQUIRED, $IMPLICIT, $OFF, $XCLIENT, $IMPLICIT2) = 0 .. 5;

subtest 'STARTTLS' => sub {
	my $c = $proxy->client;

	ok(exists $c->hello->{STARTTLS}, 'offered');
	$c->starttls(SSL_ca_file => $cert->ca,
	    SSL_verify_mode => SSL_VERIFY_PEER,
	    SSL_verifycn_name => $Proxy::HOSTNAME,
	    SSL_verifycn_scheme => 'smtp');
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^503 5\.5\.1|^503 /, 'EHLO is forgotten');
	ok(!exists $c->hello->{STARTTLS}, 'not offered again');
	$c->send('STARTTLS');
	$c->expect(qr/^503 5\.5\.1/, 'nor done twice');
	$c->deliver('a@example.org', 'b@example.com', "by TLS\r\n");
	is($mta->last->{content}, "by TLS\r\n", 'content');
	$c->quit;
	$proxy->log_like(qr/ tls version=TLSv1\.3 cipher=\S+/, 'logged');
	$proxy->log_like(qr/ message .*proto=ESMTPS /, 'as ESMTPS');
};

subtest 'STARTTLS in the wrong place or form' => sub {
	my $c = $proxy->client;

	$c->greeting;
	$c->send('STARTTLS');
	$c->expect(qr/^503 5\.5\.1|^503 /, 'before EHLO');
	$c->hello;
	$c->send('STARTTLS now');
	$c->expect(qr/^501 5\.5\.4/, 'with an argument');
	$c->send('MAIL FROM:<a@example.org>', 'STARTTLS');
	$c->expect(qr/^250 /);
	$c->expect(qr/^503 5\.5\.1/, 'inside a transaction');
	$c->send('RCPT TO:<b@example.com>', 'STARTTLS');
	$c->expect(qr/^250 /);
	$c->expect(qr/^503 5\.5\.1/, 'behind RCPT');
	$c->message("plain\r\n");
	$c->expect(qr/^250 2\.0\.0 queued/, 'the message goes on');

	$c = $proxy->client(listener => $OFF);
	ok(!exists $c->hello->{STARTTLS}, 'off: not offered');
	$c->send('STARTTLS');
	$c->expect(qr/^502 5\.5\.1/, 'off: nor done');
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'nothing of the plain text survives' => sub {
	my $c = $proxy->client;

	$c->hello('liar.example');
	$mta->forget;
	$c->starttls;
	$c->send('NOOP');
	$c->expect(qr/^250 /);
	$c->hello('honest.example');
	$c->deliver('a@example.org', 'b@example.com');
	is(scalar $mta->commands(qr/liar/), 0, 'the first name is forgotten');
};

subtest 'required' => sub {
	my $c = $proxy->client(listener => $REQUIRED);

	ok(exists $c->hello->{STARTTLS}, 'offered');
	ok(!exists $c->{ext}{AUTH}, 'no AUTH before it');
	for my $line ('MAIL FROM:<a@example.org>', 'VRFY x', 'RSET',
	    'HELO client.example', 'AUTH PLAIN AGEAYg==',
	    'XCLIENT ADDR=192.0.2.1', 'EXPN x', 'HELP') {
		$c->send($line);
		$c->expect(qr/^530 5\.7\.0/, $line);
	}
	for my $line ('DATA', 'RCPT TO:<b@example.com>') {
		$c->send($line);
		$c->expect(qr/^5(?:30|03) 5\./, $line);
	}
	$c->send('NOOP');
	$c->expect(qr/^250 /, 'NOOP is allowed (RFC 3207)');
	$c->starttls;
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	$c = $proxy->client(listener => $REQUIRED);
	$c->hello;
	$c->send('QUIT');
	$c->expect(qr/^221 /, 'QUIT is allowed');
};

subtest 'implicit' => sub {
	my $c = $proxy->client(listener => $IMPLICIT, tls => 1);

	$c->greeting;
	ok(!exists $c->hello->{STARTTLS}, 'no TLS in TLS');
	ok(exists $c->{ext}{AUTH}, 'AUTH is offered');
	$c->send('STARTTLS');
	$c->expect(qr/^503 5\.5\.1/, 'nor taken');
	$c->deliver('a@example.org', 'b@example.com');

	$c = $proxy->client(listener => $IMPLICIT);
	$c->expect_nothing('no greeting in plain text');
	$c->send('EHLO client.example', 'MAIL FROM:<a@example.org>');
	my $rest = $c->expect_close('plain text is no handshake');
	unlike($rest, qr/^\d\d\d[ -]/m, 'and gets no reply of SMTP');
	$proxy->log_like(qr/ tls failed=/, 'logged');
};

subtest 'versions' => sub {
	for my $listener ($OPTIONAL, $IMPLICIT) {
		for my $v ('TLSv1', 'TLSv1_1') {
			my $c = $proxy->client(listener => $listener);
			if ($listener == $OPTIONAL) {
				$c->hello;
				$c->send('STARTTLS');
				$c->expect(qr/^220 /);
			}
			ok(!$c->handshake(SSL_version => $v,
			    SSL_cipher_list => 'ALL:@SECLEVEL=0'),
			    "$v is refused");
			# By us, and not because the client cannot do it.
			$proxy->log_like(
			    qr/ tls failed=.*(?:unsupported protocol|version)/,
			    "$v: for its version");
		}
		for my $v ('TLSv1_2', 'TLSv1_3') {
			my $c = $proxy->client(listener => $listener);
			if ($listener == $OPTIONAL) {
				$c->hello;
				$c->send('STARTTLS');
				$c->expect(qr/^220 /);
			}
			ok($c->handshake(SSL_version => $v), "$v is taken");
			is($c->tls_version, $v, "as $v");
			$c->greeting if $listener == $IMPLICIT;
			$c->deliver('a@example.org', 'b@example.com')
			    if $c->hello;
		}
	}
};

# A client of TLS 1.3 gets its tickets behind the handshake, so they are there
# when the reply to EHLO is. They are kept as long as the context, and as
# long as the session that got them is not closed.
my @open;

sub session
{
	my ($listener, $context) = @_;
	my $c = $proxy->client(listener => $listener,
	    tls => { SSL_reuse_ctx => $context,
	    SSL_session_key => 'the same for all' });

	$c->greeting;
	$c->hello;
	push @open, $c;
	return $c->{fh}->get_session_reused ? 1 : 0;
}

subtest 'tickets' => sub {
	for my $v ('TLSv1_2', 'TLSv1_3') {
		my $context = IO::Socket::SSL::SSL_Context->new(
		    SSL_version => $v, SSL_verify_mode => SSL_VERIFY_NONE,
		    SSL_session_cache_size => 10) or die $SSL_ERROR;
		is(session($IMPLICIT, $context), 0, "$v: the first");
		is(session($IMPLICIT, $context), 1, "$v: resumed");
		is(session($IMPLICIT2, $context), 0,
		    "$v: not at another listener");
	}
};

subtest 'AUTH and XCLIENT' => sub {
	my $c = $proxy->client(listener => $XCLIENT);

	$c->hello;
	ok(!exists $c->{ext}{AUTH}, 'no AUTH in plain text');
	ok(exists $c->{ext}{XCLIENT}, 'XCLIENT for a trusted client');
	$mta->forget;
	for my $line ('AUTH PLAIN AGEAYg==', 'AUTH LOGIN') {
		$c->send($line);
		$c->expect(qr/^538 5\.7\.11|^503 5\.5\.1/, $line);
	}
	is(scalar $mta->commands(qr/AUTH/), 0, 'not relayed');
	$c->starttls;
	$c->hello;
	ok(exists $c->{ext}{AUTH}, 'AUTH after STARTTLS');
	$c->send('AUTH PLAIN AGEAYg==');
	$c->expect(qr/^235 /);

	# Nobody becomes trusted by TLS.
	$c = $proxy->client;
	$c->hello;
	$c->starttls;
	$c->hello;
	ok(!exists $c->{ext}{XCLIENT}, 'no XCLIENT for others');
	$c->send('XCLIENT ADDR=192.0.2.1 LOGIN=root', 'XFORWARD ADDR=192.0.2.1');
	$c->expect(qr/^550 5\.7\.1/, $_) for 'XCLIENT', 'XFORWARD';

	# A login belongs to the session it was made in.
	$c = $proxy->client(listener => $XCLIENT);
	$c->hello;
	$c->send('XCLIENT ADDR=192.0.2.1 LOGIN=alice');
	$c->expect(qr/^220 /);
	$c->hello;
	$c->starttls;
	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@elsewhere.example>');
	$c->expect(qr/^250 /);
	my (undef, $text) = $c->reply;
	like($text, qr/^(?:550 5\.7\.1|250) /, 'a reply');
};

subtest 'a long message, both ways' => sub {
	my $c = $proxy->client(listener => $IMPLICIT, tls => 1);
	my $content = join '', map { "line $_ " . 'x' x 60 . "\r\n" } 1 .. 30_000;

	$c->greeting;
	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->message($content);
	$c->expect(qr/^250 2\.0\.0 queued/, '2 MB');
	ok($mta->last->{content} eq $content, 'unchanged');
	$c->send(('NOOP') x 90);
	my $bad = grep { ($c->reply)[0] != 250 } 1 .. 90;
	is($bad, 0, 'pipelining inside TLS');
};

subtest 'leaving' => sub {
	my $c = $proxy->client(listener => $IMPLICIT, tls => 1);
	my $alerts = 0;

	@open = ();
	$c->greeting;
	Net::SSLeay::set_info_callback($c->{fh}->_get_ssl_object, sub {
		my ($ssl, $where, $what) = @_;
		$alerts++ if $where == Net::SSLeay::CB_READ_ALERT() &&
		    ($what & 255) == 0;
	});
	$c->quit;
	is($alerts, 1, 'QUIT: we say close_notify');
	$proxy->log_like(qr/ close reason="client said QUIT"/);

	$c = $proxy->client(listener => $IMPLICIT, tls => 1);
	$c->greeting;
	$c->hello;
	$c->close;
	$proxy->log_like(qr/ close reason="client closed/,
	    'without close_notify: closed, no error');
	$c = $proxy->client(listener => $IMPLICIT);
	$c->octets("\x16\x03\x01");
	$c->reset;
	$proxy->log_like(qr/ close reason=/, 'a reset in the handshake');
	$c = $proxy->client(listener => $IMPLICIT);
	$c->octets("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
	$proxy->clock(301_000);
	$c->expect_close('a handshake that stands still');
	$proxy->log_like(qr/ close reason="client sent nothing/, 'logged');
	$c = $proxy->client(listener => $IMPLICIT, tls => 1);
	$c->greeting;
};

done_testing;
