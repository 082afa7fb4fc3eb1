#!/usr/bin/perl
# Fifty messages of any size at once need 64 MB of memory and no more, which the
# kernel sees to, whether they are streamed or held, and while the backend stands
# still.
#
# STREAM_MB is the size of each message, 8 unless it is given.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use IO::Select;
use IO::Socket::UNIX;
use POSIX ();
use Test::More;
use Proxy;
use Wait;

my $megabytes = $ENV{STREAM_MB} // 8;
my $sessions  = 50;
my $limit     = 64 << 10;		# kilobytes
my $piece     = ('x' x 998 . "\r\n") x 64;
# In a unix socket the kernel keeps little.
my $dir       = File::Temp->newdir;

# Sanitizers keep what was freed.
plan skip_all => 'memory is not ours with sanitizers'
    if ($ENV{VRATAR} // '') =~ /-san/;

# A next MTA that throws content away, and counts it: the octets of each
# message are in its reply. One process for each connection.
sub drain
{
	my ($chunking) = @_;
	unlink "$dir/mta";
	my $listener = IO::Socket::UNIX->new(Local => "$dir/mta",
	    Listen => 100) or die "socket: $!";
	my $pid = fork // die "fork: $!";

	if ($pid) {
		setpgrp $pid, $pid;
		return $pid;
	}
	setpgrp;
	$SIG{CHLD} = 'IGNORE';
	while (1) {
		my $fh = $listener->accept or next;
		next if fork;
		eval { talk($fh, $chunking); };
		POSIX::_exit(0);
	}
}

sub talk
{
	my ($fh, $chunking) = @_;
	my ($in, $octets, $rest, $data, $last) = ('', 0, 0, 0, 0);
	my $say = sub { syswrite $fh, join '', map { "$_\r\n" } @_; };

	$say->('220 drain');
	while (sysread $fh, $in, 262_144, length $in) {
		while (length $in) {
			if ($data) {
				my $end = index $in, "\r\n.\r\n";
				my $n = $end < 0 ? length($in) - 4 : $end + 2;
				$octets += $n if $n > 0;
				substr($in, 0, $n) = '' if $n > 0;
				last if $end < 0;
				substr($in, 0, 3) = '';
				$data = 0;
				$say->("250 2.0.0 $octets octets");
				$octets = 0;
			} elsif ($rest > 0) {
				my $n = $rest < length $in ? $rest : length $in;
				substr($in, 0, $n) = '';
				$octets += $n;
				$rest -= $n;
				next if $rest > 0;
				$say->($last ? "250 2.0.0 $octets octets" :
				    '250 2.0.0 more');
				$octets = 0 if $last;
			} else {
				$in =~ s/\A(.*?)\r\n// or last;
				my $line = $1;
				if ($line =~ /^EHLO/) {
					$say->('250-drain', '250-PIPELINING',
					    '250-SIZE 1000000000', $chunking ?
					    '250-CHUNKING' : (), '250 DSN');
				} elsif ($line =~ /^BDAT (\d+)( LAST)?/) {
					($rest, $last) = ($1, $2);
				} elsif ($line eq 'DATA') {
					$data = 1;
					$say->('354 go');
				} else {
					$say->('250 2.0.0 ok');
				}
			}
		}
	}
}

sub memory
{
	my ($proxy, $what) = @_;
	my ($pid) = $proxy->workers;

	open my $in, '<', "/proc/$pid/status" or die "status: $!";
	return join('', <$in>) =~ /^$what:\s*(\d+)/m ? $1 : die "no $what";
}

# As much of each message as is taken: all of it, or until nobody has taken any
# for so long.
sub push_on
{
	my ($seconds, @c) = @_;
	my %of = map { $_->{fh} => $_ } @c;
	my $select = IO::Select->new(map { $_->{fh} } grep { $_->{n} } @c);

	while ($select->count) {
		my @ready = $select->can_write($seconds) or return;
		for my $fh (@ready) {
			my $c = $of{$fh};
			my $n = syswrite $fh, $c->{out} eq '' ? $piece :
			    $c->{out};
			next if !defined $n && Wait::again();
			die "the worker is gone: $!" if !$n;
			$c->{out} = substr $c->{out} eq '' ? $piece :
			    $c->{out}, $n;
			$c->{n} -= $n;
			$select->remove($fh) if $c->{n} == 0;
		}
	}
}

sub begin
{
	my ($octets, $bdat) = @_;
	my $c = Client->connect(unix => "$dir/vratar");

	$c->send('EHLO x', 'MAIL FROM:<a@example.org>',
	    'RCPT TO:<b@example.com>', $bdat ? () : 'DATA');
	$c->reply for 1 .. ($bdat ? 4 : 5);
	$c->send("BDAT $octets LAST") if $bdat;
	$c->{n} = $octets;
	$c->{out} = '';
	return $c;
}

# With a limit of its memory ("ulimit -d": all that it may write to), and one of
# its address space: that of an idle worker, which is most of it libraries and
# their tables, and as much again.
sub limited
{
	my (%o) = @_;
	my $idle = Proxy->start(%o);
	my $space = memory($idle, 'VmPeak') + $limit;
	$idle->stop;
	my $proxy = Proxy->prepare(%o);

	$proxy->run_by("ulimit -d $limit && ulimit -v $space && exec \"\$@\"");
	$proxy->run('serve', @{$proxy->{args}});
	$proxy->wait_ready or die 'it does not start: ' . $proxy->log;
	my ($pid) = $proxy->workers;
	open my $in, '<', "/proc/$pid/limits" or die "limits: $!";
	my $octets = 1024 * $limit;
	is(scalar(grep { /^Max data size +$octets +$octets / } <$in>), 1,
	    'the worker has its limit');
	return $proxy;
}

for my $way (['streamed by BDAT', 1, '1M'], ['streamed by DATA', 0, '1M'],
    ['held in files', 1, '1G']) {
	my ($name, $bdat, $hold) = @$way;

	subtest $name => sub {
		my $octets = int($megabytes * 1_000_000 / length $piece) *
		    length $piece;
		my $mta = drain($bdat);
		my $proxy = limited(backend => "unix:$dir/mta",
		    listen => { address => "unix:$dir/vratar" },
		    mta => { 'max-sessions' => 0 },
		    set => { 'hold-size' => $hold, 'spool-memory' => '256K',
		    'message-size-limit' => '500M' });
		my @c = map { begin($octets, $bdat) } 1 .. $sessions;

		kill 'STOP', -$mta;
		push_on(1, @c);
		my $peak = memory($proxy, 'VmHWM');
		cmp_ok($peak, '<', $limit, "standing still: $peak KB");
		is(scalar(grep { $_->{n} == 0 } @c), $hold eq '1G' ?
		    $sessions : 0, 'what streams waits for the backend');
		kill 'CONT', -$mta;
		push_on($Wait::DEADLINE, @c);
		$_->send($bdat ? () : '.') for @c;
		is(scalar(grep { ($_->reply)[1] =~
		    /^250 2\.0\.0 $octets octets/ } @c), $sessions,
		    "$sessions messages of $octets octets are there");
		$peak = memory($proxy, 'VmHWM');
		cmp_ok($peak, '<', $limit, "the worker: $peak KB");
		$_->close for @c;
		$proxy->stop;
		kill 'KILL', -$mta;
		waitpid $mta, 0;
	};
}

done_testing;
