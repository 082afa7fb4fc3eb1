#!/usr/bin/perl
# The backend learns who the client is, or gets no mail: identity fails closed,
# and nothing a client can name becomes a command.
use strict;
use warnings;
use lib 't/lib';
use Socket qw(inet_ntoa);
use Test::More;
use Backend;
use Cert;
use Dns;
use Proxy;

my $all = 'NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT REVERSE_NAME';
my $dns = Dns->start(
    '2.0.0.10.in-addr.arpa PTR' => 'two.example',
    'two.example A' => '10.0.0.2',
    '3.0.0.10.in-addr.arpa PTR' => 'liar.example',
    'liar.example A' => '192.0.2.99',
    '4.0.0.10.in-addr.arpa PTR' => "x\r\nrcpt to:<evil\@x>\r\n.example",
    '5.0.0.10.in-addr.arpa PTR' => 'SERVFAIL',
    '6.0.0.10.in-addr.arpa PTR' => 'a b=c+d.example',
    '7.0.0.10.in-addr.arpa PTR' => join('.', ('l' x 60) x 4),
);

sub start
{
	my ($mta, $identity, %set) = @_;

	return Proxy->start(backend => $mta->address,
	    listen => { 'accept-proxy-from' => ['127.0.0.9'] },
	    mta => { identity => $identity }, set => {
	    'relay-domains' => undef, 'dns-servers' => [$dns->server], %set });
}

# A client with this address. Addresses of 127.0.0.0/8 can be had, but have no
# names in the DNS (RFC 6303); for others a balancer speaks.
sub client
{
	my ($proxy, $from) = @_;

	return $proxy->client(from => $from) if $from =~ /^127\./;
	return $proxy->client(from => '127.0.0.9',
	    first => "PROXY TCP4 $from 10.9.9.9 4711 25\r\n");
}

sub deliver
{
	my ($proxy, $from, $helo) = @_;
	my $c = client($proxy, $from);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->hello($helo);
	$c->deliver('a@example.org', 'b@example.com');
	return $c;
}

subtest 'a backend that cannot be told gets nothing' => sub {
	my $mta   = Backend->start;
	my $proxy = start($mta, 'auto');
	my $c     = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>',
	    'RCPT TO:<postmaster@example.com>', 'DATA');
	$c->expect(qr/^250 /);
	$c->expect(qr/^451 4\.3\.0/, 'every recipient, later') for 1 .. 2;
	$c->expect(qr/^554 5\.5\.1/, 'no DATA');
	is(scalar $mta->commands(qr/^(?:MAIL|RCPT)/), 0,
	    'the backend heard nothing');
	$proxy->log_like(qr/smtpd_authorized_xclient_hosts|xclient/i,
	    'the log says what to do');
	my $explicit = start($mta, 'xclient');
	$c = $explicit->client;
	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^451 4\.3\.0/, 'the same with identity = xclient');
};

subtest 'a backend that refuses XCLIENT gets nothing' => sub {
	my $mta = Backend->start(xclient => $all,
	    XCLIENT => '550 5.7.0 insufficient authorization');
	my $proxy = start($mta, 'auto');
	my $c = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^4\d\d 4\./, 'later');
	is(scalar $mta->commands(qr/^(?:MAIL|RCPT)/), 0,
	    'the backend heard nothing');
};

subtest 'attributes' => sub {
	my $mta   = Backend->start(xclient => $all);
	my $proxy = start($mta, 'auto');
	my $c     = deliver($proxy, '10.0.0.2', 'helo+x=y.example');
	my $x     = $mta->last->{xclient};

	is($x->{ADDR}, '10.0.0.2', 'ADDR');
	is($x->{PORT}, 4711, 'PORT');
	is($x->{NAME}, 'two.example', 'NAME');
	is($x->{HELO}, 'helo+x=y.example', 'HELO, through xtext');
	is($x->{PROTO}, 'ESMTP', 'PROTO');
	is($x->{DESTADDR}, '10.9.9.9', 'DESTADDR');
	is($x->{DESTPORT}, 25, 'DESTPORT');
	ok(!exists $x->{LOGIN} || $x->{LOGIN} eq '[UNAVAILABLE]',
	    'no LOGIN');
	my @lines = map { $_->{line} } $mta->events('xclient');
	is(scalar(grep { length > 510 } @lines), 0, 'no line is too long');
	$c = deliver($proxy, '127.0.0.3');
	$x = $mta->last->{xclient};
	is($x->{ADDR}, '127.0.0.3', 'ADDR without a balancer');
	is($x->{PORT}, $c->port, 'PORT');
	is($x->{DESTADDR}, '127.0.0.1', 'DESTADDR');
	is($x->{DESTPORT}, $proxy->port, 'DESTPORT');
};

subtest 'only attributes that are offered' => sub {
	for my $offer ('ADDR', 'ADDR NAME', 'ADDR HELO') {
		my $mta = Backend->start(xclient => $offer);
		deliver(start($mta, 'auto'), '127.0.0.2');
		is(join(' ', sort keys %{$mta->last->{xclient}}),
		    join(' ', sort split / /, $offer), $offer);
	}
	my $mta = Backend->start(xclient => 'NAME HELO');
	my $proxy = start($mta, 'auto');
	my $c = $proxy->client;
	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^451 4\.3\.0/, 'XCLIENT without ADDR is none');
};

subtest 'names of strangers' => sub {
	my $mta   = Backend->start(xclient => $all);
	my $proxy = start($mta, 'auto');
	my %want  = (
		'10.0.0.3' => '[UNAVAILABLE]',	# leads somewhere else
		'10.0.0.4' => '[UNAVAILABLE]',	# holds CR LF
		'10.0.0.5' => '[TEMPUNAVAIL]',	# DNS failed
		'10.0.0.6' => '[UNAVAILABLE]',	# holds a space, "=", "+"
		'10.0.0.7' => '[UNAVAILABLE]',	# leads nowhere
		'10.0.0.10' => '[UNAVAILABLE]', # has none
	);

	for my $from (sort keys %want) {
		deliver($proxy, $from);
		is($mta->last->{xclient}{NAME}, $want{$from}, "NAME of $from");
		is($mta->last->{xclient}{ADDR}, $from, "ADDR of $from");
	}
	is(scalar $mta->commands(qr/evil/i), 0, 'no injected command');
	is(scalar(grep { $_->{line} !~ /\AXCLIENT(?: [A-Z_]+=[!-~]+)+\z/ }
	    $mta->events('xclient')), 0, 'every line is XCLIENT and xtext');
};

subtest 'HELO names' => sub {
	my $mta   = Backend->start(xclient => $all);
	my $proxy = start($mta, 'auto');

	for my $helo ('[127.0.0.2]', '[IPv6:::1]', 'x' x 255,
	    "d\303\274rer.example", 'a%b;c|d&e', '+', '='x 100) {
		my $c = $proxy->client(from => '127.0.0.2');
		$c->greeting;
		$c->send("EHLO $helo");
		my ($code) = $c->reply;
		next if $code == 501;
		$c->deliver('a@example.org', 'b@example.com');
		my $got = $mta->last->{xclient}{HELO};
		ok($got eq $helo || $got eq '[UNAVAILABLE]',
		    'HELO ' . substr $helo, 0, 30) or diag($got);
	}
	is(scalar(grep { $_->{line} !~ /\AXCLIENT(?: [A-Z_]+=[!-~]+)+\z/ }
	    $mta->events('xclient')), 0, 'every line is XCLIENT and xtext');
};

# I5: a reused session gets the new identity before anything else.
subtest 'one client after the other' => sub {
	my $mta   = Backend->start(xclient => $all);
	my $proxy = start($mta, 'auto');

	for my $n (1 .. 6) {
		my $from = '127.0.1.' . ($n % 3 + 1);
		my $c = deliver($proxy, $from, "helo$n.example");
		is($mta->last->{xclient}{ADDR}, $from, "ADDR of client $n");
		is($mta->last->{xclient}{HELO}, "helo$n.example",
		    "HELO of client $n");
		$c->quit;
	}
	my %last;
	for ($mta->events('command')) {
		my $conn = $_->{conn};
		$last{$conn} = 1 if $_->{line} =~ /^XCLIENT/;
		ok($last{$conn}, 'XCLIENT before MAIL')
		    if $_->{line} =~ /^MAIL/;
		# Each message here is another client's.
		delete $last{$conn} if $_->{line} =~ /^(?:DATA|BDAT)/;
	}
};

# Postfix asks whether the address it was told may use XCLIENT; as a rule not.
subtest 'a backend that authorizes the address it was told' => sub {
	my $mta   = Backend->start(xclient => $all, xclient_once => 1);
	my $proxy = start($mta, 'auto');

	for my $n (1 .. 4) {
		my $c = deliver($proxy, "127.0.3.$n");
		is($mta->last->{xclient}{ADDR}, "127.0.3.$n", "client $n");
		$c->deliver('a@example.org', 'b@example.com');
		is($mta->last->{xclient}{ADDR}, "127.0.3.$n", 'and again');
		$c->quit;
	}
};

subtest 'several clients at the same time' => sub {
	my $mta   = Backend->start(xclient => $all);
	my $proxy = start($mta, 'auto');
	my @c     = map { $proxy->client(from => "127.0.2.$_") } 1 .. 10;

	$_->hello for @c;
	$_->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>')
	    for @c;
	for my $c (@c) {
		$c->expect(qr/^250 /) for 1 .. 2;
	}
	for (0 .. 9) {
		$c[$_]->message("n: $_\r\n");
	}
	$_->expect(qr/^250 /) for @c;
	my %addr = map { $_->{content} => $_->{xclient}{ADDR} }
	    $mta->messages;
	is_deeply(\%addr, { map { ("n: $_\r\n" => '127.0.2.' . ($_ + 1)) }
	    0 .. 9 }, 'each under its own name');
};

subtest 'PROXY' => sub {
	for my $version (1, 2) {
		my $mta   = Backend->start(proxy => 1);
		my $proxy = start($mta, "proxy-v$version");
		my $c     = deliver($proxy, '127.0.0.2');
		my $header = $mta->last->{proxy};

		if ($version == 1) {
			is($header, sprintf('PROXY TCP4 127.0.0.2 127.0.0.1 ' .
			    '%d %d', $c->port, $proxy->port), 'version 1');
		} else {
			my ($vc, $fam, $len, $src, $dst, $sport, $dport) =
			    unpack 'x12CCna4a4nn', $header;
			is($vc, 0x21, 'version 2, PROXY');
			is($fam, 0x11, 'TCP over IPv4');
			is(inet_ntoa($src), '127.0.0.2', 'source');
			is($sport, $c->port, 'source port');
			is(inet_ntoa($dst), '127.0.0.1', 'destination');
			is($dport, $proxy->port, 'destination port');
		}
		$c->quit;
		deliver($proxy, '127.0.0.3');
		like($mta->last->{proxy}, $version == 1 ?
		    qr/ 127\.0\.0\.3 / : qr/\x7f\0\0\x03/,
		    'the next client has a connection of its own');
	}
};

subtest 'XFORWARD' => sub {
	my $mta   = Backend->start(xforward => 'NAME ADDR PROTO HELO');
	my $proxy = start($mta, 'xforward',
	    'relay-domains' => ['example.com']);
	my $c     = deliver($proxy, '127.0.0.2', 'h.example');

	is($mta->last->{xforward}{ADDR}, '127.0.0.2', 'ADDR');
	is($mta->last->{xforward}{HELO}, 'h.example', 'HELO');
	$c->deliver('a@example.org', 'b@example.com');
	is($mta->last->{xforward}{ADDR}, '127.0.0.2',
	    'again for the next message: it ends with each');
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<x@example.net>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^550 5\.7\.1/, 'relay-domains is ours to check');
};

subtest 'none' => sub {
	my $mta   = Backend->start(xclient => $all);
	my $proxy = start($mta, 'none', 'relay-domains' => ['example.com']);
	my $c     = deliver($proxy, '127.0.0.2');

	is($mta->last->{xclient}, undef, 'no XCLIENT');
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<x@example.net>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^550 5\.7\.1 .*relay access denied/i, 'no open relay');
	for my $identity ('none', 'xforward') {
		ok(!eval { start($mta, $identity) },
		    "$identity without relay-domains does not start");
	}
};

subtest 'a login is told as well' => sub {
	my $mta = Backend->start(xclient => $all, auth => 'PLAIN');
	my $proxy = Proxy->start(backend => $mta->address,
	    tls => Cert->shared, mta => { identity => 'auto' },
	    set => { 'dns-servers' => [$dns->server],
	    'relay-domains' => undef });
	my $c = $proxy->client(from => '127.0.0.2');

	$c->hello;
	$c->starttls;
	$c->hello;
	$c->send('AUTH PLAIN AGEAYg==');
	$c->expect(qr/^235 /);
	$c->deliver('a@example.org', 'b@example.com');
	my $m = $mta->last;
	is($m->{xclient}{ADDR}, '127.0.0.2', 'XCLIENT came first');
	is($m->{auth}, 'PLAIN', 'AUTH on the same connection');
	ok(!$m->{xclient}{LOGIN} || $m->{xclient}{LOGIN} eq '[UNAVAILABLE]',
	    'and no LOGIN that nobody proved');
	$c->quit;
	my $d = $proxy->client(from => '127.0.0.3');
	$d->hello;
	$d->deliver('a@example.org', 'b@example.com');
	isnt($mta->last->{conn}, $m->{conn}, 'which is nobody else\'s');
	is($mta->last->{auth}, undef, 'ever');
};

done_testing;
