#!/usr/bin/perl
# Every wait for a client has an end, however its octets trickle; who keeps to
# the rate is not cut off.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my $minute = 60_000;
my $mta    = Backend->start;

sub start
{
	my (%set) = @_;

	return Proxy->start(backend => $mta->address, set => {%set});
}

# A round trip of another session: what was sent before has been read.
sub settle
{
	my ($proxy) = @_;
	my $c = $proxy->client;

	$c->hello;
	$c->quit;
}

subtest 'idle' => sub {
	my $proxy = start();
	my $c = $proxy->client;

	$c->hello;
	$proxy->clock(4 * $minute + 50_000);
	$c->send('NOOP');
	$c->expect(qr/^250 /, 'almost five minutes are fine');
	$proxy->clock(4 * $minute + 50_000);
	$c->expect_nothing('counted from the last command');
	$proxy->clock(20_000);
	$c->expect(qr/^421 4\.4\.2/, 'five are not');
	is($c->expect_close, '', 'closed');
	$proxy->log_like(qr/close .*too long/, 'logged');
};

subtest 'before EHLO, in an envelope, between chunks' => sub {
	my $proxy = start();

	for (['before EHLO'], ['in an envelope', 'EHLO x',
	    'MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>'],
	    ['between chunks', 'EHLO x', 'MAIL FROM:<a@example.org>',
	    'RCPT TO:<b@example.com>', "BDAT 3\r\nx"]) {
		my ($name, @lines) = @$_;
		my $c = $proxy->client;
		$c->greeting;
		$c->send(@lines);
		$c->expect(qr/^250[ -]/) for @lines;
		$proxy->clock(5 * $minute + 10_000);
		$c->expect(qr/^421 4\.4\.2/, $name);
		$c->expect_close;
	}
	is(scalar $mta->messages, 0, 'nothing was sent');
};

subtest 'a command that trickles' => sub {
	my $proxy = start();
	my $c = $proxy->client;
	my $alive = 1;
	my $minutes = 0;

	$c->hello;
	for my $octet (split //, 'NOOP ' . 'x' x 60) {
		$c->octets($octet) or last;
		settle($proxy);
		$proxy->clock($minute);
		$minutes++;
		$c->fill(0);
		last if length $c->{in} || $c->{eof};
	}
	cmp_ok($minutes, '<=', 6, 'has five minutes and no more');
	$c->expect(qr/^421 4\.4\.2/, 'then it is over');
};

subtest 'content that trickles' => sub {
	for my $how ('DATA', 'BDAT') {
		my $proxy = start();
		my $c = $proxy->client;
		my $minutes = 0;

		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		if ($how eq 'DATA') {
			$c->send('DATA');
			$c->expect(qr/^354/);
		} else {
			$c->octets("BDAT 100000 LAST\r\n");
		}
		for (1 .. 60) {
			# 10 octets a minute; 500 a second are asked for.
			$c->octets("12345678\r\n") or last;
			settle($proxy);
			$proxy->clock($minute);
			$minutes++;
			$c->fill(0);
			last if length $c->{in} || $c->{eof};
		}
		cmp_ok($minutes, '<=', 6, "$how: too slow");
		$c->expect(qr/^421 4\.4\.2/, 'is cut off');
		$c->expect_close;
	}
	is(scalar $mta->messages, 0, 'nothing was sent');
};

subtest 'content that comes fast enough' => sub {
	my $proxy = start();
	my $c = $proxy->client;
	my $piece = ('x' x 98 . "\r\n") x 600;	# 1000 octets a second

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354/);
	for (1 .. 20) {
		$c->octets($piece);
		settle($proxy);
		$proxy->clock($minute);
	}
	$c->octets(".\r\n");
	$c->expect(qr/^250 /, 'twenty minutes are fine then');
	ok($mta->last->{content} eq $piece x 20, 'whole');
};

subtest 'settings' => sub {
	my $proxy = start('client-timeout' => '10s', 'min-data-rate' => 0);
	my $c = $proxy->client;

	$c->hello;
	$proxy->clock(11_000);
	$c->expect(qr/^421 4\.4\.2/, 'client-timeout');
	$c = $proxy->client;
	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354/);
	for (1 .. 20) {
		$c->octets("x\r\n");
		settle($proxy);
		$proxy->clock(9000);
	}
	$c->octets(".\r\n");
	$c->expect(qr/^250 /, 'any rate, but not silence');
};

# While the backend takes its time, the client has none to lose.
subtest 'the backend is slow, not the client' => sub {
	my $slow = Backend->start(RCPT => { hold => 'rcpt',
	    reply => '250 2.1.5 ok' }, LAST => { hold => 'end',
	    reply => '250 2.0.0 queued at last' });
	my $proxy = Proxy->start(backend => $slow->address,
	    set => { 'client-timeout' => '60s' });
	my $c = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /);
	$slow->wait_held('rcpt');
	$proxy->clock(4 * $minute);
	$c->expect_nothing('RCPT takes four minutes');
	$slow->release('rcpt');
	$c->expect(qr/^250 2\.1\.5/);
	$c->message("x\r\n");
	$slow->wait_held('end');
	$proxy->clock(9 * $minute);
	$c->expect_nothing('the end takes nine');
	$slow->release('end');
	$c->expect(qr/^250 2\.0\.0 queued at last/);
	$c->send('NOOP');
	$c->expect(qr/^250 /, 'and the session goes on');
};

done_testing;
