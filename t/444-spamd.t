#!/usr/bin/perl
# A spamd gets each message as it came, behind a Received field about the
# client; its score decides, or rules do; what it does wrong ends where
# on-failure says, and in time.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use JSON::PP;
use Test::More;
use Backend;
use Peer;
use PeerSpamd;
use Run;
use Scanned;

my $mta = Backend->start('RCPT' => '250 2.1.5 Ok', '.' => '250 2.0.0 Ok');
my $clean = Peer::mail('hello');
my $gtube = Peer::mail($Peer::GTUBE);
my $some = "X-Points: xxxxxx\r\n$clean";		# 5.5

sub filter
{
	my ($name, $address, @rows) = @_;

	return "filter \"$name\" {\n\ttype = \"spamd\"\n\taddress = { " .
	    join(', ', map { "\"$_\"" } ref $address ? @$address : $address) .
	    " }\n" . join('', map { "\t$_\n" } @rows) . "}\n";
}

my $spamd = PeerSpamd->start;

subtest 'scores' => sub {
	my $rules = File::Temp->new(SUFFIX => '.rules');
	print $rules "at eom\n" .
	    "    reject 550 5.7.1 \"spam: %{spamd.score}\" if spamd.spam\n" .
	    "    reject 550 5.7.1 \"points\" if \"HAS_POINTS\" in spamd.symbols\n" .
	    "    reject 550 5.7.1 \"not scanned\" if not spamd.scanned\n";
	close $rules;
	my $p = Scanned->start(backend => $mta->address,
	    chains => { it => ['it'], ten => ['ten'], one => ['one'],
	    small => ['small'], rules => ['quiet', 'policy'] },
	    filters => filter('it', $spamd->address) .
	    filter('ten', $spamd->address, 'reject-score = "10"') .
	    filter('one', $spamd->address, 'reject-score = "0.5"') .
	    filter('small', $spamd->address, 'max-size = 1K') .
	    filter('quiet', $spamd->address, 'refuse = no') .
	    "filter \"policy\" { type = \"policy\" file = \"$rules\" }\n");

	$p->says('it', $clean, qr/^250 /, 'clean');
	$p->says('it', $gtube,
	    qr/^554 5\.7\.1 the message looks like spam \(1000\.0 of 5\.0\)$/, 'GTUBE');
	$p->log_like(qr/decision .*by=spam .*spamd\.scanned=1 spamd\.spam=1 spamd\.score=1000 spamd\.required=5 spamd\.symbols=GTUBE/,
	    'the record has it');
	$p->says('it', $some, qr/^554 /, 'what spamd calls spam');
	$p->says('ten', $some, qr/^250 /, 'less than 10 points');
	$p->says('ten', $gtube, qr/^554 /, 'more');
	$p->says('one', "X-Points: x\r\n$clean", qr/^554 5\.7\.1 .*\(1\.0 of 0\.5\)$/, 'a low score');
	$p->says('small', $gtube . "a line of a text\r\n" x 100, qr/^250 /,
	    'more than max-size');
	$p->log_like(qr/scan-skipped type=spamd reason=size/, '… logged');
	my $long = $clean . "a line of a text\r\n" x 25_000;
	$p->says('it', $long, qr/^250 /, 'through a file');
	$p->says('it', "X-Points: xxxxxx\r\n$long", qr/^554 /, '… all of it');
	$p->says('rules', $some, qr/^550 5\.7\.1 spam: 5\.5$/, 'rules decide');
	$p->says('rules', "X-Points: x\r\n$clean", qr/^550 5\.7\.1 points$/, '… by symbols');
	$p->says('rules', $clean, qr/^250 /, '… and let pass');
};

subtest 'the example' => sub {
	my $p = Scanned->example('spamd.conf', $mta->address,
	    '127.0.0.1:783' => $spamd->address);

	for ([$clean, qr/^250 /], [$gtube, qr/^554 5\.7\.1 /]) {
		my $c = $p->sent('example', $_->[0], 'b@example.org');
		$c->expect($_->[1]);
		$c->close;
	}
};

# What "vratar test" says about a message and a spamd.
sub try
{
	my ($address, $message) = @_;
	my $conf = Proxy->prepare(backend => '127.0.0.1:9',
	    listen => { chain => ['it'] },
	    extra => filter('it', $address, 'edits = yes'));
	my $file = $conf->write('m.eml', $message);
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'test', '-c',
	    "$conf->{dir}/vratar.conf", '--client', '192.0.2.1', '--helo',
	    'x.example', '--from', 'a@example.org', '--rcpt', 'b@example.com',
	    '--json', $file);
	my ($json) = $said =~ /^(\{.*)/ms;
	my $r = decode_json($json // '{}');

	return ($r, map { "$_->{edit} $_->{name}: $_->{value}" } @{$r->{edits}});
}

subtest 'edits' => sub {
	my ($r, @edits) = try($spamd->address, "X-Spam-Flag: NO\r\nX-Spam-Flag: no\r\n$some");
	is($edits[0], 'delete header X-Spam-Flag: ', 'what was there goes');
	is(scalar(grep { /^delete/ } @edits), 1, 'once');
	like("@edits", qr/add header X-Spam-Checker-Version: SpamAssassin/,
	    'what spamd says comes');
	like("@edits", qr/add header X-Spam-Report: .*\r\n\t\*  4\.5 MANY_POINTS/s, 'folded');
};

subtest 'edits, done' => sub {
	my $p = Scanned->start(backend => $mta->address,
	    chains => { it => ['it'] },
	    filters => filter('it', $spamd->address, 'edits = yes', 'refuse = no'));

	$p->says('it', "X-Spam-Flag: NO\r\n$some", qr/^250 /);
	my $got = $mta->last->{content};
	unlike($got, qr/^X-Spam-Flag/m, 'what was there has gone');
	like($got, qr/^X-Spam-Report:.*\r\n\t\*  4\.5 MANY_POINTS/ms, 'what spamd says has come');
	like($got, qr/\r\n\r\nhello\r\n\z/, 'the body is as it was');
};

# Commands, in the order of the head, and the message.
sub request
{
	my ($fh) = @_;
	my $head = Peer::upto($fh, "\r\n\r\n");
	my ($len) = $head =~ /^Content-length: (\d+)/m;

	return ($head, Peer::octets($fh, $len // 0));
}

sub answer
{
	my ($spam, $body) = @_;

	return "SPAMD/1.1 0 EX_OK\r\nContent-length: " . length($body) .
	    "\r\nSpam: $spam\r\n\r\n$body";
}

subtest 'symbols in X-Spam-Status' => sub {
	my $peer = Peer->script(sub {
		my ($fh, $report) = @_;
		$report->((request($fh))[0] =~ s/\r\n.*//sr);
		syswrite $fh, answer('True ; 6 / 5', "X-Spam-Status: Yes, score=6 " .
		    "tests=A,B,\r\n\tC_D autolearn=no\r\nSubject: x\r\n" .
		    "X-Spam-Flag: YES\r\n\r\n");
	});
	my ($r, @edits) = try($peer->address, $clean);
	is_deeply([map { $_->{value} } grep { $_->{finding} eq 'spamd.symbols' }
	    @{$r->{findings}}], ['A', 'B', 'C_D'], 'are findings');
	is(scalar @edits, 2, 'other fields are left alone') or diag "@edits";
	ok($peer->wait_report(qr/^HEADERS SPAMC\/1\.5$/), 'the command');
};

subtest 'what it is sent' => sub {
	my $peer = Peer->script(sub {
		my ($fh, $report) = @_;
		$report->(unpack 'H*', $_) for request($fh);
		syswrite $fh, answer('False ; -1.5 / 5.0', '');
	});
	my $p = Scanned->start(backend => $mta->address,
	    chains => { it => ['it'] },
	    filters => filter('it', $peer->address, 'spamd-user = "joe"'));
	my $message = "..\r\n.dot\r\nA: b\r\n\r\n";
	my $c = $p->client;
	$c->greeting;
	$c->send('EHLO [127.0.0.1]');
	$c->reply;
	$c->deliver('a@example.org', 'b@example.com', $message);
	Wait::wait_until(sub { $peer->reports == 3; });
	my ($head, $body) = map { pack 'H*', $_ } ($peer->reports)[1, 2];
	like($head, qr/^SYMBOLS SPAMC\/1\.5\r\nContent-length: \d+\r\nUser: joe\r\n\r\n\z/, 'the command');
	like($body, qr/^X-Envelope-From: <a\@example\.org>\r\nReceived: from \[127\.0\.0\.1\] \(unknown \[127\.0\.0\.1\]\)\r\n\tby mx\.test\.example \(vratar\) with ESMTP id \w+;\r\n\t\w+, \d\d \w+ \d{4} [\d:]{8} \+0000\r\n\Q$message\E\z/,
	    'the message behind a Received field');
};

subtest 'nobody there' => sub {
	my $port = Peer::free_port();
	my $p = Scanned->start(backend => $mta->address,
	    chains => { map { $_ => [$_] } 'tempfail', 'reject', 'accept', 'second' },
	    filters => filter('tempfail', "127.0.0.1:$port") .
	    filter('reject', "127.0.0.1:$port", 'on-failure = "reject"') .
	    filter('accept', "127.0.0.1:$port", 'on-failure = "accept"') .
	    filter('second', ["127.0.0.1:$port", $spamd->address]));

	$p->says('tempfail', $clean, qr/^451 4\.7\.1 a filter failed/, 'tempfail');
	$p->says('reject', $clean, qr/^554 5\.7\.1 a filter failed/, 'reject');
	$p->says('accept', $clean, qr/^250 /, 'accept');
	$p->says('second', $clean, qr/^250 /, 'the second when the first is dead');
};

my @liars = (
	['another protocol', "HTTP/1.0 200 OK\r\n\r\n", qr/does not speak SPAMD/],
	['an error', "SPAMD/1.0 75 EX_TEMPFAIL\r\nx: y\r\n\r\n", qr/could not do it: SPAMD\/1\.0 75/],
	['no score', "SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n", qr/without a score/],
	['no number', answer('True ; many / 5', ''), qr/without a score/],
	['nan', answer('True ; nan / 5', ''), qr/without a score/],
	['no length', "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1 / 5\r\n\r\n", qr/without a length/],
	['a huge length', "SPAMD/1.1 0 EX_OK\r\nContent-length: 99999999999999999999\r\nSpam: True ; 1 / 5\r\n\r\n", qr/without a length/],
	['no end', "SPAMD/1.1 0 EX_OK\r\n" . "X: y\r\n" x 100_000, qr/without an end/],
	['half of it', substr(answer('True ; 1 / 5', 'ABC'), 0, -1), qr/closed the connection/],
	['nothing', '', qr/closed the connection/],
);
for my $row (@liars) {
	my ($name, $says, $why) = @$row;
	subtest $name => sub {
		my $peer = Peer->script(sub {
			my ($fh) = @_;
			request($fh);
			syswrite $fh, $says;
		});
		my $p = Scanned->start(backend => $mta->address,
		    chains => { tempfail => ['tempfail'], accept => ['accept'] },
		    filters => filter('tempfail', $peer->address) .
		    filter('accept', $peer->address, 'on-failure = "accept"'));
		$p->says('tempfail', $clean, qr/^451 /, 'tempfail');
		$p->says('accept', $clean, qr/^250 /, 'accept');
		$p->log_like(qr/filter-failed filter=\w+ at=eom why=".*$why/, 'why');
	};
}

subtest 'silence' => sub {
	my $peer = Peer->script(sub {
		my ($fh, $report) = @_;
		request($fh);
		$report->('has it');
		Peer::linger($fh);
		$report->('left alone');
	});
	my $p = Scanned->start(backend => $mta->address,
	    chains => { it => ['it'] }, filters => filter('it', $peer->address));
	my $c = $p->sent('it', $clean);
	ok($peer->wait_report(qr/has it/), 'it has the message');
	$p->clock(30_000);
	$c->expect(qr/^451 4\.7\.1 a filter failed/, 'has a deadline');
	ok($peer->wait_report(qr/left alone/), 'and is hung up on');
};

my $p = Proxy->prepare(backend => $mta->address,
    extra => filter('x', '127.0.0.1:1', 'reject-score = "many"'));
my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c',
    "$p->{dir}/vratar.conf");
is($status >> 8, 2, 'a bad score is a mistake');
like($said, qr/reject-score: "many" is not a number/, '… and which');

done_testing;
