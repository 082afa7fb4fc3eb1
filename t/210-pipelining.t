#!/usr/bin/perl
# Commands that arrive together travel together, and replies come in the order
# of the commands whoever gives them.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

subtest 'fifty recipients are one round trip' => sub {
	my $mta   = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;
	my @to    = map { "user$_\@example.com" } 1 .. 50;

	ok(exists $c->hello->{PIPELINING}, 'PIPELINING is offered');
	$mta->forget;
	$c->send('MAIL FROM:<a@example.org>', (map { "RCPT TO:<$_>" } @to),
	    'DATA');
	$c->expect(qr/^250 2\.1\.0/, 'MAIL');
	my @bad = grep { !/^250 2\.1\.5/ } map { ($c->reply)[1] } @to;
	is("@bad", '', 'fifty times RCPT');
	$c->expect(qr/^354/, 'DATA');
	my @heard = grep { $_->{line} =~ /^(?:MAIL|RCPT)/ }
	    $mta->events('command');
	is(scalar @heard, 51, 'the backend heard all');
	my %reads = map { $_->{read} => 1 } @heard;
	is(scalar keys %reads, 1, 'with one read');
	$c->octets(Client::stuff("Subject: x\r\n\r\nhello\r\n"));
	$c->expect(qr/^250 /, 'accepted');
	is_deeply($mta->last->{rcpts}, [map { "<$_>" } @to],
	    'all recipients in order');
};

subtest 'refusals by us and by the backend, mixed' => sub {
	my $mta   = Backend->start('RCPT TO:<no' => '550 5.1.1 not here',
	    'RCPT TO:<later' => '450 4.2.1 later');
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { 'relay-domains' => ['example.com'],
	    'error-limit' => 1000 });
	my $c     = $proxy->client;
	my @row   = (
		['yes1@example.com', qr/^250 2\.1\.5/],
		['x@example.net', qr/^550 5\.7\.1/],
		['no1@example.com', qr/^550 5\.1\.1 not here/],
		['y@example.net', qr/^550 5\.7\.1/],
		['later@example.com', qr/^450 4\.2\.1 later/],
		['bad address', qr/^501 5\.1\.3/],
		['yes2@example.com', qr/^250 2\.1\.5/],
		['z@example.net', qr/^550 5\.7\.1/],
	);
	my @group = (@row) x 5;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>',
	    map { "RCPT TO:<$_->[0]>" } @group);
	$c->expect(qr/^250 /);
	$c->expect($_->[1], $_->[0]) for @group;
	$c->message("x\r\n");
	$c->expect(qr/^250 /);
	is_deeply($mta->last->{rcpts},
	    [('<yes1@example.com>', '<yes2@example.com>') x 5],
	    'the good ones');
	is(scalar $mta->commands(qr/example\.net|bad/), 0,
	    'the backend never heard of those we refused');
};

subtest 'a slow recipient holds back what comes behind it' => sub {
	my $mta   = Backend->start('RCPT TO:<slow' =>
	    { hold => 'slow', reply => '250 2.1.5 at last' });
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { 'relay-domains' => ['example.com'] });
	my $c     = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<slow@example.com>',
	    'RCPT TO:<x@example.net>', 'RCPT TO:<b@example.com>', 'NOOP',
	    'RSET', 'NOOP');
	ok($mta->wait_held('slow'), 'the backend takes its time');
	$c->expect(qr/^250 2\.1\.0/, 'MAIL is answered by us');
	$c->expect_nothing('nothing overtakes');
	$mta->release('slow');
	$c->expect(qr/^250 2\.1\.5 at last/, 'the slow one');
	$c->expect(qr/^550 5\.7\.1/, 'our refusal behind it');
	$c->expect(qr/^250 2\.1\.5 recipient/, 'the quick one');
	$c->expect(qr/^250 2\.0\.0/, $_) for 'NOOP', 'RSET', 'NOOP';
};

subtest 'the next message behind the dot' => sub {
	my $mta   = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;
	my $envelope = "MAIL FROM:<a\@example.org>\r\n" .
	    "RCPT TO:<b\@example.com>\r\nDATA\r\n";

	$c->hello;
	$c->octets($envelope);
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^354/);
	$c->octets("first\r\n.\r\n$envelope");
	$c->expect(qr/^250 2\.0\.0 queued/, 'the first is taken');
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^354/, 'the second may come');
	$c->octets("second\r\n.\r\nQUIT\r\n");
	$c->expect(qr/^250 2\.0\.0 queued/, 'the second is taken');
	$c->expect(qr/^221/, 'QUIT behind it');
	$c->expect_close;
	is_deeply([map { $_->{content} } $mta->messages],
	    ["first\r\n", "second\r\n"], 'both are whole');
};

# The client has to wait for the 354: what it sends before is not content, and
# must not become commands either.
subtest 'content before the 354' => sub {
	my $mta   = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address);

	for my $early ("x\r\n.\r\n", "NOOP\r\n", "\r\n", '.') {
		my $c = $proxy->client;
		$c->hello;
		$c->octets("MAIL FROM:<a\@example.org>\r\n" .
		    "RCPT TO:<b\@example.com>\r\nDATA\r\n$early");
		$c->expect(qr/^250 /) for 1 .. 2;
		$c->expect(qr/^554 5\.5\.0/, 'refused');
		is($c->expect_close('and closed'), '', 'with one reply');
	}
	is(scalar $mta->messages, 0, 'nothing was sent');
};

subtest 'everything by BDAT in one write' => sub {
	my $mta   = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	$c->hello;
	$c->octets("MAIL FROM:<a\@example.org>\r\n" .
	    "RCPT TO:<b\@example.com>\r\nBDAT 5\r\none\r\nBDAT 5 LAST\r\n" .
	    "two\r\nMAIL FROM:<c\@example.org>\r\n" .
	    "RCPT TO:<d\@example.com>\r\nBDAT 7 LAST\r\nthree\r\nQUIT\r\n");
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^250 2\.0\.0/, 'chunk');
	$c->expect(qr/^250 2\.0\.0 queued/, 'last chunk');
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^250 2\.0\.0 queued/, 'next message');
	$c->expect(qr/^221/);
	is_deeply([map { $_->{content} } $mta->messages],
	    ["one\r\ntwo\r\n", "three\r\n"], 'both are whole');
};

subtest 'a backend without PIPELINING' => sub {
	my $mta   = Backend->start(extensions => ['SIZE 1000000']);
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	ok(exists $c->hello->{PIPELINING}, 'we offer it all the same');
	$mta->forget;
	$c->send('MAIL FROM:<a@example.org>',
	    map { "RCPT TO:<u$_\@example.com>" } 1 .. 5);
	$c->expect(qr/^250 /) for 1 .. 6;
	my @heard = grep { $_->{line} =~ /^(?:MAIL|RCPT)/ }
	    $mta->events('command');
	my %reads = map { $_->{read} => 1 } @heard;
	is(scalar keys %reads, 6, 'it gets one command at a time');
	$c->message("x\r\n");
	$c->expect(qr/^250 /);
};

subtest 'all refused, and DATA behind' => sub {
	my $mta   = Backend->start(RCPT => '550 5.1.1 no');
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>',
	    'RCPT TO:<c@example.com>', 'DATA');
	$c->expect(qr/^250 /);
	$c->expect(qr/^550 5\.1\.1/) for 1 .. 2;
	$c->expect(qr/^554 5\.5\.1/, 'DATA is refused');
	$c->send('RSET');
	$c->expect(qr/^250 /, 'the session goes on');
	is(scalar $mta->commands(qr/^(?:DATA|BDAT)/), 0,
	    'the backend got no DATA');
};

subtest 'MAIL refused by the backend' => sub {
	my $mta   = Backend->start('MAIL FROM:<bad@' => '550 5.1.8 not you');
	for my $open ('rcpt', 'mail', 'connect') {
		my $proxy = Proxy->start(backend => $mta->address,
		    mta => { 'open-backend' => $open });
		my $c = $proxy->client;

		$c->hello;
		$c->send('MAIL FROM:<bad@example.org>',
		    'RCPT TO:<b@example.com>', 'RCPT TO:<c@example.com>',
		    'DATA', 'RSET');
		if ($open eq 'rcpt') {
			$c->expect(qr/^250 2\.1\.0/, "$open: MAIL is ours");
			$c->expect(qr/^550 5\.1\.8 not you/,
			    'its refusal answers RCPT') for 1 .. 2;
		} else {
			$c->expect(qr/^550 5\.1\.8 not you/,
			    "$open: MAIL is the backend's");
			$c->expect(qr/^503 /, 'no transaction') for 1 .. 2;
		}
		$c->expect(qr/^5(?:54|03) /, 'no DATA');
		$c->expect(qr/^250 /, 'RSET');
		$c->deliver('good@example.org', 'b@example.com');
	}
};

done_testing;
