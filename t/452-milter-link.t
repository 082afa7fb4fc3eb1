#!/usr/bin/perl
# What a milter negotiates is kept, and one that is away, hangs, dribbles, floods
# or does not read costs its session what on-failure says, and others nothing.
use strict;
use warnings;
use lib 't/lib';
use Socket qw(AF_UNIX SOCK_STREAM pack_sockaddr_un);
use Test::More;
use File::Temp;
use Backend;
use Cert;
use Dns;
use Milter;
use Run;
use Scanned;

my $mta = Backend->start('RCPT' => '250 2.1.5 Ok', '.' => '250 2.0.0 Ok');
my $mail = "Subject: x\r\nTo:  a\r\n\tb\r\nX:\tc\r\n\r\nhello\r\n";
my $ok = qr/^250 /;
my $failed = qr/^451 4\.7\.1 a filter failed/;

sub filter
{
	my ($name, $socket, @rows) = @_;
	my $list = join ', ', map { "\"$_\"" } ref $socket ? @$socket : $socket;

	return "filter \"$name\" {\n\ttype = \"milter\"\n\tsocket = { $list }\n" .
	    join('', map { "\t$_\n" } @rows) . "}\n";
}

# A daemon with one chain for each milter: name => [socket, rows].
sub with
{
	my ($chains, %o) = @_;

	return Scanned->start(backend => $mta->address,
	    chains => { map { $_ => [$_] } keys %$chains },
	    filters => join('', map { filter($_, @{$chains->{$_}}) } sort keys %$chains), %o);
}

# MAIL in a new session, and what it is told.
sub mail_says
{
	my ($p, $chain, $like, $name) = @_;
	my $c = $p->to($chain);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->send('MAIL FROM:<a@example.org>');
	my $text = $c->expect($like, $name);
	$c->close;
	return $text;
}

# What a milter heard after so many reports, as letters, without the end.
sub heard
{
	my ($milter, $from) = @_;
	my @r = $milter->reports;

	return join '', map { /^([A-CE-PR-Z]) / ? $1 : () } @r[$from .. $#r];
}

subtest 'nobody there' => sub {
	my $dir = File::Temp->newdir;
	my $path = "$dir/milter";
	my ($nobody) = Backend::nobody() =~ /:(\d+)$/;
	my $p = with({ tempfail => ["unix:$path"],
	    reject => ['unix:/nonexistent/x', 'on-failure = "reject"'],
	    accept => ["inet:$nobody\@127.0.0.1", 'on-failure = "accept"'] });

	# The banner and EHLO are as always.
	mail_says($p, 'tempfail', $failed, 'tempfail');
	mail_says($p, 'reject', qr/^554 5\.7\.1 a filter failed/, 'reject');
	mail_says($p, 'accept', $ok, 'accept');
	$p->says('accept', $mail, $ok, 'a whole message');
	$p->log_like(qr/filter=accept server="127\.0\.0\.1:$nobody" unreachable="Connection refused"/, 'why');
	my $milter = Milter->start(unix => $path);
	mail_says($p, 'tempfail', $failed, 'not asked before its time');
	is(scalar $milter->reports(qr/connected/), 0, 'not at all');
	$p->clock(10_000);
	$p->says('tempfail', $mail, $ok, 'it is back');
	# One session lives through the end of its milter and its return.
	my $c = $p->to('tempfail');
	$c->deliver('a@example.org', 'b@example.com', $mail);
	$milter->stop;
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect($failed, 'gone in the middle of a session');
	$milter = Milter->start(unix => $path);
	$p->clock(10_000);
	$c->deliver('a@example.org', 'b@example.com', $mail);
	is(heard($milter, 0), 'OCHMRTLLLNBE', 'the new one hears of the session');
	$c->close;
};

# Connections until no more fit into the queue of a UNIX socket.
sub fill
{
	my ($path) = @_;
	my @held;

	while (1) {
		socket my $s, AF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
		IO::Handle::blocking($s, 0);
		connect $s, pack_sockaddr_un($path) or return @held;
		push @held, $s;
	}
}

# The kernel does not say when there is room again. A burst of sessions can do
# that to a milter that is in order.
subtest 'a full queue' => sub {
	my $dir = File::Temp->newdir;
	my $path = "$dir/milter";
	my $listen = IO::Socket::UNIX->new(Listen => 1, Local => $path)
	    or die "listen: $!";
	my @held = fill($path);
	my $p = with({ it => ["unix:$path"] });
	my $c = $p->client;
	$p->log_like(qr/ connect client=/);
	$c->expect_nothing('it waits');
	$listen->accept for @held;
	ok(Wait::wait_readable($listen), 'and is let in') or return;
	my $fh = $listen->accept;
	like(Peer::octets($fh, 17), qr/^\0\0\0\rO/, 'it says what it can do');
	$c->close;
	close $fh;

	@held = fill($path);
	$p = with({ it => ["unix:$path"] });
	$c = $p->client;
	$p->log_like(qr/ connect client=/);
	$p->clock(2_000);
	$c->hello;
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect($failed, 'but not for ever');
	$p->log_like(qr/filter-failed .*not there a moment ago/);
	like($p->log, qr/server="unix:\S+" unreachable="Connection timed out"/, 'why');
	$c->close;
};

subtest 'addresses' => sub {
	my $milter = Milter->start(unix => 1);
	my $tcp = Milter->start;
	my ($path) = $milter->socket =~ /^unix:(.*)/;
	my ($port) = $tcp->socket =~ /:(\d+)$/;
	my $p = with({ path => [$path], local => ["local:$path"], inet => ["inet:$port\@127.0.0.1"],
	    postfix => ["inet:127.0.0.1:$port"], second => [['unix:/nonexistent/x', $milter->socket]] });

	$p->says($_, $mail, $ok, $_) for qw(path local inet postfix second);
	is(scalar $milter->reports(qr/connected/), 3, 'three by unix');
	is(scalar $tcp->reports(qr/connected/), 2, 'two by TCP');
	SKIP: {
		my $s = IO::Socket::IP->new(LocalHost => '::1', Listen => 1) or
		    skip 'no IPv6 here', 1;
		my $six = $s->sockport;
		close $s;
		my $q = with({ six => ["inet6:$six\@::1", 'timeout = 1s'] });
		mail_says($q, 'six', $failed, 'inet6');
		$q->log_like(qr/server="\[::1\]:$six" unreachable/, 'as we write it');
	}
	for (['exec:true', qr/filter "x": socket: "exec:true" must be/],
	    ['inet:25', qr/filter "x": socket: "25"/]) {
		my $q = Proxy->prepare(backend => $mta->address, extra => filter('x', $_->[0]));
		my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c', "$q->{dir}/vratar.conf");
		is($status >> 8, 2, "$_->[0] is a mistake");
		like($said, $_->[1]);
	}
	my $q = Proxy->prepare(backend => $mta->address,
	    extra => "filter \"x\" { type = \"milter\" }\n" .
	    filter('y', '/x', 'macros-mail = { "{foo}" }'));
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c', "$q->{dir}/vratar.conf");
	like($said, qr/filter "x": socket is not set/);
	like($said, qr/filter "y": "\{foo\}" is not a macro that we know/);
};

subtest 'a bad negotiation' => sub {
	my %says = (
		version_1 => pack('a N3', 'O', 1, 0, 0),
		version_7 => pack('a N3', 'O', 7, 0, 0),
		action => pack('a N3', 'O', 6, 0x200, 0),
		short => pack('a N2', 'O', 6, 0),
		other => 'c',
		list => pack('a N3', 'O', 6, 0x100, 0) . "\0\0\0\0i",
	);
	my %peer = map { my $what = $_; $what => Milter->start(raw => sub {
		my ($fh) = @_;
		Milter::receive($fh);
		Milter::say_packets($fh, $says{$what});
		Peer::linger($fh);
	}) } keys %says;
	$peer{zero} = Milter->start(raw => sub { syswrite $_[0], "\0\0\0\0"; Peer::linger($_[0]); });
	$peer{http} = Milter->start(raw => sub { syswrite $_[0], "HTTP/1.1 400 no\r\n\r\n"; Peer::linger($_[0]); });
	$peer{closes} = Milter->start(raw => sub { Milter::receive($_[0]); });
	my $good = Milter->start;
	my $p = with({ (map { $_ => [$peer{$_}->socket] } keys %peer),
	    second => [[$peer{short}->socket, $good->socket]] });
	for my $what (sort keys %peer) {
		mail_says($p, $what, $failed, $what);
		mail_says($p, $what, $failed, "$what again");
		is(scalar $peer{$what}->reports(qr/connected/), 1, "$what: asked once");
	}
	$p->says('second', $mail, $ok, 'the next address is tried');
};

subtest 'it hangs' => sub {
	my $silent = Milter->start(raw => sub {
		$_[1]->('waits');
		Peer::linger($_[0]);
	});
	my $p = with({ silent => [$silent->socket] });
	my $c = $p->client(listener => 0);
	ok($silent->wait_report(qr/waits/), 'it does not answer the negotiation');
	$c->expect_nothing;
	$p->clock(2_000);
	$c->expect(qr/^220/, 'connect-timeout');
	$c->{greeted} = 1;
	$c->send('EHLO a.example', 'MAIL FROM:<a@example.org>');
	$c->expect(qr/^250-/);
	$c->expect($failed, 'MAIL at once: nobody waits twice');
	$p->log_like(qr/filter-failed .*why=".*was not there a moment ago"/);
	is(scalar $silent->reports(qr/connected/), 1, 'asked once');
	# That it can be connected to does not make it a server that works.
	$p->clock(10_000);
	$c->send('MAIL FROM:<a@example.org>');
	ok(Wait::wait_until(sub { $silent->reports(qr/waits/) == 2; }), 'later one tries again');
	mail_says($p, 'silent', $failed, 'the others do not wait for that') for 1 .. 3;
	$c->expect_nothing;
	$p->clock(2_000);
	$c->expect($failed, 'and it has not come back');
	is(scalar $silent->reports(qr/connected/), 2, 'asked once more');
	is(scalar(() = $p->log =~ /server=\S+ back/g), 0);
	$c->close;
};

subtest 'it closes when it has negotiated' => sub {
	my $closes = Milter->start(raw => sub {
		Milter::receive($_[0]);
		Milter::say_packets($_[0], pack('a N3', 'O', 6, 0, 0));
	});
	my $p = with({ it => [$closes->socket], accept => [$closes->socket, 'on-failure = "accept"'] });
	for my $n (1 .. 3) {
		mail_says($p, 'it', $failed, "session $n");
		$p->says('accept', $mail, $ok, "session $n, accepted");
	}
};

subtest 'what it wants' => sub {
	my @rows = (
		# offer, what it hears, and the packets of one message
		[[6, 0x1ff, 0], 'OCHMRTLLLNBE'],
		[[4, 0x3f, 0], 'OCHMRTLLLNBE'],
		[[3, 0x3f, 0], 'OCHMRLLLNBE'],
		[[2, 0x1f, 0], 'OCHMRLLLNBE'],
		[[6, 0, 0x7f | 0x300], 'OE'],
		[[6, 0, 0x1], 'OHMRTLLLNBE'],
		[[6, 0, 0x2], 'OCMRTLLLNBE'],
		[[6, 0, 0x4], 'OCHRTLLLNBE'],
		[[6, 0, 0x8], 'OCHMTLLLNBE'],
		[[6, 0, 0x10], 'OCHMRTLLLNE'],
		[[6, 0, 0x20], 'OCHMRTNBE'],
		[[6, 0, 0x40], 'OCHMRTLLLBE'],
		[[6, 0, 0x200], 'OCHMRLLLNBE'],
		[[6, 0x1ff, 0xff080], 'OCHMRTLLLNBE'],
		[[6, 0x1ff, 0x30000080], 'OCHMRTLLLNBE'],
		(map { [[6, 0x1ff, $_], 'OCHMRTLLLNBE'] } 0x80, 0x1000, 0x2000,
		    0x4000, 0x8000, 0x10000, 0x40000, 0x80000),
	);
	my @milters = map { Milter->start(offer => $_->[0]) } @rows;
	my $p = with({ map { $_ => [$milters[$_]->socket] } 0 .. $#rows });

	for my $i (0 .. $#rows) {
		my $name = sprintf 'version %d, %x, %x', @{$rows[$i][0]};
		$p->says($i, $mail, $ok, $name);
		is(heard($milters[$i], 0), $rows[$i][1], "$name: what it hears");
		is(scalar $milters[$i]->reports(qr/^O 6 1ff 1fffff$/), 1, "$name: the offer");
		# Macros are for everybody.
		ok(scalar $milters[$i]->reports(qr/^D C .*\bj=/), "$name: macros");
	}
};

subtest 'an answer to what it would not answer' => sub {
	my $milter = Milter->start(offer => [6, 0, 0x4000], M => ['c']);
	my $p = with({ it => [$milter->socket] });
	my $c = $p->to('it');
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect($ok);
	ok($milter->wait_report(qr/gone/), 'it is hung up on');
	$c->send('RCPT TO:<b@example.com>');
	$c->expect($failed, 'it has failed');
	$p->log_like(qr/filter-failed filter=it at=rcpt why=".*speaks without being asked/);
};

subtest 'macros' => sub {
	my $lists = pack('N Z*', 2, 'i, {mail_addr} {nonsense} {tls_version}') . pack('N Z*', 0, '') .
	    pack('N Z*', 6, '{daemon_name}') . pack('N Z*', 9, 'i');
	my $milter = Milter->start(offer => [6, 0x1ff, 0, $lists]);
	my $p = with({ it => [$milter->socket, 'macros-mail = { "Z", "{daemon_name}=ORIGINATING" }',
	    'macros-eom = { "{client_addr}" }'] });
	$p->says('it', $mail, $ok);
	ok($milter->reports(qr/^D M Z=vratar\|i=[0-9a-f]+\.1\|\{daemon_name\}=ORIGINATING\|\{mail_addr\}=a\@example\.org$/),
	    'its list, what is there of it, and what is set');
	ok($milter->reports(qr/^D N \{daemon_name\}=mx\.test\.example$/), 'EOH, not EOM');
	ok($milter->reports(qr/^D E i=[0-9a-f]+\.1\|\{client_addr\}=127\.0\.0\.1$/), 'EOM, more');
	ok($milter->reports(qr/^D C .*\bj=mx\.test\.example.*\{client_addr\}=/), 'an empty list changes nothing');
};

subtest 'a client and its message, as macros' => sub {
	my $dns = Dns->start('3.0.0.127.in-addr.arpa PTR' => 'lies.example',
	    'lies.example A' => '192.0.2.1', '2.0.0.127.in-addr.arpa PTR' => 'true.example',
	    'true.example A' => '127.0.0.2');
	my $behind = Backend->start(auth => 'PLAIN', 'AUTH' => '235 2.7.0 welcome',
	    'RCPT' => '250 2.1.5 Ok', '.' => '250 2.0.0 Ok');
	my $lists = pack('N Z*', 6, '{msg_id} i') . pack('N Z*', 5, '{msg_id}');
	my $milter = Milter->start(offer => [6, 0x1ff, 0, $lists]);
	my $p = Scanned->start(backend => $behind->address, tls => Cert->shared,
	    set => { 'dns-servers' => [$dns->server] },
	    chains => { it => ['it'] }, filters => filter('it', $milter->socket));
	my $seen;
	my $with = sub { scalar grep { $_ =~ $_[0] } ($milter->reports)[$seen .. $milter->reports - 1]; };

	$seen = $milter->reports;
	my $c = $p->client(listener => 0, from => '127.0.0.2');
	$c->hello('client.example');
	$c->deliver('a@example.org', 'b@example.com', "MESSAGE-id: <one\@example.org>\r\nMessage-ID: <two>\r\n$mail");
	ok($with->(qr/^D C .*\b_=true\.example \[127\.0\.0\.2\]\|/), 'a true name');
	ok($with->(qr/^D N i=\S+\|\{msg_id\}=<one\@example\.org>$/), 'the Message-ID, where it is asked for');
	ok($with->(qr/^D E \{msg_id\}=<one\@example\.org>$/), 'and at the end');
	$seen = $milter->reports;
	$c->deliver('a@example.org', 'b@example.com', $mail);
	ok(!$with->(qr/msg_id/), 'not that of another message');
	$c->quit;

	$seen = $milter->reports;
	$c = $p->client(listener => 0, from => '127.0.0.3');
	$c->hello('client.example');
	$c->starttls;
	$c->hello('again.example');
	ok($with->(qr/^D C .*\b_=lies\.example \[127\.0\.0\.3\] \(may be forged\)\|/), 'a name that lies');
	$c->send('MAIL FROM:<a@example.org> AUTH=b+2Bc@example.org', 'RSET');
	$c->expect($ok) for 1, 2;
	ok(!$with->(qr/auth_author/), 'AUTH= of anybody');
	$c->send('AUTH PLAIN AGFsaWNlAHNlY3JldA==');
	$c->expect(qr/^235/);
	$c->send('MAIL FROM:<a@example.org> AUTH=b+2Bc@example.org');
	$c->expect($ok);
	ok($with->(qr/^D M .*\{auth_authen\}=alice\|\{auth_author\}=b\+c\@example\.org\|\{auth_type\}=PLAIN/), 'AUTH= of somebody');
	$c->close;
};

subtest 'recipients that are refused' => sub {
	my $dir = File::Temp->newdir;
	open my $out, '>', "$dir/p.rules" or die $!;
	print $out "at rcpt\n  reject 554 5.7.9 \"not him\" if rcpt.local is \"rules\"\n";
	close $out;
	my $refuses = Backend->start('RCPT TO:<backend' => '550 5.1.1 not here',
	    'RCPT' => '250 2.1.5 Ok', '.' => '250 2.0.0 Ok');
	my $wants = Milter->start(offer => [6, 0x1ff, 0x800], 'R <odd@example.com>' => ['r'],
	    'R <gone@example.net>' => ['a'], 'R <slow@example.net>' => sub { $_[1]->('waits'); return; });
	my $not = Milter->start;
	my $p = Scanned->start(backend => $refuses->address,
	    set => { 'relay-domains' => ['example.com'], 'recipient-limit' => 4 },
	    chains => { wants => ['wants'], not => ['not'], rules => ['rules', 'wants'], behind => ['wants', 'rules'] },
	    filters => filter('wants', $wants->socket) . filter('not', $not->socket) .
	    "filter \"rules\" { type = \"policy\" file = \"$dir/p.rules\" }\n");
	# What it hears, with the macros in front of it.
	my $heard = sub {
		my ($milter, $seen) = @_;
		my @r = ($milter->reports)[$seen .. $milter->reports - 1];
		return join ' ', map { my ($m) = $r[$_ - 1] =~ /\{rcpt_addr\}=(.*?)\|\{rcpt_host\}=(.*?)\|\{rcpt_mailer\}=(\w+)/ ? "$3:$2:$1" : '';
		    $r[$_] =~ /^R <([^@>]+)/ ? "$1($m)" : () } 1 .. $#r;
	};
	my %says = (
		wants => 'good(smtp:example.com:good@example.com) relay(error:5.7.1:<relay@example.net>: relay access denied) backend(smtp:example.com:backend@example.com) rules(smtp:example.com:rules@example.com)',
		not => 'good(smtp:example.com:good@example.com) backend(smtp:example.com:backend@example.com) rules(smtp:example.com:rules@example.com)',
		rules => 'good(smtp:example.com:good@example.com) relay(error:5.7.1:<relay@example.net>: relay access denied) backend(smtp:example.com:backend@example.com) rules(error:5.7.9:not him)',
		behind => 'good(smtp:example.com:good@example.com) relay(error:5.7.1:<relay@example.net>: relay access denied) backend(smtp:example.com:backend@example.com) rules(smtp:example.com:rules@example.com)',
	);
	for my $chain (sort keys %says) {
		my $milter = $chain eq 'not' ? $not : $wants;
		my $seen = $milter->reports;
		my $c = $p->to($chain);
		$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<good@example.com>', 'RCPT TO:<relay@example.net>',
		    'RCPT TO:<backend@example.com>', 'RCPT TO:<rules@example.com>', 'RCPT TO:<no syntax>');
		$c->expect($_, $chain) for $ok, $ok, qr/^550 5\.7\.1 \S+ relay access denied/, qr/^550 5\.1\.1 not here/,
		    $chain =~ /rules|behind/ ? qr/^554 5\.7\.9 not him/ : $ok, qr/^501 5\.1\.3/;
		$c->send('DATA');
		$c->expect(qr/^354/);
		$c->octets(Client::stuff($mail));
		$c->expect($ok, 'the others get it');
		$c->close;
		is($heard->($milter, $seen), $says{$chain}, "$chain: what the milter is told");
	}
	# What it says about them is ignored; an accept is meant for the message.
	my $seen = $wants->reports;
	my $c = $p->to('wants');
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('RCPT TO:<gone@example.net>', 'RCPT TO:<c@example.com>', 'RCPT TO:<d@example.com>', 'RCPT TO:<e@example.com>');
	$c->expect($_) for qr/^550 5\.7\.1/, $ok, $ok, $ok;
	$c->send('RCPT TO:<f@example.com>');
	$c->expect(qr/^452 4\.5\.3/);
	$c->send('RSET', 'MAIL FROM:<b@example.org>', 'RCPT TO:<slow@example.net>');
	$c->expect($ok) for 1, 2;
	ok(Wait::wait_until(sub { $wants->reports(qr/^waits/); }), 'it thinks about one');
	is(heard($wants, $seen), 'OCHMRR' . 'MR', 'after accept nothing of the message');
	$c->expect_nothing;
	$p->clock(30_000);
	$c->expect(qr/^550 5\.7\.1/, 'the reply is the same');
	$c->send('RCPT TO:<b@example.com>');
	$c->expect($failed, 'and the milter has failed');
	$c->close;
};

subtest 'commands that are unknown' => sub {
	my %says = (c => 'c', reject => 'r', tempfail => 't', code => reply('502 5.5.1 never heard'),
	    wrong => reply('250 fine'), accept => 'a', discard => 'd', bye => reply('421 4.7.0 bye'),
	    nonsense => 'Z', skip => 's', progress => 'p');
	my $unknown = sub {
		my ($fh, $report, $state, $command, $rest) = @_;
		my ($what) = lc($rest) =~ /^x(\w+)/;
		return $what eq 'progress' ? ('p', 'c') : $says{$what} // 'c';
	};
	my %milter = (wants => Milter->start(U => $unknown),
	    old => Milter->start(offer => [2, 0x1f, 0]),
	    not => Milter->start(offer => [6, 0x1ff, 0x100]),
	    nr => Milter->start(offer => [6, 0, 0x20000]),
	    nodata => Milter->start(offer => [6, 0, 0x200], U => $unknown));
	my $p = with({ map { $_ => [$milter{$_}->socket] } keys %milter },
	    set => { 'error-limit' => 1000 });
	my $usual = qr/^500 5\.5\.2 command not recognized/;
	my %reply = (c => $usual, reject => qr/^550 5\.7\.1 Command rejected/, tempfail => qr/^451 4\.7\.1 Service unavailable/,
	    code => qr/^502 5\.5\.1 never heard/, accept => $usual, discard => $usual, skip => $usual, progress => $usual,
	    wrong => $usual, nonsense => $usual);

	for my $what (sort keys %reply) {
		my $c = $p->to('wants');
		$c->send("X$what a b");
		$c->expect($reply{$what}, "$what: before MAIL");
		ok($milter{wants}->reports(qr/^U X$what a b\|$/), "$what: what it is told");
		$c->deliver('a@example.org', 'b@example.com', $mail);
		$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
		$c->expect($ok) for 1, 2;
		$c->send("X$what");
		my $broken = $what =~ /wrong|nonsense/;
		$c->expect($broken ? $failed : $reply{$what}, "$what: in a message");
		$c->send('DATA');
		$c->expect($broken ? $failed : qr/^354/, "$what: which goes on");
		if (!$broken) {
			$c->octets(Client::stuff($mail));
			$c->expect($ok);
		}
		$c->close;
	}
	my $c = $p->to('wants');
	$c->send('XBYE');
	$c->expect(qr/^421 4\.7\.0 bye/, 'a 421 is the end');
	$c->expect_close;
	for my $chain (qw(old not nr nodata)) {
		$c = $p->to($chain);
		my $seen = $milter{$chain}->reports;
		$c->send('XREJECT');
		$c->expect($chain eq 'nodata' ? $reply{reject} : $usual, "$chain: before MAIL");
		$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
		$c->expect($ok) for 1, 2;
		$c->send('XREJECT');
		$c->expect($usual, "$chain: in a message");
		$c->send('DATA');
		$c->expect(qr/^354/);
		$c->octets(Client::stuff($mail));
		$c->expect($ok);
		is(heard($milter{$chain}, $seen), { old => 'MRLLLNBE', not => 'MRTLLLNBE', nr => 'UMRUTLLLNBE',
		    nodata => 'UMRLLLNBE' }->{$chain}, "$chain: what it hears");
		$c->close;
	}
	my $seen = $milter{wants}->reports;
	$c = $p->to('wants');
	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat("Subject: x\r\n");
	$c->expect($ok);
	$c->send('XREJECT');
	$c->expect($usual, 'between two chunks nobody is asked');
	$c->close;
	is(scalar(grep { /^U/ } ($milter{wants}->reports)[$seen .. $milter{wants}->reports - 1]), 0);
	# Not yet a session, or one whose milter was never there.
	$c = $p->client(listener => $p->{chain}{wants});
	$c->expect(qr/^220/);
	$c->send('XREJECT');
	$c->expect($reply{reject}, 'before HELO');
	$c->close;
};

subtest 'fields' => sub {
	my $plain = Milter->start(E => [add('A', 'b'), add('B', ' c'), insert(0, 'C', 'd'),
	    add('D', "e\n\tf\ng\r\n h"), 'c']);
	my $leads = Milter->start(offer => [6, 0x1ff, 0x100000],
	    E => [add('A', ' b'), insert(1, 'C', "\td"), 'c']);
	my $p = with({ plain => [$plain->socket], leads => [$leads->socket] });

	$p->says('plain', $mail, $ok);
	ok($plain->reports(qr/^L \Q$_\E$/), $_) for 'Subject|x|', "To| a~\tb|", "X|\tc|";
	is($mta->last->{content}, "C: d\r\n" . $mail =~ s/\r\n\r\n.*//sr .
	    "\r\nA: b\r\nB:  c\r\nD: e\r\n\tf\r\n\tg\r\n h\r\n\r\nhello\r\n", 'plain');
	$p->says('leads', $mail, $ok);
	ok($leads->reports(qr/^L \Q$_\E$/), $_) for 'Subject| x|', "To|  a~\tb|", "X|\tc|";
	like($mta->last->{content}, qr/^C:\td\r\nSubject: x\r\n.*\r\nA: b\r\n\r\n/s, 'with leading space');
};

subtest 'large bodies' => sub {
	my $line = 'x' x 98 . "\r\n";
	my $big = "Subject: big\r\n\r\n" . $line x 3000;
	my @sizes = (65535) x 4;
	my %milter = (all => Milter->start, nr => Milter->start(offer => [6, 0, 0xff080]),
	    skip => Milter->start(B => ['s'], E => [body("new\r\n"), 'c']),
	    replace => Milter->start(E => [(map { body('y' x 70 . "\r\n") } 1 .. 3000), 'c']),
	    empty => Milter->start(E => [body(''), 'c']));
	my $p = with({ map { $_ => [$milter{$_}->socket] } keys %milter });

	for my $way ('all', 'nr') {
		$p->says($way, $big, $ok, $way);
		is(join(' ', map { /^B (\d+) octets/ ? $1 : () } $milter{$way}->reports),
		    join(' ', @sizes, 300_000 - 4 * 65535), 'full pieces');
		is($mta->last->{content}, $big, 'as it came');
	}
	$p->says('skip', $big, $ok, 'skip');
	is(scalar $milter{skip}->reports(qr/^B/), 1, 'one piece');
	is($mta->last->{content}, "Subject: big\r\n\r\nnew\r\n", 'replaced');
	$p->says('replace', $big, $ok, 'many pieces');
	is(length $mta->last->{content}, 16 + 72 * 3000, 'are one body');
	$p->says('empty', $big, $ok, 'an empty body');
	is($mta->last->{content}, "Subject: big\r\n\r\n", 'is empty');
	my $c = $p->to('all');
	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat(substr $big, 0, 100_001);
	$c->expect($ok);
	$c->bdat(substr($big, 100_001), 1);
	$c->expect($ok, 'BDAT');
	is($mta->last->{content}, $big, 'as it came');
	$c->close;
};

subtest 'time' => sub {
	my $wait = sub {
		my ($fh, $report, $state, $command) = @_;
		return 'c' unless ($state->{from} // '') =~ /^<slow-$command\@/;
		$report->("waits at $command");
		return;
	};
	my $milter = Milter->start(any => $wait);
	my $busy = Milter->start(E => sub {
		my ($fh, $report) = @_;
		$report->('works');
		for my $i (1 .. 1000) {
			Milter::say_packets($fh, 'p');
			$report->('progress');
			select undef, undef, undef, 0.02;
		}
		return 'c';
	});
	my $p = with({ it => [$milter->socket], accept => [$milter->socket, 'on-failure = "accept"'],
	    busy => [$busy->socket, 'content-timeout = 5s'] }, set => { 'filter-budget' => '60s' });
	for my $row (['M', 30_000], ['R', 30_000], ['T', 30_000], ['E', 60_000]) {
		my ($at, $ms) = @$row;
		for my $chain ('it', 'accept') {
			my $c = $p->to($chain);
			my $seen = $milter->reports(qr/waits at $at/);
			$c->send("MAIL FROM:<slow-$at\@example.org>", 'RCPT TO:<b@example.com>');
			if ($at =~ /[TE]/) {
				$c->reply for 1, 2;
				$c->send('DATA');
				if ($at eq 'E') {
					$c->reply;
					$c->octets(Client::stuff($mail));
				}
			} elsif ($at eq 'R') {
				$c->reply;
			}
			ok(Wait::wait_until(sub { $milter->reports(qr/waits at $at/) > $seen; }), "$at: it waits");
			$p->clock($ms - 1000);
			$c->expect_nothing;
			$p->clock(1000);
			$c->expect($chain eq 'it' ? $failed : $at eq 'T' ? qr/^354/ : $ok, "$at: $chain");
			$c->close;
		}
	}
	my $c = $p->sent('busy', $mail);
	ok($busy->wait_report(qr/works/), 'one that makes progress');
	for (1 .. 20) {
		$p->clock(2_900);
		my $seen = $busy->reports(qr/progress/);
		Wait::wait_until(sub { $busy->reports(qr/progress/) > $seen + 2; });
		$c->expect_nothing;
	}
	$p->clock(2_900);
	$c->expect($failed, 'has until the budget is used up');
	$p->log_like(qr/filter-failed filter=busy at=eom why="no answer within the filter-budget"/);
};

subtest 'it does not read' => sub {
	my $milter = Milter->start(offer => [6, 0, 0xff080], N => sub {
		$_[1]->('stops');
		select undef, undef, undef, 60;
	});
	# What the sockets hold is no message that is too large.
	my $roomy = Backend->start(extensions => ['PIPELINING', 'CHUNKING', 'SIZE 50000000']);
	my $p = with({ it => [$milter->socket, 'timeout = 20s', 'content-timeout = 20s'] },
	    backend => $roomy->address);
	my $c = $p->to('it');
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354/);
	my $line = "line of a long text\r\n";
	my ($sent, $piece) = (0, $line x 5000);
	$c->octets("Subject: x\r\n\r\n");
	while ($sent < 40_000_000) {
		my $n = syswrite $c->{fh}, $piece;
		if (defined $n) {
			$sent += $n;
			$piece = substr($piece, $n) . substr($piece, 0, $n);
		} elsif (!Wait::wait_writable($c->{fh}, 0.5)) {
			last;
		}
	}
	ok($sent < 30_000_000, "the client is held back after $sent octets");
	$p->clock(20_000);
	$p->log_like(qr/filter-failed filter=it at=body why="(?:451 4\.7\.1 )?(?:it does not read|no answer in time)"/, 'for so long');
	$c->octets(substr($line, $sent % length $line) . ".\r\n");
	$c->expect(qr/^451 /, 'and then it is a failure');
};

subtest 'it has no end' => sub {
	for my $packet ('p', add('X-A', 'b'), body('b'), "qwhy\0") {
		my $milter = Milter->start(E => sub {
			my ($fh) = @_;
			my $many = Milter::packet($packet) x 10_000;
			local $SIG{PIPE} = 'IGNORE';
			1 while print $fh $many;
			return;
		});
		my $p = with({ it => [$milter->socket] });
		$p->says('it', $mail, $failed, 'a flood of ' . substr $packet, 0, 1);
	}
};

subtest 'lost with half of its edits' => sub {
	my $milter = Milter->start(E => sub {
		my ($fh) = @_;
		Milter::say_packets($fh, add('X-A', 'b'), body('new'), del_rcpt('<b@example.com>'));
		shutdown $fh, 2;
		return;
	});
	my $p = with({ it => [$milter->socket], accept => [$milter->socket, 'on-failure = "accept"'] });
	$mta->forget;
	$p->says('it', $mail, $failed, 'is lost');
	is(scalar $mta->messages, 0, 'nothing arrives');
	$p->says('accept', $mail, $ok, 'or as it came');
	is($mta->last->{content}, $mail);
};

subtest 'settings' => sub {
	my $edits = Milter->start(E => [add('X-A', 'b'), 'c']);
	my $rejects = Milter->start(R => ['r']);
	my $holds = Milter->start(E => ["qlook at it\0", add('X-A', 'b'), 'c']);
	my $p = with({ small => [$edits->socket, 'max-size = 2K'],
	    observe => [$rejects->socket, 'mode = "observe"'],
	    look => [$edits->socket, 'mode = "observe"'], holds => [$holds->socket] });
	$p->says('small', $mail, $ok, 'small');
	like($mta->last->{content}, qr/X-A/);
	my $seen = $edits->reports;
	$p->says('small', $mail . "x\r\n" x 1000, $ok, 'larger than max-size');
	unlike($mta->last->{content}, qr/X-A/);
	ok(Wait::wait_until(sub { heard($edits, $seen) =~ /^OCHMRTLLLN?A/; }),
	    'it is told to forget it');
	$seen = $edits->reports;
	my $c = $p->to('small');
	$c->send('MAIL FROM:<a@example.org> SIZE=3000');
	$c->expect($ok);
	$c->send('RSET', 'MAIL FROM:<a@example.org> SIZE=300');
	$c->expect($ok) for 1, 2;
	is(heard($edits, $seen), 'OCHM', 'SIZE says it at once');
	$c->close;
	$p->log_like(qr/milter-skipped filter=small reason=size/);
	$p->says('observe', $mail, $ok, 'observe');
	$p->log_like(qr/observe filter=observe at=rcpt would=reject .*Command rejected/);
	$p->says('look', $mail, $ok, 'edits are observed');
	unlike($mta->last->{content}, qr/X-A/);
	$p->says('holds', $mail, qr/^451 4\.7\.1 the message is to be held back/, 'quarantine');
};

# Nothing that it says counts, and nobody waits for one that would not answer.
subtest 'observed, and it has had enough' => sub {
	my %says = (connect => Milter->start(C => ['t']), helo => Milter->start(H => ['r']),
	    shutdown => Milter->start(R => ['4']), late => Milter->start(C => ['r']));
	my $p = with({ map { $_ => [$says{$_}->socket, 'mode = "observe"',
	    $_ eq 'late' ? 'when = "mail"' : ()] } keys %says });
	for my $how (sort keys %says) {
		for my $n (1, 2) {
			$mta->forget;
			$p->says($how, $mail, $ok, "$how: message $n");
			is($mta->last->{content}, $mail, "$how: as it came");
		}
	}
	is(heard($says{connect}, 0), 'OC' x 2, 'refuses the client');
	is(heard($says{helo}, 0), 'OCH' x 2, 'or HELO');
	is(heard($says{late}, 0), 'OC' x 2, 'or the client, with MAIL');
	is(heard($says{shutdown}, 0), 'OCHMR' x 2, 'or leaves');
	$p->log_like(qr/filter-failed filter=shutdown at=data why="451 4\.7\.1 it has shut down" on-failure=none/);
};

subtest 'quarantine' => sub {
	my $holds = Milter->start(E => ["qlook at it\0", add('X-A', 'b'), 'c']);
	my $p = with({ it => [$holds->socket, 'quarantine = yes'] },
	    set => { quarantine => 'redirect:held@example.com' });

	$mta->forget;
	$p->says('it', $mail, $ok, 'held back');
	is("@{$mta->last->{rcpts}}", '<held@example.com>', 'where the setting says');
	like($mta->last->{content}, qr/^X-Quarantine-Reason: .*look at it/m, 'with the reason');
	my $q = Proxy->prepare(backend => $mta->address,
	    extra => filter('x', '/x', 'quarantine = yes'));
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c', "$q->{dir}/vratar.conf");
	is($status >> 8, 2, 'without a place for it: a mistake');
};

subtest 'TLS and logins' => sub {
	my $behind = Backend->start(auth => 'PLAIN', 'AUTH' => '235 2.7.0 welcome',
	    '.' => '250 2.0.0 Ok');
	my $milter = Milter->start;
	my $p = Scanned->start(backend => $behind->address, tls => Cert->shared,
	    chains => { it => ['it'], skip => ['skip'] },
	    filters => filter('it', $milter->socket) .
	    filter('skip', $milter->socket, 'skip-authenticated = yes'));

	for my $chain ('it', 'skip') {
		my $seen = $milter->reports;
		my $c = $p->client(listener => $p->{chain}{$chain});
		$c->hello('first.example');
		$c->starttls;
		$c->hello('second.example');
		$c->deliver('a@example.org', 'b@example.com', $mail) if $chain eq 'skip';
		$c->send('AUTH PLAIN AGFsaWNlAHNlY3JldA==');
		$c->expect(qr/^235/, 'a login');
		$c->deliver('a@example.org', 'b@example.com', $mail);
		$c->quit;
		is(heard($milter, $seen), 'OCHHMRTLLLNBE', "$chain: one message, HELO twice");
		my @r = ($milter->reports)[$seen .. $milter->reports - 1];
		my @helo = grep { /^D H/ } @r;
		is(scalar(grep { /\{tls_version\}=TLSv1\.[23]/ && /\{cipher_bits\}=\d+/ &&
		    /\br=ESMTPS\b/ && !/cert_/ } @helo), 1, 'TLS is known with the second');
		is(scalar(grep { /^D M .*\{auth_authen\}=alice\|\{auth_type\}=PLAIN/ } @r),
		    $chain eq 'it' ? 1 : 0, 'the login with MAIL');
	}
	unlike(join("\n", $milter->reports), qr/secret/, 'and no password');
};

done_testing;
