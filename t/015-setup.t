#!/usr/bin/perl
# contrib/setup.sh installs what is missing and nothing else, and says what to
# do when it may not. Debian's tools are played by scripts that write down how
# they were called.
use strict;
use warnings;
use Cwd qw(getcwd);
use File::Temp qw(tempdir);
use Test::More;

my $setup = getcwd() . '/contrib/setup.sh';
my $bin   = tempdir(CLEANUP => 1);
my $calls = "$bin/calls";

sub script
{
	my ($name, $body) = @_;
	open my $out, '>', "$bin/$name" or die "$bin/$name: $!";
	print $out "#!/bin/sh\n$body\n";
	close $out;
	chmod 0755, "$bin/$name";
}

# Run it with these packages; $fake: name => body of the commands to replace.
sub setup
{
	my ($fake, @packages) = @_;
	unlink glob "$bin/*";
	script($_, $fake->{$_}) for keys %$fake;
	local $ENV{PATH} = "$bin:/usr/bin:/bin";
	my $said = `$setup @packages 2>&1`;
	my $status = $? >> 8;
	my $called = '';
	if (open my $in, '<', $calls) {
		local $/;
		$called = <$in>;
	}
	return ($status, $said, $called);
}

my $log   = "echo \"\${0##*/} \$*\" >>$calls";
my %some  = ('dpkg-query' =>
    'case $4 in have*) echo installed;; conf*) echo config-files;; *) exit 1;; esac');
my %root  = (%some, id => 'echo 0', 'apt-get' => "echo apt-get \$DEBIAN_FRONTEND \$* >>$calls",
    'debconf-set-selections' => "echo preset: \$(cat) >>$calls",
    # Never touch the real policy-rc.d.
    map { $_ => $log } qw(tee rm chmod));
my %nobody = (%some, id => 'echo 1000', sudo => 'exit 1');

my ($status, $said, $called) = setup(\%nobody, qw(have-a have-b));
is($status, 0, 'nothing is missing: fine without any rights');
is($said, '', 'and without a word');

($status, $said, $called) = setup(\%nobody, qw(have-a lost-b conf-c));
is($status, 2, 'no right to install: exit 2');
like($said, qr/^\tapt-get update && apt-get install -y --no-install-recommends lost-b conf-c$/m,
    'and the command to run, with the missing packages only');

($status, $said, $called) = setup(\%root, qw(have-a lost-b));
is($status, 0, 'root installs');
like($called, qr/^apt-get noninteractive update\napt-get noninteractive install -y --no-install-recommends lost-b$/m,
    'after an update, without questions');
unlike($called, qr/preset/, 'nothing is preset for other packages');

($status, $said, $called) = setup(\%root, qw(postfix));
like($called, qr/^preset: postfix postfix\/main_mailer_type select No configuration\n(?:.*\n)*apt-get .* install .* postfix$/m,
    'Postfix is told to configure nothing before it is installed');

SKIP: {
	skip 'there is a policy-rc.d here, which stays', 1
	    if -e '/usr/sbin/policy-rc.d';
	like($called, qr/^tee \S*policy-rc\.d\n(?:.*\n)*apt-get .* install .*\nrm -f \S*policy-rc\.d$/m,
	    'no daemon is started while packages are installed');
}

($status, $said, $called) = setup(\%root, qw(opendmarc));
like($called, qr/ install .* opendmarc dbconfig-no-thanks$/m, 'no database for opendmarc');
($status, $said, $called) = setup({ %root, 'dpkg-query' => 'case $4 in dbconfig-common) echo installed;; *) exit 1;; esac' },
    qw(opendmarc));
like($called, qr/ install .* opendmarc$/m, 'and none is taken away');

($status, $said, $called) = setup({ %root, 'apt-get' => "exit 100" }, 'lost-b');
is($status, 2, 'apt-get fails: exit 2');
like($said, qr/apt-get install .* lost-b/, 'and the command to run later');

($status, $said, $called) = setup({ %nobody, sudo => "shift; $log; exec \"\$@\"",
    map { $_ => $log } qw(env tee rm chmod) }, 'lost-b');
is($status, 0, 'sudo without a password will do');
like($called, qr/^sudo env DEBIAN_FRONTEND=noninteractive apt-get install/m,
    'and is used for apt-get');
done_testing;
