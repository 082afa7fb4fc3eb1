#!/usr/bin/perl
# A milter is asked at each stage, and each of its answers means what it means in
# Postfix, at each stage; what makes no sense costs the milter its connection,
# and the next message gets a new one.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Dns;
use Milter;
use Scanned;

my $dns = Dns->start;		# nobody has a name
my $mta = Backend->start('RCPT' => '250 2.1.5 Ok', '.' => '250 2.0.0 Ok');
my $mail = "Subject: x\r\nTo: a\r\n\r\nhello\r\n";

# What the milter does when it is asked for it.
my %does = (
	accept   => ['a'],
	reject   => ['r'],
	tempfail => ['t'],
	discard  => ['d'],
	code     => [reply('554 5.7.9 no 100%% here')],
	later    => [reply('452 4.2.2 full')],
	lines    => [reply("550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three")],
	bye      => [reply('421 4.7.0 bye')],
	shutdown => ['4'],
	skip     => ['s'],
	progress => ['p', 'p', 'c'],
	pieces   => sub { syswrite $_[0], $_ for split //, Milter::packet('p') .
	    Milter::packet('c'); return; },
	nonsense => ['Z'],
	payload  => ['cx'],
	badcode  => [reply('250 2.0.0 fine')],
	classes  => [reply("550-5.7.1 a\r\n450 4.7.1 b")],
	bare     => [reply("550-5.7.1 a\n550 5.7.1 b")],
	empty    => sub { syswrite $_[0], "\0\0\0\0"; return; },
	endless  => sub { syswrite $_[0], "\377\377\377\377xxxx"; return; },
	nul      => ["\0"],
	list     => ['l'],
	conn_fail => ['f'],
	half     => sub { syswrite $_[0], "\0\0\0\5"; shutdown $_[0], 2; return; },
	close    => sub { shutdown $_[0], 2; return; },
	leaves   => sub { syswrite $_[0], Milter::packet('a'); shutdown $_[0], 2; return; },
	twice    => ['c', 'c', 'c'],
);

# The sender says at which command what is to be done.
sub does
{
	my ($fh, $report, $state, $command, $rest) = @_;
	my ($at, $what) = ($state->{from} // '') =~ /^<(\w)\.(\w+)\@/ or return 'c';
	return 'c' if $command ne $at || $rest =~ /^<c\@/ || $rest =~ /^To\0/;
	my $do = $does{$what};
	return ref $do eq 'CODE' ? $do->(@_) : @$do;
}

# A daemon in front of a milter.
sub in_front_of
{
	my ($it) = @_;

	return Scanned->start(backend => $mta->address, chains => { it => ['it'] },
	    set => { 'error-limit' => 1000, 'dns-servers' => [$dns->server] },
	    filters => "filter \"it\" { type = \"milter\" socket = \"" . $it->socket . "\" }\n");
}

my $milter = Milter->start(any => \&does);
my $p = in_front_of($milter);

# The replies to MAIL, two RCPT, DATA and the end, as far as they come.
sub session
{
	my ($c, $from) = @_;
	my @said;

	# One whose recipients were all refused is still there.
	$c->send('RSET');
	$c->reply;
	for my $line ("MAIL FROM:<$from>", 'RCPT TO:<b@example.com>',
	    'RCPT TO:<c@example.com>', 'DATA') {
		$c->send($line);
		my ($code, $text) = $c->reply;
		push @said, defined $code && $code ? $text : 'closed';
		return @said if $said[-1] !~ /^[23]/ && $line !~ /^RCPT/ ||
		    $said[-1] =~ /^421|^closed/;
	}
	$c->octets(Client::stuff($mail));
	my ($code, $text) = $c->reply;
	return (@said, $code ? $text : 'closed');
}

my $ok = qr/^250 /;
my $failed = qr/^451 4\.7\.1 a filter failed/;
my %refusal = (
	reject   => qr/^550 5\.7\.1 Command rejected\z/,
	tempfail => qr/^451 4\.7\.1 Service unavailable/,
	code     => qr/^554 5\.7\.9 no 100% here\z/,
	later    => qr/^452 4\.2\.2 full\z/,
	lines    => qr/^550[- ]5\.7\.1 one\n550[- ]5\.7\.1 two\n550 5\.7\.1 three\z/,
	bye      => qr/^421 4\.7\.0 bye\z/,
	shutdown => qr/^421 4\.7\.0 Server closing/,
	map { $_ => $failed } qw(nonsense payload badcode classes bare empty
	    endless nul list conn_fail half close),
);
my %broken = map { $_ => 1 } grep { $refusal{$_} == $failed } keys %refusal;

# What a client is told of a message that gets this answer at this command.
sub expected
{
	my ($at, $what) = @_;
	my $no = $at eq 'E' && $what eq 'skip' ? $failed : $refusal{$what};
	my @all = ($ok, $ok, $ok, qr/^354/, $ok);

	return @all unless $no;
	return $no if $at eq 'M';
	if ($at eq 'R') {
		return ($ok, $no) if $what =~ /bye|shutdown/;
		# It has missed something: there is no use in the next one.
		return ($ok, $no, $no, qr/^554 5\.5\.1/) if $broken{$what};
		return ($ok, $no, $ok, qr/^354/, $ok);
	}
	return ($ok, $ok, $ok, $no) if $at eq 'T';
	return ($ok, $ok, $ok, qr/^354/, $no);
}

for my $at (qw(M R T L N B E)) {
	subtest "at $at" => sub {
		for my $what (sort keys %does) {
			next if $what eq 'twice';
			my $c = $p->to('it');
			my @want = expected($at, $what);

			$mta->forget;
			my @got = session($c, "$at.$what\@example.org");
			is(scalar @got, scalar @want, "$what: as many replies") or
			    diag join ' / ', @got;
			for my $i (0 .. $#want) {
				like($got[$i] // '', $want[$i], "$what: reply $i");
			}
			my $rcpts = $want[-1] != $ok || $what eq 'discard' ? '' :
			    $at eq 'R' && $refusal{$what} ? '<c@example.com>' :
			    '<b@example.com> <c@example.com>';
			is(join(' ', map { @{$_->{rcpts}} } $mta->messages), $rcpts,
			    "$what: who gets it");
			next if $what =~ /bye|shutdown/;
			# Whatever it was, the next message is another one.
			is((session($c, 'fine@example.org'))[-1] =~ $ok, 1,
			    "$what: and then a message");
			$c->close;
		}
	};
}

subtest 'what it hears' => sub {
	# After an answer that ends the message for libmilter, nothing of it.
	my %want = (
		'M.accept' => 'M', 'M.reject' => 'M', 'M.discard' => 'M',
		'R.accept' => 'MR', 'R.reject' => 'MRRTLLNBE', 'R.discard' => 'MRA',
		'T.accept' => 'MRRT', 'T.reject' => 'MRRT',
		'L.accept' => 'MRRTL', 'L.tempfail' => 'MRRTL', 'L.skip' => 'MRRTLNBE',
		'N.code' => 'MRRTLLN', 'B.discard' => 'MRRTLLNB',
		'E.reject' => 'MRRTLLNBE', 'E.accept' => 'MRRTLLNBE',
		'R.skip' => 'MRTLLNBE',
	);
	my $milter = Milter->start(any => \&does);
	my $p = in_front_of($milter);

	for my $case (sort keys %want) {
		my $seen = $milter->reports;
		my $c = $p->to('it');
		session($c, "$case\@example.org");
		$c->quit;
		ok(Wait::wait_until(sub { (($milter->reports)[$seen .. $milter->reports - 1])[-1] =~ /^Q/; }),
		    "$case: QUIT");
		my $heard = join '', map { /^([A-Z]) / && $1 ne 'D' ? $1 : () }
		    ($milter->reports)[$seen .. $milter->reports - 1];
		is($heard, "OCH$want{$case}Q", "$case: and no more");
		is(scalar(grep { /^E ./ } $milter->reports), 0, "$case: no body with the end");
	}
};

subtest 'without a question' => sub {
	my $c = $p->to('it');
	$mta->forget;
	# The second answer stands behind the first and is found with the next
	# event or before.
	for my $at (qw(M R L)) {
		my @got = session($c, "$at.twice\@example.org");
		like($got[-1], qr/^(451|554)/, "$at: it has failed");
	}
	is(scalar $mta->messages, 0, 'nothing has arrived');
	like((session($c, 'fine@example.org'))[-1], $ok, 'the next one has');
	$c->close;
	$p->log_like(qr/filter-failed filter=it .*speaks without being asked/);
};

subtest 'several messages, RSET, QUIT' => sub {
	my $milter = Milter->start(any => \&does);
	my $p = in_front_of($milter);
	my $c = $p->to('it');
	my $seen = $milter->reports;
	session($c, 'fine@example.org');
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('RSET');
	$c->expect($ok);
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('EHLO again.example');
	$c->expect(qr/^250-/);
	session($c, 'fine@example.org');
	$c->quit;
	ok(Wait::wait_until(sub { ($milter->reports)[-1] =~ /^Q/; }), 'it ends');
	is(join('', map { /^([A-Z]) / && $1 ne 'D' ? $1 : () } ($milter->reports)[$seen .. $milter->reports - 1]),
	    'MRRTLLNBE' . 'MRA' . 'MRA' . 'H' . 'MRRTLLNBE' . 'Q', 'one connection');
};

# Connect and HELO: the address of the client and its name say what to do.
subtest 'at connect and HELO' => sub {
	my @what = qw(continue accept reject tempfail code later lines bye discard
	    nonsense close skip progress shutdown leaves);
	my $early = Milter->start(any => sub {
		my ($fh, $report, $state, $command, $rest) = @_;
		my $i = $command eq 'C' && $rest =~ /127\.0\.0\.(\d+)\0/ ? $1 - 100 :
		    $command eq 'H' && $rest =~ /^h(\d+)\./ ? $1 : 0;
		my $do = $i <= 0 ? ['c'] : $does{$what[$i]};
		return ref $do eq 'CODE' ? $do->(@_) : @$do;
	});
	my $q = in_front_of($early);
	my %banner = (reject => qr/^554 5\.7\.1/, code => qr/^554 5\.7\.9/,
	    lines => qr/^554[- ]5\.7\.1 one\n/, bye => qr/^421/, shutdown => qr/^421/);
	my %late = (later => $refusal{later}, tempfail => $refusal{tempfail},
	    nonsense => $failed, close => $failed);

	for my $i (0 .. $#what) {
		my $c = $q->client(listener => 0, from => '127.0.0.' . (100 + $i));
		my ($code, $text) = $c->reply;
		if ($banner{$what[$i]}) {
			like($text, $banner{$what[$i]}, "connect: $what[$i]");
			next;
		}
		like($text, qr/^220/, "connect: $what[$i]: a banner");
		$c->{greeted} = 1;
		$c->send('EHLO a.example');
		$c->expect(qr/^250-/);
		my @got = session($c, 'a@example.org');
		like($got[-1], $late{$what[$i]} // $ok, "connect: $what[$i]: MAIL or message");
		$c->close;
	}
	my %mail = (%refusal, nonsense => $failed, close => $failed);
	for my $i (0 .. $#what) {
		my $c = $q->client(listener => 0);
		$c->reply;
		$c->{greeted} = 1;
		$c->send("EHLO h$i.example");
		my ($code, $text) = $c->reply;
		if ($what[$i] =~ /bye|shutdown/) {
			like($text, qr/^421/, "HELO: $what[$i]");
			next;
		}
		like($text, qr/^250/, "HELO: $what[$i]: 250");
		for my $n (1, 2) {
			my @got = session($c, 'a@example.org');
			like($got[-1], $mail{$what[$i]} // $ok, "HELO: $what[$i]: message $n");
		}
		$c->close;
	}
};

done_testing;
