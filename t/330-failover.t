#!/usr/bin/perl
# Of several addresses the first that works is used.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;
use Wait;

my @ext = ('PIPELINING', 'SIZE 1000000', 'DSN');

sub deliver
{
	my ($proxy) = @_;
	my $c = $proxy->client;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	$c->quit;
}

subtest 'the first refuses connections' => sub {
	my $second = Backend->start;
	my $proxy  = Proxy->start(
	    backend => [Backend->nobody, $second->address]);

	deliver($proxy);
	is(scalar $second->messages, 1, 'the second has it');
};

subtest 'the first is preferred' => sub {
	my @mta   = (Backend->start, Backend->start);
	my $proxy = Proxy->start(backend => [map { $_->address } @mta]);

	deliver($proxy) for 1 .. 3;
	is(scalar $mta[0]->messages, 3, 'all for the first');
	$mta[0]->kill;
	deliver($proxy) for 1 .. 3;
	is(scalar $mta[1]->messages, 3, 'all for the second');
};

for (['closes at once', CONNECT => { close => 1 }],
    ['greets with 421', CONNECT => { reply => '421 4.3.2 full',
	then => 'close' }],
    ['greets with 554', CONNECT => { reply => '554 5.3.2 no',
	then => 'close' }],
    ['talks nonsense', CONNECT => 'SSH-2.0-OpenSSH_9.2'],
    ['closes at EHLO', EHLO => { close => 1 }]) {
	my ($name, $where, $value) = @$_;

	subtest "the first $name" => sub {
		my @mta = (Backend->start($where => $value), Backend->start);
		my $proxy = Proxy->start(
		    backend => [map { $_->address } @mta]);
		deliver($proxy);
		is(scalar $mta[1]->messages, 1, 'the second has it');
	};
}

subtest 'the first says nothing' => sub {
	my @mta = (Backend->start(CONNECT => undef), Backend->start);
	my $proxy = Proxy->start(backend => [map { $_->address } @mta],
	    set => { 'greeting-timeout' => '60s' });

	# Move the time until the second is asked, as a client would wait.
	my $pass = sub {
		my $before = () = $mta[1]->events('connect');
		for (1 .. 7) {
			$proxy->clock(10_000);
			return 1 if Wait::wait_until(sub {
				$mta[1]->events('connect') > $before; }, 0.3);
		}
		return 0;
	};

	ok($mta[0]->wait_event('connect'), 'asked first');
	my $c = $proxy->client;
	$c->greeting;
	$pass->();
	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /);
	Wait::wait_until(sub { $mta[0]->events('connect') > 1; }, 1);
	$pass->() unless $mta[1]->commands(qr/^RCPT/);
	my ($code, $text) = $c->reply;
	if ($code != 250) {
		fail("recipient: $text");
	} else {
		$c->message("x\r\n");
		$c->expect(qr/^250 /);
		is(scalar $mta[1]->messages, 1, 'the second has it');
	}
};

subtest 'not in the middle of a transaction' => sub {
	my @mta = (Backend->start, Backend->start);
	my $proxy = Proxy->start(backend => [map { $_->address } @mta]);
	my $c = $proxy->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$mta[0]->kill;
	$c->message("x\r\n");
	$c->expect(qr/^4(?:51|21) 4\./, 'the client has to come again');
	is(scalar $mta[1]->messages, 0, 'nothing is replayed elsewhere');
};

subtest 'nobody is left' => sub {
	my $proxy = Proxy->start(backend => [Backend->nobody,
	    Backend->nobody]);
	my $c = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^451 4\.4\.1/, 'unreachable');
};

subtest 'what the client was offered and the other has not' => sub {
	my @mta = (Backend->start(extensions => \@ext),
	    Backend->start(extensions => ['PIPELINING']));
	my $proxy = Proxy->start(backend => [map { $_->address } @mta]);
	my $c = $proxy->client;

	ok(exists $c->hello->{DSN}, 'DSN is offered');
	$mta[0]->kill;
	$c->send('MAIL FROM:<a@example.org> RET=HDRS',
	    'RCPT TO:<b@example.com> NOTIFY=NEVER');
	$c->expect(qr/^250 /);
	$c->expect(qr/^4\d\d 4\./, 'a promise is not broken silently');
	is(scalar $mta[1]->commands(qr/RET=|NOTIFY=/), 0,
	    'nor sent to who does not know it');
	$c->send('RSET');
	$c->expect(qr/^250 /);
	$c->deliver('a@example.org', 'b@example.com');
	is(scalar $mta[1]->messages, 1, 'mail without it goes there');
};

subtest 'routes' => sub {
	my @mta = (Backend->start, Backend->start);
	my $proxy = Proxy->start(backend => $mta[0]->address, extra =>
	    'backend "other" { address = { "' . $mta[1]->address . '" } ' .
	    "identity = \"none\" }\nroute \"other.example\" " .
	    "{ backend = \"other\" }\n");
	my $c = $proxy->client;

	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	$c->deliver('a@example.org', 'b@Other.Example');
	is(scalar $_->messages, 1, 'each has its own') for @mta;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>',
	    'RCPT TO:<b@other.example>', 'RCPT TO:<c@example.com>');
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^451 4\.3\.0/, 'one transaction, one backend');
	$c->expect(qr/^250 /);
	$c->message("x\r\n");
	$c->expect(qr/^250 /);
	is_deeply($mta[0]->last->{rcpts}, ['<b@example.com>',
	    '<c@example.com>'], 'the first recipient decides');
};

done_testing;
