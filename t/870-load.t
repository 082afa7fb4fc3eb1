#!/usr/bin/perl
# Many sessions at once, each with many messages: nothing is lost, nothing is
# doubled, no client sees an error.
#
# LOAD_SESSIONS (1000) and LOAD_MESSAGES (20 for each) scale it.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use IO::Socket::IP;
use Test::More;
use Proxy;
use Run;
use Wait;

my $sessions = $ENV{LOAD_SESSIONS} || 1000;
my $messages = $sessions * ($ENV{LOAD_MESSAGES} || 20);

my $source = Run::which('smtp-source');
my $sink   = Run::which('smtp-sink');
plan skip_all => 'smtp-source and smtp-sink are not installed'
    unless $source && $sink;

# smtp-sink writes all it takes into one file; in memory, if there is such a
# place: a slow disk is not what is tested.
my $dir  = File::Temp->newdir(-w '/dev/shm' ? (DIR => '/dev/shm') : ());
my $file = "$dir/mail";
my $port = do {
	my $s = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0,
	    Listen => 1, ReuseAddr => 1);
	$s->sockport;
};
chmod 0755, $dir;
pipe my $life, my $write or die "pipe: $!";
my $pid = fork // die "fork: $!";
if ($pid == 0) {
	open STDOUT, '>&', $write;
	open STDERR, '>', "$dir/sink.log";
	exec $sink, '-u', scalar getpwuid($>), '-m', 4000, '-D', $file,
	    "inet:127.0.0.1:$port", 4000 or die "$sink: $!";
}
close $write;
END { kill 'KILL', $pid if $pid; }
Wait::wait_until(sub {
	return IO::Socket::IP->new(PeerHost => '127.0.0.1',
	    PeerPort => $port, Timeout => 1);
}) or BAIL_OUT('smtp-sink does not start');

my $proxy = Proxy->start(backend => "127.0.0.1:$port",
    set => { workers => 2 }, mta => { 'max-sessions' => 100 });

# -d keeps the sessions, -N makes each recipient another one.
sub load
{
	my ($name, $count, @args) = @_;
	my $seconds = 120;

	my ($status, $output) = Run::run(\$seconds, $source, '-s', $sessions,
	    '-m', $count, '-N', '-l', 1000, '-f', 'a@example.org', '-t',
	    "$name\@example.com", @args, 'inet:' . $proxy->address);
	is($status, 0, "$name: $count messages, $sessions sessions") or
	    diag($output);
	is($output, '', 'without a complaint');

	my %seen;
	open my $in, '<', $file or die "$file: $!";
	while (<$in>) {
		$seen{$1}++ if /^X-Rcpt-Args:.*?<(\d+$name\@[^>]*)>/;
	}
	is(scalar keys %seen, $count, 'nothing is lost');
	is(scalar(grep { $_ != 1 } values %seen), 0, 'nothing is doubled');
}

load('kept', $messages, '-d');
load('single', $sessions * 2);
$proxy->log_unlike(qr/^(?!.* root problem=).*level=(?:warn|error)/,
    'the daemon has nothing to complain about');

done_testing;
