#!/usr/bin/perl
# "vratar test", the daemon, and Postfix with "vratar milter" agree on every kind
# of table, action, stage and block (t/430-test-verb.t has the steps of a session),
# and so do the edits.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;
use Backend;
use Doors;
use Milterd;
use Policy;
use Postfix;
use Socketmap;

my $dir = tempdir('doors-XXXXXX', TMPDIR => 1, CLEANUP => 1);
$ENV{TMPDIR} = $dir;

sub file
{
	my ($name, $text) = @_;

	open my $out, '>', "$dir/$name" or die "$dir/$name: $!";
	print $out $text;
	close $out;
	return "$dir/$name";
}

# A table of each kind with good@example.com in it and bad@example.com not.
my $map = Socketmap->start(sub { $_[1] eq 'good@example.com' ? 'OK x' :
    $_[1] =~ /^temp/ ? 'TEMP x' : 'NOTFOUND ' });
file('text', "good\@example.com x\n");
file('pcre', "/^good\@/ x\n");
file('regexp', "/^good\@/ x\n");
file('cidr', "192.0.2.0/24 x\n");
my %table = (
	texthash  => "texthash:$dir/text",
	inline	  => 'inline:{good@example.com=x}',
	pcre	  => "pcre:$dir/pcre",
	regexp	  => "regexp:$dir/regexp",
	union	  => "unionmap:{texthash:$dir/text, inline:{other=y}}",
	pipemap	  => "pipemap:{texthash:$dir/text, inline:{x=y}}",
	socketmap => 'socketmap:inet:' . $map->address . ':map',
);
for my $type (qw(hash btree lmdb cdb)) {
	file("$type", "good\@example.com x\n");
	my ($status) = -x '/usr/sbin/postmap' ?
	    Run::run('/usr/sbin/postmap', "$type:$dir/$type") : 1;
	$table{$type} = "$type:$dir/$type" if $status == 0;
}

# name, policy, sessions
my @cases;
my $good = { rcpts => ['good@example.com', 'bad@example.com'] };
for my $kind (sort keys %table) {
	push @cases, ["table $kind", "table t \"$table{$kind}\"\nat rcpt\n" .
	    "    reject 550 5.1.1 \"<%{rcpt}> no\" if rcpt not in t\n", $good,
	    { rcpts => ['bad@example.com'] }];
}
push @cases, ['table socketmap, no answer', "table t \"$table{socketmap}\"\n" .
    "at rcpt\n    reject if rcpt not in t\n", { rcpts => ['temp@example.com'] }];
push @cases, ['table cidr', "table t \"cidr:$dir/cidr\"\nat connect\n" .
    "    reject 554 5.7.1 \"%{client.ip}\" if client.ip in t\n",
    {}, { client => '192.0.2.77' }, { client => '2001:db8::1' }];
push @cases, ['table static', "at mail\n    use access \"static:REJECT no\"\n", {}];

# Rules that do not ask for a table: at, rule.
my %rule = (
	'reject at mail' => ['mail', 'reject "no" if mail.local is "bad"'],
	'421 at rcpt' => ['rcpt', 'tempfail 421 4.7.0 "bye"'],
	'default codes' => ['helo', 'tempfail'],
	'reject at data' => ['data', 'reject 554 5.5.9 "no data"'],
	'accept at mail' => ['mail', "accept\nat eom\n    reject"],
	'accept at rcpt' => ['rcpt', "accept if rcpt.local is \"good\"\n    reject"],
	'discard at rcpt' => ['rcpt', 'discard'],
	'discard at eom' => ['eom', 'discard "gone"'],
	'observe' => ['rcpt', 'observe reject "would"'],
	'score' => ['eom', "score 4\n    score 3 \"x\" if mail\n    reject \"%{score}\" if score >= 7"],
	'score, null sender' => ['eom', "score 4\n    score 3 if mail\n    tempfail if score >= 7"],
	'a variable' => ['mail', "set seen = yes\nat rcpt\n    reject \"seen\" if seen"],
	'delay' => ['rcpt', "delay 20ms\n    reject \"late\""],
	'block' => ['rcpt', "call b\nblock b\n    reject \"in b\" if rcpt.local is \"bad\""],
	'if' => ['rcpt', "if mail {\n    if rcpt.local is \"bad\" {\n        reject \"deep\"\n    }\n    }"],
	'header' => ['header', 'reject "field" if header.name is "subject" and header.value ~ /HELLO/i'],
	'body' => ['body', 'tempfail "line" if body.line is ".dot"'],
	'any' => ['eom', 'reject "any" if any domain(rcpts) is "example.com"'],
	'count' => ['eom', 'reject "%{count(rcpts)} are too many" if count(rcpts) > 1'],
	'captures' => ['rcpt', 'reject "no %{1} at %{2}" if rcpt ~ /^(.*)@(.*)$/'],
	'hostname' => ['helo', 'reject if helo.name is not fqdn'],
	'name' => ['connect', 'reject "%{client.name}" if client.name is "host.example"'],
	'login' => ['rcpt', 'reject "log in" if not auth.user'],
	'size' => ['mail', 'reject 552 5.3.4 "too large" if size > 40'],
	'size at eom' => ['eom', 'reject 552 5.3.4 "%{size} is too large" if size > 40'],
	'bad recipients' => ['rcpt', "tempfail 421 4.7.0 \"enough\" if session.bad_rcpts >= 1\n    reject if rcpt.local is \"bad\""],
	'header_checks' => ['header', 'use header_checks "pcre:{{/^Subject: hello/ REJECT no hello}}"'],
	'header_checks, warn' => ['header', 'use header_checks "pcre:{{/^Subject: hello/ WARN hello}}"'],
	'header_checks, discard' => ['header', 'use header_checks "pcre:{{/^Subject:/ DISCARD}}"'],
	'body_checks' => ['body', 'use body_checks "regexp:{{/dot/ REJECT 5.7.9 no dots}}"'],
	'access' => ['rcpt', 'use access "inline:{{bad@ = 450 4.2.9 bad}}"'],
	'access, DEFER' => ['rcpt', 'use access "inline:{{bad@ = DEFER 4.2.9 later}}"'],
	'8 bit' => ['eom', "reject \"%{header(\"Subject\")}\" if header(\"Subject\") ~ /\xc3\xa4/"],
);
my @sessions = ({ rcpts => ['good@example.com', 'bad@example.com'] },
    { from => '', rcpts => ['bad@example.com'], name => 'host.example',
    login => 'joe', message => "Subject: \xc3\xa4 HELLO\n\nx\n" });
push @cases, map { [$_, "at $rule{$_}[0]\n    $rule{$_}[1]\n" .
    ($_ eq 'a variable' ? "variable seen = no\n" : ''), @sessions] }
    sort keys %rule;
push @cases, ['for domain', "for domain example.com {\nat rcpt\n" .
    "    reject \"here\" if rcpt.local is \"bad\"\nat eom\n    tempfail \"for it\"\n}\n",
    @sessions, { rcpts => ['x@other.example'] }];
push @cases, ['for listener', "for listener \"127.0.0.250:0\" {\nat rcpt\n" .
    "    reject \"not here\"\n}\nfor listener \"0\" {\nat rcpt\n    accept\n}\n",
    @sessions];
# What the backend hears, and what is told of it.
my %edit = (
	'redirect recipient' => 'redirect to "else@example.com"',
	'add recipient' => 'add recipient "else@example.com"',
	'delete recipient' => 'delete recipient "bad@example.com"',
	'add header' => 'add header "X-A: %{mail}"',
	'insert header' => 'insert header "X-A: b"',
	'change header' => 'change header "Subject: new"',
	'delete header' => 'delete header "Subject"',
);
my $from = "From: a\@example.org\r\n";
my $rest = "\r\nhello\r\n.dot\r\n";
my %content = (
	'add header' => "${from}Subject: hello\r\nX-A: a\@example.org\r\n$rest",
	'insert header' => "X-A: b\r\n${from}Subject: hello\r\n$rest",
	'change header' => "${from}Subject: new\r\n$rest",
	'delete header' => "$from$rest",
);
push @cases, map { [$_, "at eom\n    $edit{$_}\n", $sessions[0]] } sort keys %edit;

my $mta = Backend->start('MAIL' => '250 2.1.0 Ok', 'RCPT' => '250 2.1.5 Ok',
    '.' => '250 2.0.0 Ok', 'LAST' => '250 2.0.0 Ok',
    extensions => ['PIPELINING', 'SIZE', '8BITMIME', 'SMTPUTF8', 'CHUNKING',
    'ENHANCEDSTATUSCODES']);
my $p = Policy::each([map { $_->[1] } @cases], backend => $mta->address,
    set => { 'dns-timeout' => '100ms' },
    listen => { 'accept-xclient-from' => ['127.0.0.1'] });
my $n = -1;
my $compared = 0;

# The third door: who is behind Postfix gets what came through it.
my ($behind, $postfix);
if (Postfix::possible()) {
	chmod 0755, $dir;
	$behind = Backend->start(extensions => ['PIPELINING', 'SIZE', '8BITMIME',
	    'SMTPUTF8', 'ENHANCEDSTATUSCODES']);
	$postfix = Postfix->start(sasl => { joe => 'secret' }, main => {
		smtpd_milters => "unix:$dir/door",
		smtpd_relay_restrictions => 'reject_unauth_destination',
		virtual_mailbox_domains => '', smtpd_delay_reject => 'no',
		relay_domains => 'example.com, other.example',
		local_header_rewrite_clients => '',
		default_transport => 'smtp:' . ($behind->address =~ s/(.*):/[$1]:/r),
		relay_transport => 'smtp:' . ($behind->address =~ s/(.*):/[$1]:/r),
	});
}

# The messages as they came, but for what Postfix has to say of itself.
sub arrived
{
	my ($mta, $many) = @_;

	Wait::wait_until(sub { $mta->messages >= $many }) if $many;
	return map { s/^Received: from \S+ \(.*?\r\n(?=\S)//msr }
	    map { $_->{content} } $mta->messages;
}

for my $case (@cases) {
	my ($name, $policy, @each) = @$case;
	my $door = Doors->new($p, ++$n);

	subtest $name => sub {
		my $milter = $postfix ? Milterd->beside($p, Policy::address($n),
		    "unix:$dir/door") : undef;
		for my $i (0 .. $#each) {
			$mta->forget;
			my $said = $door->agree("session $i", %{$each[$i]});
			my $discarded = $said =~ /^the message is discarded/m;
			my $taken = $said =~ /^DATA 250/m && !$discarded;
			is(scalar $mta->messages, $taken ? 1 : 0,
			    'and the backend has it, or not');
			$compared++;
			if ($milter) {
				my @content = map { $_->{content} } $mta->messages;
				$behind->forget;
				$door->agree_with($postfix, "session $i", %{$each[$i]});
				is_deeply([arrived($behind, scalar @content)], \@content,
				    'with the same message behind it');
			}
			next unless $edit{$name};
			like($said, qr/^edits:\n  \Q$name\E (?:\d )?"[^"]+" \(p$n\)$/m,
			    'the edit is told');
			is($mta->last->{content}, $content{$name}, 'and made')
			    if $content{$name};
		}
	};
}
cmp_ok($compared, '>=', 80, "$compared sessions were compared");

# The object of --json: these names do not change.
subtest '--json' => sub {
	my ($i) = grep { $cases[$_][0] eq 'captures' } 0 .. $#cases;
	my ($status, $said) = Doors->new($p, $i)->run(%{$sessions[0]},
	    options => ['--json']);
	my $all = decode_json($said);

	is($status, 1, 'exit status');
	is(join(' ', sort keys %$all), 'edits findings stages trace verdict', 'names');
	is($all->{verdict}, 'refused', 'verdict');
	is_deeply([map { $_->{stage} } @{$all->{stages}}],
	    [qw(CONNECT EHLO MAIL RCPT RCPT)], 'stages');
	is_deeply($all->{stages}[3], { stage => 'RCPT', code => 550,
	    recipient => 'good@example.com',
	    reply => '550 5.7.1 no good at example.com' }, 'a stage');
	my @rules = grep { $_->{tests} } @{$all->{trace}};
	is_deeply($rules[0], { stage => 'rcpt',
	    recipient => 'good@example.com', rule => "p$i.rules:2",
	    source => $rule{captures}[1], held => JSON::PP::true,
	    followed => 'reject 550 5.7.1 no good at example.com',
	    tests => [{ asked => 'rcpt', value => '"good@example.com"',
	    against => '~ /^(.*)@(.*)$/', held => JSON::PP::true }] }, 'a rule');
	my ($table) = grep { $cases[$_][0] eq 'table inline' } 0 .. $#cases;
	(undef, $said) = Doors->new($p, $table)->run(%{$sessions[0]},
	    options => ['--json']);
	my @tests = map { @{$_->{tests} // []} } @{decode_json($said)->{trace}};
	is_deeply(\@tests, [map { { asked => 'rcpt', value => "\"$_->[0]\"",
	    against => 'not in t', held => $_->[1] } }
	    ['good@example.com', JSON::PP::false],
	    ['bad@example.com', JSON::PP::true]], 'what is denied is told so');
	my ($told) = grep { $_->{verdict} } @{$all->{trace}};
	is_deeply($told, { stage => 'rcpt', filter => "p$i",
	    recipient => 'good@example.com',
	    verdict => 'reject', reply => '550 5.7.1 no good at example.com',
	    rule => "p$i.rules:2", observe => JSON::PP::false }, 'a verdict');
};

# The same options in other forms, and what each exit status means.
subtest 'the command line' => sub {
	my ($i) = grep { $cases[$_][0] eq 'table inline' } 0 .. $#cases;
	my $mail = file('mail', "Subject: x\n\nx\n");
	my $conf = "$p->{dir}/vratar.conf";
	my @base = ($Proxy::PROGRAM, 'test', '-c', $conf, '--listener',
	    Policy::address($i));
	my @who = ('--client', '127.0.0.1', '--helo', 'x', '--from', 'a@b.example');
	my $run = sub { Run::run('/bin/sh', '-c', "exec \"\$@\" 2>/dev/null <$mail",
	    'sh', @_) };
	my @both = ('good@example.com', 'bad@example.com');
	my ($status, $want) = $run->(@base, @who, (map { ('--rcpt', $_) } @both), $mail);

	is($status >> 8, 0, 'accepted');
	like($want, qr/^RCPT <good\S+ 250 .*\nRCPT <bad\S+ 550 /m, 'two recipients');
	for my $form ([@who, '--rcpt', @both, $mail],
	    [$mail, @who, '--rcpt', @both],
	    ['--rcpt', $both[0], '--rcpt', $both[1], @who, '-'],
	    ['--client=127.0.0.1', '--helo=x', '--from=a@b.example',
	    "--rcpt=$both[0]", "--rcpt=$both[1]", $mail]) {
		my ($s, $said) = $run->(@base, @$form);
		is($said, $want, "@$form");
		is($s, 0, 'exit status');
	}
	($status) = $run->(@base, @who, '--rcpt', $both[1], $mail);
	is($status >> 8, 1, 'refused');
	my ($later) = grep { $cases[$_][0] eq 'default codes' } 0 .. $#cases;
	($status) = $run->(@base, '--listener', Policy::address($later), @who,
	    '--rcpt', $both[0], $mail);
	is($status >> 8, 75, 'temporary');
	for my $missing ('--client', '--helo', '--from', '--rcpt') {
		my @all = (@who, '--rcpt', $both[0]);
		my ($at) = grep { $all[$_] eq $missing } 0 .. $#all;
		splice @all, $at, 2;
		my ($s, $said) = Run::run(@base, @all, $mail);
		is($s >> 8, 2, "$missing is missing");
		like($said, qr/^vratar test: $missing is missing$/m, 'said');
	}
	my ($s, $said) = Run::run($Proxy::PROGRAM, 'test', '-c', "$dir/none",
	    @who, '--rcpt', $both[0], $mail);
	is($s >> 8, 2, 'no such configuration');
	like($said, qr/\Q$dir\E\/none.*No such file/, 'said');
};

done_testing;
