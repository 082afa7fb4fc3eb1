#!/usr/bin/perl
# Every verb has its answer in every place, and a verb we do not know is
# answered and never relayed.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my $mta   = Backend->start;
my $proxy = Proxy->start(backend => $mta->address,
    set => { 'error-limit' => 1000 });

subtest 'verbs that need no transaction' => sub {
	my $c = $proxy->client;

	$c->hello;
	for (['NOOP', qr/^250 2\.0\.0/], ['NOOP with text', qr/^250 2\.0\.0/],
	    ['noop', qr/^250 2\.0\.0/], ['RSET', qr/^250 2\.0\.0/],
	    ['VRFY b@example.com', qr/^252 2\./],
	    ['EXPN list', qr/^(?:252 2|502 5)\./],
	    ['HELP', qr/^214[ -]2\./], ['HELP MAIL', qr/^214[ -]2\./],
	    ['EHLO', qr/^501 5\.5\.4/], ['HELO', qr/^501 5\.5\.4/],
	    ['RSET now', qr/^501 5\.5\.4/], ['DATA', qr/^503 5\.5\.1/],
	    ['RCPT TO:<b@example.com>', qr/^503 5\.5\.1/],
	    ['STARTTLS', qr/^(?:502|500|454) /],
	    ['AUTH PLAIN AGEAYg==', qr/^5\d\d 5\./],
	    ['XCLIENT ADDR=192.0.2.1', qr/^550 5\.7\.1/],
	    ['XFORWARD ADDR=192.0.2.1', qr/^550 5\.7\.1/],
	    ['MAIL FROM', qr/^501 5\./], ['MAIL', qr/^501 5\./]) {
		my ($line, $like) = @$_;
		$c->send($line);
		$c->expect($like, $line);
	}
};

subtest 'unknown verbs' => sub {
	my $c = $proxy->client;
	my @verbs = ('XEXCH50 100 2', 'X-EXPS GSSAPI', 'TURN', 'ETRN x',
	    'SEND FROM:<a@b.example>', 'SAML', 'SOML', 'MAILX', 'LHLO x',
	    'XXXX x', 'B', 'PROXY TCP4 192.0.2.1 192.0.2.2 1 25', 'ATRN');

	$mta->forget;
	$c->hello;
	for my $line (@verbs) {
		$c->send($line);
		$c->expect(qr/^50[02] 5\.5\.[12]/, $line);
	}
	$c->deliver('a@example.org', 'b@example.com');
	my $like = join '|', map { quotemeta } map { /(\S+)/ } @verbs;
	is(join(' ', $mta->commands(qr/^(?:$like)\b/i)), '',
	    'the backend heard of none');
};

subtest 'in the wrong place' => sub {
	my $c = $proxy->client;

	$c->greeting;
	for my $line ('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>',
	    'DATA') {
		$c->send($line);
		$c->expect(qr/^503 5\.5\.1|^503 /, "$line before EHLO");
	}
	$c->send('NOOP', 'RSET', 'VRFY x');
	$c->expect(qr/^250 /, 'NOOP before EHLO');
	$c->expect(qr/^250 /, 'RSET before EHLO');
	$c->expect(qr/^252 /, 'VRFY before EHLO');
	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'MAIL FROM:<b@example.org>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^503 5\.5\.1/, 'MAIL in MAIL');
	$c->send('DATA');
	$c->expect(qr/^554 5\.5\.1/, 'DATA without a recipient');
	$c->send('RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /, 'the transaction is still there');
	$c->send('MAIL FROM:<c@example.org>');
	$c->expect(qr/^503 5\.5\.1/, 'MAIL after RCPT');
	$c->message("x\r\n");
	$c->expect(qr/^250 /);
	is($mta->last->{from}, '<a@example.org>', 'the first sender counts');
};

subtest 'EHLO and HELO begin anew' => sub {
	my $c = $proxy->client;

	$c->hello;
	for my $verb ('EHLO', 'HELO') {
		$c->envelope('a@example.org', 'b@example.com');
		$c->send("$verb again.example");
		$c->expect(qr/^250[ -]/, "$verb in a transaction");
		$c->send('RCPT TO:<c@example.com>');
		$c->expect(qr/^503 5\.5\.1|^503 /, 'the transaction is gone');
		$c->send('DATA');
		$c->expect(qr/^503 /, 'and cannot be completed');
	}
	$c->deliver('z@example.org', 'y@example.com');
	is_deeply($mta->last->{rcpts}, ['<y@example.com>'],
	    'nothing is left of it');
};

subtest 'controls' => sub {
	my $c = $proxy->client;

	$c->hello;
	for my $octets ("NOOP \0", "EHLO a\tb", "MAIL FROM:<a\0b\@example.org>",
	    "NOOP \e[2J", "EHLO a\rb", "MAIL FROM:<a\r\@example.org>") {
		$c->octets("$octets\r\n");
		my $shown = $octets =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger;
		$c->expect(qr/^5\d\d 5\./, $shown);
	}
	$c->deliver('a@example.org', 'b@example.com');
};

done_testing;
