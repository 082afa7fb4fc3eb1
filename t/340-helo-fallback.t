#!/usr/bin/perl
# A backend that knows no EHLO is spoken to with HELO, and only what it can do
# is offered.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

for my $refusal ('502 5.5.1 not implemented', '500 what?', '550 no') {
	subtest $refusal => sub {
		my $mta   = Backend->start(EHLO => $refusal);
		my $proxy = Proxy->start(backend => $mta->address);
		my $c     = $proxy->client;

		is(join(' ', sort keys %{$c->hello}),
		    'CHUNKING ENHANCEDSTATUSCODES PIPELINING SIZE',
		    'what needs no backend');
		$c->send('MAIL FROM:<a@example.org> SIZE=100',
		    'RCPT TO:<b@example.com>', 'RCPT TO:<c@example.com>');
		$c->expect(qr/^250 /) for 1 .. 3;
		$c->message(".\r\nx\r\n");
		$c->expect(qr/^250 2\.0\.0 queued/);
		my $m = $mta->last;
		is($m->{mail}, 'MAIL FROM:<a@example.org>', 'no parameters');
		is($m->{by}, 'DATA', 'by DATA');
		is($m->{content}, ".\r\nx\r\n", 'content');
		$c->deliver('a@example.org', 'b@example.com');
		my %reads = map { $_->{read} => 1 } grep {
		    $_->{line} =~ /^(?:MAIL|RCPT)/ && $_->{conn} ==
		    $m->{conn} } $mta->events('command');
		is(scalar keys %reads, scalar(grep {
		    $_->{line} =~ /^(?:MAIL|RCPT)/ && $_->{conn} ==
		    $m->{conn} } $mta->events('command')),
		    'one command at a time');
	};
}

subtest 'that closes the connection at EHLO' => sub {
	my $mta   = Backend->start(EHLO =>
	    { reply => '500 what?', then => 'close' });
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^451 4\.4\.\d/, 'is unreachable');
};

subtest 'that refuses HELO as well' => sub {
	my $mta   = Backend->start(EHLO => '502 no', HELO => '502 no');
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^4\d\d 4\./, 'gets no mail');
};

subtest 'that offers nothing' => sub {
	my $mta   = Backend->start(extensions => []);
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	is(join(' ', sort keys %{$c->hello}),
	    'CHUNKING ENHANCEDSTATUSCODES PIPELINING SIZE',
	    'what needs no backend');
	$c->deliver('a@example.org', 'b@example.com');
};

done_testing;
