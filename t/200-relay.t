#!/usr/bin/perl
# A message goes to the backend as the client sent it, octet by octet, and the
# client gets the backend's own reply.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my $mta   = Backend->start;
my $proxy = Proxy->start(backend => $mta->address);

subtest 'one message' => sub {
	my $c = $proxy->client;
	my $content = "Subject: test\r\nX-Eight: \344\366\374\r\n\r\n" .
	    ".\r\n..\r\n.dot\r\n\r\nx" . 'y' x 990 . "\r\n\r\n";

	like($c->greeting, qr/^220 mx\.test\.example /, 'our name first');
	$c->hello('client.example');
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^250 2\.1\.0 /, 'sender');
	$c->send('RCPT TO:<b@example.com>');
	$c->expect(qr/^250 2\.1\.5 recipient ok$/, "the backend's words");
	$c->send('RCPT TO:<C.d+e@Example.COM>');
	$c->expect(qr/^250 2\.1\.5 recipient ok$/, 'another recipient');
	$c->message($content);
	$c->expect(qr/^250 2\.0\.0 queued as B\d+$/, "the backend's queue id");
	my $m = $mta->last;
	is($m->{content}, $content, 'content');
	is($m->{from}, '<a@example.org>', 'sender');
	is_deeply($m->{rcpts}, ['<b@example.com>', '<C.d+e@Example.COM>'],
	    'recipients in order, their case kept');
	$c->quit;
};

subtest 'messages one after the other' => sub {
	my $c = $proxy->client;

	$mta->forget;
	$c->hello;
	$c->deliver("a$_\@example.org", 'b@example.com', "n: $_\r\n\r\n")
	    for 1 .. 5;
	is_deeply([map { $_->{from} } $mta->messages],
	    [map { "<a$_\@example.org>" } 1 .. 5], 'each with its sender');
	is_deeply([map { @{$_->{rcpts}} } $mta->messages],
	    [('<b@example.com>') x 5], 'each with its recipient only');
	is_deeply([map { $_->{content} } $mta->messages],
	    [map { "n: $_\r\n\r\n" } 1 .. 5], 'each with its content');
	$c->quit;
};

subtest 'sizes' => sub {
	my $c = $proxy->client;

	$c->hello;
	for my $size (0, 1, 511, 4096, 65_536, 3_000_000) {
		my $content = substr "line of text\r\n" x ($size / 14 + 1), 0,
		    $size;
		$content =~ s/\r\z/x/;
		$content .= "\r\n" if $size;
		$c->deliver('', 'b@example.com', $content);
		ok($mta->last->{content} eq $content, "$size octets");
	}
	is($mta->last->{from}, '<>', 'from the null sender');
};

subtest 'pieces of any size' => sub {
	my $text = "EHLO x\r\nMAIL FROM:<a\@example.org>\r\n" .
	    "RCPT TO:<b\@example.com>\r\n";
	my $content = "Subject: x\r\n\r\n..dot\r\ntext\r\n.\r\n";

	for my $size (1, 2, 7, 64) {
		my $c = $proxy->client;
		$c->greeting;
		$c->pieces($size, $text);
		$c->expect(qr/^250-/, "EHLO, $size at a time");
		$c->expect(qr/^250 /) for 1 .. 2;
		$c->send('DATA');
		$c->expect(qr/^354/);
		$c->pieces($size, $content);
		$c->expect(qr/^250 2\.0\.0 queued/, 'accepted');
		is($mta->last->{content}, "Subject: x\r\n\r\n.dot\r\ntext\r\n",
		    'content');
		$c->close;
	}
};

subtest 'HELO' => sub {
	my $c = $proxy->client;

	$c->greeting;
	$c->send('HELO old.example');
	$c->expect(qr/^250 mx\.test\.example$/, 'one line, no extensions');
	$c->send('MAIL FROM:<a@example.org> SIZE=10');
	$c->expect(qr/^5(?:55|01)/, 'no parameters');
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'a backend without enhanced codes' => sub {
	my $old = Backend->start(extensions => ['SIZE 1000000'],
	    RCPT => ["250 fine\nindeed", '550 no such user'],
	    '.' => '250 taken');
	my $p = Proxy->start(backend => $old->address);
	my $c = $p->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 2\.1\.0/);
	$c->expect(qr/^250-2\.\d\.\d fine\n250 2\.\d\.\d indeed$/,
	    'a code on every line');
	$c->send('RCPT TO:<c@example.com>');
	$c->expect(qr/^550 5\.\d\.\d no such user$/, 'a code of its class');
	$c->message("x\r\n");
	$c->expect(qr/^250 2\.\d\.\d taken$/, 'at the end');
};

subtest 'options instead of a file' => sub {
	my $p = Proxy->start(options => ['--listen', '127.0.0.1:0',
	    '--backend', $mta->address, '--identity', 'none',
	    '--relay-domains', 'example.com', '--hostname', 'opt.example',
	    '--workers', '1', '--foreground', '--set', 'log=stderr']);
	my $c = $p->client;

	like($c->greeting, qr/^220 opt\.example /, 'hostname');
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'unix sockets on both sides' => sub {
	my $dir = $proxy->{dir};
	my $next = Backend->start(unix => "$dir/mta.sock");
	my $p = Proxy->start(backend => $next->address,
	    listen => { address => "unix:$dir/in.sock" });
	my $c = Client->connect(unix => "$dir/in.sock");

	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	is(scalar $next->messages, 1, 'arrived');
};

done_testing;
