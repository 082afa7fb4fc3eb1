#!/usr/bin/perl
# What a message costs through vratar, beside peers, in one interleaved run.
#
# smtp-source sends 4 KB messages over 50 sessions at once to smtp-sink (both
# are Postfix's): direct, through HAProxy in TCP mode, through vratar. Rounds
# go direct, haproxy, vratar, direct, ... so that a slow moment of the machine
# hits all of them; ratios to direct and to HAProxy with one thread are taken
# within a round, and medians of rounds are printed. CPU is what the program in
# the middle used, all its processes.
# Messages of 10 MB follow, which vratar streams, or holds when it is told to.
# Then, apart: system calls per message (strace slows what it counts) and the
# memory of idle sessions.
#
#	VRATAR=./vratar perl t/bench/compare.pl [ROUNDS]
use strict;
use warnings;
use POSIX ();
use Time::HiRes qw(time);
use lib 't/bench';
use Bench;

my $idle   = $ENV{IDLE} // 'obj/t/bench-idle';
my $idlers = 1000;
$rounds = shift if @ARGV;

# What is compared

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

sub start_vratar {
	my ($name, $workers, $sink, @options) = @_;
	start($name, $vratar, 'serve', '--foreground',
	    '--listen', '127.0.0.1:0', '--backend', "127.0.0.1:$sink",
	    '--identity', 'none', '--relay-domains', '*',
	    '--workers', $workers, @options);
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

sub table {
	my ($title, $subjects, $got) = @_;
	printf "\n%s\n%-14s%10s%10s%10s%12s\n", $title, '', 'msg/s', 'x direct',
	    'x haproxy', 'CPU s/1000';
	for my $name (map { $_->[0] } @$subjects) {
		my $g = $got->{$name} // {};
		printf "%-14s%s%s%s  %s\n", $name,
		    cell('%.0f', median(@{$g->{rate} // []})),
		    cell('%.2f', median(@{$g->{to}{direct} // []})),
		    cell('%.2f', median(@{$g->{to}{'haproxy 1'} // []})),
		    $name eq 'direct' ? cell('', undef)
		    : cell('%.3f', median(@{$g->{cpu} // []}));
	}
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

if ($one && time < $end) {
	($size, $sessions) = (10 << 20, 10);
	my @large = grep { $_->[0] =~ /direct|1$/ } @subjects;
	my $held = eval { start_vratar('vratar 1 held', 1, $sink, '--set',
	    'hold-size=1G') } or warn $@;
	push @large, ['vratar 1 held', $held] if $held;
	table("10 MB, $sessions sessions, 40 in a run", \@large,
	    scenario(\@large, 40));
}
exit($missing ? 1 : 0);
