#!/usr/bin/perl
# access(5): the same tables in a real Postfix and in a policy, and the same
# replies; and mistakes in what postmap(1) stored are found before serve starts.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use Backend;
use Postfix;
use Proxy;
use Run;

my $dir = tempdir('access-XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
mkdir "$dir/held" or die "mkdir: $!";

my @values = (
	'OK', 'OK x', 'RELAY', '550', '1234567890', 'DUNNO', 'DUNNO x',
	'REJECT', 'reject go  away', 'REJECT 2.7.1 two',
	'REJECT 3.7.1 three', 'REJECT 5.7.1x', 'REJECT   5.1.8   a   b',
	'DEFER', 'DEFER 5.1.1 later', 'DEFER 4.2.1 later',
	'550 no', '450 no', '599 no', '400 no', '550 4.1.1 no', '450 5.1.8 no',
	'421 bye', '521 bye', '521 5.1.1 bye',
	'DEFER_IF_PERMIT', 'DEFER_IF_PERMIT 5.1.8 not yet', 'DEFER_IF_REJECT',
	'DEFER_IF_REJECT 4.1.2 hm', 'DISCARD', 'DISCARD x', 'INFO', 'INFO a b',
	'WARN', 'WARN a b', 'HOLD',
	(map { "REJECT 5.1.$_ a" } 0 .. 12),
	(map { "REJECT 5.$_.1 a" } 0, 2 .. 7),
);

# What is looked up for the value $i.
my %keys = (
	client    => sub { "192.0.2.$_[0]" },
	helo      => sub { "h$_[0].example" },
	sender    => sub { "s$_[0]\@example.org" },
	recipient => sub { "r$_[0]\@example.com" },
);

sub write_file
{
	my ($name, $text) = @_;

	open my $out, '>', "$dir/$name" or die "$name: $!";
	print $out $text;
	close $out or die "$name: $!";
	return "$dir/$name";
}

for my $kind (keys %keys) {
	write_file($kind, join '', map { $keys{$kind}->($_) .
	    " $values[$_]\n" } 0 .. $#values);
}

# A proxy with this policy in front of $mta.
sub proxy
{
	my ($mta, $policy) = @_;
	my $rules = write_file('policy.rules', $policy);

	return Proxy->start(backend => $mta->address,
	    set => { quarantine => "maildir:$dir/held" },
	    listen => { chain => ['policy'],
	    'accept-xclient-from' => ['127.0.0.0/8'] }, extra =>
	    "filter \"policy\" { type = \"policy\" file = \"$rules\" }\n");
}

# A session in which one of the four has the value $i, up to the reply to RCPT.
# Returns that reply without the name that Postfix puts in front.
sub ask
{
	my ($peer, $kind, $i, $from) = @_;
	my %it = (client => '192.0.2.250', helo => 'c.example',
	    sender => "$from\@example.org", recipient => 'a@example.com');

	$it{$kind} = $keys{$kind}->($i);
	for my $line (undef, "XCLIENT ADDR=$it{client} NAME=[UNAVAILABLE]",
	    "EHLO $it{helo}", "MAIL FROM:<$it{sender}>") {
		$peer->send($line) if defined $line;
		$peer->reply;
	}
	$peer->send("RCPT TO:<$it{recipient}>");
	my (undef, $text) = $peer->reply;
	$peer->send('NOOP');
	my ($open) = $peer->reply;
	$peer->close;
	$text =~ s/<[^>]*>: (?:Client host|Helo command|\w+ address) rejected: //;
	return $text =~ /^2/ ? '2' : $text . ($open ? '' : ' (closed)');
}

subtest 'the replies of smtpd(8)' => sub {
	my $postfix = Postfix->start(main => {
		virtual_mailbox_maps => 'static:x',
		smtpd_client_restrictions =>
		    "check_client_access texthash:$dir/client",
		smtpd_helo_restrictions =>
		    "check_helo_access texthash:$dir/helo",
		smtpd_sender_restrictions =>
		    "check_sender_access texthash:$dir/sender",
		smtpd_recipient_restrictions =>
		    "check_recipient_access texthash:$dir/recipient, " .
		    'check_sender_access ' .
		    'inline:{{bad@example.org = REJECT bad}}',
	}) or plan skip_all => $Postfix::why;
	my $mta = Backend->start;
	my $proxy = proxy($mta, <<"END");
at rcpt
    use access "texthash:$dir/client" on client
    use access "texthash:$dir/helo" on helo
    use access "texthash:$dir/sender" on sender
    use access "texthash:$dir/recipient"
    use access "inline:{{bad\@example.org = REJECT bad}}" on sender
END

	for my $kind (sort keys %keys) {
		for my $i (0 .. $#values) {
			for my $from ('good', $kind ne 'sender' ? 'bad' : ()) {
				# OK and DEFER_IF_REJECT of Postfix are about
				# one list of restrictions, ours about the
				# rules of the stage.
				next if $from eq 'bad' && $kind ne 'recipient'
				    && $values[$i] =~
				    /^(?:OK|RELAY|\d+$|DEFER_IF_REJECT)/;
				is(ask($proxy->client, $kind, $i, $from),
				    ask(Client->connect(port => $postfix->port),
				    $kind, $i, $from),
				    "$kind $values[$i], and $from");
			}
		}
	}
};

# Nothing that pipelined commands bring is answered behind a 521.
subtest '521 ends the session' => sub {
	my $mta = Backend->start;
	my $proxy = proxy($mta, <<'END');
at rcpt
    use access "inline:{{bad@example.com = 521 bye}}"
END
	my $c = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<a@example.com>',
	    'RCPT TO:<bad@example.com>', 'RCPT TO:<b@example.com>', 'DATA');
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^521 5\.7\.1 bye$/);
	is($c->expect_close, '', 'and nothing after it');
	is(scalar $mta->messages, 0, 'no message');
};

subtest 'a table that edits the envelope' => sub {
	my $mta = Backend->start;
	my $proxy = proxy($mta, <<'END');
at rcpt
    use access "inline:{{b@example.com = BCC c@example.com}, {r@example.com = REDIRECT one@example.com}, {r2@example.com = REDIRECT two@example.com}, {d@example.com = DISCARD}}"
END
	my $c = $proxy->client;

	$c->hello;
	$c->deliver('a@example.org', ['a@example.com', 'b@example.com']);
	is_deeply($mta->last->{rcpts}, [map { "<$_\@example.com>" } qw(a b c)],
	    'BCC');
	$c->deliver('a@example.org', ['r@example.com', 'r2@example.com',
	    'a@example.com']);
	is_deeply($mta->last->{rcpts}, ['<two@example.com>'],
	    'the last REDIRECT');
	my $n = $mta->messages;
	$c->deliver('a@example.org', ['a@example.com', 'd@example.com']);
	is(scalar $mta->messages, $n, 'DISCARD');
};

# The fields in front of the message, which PREPEND has put there.
sub prepended
{
	my ($peer, @lines) = @_;

	$peer->greeting;
	for my $line ('EHLO c.example', 'MAIL FROM:<p@example.org>', (map {
	    "RCPT TO:<$_\@example.com>" } qw(alice bad bob alice)), 'DATA') {
		$peer->send($line);
		$peer->reply;
	}
	$peer->octets("Subject: prepended\r\nX-R: own\r\n\r\nhi\r\n.\r\n");
	$peer->expect(qr/^250 /, 'accepted');
	$peer->close;
}

subtest 'PREPEND' => sub {
	my $mta = Backend->start;
	my %table = (
		s => '{p@example.org = PREPEND X-S: sender}',
		r => '{alice@example.com = PREPEND X-R: alice  x}, ' .
		    '{bad@example.com = PREPEND X-R: bad}, ' .
		    '{bob@example.com = PREPEND X-R: bob}',
		bad => '{bad@example.com = REJECT}',
	);
	my $postfix = Postfix->start(main => {
		smtpd_recipient_restrictions => join ', ',
		    "check_sender_access inline:{$table{s}}",
		    "check_recipient_access inline:{$table{r}}",
		    "check_recipient_access inline:{$table{bad}}",
	}) or plan skip_all => $Postfix::why;
	my $proxy = proxy($mta, <<"END");
at rcpt
    use access "inline:{$table{s}}" on sender
    use access "inline:{$table{r}}"
    use access "inline:{$table{bad}}"
END
	prepended($proxy->client);
	prepended(Client->connect(port => $postfix->port));
	my ($ours) = $mta->last->{content} =~ /\A(.*?)\r\nSubject/s;
	my $theirs = $postfix->wait_mail('alice', qr/^Subject: prepended/m);
	is_deeply([$ours =~ /^(X-[SR]: .*?)\r?$/mg],
	    [$theirs =~ /^(X-[SR]: .*)\n(?=(?:.*\n)*?Received:)/mg],
	    'the same fields in the same order');
	like($ours, qr/^X-R: bob/m, 'and there are some');
};

# Files that postmap makes have no lines: the key says where.
subtest 'stored tables' => sub {
	-x '/usr/sbin/postmap' or plan skip_all => 'Postfix is not installed';
	my $text = "good\@example.com OK\nbad\@example.com nonsense\n" .
	    "worse\@example.com FILTER smtp:\n";

	mkdir "$dir/etc" or die "mkdir: $!";
	write_file('etc/main.cf', "compatibility_level = 3.7\n");
	for my $type (qw(hash btree lmdb cdb)) {
		my $file = write_file("stored-$type", $text);
		my ($status, $out) = Run::run('/usr/sbin/postmap', '-c',
		    "$dir/etc", "$type:$file");
		if ($status != 0) {
			diag("postmap cannot make $type");
			next;
		}
		my $rules = write_file("$type.rules",
		    "at rcpt\n    use access \"$type:$file\"\n");
		($status, $out) = Run::run($Proxy::PROGRAM, 'check',
		    '--listen', '127.0.0.1:0', '--backend', '127.0.0.1:25',
		    '--policy', $rules);
		my $db = $file . '.' . ($type =~ /^(?:hash|btree)$/ ? 'db' :
		    $type);
		isnt($status, 0, "$type: a mistake");
		like($out, qr/\Q$db\E: key "bad\@example\.com": "nonsense" is no action of access\(5\) \(there is OK, /,
		    "$type: which key");
		like($out, qr/\Q$db\E: key "worse\@example\.com": "FILTER smtp:" is for the queue of Postfix/,
		    "$type: and the next");
		unlike($out, qr/good/, "$type: and no other");
	}
};

done_testing;
