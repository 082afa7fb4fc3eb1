#!/usr/bin/perl
# A backend that speaks LMTP answers for each recipient, and no reply to the
# client is ever a lie.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

for my $ext (['PIPELINING', 'ENHANCEDSTATUSCODES', '8BITMIME', 'SIZE'],
    ['PIPELINING', 'CHUNKING']) {
	my $key = grep({ $_ eq 'CHUNKING' } @$ext) ? 'LAST' : '.';
	my $mta = Backend->start(lmtp => 1, extensions => $ext,
	    "$key<full\@" => '552 5.2.2 over quota',
	    "$key<later\@" => '451 4.3.0 later',
	    'RCPT TO:<nobody@' => '550 5.1.1 no');
	my $proxy = Proxy->start(backend => $mta->address);

	subtest $key eq '.' ? 'by DATA' : 'by BDAT' => sub {
		my $c = $proxy->client;

		$c->hello;
		ok(scalar $mta->commands(qr/^LHLO /), 'LHLO');
		is(scalar $mta->commands(qr/^[EH][HE]LO /), 0, 'and no EHLO');
		$c->deliver('a@example.org', 'b@example.com', ".\r\nx\r\n");
		is($mta->last->{content}, ".\r\nx\r\n", 'content');

		$c->send('MAIL FROM:<a@example.org>',
		    'RCPT TO:<b@example.com>', 'RCPT TO:<c@example.com>');
		$c->expect(qr/^250 /) for 1 .. 2;
		$c->expect(qr/^452 4\.5\.3/, 'one recipient at a time');
		$c->message("x\r\n");
		$c->expect(qr/^250 /);
		is_deeply($mta->last->{rcpts}, ['<b@example.com>'],
		    'the other comes again');

		for (['full', qr/^552 5\.2\.2 over quota$/],
		    ['later', qr/^451 4\.3\.0 later$/]) {
			my ($user, $like) = @$_;
			$c->envelope('a@example.org', "$user\@example.com");
			$c->message("x\r\n");
			$c->expect($like, "the verdict for $user");
		}
		$c->send('MAIL FROM:<a@example.org>',
		    'RCPT TO:<nobody@example.com>');
		$c->expect(qr/^250 /);
		$c->expect(qr/^550 5\.1\.1/);
		$c->send('RCPT TO:<b@example.com>');
		$c->expect(qr/^250 /, 'a refused one does not count');
		$c->message("x\r\n");
		$c->expect(qr/^250 /);
		$c->quit;
	};
}

subtest 'over a unix socket' => sub {
	my $dir   = File::Temp->newdir;
	my $mta   = Backend->start(lmtp => 1, unix => "$dir/lmtp");
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	is(scalar $mta->messages, 1, 'arrived');
};

subtest 'that dies before its verdict' => sub {
	my $mta   = Backend->start(lmtp => 1, extensions => ['PIPELINING'],
	    '.' => { close => 1 });
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->message("x\r\n");
	$c->expect(qr/^4(?:51|21) 4\./, 'is no acceptance');
};

done_testing;
