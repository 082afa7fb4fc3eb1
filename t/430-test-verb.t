#!/usr/bin/perl
# "vratar test" says what a client of "vratar serve" sees: the same chain, the
# same engine, the same words.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use JSON::PP;
use Test::More;
use Backend;
use Dns;
use Proxy;
use Run;

# "test" makes its socket there, and takes it away.
my $tmp = File::Temp->newdir;
$ENV{TMPDIR} = "$tmp";

my $recipients = File::Temp->new;
print $recipients "good\@example.com x\nbob\@example.com x\n\@all.example x\n";
close $recipients;

my $policy = File::Temp->new(SUFFIX => '.rules');
print $policy <<"END";
table recipients "texthash:$recipients"
at connect
    reject 554 5.7.1 "go away, %{client.ip}" if client.ip in { 192.0.2.0/24 }
    tempfail 450 4.7.1 "not now" if client.ip in { 198.51.100.1 }
at helo
    reject 501 5.5.2 "no host name" if not helo.name is hostname
at mail
    reject 550 5.7.1 "not from you" if mail.domain is "bad.example"
    tempfail 450 4.1.8 "later" if mail.domain is "later.example"
    discard if mail.local is "gone"
    reject 552 5.3.4 "too large for us" if size > 3000
at rcpt
    accept if rcpt.local is "postmaster"
    reject 550 5.1.1 "<%{rcpt}>: no such user here" if not rcpt in recipients
    tempfail 450 4.2.1 "bob is busy" if rcpt.local is "bob" and mail.local is "x"
    redirect recipient "other\@example.com" if mail.local is "r"
at data
    reject 554 5.7.1 "no data from you" if mail.local is "nodata"
at header
    reject 554 5.7.1 "no X-Bad, please" if header.name is "x-bad"
at eom
    score 6 "shouting" if header("Subject") ~ /^[^a-z]{6,}\$/
    score 6 "null" if mail is empty
    reject 554 5.7.1 "spam (%{score})" if score >= 10
    tempfail if header("X-Later")
    observe reject if header("X-Seen")
END
close $policy;

my $message = "From: a\@example.org\nSubject: %s\n%s\nhello\n.dot\n";

sub message
{
	my ($subject, $fields) = @_;

	return sprintf $message, $subject // 'hello', $fields // '';
}

# client, helo, from, recipients, message, what test ends with
my @cases = (
	['127.0.0.1', 'c.example', 'a@example.org', ['good@example.com'], message(), 0],
	['127.0.0.1', 'c.example', 'a@example.org', ['good@example.com',
	    'no@example.com', 'bob@example.com', 'Postmaster', 'x@all.example'], message(), 0],
	['192.0.2.1', 'c.example', 'a@example.org', ['good@example.com'], message(), 1],
	['198.51.100.1', 'c.example', 'a@example.org', ['good@example.com'], message(), 75],
	['2001:db8::1', 'c.example', 'a@example.org', ['good@example.com'], message(), 0],
	['127.0.0.1', '-bad-', 'a@example.org', ['good@example.com'], message(), 1],
	['127.0.0.1', '[127.0.0.1]', 'a@example.org', ['good@example.com'], message(), 1],
	['127.0.0.1', 'c.example', 'a@bad.example', ['good@example.com'], message(), 1],
	['127.0.0.1', 'c.example', 'a@later.example', ['good@example.com'], message(), 75],
	['127.0.0.1', 'c.example', 'gone@example.org', ['good@example.com', 'no@example.com'], message(), 0],
	['127.0.0.1', 'c.example', 'not an address', ['good@example.com'], message(), 1],
	['127.0.0.1', 'c.example', 'a@example.org', ['no@example.com', 'also@example.com'], message(), 1],
	['127.0.0.1', 'c.example', 'x@example.org', ['no@example.com', 'bob@example.com'], message(), 75],
	['127.0.0.1', 'c.example', 'a@example.org', ['good@other.example'], message(), 1],
	['127.0.0.1', 'c.example', 'a@example.org', ['bad address', 'good@example.com'], message(), 0],
	['127.0.0.1', 'c.example', 'nodata@example.org', ['good@example.com'], message(), 1],
	['127.0.0.1', 'c.example', 'r@example.org', ['good@example.com', 'bob@example.com'], message(), 0],
	['127.0.0.1', 'c.example', 'a@example.org', ['good@example.com'], message('x', "X-Bad: y\n"), 1],
	['127.0.0.1', 'c.example', 'a@example.org', ['good@example.com'], message('SHOUTING'), 0],
	['127.0.0.1', 'c.example', '', ['good@example.com'], message('SHOUTING'), 1],
	['127.0.0.1', 'c.example', '', ['good@example.com'], message(), 0],
	['127.0.0.1', 'c.example', 'a@example.org', ['good@example.com'], message('x', "X-Later: y\n"), 75],
	['127.0.0.1', 'c.example', 'a@example.org', ['good@example.com'], message('x', "X-Seen: y\n"), 0],
	['127.0.0.1', 'c.example', 'a@example.org', ['good@example.com'], "Subject: x\r\n\r\nbare\nlf\r\n", 1],
	['127.0.0.1', 'c.example', 'a@example.org', ['good@example.com'], message('x' x 4000), 1],
	['127.0.0.1', 'c.example', 'a@example.org', ['good@example.com'], '', 0],
	['127.0.0.1', 'c.example', "\303\244\@example.org", ['good@example.com'], message(), 0],
);

my $mta = Backend->start(extensions => ['PIPELINING', 'SIZE', '8BITMIME',
    'SMTPUTF8', 'DSN', 'CHUNKING', 'ENHANCEDSTATUSCODES'],
    'MAIL' => '250 2.1.0 Ok', 'RCPT' => '250 2.1.5 Ok', '.' => '250 2.0.0 Ok',
    'LAST' => '250 2.0.0 Ok');
my $proxy = Proxy->start(backend => $mta->address,
    set => { 'relay-domains' => ['example.com', 'all.example'],
    'line-endings' => 'reject' },
    listen => { chain => ['policy'], 'accept-xclient-from' => ['127.0.0.1'] },
    extra => "filter \"policy\" { type = \"policy\" file = \"$policy\" }\n");

# What a client of the daemon sees.
sub served
{
	my ($client, $helo, $from, $rcpts, $message) = @_;
	my $c = $proxy->client;
	my @seen;
	my $ask = sub {
		my ($step, @lines) = @_;
		$c->send(@lines) if @lines;
		my ($code, $text) = $c->reply;
		push @seen, "$step $text" if $step;
		return $code;
	};

	$message =~ s/\n/\r\n/g unless $message =~ /\r\n/;
	my $size = length $message;
	my $utf8 = "$from@$rcpts" =~ /[^\0-\177]/ ? ' SMTPUTF8' : '';
	$c->greeting;
	my $addr = $client =~ /:/ ? "IPV6:$client" : $client;
	return @seen if $ask->('CONNECT', "XCLIENT ADDR=$addr") != 220;
	return @seen if $ask->('EHLO', "EHLO $helo") != 250;
	$seen[-1] =~ s/\n.*//s;
	$seen[-1] =~ s/^EHLO 250-/EHLO 250 /;
	return @seen if $ask->('MAIL', "MAIL FROM:<$from> SIZE=$size$utf8") != 250;
	my $good = grep { $ask->("RCPT <$_>", "RCPT TO:<$_>") == 250 } @$rcpts;
	return @seen unless $good;
	if ((my $code = $ask->('', 'DATA')) != 354) {
		push @seen, "DATA $code";
		return @seen;
	}
	$c->octets(Client::stuff($message));
	$ask->('DATA');
	return @seen;
}

sub tested
{
	my ($row, @more) = @_;
	my ($client, $helo, $from, $rcpts, $message) = @$row;
	my $file = File::Temp->new;

	print $file $message;
	close $file;
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'test', '-c',
	    "$proxy->{dir}/vratar.conf", '--client', $client, '--helo', $helo,
	    '--from', $from, (map { ('--rcpt', $_) } @$rcpts), @more, "$file");
	return ($status >> 8, $said);
}

for my $row (@cases) {
	my ($client, $helo, $from, $rcpts, $text, $want) = @$row;
	my @served = served(@$row);
	my ($status, $said) = tested($row);
	my ($seen) = split /\n\n/, $said, 2;
	my @tested = split /\n/, $seen;

	is($status, $want, "exit status for $client $helo <$from> @$rcpts");
	s/^(DATA \d+).*/$1/ for grep { /^DATA 250/ } @served, @tested;
	if (@served && $served[-1] =~ /^DATA \d+\z/) {
		s/^(DATA \d+).*/$1/ for @tested;
	}
	is_deeply(\@tested, \@served, 'test says what serve does') or
	    diag($said);
}

subtest 'edits, trace and JSON' => sub {
	my ($status, $said) = tested($cases[16]);
	like($said, qr/^edits:\n  redirect recipient "other\@example\.com" \(policy\)$/m, 'edits');
	like($said, qr/^trace:\n at connect\n/m, 'trace');
	my ($name) = "$policy" =~ m{([^/]+)\z};
	like($said, qr/^  \Q$name\E:16: redirect recipient .*\n      mail\.local = "r", is "r": yes\n      -> redirect recipient other\@example\.com$/m,
	    'what was asked, its value, what it was compared with, and what followed');
	($status, $said) = tested($cases[16], '--json');
	my $all = decode_json($said);
	is($all->{verdict}, 'accepted', 'JSON: verdict');
	is($all->{stages}[2]{stage}, 'MAIL', 'stages');
	is($all->{stages}[3]{recipient}, 'good@example.com', 'recipient');
	is($all->{edits}[0]{value}, 'other@example.com', 'edits');
	is($all->{trace}[0]{tests}[0]{asked}, 'client.ip', 'trace');
	($status, $said) = tested($cases[9], '--json');
	is(decode_json($said)->{verdict}, 'discarded', 'discarded');
	is((grep { $_->{followed} && $_->{followed} =~ /discard/ }
	    @{decode_json($said)->{trace}})[0]{stage}, 'mail', 'and where');
	($status, $said) = tested($cases[6], '--json');
	is(decode_json($said)->{verdict}, 'refused', 'refused');
};

subtest 'a policy alone, header edits, client name and login' => sub {
	my $alone = File::Temp->new(SUFFIX => '.rules');
	print $alone <<'END';
at rcpt
    reject 550 5.7.1 "log in first" if not auth.user and not client.name is "friend.example"
at eom
    add header "X-Seen: %{client.name}"
END
	close $alone;
	my $file = File::Temp->new;
	print $file message();
	close $file;
	my $dns = Dns->start;	# which knows no name
	my @base = ($Proxy::PROGRAM, 'test', '--policy', "$alone", '--client',
	    '192.0.2.7', '--helo', 'x', '--from', 'a@b.example', '--rcpt',
	    'c@d.example', '--set', 'dns-servers=' . $dns->server);
	my ($status, $said) = Run::run(@base, "$file");
	is($status >> 8, 1, 'refused');
	like($said, qr/^RCPT <c\@d\.example> 550 5\.7\.1 log in first$/m, 'in its words');
	($status, $said) = Run::run(@base, '--client-name', 'friend.example', "$file");
	is($status >> 8, 0, 'a name');
	like($said, qr/^  add header "X-Seen: friend\.example" \(policy\)$/m, 'the edit is told');
	like($said, qr/^header:\n  From: a\@example\.org\n  Subject: hello\n  X-Seen: friend\.example\n\n/m,
	    'and what comes of it');
	($status, $said) = Run::run(@base, '--login', 'joe', "$file");
	is($status >> 8, 0, 'a login');
};

subtest 'usage' => sub {
	my @good = ('--policy', "$policy", '--client', '127.0.0.1', '--helo', 'x',
	    '--from', 'a@b', '--rcpt', 'c@d');
	my $file = File::Temp->new;
	my %bad = (
		'nothing' => [],
		'no message' => [@good],
		'no such message' => [@good, '/nonexistent'],
		'two messages' => [@good, "$file", "$file"],
		'no address' => [@good, '--client', 'x', "$file"],
		'no such listener' => [@good, '--listener', 'x', "$file"],
		'an unknown option' => [@good, '--frobnicate', '1', "$file"],
		'a bad policy' => [@good, '--policy', '/nonexistent', "$file"],
	);
	for my $name (sort keys %bad) {
		my ($status, $said) = Run::run($Proxy::PROGRAM, 'test', @{$bad{$name}});
		is($status >> 8, 2, $name);
		isnt($said, '', 'with a reason');
	}
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'test', '--help');
	is($status, 0, '--help');
	like($said, qr/--client IP/, 'helps');
};

is(join(' ', grep { -d } glob "$tmp/vratar-test-*"), '', 'nothing is left behind');

done_testing;
