#!/usr/bin/perl
# A filter sees the content with what those in front of it have changed, and
# nothing else is different for it, the client or the backend.
use strict;
use warnings;
use lib 't/lib';
use Cwd qw(getcwd);
use File::Temp qw(tempdir);
use Test::More;
use Backend;
use Milter;
use PeerOpendkim;
use Run;
use Scanned;
use Wait;

my $mta = Backend->start('RCPT' => '250 2.1.5 Ok');
my $dir = tempdir(CLEANUP => 1);
my $mail = "From: A <a\@example.org>\r\nTo: b\@example.com\r\nSubject: a word\r\n" .
    "X-Gone: 1\r\nDate: Mon, 1 Jan 2024 12:00:00 +0000\r\n" .
    "Message-ID: <1\@example.org>\r\n\r\nhello\r\n.\r\n";
my $files;

chmod 0755, $dir;

# A filter block.
sub policy
{
	my ($name, $rules, @more) = @_;
	my $file = "$dir/" . ++$files . '.rules';

	open my $out, '>', $file or die "$file: $!";
	print $out $rules;
	close $out;
	return "filter \"$name\" {\n\ttype = \"policy\"\n\tfile = \"$file\"\n" .
	    join('', map { "\t$_\n" } @more) . "}\n";
}

sub milter
{
	my ($name, $peer, @more) = @_;

	return "filter \"$name\" {\n\ttype = \"milter\"\n\tsocket = \"" .
	    $peer->address . "\"\n" . join('', map { "\t$_\n" } @more) . "}\n";
}

# One chain, called "it", of these filters, in this order.
sub chain
{
	my ($filters, %o) = @_;
	my @names = map { /^filter "(\w+)"/m } @$filters;

	return Scanned->start(backend => $mta->address, chains => { it => \@names },
	    filters => join('', @$filters), %o);
}

# What arrives of a message.
sub through
{
	my ($p, $message, %o) = @_;
	my $c = $p->client(listener => 0, %o);	# or another

	$mta->forget;
	$c->hello('client.example');
	$c->deliver('a@example.org', 'b@example.org', $message);
	$c->quit;
	return $mta->last->{content};
}

# One that does not answer at the end.
sub slow
{
	return Milter->start(E => sub {
		my ($fh, $report) = @_;
		$report->('asked');
		return ();
	});
}

# A client that has sent its message.
sub asked
{
	my ($filters, %o) = @_;
	my $p = chain($filters, %o);
	my $c = $p->sent('it', $mail);

	return ($p, $c);
}

my $adds = policy('adds', "at eom\n    add header \"X-Added: 1\"\n    delete header \"X-Gone\"\n");

subtest 'a milter behind a policy' => sub {
	my $milter = Milter->start;
	my $p = chain([$adds, milter('sees', $milter)]);

	is(through($p, $mail), $mail =~ s/X-Gone: 1\r\n//r =~ s/\r\n\r\n/\r\nX-Added: 1\r\n\r\n/r,
	    'arrives');
	$milter->wait_report(qr/^E/);
	is(join('', map { /^([TLNBE]) ?([\w-]*)/ ? "$1 $2\n" : () } $milter->reports),
	    join("\n", 'T ', (map { "L $_" } qw(From To Subject Date Message-ID X-Added)),
	    'N ', 'B hello', 'E ') . "\n", 'each event once');
	$p->log_unlike(qr/filter-failed|misbehaved/);
};

subtest 'a policy behind a milter' => sub {
	my $milter = Milter->start(E => [add('X-Score', '12'), change(1, 'Subject', ''),
	    body("a new\r\nbody\r\n"), 'c']);
	my $p = chain([milter('edits', $milter), policy('reads', <<'END')]);
at header
    log "%{header.name}"
at eom
    tempfail "no score"     if not header("X-Score")
    tempfail "a subject"    if count(headers("Subject")) > 0
    tempfail "%{raw_body}"  if raw_body !~ /\Aa new\r\nbody\r\n\z/
    add header "X-Size: %{size}"
END
	my $want = $mail =~ s/Subject: .*?\r\n//r =~ s/\r\n\r\n.*/\r\nX-Score: 12\r\n/sr;
	my $size = length($want) + length "\r\na new\r\nbody\r\n";

	is(through($p, $mail), "${want}X-Size: $size\r\n\r\na new\r\nbody\r\n", 'content');
	$p->log_like(qr/note at=header text=X-Score/);
	$p->log_unlike(qr/note at=header text=Subject/);
};

subtest 'what was found is known in later rounds' => sub {
	my $p = chain([policy('a', "at rcpt\n    log \"x\"\nat eom\n    add header \"X-A: 1\"\n"),
	    policy('b', "at eom\n    add header \"X-B: %{header(\"X-A\")}2\"\n"),
	    policy('c', "at eom\n    reject \"%{header(\"X-B\")}\"  if header(\"X-B\") is \"12\"\n")]);

	$p->says('it', $mail, qr/^554 5\.7\.1 12/, 'three rounds');
};

subtest 'opendkim signs what arrives' => sub {
	my $dkim = PeerOpendkim->start or plan skip_all => $PeerOpendkim::why;
	my $adds = policy('adds', <<'END');
at eom
    add header "Reply-To: c@example.org"
    change header "Subject: [x] %{header("Subject")}"
    delete header "In-Reply-To"
END
	my $p = Scanned->start(backend => $mta->address, filters => $adds .
	    milter('dkim', $dkim) . policy('judge', <<'END'), chains => { 1 => ['adds', 'dkim'],
at eom
    reject 550 5.7.20 "the signature is broken" if header("Authentication-Results") ~ /dkim=fail/
    tempfail "nobody has looked" if not header("Authentication-Results")
END
	    2 => ['dkim', 'judge'], 3 => ['dkim', 'adds'] },
	    set => { 'authserv-id' => 'mx.test.example',
	    'dns-servers' => [$dkim->{dns}->server] });
	my $signed = through($p, "In-Reply-To: <0\@example.org>\r\n$mail");

	like($signed, qr/\ADKIM-Signature: .*Subject: \[x\] a word\r\n.*Reply-To: c\@example\.org\r\n\r\nhello/s, 'signed, with the fields');
	unlike($signed, qr/^In-Reply-To/m, 'and without the other');
	# From here it is a stranger.
	my $ask = sub {
		my ($message) = @_;
		my $c = $p->client(listener => 1, from => '127.0.0.9');
		$c->hello('client.example');
		$c->envelope_quietly('a@example.org', 'b@example.org');
		$c->message($message);
		return $c;
	};
	$mta->forget;
	$ask->($signed)->expect(qr/^250 /, 'verified');
	my $arrived = $mta->last->{content};
	like($arrived, qr/^Authentication-Results: mx\.test\.example;\r\n\tdkim=pass /m, 'it says so');
	is($arrived =~ s/^Authentication-Results: .*?\r\n(?=\S)//msr, $signed, 'and nothing else');
	$mta->forget;
	$ask->($signed =~ s/hello/hullo/r)->expect(qr/^550 5\.7\.20 /, 'tampered with');
	my $lie = "Authentication-Results: mx.test.example; dkim=pass\r\n";
	$ask->($lie . $signed =~ s/\[x\]/[y]/r)->expect(qr/^550 5\.7\.20 /, 'and lied about');
	is(scalar $mta->messages, 0, 'nobody has it');
	$ask->($lie . $signed)->expect(qr/^250 /, 'a lie about a good one');
	is(() = $mta->last->{content} =~ /^Authentication-Results:/mg, 1, 'is taken out');
	$ask->($mail)->expect(qr/^250 /, 'without a signature');
	$p->log_unlike(qr/filter-failed|misbehaved/);
	$mta->forget;
	like(through($p, $mail =~ s/\A/$lie/r), qr/\ADKIM-Signature: (?!.*Authentication)/s,
	    'a signer behind a policy sees no lie');
};

subtest 'the example' => sub {
	my $dkim = PeerOpendkim->start or plan skip_all => $PeerOpendkim::why;
	my $p = Scanned->example('verified.conf', $mta->address,
	    '/run/opendkim/opendkim.sock' => $dkim->address =~ s/^unix://r,
	    '/etc/vratar/' => getcwd() . '/contrib/examples/',
	    'authserv-id   = "mx1.example.org"' => 'authserv-id = "mx.test.example" dns-servers = "' .
	    $dkim->{dns}->server . '"');
	my $signed = through($p, "X-Originating-IP: 10.0.0.9\r\n$mail", listener => 1);

	like($signed, qr/\ADKIM-Signature: .*Organization: Example\r\n\r\n/s, 'changed and signed');
	unlike($signed, qr/^X-Originating/m, 'our machine is not shown');
	my %said = (
		'ours' => [$signed, qr/^250 /],
		'nobody\'s' => [$mail, qr/^550 5\.7\.20 /],
		'ours, and changed' => [$signed =~ s/hello/hullo/r, qr/^550 5\.7\.20 /],
		'a stranger\'s' => [$mail =~ s/example\.org/example.net/gr, qr/^250 /],
	);
	for my $whose (sort keys %said) {
		my $c = $p->client(listener => 0, from => '127.0.0.9');
		$c->hello('client.example');
		$c->envelope_quietly('a@example.org', 'b@example.org');
		$c->message($said{$whose}[0]);
		$c->expect($said{$whose}[1], $whose);
	}
	$p->log_unlike(qr/filter-failed|misbehaved/);
};

# Our own field is above what comes from filters, unless they want to be there.
subtest 'Received' => sub {
	my $milter = Milter->start(E => [insert(0, 'X-Top', '3'), insert(1, 'X-One', '4'), 'c']);
	my $p = chain([policy('a', "at eom\n    insert header \"X-P: 1\"\n"), milter('b', $milter),
	    policy('c', "at eom\n    add header \"X-N: %{headers(\"Received\")}\"\n")],
	    set => { received => 'true' });
	my $got = through($p, $mail);

	is(join(' ', $got =~ /^([\w-]+):/mg), 'X-Top X-One X-P Received From To Subject X-Gone Date ' .
	    'Message-ID X-N', 'order');
	like($got, qr/^X-N: ?\r\n/m, 'filters do not see it');
	is(scalar(grep { /^L Received/ } $milter->reports), 0, 'nor do milters');
};

# What wants it held back stands in this place, among filters that edit.
sub held_back
{
	my ($at, $memory, @edits) = @_;
	my $kept = tempdir(CLEANUP => 1);
	my $milter = Milter->start(E => [@edits, 'c']);
	my @filters = ($adds, milter('edits', $milter),
	    policy('z', "at eom\n    add header \"X-Z: %{header(\"X-Added\")}\"\n"));

	splice @filters, $at, 0, policy('holds', "at eom\n    quarantine \"odd\"\n");
	my $p = chain(\@filters, set => { quarantine => "maildir:$kept", 'spool-memory' => $memory });
	$p->says('it', $mail, qr/^554 5\.7\.1 odd/, "refused, $at");
	my ($file, @more) = glob "$kept/new/*";
	is(scalar @more, 0, 'kept once');
	open my $in, '<', $file or die "$file: $!";
	my $text = do { local $/; <$in> };
	is(substr($text, -length $mail), $mail, 'as it came');
	unlike($text, qr/^X-A|^X-Added|^X-Z/m, 'and nothing of the edits');
	$milter->wait_report(qr/^E/);
}

for my $memory ('1M', '0') {
	subtest "held back as it came, spool-memory $memory" => sub {
		for my $at (0 .. 3) {
			held_back($at, $memory, add('X-A', '1'), change(1, 'Subject', ''));
			held_back($at, $memory, body("another\r\n"));
			held_back($at, $memory, insert(0, 'X-A', '1'), body(''));
		}
	};
}

subtest 'who waits for the second' => sub {
	my $milter = slow();
	my @filters = ($adds, milter('slow', $milter, 'content-timeout = 10m'));
	my $times = { 'client-timeout' => '30s', 'filter-budget' => '9m', 'data-done-timeout' => '10m' };

	subtest 'a patient client' => sub {
		$mta->forget;
		my ($p, $c) = asked(\@filters, set => $times);
		$milter->wait_report(qr/^asked/);
		$p->clock(120_000);
		$c->expect_nothing;
		$p->clock(600_000);
		$c->expect(qr/^451 4\.7\.1 /, 'has the answer of on-failure');
		$p->log_like(qr/filter-failed filter=slow at=eom why="no answer within the filter-budget"/);
		is(scalar $mta->messages, 0, 'nobody has it');
	};
	subtest 'the first counts as well' => sub {
		my $first = Milter->start(E => sub { $_[1]->('asked'); return (); });
		my ($p, $c) = asked([milter('one', $first, 'content-timeout = 10m', 'on-failure = "accept"'),
		    milter('two', $milter, 'content-timeout = 10m')], set => $times);
		$first->wait_report(qr/^asked/);
		$p->clock(600_000);
		$c->expect(qr/^451 4\.7\.1 /, 'the budget is for all rounds');
	};
	subtest 'a client that goes' => sub {
		$mta->forget;
		my ($p, $c) = asked(\@filters, set => $times);
		$p->log_like(qr/ rcpt to=/);
		Wait::wait_until(sub { 2 <= grep { /^asked/ } $milter->reports });
		$c->reset;
		$p->log_like(qr/ close reason="/);
		is(scalar $mta->commands(qr/^DATA|^BDAT/), 0, 'nothing was sent');
		is(scalar $mta->messages, 0, 'nobody has it');
	};
	subtest 'a backend that goes' => sub {
		$mta->forget;
		my ($p, $c) = asked([$adds, milter('slow', $milter, 'content-timeout = 5m',
		    'on-failure = "accept"')], set => $times);
		Wait::wait_until(sub { 3 <= grep { /^asked/ } $milter->reports });
		$mta->drop;
		$p->log_like(qr/ backend name=\S+ failed=/);
		$p->clock(300_000);
		$c->expect(qr/^451 4\.4\.2 /, 'a message that all have agreed to comes again');
		is(scalar $mta->messages, 0, 'nobody has it');
	};
	subtest 'kill -9' => sub {
		$mta->forget;
		my $n = grep { /^asked/ } $milter->reports;
		my ($p, $c) = asked(\@filters, set => $times);
		Wait::wait_until(sub { $n < grep { /^asked/ } $milter->reports });
		kill 'KILL', $p->workers;
		$c->expect_close('the client was told nothing');
		is(scalar $mta->messages, 0, 'and nobody has it');
	};
};

subtest 'on-failure of the second' => sub {
	my %said = (tempfail => qr/^451 4\.7\.1 /, reject => qr/^554 5\.7\.1 /, accept => qr/^250 /);

	for my $direction (sort keys %said) {
		my $milter = Milter->start(B => ['z'], E => [add('X-B', '1'), 'c']);
		my $p = chain([$adds, milter('fails', $milter, "on-failure = \"$direction\"")]);
		$mta->forget;
		$p->says('it', $mail, $said{$direction}, $direction);
		is(scalar $mta->messages, $direction eq 'accept' ? 1 : 0, 'messages');
		like($mta->last->{content}, qr/^X-Added: 1\r\n\r\n/m, 'the edits of the first stay')
		    if $direction eq 'accept';
	}
	my $milter = Milter->start(E => [add('X-B', '1'), body("gone\r\n"), 'c']);
	my $p = chain([$adds, milter('watches', $milter, 'mode = "observe"'),
	    policy('last', "at eom\n    add header \"X-N: %{header(\"X-B\")}\"\n")]);
	like(through($p, $mail), qr/X-Added: 1\r\nX-N: ?\r\n\r\nhello/, 'one that observes changes nothing');
};

subtest 'BDAT' => sub {
	my $sees = Milter->start;
	my $p = chain([$adds, milter('sees', $sees)]);
	my $c = $p->to('it');
	my $text = "X: 1\r\n\r\n" . "\0bin\nary\r" x 10;

	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250/) for 1, 2;
	$c->bdat(substr($text, 0, 20));
	$c->expect(qr/^250 /, 'a chunk');
	$c->bdat(substr($text, 20), 1);
	$c->expect(qr/^550 5\.5\.2 /, 'what is no text is refused as ever');
	my $good = "X: 1\r\n\r\n" . "line\r\n" x 20_000;
	$mta->forget;
	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat(substr($good, 0, 50_000));
	$c->expect(qr/^250 /, 'a chunk');
	$c->bdat(substr($good, 50_000), 1);
	$c->expect(qr/^250 /, 'the last');
	is($mta->last->{content}, $good =~ s/\r\n\r\n/\r\nX-Added: 1\r\n\r\n/r, 'arrives');
};

# What the worker has written so far.
sub written
{
	my ($p) = @_;
	my ($pid) = $p->workers;

	open my $in, '<', "/proc/$pid/io" or die "io: $!";
	return join('', <$in>) =~ /^wchar: (\d+)/m ? $1 : die 'no wchar';
}

subtest 'a body that nobody changes is not copied' => sub {
	my $big = "Subject: x\r\n\r\n" . ('x' x 70 . "\r\n") x 50_000;
	my $p = chain([$adds, policy('b', "at header\n    log \"x\" if header.name is \"no\"\n" .
	    "at eom\n    add header \"X-B: 1\"\n"),
	    policy('c', "at eom\n    add header \"X-C: %{header(\"X-B\")}\"\n")],
	    set => { 'spool-memory' => '0' });
	my $before = written($p);

	is(length through($p, $big), length($big) + length "X-Added: 1\r\nX-B: 1\r\nX-C: 1\r\n", 'arrives');
	# Once into the spool, and once to the backend.
	cmp_ok(written($p) - $before, '<', 2.2 * length $big, 'written');
};

sub memory
{
	my ($p) = @_;
	my ($pid) = $p->workers;

	open my $in, '<', "/proc/$pid/status" or die "status: $!";
	return join('', <$in>) =~ /^VmHWM:\s*(\d+)/m ? $1 : die 'no VmHWM';
}

# ROUNDS_MB is the size of the message, 40 unless it is given.
subtest 'a large message' => sub {
	plan skip_all => 'memory is not ours with sanitizers'
	    if ($ENV{VRATAR} // '') =~ /-san/;
	my $roomy = Backend->start(extensions => ['PIPELINING', 'CHUNKING', 'SIZE 900000000'],
	    LAST => '250 2.0.0 Ok');
	my $milter = Milter->start(offer => [6, 0x1ff, 0xff080], B => sub {
		$_[2]{octets} += length $_[4];
		return ();
	}, E => sub {
		$_[1]->("octets $_[2]{octets}");
		return (change(1, 'Subject', 'y'), 'c');
	});
	my $p = chain([$adds, milter('b', $milter), policy('c',
	    "at eom\n    add header \"X-C: %{header(\"Subject\")}\"\n")], backend => $roomy->address,
	    set => { 'message-size-limit' => '900M' });
	my $c = $p->to('it');
	my $body = ('x' x 998 . "\r\n") x 1000;
	my $n = $ENV{ROUNDS_MB} // 40;
	my $start = memory($p);

	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354/);
	$c->octets("Subject: x\r\nX-Gone: 1\r\n\r\n");
	for (1 .. $n) {
		$c->octets($body);
		$c->wait_taken;
	}
	# Another session is served while this one is fed again.
	my $other = $p->to('it');
	$c->octets(".\r\n");
	$milter->wait_report(qr/^B/);
	$other->send('NOOP');
	$other->expect(qr/^250 /, 'others have their turn');
	$milter->wait_report(qr/^octets @{[$n * 1_000_000]}$/);
	$c->expect(qr/^250 /, "$n MB");
	is(length $roomy->last->{content}, $n * 1_000_000 +
	    length "Subject: y\r\nX-Added: 1\r\nX-C: y\r\n\r\n", 'all of it');
	my $peak = memory($p);
	cmp_ok($peak, '<', 64 << 10, "the worker: $start KB, then $peak KB");
};

subtest 'vratar test' => sub {
	my $p = chain([$adds, policy('b', "at eom\n    change header \"Subject: [x] %{header(\"Subject\")}\"\n" .
	    "    log \"%{header(\"X-Added\")}\"\n"), policy('c',
	    "at mail\n    add header \"X-Early: %{mail}\"\nat eom\n    reject \"no\" if header(\"Subject\") !~ /^\\[x\\]/\n")]);
	open my $out, '>', "$dir/message" or die;
	print $out $mail;
	close $out;
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'test', '-c', "$p->{dir}/vratar.conf",
	    '--client', '192.0.2.1', '--helo', 'x', '--from', 'a@example.org',
	    '--rcpt', 'b@example.com', "$dir/message");

	is($status, 0, 'accepted');
	like($said, qr/^edits:\n  add header "X-Added: 1" \(adds\)\n  delete header "X-Gone: " \(adds\)\n  change header 1 "Subject: \[x\] a word" \(b\)\n  add header "X-Early: a\@example\.org" \(c\)\n/m, 'all edits');
	like($said, qr/^header:\n  From: A <a\@example\.org>\n  To: b\@example\.com\n  Subject: \[x\] a word\n  Date: .*\n  Message-ID: .*\n  X-Added: 1\n  X-Early: a\@example\.org\n/m, 'and the header');
};

done_testing;
