#!/usr/bin/perl
# recipients may be a table behind a socket: the session waits for the answer,
# the replies keep their order, and an answer that does not come is 451.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use Test::More;
use Backend;
use Proxy;
use Wait;

my $dir = tempdir('recipients-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $mta = Backend->start;

# A socketmap server: addresses that begin with "good" are there, "later" is a
# failure of its own, "never" gets no answer. Writes down what it is asked.
sub serve
{
	my ($path) = @_;
	my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 10)
	    or die "socket: $!";

	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	my $ready = IO::Select->new($listener);
	my %in;
	open my $log, '>>', "$dir/asked" or die "asked: $!";
	$log->autoflush(1);
	while (1) {
		for my $fh ($ready->can_read) {
			if ($fh == $listener) {
				my $peer = $listener->accept or next;
				$ready->add($peer);
				$in{$peer} = '';
				next;
			}
			if (!sysread $fh, $in{$fh}, 65536, length $in{$fh}) {
				$ready->remove($fh);
				close $fh;
				next;
			}
			next unless $in{$fh} =~ s/\A\d+:users (.*?),\z//s;
			my $key = $1;
			print $log "$key\n";
			next if $key =~ /^never/;
			my $answer = $key =~ /^good/ ? 'OK x' :
			    $key =~ /^later/ ? 'TEMP not now' : 'NOTFOUND ';
			syswrite $fh, length($answer) . ":$answer,";
		}
	}
	POSIX::_exit(0);
}

my $server = serve("$dir/socket");

sub start
{
	my (%o) = @_;

	return Proxy->start(backend => $mta->address, set => {
		'relay-domains' => ['example.com'],
		recipients => "socketmap:unix:$dir/" .
		    ($o{socket} // 'socket') . ':users' },
		%{$o{more} // {}});
}

subtest 'there or not' => sub {
	my $p = start();
	my $c = $p->client;

	$c->hello;
	$mta->forget;
	$c->send('MAIL FROM:<a@example.org>', map({ "RCPT TO:<$_>" }
	    'good1@example.com', 'bad@example.com', 'later@example.com',
	    'x@example.net', 'Good2@Example.COM', 'postmaster@example.com'),
	    'DATA');
	$c->expect(qr/^250 2\.1\.0/, 'MAIL');
	$c->expect(qr/^250 2\.1\.5/, 'there');
	$c->expect(qr/^550 5\.1\.1 <bad\@example\.com>: no such user here$/);
	$c->expect(qr/^451 4\.3\.0 <later\@example\.com>: recipients cannot be looked up now$/);
	$c->expect(qr/^550 5\.7\.1 /, 'not ours');
	$c->expect(qr/^250 2\.1\.5/, 'there, in capitals');
	$c->expect(qr/^250 2\.1\.5/, 'postmaster is not asked about');
	$c->expect(qr/^354/);
	$c->octets("Subject: x\r\n\r\nx\r\n.\r\n");
	$c->expect(qr/^250 /);
	is_deeply($mta->last->{rcpts}, [map { "<$_>" } 'good1@example.com',
	    'Good2@Example.COM', 'postmaster@example.com'],
	    'the backend hears of those who are there');
	is(scalar $mta->commands(qr/^MAIL/), 1, 'in one transaction');
	$p->log_like(qr/rcpt to=bad\@example\.com verdict=reject by=recipients/);
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<bad@example.com>',
	    'DATA', 'RSET', 'NOOP');
	$c->expect($_) for qr/^250/, qr/^550 5\.1\.1/, qr/^554 5\.5\.1/,
	    qr/^250/, qr/^250/;
};

subtest 'the filters are asked afterwards' => sub {
	open my $out, '>', "$dir/policy.rules" or die;
	print $out "at rcpt\n    reject \"not you\" if rcpt.local is \"good3\"" .
	    "\n    log \"asked about %{rcpt.local}\"\n";
	close $out;
	my $p = start(more => { listen => { chain => ['policy'] }, extra =>
	    "filter \"policy\" { type = \"policy\" file = \"$dir/policy.rules\" }\n" });
	my $c = $p->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', map { "RCPT TO:<$_\@example.com>" }
	    qw(good3 bad good4));
	$c->expect($_) for qr/^250/, qr/^550 5\.7\.1 not you/, qr/^550 5\.1\.1/,
	    qr/^250 2\.1\.5/;
	$p->log_like(qr/asked about good4/);
	is(scalar(grep { /asked about bad/ } $p->log), 0, 'not about bad');
};

subtest 'no answer' => sub {
	my $p = start();
	my $c = $p->client;
	my $gone = $p->client;

	$_->hello for $c, $gone;
	$gone->send('MAIL FROM:<a@example.org>', 'RCPT TO:<never1@example.com>');
	$gone->expect(qr/^250 /);
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<never2@example.com>',
	    'RCPT TO:<good@example.com>', 'DATA');
	$c->expect(qr/^250 /);
	ok(Wait::poll(sub { open my $in, '<', "$dir/asked" or return;
	    local $/; my $all = <$in>;
	    $all =~ /never1/ && $all =~ /never2/ }), 'both are asked');
	$gone->reset;
	$p->clock(10_000);
	$c->expect(qr/^451 4\.3\.0 <never2\@example\.com>/, 'ten seconds');
	$c->expect(qr/^250 2\.1\.5/, 'and the next is asked about');
	$c->expect(qr/^354/);
	ok(Wait::wait_until(sub { scalar grep {
	    /close reason="[^"]*client/ } $p->log }),
	    'a client has left meanwhile');
	ok(Wait::wait_until(sub { scalar grep {
	    /table spec=socketmap:\S+ server=failed reason="no answer in time"/
	    } $p->log }), 'the log says why');
};

subtest 'no server' => sub {
	my $p = start(socket => 'nothing');
	my $c = $p->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<good@example.com>',
	    'QUIT');
	$c->expect(qr/^250 /);
	$c->expect(qr/^451 4\.3\.0 /);
	$c->expect(qr/^221 /);
};

kill 'TERM', $server;
waitpid $server, 0;
done_testing;
