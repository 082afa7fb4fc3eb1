#!/usr/bin/perl
# A clamd sees each message as it came, and what it finds is refused; what it
# does wrong ends where on-failure says, and in time.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Peer;
use PeerClamd;
use Run;
use Scanned;

my $mta = Backend->start('RCPT' => '250 2.1.5 Ok', '.' => '250 2.0.0 Ok');
my $clean = Peer::mail('hello');
my $virus = Peer::mail($Peer::EICAR);
my $NAME = 'Eicar-Test-Signature\.UNOFFICIAL';

sub filter
{
	my ($name, $address, @rows) = @_;

	return "filter \"$name\" {\n\ttype = \"clamd\"\n" .
	    ($address ? "\taddress = { " . join(', ', map { "\"$_\"" }
	    ref $address ? @$address : $address) . " }\n" : '') .
	    join('', map { "\t$_\n" } @rows) . "}\n";
}

# What a server is sent: the command, frames, and the empty one.
sub whole
{
	my ($fh) = @_;
	my $content = '';

	Peer::upto($fh, "\0");
	while (my $len = unpack 'N', Peer::octets($fh, 4)) {
		$content .= Peer::octets($fh, $len);
	}
	return $content;
}

subtest 'a real one' => sub {
	my $clamd = PeerClamd->start;
	my $tcp = PeerClamd->start(tcp => 1, limit => '100K');
	my $rules = File::Temp->new(SUFFIX => '.rules');
	print $rules "at eom\n" .
	    "    reject 550 5.7.1 \"no %{clamd.virus} here\" if clamd.virus\n" .
	    "    reject 550 5.7.1 \"not scanned\" if not clamd.scanned\n";
	close $rules;
	my $p = Scanned->start(backend => $mta->address,
	    chains => { unix => ['unix'], tcp => ['tcp'], fail => ['fail'],
	    small => ['small'], rules => ['quiet', 'policy'],
	    unseen => ['small', 'policy'] },
	    filters => filter('unix', $clamd->address) .
	    filter('tcp', $tcp->address) .
	    filter('fail', $tcp->address, 'oversize = "fail"') .
	    filter('small', $clamd->address, 'max-size = 20K') .
	    filter('quiet', $clamd->address, 'refuse = no') .
	    "filter \"policy\" { type = \"policy\" file = \"$rules\" }\n");

	for my $chain ('unix', 'tcp') {
		$p->says($chain, $clean, qr/^250 /, "$chain: clean");
		$p->says($chain, $virus, qr/^554 5\.7\.1 the message contains $NAME$/,
		    "$chain: a virus");
	}
	$p->log_like(qr/decision .*verdict=reject at=eom by=$NAME .*filter\.unix=reject\@eom,.* clamd\.scanned=1 clamd\.virus=$NAME/,
	    'the record has it');
	$p->says('unix', '', qr/^250 /, 'an empty message');
	$p->says('unix', Peer::mail("line of a long text\r\n" x 100_000),
	    qr/^250 /, '2 MB');
	$p->says('unix', Peer::mail("line of a long text\r\n" x 100_000) .
	    $virus, qr/^554 /, '2 MB with a virus behind');
	$p->says('unix', "X-Header: $Peer::EICAR\r\n\r\nx\r\n", qr/^554 /,
	    'a virus in the header');
	my $c = $p->to('unix');
	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat(substr $virus, 0, 200);
	$c->expect(qr/^250 /, 'BDAT');
	$c->bdat(substr($virus, 200), 1);
	$c->expect(qr/^554 /, 'in two chunks');
	$c->deliver('a@example.org', 'b@example.com', $clean);
	$c->close;

	my $big = Peer::mail("line of a long text\r\n" x 10_000) . $virus;
	$p->says('tcp', $big, qr/^250 /, 'more than StreamMaxLength: not scanned');
	$p->log_like(qr/scan-skipped type=clamd reason=size/, 'and logged');
	$p->says('fail', $big, qr/^451 4\.7\.1 a filter failed/, 'or a failure');
	$p->log_like(qr/filter-failed filter=fail .*too large to be scanned/, '… logged');
	$p->says('small', $big, qr/^250 /, 'more than max-size');
	$p->says('rules', $virus, qr/^550 5\.7\.1 no $NAME here$/, 'rules decide');
	$p->says('rules', $clean, qr/^250 /, '… and let pass');
	$p->says('unseen', $big, qr/^550 5\.7\.1 not scanned$/, 'rules know what was not seen');
};

subtest 'the example' => sub {
	my $clamd = PeerClamd->start;
	my $p = Scanned->example('clamd.conf', $mta->address,
	    'unix:/run/clamav/clamd.ctl' => $clamd->address);

	for ([$clean, qr/^250 /], [$virus, qr/^554 5\.7\.1 .*$NAME$/]) {
		my $c = $p->sent('example', $_->[0], 'b@example.org');
		$c->expect($_->[1]);
		$c->close;
	}
};

subtest 'what it is sent' => sub {
	my $peer = Peer->script(sub {
		my ($fh, $report) = @_;
		$report->(unpack 'H*', whole($fh));
		syswrite $fh, "stream: OK\0";
		Peer::linger($fh);
	});
	my $p = Scanned->start(backend => $mta->address,
	    chains => { it => ['it'] }, filters => filter('it', $peer->address));

	for my $message ($clean, ".\r\n..dots\r\n.\r\n", "no header\r\n",
	    "\r\nno header either\r\n", "Folded:\r\n a\r\n\tb\r\nnot empty\r\n",
	    "From x\r\nA:b\r\n\r\n\r\n") {
		my $hex = unpack 'H*', $message;
		$p->says('it', $message, qr/^250 /);
		ok($peer->wait_report(qr/^$hex$/), 'octet for octet');
	}
};

subtest 'nobody there' => sub {
	my $port = Peer::free_port();
	my $p = Scanned->start(backend => $mta->address,
	    chains => { map { $_ => [$_] } 'tempfail', 'reject', 'accept', 'second' },
	    filters => filter('tempfail', "127.0.0.1:$port") .
	    filter('reject', 'unix:/nonexistent/x', 'on-failure = "reject"') .
	    filter('accept', "127.0.0.1:$port", 'on-failure = "accept"') .
	    filter('second', ['unix:/nonexistent/x', "127.0.0.1:$port"]));
	my $say = sub {
		my ($chain, $like, $name) = @_;
		$p->says($chain, $clean, $like, $name);
	};

	$say->('tempfail', qr/^451 4\.7\.1 a filter failed/, 'tempfail');
	$p->log_like(qr/filter=tempfail server="127\.0\.0\.1:$port" unreachable="Connection refused"/,
	    'who is not there');
	$say->('reject', qr/^554 5\.7\.1 a filter failed/, 'reject');
	$say->('accept', qr/^250 /, 'accept');
	$say->('second', qr/^451 /, 'two dead ones');
	# It is back, and nobody looks before its time.
	my $back = Peer->script(sub {
		my ($fh) = @_;
		whole($fh);
		syswrite $fh, "stream: OK\0";
		Peer::linger($fh);
	}, port => $port);
	$say->('tempfail', qr/^451 /, 'down');
	is(scalar $back->reports(qr/connected/), 0, 'not asked');
	$p->log_like(qr/filter-failed filter=tempfail .*was not there a moment ago/,
	    'the log says why');
	$p->clock(10_000);
	$say->('tempfail', qr/^250 /, 'asked again later');
	$p->log_like(qr/filter=tempfail server="127\.0\.0\.1:$port" back/, 'it is back');
	$say->('tempfail', qr/^250 /, 'and asked at once');
	$say->('second', qr/^250 /, 'the second when the first is dead');
	my @said = $p->log(qr/filter=tempfail .*unreachable/);
	is(scalar @said, 1, 'said once');
};

# A server that does this, and a chain for each on-failure.
sub with
{
	my ($serve, @rows) = @_;
	my $peer = Peer->script($serve);
	my $p = Scanned->start(backend => $mta->address,
	    chains => { tempfail => ['tempfail'], accept => ['accept'] },
	    filters => filter('tempfail', $peer->address, @rows) .
	    filter('accept', $peer->address, 'on-failure = "accept"', @rows));

	return ($p, $peer);
}

my @liars = (
	['nonsense', "OK\0", qr/clamd says: OK/],
	['an error', "stream: Can't allocate memory ERROR\0", qr/memory ERROR/],
	['no end', 'x' x 2000, qr/without an end/],
	['half an answer', 'stream: O', qr/closed the connection/],
	['nothing', '', qr/closed the connection/],
	['a name of control characters', "stream: a\r\n250 ok\x1b FOUND\0", undef],
);
for my $row (@liars) {
	my ($name, $says, $why) = @$row;
	subtest $name => sub {
		my ($p, $peer) = with(sub {
			my ($fh) = @_;
			whole($fh);
			syswrite $fh, $says;
		});
		if (!$why) {
			$p->says('accept', $clean, qr/^554 5\.7\.1 the message contains a\?\?250 ok\?$/,
			    'made harmless');
			return;
		}
		$p->says('tempfail', $clean, qr/^451 /, 'tempfail');
		$p->says('accept', $clean, qr/^250 /, 'accept');
		$p->log_like(qr/filter-failed filter=\w+ at=eom why=".*$why/, 'why');
	};
}

subtest 'it hangs up while the message comes' => sub {
	my ($p, $peer) = with(sub { Peer::octets($_[0], 20); });
	my $big = Peer::mail("line of a long text\r\n" x 200_000);
	$p->says('tempfail', $big, qr/^451 /, 'tempfail');
	$p->says('accept', $big, qr/^250 /, 'accept');
};

subtest 'it has seen enough' => sub {
	my ($p, $peer) = with(sub {
		Peer::octets($_[0], 20);
		syswrite $_[0], "INSTREAM size limit exceeded. ERROR\0";
	});
	my $big = Peer::mail("line of a long text\r\n" x 200_000);
	$p->says('tempfail', $big, qr/^250 /, 'what it said before it hung up counts');
};

subtest 'it says OK before the end' => sub {
	my ($p, $peer) = with(sub {
		Peer::octets($_[0], 20);
		syswrite $_[0], "stream: OK\0";
		Peer::linger($_[0]);
	});
	$p->says('tempfail', Peer::mail("line of a long text\r\n" x 200_000),
	    qr/^451 /, 'which it cannot know');
	$p->log_like(qr/filter-failed .*why=".*OK to a part of the message/);
};

subtest 'silence' => sub {
	my ($p, $peer) = with(sub {
		my ($fh, $report) = @_;
		whole($fh);
		$report->('end');
		Peer::linger($fh);
		$report->('left alone');
	});
	my $c = $p->sent('tempfail', $clean);
	ok($peer->wait_report(qr/end/), 'it has the message');
	$p->clock(29_000);
	$c->expect_nothing;
	$p->clock(1_000);
	$c->expect(qr/^451 4\.7\.1 a filter failed/, 'has a deadline');
	$p->log_like(qr/filter-failed filter=tempfail at=eom why="no answer in time"/);
	ok($peer->wait_report(qr/left alone/), 'and is hung up on');
	# A client that leaves in the middle takes its scan along.
	my $gone = $p->to('tempfail');
	$gone->envelope('a@example.org', 'b@example.com');
	$gone->send('DATA');
	$gone->expect(qr/^354/);
	$gone->octets("Subject: x\r\n");
	ok($peer->wait_report(qr/connected 2/), 'a second conversation');
	$gone->close;
	ok(Wait::wait_until(sub { $peer->reports(qr/left alone/) == 2; }),
	    'which ends with the client');
};

subtest 'it does not read' => sub {
	my ($p, $peer) = with(sub {
		my ($fh, $report) = @_;
		Peer::octets($fh, 10);
		$report->('stops');
		select undef, undef, undef, 60;
	});
	my $c = $p->to('tempfail');
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354/);
	# More than all buffers on the way hold.
	my $line = "line of a long text\r\n";
	my ($sent, $piece) = (0, $line x 5000);
	while ($sent < 40_000_000) {
		my $n = syswrite $c->{fh}, $piece;
		if (defined $n) {
			$sent += $n;
			$piece = substr($piece, $n) . substr($piece, 0, $n);
		} elsif (!Wait::wait_writable($c->{fh}, 0.5)) {
			last;
		}
	}
	ok($sent < 30_000_000, "the client is held back after $sent octets");
	$p->clock(30_000);
	$p->log_like(qr/filter-failed filter=tempfail at=content why="no answer in time"/,
	    'for so long');
	$c->octets(substr($line, $sent % length $line) . ".\r\n");
	$c->expect(qr/^451 /, 'and then it is a failure');
};

my ($status, $said) = do {
	my $p = Proxy->prepare(backend => $mta->address,
	    extra => filter('x', 'exec:true') . filter('y', 'nowhere'));
	Run::run($Proxy::PROGRAM, 'check', '-c', "$p->{dir}/vratar.conf");
};
is($status >> 8, 2, 'bad addresses are mistakes');
like($said, qr/filter "x": address: "exec:true" must be HOST:PORT or unix:PATH/);
like($said, qr/filter "y": address: "nowhere": no port/);

done_testing;
