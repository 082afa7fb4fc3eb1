#!/usr/bin/perl
# A PROXY header is read where a balancer is configured, before a word is said,
# and nowhere else.
use strict;
use warnings;
use lib 't/lib';
use Socket qw(AF_INET6 inet_aton inet_pton);
use Test::More;
use Backend;
use Cert;
use Dns;
use Proxy;

my $mta   = Backend->start(xclient => 'NAME ADDR PORT HELO DESTADDR DESTPORT');
my $dns   = Dns->start;
my $proxy = Proxy->start(backend => $mta->address, tls => Cert->shared,
    listen => [{ 'accept-proxy-from' => ['127.0.0.9'] },
    { 'accept-proxy-from' => ['127.0.0.9'], tls => 'implicit' }],
    mta => { identity => 'xclient' },
    set => { 'dns-servers' => [$dns->server] });

my $v1 = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n";
my $signature = "\r\n\r\n\0\r\nQUIT\n";

# A version 2 header: command, family octet, addresses and TLVs.
sub v2
{
	my ($command, $family, $rest) = @_;

	return $signature . pack('CCn', 0x20 | $command, $family,
	    length $rest) . $rest;
}

sub v4 { return inet_aton('192.0.2.8') . inet_aton('198.51.100.1') .
    pack 'nn', 815, 25; }

sub balancer
{
	my ($header, %o) = @_;

	return $proxy->client(from => '127.0.0.9', first => $header, %o);
}

sub crc32c
{
	my ($octets) = @_;
	my $crc = 0xffffffff;

	for (unpack 'C*', $octets) {
		$crc ^= $_;
		$crc = $crc & 1 ? ($crc >> 1) ^ 0x82f63b78 : $crc >> 1
		    for 1 .. 8;
	}
	return $crc ^ 0xffffffff;
}

# With a CRC32C TLV; $flip makes it wrong.
sub with_crc
{
	my ($flip) = @_;
	my $rest = v4() . pack 'CnN', 3, 4, 0;
	my $crc = crc32c(v2(1, 0x11, $rest)) ^ ($flip // 0);

	substr($rest, -4) = pack 'N', $crc;
	return v2(1, 0x11, $rest);
}

my $v6 = inet_pton(AF_INET6, '2001:db8::7') .
    inet_pton(AF_INET6, '2001:db8::1') . pack 'nn', 99, 25;

for (['v1', $v1, '192.0.2.7', 4711],
    ['v1 IPv6', "PROXY TCP6 2001:db8::9 2001:db8::1 99 25\r\n",
	'IPV6:2001:db8::9', 99],
    ['v1 UNKNOWN', "PROXY UNKNOWN\r\n", '127.0.0.9', undef],
    ['v2', v2(1, 0x11, v4()), '192.0.2.8', 815],
    ['v2 IPv6', v2(1, 0x21, $v6), 'IPV6:2001:db8::7', 99],
    ['v2 LOCAL', v2(0, 0x00, ''), '127.0.0.9', undef],
    ['v2 with TLVs', v2(1, 0x11, v4() . pack('Cn', 4, 3) . 'abc'),
	'192.0.2.8', 815],
    ['v2 with CRC', with_crc(), '192.0.2.8', 815]) {
	my ($name, $header, $addr, $port) = @$_;

	subtest $name => sub {
		my $c = balancer($header);
		$c->hello;
		$c->deliver('a@example.org', 'b@example.com');
		my $x = $mta->last->{xclient};
		is(lc $x->{ADDR}, lc $addr, 'the address it names');
		is($x->{PORT}, $port // $c->port, 'and the port');
	};
}

subtest 'in pieces, and nothing is said before' => sub {
	for my $header ($v1, v2(1, 0x11, v4())) {
		my $c = $proxy->client(from => '127.0.0.9');
		for (split //, substr $header, 0, -1) {
			$c->octets($_);
		}
		$c->expect_nothing('no banner yet');
		$c->octets(substr $header, -1);
		$c->hello;
		$c->deliver('a@example.org', 'b@example.com');
		like($mta->last->{xclient}{ADDR}, qr/^192\.0\.2\./, 'taken');
	}
};

subtest 'header and commands in one write' => sub {
	my $c = balancer($v1 . "EHLO x\r\nNOOP\r\n");

	$c->expect(qr/^220 /, 'banner');
	$c->expect(qr/^250-/, 'EHLO');
	$c->expect(qr/^250 /, 'NOOP');
};

subtest 'with implicit TLS' => sub {
	my $c = balancer($v1, listener => 1, tls => 1);

	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	is($mta->last->{xclient}{ADDR}, '192.0.2.7', 'header before TLS');
};

# accept-xclient-from is about clients, and behind a balancer all the world
# comes from its address.
subtest 'whose XCLIENT is taken' => sub {
	my $p = Proxy->start(backend => $mta->address, mta =>
	    { identity => 'xclient' }, listen => [{
	    'accept-proxy-from' => ['127.0.0.9'],
	    'accept-xclient-from' => ['127.0.0.9', '192.0.2.7'] }]);

	for (['one who is trusted', $v1, 1],
	    ['a stranger', v2(1, 0x11, v4()), 0],
	    ['somebody', "PROXY UNKNOWN\r\n", 0],
	    ['somebody in version 2', v2(1, 0x00, ''), 0],
	    ['the balancer itself', v2(0, 0x00, ''), 0]) {
		my ($name, $header, $taken) = @$_;
		my $c = $p->client(from => '127.0.0.9', first => $header);

		is(exists $c->hello->{XCLIENT} ? 1 : 0, $taken,
		    "$name: offered or not");
		$c->send('XCLIENT ADDR=192.0.2.66 LOGIN=alice');
		$c->expect($taken ? qr/^220 / : qr/^550 5\.7\.1 /,
		    "$name: taken or not");
	}
};

subtest 'broken headers' => sub {
	my %bad = (
		'no header' => "EHLO x\r\n",
		'v1 without addresses' => "PROXY TCP4\r\n",
		'v1 bad address' => "PROXY TCP4 1.2.3 4.5.6.7 1 2\r\n",
		'v1 bad port' => "PROXY TCP4 1.2.3.4 4.5.6.7 1 99999\r\n",
		'v1 too long' => 'PROXY TCP4 ' . '1' x 200 . "\r\n",
		'v1 lower case' => "proxy TCP4 1.2.3.4 4.5.6.7 1 2\r\n",
		'v2 unknown command' => v2(2, 0x11, v4()),
		'v2 unknown family' => v2(1, 0x41, v4()),
		'v2 too short' => v2(1, 0x11, substr v4(), 0, 8),
		'v2 bad version' => $signature . pack('CCn', 0x11, 0x11, 12) .
		    v4(),
		'v2 TLV too long' => v2(1, 0x11, v4() . pack 'Cn', 4, 99),
		'v2 wrong CRC' => with_crc(1),
		'v2 enormous' => $signature . pack('CCn', 0x21, 0x11, 65535) .
		    'x' x 5000,
	);

	for my $name (sort keys %bad) {
		my $c = balancer($bad{$name});
		is($c->expect_close($name), '', 'not a word');
	}
	$proxy->log_like(qr/proxy-header/, 'logged');
};

subtest 'a header that does not end' => sub {
	for my $header ('', 'PROXY ', "PROXY TCP4 1.2.3.4 4.5.6.7 1 2\n",
	    "PROXY TCP4 1.2.3.4 4.5.6.7 1 2\r", substr(v2(1, 0x11, v4()),
	    0, -1)) {
		my $c = balancer($header);
		# It is known to the proxy before its clock moves.
		my $d = $proxy->client;
		$d->hello;
		$proxy->clock(6000);
		is($c->expect_close('is not waited for'), '', 'not a word');
	}
};

subtest 'a header from a stranger' => sub {
	my $c = $proxy->client(first => $v1);

	$c->greeting;
	$c->expect(qr/^500 5\.5\.2/, 'is a command we do not know');
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	is($mta->last->{xclient}{ADDR}, '127.0.0.1', 'who stays who he is');
	$c = $proxy->client(first => v2(1, 0x11, v4()));
	$c->greeting;
	my ($code) = $c->reply;
	like($code, qr/^[05]/, 'version 2 is garbage');
};

done_testing;
