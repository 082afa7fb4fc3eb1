#!/usr/bin/perl
# Content crosses from DATA or BDAT to DATA or BDAT unchanged, and an error in
# a chunk never makes its octets into commands.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my @with    = @Backend::EXTENSIONS;
my @without = grep { $_ ne 'CHUNKING' } @with;
my @content = (
	[empty => ''],
	[line => "hello\r\n"],
	[dots => ".\r\n..\r\n.x\r\n\r\n.\r\n"],
	['looks like the end' => "a\r\n.\r\nMAIL FROM:<x\@y.example>\r\n"],
	['eight bits' => "\200\377\r\n"],
	[long => ("0123456789abcdef" x 60 . "\r\n") x 300],
);

sub start
{
	my ($mta, %o) = @_;

	return Proxy->start(backend => $mta->address,
	    set => { 'error-limit' => 1000, %{$o{set} // {}} },
	    mta => $o{mta});
}

# Each of the four ways, and BDAT switched off.
for (['BDAT', \@with, {}], ['DATA', \@without, {}],
    ['DATA', \@with, { chunking => 'false' }]) {
	my ($to, $ext, $set) = @$_;
	my $mta = Backend->start(extensions => $ext);
	my $proxy = start($mta, mta => $set);

	for my $from ('DATA', 'BDAT') {
		subtest "$from to $to" . (%$set ? ' by setting' : '') => sub {
			my $c = $proxy->client;

			ok(exists $c->hello->{CHUNKING}, 'CHUNKING offered');
			for (@content) {
				my ($name, $octets) = @$_;
				$c->envelope('a@example.org', 'b@example.com');
				$from eq 'DATA' ? $c->message($octets) :
				    $c->bdat($octets, 1);
				$c->expect(qr/^250 2\.0\.0 queued/, $name);
				my $m = $mta->last;
				is($m->{by}, $to, "by $to");
				ok($m->{content} eq $octets, 'content') or
				    diag(substr $m->{content}, 0, 200);
			}
			$c->quit;
		};
	}
}

subtest 'a mailbox line' => sub {
	my $mta = Backend->start(extensions => \@with);
	my $c = start($mta)->client;

	$c->hello;
	for ('From joe', '>From joe', 'From: joe', 'From : joe', 'Fro') {
		$c->envelope('a@example.org', 'b@example.com');
		$c->bdat("$_\r\nSubject: x\r\n\r\nFrom joe\r\n", 1);
		$c->expect(qr/^250 /, $_);
		is($mta->last->{by}, /From joe/ ? 'DATA' : 'BDAT',
		    'as Postfix reads it like filters do');
	}
};

my $mta = Backend->start(extensions => [@with, 'BINARYMIME'],
    'RCPT TO:<no@' => '550 5.1.1 no');
my $proxy = start($mta);

subtest 'after HELO there are no extensions' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->send('HELO old.example', 'MAIL FROM:<a@example.org>',
	    'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /) for 1 .. 3;
	$c->bdat("RSET\r\n", 1);
	$c->expect(qr/^503 5\.5\.1/, 'BDAT is refused');
	$c->send('NOOP');
	$c->expect(qr/^250 /, 'and its octets are no command');
	$c->send('RSET');
	$c->expect(qr/^250 /);
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'chunks' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat("a\r");
	$c->expect(qr/^250 2\.0\.0/, 'a chunk is answered');
	$c->bdat("\nb");
	$c->expect(qr/^250 2\.0\.0/, 'a CR LF may be split');
	$c->bdat('');
	$c->expect(qr/^250 2\.0\.0/, 'an empty chunk');
	$c->bdat("\r\n");
	$c->expect(qr/^250 2\.0\.0/);
	$c->send('BDAT 0 LAST');
	$c->expect(qr/^250 2\.0\.0 queued/, 'an empty last chunk');
	is($mta->last->{content}, "a\r\nb\r\n", 'put together');

	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat('x') , $c->expect(qr/^250 /) for 1 .. 3;
	$c->octets("bdat 2 last\r\n\r\n");
	$c->expect(qr/^250 2\.0\.0 queued/, 'in lower case');
	is($mta->last->{content}, "xxx\r\n", 'put together');

	$c->envelope('a@example.org', 'b@example.com');
	$c->octets("BDAT 1\r\ny" x 2000);
	my $bad = grep { ($c->reply)[0] != 250 } 1 .. 2000;
	is($bad, 0, 'two thousand chunks of one octet');
	$c->octets("BDAT 2 LAST\r\n\r\n");
	$c->expect(qr/^250 2\.0\.0 queued/);
	is($mta->last->{content}, 'y' x 2000 . "\r\n", 'put together');
};

# The octets of a chunk that is refused are read and thrown away; here they
# would be commands that can be told from content.
subtest 'a refused chunk is consumed' => sub {
	my $c = $proxy->client;
	my $evil = "RSET\r\nMAIL FROM:<evil\@example.org>\r\n" .
	    "RCPT TO:<victim\@example.com>\r\nVRFY x\r\n";

	$mta->forget;
	$c->greeting;
	$c->bdat($evil, 1);
	$c->expect(qr/^503 5\.5\.1|^503 /, 'before EHLO');
	$c->hello;
	$c->bdat($evil, 1);
	$c->expect(qr/^503 5\.5\.1/, 'before MAIL');
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^250 /);
	$c->bdat($evil, 1);
	$c->expect(qr/^5(?:54|03) 5\.5\.1/, 'before RCPT');
	$c->send('RSET', 'MAIL FROM:<a@example.org>',
	    'RCPT TO:<no@example.com>');
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^550 5\.1\.1/);
	$c->bdat($evil);
	$c->expect(qr/^5(?:54|03) 5\.5\.1/, 'no valid recipient');
	$c->bdat($evil, 1);
	$c->expect(qr/^5(?:54|03) 5\.5\.1/, 'nor with the next');
	$c->send('RSET', 'NOOP');
	$c->expect(qr/^250 /, $_) for qw(RSET NOOP);
	$c->expect_nothing('no other reply');
	is(scalar $mta->commands(qr/evil|victim|VRFY/), 0,
	    'nothing of it was a command');
	is(scalar $mta->messages, 0, 'nor a message');
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'pipelined behind a refusal' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->octets("MAIL FROM:<a\@example.org>\r\n" .
	    "RCPT TO:<no\@example.com>\r\nBDAT 6\r\nNOOP\r\n" .
	    "BDAT 6 LAST\r\nQUIT\r\nRSET\r\nNOOP\r\n");
	$c->expect(qr/^250 /, 'MAIL');
	$c->expect(qr/^550 /, 'RCPT');
	$c->expect(qr/^5(?:54|03) /, 'chunk') for 1 .. 2;
	$c->expect(qr/^250 /, 'RSET');
	$c->expect(qr/^250 /, 'NOOP');
	$c->expect_nothing('six replies to six commands');
};

subtest 'order of commands' => sub {
	my $c = $proxy->client;

	$mta->forget;
	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat("one\r\n");
	$c->expect(qr/^250 /);
	$c->send('MAIL FROM:<x@example.org>', 'RCPT TO:<x@example.com>',
	    'DATA');
	$c->expect(qr/^503 5\.5\.1/, "$_ between chunks")
	    for qw(MAIL RCPT DATA);
	$c->send('NOOP');
	$c->expect(qr/^250 /, 'NOOP between chunks');
	$c->bdat("two\r\n", 1);
	$c->expect(qr/^250 2\.0\.0 queued/, 'and the message goes on');
	is($mta->last->{content}, "one\r\ntwo\r\n", 'whole');

	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat("half\r\n");
	$c->expect(qr/^250 /);
	$c->send('RSET');
	$c->expect(qr/^250 /, 'RSET between chunks');
	$c->bdat("rest\r\n", 1);
	$c->expect(qr/^503 5\.5\.1/, 'ends the message');
	is(scalar $mta->messages, 1, 'which is not delivered');
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'syntax' => sub {
	for my $arg ('', ' x', ' -1', ' 1 FIRST', ' 1 LAST x', ' 1LAST',
	    ' 99999999999999999999', ' 0x10', ' +1', ' 1,') {
		my $c = $proxy->client;

		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		$c->octets("BDAT$arg\r\nNOOP\r\n");
		$c->expect(qr/^501 5\.5\.4/, "BDAT$arg");
		$c->expect_close('nobody knows where its data ends');
	}
};

subtest 'too big' => sub {
	my $small = Backend->start;
	my $p = start($small, set => { 'message-size-limit' => 1000 });
	my $c = $p->client;

	is($c->hello->{SIZE}, 1000, 'SIZE is offered');
	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat('a' x 600 . "\r\n");
	$c->expect(qr/^250 /, 'within the limit');
	$c->bdat('NOOP' . "\r\n" x 300);
	$c->expect(qr/^552 5\.3\.4/, 'over it');
	$c->bdat("NOOP\r\n", 1);
	$c->expect(qr/^503 5\.5\.1|^552 5\.3\.4/, 'refused to the end');
	$c->send('RSET', 'NOOP');
	$c->expect(qr/^250 /, $_) for qw(RSET NOOP);
	is(scalar $small->messages, 0, 'nothing was sent');
	for my $size (1000, 1001) {
		for my $how ('DATA', 'BDAT') {
			my $content = '.' . 'x' x ($size - 3) . "\r\n";
			$c->envelope('a@example.org', 'b@example.com');
			$how eq 'DATA' ? $c->message($content) :
			    $c->bdat($content, 1);
			$c->expect($size == 1000 ? qr/^250 / :
			    qr/^552 5\.3\.4/, "$size octets by $how");
		}
	}
	$c->deliver('a@example.org', 'b@example.com');

	$c->send('RSET');
	$c->expect(qr/^250 /);
	$c->envelope('a@example.org', 'b@example.com');
	$c->octets("BDAT 9223372036854775807 LAST\r\nx");
	$c->close;
	$c = $p->client;
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com', "still here\r\n");
	is($small->last->{content}, "still here\r\n",
	    'a chunk without end hurts nobody');
};

subtest 'BINARYMIME' => sub {
	my $c = $proxy->client;
	my $octets = join '', map { chr } 0 .. 255;

	ok(exists $c->hello->{BINARYMIME}, 'offered with the backend');
	for my $content ($octets, "\n", "\r", "a\n.\r\nb", "\r\n.\r\n") {
		$c->send('MAIL FROM:<a@example.org> BODY=BINARYMIME',
		    'RCPT TO:<b@example.com>');
		$c->expect(qr/^250 /) for 1 .. 2;
		$c->bdat($content, 1);
		$c->expect(qr/^250 2\.0\.0 queued/);
		ok($mta->last->{content} eq $content, 'octets are octets');
		like($mta->last->{mail}, qr/ BODY=BINARYMIME$/, 'declared');
	}
	$c->send('MAIL FROM:<a@example.org> BODY=BINARYMIME',
	    'RCPT TO:<b@example.com>', 'DATA');
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^503 5\.5\.1/, 'not with DATA');

	for my $ext ([@without, 'BINARYMIME'], \@with) {
		my $p = start(Backend->start(extensions => $ext));
		my $d = $p->client;
		ok(!exists $d->hello->{BINARYMIME},
		    'not offered unless the backend can take it');
		$d->send('MAIL FROM:<a@example.org> BODY=BINARYMIME');
		$d->expect(qr/^5(?:01|55) 5\.5\.4/, 'nor accepted');
	}
	my $p = start($mta, mta => { chunking => 'false' });
	ok(!exists $p->client->hello->{BINARYMIME}, 'nor without BDAT');
};

subtest 'the client goes in the middle' => sub {
	$mta->forget;
	for my $how ('close', 'reset') {
		my $c = $proxy->client;
		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		$c->octets("BDAT 100 LAST\r\nhalf");
		$c->$how;
		$proxy->log_like(qr/close reason=/, "$how is noticed");
	}
	is(scalar $mta->messages, 0, 'nothing is delivered');
	is(scalar $mta->commands(qr/^(?:DATA|BDAT)/), 0, 'nor begun');
};

done_testing;
