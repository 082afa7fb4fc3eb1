#!/usr/bin/perl
# A worker may die: another one takes its place, who waits is served, and the
# sessions of the other workers do not notice.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;
use Wait;

my $mta = Backend->start;

# The workers, when there are $n and none of @not is among them.
sub workers
{
	my ($proxy, $n, @not) = @_;
	my %not = map { $_ => 1 } @not;

	return @{Wait::poll(sub {
		my @now = $proxy->workers;
		return @now == $n && !grep({ $not{$_} } @now) ? \@now : undef;
	}) // []};
}

subtest 'a worker dies' => sub {
	my $proxy = Proxy->start(backend => $mta->address, crashes => 1,
	    set => { workers => 1 });
	my ($old) = $proxy->workers;
	my $lost = $proxy->client;

	$lost->hello;
	kill 'KILL', $old;
	# At once: nobody may be there to accept it.
	my $next = $proxy->client;
	$next->hello;
	$lost->expect_close('its session is gone');
	$proxy->log_like(qr/worker-died pid=$old slot=0 signal=9 /, 'logged');
	my ($new) = workers($proxy, 1, $old);
	ok($new, 'there is a new one');
	$next->deliver('a@example.org', 'b@example.com');
	$next->quit;
	is($proxy->stop, 0, 'stops with 0');
};

subtest 'the others go on' => sub {
	my $proxy = Proxy->start(backend => $mta->address, crashes => 1,
	    set => { workers => 3 });
	my @old = $proxy->workers;
	my @clients = map { $proxy->client } 1 .. 30;

	$_->greeting for @clients;
	like($proxy->control('sessions'), qr/^ok 30$/, 'sessions of all');
	kill 'KILL', $old[1];
	my @new = workers($proxy, 3, $old[1]);
	is_deeply([@new[0, 2]], [@old[0, 2]], 'in the place of the dead one');
	my $left = 0;
	for my $c (@clients) {
		$c->send('NOOP');
		my ($code) = $c->reply;
		$left++ if $code == 250;
	}
	ok($left > 0 && $left < 30, 'some sessions are left, some are not');
	is($proxy->control('sessions'), "ok $left\n", 'as many as we see');
	$_->close for @clients;
	$proxy->client->greeting for 1 .. 20;
};

subtest 'signals are for the master' => sub {
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { workers => 2 });
	my @workers = $proxy->workers;
	my $c = $proxy->client;

	$c->hello;
	for my $signal (qw(TERM INT HUP USR1 USR2 PIPE)) {
		kill $signal, @workers;
	}
	$c->deliver('a@example.org', 'b@example.com');
	is_deeply([$proxy->workers], \@workers, 'they are still there');
	$proxy->log_unlike(qr/worker-died|stopping/, 'and nobody stops');
	$c->quit;
};

subtest 'they die all the time' => sub {
	my $proxy = Proxy->start(backend => $mta->address, crashes => 1,
	    set => { workers => 2 });
	my @all;

	for (1 .. 6) {
		my @now = workers($proxy, 2, @all);
		push @all, $now[0];
		kill 'KILL', $now[0];
	}
	$proxy->log_like(qr/worker-restart wait=1000ms/, 'a pause');
	$proxy->client->greeting;
	$proxy->clock(1_000);
	is(scalar workers($proxy, 2, @all), 2, 'and then two again');
	my $before = grep { /worker-restart/ } $proxy->log;
	$proxy->clock(10_000);
	push @all, ($proxy->workers)[0];
	kill 'KILL', $all[-1];
	is(scalar workers($proxy, 2, @all), 2, 'long ago: no pause');
	is(scalar(grep { /worker-restart/ } $proxy->log), $before, 'at all');
};

subtest 'the master dies' => sub {
	my $proxy = Proxy->start(backend => $mta->address, crashes => 1,
	    set => { workers => 2 });
	my $c = $proxy->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354 /, 'in the middle of a message');
	kill 'KILL', $proxy->{pid};
	$proxy->log_like(qr/the master is gone/, 'the workers notice');
	$c->octets("Subject: x\r\n\r\n.\r\n");
	$c->expect(qr/^250 /, 'the message goes through');
	$c->expect(qr/^421 4\.3\.2 /, 'and then');
	$c->close;
	ok($proxy->wait_end, 'all have ended');
	ok(!eval { $proxy->client }, 'nobody listens');
};

subtest 'a worker does not answer' => sub {
	my $proxy = Proxy->start(backend => $mta->address, crashes => 1,
	    set => { workers => 2 });
	my @workers = $proxy->workers;

	kill 'STOP', $workers[1];
	is($proxy->control('sessions'), "error a worker does not answer\n",
	    'said after a while');
	kill 'KILL', $workers[1];
	is(scalar workers($proxy, 2, $workers[1]), 2, 'it can be replaced');
	is($proxy->control('sessions'), "ok 0\n", 'and all is well');
};

done_testing;
