#!/usr/bin/perl
# A table of a million recipients is read in less than a second of processor
# time, and takes less than 200 MB.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use IPC::Open2;
use POSIX ();
use Test::More;
use Wait qw(wait_readable);

my $vratar = $ENV{VRATAR} || './vratar';
plan skip_all => 'sanitizers take time and memory of their own'
    if $vratar =~ /san/;
my $dir = tempdir('million-XXXXXX', TMPDIR => 1, CLEANUP => 1);

open my $out, '>', "$dir/recipients" or die "recipients: $!";
printf $out "user%07d.name\@example%d.org OK\n", $_, $_ % 1000
    for 1 .. 1_000_000;
close $out or die "recipients: $!";

my $pid = open2(my $said, my $ask, $vratar, 'table', '-q', '-',
    "texthash:$dir/recipients");
syswrite $ask, "user0500000.name\@example0.org\n";
ok(wait_readable($said), 'it answers');
like(scalar <$said>, qr/\tOK$/, 'rightly');

open my $stat, '<', "/proc/$pid/stat" or die "stat: $!";
my ($user, $system) = (split ' ', <$stat> =~ s/.*\) //r)[11, 12];
my $seconds = ($user + $system) / POSIX::sysconf(POSIX::_SC_CLK_TCK);
open my $status, '<', "/proc/$pid/status" or die "status: $!";
my ($peak) = join('', <$status>) =~ /^VmHWM:\s+(\d+) kB/m;
note "$seconds s, $peak KB";
cmp_ok($seconds, '<', 1, 'in less than a second');
cmp_ok($peak, '<', 200 * 1024, 'and in less than 200 MB');

close $ask;
waitpid $pid, 0;
is($?, 0, 'and it ends');
done_testing;
