#!/usr/bin/perl
# What a stranger says and a rule repeats stays one line and harmless, in
# replies and in the log; and filters of different opinions are merged as the
# manual says.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Policy;

my $mta = Backend->start;

# In a text: what the client sends, what stands in the reply, in the log.
my @values = (
	['quote"s and \\ and 100% %s%n %{rcpt}', 'quote"s and \\ and 100% %s%n %{rcpt}',
	    'quote\\"s and \\\\ and 100% %s%n %{rcpt}'],
	["a\tb", 'a?b', 'a?b'],
	["bell\a esc\e[31m del\x7f", 'bell? esc?[31m del?', undef],
	["\xc3\xb6l", '??l', undef],
	["\xff\xfe", undef, undef],
	["folded\r\n line\r\n\tagain", undef, undef],
	['250 2.0.0 Ok', '250 2.0.0 Ok', '250 2.0.0 Ok'],
	['x' x 5000, undef, undef],
	['', '', ''],
);

my $p = Policy::start(<<'END', backend => $mta->address);
at eom
    log "is %{header("X-Say")} and"
    reject 554 5.7.1 "<%{header("X-Say")}>"
END

for my $row (@values) {
	my ($say, $reply, $log) = @$row;
	my $c = $p->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->message("X-Say: $say\r\n\r\nx\r\n");
	my ($code, $text) = $c->reply;
	is($code, 554, 'refused');
	is($text, "554 5.7.1 <$reply>", 'the reply') if defined $reply;
	unlike($text, qr/[^ -~]/, 'printable, and one line');
	cmp_ok(length $text, '<=', 510, 'as long as a reply may be');
	$c->send('NOOP');
	$c->expect(qr/^250 2\.0\.0/, 'and nothing else came');
	my $line = $p->log_like(qr/ note at=eom text=/, 'logged');
	unlike($line, qr/[\0-\037\177]/, 'without controls');
	like($line, qr/text="is \Q$log\E and"/, 'as it was') if defined $log;
	like($line, qr/ rule=p0\.rules:2$/, 'the line has its end');
	$c->close;
}

subtest 'a HELO name, a sender, a recipient' => sub {
	my $q = Policy::start(<<'END', backend => $mta->address);
at helo
    reject "hello %{helo.name}!" if helo.name ~ /bad/
at mail
    reject "not %{mail}, %{mail.local}" if mail.local ~ /bad/
at rcpt
    reject "not %{rcpt.local}" if rcpt.local ~ /bad/
END
	my $c = $q->client;

	$c->greeting;
	$c->send('EHLO bad"name\\x');
	my (undef, $text) = $c->reply;
	unlike($text, qr/[^ -~]/, 'HELO');
	$c->send('EHLO c.example', 'MAIL FROM:<"bad\" \\\\ x"@example.org>',
	    'MAIL FROM:<a@example.org>', 'RCPT TO:<"a bad\@one"@example.com>',
	    "RCPT TO:<\"bad\xc3\xa4\"\@example.com>",
	    "RCPT TO:<\"bad\x01\"\@example.com>", 'NOOP');
	$c->expect(qr/^250/);
	$c->expect(qr/^550 5\.7\.1 not "bad\\" \\\\ x"\@example\.org, bad" \\ x$/,
	    'a quoted sender');
	$c->expect(qr/^250/);
	$c->expect(qr/^550 5\.7\.1 not a bad\@one$/, 'a quoted recipient');
	$c->expect(qr/^5\d\d [ -~]+$/, 'UTF-8 without SMTPUTF8');
	$c->expect(qr/^501 5\.5\.2/, 'a control is no command');
	$c->expect(qr/^250/);
	$c->close;
};

# Two filters: what the first and the second say of recipient, message; what
# the client hears.
my @opinions = (
	['accept', 'reject', 'rcpt', qr/^250/],
	['reject 550 5.1.1 "one"', 'accept', 'rcpt', qr/^550 5\.1\.1 one$/],
	['tempfail "one"', 'reject "two"', 'rcpt', qr/^450 4\.7\.1 one$/],
	['log "x"', 'reject "two"', 'rcpt', qr/^550 5\.7\.1 two$/],
	['observe reject "one"', 'tempfail "two"', 'rcpt', qr/^450 4\.7\.1 two$/],
	['discard', 'reject', 'rcpt', qr/^250/],
	['reject "one"', 'discard', 'rcpt', qr/^550 5\.7\.1 one$/],
	['accept', 'reject', 'eom', qr/^250/],
	['reject "one"', 'accept', 'eom', qr/^554 5\.7\.1 one$/],
	['discard', 'reject', 'eom', qr/^250/],
	['score 5', 'reject "two" if score > 0', 'eom', qr/^250/],
	['score 5', 'tempfail "two"', 'eom', qr/^451 4\.7\.1 two$/],
	['accept', 'reject', 'header', qr/^250/],
	['log "x"', 'reject "two"', 'header', qr/^554 5\.7\.1 two$/],
	['tempfail "one"', 'reject "two"', 'body', qr/^451 4\.7\.1 one$/],
);

subtest 'two filters' => sub {
	my @texts = map { my $n = $_; map { "at $opinions[$n][2]\n    $_\n" }
	    @{$opinions[$n]}[0, 1] } 0 .. $#opinions;
	my $q = Policy::prepare(\@texts, backend => $mta->address);
	my $conf = $q->{dir} . '/vratar.conf';
	my $n = -1;

	# Listener n has the n-th pair.
	open my $in, '<', $conf or die "$conf: $!";
	my $text = join '', <$in>;
	$text =~ s/chain = \{ "p(\d+)" \}/'chain = { "p' . $1 % @texts .
	    '", "p' . ($1 + 1) % @texts . '" }'/ge;
	$q->write('vratar.conf', $text);
	$q->run('serve', @{$q->{args}});
	$q->wait_ready or die;
	for my $row (@opinions) {
		my ($one, $two, $stage, $like) = @$row;
		my $c = $q->client(listener => 2 * ++$n);
		my $name = "$one, $two at $stage";

		$mta->forget;
		$c->hello;
		$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
		$c->expect(qr/^250/);
		if ($stage eq 'rcpt') {
			$c->expect($like, $name);
		} else {
			$c->expect(qr/^250/);
			$c->message("Subject: x\r\n\r\nx\r\n");
			$c->expect($like, $name);
		}
		my $taken = grep { /accept|score 5/ && $two !~ /^tempfail/ } $one;
		is(scalar $mta->messages, $stage ne 'rcpt' && $taken ? 1 : 0,
		    "$name: the backend");
		$c->close;
	}
};

done_testing;
