#!/usr/bin/perl
# kill -9 of a worker or of the backend, in the middle of each command: no
# message that got 250 is missing, the client sees 4xx or a closed connection,
# and the next session works.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;
use Wait;

my @plain    = ('PIPELINING');
my @chunking = ('PIPELINING', 'CHUNKING');

# Where the backend is made to wait, so that the kill falls into it.
my @points = (
	['CONNECT', \@plain], ['EHLO', \@plain], ['MAIL', \@plain],
	['RCPT', \@plain], ['DATA', \@plain], ['.', \@plain],
	['LAST', \@chunking], ['between', \@plain], ['content', \@plain],
	['chunk', \@chunking],
);

for my $victim ('worker', 'backend') {
	for (@points) {
		my ($where, $ext) = @$_;
		subtest "$victim, at $where" => sub {
			one($victim, $where, $ext);
		};
	}
}

# Play a session up to the point, kill, and look what the client was told.
sub one
{
	my ($victim, $where, $ext) = @_;
	my $mta   = Backend->start(extensions => $ext);
	my $proxy = Proxy->start(backend => $mta->address, crashes => 1);
	my $c     = $proxy->client;
	my %promised;

	# One message before, so that something could get lost.
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com', "id: before\r\n");
	$promised{before} = 1;
	if ($where =~ /CONNECT|EHLO|MAIL|RCPT|DATA|\.|LAST/) {
		my $reply = { CONNECT => '220 hi', EHLO => '250 hi',
		    DATA => '354 go' }->{$where} // '250 2.0.0 ok';
		$mta->set($where => { hold => 'here', reply => $reply });
		$mta->drop if $where =~ /CONNECT|EHLO/;
	}
	my $got = play($c, $mta, $where);
	if ($victim eq 'worker') {
		my ($pid) = $proxy->workers;
		kill 'KILL', $pid;
	} else {
		$mta->kill;
	}
	# What does the client hear now?
	if ($where eq 'between' || $where eq 'content' || $where eq 'chunk') {
		# It goes on as if nothing were.
		$c->send('MAIL FROM:<a@example.org>',
		    'RCPT TO:<b@example.com>') if $where eq 'between';
		$c->octets("rest\r\n.\r\n") if $where eq 'content';
		$c->octets("rest\r\n") if $where eq 'chunk';
	}
	my ($code, $text) = $c->reply;
	($code, $text) = $c->reply if $code == 250 && $text =~ /^250 2\.1\.0/;
	like($text, $victim eq 'worker' ? qr/^000 connection closed/ :
	    qr/^4\d\d 4\.|^000 connection closed/, "the client hears: $text");
	$promised{lost} = 1 if $code == 250;
	$c->close;

	# And now the next one.
	if ($victim eq 'backend') {
		$mta->unset($where);
		$mta->restart;
	} else {
		$mta->unset($where);
		$mta->release('here');
	}
	my $next = connect_again($proxy);
	ok($next, 'there is a worker again') or return;
	$next->hello;
	$next->deliver('a@example.org', 'b@example.com', "id: after\r\n");
	$promised{after} = 1;
	my %there;
	$there{$_}++ for map { $_->{content} =~ /^id: (\w+)/m ? $1 : () }
	    $mta->messages;
	is(join(' ', grep { !$there{$_} } sort keys %promised), '',
	    'nothing that was promised is missing');
	is(join(' ', grep { $there{$_} > 1 } sort keys %there), '',
	    'nothing is there twice');
}

# Bring the session to the point.
sub play
{
	my ($c, $mta, $where) = @_;

	return if $where eq 'between';
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	if ($where =~ /CONNECT|EHLO|MAIL|RCPT/) {
		ok($mta->wait_held('here'), "the backend is at $where");
		return;
	}
	$c->expect(qr/^250 /) for 1 .. 2;
	if ($where eq 'chunk') {
		$c->octets("BDAT 16 LAST\r\nid: lost\r\n");
		return;
	}
	$c->send('DATA');
	$c->expect(qr/^354/);
	if ($where eq 'content') {
		$c->octets("id: lost\r\n");
		return;
	}
	$c->octets("id: lost\r\n.\r\n");
	ok($mta->wait_held('here'), "the backend is at $where");
}

# The master starts another worker; until it listens, the kernel keeps our
# connection waiting or refuses it.
sub connect_again
{
	my ($proxy) = @_;

	return Wait::wait_until(sub {
		my $c = eval { $proxy->client } or return undef;
		return $c->fill ? $c : undef;
	});
}

# Many sessions at once, killed again and again: what was promised is there.
subtest 'in the middle of traffic' => sub {
	my $mta   = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address, crashes => 1,
	    set => { workers => 2 }, mta => { 'max-sessions' => 20 });
	my (%promised, @sessions);
	my $n = 0;

	for my $round (1 .. 6) {
		@sessions = grep { defined } map { connect_again($proxy) }
		    1 .. 10;
		for my $c (@sessions) {
			$c->send('EHLO x', 'MAIL FROM:<a@example.org>',
			    'RCPT TO:<b@example.com>', 'DATA');
		}
		for my $c (@sessions) {
			$c->{id} = ++$n;
			my $code = 0;
			for (1 .. 5) {
				($code) = $c->reply;
				last if $code == 354 || $code == 0;
			}
			$c->octets("id: n$c->{id}\r\n.\r\n") if $code == 354;
			# Some have sent all, some are under way.
			if ($c->{id} % 10 == 5) {
				my @workers = $proxy->workers;
				kill 'KILL', $workers[$round % @workers];
			}
		}
		for my $c (@sessions) {
			my ($code, $text) = $c->reply;
			($code, $text) = $c->reply while $code == 250 &&
			    $text !~ /queued/;
			$promised{"n$c->{id}"} = 1 if $code == 250;
			$c->close;
		}
	}
	my %there;
	$there{$_}++ for map { $_->{content} =~ /^id: (\w+)/m ? $1 : () }
	    $mta->messages;
	cmp_ok(scalar keys %promised, '>', 0, 'some were promised');
	is(join(' ', grep { !$there{$_} } sort keys %promised), '',
	    'and all of those are there');
	is(join(' ', grep { $there{$_} > 1 } sort keys %there), '',
	    'nothing is there twice');
	$proxy->log_like(qr/worker/, 'the master says what happened');
};

subtest 'the master' => sub {
	my $mta   = Backend->start(LAST => { hold => 'end',
	    reply => '250 2.0.0 queued' });
	my $proxy = Proxy->start(backend => $mta->address, crashes => 1);
	my $c     = $proxy->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->message("id: last\r\n");
	$mta->wait_held('end');
	kill 'KILL', $proxy->{pid};
	$mta->release('end');
	my ($code) = $c->reply;
	is($code == 250 ? scalar $mta->messages : 1, 1,
	    'the message is there, or was not promised');
	$c->close;
	ok($proxy->wait_end, 'no worker outlives its master');
};

done_testing;
