#!/usr/bin/perl
# SIGTERM while a session is anywhere: what has begun of a message is completed
# and answered, then 421 4.3.2; who stands idle is told at once; nothing is
# lost, and drain-timeout is the end of it. SIGHUP does the same to old
# sessions, but only after drain-timeout; until then they do not notice.
use strict;
use warnings;
use lib 't/lib';
use MIME::Base64;
use Test::More;
use Backend;
use Cert;
use Proxy;
use Wait;

my $content = "Subject: x\r\n\r\nhello\r\n";

# Bring a session to each place, and what it does when the signal was given:
# the replies it must get. "now": 421 comes by itself.
my %place = (
	banner => { lines => [], now => 1 },
	EHLO => { lines => ['EHLO x'], now => 1 },
	MAIL => { lines => ['EHLO x', 'MAIL FROM:<a@example.org>'], now => 1 },
	RCPT => { lines => ['EHLO x', 'MAIL FROM:<a@example.org>',
	    'RCPT TO:<b@example.com>'], now => 1 },
	AUTH => { lines => ['EHLO x', 'AUTH LOGIN'], now => 1 },
	'between chunks' => { lines => ['EHLO x', 'MAIL FROM:<a@example.org>',
	    'RCPT TO:<b@example.com>', "BDAT 5\r\none"], now => 1 },
	'after 354' => { lines => ['EHLO x', 'MAIL FROM:<a@example.org>',
	    'RCPT TO:<b@example.com>', 'DATA'],
	    then => "$content.\r\n", like => [qr/^250 2\.0\.0 queued/] },
	'in content' => { lines => ['EHLO x', 'MAIL FROM:<a@example.org>',
	    'RCPT TO:<b@example.com>', 'DATA'], half => 'Subject: x',
	    then => "\r\n\r\nhello\r\n.\r\n",
	    like => [qr/^250 2\.0\.0 queued/] },
	'in a chunk' => { lines => ['EHLO x', 'MAIL FROM:<a@example.org>',
	    'RCPT TO:<b@example.com>'], half => 'BDAT ' . length($content) .
	    " LAST\r\nSubject: x", then => "\r\n\r\nhello\r\n",
	    like => [qr/^250 2\.0\.0 queued/] },
	'RCPT at the backend' => { lines => ['EHLO x',
	    'MAIL FROM:<a@example.org>'], half => "RCPT TO:<slow\@x.example>" .
	    "\r\n", hold => 'RCPT TO:<slow', like => [qr/^250 2\.1\.5 late/] },
	'a group at the backend' => { lines => ['EHLO x'],
	    half => "MAIL FROM:<a\@example.org>\r\nRCPT TO:<slow\@x.example>" .
	    "\r\nRCPT TO:<b\@example.com>\r\nDATA\r\n",
	    hold => 'RCPT TO:<slow', like => [qr/^250 2\.1\.0/,
	    qr/^250 2\.1\.5 late/, qr/^250 2\.1\.5/] },
	'the end at the backend' => { lines => ['EHLO x',
	    'MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>', 'DATA'],
	    half => "$content.\r\n", hold => 'LAST',
	    like => [qr/^250 2\.1\.5 late/] },
	'EHLO at the backend' => { lines => ['EHLO x',
	    'MAIL FROM:<a@example.org>'], half => "RCPT TO:<b\@example.com>" .
	    "\r\n", hold => 'EHLO', like => [qr/^250 2\.1\.5/] },
);

# A session at this place of a proxy of its own.
sub at
{
	my ($name, %set) = @_;
	my $p = $place{$name};
	my $mta = Backend->start(auth => 'PLAIN LOGIN');
	my $proxy = Proxy->start(backend => $mta->address, tls => Cert->shared,
	    set => { 'auth-without-tls' => 'true', %set });
	my $c = $proxy->client;

	if ($p->{hold} && $p->{hold} eq 'EHLO') {
		# The probe was first, and that of the next worker is not held.
		my $ehlo = "250 x\nPIPELINING\nCHUNKING";
		$c->hello('probe.example');
		$mta->set(EHLO => [{ hold => 'late', reply => $ehlo }, $ehlo]);
	} elsif ($p->{hold}) {
		$mta->set($p->{hold} => { hold => 'late',
		    reply => '250 2.1.5 late' });
	}
	$c->greeting unless $c->{greeted};
	for (@{$p->{lines}}) {
		$c->send($_);
		$c->expect(qr/^[23]\d\d/, "$name: " . (split /\r/)[0]);
	}
	$c->octets($p->{half}) if $p->{half};
	ok($mta->wait_held('late'), "$name: held") if $p->{hold};
	return ($mta, $proxy, $c);
}

sub finish
{
	my ($name, $mta, $c) = @_;
	my $p = $place{$name};

	if (!$p->{now}) {
		$c->expect_nothing("$name: nothing is cut off") if !$p->{half}
		    || $p->{half} !~ /\AMAIL/;
		$mta->release('late') if $p->{hold};
		$c->octets($p->{then}) if $p->{then};
		$c->expect($_, "$name: completed") for @{$p->{like}};
	}
	$c->expect(qr/^421 4\.3\.2 /, "$name: 421");
	is($c->expect_close("$name: closed"), '', "$name: nothing after it");
	my $delivered = grep { /queued|late/ && $p->{half} !~ /RCPT/ }
	    @{$p->{like} // []};
	my @m = $mta->messages;
	is(scalar @m, $delivered ? 1 : 0, "$name: delivered or not");
	is($m[0]{content}, $content, "$name: whole") if @m;
	$c->close;
}

for my $name (sort keys %place) {
	$place{$name}{half} //= '';
	subtest "SIGTERM: $name" => sub {
		my ($mta, $proxy, $c) = at($name);
		my $port = $proxy->port;

		$proxy->signal('TERM');
		$proxy->log_like(qr/\bstopping\b/, 'it stops');
		# That is the master; the worker knows when nobody listens.
		ok(Wait::poll(sub {
			return !eval { Client->connect(port => $port) };
		}), 'nobody listens');
		finish($name, $mta, $c);
		ok($proxy->wait_end, 'and ends');
		is($proxy->{status}, 0, 'with 0');
	};
	subtest "SIGHUP: $name" => sub {
		my ($mta, $proxy, $c) = at($name);
		my ($old) = $proxy->workers;

		$proxy->signal('HUP');
		$proxy->log_like(qr/\breloaded\b/, 'it reloads');
		my $d = $proxy->client;
		$d->hello;
		$d->quit;
		$c->expect_nothing("$name: nobody is told")
		    if $name !~ /group/;
		$proxy->clock(31_000);
		finish($name, $mta, $c);
		$proxy->log_like(qr/worker-done pid=$old\b/,
		    'the old worker ends');
		$mta->unset('LAST', 'EHLO');
		$mta->forget;
		my $next = $proxy->client;
		$next->hello;
		$next->deliver('a@example.org', 'b@example.com', $content);
		is(scalar $mta->messages, 1, 'the new one works');
	};
}

subtest 'SIGHUP: until then' => sub {
	my ($mta, $proxy, $c) = at('after 354');
	my ($old) = $proxy->workers;

	$proxy->signal('HUP');
	$proxy->log_like(qr/\breloaded\b/, 'it reloads');
	$c->octets("$content.\r\n");
	$c->expect(qr/^250 2\.0\.0 queued/, 'completed');
	$c->deliver('a@example.org', 'c@example.com', $content) for 1 .. 3;
	is(scalar $mta->messages, 4, 'and more messages');
	$c->quit;
	$proxy->log_like(qr/worker-done pid=$old\b/,
	    'the old worker ends with it');
};

# A handshake under way: nothing was said yet that could be answered.
subtest 'in a handshake' => sub {
	my ($mta, $proxy, $c) = at('EHLO', 'drain-timeout' => '20s');

	$c->send('STARTTLS');
	$c->expect(qr/^220 /);
	$proxy->signal('TERM');
	$proxy->log_like(qr/\bstopping\b/);
	ok($c->handshake, 'may be completed');
	$c->expect(qr/^421 4\.3\.2 /, 'then 421, encrypted');
	$c->close;
	ok($proxy->wait_end, 'and it ends');
	is($proxy->{status}, 0, 'with 0');
};

subtest 'drain-timeout' => sub {
	for my $name ('in content', 'in a chunk', 'the end at the backend',
	    'RCPT at the backend') {
		my ($mta, $proxy, $c) = at($name, 'drain-timeout' => '30s');

		$proxy->signal('TERM');
		$proxy->log_like(qr/\bstopping\b/);
		$proxy->clock(29_000);
		$c->expect_nothing("$name: within the time");
		$proxy->clock(2_000);
		my $rest = $c->expect_close("$name: closed");
		like($rest, qr/\A421 4\.3\.2 [^\r\n]*\r\n\z/, 'with 421');
		$c->close;
		ok($proxy->wait_end, 'and it ends');
		is($proxy->{status}, 0, 'with 0');
		is(scalar $mta->messages, $name =~ /end/ ? 1 : 0,
		    'nothing was made up') if $name !~ /end/;
		# The backend gets no end of what has none.
		is(scalar $mta->commands(qr/^(?:DATA|BDAT)/), 0, 'nor begun')
		    if $name =~ /content|chunk/;
	}
};

# Many sessions, signals in quick succession, and traffic all the time.
subtest 'reloads under traffic' => sub {
	my $mta = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { workers => 2 });
	my ($sent, $told, $failed) = (0, 0, '');

	for my $round (1 .. 30) {
		$proxy->signal('HUP') if $round % 3 == 0;
		my $c = $proxy->client;
		my $octets = "EHLO x\r\n" . join '', map {
			my $id = "r$round.$_\r\n";
			"MAIL FROM:<a\@example.org>\r\n" .
			"RCPT TO:<b\@example.com>\r\nBDAT " . length($id) .
			" LAST\r\n$id";
		} 1 .. 5;
		$c->octets($octets);
		for (my $left = 5; $left > 0; ) {
			my ($code, $text) = $c->reply;
			$left--, $sent++ if $text =~ /queued/;
			next if $code =~ /^2/;
			$told++ if $text =~ /^421 4\.3\.2/;
			$failed ||= $text if $text !~ /^421 4\.3\.2/;
			last;
		}
		$c->close;
	}
	is($failed, '', 'nobody is cut off without 421');
	is(scalar $mta->messages, $sent, "$sent promised, $told told to go");
	my %copies;
	$copies{$_->{content}}++ for $mta->messages;
	is(scalar(grep { $_ > 1 } values %copies), 0, 'none is there twice');
	cmp_ok($sent, '>', 50, 'most get through');
};

done_testing;
