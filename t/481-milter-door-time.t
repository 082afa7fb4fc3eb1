#!/usr/bin/perl
# No answer of "vratar milter" is waited for longer than an MTA waits, and at the
# end of a message the MTA hears that somebody is at it.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Milterd;

my $mail = "From: a\@example.org\r\nSubject: hello\r\n\r\nhello\r\n";
my $m = Milterd->start(set => { 'filter-budget' => '60s' }, policy => <<'END');
at connect
    observe reject  if client.ip is 192.0.2.66
    delay 40s       if client.ip is 192.0.2.66
at rcpt
    observe reject
    delay 40s       if rcpt.local is "slow"
    delay 20s       if rcpt.local is "late"
at eom
    observe reject  if mail.local is not "a"
    delay 40s       if mail.local is "slow"
    delay 5m        if mail.local is "never"
END

# A question that waits, and the time it takes.
sub asked
{
	my ($mta, $letter, $payload, $ms) = @_;
	my $at = { C => 'connect', R => 'rcpt' }->{$letter};

	$mta->send($letter, $payload);
	$m->log_like(qr/ observe .*at=$at /, 'a question is under way');
	my $other = $m->mta;
	is($other->client, 'c', 'others are served meanwhile');
	$other->quit;
	$m->clock($ms);
	return ($mta->hear // 'gone') =~ s/\0\z//r;
}

my $mta = $m->mta;
$mta->client;
$mta->helo;
$mta->mail('a@example.org');
is(asked($mta, R => "<late\@example.com>\0", 20_000), 'c',
    'an answer that is late, but there');
like(asked($mta, R => "<slow\@example.com>\0", 25_000),
    qr/^y451 4\.7\.1 the filters took too long/, 'no answer in 25 seconds is 451');
$m->log_like(qr/ answer late=25s .*level=warn/, 'that is logged');
like($mta->rcpt('b@example.com'), qr/^y451 4\.3\.0 /, 'nor is the rest of the message taken');
$mta->abort;
is($mta->mail('a@example.org'), 'c', 'the next one is');
is($mta->rcpt('b@example.com'), 'c', 'with its recipient');
is_deeply([$mta->message($mail)], ['c'], 'and goes through');
$mta->quit;

$mta = $m->mta;
like(asked($mta, C => "[192.0.2.66]\0004" . pack('n', 1) . "192.0.2.66\0", 25_000),
    qr/^y451 4\.7\.1 /, 'at connect');
$mta->quit;

# Progress, in real time: no clock of ours moves what libmilter's thread sees.
$mta = $m->mta;
is($mta->envelope(from => 'slow@example.org'), 'c', 'a slow message');
$mta->send(L => "Subject\0 x\0");
$mta->send('N', '');
$mta->send(E => '');
is($mta->hear, 'p', 'the MTA hears that it goes on');
$m->log_like(qr/ observe .*at=eom /, 'while filters are asked');
$m->clock(40_000);
is($mta->hear, 'c', 'and then the verdict');
$mta->quit;

$mta = $m->mta;
$mta->envelope(from => 'never@example.org');
$mta->send(L => "Subject\0 x\0");
$mta->send('N', '');
$mta->send(E => '');
$m->log_like(qr/ observe .*at=eom /, 'one that takes for ever');
$m->clock(60_000);
my $said;
do {
	$said = $mta->hear // 'gone';
} while $said eq 'p';
like($said, qr/^(?:y4|c)/, 'is over with the filter-budget');
$mta->quit;

# The MTA goes away while filters are asked.
$mta = $m->mta;
$mta->envelope(from => 'slow@example.org');
$mta->send(E => '');
$m->log_like(qr/ observe .*at=eom /, 'a slow one again');
close $mta->{socket};
$m->clock(40_000);
$m->log_like(qr/ message from=slow\@example.org /, 'its verdict is logged');
$m->log_like(qr/ close /, 'and the session ends');

# Stopping: what is under way may end, and what is new is not begun.
my ($busy, $idle) = ($m->mta, $m->mta);
$busy->envelope(from => 'slow@example.org');
$idle->client;
$idle->helo;
$busy->send(E => '');
$m->log_like(qr/ observe .*at=eom /, 'a message is under way');
$m->signal('TERM');
$m->log_like(qr/ stopping sessions=2 messages=1 /, 'it is told to stop');
like($idle->mail('a@example.org'), qr/^y421 4\.3\.2 /, 'a new message: 421');
$m->clock(29_000);
ok($m->{pipe}, 'it waits for the one under way');
$m->clock(2_000);
like($busy->hear, qr/^y4[25]1 4\.[37]\.[21] /, 'which is deferred in the end');
ok($m->wait_end, 'and it ends');
is($m->{status}, 0, 'with status 0');
done_testing;
