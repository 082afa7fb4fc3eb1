#!/usr/bin/perl
# What is not SMTP is told so once, or not at all, and costs its own connection:
# nothing of it reaches the backend, and others are served all the time.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Cert;
use Client;
use Proxy;

my $mta   = Backend->start;
my $proxy = Proxy->start(backend => $mta->address, tls => Cert->shared,
    listen => [{}, { address => '127.0.0.2:0', tls => 'implicit' },
    { address => '127.0.0.3:0', 'accept-proxy-from' => ['127.0.0.0/8'] }]);

# The rest of the world works; called behind each attack.
sub others_work
{
	my ($name) = @_;
	my $c = $proxy->client;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com', "$name\r\n");
	is($mta->last->{content}, "$name\r\n", "$name: others are served");
	$c->quit;
	is(scalar $mta->commands(qr/evil|victim/), 0,
	    "$name: nothing was relayed");
	$mta->forget;
}

my $smtp = "EHLO x\r\nMAIL FROM:<evil\@example.org>\r\n" .
    "RCPT TO:<victim\@example.com>\r\nDATA\r\nevil\r\n.\r\nQUIT\r\n";

# Every protocol by which a browser or a server can be made to talk to us, with
# SMTP in it.
my %foreign = (
	'HTTP GET' => "GET /$smtp HTTP/1.1\r\nHost: mx\r\n\r\n",
	'HTTP POST' => "POST / HTTP/1.1\r\nHost: mx:25\r\n" .
	    'Content-Length: ' . length($smtp) . "\r\n\r\n$smtp",
	'HTTP CONNECT' => "CONNECT mx:25 HTTP/1.1\r\n\r\n$smtp",
	'HTTP PUT' => "PUT / HTTP/1.0\r\n\r\n$smtp",
	'HTTP/2' => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n$smtp",
	'a header' => "Host: localhost\r\n$smtp",
	'a mail' => "Received: from x\r\nSubject: y\r\n\r\n$smtp",
	'SIP' => "INVITE sip:x\@example.com SIP/2.0\r\n$smtp",
	'SSH' => "SSH-2.0-OpenSSH_9.2\r\n\0\0\5\xdc\6\x14$smtp",
	'TLS' => "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . 'r' x 500,
	'SSL 2' => "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" . 'r' x 35,
	'SMB' => "\x00\x00\x00\x54\xffSMBr" . "\0" x 60,
	'RDP' => "\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00",
	'PROXY v2' => "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" . "\x7f\0\0\1" x 2 .
	    "\0\x19\0\x19$smtp",
	'memcached' => "\x80\x00\x00\x00" . "\0" x 20,
	'JSON' => "{\"method\":\"x\"}\r\n$smtp",
	'UTF-8' => "\xef\xbb\xbfEHLO x\r\n$smtp",
	'UTF-16' => "E\0H\0L\0O\0 \0x\0\r\0\n\0",
	'zeros' => "\0" x 5000,
	'every octet' => join('', map { chr } reverse 0 .. 255) x 20,
);

subtest 'before the greeting and after it' => sub {
	for my $name (sort keys %foreign) {
		for my $when ('at once', 'after the greeting', 'after EHLO') {
			my $c = $proxy->client($when eq 'at once' ?
			    (first => $foreign{$name}) : ());
			$c->greeting if $when ne 'at once';
			$c->hello if $when eq 'after EHLO';
			$c->octets($foreign{$name}) if $when ne 'at once';
			$c->half_close;
			my $said = $c->expect_close("$name, $when: closed");
			my @codes = grep { !/^220/ } $said =~ /^(\d\d\d) /mg;
			cmp_ok(scalar @codes, '<=', 3, 'a few words at most');
			unlike("@codes", qr/\b[23]\d\d\b(?! *\z)/,
			    'nothing is accepted');
		}
		others_work($name);
	}
};

# These end the connection by themselves, whatever would follow.
subtest 'closed without waiting for more' => sub {
	for my $name ('HTTP GET', 'HTTP POST', 'HTTP CONNECT', 'a header', 'TLS',
	    'SSL 2', 'SMB', 'zeros', 'JSON', 'SIP') {
		my $c = $proxy->client;
		$c->greeting;
		$c->octets($foreign{$name});
		my $said = $c->expect_close("$name: closed");
		like($said, qr/\A(?:5\d\d 5\.\d\.\d [^\r\n]*\r\n)?\z/,
		    'with one reply at most');
		$c->close;
		$proxy->log_like(qr/ close reason="(?!client)/, 'says why');
	}
};

subtest 'SMTP at the wrong doors' => sub {
	my $c = $proxy->client(listener => 1);
	$c->octets($smtp);
	unlike($c->expect_close('implicit TLS'), qr/^\d\d\d /m, 'no SMTP');
	$c = $proxy->client(listener => 2);
	$c->octets($smtp);
	is($c->expect_close('PROXY'), '', 'nothing without a header');
	for (sort keys %foreign) {
		next if $_ eq 'PROXY v2';
		for my $listener (1, 2) {
			my $d = $proxy->client(listener => $listener);
			$d->octets($foreign{$_});
			$d->half_close;
			unlike($d->expect_close("$_ at $listener"),
			    qr/^250 /m, 'nothing is accepted');
		}
	}
	others_work('wrong doors');
};

# Ten megabytes without a line end: a reply, the end, and no memory.
subtest 'no line end' => sub {
	my ($pid) = $proxy->workers;

	for my $octet ('x', "\r", ' ') {
		my $c = $proxy->client;
		$c->greeting;
		my $sent = 0;
		while ($sent < 10_000_000) {
			my $n = syswrite $c->{fh}, $octet x 65_536;
			$n // (Wait::again() &&
			    Wait::wait_writable($c->{fh})) or last;
			$sent += $n // 0;
		}
		my $said = $c->expect_close(sprintf '%#x: closed', ord $octet);
		like($said, qr/\A(?:(?:421 4\.7\.0|500 5\.5\.[26]) .*\r\n)?\z/,
		    'one reply, if it could still be read');
		others_work('no line end');
	}
	open my $in, '<', "/proc/$pid/status" or die "status: $!";
	my ($kb) = join('', <$in>) =~ /^VmHWM:\s*(\d+)/m;
	cmp_ok($kb, '<', 100_000, "never more than $kb KB of memory");
};

subtest 'empty lines, and odd ones' => sub {
	my $c = $proxy->client;

	$c->hello;
	for my $line ('', ' ', '  NOOP', "\tNOOP", 'NOOP ', '.', ':', '<>',
	    '250 OK', '354', "\x7f", "\xff\xfe") {
		my $d = $proxy->client;
		$d->hello;
		$d->octets("$line\r\n");
		my ($code, $text) = $d->reply;
		my $shown = $line =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger;
		$line eq 'NOOP ' ? is($code, 250, "\"$shown\"")
		    : like($text, qr/^5\d\d 5\.\d\.\d /, "\"$shown\"");
	}
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'connections that say nothing' => sub {
	for my $how ('close', 'reset', 'half_close') {
		my $c = $proxy->client;
		$c->$how;
		$proxy->log_like(qr/ close reason=/, $how);
	}
	others_work('nothing');
};

# Octets by chance, all of them SMTP's own.
subtest 'noise' => sub {
	my $seed = $ENV{SEED} // time;
	my @word = ("\r\n", "\n", "\r", ' ', '<', '>', ':', "\0", 'x', '.',
	    'MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>', 'DATA',
	    'BDAT 3', 'BDAT 0 LAST', 'RSET', 'QUIT', 'EHLO x', 'STARTTLS',
	    'AUTH PLAIN', 'NOOP', "\r\n.\r\n", 'LAST', 'SIZE=', "\xff", '=');
	my $workers = join ' ', $proxy->workers;

	note "SEED=$seed";
	srand $seed;
	for my $i (1 .. 150) {
		my $c = $proxy->client(first => join '',
		    map { $word[rand @word] . (rand() < .6 ? "\r\n" : '') }
		    0 .. rand 60);
		$c->half_close;
		1 while $c->fill;
		next if $c->{eof} &&
		    $c->{in} !~ /(?<!\r)\n|\r(?!\n)|[^\r\n -~]/;
		fail("session $i of seed $seed ends, with lines of text");
		last;
	}
	is(join(' ', $proxy->workers), $workers, 'the worker lives');
	others_work('noise');
};

done_testing;
