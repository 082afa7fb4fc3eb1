#!/usr/bin/perl
# A real Postfix asks "vratar milter": many sessions at once, through reloads,
# about mail that comes by SMTP and mail that is submitted on the machine; without
# it no message passes that it has not seen, and none is lost.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Client;
use Milterd;
use Postfix;
use Run;
use Wait;

Postfix::possible() or plan skip_all => $Postfix::why;

my $sessions = 60;
my $messages = $ENV{LOAD_MESSAGES} || 1500;

my $m = Milterd->start(policy => <<'END');
at connect
    reject 554 5.7.1 "not %{client.ip}"                if client.ip is 127.0.0.9
    tempfail                                           if client.ip is 127.0.0.8
at mail
    reject 550 5.1.8 "not from %{mail}, %{client.ip}"  if mail.local is "bad"
at eom
    add header "X-Seen: %{rcpts}"
    reject 550 5.7.1 "no spam"                         if header("Subject") is "spam"
END
my $postfix = Postfix->start(main => {
	smtpd_milters => $m->socket, non_smtpd_milters => $m->socket,
	virtual_mailbox_domains => 'example.com', relay_domains => 'load.example',
	transport_maps => 'inline:{ load.example=discard: }',
	smtpd_client_connection_rate_limit => 0,
});

# A client that sends a message, and what it heard at the end.
sub one
{
	my ($from, $subject) = @_;
	my $c = Client->connect(host => '127.0.0.1', port => $postfix->port);
	my $said;

	for my $line ('EHLO c.example', "MAIL FROM:<$from>",
	    'RCPT TO:<alice@example.com>', 'DATA') {
		$c->reply unless $c->{greeted}++;
		$c->send($line);
		$said = ($c->reply)[1];
		last if $said =~ /^[45]/;
	}
	if ($said =~ /^354/) {
		$c->octets("Subject: $subject\r\n\r\nhello\r\n.\r\n");
		$said = ($c->reply)[1];
	}
	$c->send('QUIT');
	$c->close;
	return $said;
}

like(one('a@example.org', 'first'), qr/^250 /, 'a message');
like($postfix->wait_mail('alice', qr/first/) // '', qr/^X-Seen: alice\@example\.com$/m,
    'arrives with what was added');
like(one('bad@example.org', 'x'),
    qr/^550 5\.1\.8 not from bad\@example\.org, 127\.0\.0\.1/, 'a sender is refused');
like(one('a@example.org', 'spam'), qr/^550 5\.7\.1 no spam/, 'a message is refused');
$m->log_like(qr/ connect client=127\.0\.0\.1:\d+ .*mta=/, 'the client is known');
$m->log_like(qr/ queued id=\w+ message=1/, 'and the id of the queue');
$m->log_like(qr/ decision .* queue-id=\w+ /, 'which is in the record');

# A refusal of the connection, as vratar(8) has it.
for (['127.0.0.9', qr/^554 \S+ ESMTP not/, qr/^554 5\.7\.1 not 127\.0\.0\.9/],
    ['127.0.0.8', qr/^421 /, undef]) {
	my ($from, $greeting, $mail) = @$_;
	my $c = Client->connect(host => '127.0.0.1', port => $postfix->port,
	    from => $from);
	like(($c->reply)[1], $greeting, "$from is greeted so");
	next unless $mail;
	$c->send('EHLO c.example');
	$c->reply;
	$c->send('MAIL FROM:<a@example.org>');
	like(($c->reply)[1], $mail, 'and hears our words at MAIL');
	$c->close;
}

# From this machine.
my ($status, $said) = Run::run('/bin/sh', '-c',
    "printf 'Subject: local\\n\\nhello\\n' | /usr/sbin/sendmail -C $postfix->{dir}/etc " .
    "-f root\@example.org alice\@example.com");
is($status, 0, 'mail is submitted') or diag($said);
like($postfix->wait_mail('alice', qr/local/) // '', qr/^X-Seen: alice\@example\.com$/m,
    'and goes through the same rules');
Run::run('/bin/sh', '-c',
    "printf 'Subject: spam\\n\\nhello\\n' | /usr/sbin/sendmail -C $postfix->{dir}/etc " .
    "-f root\@example.org alice\@example.com");
$postfix->log_like(qr/milter-reject: END-OF-MESSAGE .*no spam/, 'and is refused by them');

# Load, and reloads in the middle of it.
my $source = Run::which('smtp-source');
SKIP: {
	skip 'smtp-source is not installed', 6 unless $source;
	my $before = () = $m->log(qr/ verdict=accept/);
	pipe my $done, my $write or die "pipe: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		open STDOUT, '>&', $write;
		open STDERR, '>&', $write;
		exec $source, '-s', $sessions, '-m', $messages, '-N', '-l', 2000,
		    '-f', 'a@example.org', '-t', 'x@load.example',
		    'inet:' . $postfix->address or POSIX::_exit(127);
	}
	close $write;
	my $seen = sub { my @n = $m->log(qr/ verdict=accept/); @n - $before };
	for my $n (1 .. 3) {
		Wait::wait_until(sub { $seen->() >= $n * $messages / 4 }, 100);
		is($m->control('reload'), "ok\n", "reload $n");
	}
	Wait::wait_readable($done, 100);
	waitpid $pid, 0;
	is($?, 0, 'no message was refused');
	ok(Wait::wait_until(sub { $seen->() == $messages }), 'the milter has seen all');
	is(scalar(() = $m->log(qr/level=(?:warn|error)/)), 1, 'without a complaint but that of root');
}

# kill -9 while messages come: what is accepted has been seen, and arrives.
my %count;
for my $n (1 .. 60) {
	kill 'KILL', $m->worker if $n == 20;
	my $word = one('a@example.org', "kill $n") =~ /^(\d)/ ? $1 : 'none';
	$count{$word}++;
}
is(($count{2} // 0) + ($count{4} // 0), 60, 'each is accepted or deferred') or
    diag(explain(\%count));
cmp_ok($count{2}, '>=', 19, 'the first ones were accepted');
$m->log_like(qr/milter-died .*signal=9/, 'the end of it is logged');
ok(Wait::poll(sub { one('a@example.org', 'kill, and again') =~ /^2/ && ++$count{2} }),
    'it is started again, and mail is accepted');
my @mail;
ok(Wait::poll(sub { @mail = grep { /^Subject: kill/m } $postfix->mail('alice');
    @mail >= $count{2} }), 'all accepted ones arrive');
is(scalar(@mail), $count{2}, 'and no others');
is(scalar(grep { !/^X-Seen:/m } @mail), 0, 'none has passed unseen');

# The one in front is killed: the milter stops as if it had been told.
kill 'KILL', $m->{pid};
ok($m->wait_end, 'without the process in front there is no milter');
like(one('a@example.org', 'late'), qr/^451 4\.7\.1 /, 'and Postfix defers');

# Another one takes its place.
$m->serve;
like(one('a@example.org', 'again'), qr/^250 /, 'it is started, and all is well');

# It stops in the middle of it all: what has got through it has seen.
SKIP: {
	skip 'smtp-source is not installed', 4 unless $source;
	my $from = @{$m->{log}};
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		open STDOUT, '>', '/dev/null';
		open STDERR, '>&', \*STDOUT;
		exec $source, '-s', 20, '-m', 20_000, '-N', '-f',
		    'a@example.org', '-t', 'stop@load.example',
		    'inet:' . $postfix->address or POSIX::_exit(127);
	}
	my $seen = sub {
		Wait::drain();
		return map { / verdict=accept queue-id=(\w+)/ ? $1 : () }
		    @{$m->{log}}[$from .. $#{$m->{log}}];
	};
	Wait::wait_until(sub { $seen->() >= 100 });
	is($m->stop, 0, 'it stops under load');
	waitpid $pid, 0;
	isnt($?, 0, 'clients are told');
	my %seen = map { $_ => 1 } $seen->();
	# Those that Postfix has taken leave it in the end.
	my @sent;
	Wait::wait_until(sub {
		@sent = map { / (\w+): to=<\w*stop\w*\@load\.example>.* status=sent/ ?
		    $1 : () } @{$postfix->{log}};
		return @sent >= keys %seen;
	}, 5);
	cmp_ok(scalar @sent, '>=', 90, 'messages got through before');
	is(join(' ', grep { !$seen{$_} } @sent), '', 'none of them unseen');
	diag(keys(%seen) - @sent, ' agreed to, and not taken') if @sent < keys %seen;
}

$m->serve;
my $c = Client->connect(host => '127.0.0.1', port => $postfix->port);
$c->reply;
$c->send('EHLO c.example');
$c->reply;
is($m->stop, 0, 'it stops with a session open');
$c->send('MAIL FROM:<a@example.org>');
like(($c->reply)[1], qr/^4/, 'which is told to come again');
$c->close;
done_testing;
