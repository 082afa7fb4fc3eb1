#!/usr/bin/perl
# A client that a rule lets wait may pipeline, leave, say QUIT or be cut off by
# a shutdown; it has its replies in order, and nobody else waits with it.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Policy;

my $mta = Backend->start;
my %policy = map { $_ => "at $_\n    delay 40s\n    delay 10s\n" }
    qw(connect helo mail rcpt data header body eom);

my @stages = qw(connect helo mail rcpt data header body eom);

# Another session of the same worker, by the listener without rules.
sub somebody
{
	my ($p) = @_;
	my $c = $p->client(listener => scalar @stages);

	$c->hello;
	$c->deliver('other@example.org', 'b@example.com');
	$c->close;
}

my $p = Policy::each([map({ $policy{$_} } @stages), "at rcpt\n    accept\n"],
    backend => $mta->address);

for my $n (0 .. $#stages) {
	my $stage = $stages[$n];

	subtest "at $stage" => sub {
		my $c = $p->client(listener => $n);
		my $wait = sub {
			my ($at, $times) = @_;
			return if $at ne $stage;
			for (1 .. $times // 1) {
				somebody($p);
				$c->expect_nothing;
				$p->clock(39_000);
				somebody($p);
				$c->expect_nothing;
				$p->clock(1_000);
			}
		};

		$mta->forget;
		$wait->('connect');
		$c->greeting;
		$c->send('EHLO c.example');
		$wait->('helo');
		$c->expect(qr/^250/, 'EHLO');
		$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>',
		    'RCPT TO:<c@example.com>', 'DATA');
		$wait->('mail');
		$c->expect(qr/^250/, 'MAIL');
		$wait->('rcpt');
		$c->expect(qr/^250/, 'one recipient');
		$wait->('rcpt');
		$c->expect(qr/^250/, 'the other');
		$wait->('data');
		$c->expect(qr/^354/, 'DATA');
		$c->send('Subject: x', '', 'one line', '.', 'NOOP', 'QUIT');
		$wait->($_) for qw(header body eom);
		$c->expect($_) for qr/^250 2\.0\.0 queued/, qr/^250/, qr/^221/;
		is($c->expect_close, '', 'and that is all');
		is((grep { @{$_->{rcpts}} == 2 } $mta->messages), 1, 'once');
	};
}

subtest 'who leaves meanwhile' => sub {
	for my $how (qw(close reset)) {
		my $c = $p->client(listener => 3);
		$mta->forget;
		$c->hello;
		$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<left@example.com>',
		    'DATA');
		$c->expect(qr/^250/);
		somebody($p);
		my $port = $c->port;
		$c->$how;
		my $id = ($p->log_like(qr/ connect client=127\.0\.0\.1:$port /)
		    =~ / (\w+) connect /)[0];
		# A FIN alone may come from a client that still reads.
		$p->clock(40_000) if $how eq 'close';
		$p->log_like(qr/ $id close reason=/, "$how ends the session");
		is(scalar $mta->messages, 1, 'there was no message but the other');
	}
};

subtest 'QUIT meanwhile' => sub {
	my $c = $p->client(listener => 3);

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250/);
	$c->send('QUIT');
	$c->half_close;
	somebody($p);
	$c->expect_nothing;
	$p->clock(40_000);
	$c->expect(qr/^250/, 'the recipient');
	$c->expect(qr/^221/, 'QUIT');
};

subtest 'too long is a mistake; two filters wait one after the other' => sub {
	my $q = Policy::each(["at rcpt\n    delay 5m\n"], backend => $mta->address,
	    late => "at rcpt\n    delay 5m\n");
	my $c = $q->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>', 'NOOP');
	$c->expect(qr/^250/);
	for (1, 2) {
		$c->expect_nothing;
		$q->clock(300_000);
	}
	$c->expect(qr/^250/, 'ten minutes') for 1 .. 2;
};

subtest 'SIGTERM meanwhile' => sub {
	my $q = Policy::start("at rcpt\n    delay 40s\n    reject \"no\" " .
	    "if rcpt.local is \"bad\"\n", backend => $mta->address,
	    set => { 'drain-timeout' => '60s' });
	my $c = $q->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<bad@example.com>',
	    'RCPT TO:<b@example.com>', 'NOOP');
	$c->expect(qr/^250/);
	$q->signal('TERM');
	$q->log_like(qr/ stopping /);
	$c->expect_nothing;
	$q->clock(40_000);
	$c->expect(qr/^550/, 'what has begun has its reply');
	my ($code, $text) = $c->reply;
	if ($code == 250) {
		$q->clock(40_000);
		($code, $text) = $c->reply;
	}
	is($code, 421, 'then it is over');
	like($text, qr/^421 4\.3\.2/, 'in the words for it');
	is($c->expect_close, '', 'closed');
	ok($q->wait_end, 'and the daemon ends');
};

subtest 'SIGTERM, and the drain is shorter than the delay' => sub {
	my $q = Policy::start("at rcpt\n    delay 5m\n", backend => $mta->address,
	    set => { 'drain-timeout' => '60s' });
	my $c = $q->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250/);
	$q->signal('TERM');
	$q->log_like(qr/ stopping /);
	$c->expect_nothing;
	$q->clock(60_000);
	$c->expect_close('closed');
	ok($q->wait_end, 'the daemon does not wait longer');
};

done_testing;
