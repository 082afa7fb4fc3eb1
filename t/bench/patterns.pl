#!/usr/bin/perl
# What patterns cost per message, in one interleaved run: 10, 1,000 and 10,000
# of them, half for the header and half for the body, as rules on "header.line"
# and "body", as tables of header_checks and body_checks, and with the same
# tables in Postfix. Figures are microseconds of the processor: of vratar less
# vratar without a policy, of cleanup(8) less cleanup(8) without tables; medians
# of the rounds. No message matches. One of twenty words is one of the patterns'.
#
#	VRATAR=./vratar perl t/bench/patterns.pl [ROUNDS]
use strict;
use warnings;
use List::Util qw(sum0);
use lib qw(t/bench t/lib);
use Bench;
use Postfix;

$rounds = @ARGV ? shift : 3;
my @counts = (10, 1000, 10_000);
my @sizes = ([4 => 500, 100], [100 => 200, 10]);	# KB; messages in a run, of
						# vratar and of Postfix

# The same numbers for everybody who counts from the same seed.
my $state = 7;
sub below {
	$state = ($state * 1103515245 + 12345) % 4294967296;
	return ($state >> 16) % $_[0];
}
my @words = map { join '', map { chr(97 + below(26)) } 1 .. 4 + below(6) }
    1 .. 6000;
sub word { return $words[below(6000)]; }

my @forms = (
	sub { word() . ' ' . word() }, sub { word() . '\s+' . word() },
	sub { '\b' . word() . '\b.*' . word() },
	sub { '(' . word() . '|' . word() . 'x) now' },
	sub { 'https?:\/\/[^\/]*' . word() . '\.(com|' . word() . ')' },
	sub { '^' . word() . '[0-9]{2,5}' . word() },
	sub { word() . '[a-z]+q' . word() },
	sub { '[0-9]{3}-[0-9]{4} (' . substr(word(), 0, 2) . '|x)' },
);
sub pattern { return $forms[below(8)]->() . 'zz'; }

sub message {
	my ($kb) = @_;
	my @common = qw(the and of to in is you that it he was for on are as);
	my ($text, $line) = ('', '');
	while (length $text < $kb << 10) {
		$line .= (below(20) ? $common[below(15)] : word()) . ' ';
		next if length $line < 65;
		$text .= "$line\n";
		$line = '';
	}
	return "From: a\@bench.example\nTo: b\@bench.example\n"
	    . "Subject: the words of @words[1 .. 3]\nMIME-Version: 1.0\n"
	    . "Content-Type: text/plain\n\n$text";
}

# The files for n patterns: a table for each, and rules.
sub files {
	my ($n) = @_;
	my @header = map { pattern() } 1 .. $n / 2;
	my @body = map { pattern() } 1 .. $n / 2;
	spill("$dir/h$n", join '', map { "/$_/ REJECT\n" } @header);
	spill("$dir/b$n", join '', map { "/$_/ REJECT\n" } @body);
	spill("$dir/checks$n.rules", "at header\n    use header_checks "
	    . "\"pcre:$dir/h$n\"\nat body\n    use body_checks "
	    . "\"pcre:$dir/b$n\"\n");
	spill("$dir/rules$n.rules", join '', "at header\n",
	    map({ "    reject if header.line ~ /$_/i\n" } @header), "at eom\n",
	    map { "    reject if body ~ /$_/i\n" } @body);
}

# Nanoseconds of all threads of these processes.
sub ns {
	return sum0(map { (split ' ', slurp($_))[0] // 0 }
	    map { glob "/proc/$_/task/*/schedstat" } @_);
}

sub start_with {
	my ($name, $sink, $policy) = @_;
	my $chain = $policy ? '{ "policy" }' : '{ }';
	my $filter = $policy ? "filter \"policy\" { type = \"policy\" "
	    . "file = \"$dir/$policy.rules\" }\n" : '';
	spill("$dir/$name.conf", <<"END");
hostname = "bench.example"
workers = 1
relay-domains = { "*" }
cache-directory = "$dir/cache"
listen "127.0.0.1:0" { chain = $chain }
backend "sink" { address = { "127.0.0.1:$sink" } identity = "none" }
$filter
END
	my $port;
	for my $cached ($policy ? (0, 1) : ()) {
		start($name, $vratar, 'serve', '--foreground', '-c',
		    "$dir/$name.conf");
		$port = port_of($name);
		printf "%-12s starts with %6.2f s of the processor, %s\n",
		    $name, cpu($name), $cached ? 'from the cache' :
		    'without a cache';
		stop($name);
	}
	start($name, $vratar, 'serve', '--foreground', '-c',
	    "$dir/$name.conf");
	$port = port_of($name);
	return { name => $name, port => $port,
	    pids => sub { return pids($name) } };
}

sub port_of {
	my ($name) = @_;
	for (1 .. 12) {
		my $port = eval { vratar_port($name) };
		return $port if $port;
		die $@ if slurp("$dir/$name.log") =~ /error/;
	}
	die "$name does not start\n";
}

sub start_postfix {
	my ($name, $n) = @_;
	my %checks = $n ? (header_checks => "pcre:$dir/h$n",
	    body_checks => "pcre:$dir/b$n") : ();
	my $p = Postfix->start(main => { max_use => 1_000_000,
	    max_idle => '1000s', relay_domains => 'bench.example',
	    mynetworks => '127.0.0.0/8', default_transport => 'discard:',
	    relay_transport => 'discard:', default_process_limit => 2,
	    %checks })
	    or die "Postfix: $Postfix::why\n";
	my ($port) = $p->address =~ /(\d+)$/;
	return { name => $name, port => $port, postfix => $p,
	    pids => sub { return cleanups($p->{dir}) } };
}

# The processes of an instance that tables are read by.
sub cleanups {
	my ($in) = @_;
	return grep { slurp("/proc/$_/comm") =~ /^cleanup$/ &&
	    (readlink("/proc/$_/cwd") // '') =~ m{^\Q$in\E/} }
	    map { m{(\d+)$} } glob '/proc/[0-9]*';
}

# Microseconds for one of n messages, or undef.
sub measure {
	my ($s, $n, $file) = @_;
	my $before = ns($s->{pids}->());
	run(120, 'smtp-source', '-s', 2, '-m', $n, '-F', $file, '-f',
	    'a@bench.example', '-t', 'b@bench.example', '-d',
	    "127.0.0.1:$s->{port}") // return undef;
	return (ns($s->{pids}->()) - $before) / 1000 / $n;
}

mkdir "$dir/cache", 0700;
chmod 0755, $dir;
files($_) for @counts;
spill("$dir/m$_->[0]", message($_->[0])) for @sizes;
my $sink = start_sink();
my @subjects = (
	start_with('none', $sink),
	map({ (start_with("rules$_", $sink, "rules$_"),
	    start_with("checks$_", $sink, "checks$_")) } @counts),
	start_postfix('cleanup', 0),
	map { start_postfix("cleanup$_", $_) } @counts,
);
for my $row (@sizes) {
	my ($kb, $ours, $theirs) = @$row;
	my %got;
	measure($_, 5, "$dir/m$kb") for @subjects;
	for (1 .. $rounds) {
		push @{$got{$_->{name}}}, measure($_, $_->{postfix} ? $theirs :
		    $ours, "$dir/m$kb") for @subjects;
	}
	my %us = map { $_ => median(@{$got{$_}}) } keys %got;
	printf "\n%d KB, us of the processor for a message (without: "
	    . "vratar %.0f, cleanup %.0f)\n%-10s%12s%12s%12s\n", $kb,
	    $us{none}, $us{cleanup}, 'patterns', map { $_ } @counts;
	for my $what ('rules', 'checks', 'cleanup') {
		my $none = $us{$what eq 'cleanup' ? 'cleanup' : 'none'};
		printf "%-10s%12.0f%12.0f%12.0f\n", $what,
		    map { $us{"$what$_"} - $none } @counts;
	}
}
