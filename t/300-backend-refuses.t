#!/usr/bin/perl
# What the backend refuses is refused to the client in the same words, and the
# rest of the message and of the session go on.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my $mta   = Backend->start(
    'RCPT TO:<nobody@' => '550 5.1.1 <nobody>: no such user',
    'RCPT TO:<many@' => "550 5.7.1 first line\nsecond line\n5.7.1 third",
    'RCPT TO:<busy@' => '450 4.2.0 greylisted, see http://x.example/?a=b',
    'RCPT TO:<full@' => '552 5.2.2 over quota',
    'RCPT TO:<fwd@' => '251 2.1.5 will forward',
    'RCPT TO:<odd@' => '550 this text has no enhanced code',
    'RCPT TO:<lie@' => '550 2.1.5 a class that does not fit',
    "RCPT TO:<utf\@" => "550 5.1.1 gr\303\274\303\237e",
    'RCPT TO:<bare@' => '550');
my $proxy = Proxy->start(backend => $mta->address);

subtest 'recipients' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^250 /);
	for (['nobody', qr/^550 5\.1\.1 <nobody>: no such user$/],
	    ['many', qr/^550-5\.7\.1\ first\ line\n
		550-5\.7\.1\ second\ line\n550\ 5\.7\.1\ third$/x],
	    ['busy', qr{^450 4\.2\.0 greylisted, see http://x\.example/\?a=b$}],
	    ['full', qr/^552 5\.2\.2 over quota$/],
	    ['fwd', qr/^251 2\.1\.5 will forward$/],
	    ['odd', qr/^550 5\.\d\.\d this text has no enhanced code$/],
	    ['lie', qr/^550 5\.\d\.\d /],
	    ['utf', qr/^550 5\.1\.1 gr/],
	    ['bare', qr/^550 5\.\d\.\d/],
	    ['good', qr/^250 2\.1\.5/]) {
		my ($user, $like) = @$_;
		$c->send("RCPT TO:<$user\@example.com>");
		$c->expect($like, $user);
	}
	$c->message("x\r\n");
	$c->expect(qr/^250 /, 'the message goes to the others');
	is_deeply($mta->last->{rcpts}, ['<fwd@example.com>',
	    '<good@example.com>'], 'and to nobody else');
};

subtest 'after HELO the text stays as it is' => sub {
	my $c = $proxy->client;

	$c->greeting;
	$c->send('HELO x', 'MAIL FROM:<a@example.org>',
	    'RCPT TO:<odd@example.com>');
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^550 this text/, 'no code is invented');
};

subtest 'end of data' => sub {
	for my $key ('.', 'LAST') {
		my @ext = $key eq '.' ? ('PIPELINING') : ('CHUNKING');
		for my $reply ('554 5.7.1 spam', '451 4.3.0 later',
		    '552 5.3.4 too big', "550 5.7.1 one\n550 5.7.1 two") {
			my $m = Backend->start(extensions => \@ext,
			    $key => [$reply, '250 2.0.0 fine']);
			my $p = Proxy->start(backend => $m->address);
			my $c = $p->client;
			my $like = join '\n', map { quotemeta } split /\n/,
			    $reply =~ s/\A550 (?=.*\n)/550-/r;

			$c->hello;
			$c->envelope('a@example.org', 'b@example.com');
			$c->message("x\r\n");
			$c->expect(qr/^$like$/, "$key: $reply");
			$c->deliver('a@example.org', 'b@example.com');
			is(scalar $m->messages, 1, 'the next is taken');
		}
	}
};

subtest 'DATA' => sub {
	for my $reply ('451 4.3.0 no room', '554 5.5.1 no') {
		my $m = Backend->start(extensions => ['PIPELINING'],
		    DATA => [$reply, '354 go']);
		my $p = Proxy->start(backend => $m->address);
		my $c = $p->client;

		# We hold the message: the client has its 354 already, and
		# learns at the end.
		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		$c->message("RSET\r\nx\r\n");
		$c->expect(qr/^\Q$reply\E$/, "$reply");
		is(scalar $m->commands(qr/^x|^\.$/), 0,
		    'content never became commands');
		$c->deliver('a@example.org', 'b@example.com');
		is(scalar $m->messages, 1, 'the next is taken');
	}
};

subtest 'a chunk' => sub {
	my $m = Backend->start(extensions => ['CHUNKING', 'PIPELINING'],
	    LAST => ['552 5.3.4 too big', '250 2.0.0 ok']);
	my $p = Proxy->start(backend => $m->address);
	my $c = $p->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat("x\r\n", 1);
	$c->expect(qr/^552 5\.3\.4 too big$/, 'passed on');
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'everybody is refused' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<nobody@example.com>',
	    'RCPT TO:<full@example.com>', 'DATA');
	$c->expect(qr/^250 /);
	$c->expect(qr/^550 5\.1\.1/);
	$c->expect(qr/^552 5\.2\.2/);
	$c->expect(qr/^554 5\.5\.1/, 'no DATA');
	$c->send('RCPT TO:<good@example.com>');
	$c->expect(qr/^250 2\.1\.5/, 'the transaction is still open');
	$c->message("x\r\n");
	$c->expect(qr/^250 /);
};

subtest 'the greeting' => sub {
	for my $reply ('554 5.3.2 no service', '450 4.3.2 later') {
		my $m = Backend->start(CONNECT =>
		    { reply => $reply, then => 'close' });
		my $p = Proxy->start(backend => $m->address);
		my $c = $p->client;

		$c->hello;
		$c->send('MAIL FROM:<a@example.org>',
		    'RCPT TO:<b@example.com>', 'DATA');
		$c->expect(qr/^250 /);
		$c->expect(qr/^4\d\d 4\.|^\Q$reply\E/, "$reply");
		$c->expect(qr/^554 5\.5\.1/, 'no DATA');
		$m->unset('CONNECT');
		$p->clock(120_000);
		$c->send('RSET');
		$c->expect(qr/^250 /, 'the session is still there');
		$c->deliver('a@example.org', 'b@example.com');
	}
};

done_testing;
