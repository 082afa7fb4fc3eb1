#!/usr/bin/perl
# A client has client-timeout for a command and min-data-rate for a message,
# however it trickles; then 421 4.4.2, or the connection is closed.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use Backend;
use Cert;
use Proxy;
use Wait;

my $mta  = Backend->start('RCPT TO:<slow@' => { hold => 'slow',
    reply => '250 2.1.5 at last' });
my $proxy = start();

# client-timeout is 5 minutes and min-data-rate 500 octets a second.
sub start
{
	my (%set) = @_;
	my $path = tempdir(CLEANUP => 1) . '/s';
	my $p = Proxy->start(backend => $mta->address,
	    listen => [{ address => "unix:$path" }],
	    set => { 'error-limit' => 1000, 'drain-timeout' => '1s',
		# The backend hears a NOOP while content trickles; its reply
		# need not come before we move the clock again.
		'mail-timeout' => '1h', %set });

	$p->{socket} = $path;
	return $p;
}

# Over a unix socket it is known what the proxy has read before time passes.
sub client { return Client->connect(unix => ($_[0] // $proxy)->{socket}); }

# Time passes, and what is due then has been done: the worker has gone through
# its loop again.
sub later
{
	my ($ms, $p) = @_;

	$p //= $proxy;
	$p->clock($ms);
	$p->control('sessions') for 1 .. 2;
}

sub timed_out
{
	my ($c, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->expect(qr/^421 4\.4\.2 /, "$name: 421 4.4.2");
	is($c->expect_close("$name: closed"), '', "$name: nothing after it");
	$c->close;
}

# Time passes, and nothing happens.
sub alive
{
	my ($c, $ms, $name) = @_;

	later($ms);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->expect_nothing("$name: still patient");
}

subtest 'silence' => sub {
	my %until = (
		'after the banner' => [],
		'after EHLO' => ['EHLO x'],
		'after MAIL' => ['EHLO x', 'MAIL FROM:<a@example.org>'],
		'after RCPT' => ['EHLO x', 'MAIL FROM:<a@example.org>',
		    'RCPT TO:<b@example.com>'],
		'after 354' => ['EHLO x', 'MAIL FROM:<a@example.org>',
		    'RCPT TO:<b@example.com>', 'DATA'],
	);

	for my $where (sort keys %until) {
		my $c = client();
		$c->greeting;
		for (@{$until{$where}}) {
			$c->send($_);
			$c->expect(qr/^[23]/, $_);
		}
		alive($c, 299_000, $where);
		$proxy->clock(2_000);
		timed_out($c, $where);
	}
	is(scalar $mta->messages, 0, 'nothing was delivered');
	is(scalar $mta->commands(qr/^(?:DATA|BDAT)/), 0, 'nor begun');
};

subtest 'a command, octet by octet' => sub {
	my $c = client();

	$c->greeting;
	for my $octet (split //, 'EHLO ') {
		$c->apart($octet);
		alive($c, 59_000, 'trickling');
	}
	$c->apart('x');
	$proxy->clock(10_000);
	timed_out($c, 'five minutes after the banner');

	$c = client();
	$c->hello;
	for (1 .. 5) {
		$proxy->clock(200_000);
		$c->send('NOOP');
		$c->expect(qr/^250 /, 'each complete command has its own time');
	}
};

subtest 'a line that is too long, octet by octet' => sub {
	my $c = client();

	$c->hello;
	$c->apart('NOOP ' . 'x' x 20_000);
	for (1 .. 5) {
		$proxy->clock(59_000);
		$c->apart('x' x 10);
	}
	$proxy->clock(59_000);
	timed_out($c, 'what is thrown away buys no time');
};

subtest 'a group, one command at a time' => sub {
	my $c = client();

	$c->hello;
	for my $line ('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>') {
		$c->apart("$line\r");
		alive($c, 250_000, $line);
		$c->apart("\n");
		$c->expect(qr/^250 /, $line);
	}
	$c->apart('DAT');
	$proxy->clock(301_000);
	timed_out($c, 'the last one is not complete');
};

subtest 'content below min-data-rate' => sub {
	for my $bdat (0, 1) {
		my $c = client();
		my $seconds = 0;
		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		if ($bdat) {
			$c->send('BDAT 1000000 LAST');
		} else {
			$c->send('DATA');
			$c->expect(qr/^354 /);
		}
		# 10 octets in 30 seconds earn 20 milliseconds.
		while ($seconds < 600) {
			$c->apart("x" x 8 . "\r\n") or last;
			later(30_000);
			$seconds += 30;
			last if Wait::wait_readable($c->{fh}, 0);
		}
		cmp_ok($seconds, '>=', 270, 'five minutes to begin with');
		cmp_ok($seconds, '<=', 330, 'but no more');
		timed_out($c, $bdat ? 'BDAT' : 'DATA');
		is(scalar $mta->messages, 0, 'nothing was delivered');
	}
};

subtest 'content above min-data-rate' => sub {
	for my $bdat (0, 1) {
		my $c = client();
		my $piece = ('x' x 998 . "\r\n") x 30;	# for a minute
		$mta->forget;
		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		if ($bdat) {
			$c->send('BDAT 450000 LAST');
		} else {
			$c->send('DATA');
			$c->expect(qr/^354 /);
		}
		for (1 .. 15) {
			$c->apart($piece);
			$proxy->clock(59_000);
		}
		$c->send('.') if !$bdat;
		$c->expect(qr/^250 2\.0\.0 queued/, 'a quarter of an hour');
		ok($mta->last->{content} eq $piece x 15, 'all of it');
	}
};

subtest 'a stock of time is not for ever' => sub {
	my $c = client();

	# Two megabytes at once are worth more than an hour.
	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354 /);
	$c->apart(('x' x 998 . "\r\n") x 2000);
	alive($c, 299_000, 'five minutes');
	$proxy->clock(2_000);
	timed_out($c, 'and not six');
};

subtest 'any rate will do' => sub {
	my $p = start('min-data-rate' => 0);
	my $c = client($p);

	$mta->forget;
	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354 /);
	for my $n (1 .. 20) {
		$c->apart("x\r\n");
		# So that the backend keeps its patience, too. Its reply is
		# here before time passes: one turn there, two in the worker.
		ok(Wait::wait_until(sub {
			return grep({ ($_->{line} // '') eq 'NOOP' }
			    @{$mta->{events}}) == $n - 1;
		}), 'a NOOP for each') if $n > 1;
		$mta->set;
		$p->control('sessions') for 1 .. 2;
		later(250_000, $p);
	}
	$c->send('.');
	$c->expect(qr/^250 2\.0\.0 queued/, 'nearly an hour');
};

subtest 'AUTH, and TLS, stand still' => sub {
	my $auth = Backend->start(auth => 'PLAIN LOGIN');
	my $p = Proxy->start(backend => $auth->address, tls => Cert->shared,
	    set => { 'auth-without-tls' => 'true' },
	    listen => [{}, { address => '127.0.0.2:0', tls => 'implicit' }]);
	my $c = $p->client;

	$c->hello;
	$c->send('AUTH LOGIN');
	$c->expect(qr/^334 /);
	$c->octets('YWxp');
	$p->clock(301_000);
	timed_out($c, 'AUTH');

	$c = $p->client;
	$c->hello;
	$c->send('STARTTLS');
	$c->expect(qr/^220 /);
	$p->clock(301_000);
	is($c->expect_close('handshake'), '', 'no plain text any more');
	$c = $p->client(listener => 1);
	$p->log_like(qr/ connect .*listener=127\.0\.0\.2/, 'connected');
	$p->clock(301_000);
	is($c->expect_close('implicit'), '', 'no plain text at all');
};

# While the backend thinks it is not the client that is slow.
subtest 'the client waits for us' => sub {
	my $c = client();

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<slow@example.com>');
	$c->expect(qr/^250 /);
	ok($mta->wait_held('slow'), 'the backend takes its time');
	alive($c, 290_000, 'while it does');
	$mta->release('slow');
	$c->expect(qr/^250 2\.1\.5 at last/, 'and then');
	alive($c, 290_000, 'its time starts anew');
	$mta->set(LAST => { hold => 'end', reply => '250 2.0.0 queued late' });
	$c->message("x\r\n");
	ok($mta->wait_held('end'), 'the end of the message');
	alive($c, 9 * 60_000, 'nine minutes');
	$mta->release('end');
	$mta->unset('LAST');
	$c->expect(qr/^250 2\.0\.0 queued late/, 'and then');
	alive($c, 290_000, 'and the session goes on');
};

# A client that sends and does not read: we stop reading, and then it ends.
subtest 'replies are not read' => sub {
	my $p = start('junk-command-limit' => 1_000_000);
	my $c = client($p);
	my $sent = 0;
	my $noop = "VRFY x\r\n" x 500;

	$c->hello;
	while ($sent < 50_000_000) {
		my $n = syswrite $c->{fh}, $noop;
		if (!defined $n) {
			last if !Wait::wait_writable($c->{fh}, 0.2);
			next;
		}
		$sent += $n;
	}
	cmp_ok($sent, '<', 10_000_000, 'we stop reading');
	my ($pid) = $p->workers;
	open my $in, '<', "/proc/$pid/status" or die "status: $!";
	my ($rss) = join('', <$in>) =~ /^VmRSS:\s*(\d+)/m;
	cmp_ok($rss, '<', 200_000, 'bounded memory');
	my $d = client($p);
	$d->hello;
	later(301_000, $p);
	timed_out($d, 'the other one, which was silent as well');
	# Its last words cannot leave; then it is given 2 seconds to read them.
	later(3_000, $p);
	$p->log_like(qr/ close reason="client sent nothing/, 'it ends');
	is($p->control('sessions'), "ok 0\n", 'none is left');
};

done_testing;
