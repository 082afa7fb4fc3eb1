#!/usr/bin/perl
# "vratar milter" asks an MTA for what its chain needs, and answers each stage
# with the verdict of the chain, in its words.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Milterd;

my $mail = "From: a\@example.org\r\nSubject: hello\r\n\r\nhello\r\n";

# One policy for all: what is sent says which rule is meant.
my $m = Milterd->start(set => { 'reply-id' => 'yes' }, policy => <<'END');
at connect
    reject 554 5.7.1 "%{client.ip} is not welcome"   if client.ip is 192.0.2.66
    tempfail 421 4.7.0 "later, %{client.ip}"         if client.ip is 192.0.2.67
at helo
    reject 501 5.5.2 "no name"                       if helo.name is "bad"
at mail
    reject 550 5.1.8 "100% no: %{mail}"              if mail.local is "bad"
    discard                                          if mail.local is "gone"
    tempfail 451 4.7.5 "too large" 	             if size > 1000
at rcpt
    reject 550 5.1.1 "<%{rcpt}>: no such user"       if rcpt.local is "bad"
    tempfail 421 4.7.0 "enough"                      if rcpt.local is "close"
at data
    reject 554 5.5.9 "no data for you"               if mail.local is "data"
at header
    reject 550 5.7.8 "no %{header.value}"            if header.name is "Subject" and header.value is "spam"
at eom
    reject 550 5.6.9 "%{size} octets"                if mail.local is "size"
    discard                                          if mail.local is "late"
END

like($m->socket, qr/^unix:/, 'the socket is in the ready line');

my $mta = $m->mta;
is($mta->{version}, 6, 'version');
is($mta->{actions} & 0xff, 0, 'a chain without edits asks for none');
is($mta->{protocol} & 0x100, 0x100, 'no unknown commands');
is($mta->{protocol} & 0x80, 0x80, 'no replies to fields');
is($mta->{protocol} & 0x100400, 0x100400, 'spaces, and skip');
is($mta->{protocol} & 0x27f, 0, 'all events that rules are about');
like($mta->{macros}{0}, qr/\{client_ptr\}.*\{daemon_addr\}/, 'macros of the client');
like($mta->{macros}{1}, qr/\{tls_version\}.*\{cert_subject\}/, 'macros of TLS');
like($mta->{macros}{2}, qr/\{auth_type\} \{auth_authen\}/, 'macros of the login');
is($mta->{macros}{5}, 'i', 'the id of the queue');
is($mta->envelope, 'c', 'an envelope');
is_deeply([$mta->message($mail)], ['c'], 'a message');
is($mta->mail('a@example.org'), 'c', 'another one on the connection');
$mta->abort;
$mta->quit;
$m->log_like(qr/ connect client=192\.0\.2\.1:12345 /, 'the session is logged');
$m->log_like(qr/ message from=<?a\@example.org>? .*verdict=accept/, 'so is the message');
$m->log_like(qr/ decision .*accepted=1 refused=0 verdict=continue/, 'and the decision');
$m->log_like(qr/ close /, 'and the end');

# What the MTA hears at each stage. ID is what reply-id adds.
for (
	['connect', 'y554 5.7.1 192.0.2.66 is not welcome ID', client => '192.0.2.66'],
	['connect 421', 'y421 4.7.0 later, 192.0.2.67 ID', client => '192.0.2.67'],
	['helo', 'y501 5.5.2 no name ID', helo => 'bad'],
	['mail', 'y550 5.1.8 100%% no: bad@example.org ID.1', from => 'bad@example.org'],
	['mail, discard', 'd', from => 'gone@example.org'],
	['rcpt', 'y550 5.1.1 <bad@example.com>: no such user ID.1', rcpts => ['bad@example.com']],
	['rcpt 421', 'y421 4.7.0 enough ID.1', rcpts => ['close@example.com']],
	['data', 'y554 5.5.9 no data for you ID.1', from => 'data@example.org'],
    ) {
	my ($name, $want, %o) = @$_;
	my $c = $m->mta;
	my $said = $c->envelope(%o);
	$said =~ s/\([0-9a-f]{8,}((?:\.\d)?)\)/ID$1/;
	is($said, $want, "at $name");
	$c->quit;
}

# The end of the message.
for (
	['header', 'y550 5.7.8 no spam', subject => 'spam'],
	['eom', 'y550 5.6.9 46 octets', from => 'size@example.org'],
	['discard', 'd', from => 'late@example.org'],
	['nothing', 'c', from => ''],
    ) {
	my ($name, $want, %o) = @$_;
	my $c = $m->mta;
	is($c->envelope(%o), 'c', "$name: the envelope");
	(my $text = $mail) =~ s/hello/$o{subject}/ if $o{subject};
	my @said = $c->message($text // $mail);
	like("@said", qr/^\Q$want\E/, "at the end: $name");
	$c->quit;
}

# One refused recipient does not end the message.
$mta = $m->mta;
$mta->client;
$mta->helo;
$mta->mail('a@example.org');
like($mta->rcpt('bad@example.com'), qr/^y550 5\.1\.1/, 'one of them is refused');
is($mta->rcpt('b@example.com'), 'c', 'another one is not');
$mta->ask('T');
is_deeply([$mta->message($mail)], ['c'], 'the other gets it');
$m->log_like(qr/ decision .*accepted=1 refused=1 /, 'both are in the record');
like($mta->mail('a@example.org', 'SIZE=2000'), qr/^y451 4\.7\.5 too large/,
    'parameters of MAIL are known');
is($mta->mail('a@example.org', 'SIZE=100', 'BODY=8BITMIME'), 'c', 'another MAIL');
$mta->abort;
$m->log_like(qr/ decision from=a\@example\.org /, 'a message that is given up');
$mta->quit;

# Skip: a message that is refused already need not be sent to the end.
$mta = $m->mta;
$mta->envelope;
my @said = $mta->message("Subject: spam\r\n\r\n" . 'x' x 300_000 . "\r\n");
like("@said", qr/^y550 5\.7\.8/, 'a large one is refused');
cmp_ok($mta->{skipped}, '>', 2, 'without most of its body');
$mta->quit;

# A client that has no address.
$mta = $m->mta;
is($mta->ask(C => "localhost\0U"), 'c', 'somebody on the machine');
$m->log_like(qr/ connect client=unix /, 'is known as that');
$mta->quit;

# An old MTA, without anything of that.
$mta = MilterMta->connect($m->socket);
$mta->negotiate(version => 2, actions => 0x3f, protocol => 0x7f);
is($mta->{protocol} & ~0x7f, 0, 'version 2: nothing is asked for that is not offered');
$mta->{protocol} |= 0x200;
is($mta->envelope, 'c', 'an envelope');
is(($mta->message("Subject: x\r\nX-Folded: a\r\n b\r\n\r\nhello\r\n"))[-1], 'c', 'a message');
$mta->quit;

# An MTA that dies in the middle, and one that waits meanwhile.
my $other = $m->mta;
$other->envelope;
for my $n (1 .. 3) {
	my $c = $m->mta;
	$c->envelope;
	$c->ask(L => "Subject\0 x\0") if $n > 1;
	close $c->{socket};
	$m->log_like(qr/ close /, 'a lost connection is the end of the session');
}
is_deeply([$other->message($mail)], ['c'], 'others go on');
$other->quit;
like($m->control('sessions'), qr/^ok \d/, 'the control socket answers');

# Who signals all processes of a service, or of a terminal, means the one in front.
$mta = $m->mta;
is($mta->envelope, 'c', 'a message is under way');
kill $_, $m->worker for qw(HUP INT TERM);
$m->signal('HUP');
$m->log_like(qr/ reloaded /, 'a signal for all of them');
is_deeply([$mta->message($mail)], ['c'], 'does not stop the one behind');
$mta->quit;
is(scalar(() = $m->log(qr/milter-ended/)), 0, 'nor libmilter');

# The end of a message without anything of it, not even the end of its header.
my $rounds = Milterd->start(filters => [map {
	$_ => "type = \"policy\" file = \"" . $m->write("$_.rules",
	    "at body\n    score 1 if body.line is \"$_\"\n" .
	    "at eom\n    add header \"X-A: $_\"\n") . '"'
    } qw(one two)]);
for my $n (1, 2) {
	$mta = $rounds->mta;
	$mta->envelope;
	is_deeply([MilterMta::tell($n == 1 ? $mta->end :
	    $mta->message("\r\n"))], ['h X-A  one', 'h X-A  two', 'c '],
	    'an empty message is changed in two rounds');
	$mta->quit;
}
is($rounds->stop, 0, 'and nothing else happens');
is($m->stop, 0, 'it stops');
ok(!-e ($m->socket =~ s/^unix://r), 'and takes its socket along');
done_testing;
