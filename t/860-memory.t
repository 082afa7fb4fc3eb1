#!/usr/bin/perl
# What a client or a backend sends, or does not take, costs a bounded amount of
# memory: a message beyond spool-memory is in a file, and input that cannot be
# worked on stays with who sent it.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use File::Temp;
use IO::Socket::IP;
use Proxy;
use Run;
use Sink;
use Wait;

my $line = 'x' x 998 . "\r\n";

# Kilobytes of the worker: the most it ever had in memory.
sub peak
{
	my ($proxy) = @_;
	my ($pid) = $proxy->workers;

	open my $in, '<', "/proc/$pid/status" or die "status: $!";
	return join('', <$in>) =~ /^VmHWM:\s*(\d+)/m ? $1 : die 'no VmHWM';
}

# $run costs less than so many kilobytes.
sub costs
{
	my ($proxy, $kb, $name, $run) = @_;
	my $before = peak($proxy);

	$run->();
	my $cost = peak($proxy) - $before;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	cmp_ok($cost, '<', $kb, "$name: $cost KB");
}

# Sanitizers keep what was freed.
my $room = ($ENV{VRATAR} // '') =~ /-san/ ? 400_000 : 8_000;

sub long_message
{
	my ($proxy, $megabytes, $bdat) = @_;
	my $c = $proxy->client;
	my $piece = $line x 1000;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	if ($bdat) {
		$c->send('BDAT ' . 1_000_000 * $megabytes . ' LAST');
	} else {
		$c->send('DATA');
		$c->expect(qr/^354 /);
	}
	$c->octets($piece) for 1 .. $megabytes;
	$c->send('.') if !$bdat;
	$c->expect(qr/^250 /, "$megabytes MB are accepted");
	$c->quit;
}

my %big = ('spool-memory' => '256K', 'message-size-limit' => '100M',
    'hold-size' => '100M');

subtest '45 MB by BDAT' => sub {
	my $sink = Sink->start;
	my $proxy = Proxy->start(backend => $sink->address, set => {%big});

	costs($proxy, $room, 'worker', sub { long_message($proxy, 45, 1); });
	my ($mail) = glob "$sink->{maildir}/new/*";
	cmp_ok(-s $mail, '>', 44_000_000, 'it is there');
	is(join(' ', glob "$proxy->{dir}/vratar-*"), '', 'no file is left');
};

subtest '60 MB by DATA' => sub {
	my $program = Run::which('smtp-sink') or
	    plan skip_all => 'smtp-sink is not installed';
	my $dir = File::Temp->newdir;
	my $port = IO::Socket::IP->new(LocalHost => '127.0.0.1',
	    LocalPort => 0, Listen => 1, ReuseAddr => 1)->sockport;
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		open STDERR, '>', "$dir/log";
		open STDOUT, '>&', \*STDERR;
		exec $program, '-u', scalar getpwuid($>),
		    "inet:127.0.0.1:$port", 100 or die "$program: $!";
	}
	ok(Wait::poll(sub { eval { Client->connect(port => $port); }; }),
	    'smtp-sink listens');
	my $proxy = Proxy->start(backend => "127.0.0.1:$port", set => {%big});
	costs($proxy, $room, 'worker', sub { long_message($proxy, 60, 0); });
	kill 'KILL', $pid;
	waitpid $pid, 0;
};

# All of it refused: it is not kept at all.
subtest '60 MB too much' => sub {
	my $mta = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { 'message-size-limit' => '1M' });
	my $c = $proxy->client;

	costs($proxy, $room, 'worker', sub {
		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		$c->send('DATA');
		$c->expect(qr/^354 /);
		$c->octets($line x 1000) for 1 .. 60;
		$c->send('.');
		$c->expect(qr/^552 5\.3\.4/, 'too big');
	});
};

# A backend that stands still: its process is stopped.
subtest 'the backend takes nothing' => sub {
	my $mta = Backend->start(extensions => ['PIPELINING', 'CHUNKING']);
	my $dir = File::Temp->newdir;
	my $proxy = Proxy->start(backend => $mta->address, set => {%big},
	    listen => { address => "unix:$dir/s" });
	my $c = Client->connect(unix => "$dir/s");

	costs($proxy, $room, 'worker', sub {
		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		kill 'STOP', $mta->{pid};
		$c->send('DATA');
		$c->expect(qr/^354 /);
		$c->octets($line x 1000) for 1 .. 30;
		$c->apart(".\r\n");
		# data-block-timeout, when all has been read.
		ok(Wait::poll(sub {
			$proxy->clock(181_000);
			return Wait::wait_readable($c->{fh}, 0);
		}), 'in time there is a reply');
		$c->expect(qr/^451 4\.4\.2/, 'a temporary one');
		kill 'CONT', $mta->{pid};
	});
	is(scalar $mta->messages, 0, 'nothing was delivered');
};

# What the client sends while the backend hangs stays with the client. Whether
# it is answered by us or by the backend makes no difference.
my %flood = (
	NOOP => 'NOOP',
	VRFY => 'VRFY x',
	'RCPT, good' => 'RCPT TO:<a@b.example>',
	'RCPT, no relay' => 'RCPT TO:<a@c.example>',
	'RCPT, bad syntax' => 'RCPT TO:<',
	MAIL => 'MAIL FROM:<a@b.example>',
	'long RCPT' => 'RCPT TO:<a@b.example> ORCPT=rfc822;' . 'x' x 600,
	unknown => 'FOO',
	'empty chunk' => 'BDAT 0',
);

for my $name (sort keys %flood) {
	subtest "20 MB of $name while the backend hangs" => sub {
		my $mta = Backend->start('RCPT TO:<first@' =>
		    { hold => 'rcpt', reply => '250 2.1.5 ok' });
		my $proxy = Proxy->start(backend => $mta->address,
		    set => { 'relay-domains' => ['b.example'],
		    'error-limit' => 1_000_000,
		    'junk-command-limit' => 1_000_000 });
		my $c = $proxy->client;
		my $lines = "$flood{$name}\r\n" x (100_000 /
		    (2 + length $flood{$name}));
		my $sent = 0;

		$c->hello;
		$c->send('MAIL FROM:<x@b.example>', 'RCPT TO:<first@b.example>');
		$c->expect(qr/^250 /);
		ok($mta->wait_held('rcpt'), 'it hangs');
		costs($proxy, $room, 'worker', sub {
			while ($sent < 20_000_000) {
				my $n = syswrite $c->{fh}, $lines;
				$sent += $n, next if defined $n;
				last unless Wait::wait_writable($c->{fh}, 0.3);
			}
			cmp_ok($sent, '<', 15_000_000,
			    "stopped after $sent octets");
		});
		$mta->release('rcpt');
		$c->expect(qr/^250 2\.1\.5/, 'then it goes on');
		my ($code) = $c->reply;
		cmp_ok($code, '>', 0, 'with the next reply');
		$c->close;
	};
}

# A backend that answers without end.
subtest 'endless replies' => sub {
	for my $at ('EHLO', 'MAIL', 'RCPT', 'DATA') {
		my $mta = Backend->start(extensions => ['PIPELINING'],
		    $at => { endless => '250-' . 'x' x 400 . "\r\n" });
		my $proxy = Proxy->start(backend => $mta->address);
		my $c = $proxy->client;
		costs($proxy, $room, $at, sub {
			$c->hello;
			$c->send('MAIL FROM:<a@example.org>',
			    'RCPT TO:<b@example.com>', 'DATA');
			$c->expect(qr/^250 /);
			my ($rcpt) = $c->reply;
			my ($data) = $c->reply;
			$c->send('.') if $data == 354;
			($data) = $c->reply if $data == 354;
			ok($rcpt == 451 || $data == 451, "$at: temporary");
		});
		$c->close;
	}
};

# A thousand sessions that have begun something.
subtest 'a thousand sessions' => sub {
	my $mta = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address);
	my @c;

	costs($proxy, 1000 * 20 + $room, 'worker', sub {
		for (1 .. 1000) {
			my $c = eval { $proxy->client } or last;
			$c->send('EHLO x', 'MAIL FROM:<a@example.org>', 'NOO');
			push @c, $c;
		}
		is(scalar(grep { ($_->reply)[0] == 220 &&
		    ($_->reply)[0] == 250 && ($_->reply)[0] == 250 } @c), 1000,
		    'all are served');
	});
};

done_testing;
