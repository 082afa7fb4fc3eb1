#!/usr/bin/perl
# XCLIENT is taken from those who may send it, and from nobody else.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Dns;
use Proxy;

my $mta   = Backend->start(xclient => 'NAME ADDR PORT PROTO HELO LOGIN');
my $dns   = Dns->start;
my $proxy = Proxy->start(backend => $mta->address,
    listen => { 'accept-xclient-from' => ['127.0.0.8/32'] },
    mta => { identity => 'xclient' },
    set => { 'relay-domains' => ['example.com'],
    'dns-servers' => [$dns->server] });

sub trusted { return $proxy->client(from => '127.0.0.8'); }

subtest 'a stranger' => sub {
	my $c = $proxy->client;

	ok(!exists $c->hello->{XCLIENT}, 'is not offered XCLIENT');
	$c->send('XCLIENT ADDR=192.0.2.1');
	$c->expect(qr/^550 5\.7\.1/, 'and may not send it');
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('XCLIENT ADDR=192.0.2.1');
	$c->expect(qr/^5\d\d 5\./, 'nor later');
	$c->message("x\r\n");
	$c->expect(qr/^250 /);
	is($mta->last->{xclient}{ADDR}, '127.0.0.1', 'the backend knows who');
};

subtest 'a friend' => sub {
	my $c = trusted();

	like($c->hello->{XCLIENT} // '', qr/\bADDR\b/, 'is offered XCLIENT');
	$c->send('XCLIENT ADDR=192.0.2.77 PORT=1234 NAME=real.example ' .
	    'HELO=helo.example PROTO=ESMTP');
	$c->expect(qr/^220 /, 'the banner comes again');
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^503 /, 'EHLO has to follow');
	$c->hello('new.example');
	$c->deliver('a@example.org', 'b@example.com');
	my $x = $mta->last->{xclient};
	is($x->{ADDR}, '192.0.2.77', 'ADDR goes on to the backend');
	is($x->{PORT}, '1234', 'PORT');
	is($x->{NAME}, 'real.example', 'NAME');
	is($x->{HELO}, 'new.example', 'HELO is the last one said');
	$proxy->log_like(qr/192\.0\.2\.77/, 'and into the log');

	$c->send('XCLIENT ADDR=IPV6:2001:db8::1 NAME=[UNAVAILABLE]');
	$c->expect(qr/^220 /, 'again, IPv6');
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	like($mta->last->{xclient}{ADDR}, qr/^IPV6:2001:db8::1$/i, 'IPv6');
	is($mta->last->{xclient}{NAME}, '[UNAVAILABLE]', 'no name');
};

subtest 'LOGIN' => sub {
	my $c = trusted();

	$c->hello;
	$c->send('XCLIENT ADDR=192.0.2.5 LOGIN=alice+40example.com');
	$c->expect(qr/^220 /);
	$c->hello;
	$c->deliver('alice@example.com', 'far@elsewhere.example');
	is($mta->last->{xclient}{LOGIN}, 'alice@example.com',
	    'the login goes on');
};

subtest 'syntax' => sub {
	my $c = trusted();

	$c->hello;
	for my $arg ('', 'ADDR', 'ADDR=', 'ADDR=x', 'ADDR=192.0.2.256',
	    'PORT=x', 'PORT=65536', 'FOO=bar', 'NAME=a+0D+0ARCPT',
	    'NAME=a+2', 'NAME=a+zz', 'HELO=a+0Ab', 'ADDR=192.0.2.1 X',
	    'NAME=' . 'n' x 300) {
		$c->send("XCLIENT $arg");
		$c->expect(qr/^501 5\.5\.4|^50[01] /, "XCLIENT $arg");
	}
	$c->deliver('a@example.org', 'b@example.com');
	is($mta->last->{xclient}{ADDR}, '127.0.0.8', 'nothing was changed');
	is(scalar(grep { /[\r\n]/ } map { $_->{line} }
	    $mta->events('xclient')), 0, 'no line was broken');
};

done_testing;
