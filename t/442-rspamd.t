#!/usr/bin/perl
# An rspamd gets each message with its envelope, and its action is what the
# client is told, or what rules make of it; what it does wrong ends where
# on-failure says, and in time.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use JSON::PP;
use Test::More;
use Backend;
use Peer;
use PeerRspamd;
use Run;
use Scanned;

my $mta = Backend->start('RCPT TO:<no@' => '550 5.1.1 no',
    'RCPT' => '250 2.1.5 Ok', '.' => '250 2.0.0 Ok');
my $clean = Peer::mail('hello');

sub filter
{
	my ($name, $address, @rows) = @_;

	return "filter \"$name\" {\n\ttype = \"rspamd\"\n\taddress = { " .
	    join(', ', map { "\"$_\"" } ref $address ? @$address : $address) .
	    " }\n" . join('', map { "\t$_\n" } @rows) . "}\n";
}

sub rules
{
	my ($text) = @_;
	my $file = File::Temp->new(SUFFIX => '.rules');

	print $file $text;
	close $file;
	return $file;
}

my $rspamd = PeerRspamd->start;

subtest 'actions' => sub {
	my $rules = rules("at eom\n" .
	    "    reject 550 5.7.1 \"%{rspamd.score} of %{rspamd.required}\" " .
	    "if rspamd.score >= 5 and \"X_SCORE\" in rspamd.symbols\n" .
	    "    reject 550 5.7.1 \"not scanned\" if not rspamd.scanned\n" .
	    "    reject 550 5.7.1 \"odd: %{rspamd.action}\" " .
	    "if not rspamd.action is \"no action\"\n");
	my $p = Scanned->start(backend => $mta->address,
	    chains => { it => ['it'], free => ['free'], small => ['small'],
	    big => ['big'], rules => ['quiet', 'policy'] },
	    filters => filter('it', $rspamd->address) .
	    filter('free', $rspamd->address, 'greylist = "continue"') .
	    filter('small', $rspamd->address, 'max-size = 1K') .
	    filter('big', $rspamd->address, 'max-size = 1K', 'oversize = "fail"') .
	    filter('quiet', $rspamd->address, 'refuse = no') .
	    "filter \"policy\" { type = \"policy\" file = \"$rules\" }\n");

	$p->says('it', $clean, qr/^250 /, 'clean');
	$p->log_like(qr/decision .* rspamd\.scanned=1 rspamd\.action="no action" rspamd\.score=0 rspamd\.required=15 rspamd\.symbols=X_FACTS/,
	    'the record has it');
	$p->says('it', Peer::mail($Peer::GTUBE), qr/^554 5\.7\.1 Gtube pattern$/, 'GTUBE');
	$p->says('it', "X-Score: 20\r\n$clean",
	    qr/^554 5\.7\.1 the message looks like spam$/, 'reject');
	$p->log_like(qr/decision .*verdict=reject at=eom by=reject .*rspamd\.score=20/);
	$p->says('it', "X-Score: 5\r\n$clean",
	    qr/^451 4\.7\.1 not now; try again later$/, 'greylist');
	$p->says('free', "X-Score: 5\r\n$clean", qr/^250 /, 'greylist, continue');
	$p->says('it', "X-Score: 7\r\n$clean", qr/^250 /, 'add header');
	$p->says('it', "X-Score: 9\r\n$clean", qr/^250 /, 'rewrite subject');
	$p->says('it', "X-Action: soft reject\r\nX-Say: come\tback\r\n$clean",
	    qr/^451 4\.7\.1 come.back$/, 'soft reject');
	my $long = $clean . "a line of a text\r\n" x 50_000;
	$p->says('it', $long, qr/^250 /, 'through a file');
	$p->says('it', "X-Score: 20\r\n$long", qr/^554 /, '… all of it');
	$p->says('small', "X-Score: 20\r\n$long", qr/^250 /, 'more than max-size');
	$p->log_like(qr/scan-skipped type=rspamd reason=size/, '… logged');
	$p->says('big', "X-Score: 20\r\n$long", qr/^451 /, '… or a failure');
	$p->says('rules', "X-Score: 5.5\r\n$clean", qr/^550 5\.7\.1 5\.5 of 15$/,
	    'rules decide');
	$p->says('rules', $clean, qr/^250 /, '… and let pass');
	$p->says('rules', Peer::mail($Peer::GTUBE), qr/^550 5\.7\.1 odd: reject$/,
	    '… about all');
};

subtest 'the example' => sub {
	my $p = Scanned->example('rspamd.conf', $mta->address,
	    '127.0.0.1:11333' => $rspamd->address);

	for ([$clean, qr/^250 /],
	    [Peer::mail($Peer::GTUBE), qr/^554 5\.7\.1 Gtube pattern$/]) {
		my $c = $p->sent('example', $_->[0], 'b@example.org');
		$c->expect($_->[1]);
		$c->close;
	}
};

subtest 'the envelope' => sub {
	my $p = Scanned->start(backend => $mta->address, chains => {},
	    listen => [{ chain => ['it'], 'accept-xclient-from' => ['127.0.0.0/8'] }],
	    filters => filter('it', $rspamd->address));
	$p->{chain} = { it => 0 };
	my $c = $p->client;
	$c->hello;
	$c->send('XCLIENT ADDR=192.0.2.7 NAME=c.example LOGIN=joe HELO=h.example');
	$c->expect(qr/^220 /);
	$c->hello('h.example');
	$c->send('MAIL FROM:<"a b"@example.org>', 'RCPT TO:<b@example.com>',
	    'RCPT TO:<no@example.com>', 'RCPT TO:<c@example.com>');
	$c->expect($_) for qr/^250/, qr/^250/, qr/^550/, qr/^250/;
	$c->message($clean);
	$c->expect(qr/^250 /);
	my ($line) = Wait::poll(sub {
		open my $log, '<', "$rspamd->{dir}/log";
		(grep { /192\.0\.2\.7/ } <$log>)[0];
	});
	like($line, qr/X_FACTS\(0\.00\)\{192\.0\.2\.7 h\.example joe c\.example .*b\@example\.com c\@example\.com;/,
	    'reaches rspamd');
};

subtest 'edits' => sub {
	my $conf = Proxy->prepare(backend => '127.0.0.1:9',
	    listen => { chain => ['it'] },
	    extra => filter('it', $rspamd->address, 'edits = yes'));
	my $try = sub {
		my ($message) = @_;
		my $file = $conf->write('m.eml', $message);
		my ($status, $said) = Run::run($Proxy::PROGRAM, 'test', '-c',
		    "$conf->{dir}/vratar.conf", '--client', '192.0.2.1',
		    '--helo', 'x.example', '--from', 'a@example.org', '--rcpt',
		    'b@example.com', '--json', $file);
		my ($json) = $said =~ /^(\{.*)/ms;
		return decode_json($json // '{}');
	};
	my $r = $try->("X-Edit: y\r\nX-Last: 1\r\nX-Last: 2\r\nX-Score: 7\r\n$clean");
	my %edit = map {
		("$_->{edit} $_->{name}" . ($_->{index} ? " $_->{index}" : '')
		    => $_->{value})
	} @{$r->{edits}};
	is_deeply(\%edit, { 'delete header X-Edit' => '',
	    'delete header X-Last 2' => '', 'add header X-One' => 'one',
	    'insert header X-Two 1' => 'two', 'add header X-Spam' => 'Yes' },
	    'header fields') or diag explain $r;
	my ($score) = grep { $_->{finding} eq 'rspamd.score' } @{$r->{findings}};
	is($score->{value}, 7, 'vratar test tells the findings');
	$r = $try->("X-Score: 9\r\n$clean");
	is_deeply([map { "$_->{edit} $_->{index} $_->{name}: $_->{value}" }
	    @{$r->{edits}}], ['change header 1 Subject: [spam] a word'],
	    'the subject');
	$r = $try->("X-Score: 7\r\n" . $clean =~ s/^Subject.*\n//mr);
	is(scalar @{$r->{edits}}, 1, 'without a subject');
};

subtest 'edits, done' => sub {
	my $p = Scanned->start(backend => $mta->address,
	    chains => { it => ['it'] },
	    filters => filter('it', $rspamd->address, 'edits = yes'));

	$p->says('it', "X-Edit: y\r\nX-Score: 7\r\n$clean", qr/^250 /);
	my $got = $mta->last->{content};
	like($got, qr/^X-Spam: Yes\r$/m, 'marked');
	like($got, qr/^X-One: one\r$/m, 'what rspamd adds');
	unlike($got, qr/^X-Edit/m, '… and removes');
	$p->says('it', "X-Score: 9\r\n$clean", qr/^250 /);
	like($mta->last->{content}, qr/^Subject: \[spam\] a word\r$/m, 'the subject');
	$p->says('it', $clean, qr/^250 /);
	is($mta->last->{content}, $clean, 'nothing without a reason');
};

subtest 'nobody there' => sub {
	my $port = Peer::free_port();
	my $p = Scanned->start(backend => $mta->address,
	    chains => { map { $_ => [$_] } 'tempfail', 'reject', 'accept', 'second' },
	    filters => filter('tempfail', "127.0.0.1:$port") .
	    filter('reject', "127.0.0.1:$port", 'on-failure = "reject"') .
	    filter('accept', "127.0.0.1:$port", 'on-failure = "accept"') .
	    filter('second', ["127.0.0.1:$port", $rspamd->address]));

	$p->says('tempfail', $clean, qr/^451 4\.7\.1 a filter failed/, 'tempfail');
	$p->log_like(qr/filter=tempfail server="127\.0\.0\.1:$port" unreachable="no connection"/);
	$p->says('reject', $clean, qr/^554 5\.7\.1 a filter failed/, 'reject');
	$p->says('accept', $clean, qr/^250 /, 'accept');
	$p->says('second', $clean, qr/^250 /, 'the second when the first is dead');
	$p->says('tempfail', $clean, qr/^451 /, 'still down');
	my @said = $p->log(qr/filter=tempfail .*unreachable/);
	is(scalar @said, 1, 'said once');
};

# A server that answers with this, and a chain for each on-failure.
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

# Head and body of a request.
sub request
{
	my ($fh) = @_;
	my $head = Peer::upto($fh, "\r\n\r\n");
	my ($len) = $head =~ /^Content-Length: (\d+)/mi;

	return ($head, Peer::octets($fh, $len // 0));
}

sub answer
{
	my ($json, $status, $more) = @_;

	return 'HTTP/1.1 ' . ($status // '200 OK') . "\r\nContent-Length: " .
	    length($json) . "\r\n" . ($more // '') . "\r\n$json";
}

my $ok = '{"action":"no action","score":0,"symbols":{}}';

my @liars = (
	['not HTTP', "hello\r\n\r\n", qr/makes no sense/],
	['another status', answer($ok, '500 no'), qr/HTTP status 500/],
	['not JSON', answer('<html>'), qr/not JSON/],
	['no answer', answer('{"score":3}'), qr/without action and score/],
	['half of it', substr(answer($ok), 0, -5), qr/closed the connection/],
	['an error', answer('{"error":"no\nmemory"}'), qr/rspamd: no\?memory/],
	['an odd action', answer('{"action":"weird","score":1}'),
	    qr/means nothing here: weird/],
	['no end', 'HTTP/1.1 200 OK' . "\r\nX: y" x 100_000, qr/closed the connection|makes no sense/],
	['too much', "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nx", qr/closed the connection|makes no sense/],
);
for my $row (@liars) {
	my ($name, $says, $why) = @$row;
	subtest $name => sub {
		my ($p, $peer) = with(sub {
			my ($fh) = @_;
			request($fh);
			syswrite $fh, $says;
		});
		$p->says('tempfail', $clean, qr/^451 /, 'tempfail');
		$p->says('accept', $clean, qr/^250 /, 'accept');
		$p->log_like(qr/filter-failed filter=\w+ at=eom why=".*$why/, 'why');
	};
}

subtest 'what it is sent, and one connection for many' => sub {
	my ($p, $peer) = with(sub {
		my ($fh, $report, $n) = @_;
		# The third is closed where nobody can know it.
		for (1 .. 2) {
			my ($head, $body) = request($fh);
			last if $head eq '';
			$report->(unpack 'H*', $head);
			$report->(unpack 'H*', $body);
			syswrite $fh, answer($ok);
		}
		request($fh);
	});
	my $message = "..\r\n.dot\r\nA: b\r\n\r\n";
	for (1 .. 5) {
		$p->says('tempfail', $message, qr/^250 /, "message $_");
	}
	is(scalar $peer->reports(qr/connected/), 3, 'three connections for five');
	my $hex = unpack 'H*', $message;
	is(scalar $peer->reports(qr/^$hex$/), 5, 'octet for octet');
	my $c = $p->client(listener => $p->{chain}{tempfail});
	$c->greeting;
	$c->send("EHLO x%0d%0aPass:%20all");
	$c->reply;
	$c->deliver('', 'b@example.com', $message);
	my ($last) = map { pack 'H*', $_ } grep { /^504f/ } reverse $peer->reports;
	like($last, qr{^POST /checkv2 HTTP/1\.1\r\n}, 'a request');
	like($last, qr/^Helo: x%0d%0aPass:%20all\r\n/m, 'values are one line');
	like($last, qr/^From: <>\r\n/m, 'the null sender');
	like($last, qr/^Rcpt: <b\@example\.com>\r\n/m, 'the recipient');
	like($last, qr/^IP: 127\.0\.0\.1\r\n/m, 'the client');
	unlike($last, qr/^User:/m, 'nobody has logged in');
};

subtest 'silence' => sub {
	my ($p, $peer) = with(sub {
		my ($fh, $report) = @_;
		request($fh);
		$report->('has it');
		Peer::linger($fh);
		$report->('left alone');
	});
	my $c = $p->sent('tempfail', $clean);
	ok($peer->wait_report(qr/has it/), 'it has the message');
	$p->clock(2_000);
	$c->expect_nothing('connect-timeout is about connecting');
	$p->clock(27_000);
	$c->expect_nothing;
	$p->clock(1_000);
	$c->expect(qr/^451 4\.7\.1 a filter failed/, 'has a deadline');
	ok($peer->wait_report(qr/left alone/), 'and is hung up on');
};

done_testing;
