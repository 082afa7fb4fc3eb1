#!/usr/bin/perl
# What is not SMTP gets one reply and a close, and the backend hears nothing of
# it.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my $mta   = Backend->start;
my $proxy = Proxy->start(backend => $mta->address);

my $hello = "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" .
    join('', map { chr } 0 .. 200);
my %foreign = (
	'GET' => "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\n\r\n",
	'POST with SMTP inside' => "POST / HTTP/1.1\r\nHost: x\r\n" .
	    "Content-Length: 99\r\n\r\nEHLO x\r\n" .
	    "MAIL FROM:<evil\@example.org>\r\nRCPT TO:<v\@example.com>\r\n" .
	    "DATA\r\nx\r\n.\r\n",
	'CONNECT' => "CONNECT mx:25 HTTP/1.1\r\n\r\n",
	'PUT' => "PUT /x HTTP/1.0\r\n\r\n",
	'HTTP/2' => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	'a header line' => "Host: example.com\r\nEHLO x\r\n",
	'TLS ClientHello' => $hello,
	'TLS ClientHello, no line end' => substr($hello, 0, 9),
	'SOCKS' => "\x05\x01\x00",
	'binary' => join('', map { chr 255 - $_ } 0 .. 255),
	'digits' => "12345\r\n",
	'UTF-8' => "\303\244\303\266\r\n",
);

for my $when ('at once', 'after EHLO') {
	for my $name (sort keys %foreign) {
		subtest "$name, $when" => sub {
			my $c = $proxy->client;
			$mta->forget;
			$when eq 'after EHLO' ? $c->hello : $c->greeting;
			$c->octets($foreign{$name});
			my ($code, $text) = $c->reply;
			like($text, qr/^(?:5\d\d 5|421 4)\./, 'one reply');
			is($c->expect_close('and a close'), '',
			    'and no other reply');
			is(scalar $mta->commands(qr/evil|^DATA|HTTP/), 0,
			    'the backend hears nothing');
		};
	}
}

# Noise from a fixed seed: the session may end or not; the daemon stays.
subtest 'noise' => sub {
	my $seed = 42;
	my $random = sub {
		$seed = ($seed * 1103515245 + 12345) & 0x7fffffff;
		return ($seed >> 16) % $_[0];
	};
	my @words = ('EHLO x', 'MAIL FROM:<a@example.org>', 'DATA', '.',
	    'RCPT TO:<b@example.com>', 'BDAT 7', 'BDAT 3 LAST', "\r\n",
	    "\n", "\r", "\0", ' ', '<', '>', ':', '@', 'RSET', 'QUIT', 'AUTH',
	    'STARTTLS', 'x' x 600, "\377", 'SIZE=1', 'XCLIENT');

	for my $run (1 .. 60) {
		my $c = $proxy->client;
		my $octets = join '', map { $words[$random->(scalar @words)] .
		    ($random->(3) ? '' : "\r\n") } 1 .. 40;
		$c->greeting;
		$c->octets($octets);
		$c->half_close;
		1 while $c->fill;
		ok($c->{eof}, "run $run ends");
		unlike($c->{in}, qr/(?<!\r)\n|\r(?!\n)|[^\r\n -~]/,
		    'its replies are lines of text');
	}
	my $c = $proxy->client;
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'connections that say nothing' => sub {
	for my $how ('close', 'reset', 'half_close') {
		my $c = $proxy->client;
		$c->$how;
		$proxy->log_like(qr/close reason=/, $how);
	}
	my $c = $proxy->client;
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
};

done_testing;
