#!/usr/bin/perl
# Only CR LF "." CR LF ends DATA, wherever the octets are split, and what the
# backend gets is canonical, whatever came: nothing behind a false end is ever
# a command or a second message (CVE-2023-51764 and its kin).
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

# What some server somewhere takes as the end of data. The last octets of the
# line before are part of it.
my @false_ends = (
	"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r",
	"\r.\n", "\n.\r", "\n\n.\n", "\r\r.\r", "\r\n\0.\r\n", "\r\n.\0\r\n",
	"\n.\n\n", "\r\n.\r\r\n", "\r\n. \r\n", "\r\n .\r\n", "\r\n.\t\r\n",
	"\r\r\n.\r\r\n", "\n\r.\n\r", "\r\n.\x85", "\x85.\x85", "\r\n..\r\n",
	"\r\0\n.\r\0\n", "\0\r\n.\r\0\n", "\013.\013", "\r.",
);
my $inner = "MAIL FROM:<evil\@example.org>\r\nRCPT TO:<victim\@example.com>" .
    "\r\nDATA\r\nFrom: evil\r\n\r\nsmuggled\r\n";

sub shown
{
	my ($octets) = @_;
	my %name = ("\r" => '<CR>', "\n" => '<LF>', "\0" => '<NUL>');

	return $octets =~ s/([^!-~])/$name{$1} \/\/ sprintf '<%02x>',
	    ord $1/ger;
}

# The content on the wire: CR LF only, and no line that is a dot alone but the
# last one.
sub is_canonical
{
	my ($m) = @_;
	my $wire = $m->{wire};

	return 0 if $m->{content} =~ /\r(?!\n)|(?<!\r)\n/;
	return 1 if $m->{by} eq 'BDAT';
	return $wire =~ /(?:\A|\r\n)\.\r\n\z/ &&
	    $wire !~ /(?:\A|\r\n)\.\r\n./s;
}

my %backend = (
	BDAT => Backend->start(extensions => [@Backend::EXTENSIONS]),
	DATA => Backend->start(extensions => [grep { $_ ne 'CHUNKING' }
	    @Backend::EXTENSIONS]),
);

for my $mode ('reject', 'normalize') {
	for my $by (sort keys %backend) {
		my $mta = $backend{$by};
		my $proxy = Proxy->start(backend => $mta->address, set => {
			'line-endings' => $mode, nul => 'accept',
			'error-limit' => 1_000_000 });

		subtest "$mode, to a backend by $by" => sub {
			my $c = $proxy->client;
			$c->hello;
			try($mta, $c, $_, $mode) for @false_ends;
			$c->quit;
		};
	}
}

# Send one message with a false end in it, and look what becomes of it.
sub try
{
	my ($mta, $c, $end, $mode) = @_;
	my $name = shown($end);
	my $bare = $end =~ /\r(?!\n)|(?<!\r)\n/;

	$mta->forget;
	# "\r\n" in front: the false end may begin with a dot.
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>',
	    'DATA');
	$c->reply for 1 .. 3;
	$c->octets("Subject: x\r\n\r\nbefore$end${inner}after\r\n.\r\n");
	my ($code, $text) = $c->reply;
	if ($mode eq 'reject' && $bare) {
		like($text, qr/^550 5\.5\.2/, "$name: refused");
	} else {
		is($code, 250, "$name: one message") or diag($text);
	}
	$c->send('NOOP');
	my (undef, $noop) = $c->reply;
	like($noop, qr/^250 2\.0\.0/, 'one reply');
	is(scalar $mta->commands(qr/evil|victim/), 0, 'no smuggled command');
	my @m = $mta->messages;
	is(scalar @m, $code == 250 ? 1 : 0, 'no smuggled message');
	return unless @m;
	ok(is_canonical($m[0]), 'canonical') or diag(shown($m[0]{wire}));
	like($m[0]{content}, qr/smuggled\r\nafter\r\n\z/, 'all of it');
	return if $bare;
	is($m[0]{content}, "Subject: x\r\n\r\nbefore" .
	    ($end =~ s/(\r\n)\./$1/gr) . "${inner}after\r\n", 'unchanged');
}

# The same octets in two writes, split at every place. Each write of the
# client is read by itself: the proxy has answered what came before.
subtest 'split at every octet' => sub {
	my $mta = $backend{DATA};
	my $proxy = Proxy->start(backend => $mta->address, set => {
		'line-endings' => 'normalize', 'error-limit' => 1_000_000 });
	my $other = $proxy->client;

	$other->hello;
	for my $end ("\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r",
	    "\r\n..\r\n", "\r\n.x\r\n") {
		my $octets = "x$end${\ substr $inner, 0, 40}\r\n.\r\n";
		my $c = $proxy->client;
		my %got;

		$c->hello;
		for my $at (1 .. length($octets) - 1) {
			$mta->forget;
			$c->send('MAIL FROM:<a@example.org>',
			    'RCPT TO:<b@example.com>', 'DATA');
			$c->reply for 1 .. 3;
			$c->octets(substr $octets, 0, $at);
			# The other session is answered after this one was
			# read: a round trip, no sleep.
			$other->send('NOOP');
			$other->reply;
			$c->octets(substr $octets, $at);
			my ($code) = $c->reply;
			$got{"$code " . join '|', map { $_->{wire} }
			    $mta->messages}++;
		}
		is(scalar keys %got, 1, shown($end) .
		    ': the same for every split') or
		    diag(map { shown($_) . "\n" } sort keys %got);
		my ($only) = keys %got;
		like($only, qr/^250 /, 'accepted');
		unlike($only, qr/\r(?!\n)|(?<!\r)\n/, 'canonical');
	}
};

subtest 'split at every octet, rejected' => sub {
	my $mta = $backend{DATA};
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { 'error-limit' => 1_000_000 });
	my ($c, $other) = ($proxy->client, $proxy->client);

	$_->hello for $c, $other;
	for my $end ("\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n") {
		my $octets = "x$end${\ substr $inner, 0, 20}\r\n.\r\n";
		my %got;

		$mta->forget;
		for my $at (1 .. length($octets) - 1) {
			$c->send('MAIL FROM:<a@example.org>',
			    'RCPT TO:<b@example.com>', 'DATA');
			$c->reply for 1 .. 3;
			$c->octets(substr $octets, 0, $at);
			$other->send('NOOP');
			$other->reply;
			$c->octets(substr $octets, $at);
			$got{(($c->reply)[1]) =~ s/^(\S+ \S+).*/$1/sr}++;
		}
		is(join(' ', keys %got), '550 5.5.2', shown($end) .
		    ': refused at the true end, for every split');
		is(scalar $mta->messages, 0, 'nothing was sent');
		is(scalar $mta->commands(qr/evil/), 0, 'nor done');
	}
};

# Dots at the start of lines, in every number, come out as they went in.
subtest 'dots' => sub {
	for my $by (sort keys %backend) {
		my $proxy = Proxy->start(backend => $backend{$by}->address);
		my $c = $proxy->client;

		$c->hello;
		for my $content (".\r\n", "..\r\n", "...\r\n", ".a\r\n",
		    "a.\r\n.\r\n", "\r\n.\r\n\r\n..\r\n", "a\r\n.\r\n.\r\n") {
			$c->envelope('a@example.org', 'b@example.com');
			$c->message($content);
			$c->expect(qr/^250 /);
			my $m = $backend{$by}->last;
			is($m->{content}, $content, shown($content));
			ok(is_canonical($m), 'canonical');
		}
		# A client that stuffs nothing: one dot goes, as RFC 5321
		# 4.5.2 has it.
		$c->envelope('a@example.org', 'b@example.com');
		$c->send('DATA');
		$c->expect(qr/^354/);
		$c->octets(".a\r\n..b\r\n.\r\n");
		$c->expect(qr/^250 /);
		is($backend{$by}->last->{content}, "a\r\n.b\r\n",
		    'one dot is removed from each line');
	}
};

subtest 'a bare LF in a command' => sub {
	my $mta = $backend{DATA};
	my $reject = Proxy->start(backend => $mta->address);
	my $c = $reject->client;

	$mta->forget;
	$c->hello;
	$c->octets("MAIL FROM:<a\@example.org>\nRCPT TO:<b\@example.com>\r\n");
	$c->expect(qr/^550 5\.5\.2/, 'refused');
	is($c->expect_close('and closed'), '', 'with one reply');
	is(scalar $mta->commands(qr/RCPT/), 0, 'nothing of it went on');

	my $normal = Proxy->start(backend => $mta->address,
	    set => { 'line-endings' => 'normalize' });
	$c = $normal->client;
	$c->greeting;
	$c->octets("EHLO x\nMAIL FROM:<a\@example.org>\n" .
	    "RCPT TO:<b\@example.com>\n");
	$c->expect(qr/^250-/, 'taken with normalize');
	$c->expect(qr/^250 /) for 1 .. 2;
	is(($mta->commands(qr/RCPT/))[-1], 'RCPT TO:<b@example.com>',
	    'and sent on with CR LF');

	my $some = Proxy->start(backend => $mta->address,
	    set => { 'normalize-from' => ['127.0.0.5'] });
	$c = $some->client(from => '127.0.0.5');
	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354/);
	$c->octets("a\nb\r\n.\r\n");
	$c->expect(qr/^250 /, 'normalize-from this client');
	is($mta->last->{content}, "a\r\nb\r\n", 'canonical');
	$c = $some->client(from => '127.0.0.6');
	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354/);
	$c->octets("a\nb\r\n.\r\n");
	$c->expect(qr/^550 5\.5\.2/, 'and from no other');
};

subtest 'input before the 354' => sub {
	my $mta = $backend{DATA};
	my $proxy = Proxy->start(backend => $mta->address);

	for my $early ("x\r\n.\r\n", "NOOP\r\n", "\r\n", ".") {
		my $c = $proxy->client;
		$mta->forget;
		$c->hello;
		$c->octets("MAIL FROM:<a\@example.org>\r\n" .
		    "RCPT TO:<b\@example.com>\r\nDATA\r\n$early");
		$c->expect(qr/^250 /) for 1 .. 2;
		$c->expect(qr/^554 5\.5\.0/, shown($early));
		is($c->expect_close('closed'), '', 'one reply');
		is(scalar $mta->messages, 0, 'nothing was sent');
	}
};

done_testing;
