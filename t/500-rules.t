#!/usr/bin/perl
# "vratar rules" explains a policy, tells all its mistakes, and knows every
# field that the manual knows.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;

my $vratar = $ENV{VRATAR} || './vratar';
my $dir    = tempdir(CLEANUP => 1);

sub spew
{
	my ($file, $text) = @_;
	open my $out, '>', "$dir/$file" or die "$file: $!";
	print $out $text;
	close $out or die "$file: $!";
}

# Standard output, standard error and the exit status.
sub rules
{
	my (@args) = @_;
	my $out = `$vratar rules @args 2>$dir/err`;
	my $status = $? >> 8;
	open my $in, '<', "$dir/err" or die "err: $!";
	local $/;
	return ($out, scalar <$in> // '', $status);
}

spew('recipients', "joe\@example.org x\n");
spew('good.rules', <<"POLICY");
table recipients "texthash:$dir/recipients"
table users "socketmap:inet:127.0.0.1:9:users"
at mail
    reject 550 5.1.8 if mail.domain and not resolves(mail.domain)
at rcpt
    if client.ip not in 10.0.0.0/8 {
        reject 550 5.1.1 if rcpt not in recipients
    }
    reject if rcpt in users
at eom
    score 1 if header("Subject") ~ /^(a+)+\$/
    add header "X-Score: %{score}" if header("Subject") ~ /x/
POLICY

my ($out, $err, $status) = rules('--explain', "$dir/good.rules");
is($status, 0, 'a good policy is explained');
like($out, qr/^at rcpt: 3 rules\n  fields: .*client\.ip/m, 'stages, fields');
like($out, qr/^  table recipients = texthash:\S+, 1 entry$/m, 'a table');
like($out, qr/^  table users = \S+, asked through the network$/m, 'a remote one');
like($out, qr/^  DNS, asked before the rules run$/m, 'DNS');
like($out, qr/^  2 patterns on header\("Subject"\)$/m, 'sets of patterns');
like($out, qr/^      good\.rules:7  reject 550 5\.1\.1/m, 'rules in a group');
like($out, qr/^may edit: header$/m, 'what it may edit');
like($err, qr/good\.rules:11:36: warning: this regular expression gives up/,
    'a pattern that a sender can make slow');

spew('bad.rules', "at rcpt\n rejct\n accept if clent.ip\n");
($out, $err, $status) = rules("$dir/bad.rules");
is($status, 2, 'a bad policy has its own exit status');
is($out, '', 'and no explanation');
is($err, "$dir/bad.rules:2:2: \"rejct\" is no action (did you mean reject?)\n"
    . " rejct\n ^\n$dir/bad.rules:3:12: there is no field \"clent.ip\" "
    . "(did you mean client.ip?)\n accept if clent.ip\n           ^\n",
    'all mistakes in one run');

# The example, with tables that there are here.
open my $in, '<', 'contrib/examples/postfix-front.rules' or die "example: $!";
my $example = do { local $/; <$in> };
spew('bad_clients.cidr', "192.0.2.0/24 x\n");
$example =~ s{/etc/postfix/relay_recipients}{$dir/recipients};
$example =~ s{/etc/vratar/}{$dir/};
spew('example.rules', $example);
($out, $err, $status) = rules("$dir/example.rules");
is($err, '', 'the example policy has no mistakes');
is($status, 0, 'and loads');
is(system("$vratar check --policy $dir/example.rules --listen 127.0.0.1:0 " .
    "--backend 127.0.0.1:25"), 0, 'serve would take it, too');
SKIP: {
	skip 'there is a configuration', 2 if -e '/etc/vratar/vratar.conf';
	is(system("$vratar check --policy $dir/example.rules"), 0,
	    'a policy needs no configuration');
	isnt(system("$vratar check --policy $dir/bad.rules 2>/dev/null"), 0,
	    'to have its mistakes found');
}

($out, $err, $status) = rules('--fields');
is($status, 0, 'the fields');
my @fields = $out =~ /^([a-z0-9_.]+) +\w+ +from /mg;
is(scalar @fields, scalar(my @lines = split /\n/, $out), 'one a line');
my %known = map { $_ => 1 } @fields;
open my $man, '<', 'contrib/man/vratar-policy.5' or die "manual: $!";
my @documented = map { /^\.It Va (\S+) / ? $1 : () } <$man>;
is_deeply([sort @documented], [sort @fields], 'are those of the manual');

is((rules())[2], 2, 'a file is needed');
is((rules('--nonsense'))[2], 2, 'an unknown option');
is((rules("$dir/none"))[2], 2, 'a file that is not there');
is((rules('--help'))[2], 0, 'help');
done_testing;
