#!/usr/bin/perl
# What comes in plain text behind STARTTLS is never taken as if it had come
# over TLS (CVE-2011-0411).
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Cert;
use Proxy;

my $mta   = Backend->start(auth => 'PLAIN');
my $proxy = Proxy->start(backend => $mta->address, tls => Cert->shared);

my @injected = (
	"RSET\r\n", "EHLO evil.example\r\n",
	"MAIL FROM:<evil\@example.org>\r\nRCPT TO:<v\@example.com>\r\nDATA\r\n",
	"EHLO evil.example\r\nMAIL FROM:<evil\@example.org>\r\n",
	'AUTH PLAIN AGV2aWwA', "NOOP", "\r\n", "\n", "x", "\0",
	"NOOP evil\r\n" x 2000,
);

for my $octets (@injected) {
	my $shown = substr $octets =~ s/[\r\n]+/ /gr, 0, 40;

	subtest "behind STARTTLS: $shown" => sub {
		my $c = $proxy->client;

		$mta->forget;
		$c->hello;
		$c->octets("STARTTLS\r\n$octets");
		my ($code) = $c->reply;
		if ($code != 220) {
			like($code, qr/^5/, 'refused');
			$c->expect_close('and closed');
		} elsif ($c->handshake) {
			# Thrown away: the session is as new.
			$c->hello;
			$c->deliver('good@example.org', 'b@example.com');
			is($mta->last->{from}, '<good@example.org>', 'clean');
		} else {
			pass('no handshake');
		}
		is(scalar $mta->commands(qr/evil/i), 0,
		    'nothing of it was done');
	};
}

# The same with the octets behind the 220, before the ClientHello: they are
# the handshake then, and a bad one.
subtest 'between the 220 and the handshake' => sub {
	my $c = $proxy->client;

	$mta->forget;
	$c->hello;
	$c->send('STARTTLS');
	$c->expect(qr/^220 /);
	$c->send('MAIL FROM:<evil@example.org>', 'RCPT TO:<v@example.com>');
	ok(!$c->handshake, 'no handshake');
	is(scalar $mta->commands(qr/evil/), 0, 'nothing of it was done');
};

subtest 'split at every octet' => sub {
	my $octets = "STARTTLS\r\nRSET\r\n";

	for my $at (1 .. length($octets) - 1) {
		my $c = $proxy->client;
		$c->hello;
		$c->octets(substr $octets, 0, $at);
		$c->octets(substr $octets, $at);
		my ($code, $text) = $c->reply;
		if ($code == 220) {
			# The second part may have come later: then it is a
			# bad handshake.
			my $rest = $c->expect_close('closed');
			unlike($rest, qr/^250/m, "at $at: no reply to RSET");
		} else {
			like($text, qr/^5\d\d 5\./, "at $at: refused");
			$c->expect_close('closed');
		}
		$c->close;
	}
	my $c = $proxy->client;
	$c->hello;
	$c->starttls;
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'what was known before is forgotten' => sub {
	my $c = $proxy->client;

	$c->hello('plain.example');
	$c->envelope('before@example.org', 'b@example.com');
	$c->send('RSET');
	$c->expect(qr/^250 /);
	$c->starttls;
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^503 /, 'EHLO is needed again');
	$c->hello('tls.example');
	$c->deliver('after@example.org', 'b@example.com');
	is($mta->last->{from}, '<after@example.org>', 'a new transaction');
};

done_testing;
