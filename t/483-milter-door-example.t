#!/usr/bin/perl
# The example of contrib/ works behind Postfix as it says, miltertest agrees, a
# reload is for new sessions, and what is wrong is said.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Client;
use Milterd;
use Postfix;
use Run;
use Wait;

sub slurp
{
	my ($file) = @_;
	open my $in, '<', $file or die "$file: $!";
	local $/;
	return scalar <$in>;
}

my $example = slurp('contrib/examples/postfix-milter.conf');

subtest 'the example' => sub {
	Postfix::possible() or plan skip_all => $Postfix::why;
	my $m = Milterd->prepare(socket => 'inet:0@127.0.0.1');
	my $text = $example =~ s/^(?:user|log) .*\n//mgr;
	my ($main) = $text =~ /main\.cf:\n((?:#\t.*\n)+)/;

	ok($text =~ s,/etc/vratar/marking.rules,contrib/examples/marking.rules,, 'the policy');
	$m->write('vratar.conf', $text);
	push @{$m->{args}}, '--control', $m->{control};
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '--milter',
	    '-c', "$m->{dir}/vratar.conf");
	is($status, 0, 'vratar check --milter') or diag($said);
	($status) = Run::run($Proxy::PROGRAM, 'check', '-c', "$m->{dir}/vratar.conf");
	is($status >> 8, 2, 'without it something is missing');
	$m->serve;
	like($m->socket, qr/^inet:\d+\@127\.0\.0\.1$/, 'the port is in the ready line');
	my ($port) = $m->socket =~ /(\d+)/;
	my %main = $main =~ /^#\t(\w+)\s*= (.*)/mg;
	is($main{milter_default_action}, 'tempfail', 'what goes into main.cf');
	s/8899/$port/ for values %main;
	# Or Postfix adds what is missing, as for mail from the machine itself.
	my $postfix = Postfix->start(main => { %main,
	    local_header_rewrite_clients => '' });
	my $send = sub {
		my ($header) = @_;
		my $c = Client->connect(host => '127.0.0.1', port => $postfix->port);
		$c->reply;
		for ('EHLO c.example', 'MAIL FROM:<a@example.org>',
		    'RCPT TO:<alice@example.com>', 'DATA', "$header\r\n\r\nhello\r\n.") {
			$c->send($_);
			$said = ($c->reply)[1];
		}
		$c->quit;
		return $said;
	};
	like($send->("Subject: Re: nothing\r\nX-Spam-Flag: no\r\nDate: x"), qr/^250 /, 'a doubtful message');
	my $mail = $postfix->wait_mail('alice', qr/nothing/) // '';
	like($mail, qr/^Subject: \[doubtful\] Re: nothing$/m, 'is marked');
	like($mail, qr/^X-Spam-Score: 4$/m, 'with its score');
	like($mail, qr/^X-Spam-Flag: YES$/m, 'in our name');
	unlike($mail, qr/^X-Spam-Flag: no/m, 'and in no other');
	like($send->('Subject: RE: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'), qr/^250 /, 'a worse one');
	$postfix->log_like(qr/milter-hold: END-OF-MESSAGE/, 'is held by Postfix');
	is(scalar(my @held = glob "$postfix->{dir}/queue/hold/*"), 1, 'in its queue');
	is($m->stop, 0, 'stopped');
};

# Sessions keep the policy that they began with.
subtest 'reload' => sub {
	my $m = Milterd->start(policy => "at mail\n    reject 550 5.1.8 \"old\"\n");
	my ($before, $between) = ($m->mta, $m->mta);
	$_->client, $_->helo for $before, $between;
	like($before->mail('a@example.org'), qr/^y550 5\.1\.8 old/, 'a policy');
	$m->write('p0.rules', "at mail\n    reject 550 5.1.8 \"new\"\n" .
	    "at eom\n    add header \"X-A: b\"\n");
	is($m->control('reload'), "ok\n", 'another one');
	like($between->mail('a@example.org'), qr/^y550 5\.1\.8 old/, 'is not for old sessions');
	my $after = $m->mta;
	is($after->{actions} & 0x11, 0x11, 'new ones negotiate what it needs');
	$after->client;
	$after->helo;
	like($after->mail('a@example.org'), qr/^y550 5\.1\.8 new/, 'and hear of it');
	$_->quit for $before, $between, $after;
	$m->write('p0.rules', "at mail\n    rejct\n");
	like($m->control('reload'), qr/^error .*p0\.rules:2/, 'a mistake');
	$m->signal('HUP');
	$m->log_like(qr/reload-failed/, 'is logged');
	$after = $m->mta;
	$after->client;
	$after->helo;
	like($after->mail('a@example.org'), qr/^y550 5\.1\.8 new/, 'and changes nothing');
	$after->quit;
	$m->write('p0.rules', "at mail\n    accept\n");
	$m->{seen} = @{$m->{log}};
	$m->signal('HUP');
	$m->log_like(qr/reloaded /, 'SIGHUP reloads');
	is($m->stop, 0, 'stopped');
};

# An MTA that does not offer what a rule wants.
subtest 'an MTA that can do less' => sub {
	my $m = Milterd->start(policy => <<'END');
at eom
    add header "X-A: b"
    add recipient "c@example.com" if mail.local is "more"
END
	my $mail = "Subject: x\r\n\r\nhello\r\n";
	my $mta = $m->mta(actions => 0x1ff & ~0x84);
	$m->log_like(qr/mta-offers-less .*level=warn/, 'is told of');
	$mta->envelope;
	is_deeply([MilterMta::tell($mta->message($mail))], ['h X-A  b', 'c '], 'what it offers is done');
	$mta->mail('more@example.org');
	$mta->rcpt('b@example.com');
	$mta->ask('T');
	my @said = $mta->message($mail);
	is(scalar(@said), 1, 'of a message that needs more nothing is');
	like($said[0], qr/^y451 4\.3\.0 the message cannot be changed/, 'but it is deferred');
	$m->log_like(qr/edit failed="the MTA does not offer it"/, 'and the log says why');
	$mta->quit;
	is($m->stop, 0, 'stopped');
};

# Who may speak in our name, here as well.
subtest 'Authentication-Results' => sub {
	my $m = Milterd->start(set => { 'authserv-id' => 'mx.example.org' },
	    policy => "at eom\n    reject if header(\"Authentication-Results\") ~ /forged/\n");
	my $mta = $m->mta;
	is($mta->{actions} & 0x10, 0x10, 'fields may be deleted');
	$mta->envelope;
	is_deeply([MilterMta::tell($mta->message("A: 1\r\n" .
	    "Authentication-Results: other.example; dkim=pass\r\n" .
	    "Authentication-Results: MX.example.org; dkim=pass (forged)\r\n" .
	    "authentication-results: mx.example.org; spf=pass (forged)\r\n\r\nx\r\n"))],
	    ['m 3 authentication-results ', 'm 2 Authentication-Results ', 'c '],
	    'what others wrote in our name is not seen, and deleted');
	$mta->quit;
	is($m->stop, 0, 'stopped');
};

subtest 'miltertest' => sub {
	my $miltertest = Run::which('miltertest') or
	    plan skip_all => 'miltertest is not installed';
	my $m = Milterd->start(policy => <<'END');
at mail
    reject 550 5.1.8 "not from %{mail}" if mail.local is "bad"
at eom
    insert header "X-Top: %{client.ip}"
    change header "Subject: new"
    add recipient "d@example.com"
    quarantine "why not" if mail.local is "held"
END
	my $script = $m->write('script.lua', <<'END');
conn = mt.connect(socket)
if conn == nil then error("no connection") end
if mt.conninfo(conn, "client.example", "192.0.2.7") ~= nil then error("connect") end
if mt.helo(conn, "client.example") ~= nil then error("helo") end
mt.macro(conn, SMFIC_MAIL, "i", "QUEUE1")
mt.mailfrom(conn, "<bad@example.org>")
if mt.getreply(conn) ~= SMFIR_REPLYCODE then error("bad sender: " .. mt.getreply(conn)) end
mt.mailfrom(conn, "<held@example.org>", "SIZE=100")
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("sender") end
mt.rcptto(conn, "<b@example.com>")
mt.header(conn, "From", "a@example.org")
mt.header(conn, "Subject", "old")
mt.eoh(conn)
mt.bodystring(conn, "hello\r\n")
mt.eom(conn)
if mt.getreply(conn) ~= SMFIR_CONTINUE then error("end") end
if not mt.eom_check(conn, MT_HDRINSERT, "X-Top", " 192.0.2.7") then error("insert") end
if not mt.eom_check(conn, MT_HDRCHANGE, "Subject", " new") then error("change") end
if not mt.eom_check(conn, MT_RCPTADD, "<d@example.com>") then error("rcpt") end
if not mt.eom_check(conn, MT_QUARANTINE, "why not") then error("quarantine") end
mt.disconnect(conn)
END
	my ($status, $said) = Run::run($miltertest, '-D', "socket=" . $m->socket,
	    '-s', $script);
	is($status, 0, 'its script') or diag($said);
	$m->log_like(qr/ queued id=QUEUE1 /, 'the id of its queue');
	is($m->stop, 0, 'stopped');
};

subtest 'too many sessions' => sub {
	my $m = Milterd->start(set => { 'session-limit' => 2 }, policy => "at mail\n    accept\n");
	my @mta = map { $m->mta } 1, 2;
	my $third = MilterMta->connect($m->socket);
	is($third->negotiate, undef, 'the third is not talked to');
	$_->quit for @mta, $third;
	ok(Wait::poll(sub { $m->control('sessions') eq "ok 0\n" }), 'the others end');
	is($m->mta->{version}, 6, 'and there is room again');
	$m->stop;
};

# What cannot start says why.
subtest 'mistakes' => sub {
	my $m = Milterd->start(policy => "at mail\n    accept\n");
	my $conf = "$m->{dir}/vratar.conf";
	my $try = sub {
		my ($status, $said) = Run::run($Proxy::PROGRAM, 'milter',
		    '--control', "$m->{dir}/other", @_);
		return ($status >> 8) . " $said";
	};
	like($try->('-c', $conf), qr/^2 .*--socket is missing/, 'no socket');
	like($try->('-c', $conf, '--socket', '25'), qr/^2 .*is not a socket/, 'not a socket');
	like($try->('-c', $conf, '--socket', 'inet:25'), qr/^2 .*is not inet:PORT\@HOST/, 'no host');
	like($try->('-c', $conf, '--socket'), qr/^2 .*--socket needs a value/, 'no value');
	like($try->('-c', $conf, '--socket', 'inet:65536@127.0.0.1'),
	    qr/^2 .*has a port above 65535/, 'no such port');
	like($try->('-c', $conf, '--socket', 'inet:99999999999999999999@127.0.0.1'),
	    qr/^2 /, 'nor such a one');
	like($try->('-c', $conf, '--socket', $m->socket),
	    qr/^1 .*somebody listens at/s, 'somebody is there');
	like($try->('-c', $conf, '--socket', "unix:$conf"), qr/^1 .*is no socket/s, 'a file');
	like($try->('-c', $conf, '--socket', "unix:$m->{dir}/x", '--listener', 'no'),
	    qr/^1 .*there is no such listener/s, 'no such listener');
	like($try->('-c', "$m->{dir}/none", '--socket', "unix:$m->{dir}/x"),
	    qr/^2 .*No such file/, 'no configuration');
	is($m->mta->{version}, 6, 'the one that is there goes on');
	$m->stop;
};

# As another user, from a file that is root's.
subtest 'without root' => sub {
	plan skip_all => 'not root' if $> != 0;
	my $dir = File::Temp->newdir;
	chown scalar getpwnam('nobody'), -1, "$dir";
	chmod 0755, "$dir";
	my $m = Milterd->start(set => { user => 'nobody', 'control-socket' => "$dir/control" },
	    policy => "at mail\n    accept\n", socket => "unix:$dir/milter");
	$m->{control} = "$dir/control";
	my $uid = (stat '/proc/' . $m->worker)[4];
	my ($status) = slurp('/proc/' . $m->worker . '/status') =~ /^Uid:\s+(\d+)/m;
	is($status, scalar getpwnam('nobody'), 'the work is done by the user');
	is((stat "$dir/milter")[4], scalar getpwnam('nobody'), 'whose socket it is');
	is($m->mta->{version}, 6, 'it answers');
	kill 'KILL', $m->{pid};
	ok($m->wait_end, 'it ends with the process in front, all the same');
	ok(!-e "$dir/milter", 'and removes its socket');
};
done_testing;
