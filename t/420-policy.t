#!/usr/bin/perl
# A policy file decides in real sessions: each action at each stage, with the
# place of the rule in the log.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use MIME::Base64;
use Test::More;
use Backend;
use Dns;
use Proxy;
use Run;

my $mta = Backend->start('RCPT TO:<nobody@' => '550 5.1.1 not here');

# A proxy with this policy: text, filter rows, options of Proxy->start.
sub start
{
	my ($policy, %o) = @_;
	my $file = File::Temp->new(SUFFIX => '.rules');
	my $rows = delete $o{rows} // '';

	print $file $policy;
	close $file;
	my $p = Proxy->start(backend => $mta->address,
	    listen => { chain => ['policy'], %{delete $o{listen} // {}} },
	    extra => "filter \"policy\" { type = \"policy\" file = \"$file\"" .
	    " $rows }\n" . (delete $o{extra} // ''), %o);
	$p->{policy} = $file;
	($p->{name}) = "$file" =~ m{([^/]+)\z};
	return $p;
}

subtest 'a policy as in the manual' => sub {
	my $recipients = File::Temp->new;
	print $recipients "good\@example.com x\nb\@example.com x\n" .
	    "nobody\@example.com x\n";
	close $recipients;
	my $p = start(<<"END");
table recipients "texthash:$recipients"

at connect
    reject 554 5.7.1 "%{client.ip} is not welcome here" if client.ip in { 127.0.0.9 }

at helo
    reject 501 5.5.2 "HELO name is not a host name" if not helo.name is hostname

at mail
    reject 550 5.7.1 "not from you" if mail.local is "spammer"

at rcpt
    accept if rcpt.local is "postmaster"
    reject 550 5.1.1 "<%{rcpt}>: no such user here" if not rcpt in recipients

at eom
    score 2.5 "shouting subject" if header("Subject") ~ /^[^a-z]{10,}\$/
    score 8 "from nobody" if mail is empty
    reject 554 5.7.1 "message looks like spam (%{score})" if score >= 10

at disconnect
    log "%{session.bad_rcpts} bad recipients" if session.bad_rcpts > 0
END
	my $c = $p->client(from => '127.0.0.9');
	$c->expect(qr/^554 5\.7\.1 127\.0\.0\.9 is not welcome here$/);
	$c->expect_close;
	$p->log_like(qr/verdict filter=policy at=connect verdict=reject rule=\Q$p->{name}\E:4 /,
	    'the rule is in the log');

	$c = $p->client;
	$c->greeting;
	$c->send('EHLO -x');
	$c->expect(qr/^501 5\.5\.2 HELO name is not a host name$/);
	$c->hello;
	$c->send('MAIL FROM:<spammer@example.org>');
	$c->expect(qr/^550 5\.7\.1 not from you$/);
	$mta->forget;
	$c->send('MAIL FROM:<>', map { "RCPT TO:<$_\@example.com>" }
	    qw(bad good nobody postmaster bad2 b));
	$c->expect(qr/^250/);
	$c->expect($_) for qr/^550 5\.1\.1 <bad\@example\.com>: no such user/,
	    qr/^250/, qr/^550 5\.1\.1 not here/, qr/^250/,
	    qr/^550 5\.1\.1 <bad2/, qr/^250/;
	$p->log_like(qr/rcpt to=bad\@example\.com verdict=reject by=\Q$p->{name}\E:14 /,
	    'refused by a rule');
	$p->log_like(qr/rcpt to=nobody\@example\.com verdict=reject by=backend/,
	    'refused by the backend');
	$c->message("Subject: THIS IS A BARGAIN\r\n\r\nhello\r\n");
	$c->expect(qr/^554 5\.7\.1 message looks like spam \(10\.5\)$/);
	$p->log_like(qr/decision from="" accepted=3 refused=3 verdict=reject at=eom by=\Q$p->{name}\E:19 .* filter\.policy=reject\@eom,\d+us,\Q$p->{name}\E:19/,
	    'the decision record');
	is(scalar $mta->commands(qr/bad/), 0, 'the backend never heard of bad');
	$c->send('MAIL FROM:<>', 'RCPT TO:<good@example.com>');
	$c->expect(qr/^250/) for 1 .. 2;
	$c->message("Subject: hello\r\n\r\nhello\r\n");
	$c->expect(qr/^250/, 'the score does not outlive its message');
	$c->quit;
	$p->log_like(qr/note at=disconnect text="3 bad recipients" rule=/,
	    'at disconnect');
};

my @stages = (
	[connect => 'EHLO c', qr/^554 %s$/, qr/^421 %s$/],
	[helo => 'EHLO c', qr/^554 %s$/, qr/^450 %s$/],
	[mail => 'MAIL FROM:<a@example.org>', qr/^554 %s$/, qr/^450 %s$/],
	[rcpt => 'RCPT TO:<b@example.com>', qr/^554 %s$/, qr/^450 %s$/],
	[data => 'DATA', qr/^554 %s$/, qr/^450 %s$/],
	[header => '.', qr/^554 %s$/, qr/^450 %s$/],
	[eom => '.', qr/^554 %s$/, qr/^450 %s$/],
);

# Say everything up to the command; returns the client.
sub upto
{
	my ($p, $command) = @_;
	my $c = $p->client;
	my @said = ('', 'EHLO c', 'MAIL FROM:<a@example.org>',
	    'RCPT TO:<b@example.com>', 'DATA', '.');

	for my $line (@said) {
		$c->octets("Subject: x\r\n\r\nx\r\n") if $line eq '.';
		$c->send($line) if $line ne '';
		return $c if $line eq $command;
		my ($code, $text) = $c->reply;
		return ($c, $text) if $code >= 400 || !$code;
	}
	return $c;
}

for my $row (@stages) {
	my ($stage, $command, @like) = @$row;

	subtest "at $stage" => sub {
		my %want = (reject => '5.7.9 no here', tempfail => '4.7.9 later');
		for my $action (sort keys %want) {
			my $code = $action eq 'reject' ? 554 : 450;
			my $p = start("at $stage\n    $action $code " .
			    ($want{$action} =~ s/ (.*)/ "$1"/r) . "\n");
			my ($c, $text) = upto($p, $command);
			$text //= ($c->reply)[1];
			my $like = $stage eq 'connect' && $action eq 'tempfail' ?
			    "421 $want{$action}" : "$code $want{$action}";
			is($text, $like, $action);
		}
		my $p = start("at $stage\n    accept\nat eom\n    reject\n" .
		    "at rcpt\n    reject if rcpt.local is \"x\"\n");
		my ($c, $text) = upto($p, $command);
		$text //= ($c->reply)[1];
		like($text, $stage eq 'eom' ? qr/^250/ : $stage eq 'rcpt' ?
		    qr/^250/ : qr/^(?:220|250|354)/, 'accept');
		$p = start("at $stage\n    observe reject \"would\"\n    log \"seen\"\n");
		($c, $text) = upto($p, '.');
		$text //= ($c->reply)[1];
		like($text, qr/^250/, 'observe lets it pass');
		$p->log_like(qr/note at=$stage text=seen rule=\Q$p->{name}\E:3/, 'log');
		is(scalar(() = $p->log(qr/observe at=$stage would="reject.*rule=\Q$p->{name}\E:2/)) > 0,
		    1, 'and says what would have been');
		if ($stage =~ /mail|rcpt|data|header|eom/) {
			$mta->forget;
			$p = start("at $stage\n    discard\n");
			($c, $text) = upto($p, '.');
			$text //= ($c->reply)[1];
			like($text, qr/^250/, 'discard');
			is(scalar $mta->messages, 0, 'nobody has it');
			$p->log_like(qr/ rcpt to=\S+ verdict=discard by=\Q$p->{name}\E:2 /,
			    'the log has the rule') if $stage =~ /mail|rcpt/;
			$p->log_like(qr/ discard from=/, 'loudly');
			$p->log_like(qr/ decision from=\S+ .*verdict=discard at=\S+ by=\Q$p->{name}\E:2 /,
			    'and the record has the rule');
		}
	};
}

subtest 'limits on bad recipients' => sub {
	my $p = start(<<'END');
at rcpt
    tempfail 421 4.7.0 "too many bad recipients" if session.bad_rcpts >= 3
    reject 550 5.1.1 "no" if rcpt.local is "bad"
END
	my $c = $p->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<good@example.com>',
	    ('RCPT TO:<bad@example.com>') x 5);
	$c->expect(qr/^250/) for 1 .. 2;
	$c->expect(qr/^550 5\.1\.1/) for 1 .. 3;
	$c->expect(qr/^421 4\.7\.0 too many bad recipients$/);
	is($c->expect_close, '', 'and that is the end');
};

subtest 'who has logged in' => sub {
	my $login = Backend->start(auth => 'PLAIN LOGIN');
	my $p = start(<<'END', backend => $login->address, set => { 'auth-without-tls' => 'true' });
at auth
    reject 535 5.7.8 "not you, %{auth.user}" if auth.user is "mallory"
    log "%{auth.user} by %{auth.mechanism}"
at rcpt
    reject 550 5.7.1 "log in first" if not auth.user
END
	my $plain = sub { encode_base64("\0$_[0]\0secret", '') };
	my $c = $p->client;

	$c->hello;
	$c->send('AUTH PLAIN ' . $plain->('mallory'));
	$c->expect(qr/^535 5\.7\.8 not you, mallory$/, 'refused by us');
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>', 'RSET');
	$c->expect(qr/^250/);
	$c->expect(qr/^550 5\.7\.1 log in first$/, 'so this is nobody');
	$c->expect(qr/^250/);
	$c->send('AUTH PLAIN ' . $plain->('joe'));
	$c->expect(qr/^235/, 'another one may');
	$p->log_like(qr/note at=auth text="joe by PLAIN"/, 'who and how');
	$c->deliver('a@example.org', 'b@example.com');
	$c = $p->client;
	$c->hello;
	$c->send('AUTH LOGIN');
	$c->expect(qr/^334/);
	$c->send(encode_base64('jim', ''));
	$c->expect(qr/^334/);
	$c->send(encode_base64('secret', ''));
	$c->expect(qr/^235/, 'LOGIN');
	$p->log_like(qr/note at=auth text="jim by LOGIN"/, 'who and how');
	$c->deliver('a@example.org', 'b@example.com');
	$p->log_unlike(qr/secret|c2VjcmV0/, 'no password in the log');
};

subtest 'a tarpit' => sub {
	my $p = start("at rcpt\n    delay 40s if rcpt.local is \"bad\"\n" .
	    "    reject if rcpt.local is \"bad\"\n");
	my $c = $p->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<bad@example.com>');
	$c->expect(qr/^250/);
	my $other = $p->client;
	$other->hello;
	$other->deliver('a@example.org', 'b@example.com');
	$c->expect_nothing;
	$p->clock(40_000);
	$c->expect(qr/^550/, 'late');
};

subtest 'route to' => sub {
	my $two = Backend->start;
	my $p = start("at rcpt\n    route to two if rcpt.domain is \"two.example\"\n",
	    extra => 'backend "two" { address = "' . $two->address .
	    "\" identity = \"none\" }\n");
	my $c = $p->client;

	$c->hello;
	$mta->forget;
	$c->deliver('a@example.org', 'b@two.example');
	is($two->last->{rcpts}[0], '<b@two.example>', 'the other backend has it');
	$c->deliver('a@example.org', 'b@example.com');
	is($mta->last->{rcpts}[0], '<b@example.com>', 'and the first its own');
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@two.example>',
	    'RCPT TO:<b@example.com>');
	$c->expect(qr/^250/) for 1 .. 2;
	$c->expect(qr/^451 4\.3\.0/, 'one transaction, one backend');
};

subtest 'DNS' => sub {
	my $dns = Dns->start('exists.example MX' => '10 mx.exists.example',
	    'address.example A' => '192.0.2.1', 'null.example MX' => '0 .',
	    'broken.example MX' => 'SERVFAIL');
	my $p = start(<<'END', set => { 'dns-servers' => [$dns->server], 'dns-timeout' => '2s' });
at mail
    reject 550 5.1.8 "%{mail.domain} does not exist" if mail.domain and not resolves(mail.domain)
END
	my $c = $p->client;

	$c->hello;
	my %want = ('a@exists.example' => qr/^250/, 'a@address.example' => qr/^250/,
	    '' => qr/^250/, 'a@[192.0.2.1]' => qr/^250/,
	    'a@missing.example' => qr/^550 5\.1\.8 missing\.example does not/,
	    'a@null.example' => qr/^550 5\.1\.8/,
	    'a@broken.example' => qr/^451 4\.7\.1/);
	for my $from (sort keys %want) {
		$c->send("MAIL FROM:<$from>", 'RSET');
		$c->expect($want{$from}, "<$from>");
		$c->expect(qr/^250/);
	}
};

subtest 'the DNS does not answer' => sub {
	my $p = start("at mail\n    reject if not resolves(mail.domain)\n",
	    rows => 'on-failure = "tempfail"');
	my $c = $p->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>');
	$p->log(qr/x/);
	$c->expect(qr/^451 4\.7\.1/, 'is a failure, not a refusal');
	$p->log_like(qr/policy-failed at=mail why="DNS cannot say/, 'logged');
};

for my $failure ('tempfail', 'accept', 'reject') {
	subtest "a dead socketmap server, on-failure = $failure" => sub {
		my $nobody = Backend::nobody();
		my $p = start(<<"END", rows => "on-failure = \"$failure\"");
table remote "socketmap:inet:$nobody:map"
at rcpt
    reject 550 5.1.1 "not there" if not rcpt in remote
END
		my $c = $p->client;

		$c->hello;
		$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>',
		    'RCPT TO:<c@example.com>', 'NOOP');
		$c->expect(qr/^250/);
		$c->expect($failure eq 'accept' ? qr/^250/ :
		    $failure eq 'reject' ? qr/^554 5\.7\.1/ : qr/^451 4\.7\.1/)
		    for 1 .. 2;
		$c->expect(qr/^250/, 'the session goes on');
		$p->log_like(qr/policy-failed at=rcpt .*rule=\Q$p->{name}\E:3/,
		    'the log has the rule');
	};
}

subtest 'header and body checks' => sub {
	my $checks = File::Temp->new;
	print $checks "/^Subject: bad/ REJECT bad subject\n/^X-Warn:/ WARN look\n";
	close $checks;
	my $body = File::Temp->new;
	print $body "/^badline/ REJECT bad body\n/lastline\$/ REJECT bad end\n";
	close $body;
	my $p = start("at header\n    use header_checks \"regexp:$checks\"\n" .
	    "at body\n    use body_checks \"regexp:$body\"\n");
	my $c = $p->client;

	$c->hello;
	my @row = (["Subject: bad\r\n\r\nx\r\n", qr/^5\d\d .*bad subject/],
	    ["X-Warn: y\r\n\r\nx\r\n", qr/^250/],
	    ["X: y\r\n\r\n" . ("fine\r\n" x 9_000) . "badline\r\nfine\r\n",
	    qr/^5\d\d .*bad body/],
	    ["X: y\r\n\r\n" . ("fine\r\n" x 20_000) . "badline\r\n",
	    qr/^250/],		# body_checks_size_limit
	    ["X: y\r\n\r\nSubject: bad\r\n", qr/^250/],
	    ["X: y\r\n\r\nthe lastline\r\n", qr/^5\d\d .*bad end/]);
	for my $row (@row) {
		$c->envelope('a@example.org', 'b@example.com');
		$c->message($row->[0]);
		$c->expect($row->[1]);
	}
	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat("X: y\r\n\r\nthe lastline", 1);
	$c->expect(qr/^5\d\d .*bad end/, 'a last line without an end');
	$p->log_like(qr/note at=header text=.*look.* level=warn/, 'WARN');
};

# Trouble with the DNS is no reason to refuse anybody for good.
subtest 'no name for now' => sub {
	my $dns = Dns->start('3.0.0.127.in-addr.arpa PTR' => 'SERVFAIL',
	    '5.0.0.127.in-addr.arpa PTR' => 'five.example',
	    'five.example A' => '127.0.0.5');
	my %dns = (set => { 'dns-servers' => [$dns->server],
	    'dns-timeout' => '1s' });
	my $p = start(<<'END', %dns);
at connect
    reject "who are you?" if client.name is unknown
at mail
    log "from %{client.name}"
END
	my $c = $p->client(from => '127.0.0.3');
	$c->expect(qr/^421 4\./, 'put off');
	$p->log_like(qr/policy-failed at=connect why="DNS cannot say the name of the client now" rule=\S+:2/,
	    'why');
	$p->client(from => '127.0.0.4')->expect(qr/^554 .*who are you/,
	    'no name is another thing');
	$p->client(from => '127.0.0.5')->expect(qr/^220 /, 'a name');
	$p = start(<<'END', %dns);
at connect
    use access "inline:{{unknown = REJECT}, {127.0.0.3 = OK}}"
END
	$p->client(from => '127.0.0.3')->expect(qr/^421 4\./, 'a table');
	$p->client(from => '127.0.0.4')->expect(qr/^554 /, 'unknown');
	$p = start(<<'END', %dns);
at mail
    log "from %{client.name}"
END
	$c = $p->client(from => '127.0.0.3');
	$c->hello;
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^250 /, 'a text needs none');
	$p->log_like(qr/note at=mail text="from unknown"/, 'and says so');
};

subtest 'mistakes in several files' => sub {
	my $p = Proxy->prepare(backend => $mta->address,
	    set => { 'frobnicate' => 'x' },
	    listen => { chain => ['one', 'two', 'none'] },
	    extra => join '', map { "filter \"$_\" { type = \"policy\" file = \"DIR/$_.rules\" }\n" } qw(one two));
	my $d = $p->{dir};
	my $conf = "$d/vratar.conf";
	my $text = do { local (@ARGV, $/) = $conf; <> };
	$p->write('vratar.conf', $text =~ s/DIR/$d/gr);
	$p->write('one.rules', "include \"three.rules\"\nat rcpt\n    rejct\n");
	$p->write('two.rules', "at mail\n    accept if siz > 10M\n    deny\n");
	$p->write('three.rules', "table t \"texthash:$d/none\"\nat mail\n    reject if rcpt in t\n");
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c', $conf);
	is($status >> 8, 2, 'check');
	like($said, $_) for qr{^\Q$conf\E:\d+: unknown setting "frobnicate"}m,
	    qr{^\Q$conf\E:\d+: chain: there is no filter "none"}m,
	    qr{^$d/one\.rules:3:5: "rejct" is no action \(did you mean reject\?\)\n    rejct\n    \^$}m,
	    qr{^$d/three\.rules:1:9: .*none: No such file}m,
	    qr{^$d/three\.rules:3:15: there is rcpt at rcpt only.*\n    reject if rcpt in t\n {14}\^$}m,
	    qr{^$d/two\.rules:2:15: there is no field "siz" \(did you mean size\?\)}m,
	    qr{^$d/two\.rules:3:5: "deny" is no action \(did you mean reject\?\)}m;
	my @again = $said =~ /^(\S+:\d+(?::\d+)?: .*)$/mg;
	is(scalar @again, 7, 'each once, and nothing else') or diag($said);
};

subtest 'mistakes' => sub {
	my $file = File::Temp->new(SUFFIX => '.rules');
	print $file "at rcpt\n    reject if clint.ip in { 127.0.0.1 }\n" .
	    "    route to nowhere\n";
	close $file;
	for my $how (['-c', 'conf'], ['--policy', "$file"]) {
		my $p = Proxy->prepare(backend => $mta->address,
		    listen => { chain => ['policy'] },
		    extra => "filter \"policy\" { type = \"policy\" file = \"$file\" }\n");
		my @args = $how->[0] eq '-c' ? ('-c', "$p->{dir}/vratar.conf") :
		    ('--listen', '127.0.0.1:0', '--backend', $mta->address,
		    '--policy', "$file");
		my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', @args);
		is($status >> 8, 2, "check $how->[0]");
		like($said, qr/\Q$file\E:2:\d+: .*clint\.ip.*client\.ip/s, 'each mistake');
		like($said, qr/\Q$file\E:3:\d+: .*nowhere/, 'in one run');
	}
	my $p = Proxy->prepare(backend => $mta->address,
	    extra => "filter \"policy\" { type = \"policy\" }\n");
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c',
	    "$p->{dir}/vratar.conf");
	like($said, qr/vratar\.conf:\d+: filter "policy": file is not set/, 'no file');
};

done_testing;
