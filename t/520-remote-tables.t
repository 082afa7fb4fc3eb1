#!/usr/bin/perl
# socketmap and tcp tables: "vratar table" asks a server in the same words as
# "postmap -q" does, and makes the same of its answers.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use IO::Socket::IP;
use IO::Socket::UNIX;
use POSIX ();
use Test::More;
use Run;

my $vratar = $ENV{VRATAR} || './vratar';
my $dir    = tempdir('remote-XXXXXX', TMPDIR => 1, CLEANUP => 1);

# Postfix in a configuration of its own.
my $postmap = '/usr/sbin/postmap';
-x $postmap or plan skip_all => 'Postfix is not installed';
mkdir "$dir/etc" or die "mkdir: $!";
open my $main, '>', "$dir/etc/main.cf" or die "main.cf: $!";
print $main "compatibility_level = 3.7\ninet_protocols = all\n";
close $main;

my %tcp = (
	'user@example.org' => "200 OK\n",
	words    => "200 two%20words\n",
	raw      => "200 two words\n",
	empty    => "200 \n",
	tab      => "200\tx\n",
	cr       => "200 x\r\n",
	nobody   => "500 no such user\n",
	later    => "400 later\n",
	short    => "200\n",
	percent  => "200 %zz\n",
	code     => "2000 x\n",
	'x%20y%25%C3%A9/+=~"' => "200 odd%20key\n",
	''       => "200 nothing\n",
	A        => "200 capital\n",
);
my %map = (
	'user@example.org' => 'OK OK',
	words    => 'OK two words',
	empty    => 'OK ',
	nobody   => 'NOTFOUND ',
	bare     => 'NOTFOUND',
	why      => 'NOTFOUND because',
	later    => 'TEMP later',
	timeout  => 'TIMEOUT x',
	perm     => 'PERM x',
	what     => 'WHAT x',
	lower    => 'ok x',
	"x y%\xc3\xa9/+=~\"" => 'OK odd key',
	A        => 'OK capital',
	comma    => 'OK a,b',
	long     => 'OK ' . 'x' x 99_000,
);

# Serves one question a connection after the other, for ever, and writes down
# what it is asked.
sub serve
{
	my ($listener) = @_;

	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	open my $log, '>>', "$dir/asked" or die "asked: $!";
	$log->autoflush(1);
	while (my $peer = $listener->accept) {
		my $octets = '';
		while (sysread $peer, $octets, 100_000, length $octets) {
			my $answer;
			if ($octets =~ s/^(get (.*))\n//) {
				print $log "$1\n";
				$answer = $tcp{$2} // "500 none\n";
			} elsif ($octets =~ s/^((\d+):(map (.*)),)$//s) {
				print $log "$1\n";
				$answer = $map{$4} // 'NOTFOUND ';
				$answer = length($answer) . ":$answer,";
			} else {
				next;
			}
			syswrite $peer, $answer;
		}
	}
	POSIX::_exit(0);
}

my $inet = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0,
    Listen => 5) or die "socket: $!";
my $unix = IO::Socket::UNIX->new(Local => "$dir/socket", Listen => 5)
    or die "socket: $!";
my @servers = (serve($inet), serve($unix));
my $port = $inet->sockport;

# The questions since the last call.
sub asked
{
	open my $file, '+<', "$dir/asked" or return '';
	local $/;
	my $asked = <$file>;
	truncate $file, 0;
	return $asked;
}

# Keys as they are, from those of the table above, which are encoded.
sub decoded
{
	my (@keys) = @_;
	s/%([0-9A-F]{2})/chr hex $1/ge for @keys;
	return @keys;
}

# One look-up: exit status, output without what went to standard error, and the
# question.
sub look_up
{
	my ($key, $spec, @command) = @_;
	my ($status, $output) = Run::run('/bin/sh', '-c',
	    'exec "$@" 2>/dev/null', 'sh', @command, '-q', $key, $spec);

	return ($status, $output, asked());
}

for my $spec ("tcp:127.0.0.1:$port", "socketmap:inet:127.0.0.1:$port:map",
    "socketmap:unix:$dir/socket:map") {
	my @keys = $spec =~ /^tcp/ ? decoded(keys %tcp) : keys %map;
	for my $key (sort(@keys), 'unknown', "\xc3\xb6", "\xff") {
		my @ours = look_up($key, $spec, $vratar, 'table');
		if ($key =~ /^(?:short|percent|code|what|lower)$/) {
			# postmap sleeps, and asks ten times.
			is($ours[0] >> 8, 1, "$spec: $key is no answer");
			next;
		}
		my @theirs = look_up($key, $spec, $postmap, '-c', "$dir/etc");
		is_deeply(\@ours, \@theirs, "$spec: $key");
	}
}

# Keys from standard input are asked over one connection.
{
	open my $in, '>', "$dir/in" or die;
	print $in "$_\n" for qw(words nobody A);
	close $in;
	my ($status, $output) = Run::run('/bin/sh', '-c',
	    "exec $vratar table -q - tcp:127.0.0.1:$port < $dir/in");
	is($status, 0, 'several keys: exit status');
	is($output, "words\ttwo words\nA\tcapital\n", 'several keys');
	is(asked(), "get words\nget nobody\nget A\n", 'all were asked');
}

# Within other tables.
my ($status, $output) = Run::run($vratar, 'table', '-q', 'words',
    "union:{static:a, tcp:127.0.0.1:$port, socketmap:unix:$dir/socket:map}");
is($output, "a,two words,two words\n", 'two servers and a word in a union');
($status, $output) = Run::run($vratar, 'table', '-q', 'x',
    "pipemap:{static:A, tcp:127.0.0.1:$port, inline:{CAPITAL=found}}");
is($output, "found\n", 'a server in a pipemap');

kill 'TERM', @servers;
waitpid $_, 0 for @servers;
($status, $output) = Run::run($vratar, 'table', '-q', 'x',
    "socketmap:unix:$dir/gone:map");
is($status >> 8, 1, 'no server: exit status');
like($output, qr/look-up failed/, 'no server: said so');
done_testing;
