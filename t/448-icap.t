#!/usr/bin/perl
# An ICAP server sees each message while it comes, first as much as it wants
# for a preview; what it finds, or would change, is refused; what it does wrong
# ends where on-failure says, and in time.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use Test::More;
use Backend;
use Peer;
use PeerIcap;
use Run;
use Scanned;

my $mta = Backend->start('RCPT' => '250 2.1.5 Ok', '.' => '250 2.0.0 Ok');
my $clean = Peer::mail('hello');
my $virus = Peer::mail($Peer::EICAR);
my $long = Peer::mail("line of a long text\r\n" x 100_000);
my $NAME = 'Eicar-Test-Signature\.UNOFFICIAL';

sub filter
{
	my ($name, $address, @rows) = @_;

	return "filter \"$name\" {\n\ttype = \"icap\"\n\taddress = { " .
	    join(', ', map { "\"$_\"" } ref $address ? @$address : $address) .
	    " }\n" . join('', map { "\t$_\n" } @rows) . "}\n";
}

my $icap = PeerIcap->start;

subtest 'a real one' => sub {
	my $rules = File::Temp->new(SUFFIX => '.rules');
	print $rules "at eom\n" .
	    "    reject 550 5.7.1 \"no %{icap.infection} here\" if icap.infection\n" .
	    "    reject 550 5.7.1 \"not scanned\" if not icap.scanned\n";
	close $rules;
	my $p = Scanned->start(backend => $mta->address,
	    chains => { resp => ['resp'], req => ['req'], echo => ['echo'],
	    none => ['none'], small => ['small'], rules => ['quiet', 'policy'] },
	    filters => filter('resp', $icap->address) .
	    filter('req', $icap->address, 'method = "reqmod"') .
	    filter('echo', $icap->address, 'service = "echo"') .
	    filter('none', $icap->address, 'service = "nothing"') .
	    filter('small', $icap->address, 'max-size = 1K') .
	    filter('quiet', $icap->address, 'refuse = no') .
	    "filter \"policy\" { type = \"policy\" file = \"$rules\" }\n");

	for my $chain ('resp', 'req') {
		# The second time OPTIONS are known.
		for (1, 2) {
			$p->says($chain, $clean, qr/^250 /, "$chain: clean");
			$p->says($chain, $virus,
			    qr/^554 5\.7\.1 the message contains $NAME$/, "$chain: a virus");
		}
		$p->says($chain, $long, qr/^250 /, "$chain: 2 MB");
		$p->says($chain, $long . $virus, qr/^554 /, "$chain: … with a virus behind");
		$p->says($chain, '', qr/^250 /, "$chain: nothing");
	}
	$p->log_like(qr/decision .*by=$NAME .* icap\.scanned=1 icap\.infection=$NAME/,
	    'the record has it');
	$p->says('echo', $_, qr/^250 /, 'what comes back unchanged is clean')
	    for $clean, $long, '';
	$p->says('none', $clean, qr/^451 /, 'no such service');
	$p->log_like(qr/filter-failed filter=none .*not what was asked for: ICAP\/1\.0 404/, '… logged');
	$p->says('small', $long, qr/^250 /, 'more than max-size');
	$p->log_like(qr/scan-skipped type=icap reason=size/, '… logged');
	$p->says('rules', $virus, qr/^550 5\.7\.1 no $NAME here$/, 'rules decide');
	$p->says('rules', $clean, qr/^250 /, '… and let pass');
};

subtest 'the example' => sub {
	my $p = Scanned->example('icap.conf', $mta->address,
	    '127.0.0.1:1344' => $icap->address);

	for ([$clean, qr/^250 /], [$virus, qr/^554 5\.7\.1 .*$NAME$/]) {
		my $c = $p->sent('example', $_->[0], 'b@example.org');
		$c->expect($_->[1]);
		$c->close;
	}
};

# The scripted one

my $options = "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nAllow: 204\r\n" .
    "Preview: 10\r\nOptions-TTL: 100\r\nEncapsulated: null-body=0\r\n\r\n";
my $clean204 = "ICAP/1.0 204 No Content\r\n\r\n";
my $go_on = "ICAP/1.0 100 Continue\r\n\r\n";

sub head { return Peer::upto($_[0], "\r\n\r\n"); }

# One chunked body; the head of HTTP first.
sub body
{
	my ($fh, $head) = @_;
	my ($offset) = $head =~ /-body=(\d+)/;
	my ($content, $line) = ('');

	Peer::octets($fh, $offset // 0);
	while (($line = Peer::upto($fh, "\r\n")) =~ /^([0-9a-f]+)(.*)\r\n/) {
		$content .= Peer::octets($fh, hex $1);
		Peer::octets($fh, 2);
		return ($content, $2) if hex $1 == 0;
	}
	return ($content, undef);
}

sub page
{
	my ($body, $more) = @_;
	my $http = "HTTP/1.1 200 OK\r\n\r\n";

	return "ICAP/1.0 200 OK\r\n" . ($more // '') . "Encapsulated: " .
	    "res-hdr=0, res-body=" . length($http) . "\r\n\r\n$http" .
	    sprintf('%x', length $body) . "\r\n$body\r\n0\r\n\r\n";
}

# One that answers OPTIONS, and then does this with the head of the request.
sub with
{
	my ($serve, $said, @rows) = @_;
	my $peer = Peer->script(sub {
		my ($fh, $report, $n) = @_;
		my $head = head($fh);
		if ($head =~ /^OPTIONS /) {
			$report->('options');
			syswrite $fh, $said // $options;
			$head = head($fh);
		}
		$serve->($fh, $head, $report) if $head ne '';
	});
	my $p = Scanned->start(backend => $mta->address,
	    chains => { tempfail => ['tempfail'], accept => ['accept'] },
	    filters => filter('tempfail', $peer->address, @rows) .
	    filter('accept', $peer->address, 'on-failure = "accept"', @rows));

	return ($p, $peer);
}

subtest 'what it is sent' => sub {
	my ($p, $peer) = with(sub {
		my ($fh, $head, $report) = @_;
		my ($preview, $more) = body($fh, $head);
		$report->('head ' . unpack 'H*', $head);
		$report->('preview ' . unpack 'H*', $preview);
		if ($more =~ /ieof/) {
			$report->('all');
			syswrite $fh, $clean204;
			return;
		}
		syswrite $fh, $go_on;
		$report->('rest ' . unpack 'H*', (body($fh, ''))[0]);
		syswrite $fh, $clean204;
	});
	my @messages = ("A: b\r\n", "A: 789\r\n\r\n", "A: 7890\r\n\r\n",
	    "..\r\n.dot\r\nA: b\r\n\r\n", '', $long);
	my $seen = 0;
	for my $message (@messages) {
		$p->says('tempfail', $message, qr/^250 /, length($message) . ' octets');
		my @new = $peer->reports(qr/^(?:preview|rest)/);
		splice @new, 0, $seen;
		$seen += @new;
		my $got = join '', map { pack 'H*', /(\S*)\z/ } @new;
		ok($got eq $message, 'octet for octet');
	}
	my @all = $peer->reports(qr/^all/);
	is(scalar @all, 3, 'the short ones in the preview');
	my @options = $peer->reports(qr/^options/);
	is(scalar @options, 1, 'OPTIONS were asked once');
	$p->clock(100_000);
	$p->says('tempfail', $clean, qr/^250 /);
	@options = $peer->reports(qr/^options/);
	is(scalar @options, 2, 'and when they were old');
	my ($head) = map { /^head (.*)/ ? pack 'H*', $1 : () } $peer->reports;
	like($head, qr{\ARESPMOD icap://[\d.:]+/virus_scan ICAP/1\.0\r\n}, 'the request');
	like($head, qr/^Allow: 204\r\n/m, 'with Allow');
	like($head, qr/^Preview: 10\r\n/m, 'with Preview');
	like($head, qr/^X-Client-IP: 127\.0\.0\.1\r\n/m, 'the client');
};

subtest 'a server that closes, and one without preview' => sub {
	my ($p, $peer) = with(sub {
		my ($fh, $head, $report) = @_;
		my ($content) = body($fh, $head);
		$report->(length $content);
		syswrite $fh, page($content);
	}, "ICAP/1.0 200 OK\r\nMethods: REQMOD, RESPMOD\r\nConnection: close\r\n" .
	    "Encapsulated: null-body=0\r\n\r\n");
	for ($clean, $long) {
		$p->says('tempfail', $_, qr/^250 /, 'the same comes back');
		ok($peer->wait_report(qr/^@{[length $_]}$/), 'it has all of it');
	}
};

# What it answers, when, and what follows.
my @answers = (
	['204 to the preview', 0, $clean204, qr/^250 /],
	['X-Infection-Found', 0, page('x', "X-Infection-Found: Type=0; Resolution=2; Threat=Evil\r\n"),
	    qr/^554 5\.7\.1 the message contains Evil$/],
	['X-Virus-ID', 1, page('x', "X-Virus-ID: Evil\x01Two\r\n"), qr/^554 5\.7\.1 .* Evil\?Two$/],
	['X-Violations-Found', 1, page('x', "X-Violations-Found: 1\r\n\t-\r\n"), qr/^554 /],
	['infected with 204', 1, "ICAP/1.0 204 No\r\nX-Virus-ID: Evil\r\n\r\n", qr/^554 .*Evil$/],
	['a block page', 1, page('<html>no</html>'), qr/^554 5\.7\.1 .*would change$/],
	['a block page without a body', 1, "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, null-body=19\r\n\r\nHTTP/1.1 403 No\r\n\r\n", qr/^554 /],
	['a block page instead of the rest', 0, page('<html>no</html>'), qr/^554 /],
	['another status', 1, "ICAP/1.0 500 Oops\r\n\r\n", qr/ICAP\/1\.0 500 Oops/],
	['100 twice', 1, $go_on, qr/not what was asked for: ICAP\/1\.0 100/],
	['not ICAP', 1, "HTTP/1.0 200 OK\r\n\r\n", qr/does not speak ICAP/],
	['no end', 1, "ICAP/1.0 200 OK\r\n" . "X: y\r\n" x 20_000, qr/without an end/],
	['nonsense', 1, "ICAP/1.0 200 OK\r\nEncapsulated: res-body=99999999\r\n\r\n", qr/makes no sense/],
	['a bad chunk', 1, "ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\nxyz\r\n", qr/a body that makes no sense/],
	['half of it', 1, substr(page('x'), 0, -3), qr/closed the connection/],
	['nothing', 1, '', qr/closed the connection/],
	['nothing after the preview', 0, '', qr/closed the connection/],
);
for my $row (@answers) {
	my ($name, $late, $says, $want) = @$row;
	subtest $name => sub {
		my ($p, $peer) = with(sub {
			my ($fh, $head) = @_;
			body($fh, $head);
			if ($late) {
				syswrite $fh, $go_on;
				body($fh, '');
			}
			syswrite $fh, $says;
		});
		if ($want =~ /\(\?\^:\^/) {
			$p->says('tempfail', $clean, $want, 'the reply');
			return;
		}
		$p->says('tempfail', $clean, qr/^451 /, 'tempfail');
		$p->says('accept', $clean, qr/^250 /, 'accept');
		$p->log_like(qr/filter-failed filter=\w+ .*why=".*$want/, 'why');
	};
}

for (["ICAP/1.0 404 No\r\n\r\n", qr/ICAP\/1\.0 404 No/],
    ["ICAP/1.0 200 OK\r\nMethods: REQMOD\r\n\r\n", qr/has not this method/],
    ["ICAP/1.0 204 OK\r\n\r\n", qr/not what was asked for/],
    ["junk\r\n\r\n", qr/does not speak ICAP/]) {
	my ($said, $why) = @$_;
	my ($p, $peer) = with(sub { }, $said);
	$p->says('tempfail', $clean, qr/^451 /, 'bad OPTIONS');
	$p->says('tempfail', $long, qr/^451 /, 'and with a long message');
	$p->log_like(qr/filter-failed filter=\w+ .*why=".*$why/, 'why');
}

subtest 'a long message, seen enough' => sub {
	my ($p, $peer) = with(sub {
		my ($fh, $head) = @_;
		body($fh, $head);
		syswrite $fh, $clean204;
		Peer::linger($fh);
	});
	$p->says('tempfail', $long, qr/^250 /, 'after the preview');
};

subtest 'nobody there' => sub {
	my $port = Peer::free_port();
	my $p = Scanned->start(backend => $mta->address,
	    chains => { map { $_ => [$_] } 'tempfail', 'reject', 'accept', 'second' },
	    filters => filter('tempfail', "127.0.0.1:$port") .
	    filter('reject', "127.0.0.1:$port", 'on-failure = "reject"') .
	    filter('accept', "127.0.0.1:$port", 'on-failure = "accept"') .
	    filter('second', ["127.0.0.1:$port", $icap->address]));

	$p->says('tempfail', $clean, qr/^451 4\.7\.1 a filter failed/, 'tempfail');
	$p->says('reject', $clean, qr/^554 5\.7\.1 a filter failed/, 'reject');
	$p->says('accept', $clean, qr/^250 /, 'accept');
	$p->says('second', $virus, qr/^554 .*$NAME/, 'the second when the first is dead');
};

for (['OPTIONS', sub { }], ['100', sub { body($_[0], head($_[0])); }],
    ['the answer', sub {
	body($_[0], head($_[0]));
	syswrite $_[0], $go_on;
	body($_[0], '');
    }]) {
	my ($what, $until) = @$_;
	subtest "silence instead of $what" => sub {
		my $peer = Peer->script(sub {
			my ($fh, $report) = @_;
			head($fh);
			if ($what ne 'OPTIONS') {
				syswrite $fh, $options;
				$until->($fh);
			}
			$report->('silent');
			Peer::linger($fh);
			$report->('left alone');
		});
		my $p = Scanned->start(backend => $mta->address,
		    chains => { it => ['it'] },
		    filters => filter('it', $peer->address));
		my $c = $p->sent('it', $clean);
		ok($peer->wait_report(qr/silent/), 'it is silent');
		$p->clock(30_000);
		$c->expect(qr/^451 4\.7\.1 a filter failed/, 'has a deadline');
		ok($peer->wait_report(qr/left alone/), 'and is hung up on');
	};
}

done_testing;
