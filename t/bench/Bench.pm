# Bench - what the benchmarks have in common: programs in the background,
# messages from smtp-source through subjects to smtp-sink, medians.
#
#	my $sink = start_sink();
#	start('name', @command); my $port = vratar_port('name');
#	my $got = scenario([['direct', $sink], ['name', $port]], $n);
package Bench;

use strict;
use warnings;
use Exporter qw(import);
use File::Temp ();
use IO::Socket::INET;
use List::Util qw(sum0);
use POSIX ();
use Time::HiRes qw(time);

our @EXPORT = qw($vratar $rounds $sessions $size $end $dir %daemon %also %settle
    answers await
    cell count_for cpu free_port median pids pss run scenario slurp source spill
    start start_sink stop system_calls vratar_port);

our $vratar   = $ENV{VRATAR} // './vratar';
our $rounds   = 5;
our $sessions = 50;
our $size     = 4096;
our $end      = time + 220;		# the whole run stays below 4 min
our $dir      = File::Temp->newdir('vratar-bench-XXXXXX', TMPDIR => 1);
our %daemon;				# name => process group
our %also;				# name => daemons that count with it
our %settle;				# name => waits until it is done
my $tick      = POSIX::sysconf(&POSIX::_SC_CLK_TCK);
my $owner     = $$;

$| = 1;
$ENV{PATH} .= ':/usr/sbin:/sbin';
$SIG{PIPE} = 'IGNORE';
$SIG{INT} = $SIG{TERM} = sub { exit 1 };

# Processes

sub stop {
	my $pid = delete $daemon{$_[0]} or return;
	kill 'TERM', -$pid;
	my $until = time + 5;
	while (waitpid($pid, POSIX::WNOHANG()) == 0) {
		kill 'KILL', -$pid if time > $until;
		select undef, undef, undef, 0.01;
	}
	kill 'KILL', -$pid;
}

END {
	my $status = $?;
	stop($_) for $owner == $$ ? keys %daemon : ();
	$? = $status;
}

sub slurp {
	open my $in, '<', $_[0] or return '';
	local $/;
	return <$in> // '';
}

sub spill {
	my ($path, $text) = @_;
	open my $out, '>', $path or die "$path: $!\n";
	print $out $text;
	close $out or die "$path: $!\n";
}

# Start a program in a process group of its own, output to a file.
sub start {
	my ($name, @command) = @_;
	my $pid = $daemon{$name} = fork // die "fork: $!\n";
	return $pid if $pid;
	setpgrp;
	open STDIN,  '<', '/dev/null';
	open STDOUT, '>', "$dir/$name.log";
	open STDERR, '>&', \*STDOUT;
	exec @command or POSIX::_exit(127);
}

# Run one to its end: its standard output, or nothing if it failed or took
# longer than it may.
sub run {
	my ($seconds, @command) = @_;
	my $pid = open(my $out, '-|') // die "fork: $!\n";
	if (!$pid) {
		setpgrp;
		open STDERR, '>', "$dir/run.log";
		exec @command or POSIX::_exit(127);
	}
	my $text = eval {
		local $SIG{ALRM} = sub { die "late\n" };
		alarm $seconds;
		local $/;
		my $all = <$out> // '';
		alarm 0;
		$all;
	};
	kill 'KILL', -$pid unless defined $text;
	return close $out ? $text // '' : undef;
}

# Wait until a condition on a daemon gives something true.
sub await {
	my ($name, $test) = @_;
	my $until = time + 10;
	while (time < $until) {
		my $found = $test->();
		return $found if $found;
		last if waitpid($daemon{$name}, POSIX::WNOHANG()) != 0;
		select undef, undef, undef, 0.02;
	}
	die "$name does not start:\n", slurp("$dir/$name.log");
}

sub free_port {
	my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
	    or die "no free port: $!\n";
	return $s->sockport;
}

sub answers {
	my ($port) = @_;
	my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or return;
	return (readline($s) // '') =~ /^220/;
}

# All processes of a daemon.
sub pids {
	my ($name) = @_;
	my %group = map { $daemon{$_} ? ($daemon{$_} => 1) : () }
	    $name, @{$also{$name} // []};
	return grep { $group{(stat_fields($_))[2] // 0} }
	    map { m{(\d+)$} } glob '/proc/[0-9]*';
}

# /proc/PID/stat behind the name: state, ppid, pgrp, ...
sub stat_fields {
	my ($rest) = slurp("/proc/$_[0]/stat") =~ /\) (.*)/s or return;
	return split ' ', $rest;
}

# With that of children which are no more.
sub cpu {
	return sum0(grep { defined }
	    map { (stat_fields($_))[11 .. 14] } pids($_[0])) / $tick;
}

sub pss {
	return sum0(map { slurp("/proc/$_/smaps_rollup") =~ /^Pss:\s+(\d+)/m }
	    pids($_[0]));
}

# Subjects

sub start_sink {
	my $port = free_port();
	my @user = $> == 0 ? ('-u', 'nobody') : ();
	start('sink', 'smtp-sink', @user, "127.0.0.1:$port", 1024);
	await('sink', sub { answers($port) });
	return $port;
}

sub vratar_port {
	my ($name) = @_;
	return await($name, sub {
		my ($port) = slurp("$dir/$name.log") =~
		    /ready\b.* listen=[^\s,]*:(\d+)/;
		return $port && answers($port) ? $port : undef;
	});
}

# Measuring

# Seconds for n messages, or undef.
sub source {
	my ($port, $n, @options) = @_;
	my $begin = time;
	run(30, 'smtp-source', @options, '-s', $sessions, '-l', $size, '-m',
	    $n, '-f', 'a@bench.example', '-t', 'b@bench.example',
	    "127.0.0.1:$port") // return;
	return time - $begin;
}

sub median {
	my @v = sort { $a <=> $b } grep { defined } @_;
	return @v ? $v[@v / 2] : undef;
}

# Enough messages for about half a second direct.
sub count_for {
	my ($port, @options) = @_;
	my $t = source($port, 1000, @options) // die "smtp-source failed: "
	    . slurp("$dir/run.log");
	my $n = int(500 / $t / 50) * 50;
	return $n < 1000 ? 1000 : $n > 10000 ? 10000 : $n;
}

# One scenario: name => { rate => [..], cpu => [..], to => { name => [..] } },
# the last being how much faster than that one it was in the same round. A subject
# is its name, its port, and a number of messages if that is another one.
sub scenario {
	my ($subjects, $n, @options) = @_;
	my %got;
	for my $round (1 .. $rounds) {
		my %t;
		for my $s (@$subjects) {
			my ($name, $port, $many) = (@$s, $n);
			last if time > $end - 30;
			my $cpu = cpu($name);
			my $t = source($port, $many, @options) // next;
			$settle{$name}->() if $settle{$name};
			$t{$name} = $t / $many;
			push @{$got{$name}{rate}}, $many / $t;
			push @{$got{$name}{cpu}},
			    (cpu($name) - $cpu) / $many * 1000;
		}
		for my $name (keys %t) {
			next if !$t{$name};
			push @{$got{$name}{to}{$_}}, $t{$_} / $t{$name}
			    for grep { $t{$_} } keys %t;
		}
	}
	return \%got;
}

# System calls per message, while strace looks on.
sub system_calls {
	my ($name, $port, $n, @options) = @_;
	my $out = "$dir/strace.out";
	start('strace', 'strace', '-c', '-f', '-o', $out,
	    map { ('-p', $_) } pids($name));
	my $group = $daemon{strace};
	my $attached = eval {
		await('strace', sub {
			slurp("$dir/strace.log") =~ /attached/;
		});
	};
	my $t = $attached && source($port, $n, @options);
	kill 'INT', $group;
	stop('strace');
	my ($calls) = slurp($out) =~ /^\s*100\.00\s+\S+\s+\S+\s+(\d+)/m;
	return defined $t && $calls ? $calls / $n : undef;
}

sub cell {
	my ($format, $value) = @_;
	return sprintf '%10s', defined $value ? sprintf $format, $value : '-';
}

1;
