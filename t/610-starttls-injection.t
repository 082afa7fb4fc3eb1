#!/usr/bin/perl
# Plain text that travels with STARTTLS, or with its 220, is never taken as if
# it had come encrypted, neither from a client nor from a backend.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use Backend;
use Cert;
use Proxy;

my $cert = Cert->shared;
my $path = tempdir(CLEANUP => 1) . '/s';
my $mta  = Backend->start;
my $proxy = Proxy->start(backend => $mta->address, tls => $cert,
    listen => [{}, { address => "unix:$path" }]);

my @injected = (
	"NOOP\r\n", "\r\n", "E", "\0", "EHLO evil.example\r\n",
	"RSET\r\nMAIL FROM:<evil\@example.org>\r\n" .
	"RCPT TO:<victim\@example.com>\r\nDATA\r\nevil\r\n.\r\n",
	"MAIL FROM:<evil\@example.org>\r\n" x 2000,
	"\x16\x03\x01",
);

subtest 'client, in the same packet' => sub {
	for my $octets (@injected) {
		my $c = $proxy->client;
		$mta->forget;
		$c->hello;
		$c->octets("STARTTLS\r\n$octets");
		my $text = $c->expect(qr/^554 5\.5\.0/, length($octets) .
		    ' octets: refused');
		is($c->expect_close('and closed'), '', 'no other reply');
		$c->close;
		is(scalar $mta->commands(qr/evil|victim/), 0, 'not relayed');
		$proxy->log_like(qr/ close reason="plain text behind STARTTLS"/,
		    'logged');
	}
};

# Nothing of what came before the handshake is read, wherever the cut between
# two packets is: either it is refused, or it fails as a handshake.
subtest 'client, cut at every octet' => sub {
	my $octets = "STARTTLS\r\nNOOP\r\nMAIL FROM:<evil\@example.org>\r\n";

	for my $at (1 .. length $octets) {
		my $c = Client->connect(unix => $path);
		$c->hello;
		my @pieces = (substr($octets, 0, $at), substr $octets, $at);
		$c->apart(grep { length } @pieces);
		my (undef, $text) = $c->reply;
		if ($text =~ /^220 /) {
			my $rest = $c->expect_close("$at: no handshake");
			unlike($rest, qr/^\d\d\d[ -]/m, 'and no reply');
			$proxy->log_like(qr/ tls failed=/);
		} else {
			like($text, qr/^554 5\.5\.0/, "$at: refused");
			is($c->expect_close, '', 'closed');
			$c->close;
			$proxy->log_like(qr/ close reason="plain text/);
		}
	}
	is(scalar $mta->commands(qr/evil/), 0, 'not relayed');
};

subtest 'client, octet by octet' => sub {
	my $c = Client->connect(unix => $path);

	$c->hello;
	$c->apart(split //, "STARTTLS\r\n");
	$c->expect(qr/^220 /, 'an honest one may be slow');
	ok($c->handshake, 'and goes on with the handshake');
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
};

# Behind the 220 and before the handshake: that is not in our buffer but in the
# kernel's, and TLS finds no handshake in it.
subtest 'client, between 220 and the handshake' => sub {
	# The head of a record would make TLS wait for the rest of it.
	for my $octets (grep { !/\A\x16/ } @injected) {
		my $c = $proxy->client;
		$c->hello;
		$c->send('STARTTLS');
		$c->expect(qr/^220 /);
		$c->octets($octets);
		ok(!$c->handshake, length($octets) . ' octets: no handshake');
		$proxy->log_like(qr/ tls failed=/, 'logged');
	}
	is(scalar $mta->commands(qr/evil|victim/), 0, 'not relayed');
};

subtest 'pipelined STARTTLS behind a group' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->send('RSET', 'NOOP', 'STARTTLS');
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^220 /, 'the last of a group is legal (RFC 2920)');
	ok($c->handshake, 'handshake');
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');

	$c = $proxy->client;
	$c->hello;
	$c->send('STARTTLS', 'STARTTLS');
	$c->expect(qr/^554 5\.5\.0/, 'twice in one packet');
	$c->expect_close;
};

# The other side: a backend, or somebody in front of it, says more than 220.
my @replies = (
	"250 injected\r\n", "\r\n", "2", "220 again\r\n",
	"250-mta.test.example\r\n250-XCLIENT NAME ADDR LOGIN\r\n" .
	"250-AUTH PLAIN\r\n250 SIZE 1\r\n",
	"250 x\r\n" x 3000,
);

for my $tls ('may', 'encrypt') {
	subtest "backend, tls = $tls" => sub {
		for my $octets (@replies) {
			my $evil = Backend->start(starttls => $cert,
			    inject => $octets);
			my $p = Proxy->start(backend => $evil->address,
			    mta => { tls => $tls });
			my $c = $p->client;
			my $n = length $octets;
			$c->hello;
			unlike(join(' ', %{$c->{ext}}), qr/AUTH|SIZE 1\b/,
			    "$n octets: nothing of it is offered");
			$c->send('MAIL FROM:<a@example.org>',
			    'RCPT TO:<b@example.com>');
			$c->expect(qr/^250 /);
			$c->expect(qr/^451 4\.4\.[12]/, 'temporary');
			is(scalar $evil->commands(qr/^(?:MAIL|RCPT|XCLIENT)/),
			    0, 'nothing was sent there');
			$p->log_like(qr{plain text behind|more replies than}, 'logged');
		}
	};
}

# The backend's 220 octet by octet, and then TLS, is fine.
subtest 'backend, dripping' => sub {
	my $slow = Backend->start(starttls => $cert,
	    STARTTLS => { reply => '220 2.0.0 go', drip => 1 });
	my $p = Proxy->start(backend => $slow->address,
	    mta => { tls => 'encrypt' });
	my $c = $p->client;

	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	like($slow->last->{tls} // '', qr/^TLSv1/, 'encrypted');
};

# Capabilities from before the handshake count for nothing.
subtest 'backend, EHLO before and after' => sub {
	my $mta2 = Backend->start(starttls => $cert, EHLO => sub {
		my ($c) = @_;
		return $c->{tls} ? "250 x\n250-PIPELINING\n250 SIZE 2000" :
		    "250 x\n250-STARTTLS\n250-CHUNKING\n250-AUTH PLAIN\n" .
		    '250 SIZE 9999999';
	});
	my $p = Proxy->start(backend => $mta2->address, tls => $cert,
	    set => { 'auth-without-tls' => 'true' },
	    mta => { tls => 'encrypt' });
	my $c = $p->client;

	$c->hello;
	is($c->{ext}{SIZE}, 2000, 'SIZE of the encrypted EHLO');
	ok(!exists $c->{ext}{AUTH}, 'no AUTH that was offered in plain text');
	$c->deliver('a@example.org', 'b@example.com');
	is($mta2->last->{by}, 'DATA', 'nor CHUNKING');
};

done_testing;
