#!/usr/bin/perl
# Whatever a backend answers, or does not, the client gets a proper reply or a
# proper end, and the proxy does not grow, hang or fall.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my @ext = ('PIPELINING', 'ENHANCEDSTATUSCODES');

# Send an envelope and content; returns the first code that was not 2xx or 354
# and its text, or 250 when the message was accepted.
sub attempt
{
	my ($c) = @_;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	for (1 .. 2) {
		my ($code, $text) = $c->reply;
		return ($code, $text) if $code != 250;
	}
	$c->message("x\r\n");
	return $c->reply;
}

my %malformed = (
	'no code' => 'hello there',
	'two digits' => '25 ok',
	'four digits' => '2500 ok',
	'letters' => '25x ok',
	'a code of no class' => '999 ok',
	'1yz' => '150 wait',
	'6yz' => '650 what',
	'no space' => '250ok',
	'code changes' => { raw => "250-one\r\n550 two\r\n" },
	'empty line' => { raw => "\r\n" },
	'NUL' => { raw => "25\0 ok\r\n" },
	'line too long' => '250 ' . 'x' x 100_000,
	'too many lines' => { raw => "250-x\r\n" x 5000 . "250 x\r\n" },
	'endless lines' => { endless => "250-x\r\n" },
	'endless line' => { endless => 'x' x 1000 },
);

for my $where ('CONNECT', 'EHLO', 'MAIL', 'RCPT', 'DATA', '.') {
	subtest "malformed at $where" => sub {
		my $mta   = Backend->start(extensions => \@ext);
		my $proxy = Proxy->start(backend => $mta->address);

		for my $name (sort keys %malformed) {
			my $value = $malformed{$name};
			# At EHLO the first line is text, not keywords.
			$mta->set($where => $value);
			$mta->drop;
			my $c = $proxy->client;
			my ($code, $text) = attempt($c);
			like($text, qr/^4(?:51|21) 4\.[345]\.\d/,
			    "$name: temporary failure");
			$c->close;
			$mta->unset($where);
			$mta->drop;
			$c = $proxy->client;
			($code) = attempt($c);
			is($code, 250, 'the next session works');
		}
	};
}

subtest 'replies in pieces of one octet' => sub {
	my %rule = map { my ($k, $v) = @$_; $k => { reply => $v, drip => 1 } }
	    ['CONNECT', "220-hello\n220 there"],
	    ['EHLO', "250-mta\n250-PIPELINING\n250 DSN"],
	    ['RCPT', "250-2.1.5 fine\n250 2.1.5 indeed"],
	    ['DATA', '354 go'], ['.', '250 2.0.0 queued as DRIP'];
	my $mta   = Backend->start(%rule);
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	ok(exists $c->hello->{DSN}, 'EHLO was understood');
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^250-2\.1\.5 fine\n250 2\.1\.5 indeed$/);
	$c->message("x\r\n");
	$c->expect(qr/^250 2\.0\.0 queued as DRIP$/);
};

subtest 'lines that end in LF alone' => sub {
	my $mta   = Backend->start(extensions => \@ext,
	    RCPT => { raw => "250 2.1.5 old server\n" });
	my $c     = Proxy->start(backend => $mta->address)->client;
	my ($code) = attempt($c);

	is($code, 250, 'are understood');
};

subtest 'controls in the text' => sub {
	my $mta   = Backend->start(extensions => \@ext,
	    RCPT => { raw => "550 5.1.1 a\rb\0c\e[31md\tx\177\r\n" });
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>',
	    'NOOP');
	$c->expect(qr/^250 /);
	my (undef, $text) = $c->reply;
	like($text, qr/^550 5\.1\.1 a/, 'the reply goes on');
	unlike($text, qr/[^ -~]/, 'without them');
	$c->expect(qr/^250 /, 'as one reply');
	$proxy->log_unlike(qr/[\000-\010\013-\037\177]/, 'nor in the log');
};

subtest 'more replies than commands' => sub {
	my $mta   = Backend->start(extensions => \@ext, RCPT =>
	    { raw => "250 2.1.5 one\r\n250 2.1.5 two\r\n250 three\r\n" });
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;
	my ($code, $text) = attempt($c);

	isnt($code, 0, 'the client gets an answer');
	is(scalar $mta->messages, 0,
	    'a reply nobody asked for is no reply to the content');
	isnt($code, 250, 'and the message is not said to be accepted');
	$c->close;
	$mta->unset('RCPT');
	($code) = attempt($proxy->client);
	is($code, 250, 'the next session works');
};

subtest 'a reply before its command' => sub {
	my $mta   = Backend->start(extensions => \@ext, '.' => undef,
	    DATA => { raw => "354 go\r\n250 2.0.0 already queued\r\n" });
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;
	my $n     = 0;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->message("x\r\n");
	my $d = $proxy->client;
	$d->hello;
	$proxy->clock(11 * 60 * 1000);
	my ($code) = $c->reply;
	like($code, qr/^4/, 'is not the reply to the content');
};

subtest '421 anywhere' => sub {
	for my $where ('MAIL', 'RCPT', 'DATA', '.') {
		my $mta   = Backend->start(extensions => \@ext);
		my $proxy = Proxy->start(backend => $mta->address);
		my $c     = $proxy->client;

		$c->hello;
		$mta->set($where => { reply => '421 4.3.2 closing down',
		    then => 'close' });
		$c->send('MAIL FROM:<a@example.org>',
		    'RCPT TO:<b@example.com>', 'RCPT TO:<c@example.com>');
		$c->expect(qr/^250 /);
		if ($where =~ /MAIL|RCPT/) {
			$c->expect(qr/^421 4\.3\.2 closing down$/,
			    "$where: passed on");
		} else {
			$c->expect(qr/^250 /) for 1 .. 2;
			$c->message("x\r\n");
			$c->expect(qr/^421 4\.3\.2 closing down$/,
			    "$where: passed on");
		}
		is($c->expect_close('and the session ends'), '',
		    'with no reply after it');
		$mta->unset($where);
		my ($code) = attempt($proxy->client);
		is($code, 250, 'the next session works');
	}
};

# RFC 5321 4.5.3.2: each wait has its own time.
subtest 'no reply' => sub {
	for (['CONNECT', 300], ['EHLO', 300], ['MAIL', 300], ['RCPT', 300],
	    ['DATA', 120], ['.', 600]) {
		my ($where, $seconds) = @$_;
		my $mta   = Backend->start(extensions => \@ext);
		my $proxy = Proxy->start(backend => $mta->address);
		my $c     = $proxy->client;

		$c->hello;
		$mta->set($where => undef);
		$mta->drop;
		$c->send('MAIL FROM:<a@example.org>',
		    'RCPT TO:<b@example.com>');
		$c->expect(qr/^250 /);
		if ($where eq 'DATA' || $where eq '.') {
			$c->expect(qr/^250 /);
			$c->message("x\r\n");
		}
		my $like = { CONNECT => qr/./, '.' => qr/./ }->{$where};
		if ($where eq 'CONNECT') {
			$mta->wait_event('connect', sub { $_[0]{conn} > 1; });
		} elsif ($where eq '.') {
			$mta->wait_event('message');
		} else {
			$mta->wait_event('command', sub {
				return $_[0]{line} =~ /^$where/ &&
				    ($where ne 'EHLO' || $_[0]{conn} > 1);
			});
		}
		$proxy->clock(($seconds - 10) * 1000);
		$c->expect_nothing("$where: still waiting before $seconds s");
		$proxy->clock(20_000);
		$c->expect(qr/^4(?:51|21) 4\.4\.\d/,
		    "$where: given up after $seconds s");
	}
};

subtest 'a backend that reads nothing' => sub {
	my $mta   = Backend->start(extensions => ['PIPELINING', 'CHUNKING',
	    'SIZE 50000000']);
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { 'hold-size' => '100M' });
	my $c     = $proxy->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	kill 'STOP', $mta->{pid};
	$c->message("x\r\n" x 4_000_000);
	# It is with us, and the backend takes no more of it.
	my $d = $proxy->client;
	$d->greeting;
	$d->send('NOOP');
	$d->expect(qr/^250 /, 'other sessions go on');
	$proxy->log_like(qr/data|content|mail|connect/i, 'meanwhile');
	$proxy->clock(11 * 60 * 1000);
	$c->expect(qr/^4\d\d 4\.4\.\d/, 'given up');
	kill 'CONT', $mta->{pid};
	is(scalar $mta->events('message'), 0, 'and never completed');
};

done_testing;
