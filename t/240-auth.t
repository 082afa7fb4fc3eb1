#!/usr/bin/perl
# AUTH is an exchange between the client and the backend that we carry and
# neither read nor log; it is offered where nobody can listen.
use strict;
use warnings;
use lib 't/lib';
use MIME::Base64;
use Test::More;
use Backend;
use Cert;
use Proxy;

my $mta   = Backend->start(auth => 'PLAIN LOGIN CRAM-MD5 GSSAPI EXTERNAL ' .
    'XOAUTH2 OAUTHBEARER SCRAM-SHA-256 SCRAM-SHA-256-PLUS NTLM',
    'AUTH PLAIN d3Jvbmc=' => '535 5.7.8 wrong');
my $proxy = Proxy->start(backend => $mta->address, tls => Cert->shared,
    set => { 'relay-domains' => ['example.com'], 'log-level' => 'debug' });

my $secret = 'S3cr3t-Password';
my $plain  = encode_base64("\0alice\@example.com\0$secret", '');

sub tls_client
{
	my $c = ($_[0] // $proxy)->client;

	$c->hello;
	$c->starttls;
	$c->hello;
	return $c;
}

subtest 'only over TLS' => sub {
	my $c = $proxy->client;

	ok(!exists $c->hello->{AUTH}, 'not offered in plain text');
	$mta->forget;
	$c->send("AUTH PLAIN $plain");
	$c->expect(qr/^538 5\.7\.11|^50[34] 5\.5\.|^530 /, 'nor taken');
	is(scalar $mta->commands(qr/AUTH/), 0, 'the backend heard nothing');
	$c->starttls;
	like($c->hello->{AUTH} // '', qr/PLAIN/, 'offered after STARTTLS');
};

subtest 'only what can be relayed' => sub {
	my $c = tls_client();
	my $offered = join ' ', sort split / /, $c->{ext}{AUTH};

	is($offered, 'LOGIN OAUTHBEARER PLAIN SCRAM-SHA-256 XOAUTH2',
	    'no channel binding, no tickets, no challenge with our name');
	for my $mech ('EXTERNAL =', 'GSSAPI', 'SCRAM-SHA-256-PLUS x', 'NTLM',
	    'FOO', 'CRAM-MD5', 'SCRAM-SHA-1') {
		$c->send("AUTH $mech");
		$c->expect(qr/^504 5\.5\.4/, $mech);
	}
};

subtest 'PLAIN' => sub {
	my $c = tls_client();

	$mta->forget;
	$c->send("AUTH PLAIN $plain");
	$c->expect(qr/^235 2\.7\.0 welcome/, 'initial response');
	is(($mta->commands(qr/^AUTH/))[-1], "AUTH PLAIN $plain", 'verbatim');
	$c->send("AUTH PLAIN $plain");
	$c->expect(qr/^503 5\.5\.1/, 'once is enough');
	$c->envelope('alice@example.com', 'far@elsewhere.example');
	is(scalar $mta->commands(qr/^RCPT TO:<far\@elsewhere\.example>/), 1,
	    'relaying is allowed after AUTH');
	$c->message("x\r\n");
	$c->expect(qr/^250 /);
	is($mta->last->{auth}, 'PLAIN', 'on the connection that logged in');

	$c = tls_client();
	$c->send('AUTH PLAIN');
	$c->expect(qr/^334 $/, 'no initial response: asked for');
	$c->send($plain);
	$c->expect(qr/^235 /, 'then given');

	$c = tls_client();
	$c->send('RSET', 'MAIL FROM:<x@example.org>',
	    'RCPT TO:<far@elsewhere.example>');
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^550 5\.7\.1/, 'another client may not relay');
	my @conn = grep { $_->{line} =~ /^AUTH/ } $mta->events('command');
	my %conn = map { $_->{conn} => 1 } @conn;
	is(scalar keys %conn, 2, 'each login has a connection of its own');
};

subtest 'LOGIN, SCRAM, OAuth' => sub {
	my @steps = (
		['AUTH LOGIN', [qr/^334 VXN/, qr/^334 UGF/], qr/^235 /],
		['AUTH LOGIN YWxpY2U=', [qr/^334 UGF/], qr/^235 /],
		['AUTH SCRAM-SHA-256', [qr/^334 $/, qr/^334 cj/, qr/^334 dj/],
		    qr/^235 /],
		['AUTH SCRAM-SHA-256 biwsbj1h', [qr/^334 cj/, qr/^334 dj/],
		    qr/^235 /],
		['AUTH XOAUTH2 dXNlcj1h', [], qr/^235 /],
		['auth oauthbearer bixhPXU=', [], qr/^235 /],
		['AUTH PLAIN =', [], qr/^235 /],
	);

	for (@steps) {
		my ($line, $challenges, $end) = @$_;
		my $c = tls_client();
		my @sent = map { encode_base64("$secret $_", '') }
		    0 .. $#$challenges;

		$mta->forget;
		$c->send($line);
		for my $i (0 .. $#$challenges) {
			$c->expect($challenges->[$i], "$line, step $i");
			$c->send($sent[$i]);
		}
		$c->expect($end, "$line is complete");
		is_deeply([map { $_->{line} } $mta->events('auth')], \@sent,
		    'verbatim');
	}
};

subtest 'failures' => sub {
	my $c = tls_client();

	$c->send('AUTH PLAIN d3Jvbmc=');
	$c->expect(qr/^535 5\.7\.8 wrong$/, "the backend's words");
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<x@elsewhere.example>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^550 5\.7\.1/, 'not logged in');
	$c->send('RSET', "AUTH PLAIN $plain");
	$c->expect(qr/^250 /);
	$c->expect(qr/^235 /, 'another try');

	$c = tls_client();
	$mta->forget;
	$c->send('AUTH LOGIN');
	$c->expect(qr/^334 /);
	$c->send('*');
	$c->expect(qr/^501 5\./, 'cancelled');
	is(($mta->events('auth'))[-1]{line}, '*', 'there as well');
	$c->send('NOOP');
	$c->expect(qr/^250 /, 'back to commands');

	$c->send('AUTH LOGIN');
	$c->expect(qr/^334 /);
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^501 5\./, 'a command is no base64');
	is(scalar $mta->commands(qr/^MAIL/), 0, 'and did not become one');
	$c->send('NOOP');
	$c->expect(qr/^250 /);

	for my $bad ('AUTH', 'AUTH PLAIN a b', 'AUTH PLAIN %%%') {
		$c->send($bad);
		$c->expect(qr/^50[14] 5\.5\./, $bad);
	}
	$c->envelope('a@example.org', 'b@example.com');
	$c->send("AUTH PLAIN $plain");
	$c->expect(qr/^503 5\.5\.1/, 'not in a transaction');
};

subtest 'long lines' => sub {
	my $c = tls_client();
	my $token = 'A' x 12_200;

	$c->send("AUTH OAUTHBEARER $token");
	$c->expect(qr/^235 /, '12 K of initial response');
	$c = tls_client();
	$c->send('AUTH OAUTHBEARER');
	$c->expect(qr/^334 /);
	$c->send('B' x 12_288);
	$c->expect(qr/^235 /, '12288 octets of response');
	$c = tls_client();
	$c->send('AUTH OAUTHBEARER');
	$c->expect(qr/^334 /);
	$c->send('C' x 20_000);
	$c->expect(qr/^(?:50[01]|421) /, 'more is too long');
};

subtest 'the backend goes in the dialogue' => sub {
	for my $how ('close', 'reset') {
		my $dying = Backend->start(auth => 'PLAIN LOGIN',
		    'AUTH+' => { $how => 1 });
		my $p = Proxy->start(backend => $dying->address,
		    tls => Cert->shared);
		my $c = tls_client($p);
		$c->send('AUTH LOGIN');
		$c->expect(qr/^334 /);
		$c->send('YQ==');
		$c->expect(qr/^4(?:54|51|21) 4\./, "$how: temporary");
		$c = tls_client($p);
		$c->send('NOOP');
		$c->expect(qr/^250 /, 'the next session works');
	}
};

subtest 'lost after AUTH' => sub {
	my $c = tls_client();

	$c->send("AUTH PLAIN $plain");
	$c->expect(qr/^235 /);
	$mta->drop;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<x@elsewhere.example>');
	my (undef, $text) = $c->reply;
	(undef, $text) = $c->reply if $text =~ /^250 /;
	like($text, qr/^4(?:21|51) 4\./,
	    'nothing is sent without the login');
};

subtest 'auth-without-tls' => sub {
	my $p = Proxy->start(backend => $mta->address,
	    set => { 'auth-without-tls' => 'true' });
	my $c = $p->client;

	like($c->hello->{AUTH} // '', qr/PLAIN/, 'offered when set so');
	$c->send("AUTH PLAIN $plain");
	$c->expect(qr/^235 /);
};

subtest 'the log' => sub {
	for my $what ($secret, $plain, encode_base64($secret, ''),
	    substr($plain, 0, 20), encode_base64("$secret 0", '')) {
		$proxy->log_unlike(qr/\Q$what\E/, 'no credentials in it');
	}
	ok(scalar $proxy->log(qr/\bauth\b/i), 'but that there was a login');
};

done_testing;
