#!/usr/bin/perl
# The octets of a chunk are exactly as many as BDAT said, whatever else is
# wrong with it: they never become commands, and commands never become content.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Cert;
use Proxy;

my $mta   = Backend->start('RCPT TO:<no@' => '550 5.1.1 no such user');
my $proxy = start($mta);

# Octets that are commands if anybody takes them for that; all of them would
# be answered or reported.
my $trap = "RSET\r\nMAIL FROM:<evil\@example.org>\r\n" .
    "RCPT TO:<victim\@example.com>\r\nDATA\r\nevil\r\n.\r\nNOOP\r\n";

sub start
{
	my ($backend, %o) = @_;

	return Proxy->start(backend => $backend->address,
	    listen => $o{listen}, tls => $o{tls}, mta => $o{mta},
	    set => { 'error-limit' => 100_000, %{$o{set} // {}} });
}

sub open_session
{
	my $c = ($_[0] // $proxy)->client;

	$mta->forget;
	$c->hello;
	return $c;
}

# Still in step: NOOP has one answer, nothing of the trap was heard of, and a
# message can be sent.
sub in_step
{
	my ($c, $name, $n) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->send('RSET', 'NOOP');
	$c->expect(qr/^250 /, "$name: $_") for 'RSET', 'NOOP';
	$c->expect_nothing("$name: no other reply");
	is(join(' | ', $mta->commands(qr/evil|victim/)), '',
	    "$name: nothing became a command");
	is(scalar $mta->messages, $n // 0, "$name: messages so far");
	$c->deliver('a@example.org', 'b@example.com', "next\r\n");
	is($mta->last->{content}, "next\r\n", "$name: the next is intact");
}

subtest 'refused chunks are consumed' => sub {
	my %place = (
		'before MAIL' => [],
		'without RCPT' => ['MAIL FROM:<a@example.org>'],
		'all RCPT refused' => ['MAIL FROM:<a@example.org>',
		    'RCPT TO:<no@example.com>'],
	);

	for my $place (sort keys %place) {
		for my $last (0, 1) {
			my $c = open_session();
			$c->send($_), $c->reply for @{$place{$place}};
			$c->bdat($trap, $last);
			$c->expect(qr/^5(?:03|54) 5\.5\.1/, $place);
			in_step($c, $place);
		}
	}
};

subtest 'refused before TLS, and after HELO' => sub {
	my $p = start($mta, listen => { starttls => 'required' },
	    tls => Cert->shared);
	my $c = open_session($p);

	$c->bdat($trap, 1);
	$c->expect(qr/^530 5\.7\.0/, 'TLS is required first');
	$c->send('NOOP');
	$c->expect(qr/^250 /, 'the chunk was consumed');
	$c->expect_nothing('and nothing else answered');
	$c->starttls;
	$c->hello;
	in_step($c, 'after STARTTLS');

	$mta->forget;
	$c = $proxy->client;
	$c->hello('client.example', 'HELO');
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->bdat($trap, 1);
	$c->expect(qr/^50[023] |^250 /, 'after HELO');
	in_step($c, 'HELO', scalar $mta->messages);
};

# Sizes that are no number of octets: nobody knows where commands begin again,
# so the session ends and what follows is never looked at.
subtest 'no size' => sub {
	my @args = ('', ' ', ' -1', ' -0', ' +5', ' 0x10', ' 1e3', ' 5.0',
	    ' 5,', ' LAST', ' LAST 5', ' 5 LAST 5', ' 5 LAST LAST', ' 5 FIRST',
	    ' 5LAST', ' 9223372036854775808', ' 18446744073709551615',
	    ' 18446744073709551616', ' 18446744073709551621',
	    ' 99999999999999999999999999', ' 4294967296x', " 5\0", " 5\tLAST",
	    " 5\b", " \xb2", ' 5' . ' ' x 5000 . 'LAST',
	    ' ' . '0' x 20000 . '5');

	for my $arg (@args) {
		my $c = open_session();
		my $shown = substr $arg =~ s/([^ -~])/
		    sprintf '\x%02x', ord $1/gerx, 0, 30;
		$c->envelope('a@example.org', 'b@example.com');
		$c->octets("BDAT$arg\r\n$trap");
		$c->expect(qr/^50[01] 5\.5\.[246]/, "BDAT$shown");
		is($c->expect_close("BDAT$shown: closed"), '',
		    'no other reply');
		is(scalar $mta->commands(qr/evil|victim/), 0, 'not obeyed');
		is(scalar $mta->messages, 0, 'nor delivered');
	}
};

subtest 'sizes that are fine' => sub {
	my $c = open_session();

	for my $size ('7', '007', '0000000000000000000000000000007') {
		$c->envelope('a@example.org', 'b@example.com');
		$c->octets("BDAT $size LAST\r\nhello\r\nNOOP\r\n");
		$c->expect(qr/^250 2\.0\.0 queued/, "BDAT $size");
		$c->expect(qr/^250 /, 'NOOP behind it');
		is($mta->last->{content}, "hello\r\n", 'content');
	}
};

# The largest there is: the client cannot send it, and we must not wait for it
# with memory.
subtest 'huge sizes' => sub {
	for my $size ('9223372036854775807', '4294967296', '4294967303',
	    '2147483648', '10240001') {
		my $c = open_session();
		$c->envelope('a@example.org', 'b@example.com');
		$c->octets("BDAT $size LAST\r\n$trap");
		$c->close;
		$proxy->log_like(qr/close reason=/, "$size: closed");
		is(scalar $mta->commands(qr/evil|victim|DATA|BDAT/), 0,
		    'nothing began');
		is(scalar $mta->messages, 0, 'nothing was delivered');
	}
};

subtest 'one octet more or less than announced' => sub {
	for my $off (-2 .. 2) {
		my $c = open_session();
		my $body = "hello\r\n";
		$c->envelope('a@example.org', 'b@example.com');
		$c->octets('BDAT ' . (length($body) + $off) . " LAST\r\n" .
		    $body . "QUIT\r\n" . 'x' x 20 . "\r\n");
		my ($code, $text) = $c->reply;
		my $all = "${body}QUIT\r\n";
		my $got = substr $all, 0, length($body) + $off;
		my $bare = $got =~ /(?<!\r)\n|\r(?!\n)/;
		like($text, $bare ? qr/^550 5\.5\.2/ : qr/^250 2\.0\.0/,
		    "$off: reply");
		my @m = $mta->messages;
		is(scalar @m, $bare ? 0 : 1, 'delivered or not');
		is($m[0]{content}, $got, 'exactly so many octets') if @m;
	}
};

subtest 'every cut of a chunk and its command' => sub {
	my $c = open_session();
	my $want = ".\r\nab\r\n.\r\n\n";

	# It ends in a bare LF, so each of them is refused, in order, and the
	# next is not; then the same without.
	for my $content ($want, substr($want, 0, -1) . "\r\n") {
		my $tail = substr $content, 6;
		my $octets = "BDAT 6\r\n" . substr($content, 0, 6) .
		    'BDAT ' . length($tail) . " LAST\r\n$tail";
		my $good = $content !~ /(?<!\r)\n/;
		my $bad = '';
		for my $at (1 .. length($octets) - 1) {
			$mta->forget;
			$c->envelope_quietly('a@example.org',
			    'b@example.com') or $bad ||= "$at: envelope";
			$c->octets(substr $octets, 0, $at);
			$c->octets(substr $octets, $at);
			my ($first) = $c->reply;
			my (undef, $text) = $c->reply;
			$bad ||= "$at: $first $text" if $first != 250 ||
			    $text !~ ($good ? qr/^250 2\.0\.0 queued/ :
			    qr/^550 5\.5\.2/);
			my @m = $mta->messages;
			$bad ||= "$at: delivered" if @m != ($good ? 1 : 0) ||
			    $good && $m[0]{content} ne $content;
		}
		is($bad, '', $good ? 'good content' : 'bad content');
	}
};

subtest 'thousands of tiny chunks' => sub {
	my $c = open_session();

	$c->envelope('a@example.org', 'b@example.com');
	for (1 .. 5) {
		$c->octets("BDAT 0\r\n" x 500 . "BDAT 1\r\nx" x 500);
		my $bad = grep { ($c->reply)[0] != 250 } 1 .. 1000;
		is($bad, 0, 'a thousand chunks, half of them empty');
	}
	$c->octets("BDAT 2 LAST\r\n\r\n");
	$c->expect(qr/^250 2\.0\.0 queued/, 'the last');
	is($mta->last->{content}, 'x' x 2500 . "\r\n", 'put together');
	is(scalar $mta->messages, 1, 'as one message');
	in_step($c, 'afterwards', 1);
};

subtest 'LAST' => sub {
	my $c = open_session();

	$c->envelope('a@example.org', 'b@example.com');
	$c->octets("BDAT 3 LAST\r\nx\r\nBDAT 6 LAST\r\nNOOP\r\nBDAT 0 LAST\r\n");
	$c->expect(qr/^250 2\.0\.0 queued/, 'the message');
	$c->expect(qr/^503 5\.5\.1/, 'LAST again');
	$c->expect(qr/^503 5\.5\.1/, 'and an empty one');
	in_step($c, 'LAST twice', 1);

	$c = open_session();
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('BDAT 0 LAST');
	$c->expect(qr/^250 2\.0\.0 queued/, 'an empty message');
	is($mta->last->{content}, '', 'is empty');
	in_step($c, 'BDAT 0 LAST', 1);
};

subtest 'commands behind LAST' => sub {
	my $c = open_session();

	$c->octets("MAIL FROM:<a\@example.org>\r\nRCPT TO:<b\@example.com>\r\n" .
	    "BDAT 5 LAST\r\none\r\n" .
	    "MAIL FROM:<c\@example.org>\r\nRCPT TO:<d\@example.com>\r\n" .
	    "BDAT 5 LAST\r\ntwo\r\nRSET\r\nNOOP\r\nVRFY x\r\nQUIT\r\n");
	$c->expect($_) for (qr/^250 2\.1\.0/, qr/^250 2\.1\.5/,
	    qr/^250 2\.0\.0 queued/) x 2, qr/^250 /, qr/^250 /, qr/^252 /,
	    qr/^221 /;
	is($c->expect_close, '', 'nothing else');
	is_deeply([map { $_->{content} } $mta->messages],
	    ["one\r\n", "two\r\n"], 'two messages');
};

subtest 'DATA and BDAT mixed' => sub {
	my $c = open_session();

	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat("one\r\n");
	$c->expect(qr/^250 /);
	$c->send('DATA');
	$c->expect(qr/^503 5\.5\.1/, 'DATA between chunks');
	$c->bdat("two\r\n", 1);
	$c->expect(qr/^250 2\.0\.0 queued|^503 5\.5\.1/, 'LAST after it');
	for my $m ($mta->messages) {
		is($m->{content}, "one\r\ntwo\r\n", 'no part is missing');
	}
	in_step($c, 'mixed', scalar $mta->messages);

	$c = open_session();
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354 /);
	$c->octets("BDAT 10 LAST\r\n.\r\n");
	$c->expect(qr/^250 2\.0\.0 queued/, 'BDAT inside DATA is content');
	is($mta->last->{content}, "BDAT 10 LAST\r\n", 'to the letter');
	in_step($c, 'BDAT in DATA', 1);
};

subtest 'RSET, EHLO and the like between chunks' => sub {
	for my $end ('RSET', 'EHLO again.example', 'HELO again.example') {
		my $c = open_session();
		$c->envelope('a@example.org', 'b@example.com');
		$c->bdat("half\r\n");
		$c->expect(qr/^250 /);
		$c->send($end);
		$c->expect(qr/^250[ -]/, $end);
		$c->bdat($trap, 1);
		$c->expect(qr/^50[023] /, "$end: what follows is refused");
		in_step($c, $end);
	}
	for my $between ('NOOP', 'VRFY x', 'HELP') {
		my $c = open_session();
		$c->envelope('a@example.org', 'b@example.com');
		$c->octets("BDAT 3\r\nx\r\n$between\r\nBDAT 3 LAST\r\ny\r\n");
		$c->expect(qr/^250 /, 'chunk');
		$c->expect(qr/^2/, $between);
		$c->expect(qr/^250 2\.0\.0 queued/, 'the message goes on');
		is($mta->last->{content}, "x\r\ny\r\n", 'whole');
	}
};

subtest 'over the size limit' => sub {
	my $p = start($mta, set => { 'message-size-limit' => 1000 });

	for my $sizes ([2000], [600, 600], [1000, 1], [999, 1, 1, 500]) {
		my $c = open_session($p);
		my @seen;
		$c->envelope('a@example.org', 'b@example.com');
		for my $i (0 .. $#$sizes) {
			my $octets = substr $trap x 20, 0, $sizes->[$i];
			$c->bdat($octets, $i == $#$sizes);
			push @seen, ($c->reply)[1];
		}
		like($seen[-1], qr/^552 5\.3\.4|^503 5\.5\.1/,
		    "@$sizes: refused at the end");
		ok((grep { /^552 5\.3\.4/ } @seen), "@$sizes: for its size");
		in_step($c, "@$sizes");
	}
	my $c = open_session($p);
	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat('a' x 498 . "\r\n");
	$c->expect(qr/^250 /);
	$c->bdat('a' x 498 . "\r\n", 1);
	$c->expect(qr/^250 2\.0\.0 queued/, 'exactly the limit');
};

subtest 'gone in a chunk' => sub {
	for my $how ('close', 'reset', 'half_close') {
		for my $last ('', ' LAST') {
			my $c = open_session();
			$c->envelope('a@example.org', 'b@example.com');
			$c->bdat("first\r\n");
			$c->expect(qr/^250 /);
			$c->octets("BDAT 1000$last\r\n$trap");
			$c->$how;
			$proxy->log_like(qr/close reason=/, "$how: noticed");
			is(scalar $mta->commands(qr/^(?:DATA|BDAT)|evil/), 0,
			    "$how: nothing was begun");
			is(scalar $mta->messages, 0, "$how: nor delivered");
		}
	}
	my $c = open_session();
	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat("all but LAST\r\n");
	$c->expect(qr/^250 /);
	$c->close;
	$proxy->log_like(qr/close reason=/, 'between chunks: noticed');
	is(scalar $mta->messages, 0, 'nothing is delivered without LAST');
};

# The backend refuses what it was sent as one chunk: its words are the reply
# to LAST, and both sides are in step.
subtest 'the backend refuses' => sub {
	for my $by (1, 0) {
		my @ext = grep { $by || $_ ne 'CHUNKING' } @Backend::EXTENSIONS;
		my $strict = Backend->start(extensions => \@ext,
		    LAST => ['554 5.7.1 not that', '250 2.0.0 queued as X'],
		    '.' => ['554 5.7.1 not that', '250 2.0.0 queued as X']);
		my $p = start($strict);
		my $c = $p->client;
		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		$c->bdat("one\r\n");
		$c->expect(qr/^250 /);
		$c->bdat($trap, 1);
		$c->expect(qr/^554 5\.7\.1 not that$/, 'in its words');
		$c->bdat($trap, 1);
		$c->expect(qr/^503 5\.5\.1/, 'no transaction is left');
		$c->deliver('a@example.org', 'b@example.com', "next\r\n");
		is($strict->last->{content}, "next\r\n", 'the next message');
		is(scalar $strict->messages, 1, 'only that');
		is(scalar $strict->commands(qr/evil|victim/), 0, 'in step');
	}
};

done_testing;
