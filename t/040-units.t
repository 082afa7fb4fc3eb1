#!/usr/bin/perl
# The units of systemd are understood by it, and say what the manual needs.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use Test::More;

my $program = abs_path($ENV{VRATAR} || './vratar');
my $dir = tempdir(CLEANUP => 1);
my %unit;

for my $path (glob 'contrib/systemd/vratar*') {
	my ($name) = $path =~ m{([^/]+)\z};

	open my $in, '<', $path or die "$path: $!";
	$unit{$name} = join '', <$in>;
	open my $out, '>', "$dir/$name" or die $!;
	print $out $unit{$name} =~ s{/usr/sbin/vratar\b}{$program}gr;
	close $out or die $!;
}
is(join(' ', sort keys %unit), 'vratar-milter.service vratar.service vratar.socket',
    'units');

SKIP: {
	skip 'no systemd-analyze here', 1
	    if system('command -v systemd-analyze >/dev/null') != 0;
	is(`systemd-analyze verify --man=no $dir/vratar* 2>&1`, '',
	    'systemd has no complaint');
}

my $service = $unit{'vratar.service'};
like($service, qr/^Type=notify$/m, 'it waits for "ready"');
like($service, qr/^ExecReload=.*-HUP/m, 'reload is SIGHUP');
like($service, qr/^KillMode=mixed$/m, 'stop is for the master');
unlike($service, qr/^MemoryDenyWriteExecute=(?:yes|true|1)/m,
    'the JIT of PCRE2 may work');

# drain-timeout, what the master waits on top of it, and a little more.
open my $def, '<', 'proxy/conf.def' or die $!;
my ($drain) = join('', <$def>) =~ /drain[-_]timeout.*?"(\d+)s"/s;
my ($stop) = $service =~ /^TimeoutStopSec=(\d+)$/m;
cmp_ok($stop, '>', $drain + 5, 'sessions have the time they were promised');

my $milter = $unit{'vratar-milter.service'};
like($milter, qr/^NotifyAccess=all$/m, 'the process behind says "ready"');
like($milter, qr/^UMask=0007$/m, 'a group may use the socket');
done_testing;
