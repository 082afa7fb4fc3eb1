#!/usr/bin/perl
# The example of a public MX is what it says: its configuration, its policy and
# its lines for master.cf, between clients and a real Postfix.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use MIME::Base64;
use Test::More;
use Cert;
use Dns;
use Postfix;
use Proxy;

my $EXAMPLES = 'contrib/examples';
my $dir  = File::Temp->newdir;
my $cert = Cert->shared;
chmod 0755, $dir;

sub slurp
{
	my ($file) = @_;

	open my $in, '<', $file or die "$file: $!";
	local $/;
	return scalar <$in>;
}

sub spew
{
	my ($name, $text) = @_;

	open my $out, '>', "$dir/$name" or die "$name: $!";
	print $out $text;
	close $out;
	return "$dir/$name";
}

# What the example has to say about master.cf.
my ($service) = slurp("$EXAMPLES/postfix-front.conf") =~
    /^#\t127\.0\.0\.1:10025 inet .* smtpd\n((?:#\t    -o \S+\n)+)/m;
my @smtpd = map { s/^#\s+//r } split /\n/, $service // '';
cmp_ok(scalar @smtpd, '>=', 2, 'master.cf: ' . join ' ', @smtpd);

my $users = join ', ', map { "{ $_ = " . (split /\@/)[0] . '/ }' }
    qw(joe@example.org joe@small.example.org postmaster@example.org
    abuse@example.org jim@example.net pete@example.org);
my $postfix = Postfix->start(sasl => { alice => 'wonderland' },
    smtpd => \@smtpd, main => {
	virtual_mailbox_domains =>
	    'example.org, small.example.org, example.net',
	virtual_mailbox_maps => "inline:{ $users }",
	virtual_mailbox_limit => 0, message_size_limit => 52_428_800,
	recipient_delimiter => '+',
	smtpd_authorized_xclient_hosts => '',
	# The trap: whom Postfix sees coming, it takes for one of its own.
	mynetworks => '127.0.0.0/8',
	smtpd_relay_restrictions => 'permit_mynetworks, ' .
	    'permit_sasl_authenticated, reject_unauth_destination',
    }) or plan skip_all => $Postfix::why;

my $dns = Dns->start('21.0.0.127.in-addr.arpa PTR' => 'real.example',
    'real.example A' => '127.0.0.21', 'sender.example A' => '127.0.0.20',
    'broken.example MX' => 'SERVFAIL');

# The files, with the paths and addresses that there are here. Clients from
# 127.0.0.0/24 are strangers.
sub localized
{
	my ($text) = @_;
	my $me = $> == 0 ? 'nobody' : getpwuid $>;

	$text =~ s,/etc/ssl/mx1\.pem,$cert->cert,ge;
	$text =~ s,/etc/ssl/mx1\.key,$cert->key,ge;
	$text =~ s,/etc/(?:postfix|vratar)/,$dir/,g;
	$text =~ s,/run/vratar/,$dir/,g;
	$text =~ s,"vratar","$me",g;
	$text =~ s,"syslog","stderr",g;
	$text =~ s,"0\.0\.0\.0:25","127.0.0.1:0",g;
	$text =~ s,"\[::\]:25","127.0.0.2:0",g;
	$text =~ s,"127\.0\.0\.1:10025",'"' . $postfix->address . '"',ge;
	$text =~ s,127\.0\.0\.0/8,127.0.1.0/24,g;
	return $text;
}

sub start
{
	my ($conf, $rules) = @_;

	spew('vratar.conf', localized($conf) . "workers = 1\n" .
	    "dns-servers = { \"" . $dns->server . "\" }\n");
	spew('postfix-front.rules', localized($rules));
	spew('relay_recipients', "joe\@example.org OK\n" .
	    "joe\@small.example.org OK\n");
	spew('bad_clients.cidr', slurp("$EXAMPLES/bad_clients.cidr") .
	    "127.0.9.0/24\tx\n");
	return Proxy->start(options => ['-c', "$dir/vratar.conf",
	    '--foreground']);
}

my $conf  = slurp("$EXAMPLES/postfix-front.conf");
my $rules = slurp("$EXAMPLES/postfix-front.rules");
my $proxy = start($conf, $rules);
$proxy->log_unlike(qr/level=(?:warn|error)/, 'it starts without a complaint');

# A client that has said EHLO and MAIL.
sub client
{
	my (%o) = @_;
	my $c = $proxy->client(from => $o{ip} // '127.0.0.20');

	$c->hello($o{helo} // 'sender.example');
	if ($o{login}) {
		$c->starttls;
		$c->hello($o{helo} // 'sender.example');
		$c->send('AUTH PLAIN ' .
		    encode_base64("\0alice\@test.example\0wonderland", ''));
		$c->expect(qr/^235 /, 'AUTH');
	}
	$c->send('MAIL FROM:<' . ($o{from} // 'a@sender.example') . '>' .
	    ($o{size} ? " SIZE=$o{size}" : ''));
	$c->expect(qr/^250 2\.1\.0 /, 'MAIL');
	return $c;
}

# One recipient, and the whole reply.
sub rcpt
{
	my ($c, $to, $reply) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->send("RCPT TO:<$to>");
	$c->expect(ref $reply ? $reply : qr/\A\Q$reply\E\z/, "<$to>: $reply");
}

# The log has the line of the rule that holds this text.
sub by_rule
{
	my ($text) = @_;
	my @lines = split /\n/, $rules;
	my ($n) = grep { $lines[$_ - 1] =~ /^ .*\Q$text\E/ } 1 .. @lines;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$proxy->log_like(qr/ verdict=\w+ .*(?:by|rule)=postfix-front\.rules:$n /,
	    "by postfix-front.rules:$n");
}

my $OK = qr/^250 2\.1\.5 /;

subtest 'a message gets through, and Postfix knows from whom' => sub {
	my $c = client(ip => '127.0.0.21', helo => 'helo.example');

	rcpt($c, 'joe@example.org', $OK);
	$c->message("Subject: real\r\n\r\nhello\r\n");
	$c->expect(qr/^250 2\.0\.0 Ok: .*queued as/);
	$postfix->log_like(qr/client=real\.example\[127\.0\.0\.21\]/,
	    'client=real.example[127.0.0.21] in its log');
	like($postfix->wait_mail('joe', qr/Subject: real/) // '',
	    qr/^Received: from helo\.example \(real\.example \[127\.0\.0\.21\]\)/m,
	    'Received');
	$c = $proxy->client(listener => 1, from => '127.0.0.22');
	$c->hello('sender.example');
	$c->deliver('a@sender.example', 'joe+list@example.org');
	$postfix->log_like(qr/client=\S*\[127\.0\.0\.22\]/, 'the other listener');
};

subtest 'a client that is not welcome' => sub {
	my $c = $proxy->client(from => '127.0.9.1');

	$c->expect(qr/\A554 5\.7\.1 <\[127\.0\.9\.1\]>: Client host rejected: Access denied\z/);
	$c->expect_close;
	by_rule('Client host rejected');
};

subtest 'HELO' => sub {
	my %want = (
		'-bad-' => '501 5.5.2 <-bad->: Helo command rejected: Invalid name',
		'a..b' => '501 5.5.2 <a..b>: Helo command rejected: Invalid name',
		'192.0.2.1' => '504 5.5.2 <192.0.2.1>: Helo command rejected: need fully-qualified hostname',
		'mailhost' => '504 5.5.2 <mailhost>: Helo command rejected: need fully-qualified hostname',
		'MX1.example.org' => '550 5.7.1 <MX1.example.org>: Helo command rejected: You are not me',
		'[192.0.2.1]' => $OK, '[IPv6:2001:db8::1]' => $OK,
		'sender.example' => $OK,
	);
	for my $helo (sort keys %want) {
		my $c = client(helo => $helo);

		rcpt($c, 'joe@example.org', $want{$helo});
		by_rule($want{$helo} =~ /(rejected: .*)/) unless ref $want{$helo};
		rcpt($c, 'postmaster@example.org', $OK);
		$c->quit;
	}
	rcpt(client(helo => 'printer', ip => '127.0.1.5'), 'joe@example.org',
	    $OK);
	rcpt(client(helo => 'laptop', login => 1), 'joe@example.org', $OK);
};

subtest 'senders' => sub {
	my %want = (
		'a@host' => '504 5.5.2 <a@host>: Sender address rejected: need fully-qualified address',
		'a@none.example' => '550 5.1.8 <a@none.example>: Sender address rejected: Domain not found',
		'a@broken.example' => qr/^451 4\.7\.1 /,
		'a@[192.0.2.1]' => $OK, '' => $OK, 'a@sender.example' => $OK,
	);
	for my $from (sort keys %want) {
		my $c = client(from => $from);

		rcpt($c, 'joe@example.org', $want{$from});
		by_rule($want{$from} =~ /(rejected: .*)/) unless ref $want{$from};
		$c->quit;
		rcpt(client(from => $from), 'Abuse@example.org', $OK);
	}
	for my $who ([ip => '127.0.1.5'], [login => 1]) {
		my $c = client(from => 'root@host', @$who);

		rcpt($c, 'joe@example.org', $OK);
		$c->quit;
	}
	my $c = $proxy->client;
	$c->hello;
	for my $bad ('a@@sender.example', 'a b@sender.example', 'a@-x.example') {
		$c->send("MAIL FROM:<$bad>");
		$c->expect(qr/^501 5\.1\.7 /, "<$bad>");
	}
};

subtest 'recipients from the table' => sub {
	my $c = client();
	my $no = 'Recipient address rejected: User unknown in relay recipient table';

	rcpt($c, 'joe+x@example.org', $OK);
	rcpt($c, 'unknown@example.org', "550 5.1.1 <unknown\@example.org>: $no");
	by_rule($no);
	rcpt($c, 'unknown@sub.example.org',
	    "550 5.1.1 <unknown\@sub.example.org>: $no");
	rcpt($c, 'pete@example.org', "550 5.1.1 <pete\@example.org>: $no");
	rcpt($c, 'joe@', qr/^501 5\.1\.3 /);
	rcpt($c, 'joe@@example.org', qr/^501 5\.1\.3 /);
	rcpt($c, 'postmaster', $OK);
	$c->message("Subject: mixed\r\n\r\nx\r\n");
	$c->expect(qr/^250 /);
	$postfix->wait_mail('joe', qr/Subject: mixed/);
	is(scalar(grep { /unknown\@|pete\@/ } $postfix->log), 0,
	    'Postfix never heard of them');

	# The table is read again by itself.
	spew('relay_recipients', "joe\@example.org OK\npete\@example.org OK\n" .
	    "joe\@small.example.org OK\n");
	$proxy->clock(10_000);
	rcpt(client(), 'pete@example.org', $OK);
	$proxy->log_like(qr/table file=\S+relay_recipients reload=done keys=3/,
	    'and the log says so');
};

subtest 'recipients that Postfix is asked about' => sub {
	my $c = client(ip => '127.0.0.23');

	rcpt($c, 'jim@example.net', $OK);
	rcpt($c, 'nobody@example.net', '550 5.1.1 <nobody@example.net>: ' .
	    'Recipient address rejected: User unknown in virtual mailbox table');
	$proxy->log_like(qr/rcpt to=nobody\@example\.net verdict=reject by=backend/);
	$postfix->log_like(qr/reject: RCPT from \S*\[127\.0\.0\.23\]: 550 5\.1\.1 <nobody\@example\.net>/,
	    'and it knows who asked');
};

subtest 'relaying' => sub {
	# Without us it would.
	my $c = Client->connect(port => $postfix->port);
	$c->hello;
	$c->send('MAIL FROM:<a@sender.example>');
	$c->expect(qr/^250 /);
	rcpt($c, 'x@elsewhere.example', qr/^250 /);
	$c->quit;

	for my $ip ('127.0.0.20', '127.0.1.5') {
		$c = client(ip => $ip);
		rcpt($c, $_, "550 5.7.1 <$_>: relay access denied")
		    for 'x@elsewhere.example', 'postmaster@elsewhere.example',
		    'x%elsewhere.example@example.org', 'x@example.org.elsewhere.example';
		$c->quit;
	}
	$proxy->log_like(qr/rcpt to=\S+ verdict=reject by=relay-domains/);
	$c = client(login => 1, ip => '127.0.0.24');
	rcpt($c, 'x@elsewhere.example', $OK);
	$c->message("Subject: out\r\n\r\nx\r\n");
	$c->expect(qr/^250 /, 'who has logged in may');
	$postfix->log_like(qr/client=\S*\[127\.0\.0\.24\], sasl_method=PLAIN, sasl_username=alice/,
	    'and Postfix knows who that was');
};

subtest 'bounces' => sub {
	my $no = 'Recipient address rejected: Multi-recipient bounce';
	my $c = client(from => '');

	$c->send(map { "RCPT TO:<$_>" } 'joe@example.org', 'jim@example.net',
	    'postmaster@example.org');
	$c->expect($OK);
	$c->expect(qr/\A452 4\.5\.3 <jim\@example\.net>: $no\z/);
	by_rule($no);
	$c->expect($OK, 'postmaster all the same');
	$c->message("Subject: bounce\r\n\r\nx\r\n");
	$c->expect(qr/^250 /, 'one recipient has it');
	$c->send('MAIL FROM:<>');
	$c->expect(qr/^250 /);
	rcpt($c, 'jim@example.net', $OK);
};

subtest 'size' => sub {
	my $c = client(size => 6_000_000);

	rcpt($c, 'joe@small.example.org', '552 5.3.4 <joe@small.example.org>: ' .
	    'Recipient address rejected: Message size exceeds fixed limit');
	by_rule('Message size exceeds fixed limit');
	rcpt($c, 'joe@example.org', $OK);
	$c->quit;
	$c = $proxy->client;
	is($c->hello('sender.example')->{SIZE}, 52_428_800, 'SIZE is offered');
	$c->send('MAIL FROM:<a@sender.example> SIZE=52428801');
	$c->expect(qr/^552 5\.3\.4 message size exceeds/, 'for all domains');
	$c->quit;
	$c = client();
	rcpt($c, 'joe@small.example.org', $OK);
	my $big = "Subject: big\r\n\r\n" . ('x' x 70 . "\r\n") x 75_000;
	$c->message($big);
	$c->expect(qr/\A552 5\.3\.4 Error: message file too big\z/,
	    'who did not say it before');
	by_rule('message file too big');
	$c->envelope('a@sender.example', 'joe@example.org');
	$c->message($big);
	$c->expect(qr/^250 /, 'others may');
};

# A round trip of somebody else: what was sent before has been read.
my $other = $proxy->client;
$other->hello;

sub slowly
{
	my ($c, $to, $reply) = @_;

	$c->send("RCPT TO:<$to>");
	$other->send('RSET');
	$other->expect(qr/^250 /);
	$c->expect_nothing('no answer at once');
	$proxy->clock(1000);
	$c->expect($reply, 'a second later');
}

subtest 'who guesses addresses' => sub {
	my $c = client(ip => '127.0.0.25');

	rcpt($c, 'joe@example.org', $OK);
	rcpt($c, "guess$_\@example.org", qr/^550 5\.1\.1 /) for 1 .. 3;
	# What Postfix refuses counts.
	rcpt($c, "guess$_\@example.net", qr/^550 5\.1\.1 /) for 4 .. 5;
	rcpt($c, 'postmaster@example.org', $OK);
	slowly($c, 'joe@example.org', $OK);
	slowly($c, "guess$_\@example.org", qr/^550 5\.1\.1 /) for 6 .. 10;
	rcpt($c, 'joe@example.org',
	    '421 4.7.0 mx1.example.org Error: too many errors');
	is($c->expect_close, '', 'and that is the end');
	by_rule('too many errors');
	$proxy->log_like(qr/note at=disconnect text="11 bad recipients from 127\.0\.0\.25"/,
	    'the log has the sum');
	$c = client(ip => '127.0.1.5');
	rcpt($c, "guess$_\@example.org", qr/^550 5\.1\.1 /) for 1 .. 12;
	rcpt($c, 'joe@example.org', $OK);
	$c->quit;
};

subtest 'a change, and SIGHUP' => sub {
	(my $changed = $rules) =~ s/You are not me/No, I am/;

	spew('postfix-front.rules', localized($changed) . "nonsense\n");
	$proxy->signal('HUP');
	$proxy->log_like(qr/reload-failed/, 'a mistake changes nothing');
	rcpt(client(helo => 'mx1.example.org'), 'joe@example.org',
	    qr/You are not me/);
	spew('postfix-front.rules', localized($changed));
	$proxy->signal('HUP');
	$proxy->log_like(qr/reloaded/);
	rcpt(client(helo => 'mx1.example.org'), 'joe@example.org',
	    qr/^550 5\.7\.1 .*No, I am$/);
};
undef $other;
undef $proxy;

# What the comments say about machines of one's own.
subtest 'relaying for my_networks' => sub {
	(my $open = $conf) =~ s/^relay-domains/# $&/m or die;
	(my $says = $rules) =~ s/^    #(reject 550 5\.7\.1 "<%\{rcpt\}>: Relay)/    $1/m or die;
	$proxy = start($open, $says);
	my $denied = '550 5.7.1 <x@elsewhere.example>: Relay access denied';

	rcpt(client(ip => '127.0.1.5'), 'x@elsewhere.example', $OK);
	rcpt(client(), 'x@elsewhere.example', $denied);
	rcpt(client(from => ''), 'x@elsewhere.example', $denied);
	rcpt(client(), 'postmaster@elsewhere.example', qr/^550 5\.7\.1 /);
	rcpt(client(), 'x%elsewhere.example@example.net', qr/^[45]\d\d /);
	rcpt(client(login => 1), 'x@elsewhere.example', $OK);
	rcpt(client(), $_, $OK) for qw(jim@example.net joe@Small.example.org
	    postmaster);
	rcpt(client(), 'x@notexample.org', qr/: Relay access denied$/);
};

done_testing;
