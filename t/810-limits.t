#!/usr/bin/perl
# Everything has a limit with its reply, and who reaches one loses his own
# session at most.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my $mta = Backend->start;

sub start
{
	my (%set) = @_;

	return Proxy->start(backend => $mta->address, set => {%set});
}

my $proxy = start('error-limit' => 10_000,
    'junk-command-limit' => 1_000_000);

# Bystanders: whatever happens to others, this one goes on.
my $bystander = $proxy->client;
$bystander->hello;

subtest 'command lines' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->send('NOOP ' . 'x' x 500);
	$c->expect(qr/^250 /, '507 octets');
	for my $length (2000, 5000, 20_000, 60_000) {
		$c->send('NOOP ' . 'x' x $length);
		$c->expect(qr/^500 5\.5\.[26]/, "$length octets");
	}
	$c->send('NOOP');
	$c->expect(qr/^250 /, 'the session goes on');
	$c->expect_nothing('with one reply to each line');
	$c->octets('x' x 1_000_000);
	$c->expect(qr/^(?:421|500) /, 'a line without end');
	$c->expect_close('is not listened to');
};

subtest 'the longest line of each extension' => sub {
	my $c = $proxy->client;
	my $local = 'l' x 64;
	my $domain = join '.', ('d' x 61) x 3;

	$c->hello;
	$c->send("MAIL FROM:<$local\@$domain> SIZE=1000 BODY=8BITMIME " .
	    'SMTPUTF8 RET=HDRS ENVID=' . 'e' x 100,
	    "RCPT TO:<$local\@$domain> NOTIFY=SUCCESS,FAILURE,DELAY " .
	    'ORCPT=rfc822;' . 'o' x 493);
	$c->expect(qr/^250 /) for 1 .. 2;
};

subtest 'text lines' => sub {
	for my $length (998, 5000, 100_000, 3_000_000) {
		my $c = $proxy->client;
		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		$c->message('x' x $length . "\r\n");
		my ($code, $text) = $c->reply;
		like($text, $length > 998 ? qr/^(?:250 |55[04] 5\.6\.0)/ :
		    qr/^250 /, "$length octets");
		ok($mta->last->{content} eq 'x' x $length . "\r\n", 'whole')
		    if $code == 250;
	}
};

subtest 'size of the message' => sub {
	my $p = start('message-size-limit' => 10_000);
	my $c = $p->client;

	is($c->hello->{SIZE}, 10_000, 'SIZE');
	$c->send('MAIL FROM:<a@example.org> SIZE=10001');
	$c->expect(qr/^552 5\.3\.4/, 'by SIZE');
	for (['exactly', 10_000, qr/^250 /], ['over', 10_001, qr/^552 5\.3\.4/],
	    ['far over', 1_000_000, qr/^552 5\.3\.4/]) {
		my ($name, $size, $like) = @$_;
		$c->envelope('a@example.org', 'b@example.com');
		$c->message(('.' . 'x' x 97 . "\r\n") x int($size / 100) .
		    'y' x ($size % 100 ? $size % 100 - 2 : 0) .
		    ($size % 100 ? "\r\n" : ''))
		    if $size % 100 != 1;
		if ($size % 100 == 1) {
			$c->message(('.' . 'x' x 97 . "\r\n") x
			    (int($size / 100) - 1) . 'x' x 99 . "\r\n");
		}
		$c->expect($like, "$name: dots that were added do not count");
	}
	$c->deliver('a@example.org', 'b@example.com');
};

subtest "the backend's SIZE" => sub {
	my $small = Backend->start(extensions => ['PIPELINING', 'SIZE 1000']);
	my $p = Proxy->start(backend => $small->address);
	my $c = $p->client;

	is($c->hello->{SIZE}, 1000, 'the smaller one is offered');
	$c->envelope('a@example.org', 'b@example.com');
	$c->message("x\r\n" x 1000);
	$c->expect(qr/^552 5\.3\.4/, 'and holds');
	is(scalar $small->commands(qr/^DATA/), 0, 'without asking it');
};

subtest 'errors' => sub {
	my $p = start('error-limit' => 5);
	my $c = $p->client;

	$c->hello;
	$c->send(('XXXX') x 10);
	$c->expect(qr/^500 5\.5\.2/, 'an error') for 1 .. 4;
	my (undef, $text) = $c->reply;
	(undef, $text) = $c->reply if $text =~ /^500/;
	like($text, qr/^421 4\.7\.0/, 'one too many');
	is($c->expect_close, '', 'nothing after 421');
	$c->close;
	$c = start()->client;
	$c->hello;
	$c->send(('XXXX') x 19);
	$c->expect(qr/^500 /) for 1 .. 19;
	$c->send('NOOP');
	$c->expect(qr/^250 /, 'nineteen are borne by default');
	$c->send('XXXX', 'NOOP');
	$c->expect(qr/^500 /);
	$c->expect(qr/^421 4\.7\.0/, 'twenty are not');
	$c->expect_close;
	$c->close;
};

subtest 'junk' => sub {
	my $c = start()->client;
	my $n = 0;

	$c->hello;
	$c->send(('NOOP', 'RSET', 'VRFY x') x 100);
	while (1) {
		my ($code) = $c->reply;
		last if $code == 421 || $code == 0;
		$n++;
	}
	ok($n >= 100 && $n < 200, 'a hundred or so without a message') or
	    diag($n);
	$c->expect_close;
	$c->close;
	my $d = start()->client;
	$d->hello;
	for (1 .. 30) {
		$d->deliver('a@example.org', 'b@example.com');
		$d->send('NOOP', 'RSET', 'NOOP', 'RSET');
		$d->expect(qr/^250 /) for 1 .. 4;
	}
};

subtest 'sessions' => sub {
	my $p = start('session-limit' => 3);
	my @c = map { $p->client } 1 .. 3;

	$_->hello for @c;
	my $waiting = $p->client;
	# An answer of a session that was accepted before: had the fourth one
	# been accepted, its banner would be there.
	$c[0]->send('NOOP');
	$c[0]->expect(qr/^250 /);
	$waiting->expect_nothing('the fourth waits in the queue');
	$c[1]->quit;
	$waiting->hello;
	$waiting->deliver('a@example.org', 'b@example.com');
};

subtest 'sessions with the backend' => sub {
	my $held = Backend->start(RCPT => { hold => 'rcpt',
	    reply => '250 2.1.5 ok' });
	my $p = Proxy->start(backend => $held->address,
	    mta => { 'max-sessions' => 2 });
	my @c = map { $p->client } 1 .. 4;

	$_->hello for @c;
	$_->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>')
	    for @c;
	$_->expect(qr/^250 /) for @c;
	Wait::wait_until(sub {
		my %c = map { $_->{conn} => 1 } grep { $_->{line} =~ /^RCPT/ }
		    $held->events('command');
		return keys %c == 2;
	}) or fail('two sessions ask');
	$held->set(RCPT => '250 2.1.5 ok');
	$held->release('rcpt');
	my @order;
	# Whoever is served leaves, and makes room.
	my %open = map { $_ => $c[$_] } 0 .. 3;
	for (1 .. 4) {
		my $ready = Wait::wait_until(sub {
			for my $i (sort keys %open) {
				my $c = $open{$i};
				$c->fill(0) unless length $c->{in};
				return "c$i" if length $c->{in};
			}
			return undef;
		}) or last;
		my ($i) = $ready =~ /(\d)/;
		my $c = delete $open{$i};
		$c->expect(qr/^250 2\.1\.5/, "client $i");
		$c->quit;
	}
	is(scalar keys %open, 0, 'all were served');
	my %conns = map { $_->{conn} => 1 } grep { $_->{line} =~ /^MAIL/ }
	    $held->events('command');
	ok(keys %conns <= 4, 'over few connections');
};

subtest 'a client that does not read' => sub {
	my $c = $proxy->client;

	$c->hello;
	# Far more replies than any buffer holds. It is not read any more when
	# nothing can be sent although the others had a hundred turns.
	my $octets = "VRFY x\r\n" x 1000;
	my $most = 8000 * length $octets;
	my ($sent, $turns) = (0, 0);
	while ($sent < $most && $turns < 100) {
		my $n = syswrite $c->{fh}, $octets;
		if (defined $n) {
			$sent += $n;
			$turns = 0;
			next;
		}
		last unless Wait::again();
		$turns++;
		$bystander->send('NOOP');
		$bystander->reply;
	}
	is($turns, 100, 'is not read either');
	$bystander->send('NOOP');
	$bystander->expect(qr/^250 /, 'the others go on');
	my $lines = 0;
	while ($lines < int($sent / 8)) {
		my ($code) = $c->reply;
		last if $code != 252;
		$lines++;
	}
	is($lines, int($sent / 8), 'when it reads, no reply is missing');
	$c->reset;
};

$bystander->deliver('a@example.org', 'b@example.com');

done_testing;
