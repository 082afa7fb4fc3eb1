#!/usr/bin/perl
# A filter that takes its time, or never answers, holds up its own session and
# nobody else's, and what has to wait keeps its order.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use Test::More;
use Backend;
use Module;
use Proxy;

my $mta = Backend->start;

sub start
{
	my ($says, %more) = @_;
	my @listen = $more{listen} ? (listen => delete $more{listen}) : ();

	return Proxy->start(backend => $mta->address,
	    Module::script($says, %more), @listen, set => { 'error-limit' => 1000 });
}

subtest 'every stage waits' => sub {
	my $p = start([map { "$_ * later=3 continue" }
	    qw(connect helo mail rcpt data header eoh body eom)]);

	for my $n (1, 2) {
		my $c = $p->client;
		$c->send('EHLO x');	# before the banner, and it keeps
		$c->greeting;
		$c->expect(qr/^250/);
		$c->octets("MAIL FROM:<a\@example.org>\r\n" .
		    "RCPT TO:<b\@example.com>\r\nRCPT TO:<c\@example.com>\r\n" .
		    "DATA\r\n");
		$c->expect(qr/^250/) for 1 .. 3;
		$c->expect(qr/^354/);
		$c->octets("A: b\r\nC: d\r\n\r\nbody\r\n.\r\n" .
		    "MAIL FROM:<a\@example.org>\r\n" .
		    "RCPT TO:<b\@example.com>\r\nBDAT 8\r\nA: b\r\n\r\n" .
		    "BDAT 6 LAST\r\nbody\r\nNOOP\r\nQUIT\r\n");
		$c->expect(qr/^250 2\.0\.0 queued/, 'by DATA');
		$c->expect(qr/^250/) for 1 .. 3;
		$c->expect(qr/^250 2\.0\.0 queued/, 'by BDAT');
		$c->expect(qr/^250/, 'NOOP');
		$c->expect(qr/^221/, 'QUIT');
		is($c->expect_close, '', 'and no more');
	}
	is_deeply([map { $_->{content} } $mta->messages],
	    [("A: b\r\nC: d\r\n\r\nbody\r\n", "A: b\r\n\r\nbody\r\n") x 2],
	    'contents are whole');
};

subtest 'large content, each piece waits' => sub {
	my $p = start(['body * later=1 continue', 'header * later=1 continue']);
	my $c = $p->client;
	my $body = join '', map { "line $_ of a long message\r\n" } 1 .. 40_000;

	$c->hello;
	$c->deliver('a@example.org', 'b@example.com', "A: b\r\n\r\n$body");
	is($mta->last->{content}, "A: b\r\n\r\n$body", 'it is whole');
};

my %direction = (tempfail => qr/^451 4\.7\.1/, reject => qr/^554 5\.7\.1/,
    accept => qr/^(?:220|250|354)/);
for my $failure (sort keys %direction) {
	subtest "never, on-failure = $failure" => sub {
		my $want = $direction{$failure};
		my $p = start(['helo never never', 'mail never@ never',
		    'rcpt never@ never', 'header never never',
		    'eom mute@ never'],
		    'on-failure' => $failure, timeout => '60s');
		my $c = $p->client;
		my $other = $p->client;

		$c->greeting;
		$c->send('EHLO never');
		$other->hello;
		$other->deliver('a@example.org', 'b@example.com');
		$c->expect_nothing;
		$p->clock(60_000);
		$c->expect($want, 'helo');
		$c->hello('good');
		$c->send('MAIL FROM:<never@example.org>', 'RSET');
		$p->log_like(qr/filter-failed/) if $failure eq 'never';
		$other->send('NOOP');
		$other->expect(qr/^250/, 'others go on');
		$p->clock(60_000);
		$c->expect($want, 'mail');
		$c->expect(qr/^250/, 'RSET');
		$c->send('MAIL FROM:<a@example.org>',
		    'RCPT TO:<first@example.com>', 'RCPT TO:<never@example.com>',
		    'RCPT TO:<b@example.com>', 'RSET');
		$c->expect(qr/^250/) for 1 .. 2;
		$c->expect_nothing;
		$p->clock(60_000);
		$c->expect($want, 'rcpt');
		$c->expect($want, 'and the rest of the message');
		$c->expect(qr/^250/, 'RSET');
		$p->log_like(qr/filter-failed filter=script at=rcpt why="no answer in time" on-failure=$failure/,
		    'logged');
		$c->envelope('a@example.org', 'b@example.com');
		$c->message("never: x\r\n\r\nhello\r\n");
		$other->send('NOOP');
		$other->expect(qr/^250/);
		$p->clock(60_000);
		$c->expect($want, 'header');
		$c->envelope('mute@example.org', 'b@example.com');
		$c->message("x: y\r\n\r\nhello\r\n");
		$other->send('NOOP');
		$other->expect(qr/^250/);
		$p->clock(60_000);
		$c->expect($want, 'eom');
		$c->deliver('a@example.org', 'b@example.com');
		$c->quit;
	};
}

subtest 'a tarpit holds up one session' => sub {
	my $p = start(['rcpt bad@ delay=90000 reject', 'connect 127.0.0.2 delay=30000']);
	my $c = $p->client;
	my $slow = $p->client(from => '127.0.0.2');

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<bad@example.com>',
	    'RCPT TO:<b@example.com>');
	$c->expect(qr/^250/);
	my $other = $p->client;
	$other->hello;
	$other->deliver('a@example.org', 'b@example.com');
	$c->expect_nothing('the tarpit holds');
	$slow->expect_nothing('no banner yet');
	$p->clock(30_000);
	$slow->hello;
	$c->expect_nothing('for longer');
	$p->clock(60_000);
	$c->expect(qr/^550/, 'then it refuses');
	$c->expect(qr/^250/, 'and the next one is asked about');
};

subtest 'misbehaviour' => sub {
	my $p = start(['rcpt twice@ twice continue', 'rcpt nonsense@ nonsense',
	    'rcpt code@ reject 250 ok', 'rcpt edit@ quarantine=X continue',
	    'connect 127.0.0.2 discard', 'rcpt route@ route=nowhere continue']);
	my $c = $p->client;

	$c->hello;
	my %why = (twice => 'two answers to one question',
	    nonsense => 'an unknown verdict', code => 'a reply that is none',
	    edit => 'an edit that it did not declare');
	for my $who (sort keys %why) {
		$c->send('MAIL FROM:<a@example.org>',
		    "RCPT TO:<$who\@example.com>", 'RCPT TO:<b@example.com>',
		    'RSET');
		$c->expect(qr/^250/);
		$c->expect(qr/^451 4\.7\.1 a filter failed/, $who);
		$c->expect(qr/^451 4\.7\.1 a filter failed/, 'fails closed');
		$c->expect(qr/^250/);
		$p->log_like(qr/filter-failed .*why="$why{$who}/, 'logged');
	}
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<route@example.com>');
	$c->expect(qr/^250/);
	$c->expect(qr/^451 4\.3\.5/, 'a route to nowhere');
	my $d = $p->client(from => '127.0.0.2');
	$d->expect(qr/^421 4\.7\.1/, 'discard at connect is a failure');
};

subtest 'the client goes away while filters are asked' => sub {
	my $p = start(['connect 127.0.0.2 never', 'rcpt never@ never',
	    'eom never@ never', 'eom later@ later=50 continue']);
	my $c = $p->client(from => '127.0.0.2');
	$p->log_like(qr/connect client=127\.0\.0\.2/);
	$c->reset;
	$p->log_like(qr/close reason="connection to the client failed"/,
	    'at connect');
	$c = $p->client;
	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<never@example.com>');
	$c->expect(qr/^250/);
	$c->reset;
	$p->log_like(qr/ aborted/, 'at rcpt: the filter is told');
	$p->log_like(qr/close reason="connection to the client failed"/);
	$c = $p->client;
	$c->hello;
	$mta->forget;
	$c->envelope('never@example.org', 'b@example.com');
	$c->message("x\r\n");
	$c->reset;
	$p->log_like(qr/ aborted/, 'at eom');
	is(scalar $mta->messages, 0, 'and the backend has nothing');
	$c = $p->client;
	$c->hello;
	$c->envelope('later@example.org', 'b@example.com');
	$c->message("x\r\n");
	$c->half_close;
	$c->expect(qr/^250 2\.0\.0 queued/, 'who only stops sending is served');
	# After that it can be seen no more before we look.
	my $dir = File::Temp->newdir;
	my $q = start(['eom later@ later=5000 continue'], listen => [map { { chain => ['script'], %$_ } } {}, { address => "unix:$dir/s" }]);
	for my $how ('a reset', 'an end') {
		my $c = $how eq 'a reset' ? $q->client : Client->connect(unix => "$dir/s");
		$c->hello;
		$mta->forget;
		$c->envelope('later@example.org', 'b@example.com');
		$c->message("x\r\n");
		$mta->wait_command(qr/^RCPT/);
		$c->half_close;
		$q->control('sessions') for 1 .. 2;
		$how eq 'a reset' ? $c->reset : $c->close;
		$q->clock(5000);
		$q->log_like(qr/close reason="connection to the client failed"/, "$how behind the end");
		is(scalar $mta->messages, 0, "$how: and the backend has nothing");
	}
	# The daemon ends in good order with a question open.
	$c = $p->client;
	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<never@example.com>');
	$c->expect(qr/^250/);
};

subtest 'the backend goes away while filters are asked' => sub {
	my $p = start(['rcpt later@ later=5000 continue',
	    'eom later@ later=5000 continue']);
	my $c = $p->client;
	# The filter, which has been asked when the worker has gone through its
	# loop again, answers when we know that the backend is gone.
	my $drop = sub {
		$mta->drop;
		$p->log_like(qr/backend name=\S+ failed="closed by peer"/);
		$p->control('sessions') for 1 .. 2;
		$p->clock(5000);
	};

	$c->hello;
	$mta->forget;
	$c->envelope('later@example.org', 'b@example.com');
	$c->message("x\r\n");
	$mta->wait_command(qr/^RCPT/);
	$drop->();
	$c->expect(qr/^451 4\.4\.2/, 'at eom: nothing is lost');
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>',
	    'RCPT TO:<later@example.com>');
	$c->expect(qr/^250/) for 1 .. 2;
	$drop->();
	$c->expect(qr/^451 4\.4\.2/, 'at rcpt');
};

done_testing;
