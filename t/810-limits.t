#!/usr/bin/perl
# Everything a client can make long, large or many has a limit with a defined
# reply; up to the limit it works, and after the reply the session does.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use Backend;
use Proxy;

my @with    = @Backend::EXTENSIONS;
my @without = grep { $_ ne 'CHUNKING' } @with;
my $mta     = Backend->start;
my $patient = Proxy->start(backend => $mta->address,
    set => { 'error-limit' => 100_000 });

sub open_session
{
	my $c = ($_[0] // $patient)->client;

	$mta->forget;
	$c->hello;
	return $c;
}

# "LINE" filled up to so many octets, with its CR LF.
sub filled
{
	my ($line, $octets, $with) = @_;

	return $line . ($with // 'x') x ($octets - 2 - length $line);
}

subtest 'command line' => sub {
	my $c = open_session();

	$c->send(filled('NOOP ', 512));
	$c->expect(qr/^250 /, '512 octets (RFC 5321 4.5.3.1.4)');
	for my $n (5_000, 12_300, 60_000) {
		$c->octets(filled('NOOP ', $n) . "\r\nNOOP\r\n");
		$c->expect(qr/^500 5\.5\.6/, "$n octets");
		$c->expect(qr/^250 /, 'the next');
		$c->pieces(1000, filled('MAIL FROM:<a@example.org> ', $n) .
		    "\r\nNOOP\r\n");
		$c->expect(qr/^500 5\.5\.6/, "$n octets in pieces");
		$c->expect(qr/^250 /, 'the next');
		$c->expect_nothing('two replies to two lines');
	}
	# What is thrown away is not looked at again as a command.
	$c->octets('x' x 5_000 . " \rRSET\rMAIL FROM:<evil\@example.org>\r\n" .
	    "NOOP\r\n");
	$c->expect(qr/^500 5\.5\.6/);
	$c->expect(qr/^250 /);
	$c->expect_nothing('one line, one reply');
	$c->deliver('a@example.org', 'b@example.com');
	is(scalar $mta->commands(qr/evil/), 0, 'not relayed');
};

# Each extension adds to the limit, so all of them together must fit.
subtest 'the longest legal MAIL and RCPT' => sub {
	my $auth = Backend->start(auth => 'PLAIN');
	my $p = Proxy->start(backend => $auth->address,
	    set => { 'auth-without-tls' => 'true' });
	my $c = $p->client;
	my $local = 'l' x 64;
	my $domain = join '.', ('d' x 59) x 3, 'example';
	my $xtext = '+2B' x 64 . "\@$domain";	# three octets for one

	$c->hello;
	my $mail = "MAIL FROM:<$local\@$domain> SIZE=10000 BODY=8BITMIME " .
	    'SMTPUTF8 RET=HDRS ENVID=' . 'e' x 100 . " AUTH=$xtext";
	my $rcpt = "RCPT TO:<$local\@$domain> " .
	    "NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;$xtext";
	$c->send($mail, $rcpt);
	$c->expect(qr/^250 /, length($mail) . ' octets of MAIL');
	$c->expect(qr/^250 /, length($rcpt) . ' octets of RCPT');
	$c->message("x\r\n");
	$c->expect(qr/^250 2\.0\.0 queued/);
	like($auth->last->{mail}, qr/ENVID=e{100}\b/, 'relayed whole');
	like($auth->last->{rcpt_lines}[0], qr/rfc822;\Q$xtext\E$/, 'both');
};

subtest 'local part, domain, path' => sub {
	my $label = 'd' x 63;
	my $domain = join '.', ($label) x 3, 'd' x 55 . '.org';	# 251
	my %good = (
		'64 octets of local part' => 'l' x 64 . '@example.com',
		'a label of 63 octets' => "a\@$label.example.com",
		'254 octets without brackets' => 'll@' . substr($domain, 0, -4)
		    . '.org',
		'64 octets quoted' => '"' . 'l' x 62 . '"@example.com',
	);
	my %bad = (
		'65 octets of local part' => 'l' x 65 . '@example.com',
		'65 octets quoted' => '"' . 'l' x 63 . '"@example.com',
		'a label of 64 octets' => "a\@d$label.example.com",
		'256 octets of domain' => 'a@' . join('.', ($label) x 4) . '.x',
		'257 octets of path' => 'llll@' . $domain,
		'300 octets of local part' => 'l' x 300 . '@example.com',
		'1000 labels' => 'a@' . join '.', ('a') x 400,
	);
	my $c = open_session();

	for (sort keys %good) {
		$c->send("MAIL FROM:<$good{$_}>", "RCPT TO:<$good{$_}>");
		$c->expect(qr/^250 /, "$_, sender");
		$c->expect(qr/^250 /, "$_, recipient");
		$c->message("x\r\n");
		$c->expect(qr/^250 /);
		# Quotes that mean nothing may go.
		is($mta->last->{rcpts}[0] =~ tr/"//dr, "<$good{$_}>" =~
		    tr/"//dr, 'whole');
	}
	for (sort keys %bad) {
		$c->send('RSET', "MAIL FROM:<$bad{$_}>",
		    'MAIL FROM:<a@example.org>', "RCPT TO:<$bad{$_}>", 'RSET');
		$c->expect(qr/^250 /);
		$c->expect(qr/^501 5\.1\.7/, "$_, sender");
		$c->expect(qr/^250 /);
		$c->expect(qr/^501 5\.1\.3/, "$_, recipient");
		$c->expect(qr/^250 /);
	}
};

subtest 'recipients' => sub {
	my $c = open_session();
	my @to = map { "user$_\@example.com" } 1 .. 130;

	$c->send('MAIL FROM:<a@example.org>', map { "RCPT TO:<$_>" } @to);
	$c->expect(qr/^250 /);
	my @seen = map { ($c->reply)[1] } @to;
	is(scalar(grep { /^250 2\.1\.5/ } @seen[0 .. 99]), 100,
	    'a hundred are taken');
	is(scalar(grep { /^452 4\.5\.3/ } @seen[100 .. 129]), 30,
	    'the others may come back');
	$c->message("x\r\n");
	$c->expect(qr/^250 2\.0\.0 queued/);
	is_deeply($mta->last->{rcpts}, [map { "<$_>" } @to[0 .. 99]],
	    'it went to those');

	my $p = Proxy->start(backend => $mta->address,
	    set => { 'recipient-limit' => 2, 'error-limit' => 100 });
	for my $how ('one by one', 'together') {
		$c = open_session($p);
		my @lines = ('MAIL FROM:<a@example.org>',
		    map { "RCPT TO:<r$_\@example.com>" } 1 .. 4);
		my @like = ((qr/^250 /) x 3, (qr/^452 4\.5\.3/) x 2);
		$c->send(@lines) if $how eq 'together';
		for my $i (0 .. $#lines) {
			$c->send($lines[$i]) if $how ne 'together';
			$c->expect($like[$i], "$how: $lines[$i]");
		}
		$c->send('RSET');
		$c->expect(qr/^250 /);
		$c->envelope('a@example.org', 'r1@example.com',
		    'r2@example.com');
	}
};

subtest 'message size, early' => sub {
	my $p = Proxy->start(backend => $mta->address,
	    set => { 'message-size-limit' => 2000, 'error-limit' => 100 });
	my $c = open_session($p);

	is($c->{ext}{SIZE}, 2000, 'announced');
	for (['2001', qr/^552 5\.3\.4/], ['4294967296', qr/^552 5\.3\.4/],
	    ['9223372036854775807', qr/^552 5\.3\.4/],
	    ['18446744073709551616', qr/^(?:552 5\.3\.4|501 5\.5\.4)/],
	    ['99999999999999999999', qr/^(?:552 5\.3\.4|501 5\.5\.4)/],
	    ['9' x 21, qr/^(?:552 5\.3\.4|501 5\.5\.4)/], ['-1', qr/^501 5\.5\.4/],
	    ['', qr/^501 5\.5\.4/], ['0x10', qr/^501 5\.5\.4/]) {
		my ($size, $like) = @$_;
		$c->send("MAIL FROM:<a\@example.org> SIZE=$size");
		$c->expect($like, "SIZE=$size");
	}
	for my $size (0, 1, 2000) {
		$c->send("MAIL FROM:<a\@example.org> SIZE=$size", 'RSET');
		$c->expect(qr/^250 /, "SIZE=$size");
		$c->expect(qr/^250 /);
	}
};

subtest 'message size, late' => sub {
	for my $spool ('1M', '0') {
		my $p = Proxy->start(backend => $mta->address,
		    set => { 'message-size-limit' => 2000,
		    'spool-memory' => $spool });
		my $c = open_session($p);
		# Dots that are stuffed are not content.
		my $fits = ".\r\n" x 600 . 'x' x 198 . "\r\n";

		is(length $fits, 2000, 'as long as allowed');
		$c->deliver('a@example.org', 'b@example.com', $fits);
		is($mta->last->{content}, $fits, 'the limit itself is fine');
		for my $more ("$fits\r\n", 'x' x 998 . "\r\n$fits", $fits x 500) {
			$c->envelope('a@example.org', 'b@example.com');
			$c->message($more);
			$c->expect(qr/^552 5\.3\.4/, length($more) . ' octets');
		}
		is(scalar $mta->messages, 1, 'not delivered');
		$c->deliver('a@example.org', 'b@example.com', "next\r\n");
		is($mta->last->{content}, "next\r\n", 'the next message');
	}
};

subtest "the backend's size" => sub {
	my $small = Backend->start(extensions => ['SIZE 500', 'PIPELINING']);
	my $p = Proxy->start(backend => $small->address);
	my $c = $p->client;

	is($c->hello->{SIZE}, 500, 'the smaller one is announced');
	$c->send('MAIL FROM:<a@example.org> SIZE=501');
	$c->expect(qr/^552 5\.3\.4/, 'early');
	$c->envelope('a@example.org', 'b@example.com');
	$c->message('x' x 498 . "\r\nx\r\n");
	$c->expect(qr/^552 5\.3\.4/, 'late');
	is(scalar $small->commands(qr/^DATA/), 0, 'it heard nothing of it');
	$c->deliver('a@example.org', 'b@example.com', 'x' x 498 . "\r\n");
};

subtest 'text line' => sub {
	my %line = map { $_ => 'x' x ($_ - 2) . "\r\n" } 1000, 1001, 100_000;

	for ([\@with, 1], [\@without, 0]) {
		my ($ext, $chunking) = @$_;
		my $back = Backend->start(extensions => $ext);
		my $p = Proxy->start(backend => $back->address);
		my $c = $p->client;
		$c->hello;
		for my $n (sort { $a <=> $b } keys %line) {
			my $content = "Subject: x\r\n\r\n$line{$n}end\r\n";
			$back->forget;
			$c->envelope('a@example.org', 'b@example.com');
			$c->message($content);
			if ($n <= 1000 || $chunking) {
				$c->expect(qr/^250 2\.0\.0 queued/,
				    "$n octets");
				ok($back->last->{content} eq $content,
				    'not folded');
			} else {
				$c->expect(qr/^554 5\.6\.0/, "$n octets: " .
				    'the backend takes no such line');
				is(scalar $back->messages, 0, 'not delivered');
			}
		}
	}
	my $back = Backend->start(extensions => \@without);
	my $p = Proxy->start(backend => $back->address,
	    set => { 'text-line-limit' => '64K' });
	my $c = $p->client;
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com', $line{1001});
	is($back->last->{content}, $line{1001}, 'text-line-limit is larger');
};

subtest 'a huge header' => sub {
	my $c = open_session();

	for my $header ('X-Long: ' . ("x" x 900 . "\r\n ") x 2000 . "end\r\n",
	    join('', map { "X-$_: y\r\n" } 1 .. 100_000),
	    'Y' x 990 . ": x\r\n", ":\r\n" x 1000, " folded first\r\n") {
		my $content = "${header}Subject: x\r\n\r\nbody\r\n";
		$c->envelope('a@example.org', 'b@example.com');
		$c->message($content);
		my (undef, $text) = $c->reply;
		like($text, qr/^(?:250 2|55[0-4] 5\.)/, 'a defined reply to ' .
		    length($header) . ' octets');
		ok($mta->last->{content} eq $content, 'unchanged')
		    if $text =~ /^250/;
	}
};

subtest 'error-limit' => sub {
	my $p = Proxy->start(backend => $mta->address,
	    set => { 'error-limit' => 3 });

	for my $together (0, 1) {
		my $c = open_session($p);
		my @lines = ('FOO', 'RCPT TO:<b@example.com>', 'BAR');
		$c->send(@lines, 'NOOP') if $together;
		for (@lines) {
			$c->send($_) if !$together;
			$c->expect(qr/^50[03] 5\.5\.[12]/, $_);
		}
		$c->expect(qr/^421 4\.7\.0 /, 'enough');
		is($c->expect_close, '', 'nothing after 421');
	}
	my $c = open_session($p);
	$c->send('FOO', 'BAR', ('NOOP') x 30);
	$c->expect(qr/^500 /) for 1 .. 2;
	$c->expect(qr/^250 /) for 1 .. 30;
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'error-limit, refused recipients' => sub {
	my $strict = Backend->start(RCPT => '550 5.1.1 no such user');
	my $p = Proxy->start(backend => $strict->address,
	    set => { 'error-limit' => 5 });
	my $c = $p->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>',
	    map { "RCPT TO:<guess$_\@example.com>" } 1 .. 50);
	my @seen;
	while (1) {
		my ($code, $text) = $c->reply;
		push @seen, $code;
		last if $code == 421 || $code == 0;
	}
	is($seen[-1], 421, 'a dictionary attack ends');
	is($c->expect_close, '', 'nothing after 421');
};

subtest 'junk-command-limit' => sub {
	my $p = Proxy->start(backend => $mta->address,
	    set => { 'junk-command-limit' => 5 });
	my $c = open_session($p);		# EHLO is one of them

	$c->send('RSET', 'NOOP', 'VRFY x', 'HELP');
	$c->expect(qr/^2\d\d /) for 1 .. 4;
	$c->deliver('a@example.org', 'b@example.com');
	$c->send(('NOOP') x 5);
	$c->expect(qr/^250 /, 'a message starts the count anew') for 1 .. 5;
	$c->send(('NOOP') x 20);
	my @codes;
	do { push @codes, ($c->reply)[0]; } while $codes[-1] == 250;
	is($codes[-1], 421, 'then it ends');
	cmp_ok(scalar @codes, '<=', 3, 'at once');
	is($c->expect_close, '', 'nothing after 421');
};

subtest 'session-limit' => sub {
	my $p = Proxy->start(backend => $mta->address,
	    set => { 'session-limit' => 2 });
	my @c = map { $p->client } 1 .. 2;

	$_->greeting for @c;
	my $third = $p->client;
	is($p->control('sessions'), "ok 2\n", 'two sessions');
	$third->expect_nothing('the third waits');
	$c[0]->quit;
	$third->greeting;
	$third->hello;
	$third->deliver('a@example.org', 'b@example.com');
	is($p->control('sessions'), "ok 2\n", 'two again');
};

subtest 'the spool goes to a file' => sub {
	my $content = join '', map { "$_ " . 'x' x 70 . "\r\n" } 1 .. 20_000;

	for my $memory ('0', '1', '64K', '1M', '1G') {
		my $p = Proxy->start(backend => $mta->address,
		    set => { 'spool-memory' => $memory });
		for my $bdat (0, 1) {
			my $c = open_session($p);
			$c->envelope('a@example.org', 'b@example.com');
			$bdat ? $c->bdat($content, 1) : $c->message($content);
			$c->expect(qr/^250 2\.0\.0 queued/,
			    "spool-memory $memory");
			ok($mta->last->{content} eq $content, 'intact');
		}
		is(join(' ', glob "$p->{dir}/vratar-*"), '', 'no file is left');
	}
};

# No room for the message: temporary, and the session and small messages work.
sub no_room
{
	my ($p, $name) = @_;
	my $big = 'x' x 998 . "\r\n";
	my $c = open_session($p);

	for my $bdat (0, 1) {
		$c->envelope('a@example.org', 'b@example.com');
		$bdat ? $c->bdat($big x 500, 1) : $c->message($big x 500);
		$c->expect(qr/^452 4\.3\.1/, "$name: no room");
		is(scalar $mta->messages, 0, "$name: not delivered");
		$c->deliver('a@example.org', 'b@example.com', "small\r\n");
		is($mta->last->{content}, "small\r\n", "$name: a small one is");
		$mta->forget;
	}
}

subtest 'no room in the spool directory' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my $p = Proxy->start(backend => $mta->address, set => {
	    'spool-memory' => '64K', 'spool-directory' => $dir });

	# Gone while we run.
	rmdir $dir or die "$dir: $!";
	no_room($p, 'no directory');
	mkdir $dir or die "$dir: $!";
	my $c = open_session($p);
	$c->deliver('a@example.org', 'b@example.com', ("x\r\n" x 100_000));

	SKIP: {
		skip 'cannot mount a tmpfs here', 1 if $> != 0 ||
		    system('mount -t tmpfs -o size=128k tmpfs ' . $dir .
		    ' 2>/dev/null') != 0;
		no_room($p, 'full');
		$c = open_session($p);
		$c->deliver('a@example.org', 'b@example.com', "x\r\n" x 30_000);
		is(system('umount', $dir), 0, 'the file went with the message');
	}
};

# A limit on the size of files is a signal, unless one does not want it.
subtest 'RLIMIT_FSIZE' => sub {
	my $p = Proxy->start(backend => $mta->address, set => {
	    'spool-memory' => '64K' });
	my @workers = $p->workers;

	for (@workers) {
		is(system('prlimit', '--fsize=100000', '--pid', $_), 0,
		    'a limit of 100,000 octets');
	}
	no_room($p, 'RLIMIT_FSIZE');
	is_deeply([$p->workers], \@workers, 'the worker lives');
};

done_testing;
