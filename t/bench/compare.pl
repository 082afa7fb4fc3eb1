#!/usr/bin/perl
# What a message costs through vratar, beside peers, in one interleaved run.
#
# smtp-source sends 4 KB messages over 50 sessions at once to smtp-sink (both
# are Postfix's): direct, through HAProxy in TCP mode, through vratar. Rounds
# go direct, haproxy, vratar, direct, ... so that a slow moment of the machine
# hits all of them; ratios to direct and to HAProxy with one thread are taken
# within a round, and medians of rounds are printed. CPU is what the program in
# the middle used, all its processes.
# Then, apart: system calls per message (strace slows what it counts) and the
# memory of idle sessions.
#
#	VRATAR=./vratar perl t/bench/compare.pl [ROUNDS]
use strict;
use warnings;
use File::Temp ();
use IO::Socket::INET;
use List::Util qw(sum0);
use POSIX ();
use Time::HiRes qw(time);

my $vratar   = $ENV{VRATAR} // './vratar';
my $idle     = $ENV{IDLE}   // 'obj/t/bench-idle';
my $rounds   = shift // 5;
my $sessions = 50;
my $size     = 4096;
my $idlers   = 1000;
my $tick     = POSIX::sysconf(&POSIX::_SC_CLK_TCK);
my $end      = time + 220;		# the whole run stays below 4 min
my $dir      = File::Temp->newdir('vratar-bench-XXXXXX', TMPDIR => 1);
my $owner    = $$;
my %daemon;					# name => process group

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
	my $group = $daemon{$name} or return;
	return grep { ((stat_fields($_))[2] // 0) == $group }
	    map { m{(\d+)$} } glob '/proc/[0-9]*';
}

# /proc/PID/stat behind the name: state, ppid, pgrp, ...
sub stat_fields {
	my ($rest) = slurp("/proc/$_[0]/stat") =~ /\) (.*)/s or return;
	return split ' ', $rest;
}

sub cpu {
	return sum0(grep { defined }
	    map { (stat_fields($_))[11, 12] } pids($_[0])) / $tick;
}

sub pss {
	return sum0(map { slurp("/proc/$_/smaps_rollup") =~ /^Pss:\s+(\d+)/m }
	    pids($_[0]));
}

# What is compared

sub start_sink {
	my $port = free_port();
	my @user = $> == 0 ? ('-u', 'nobody') : ();
	start('sink', 'smtp-sink', @user, "127.0.0.1:$port", 1024);
	await('sink', sub { answers($port) });
	return $port;
}

sub start_haproxy {
	my ($name, $threads, $sink) = @_;
	my $port = free_port();
	spill("$dir/$name.cfg", <<"EOT");
global
    nbthread $threads
    maxconn 4096
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen smtp
    bind 127.0.0.1:$port
    server sink 127.0.0.1:$sink
EOT
	start($name, 'haproxy', '-q', '-f', "$dir/$name.cfg");
	await($name, sub { answers($port) });
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

sub start_vratar {
	my ($name, $workers, $sink) = @_;
	start($name, $vratar, 'serve', '--foreground',
	    '--listen', '127.0.0.1:0', '--backend', "127.0.0.1:$sink",
	    '--identity', 'none', '--relay-domains', '*',
	    '--workers', $workers);
	return vratar_port($name);
}

# The same from a file, with a certificate.
sub start_vratar_tls {
	my ($name, $sink) = @_;
	run(20, qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj
	    /CN=bench.example -keyout), "$dir/key.pem", '-out',
	    "$dir/cert.pem") // die "openssl makes no certificate\n";
	spill("$dir/tls.conf", <<"EOT");
hostname      = "bench.example"
relay-domains = { "*" }
workers       = 1
log           = "stderr"
listen "127.0.0.1:0" {
    tls-certificate = "$dir/cert.pem"
    tls-key         = "$dir/key.pem"
}
backend "sink" {
    address  = { "127.0.0.1:$sink" }
    identity = "none"
}
EOT
	start($name, $vratar, 'serve', '--foreground', '-c', "$dir/tls.conf");
	return vratar_port($name);
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

# One scenario: name => { rate => [..], ratio => [..], cpu => [..] }
sub scenario {
	my ($subjects, $n, @options) = @_;
	my %got;
	for my $round (1 .. $rounds) {
		my %t;
		for my $s (@$subjects) {
			my ($name, $port) = @$s;
			last if time > $end - 30;
			my $cpu = cpu($name);
			my $t = $t{$name} = source($port, $n, @options) // next;
			push @{$got{$name}{rate}}, $n / $t;
			push @{$got{$name}{cpu}},
			    (cpu($name) - $cpu) / $n * 1000;
		}
		for my $name (keys %t) {
			next if !$t{$name};
			push @{$got{$name}{direct}}, $t{direct} / $t{$name}
			    if $t{direct};
			push @{$got{$name}{haproxy}},
			    $t{'haproxy 1'} / $t{$name}
			    if $t{'haproxy 1'};
		}
	}
	return \%got;
}

sub cell {
	my ($format, $value) = @_;
	return sprintf '%10s', defined $value ? sprintf $format, $value : '-';
}

sub table {
	my ($title, $subjects, $got) = @_;
	printf "\n%s\n%-14s%10s%10s%10s%12s\n", $title, '', 'msg/s', 'x direct',
	    'x haproxy', 'CPU s/1000';
	for my $name (map { $_->[0] } @$subjects) {
		my $g = $got->{$name} // {};
		printf "%-14s%s%s%s  %s\n", $name,
		    cell('%.0f', median(@{$g->{rate} // []})),
		    cell('%.2f', median(@{$g->{direct} // []})),
		    cell('%.2f', median(@{$g->{haproxy} // []})),
		    $name eq 'direct' ? cell('', undef)
		    : cell('%.3f', median(@{$g->{cpu} // []}));
	}
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

# KiB per session with many idle ones.
sub idle_memory {
	my ($name, $port, @mode) = @_;
	source($port, 100);			# what is allocated once
	my $before = pss($name);
	pipe my $in, my $hold or die "pipe: $!\n";
	my $pid = open(my $out, '-|') // die "fork: $!\n";
	if (!$pid) {
		close $hold;
		open STDIN, '<&', $in;
		exec $idle, '127.0.0.1', $port, $idlers, @mode
		    or POSIX::_exit(127);
	}
	close $in;
	my $ready = readline $out;
	my $each = $ready ? (pss($name) - $before) / $idlers : undef;
	close $hold;
	close $out;
	return $each;
}

# The run

my $sink = start_sink();
my @subjects = (['direct', $sink]);
my $missing = 0;
for my $s (['haproxy 1', \&start_haproxy, 1], ['haproxy 2', \&start_haproxy, 2],
    ['vratar 1', \&start_vratar, 1], ['vratar 2', \&start_vratar, 2]) {
	my ($name, $start, $n) = @$s;
	if (my $port = eval { $start->($name, $n, $sink) }) {
		push @subjects, [$name, $port];
		next;
	}
	warn $@;
	$missing++ if $name =~ /^vratar/;
}

printf "%d octets a message, %d sessions at once, %d rounds, medians;\n"
    . "the number behind a name is its threads or workers\n",
    $size, $sessions, $rounds;
my $n = count_for($sink);
table("one message per connection, $n in a run", \@subjects,
    scenario(\@subjects, $n));
my $m = $sessions * 100;
table("100 messages per connection, $m in a run", \@subjects,
    scenario(\@subjects, $m, '-d'));

my ($one) = grep { $_->[0] eq 'vratar 1' } @subjects;
if ($one && time < $end) {
	printf "\nvratar 1, system calls per message:%s one per connection,%s "
	    . "100 per connection\n",
	    cell('%.1f', system_calls(@$one, 1000)),
	    cell('%.1f', system_calls(@$one, 5000, '-d'));
	my $tls = eval { start_vratar_tls('vratar tls', $sink) }
	    or warn $@;
	printf "vratar 1, KiB (PSS) per idle session:%s plain,%s TLS (%d "
	    . "sessions)\n",
	    cell('%.2f', idle_memory(@$one)),
	    cell('%.2f', $tls && idle_memory('vratar tls', $tls, 'starttls')),
	    $idlers;
}
exit($missing ? 1 : 0);
