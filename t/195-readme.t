#!/usr/bin/perl
# What the READMEs say is true: their configuration passes "vratar check",
# the files and make targets they name exist.
use strict;
use warnings;
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

my $vratar = $ENV{VRATAR} || './vratar';
my $dir    = tempdir(CLEANUP => 1);

sub slurp
{
	my ($file) = @_;
	open my $in, '<', $file or die "$file: $!";
	local $/;
	return scalar <$in>;
}

sub spew
{
	my ($file, $text) = @_;
	open my $out, '>', $file or die "$file: $!";
	print $out $text;
	close $out;
}

my $readme = slurp('README.md');
my ($config) = $readme =~ /^## A configuration.*?^```\n(.*?)^```/ms;
ok(defined $config, 'the README has a configuration');
cmp_ok(scalar(grep { /\S/ } split /\n/, $config), '<=', 10, 'of ten lines');

# Here are no /etc/ssl/mx.pem and no user vratar.
system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    . " -nodes -days 2 -subj /CN=mx.example.org -keyout $dir/mx.key"
    . " -out $dir/mx.pem 2>/dev/null") == 0 or die 'openssl';
spew("$dir/relay_recipients", "joe\@example.org x\n");
(my $here = $config) =~ s,/etc/(?:ssl|postfix)/,$dir/,g;
$here =~ s/"vratar"/"nobody"/;
spew("$dir/vratar.conf", $here);
my $said = `$vratar check -c $dir/vratar.conf 2>&1`;
is($?, 0, 'vratar check takes it') or diag $said;

$here =~ s/relay_recipients/lost/;
spew("$dir/vratar.conf", $here);
isnt(system("$vratar check -c $dir/vratar.conf >/dev/null 2>&1"), 0,
    'and would not if its table were missing');

# The policy, with the table that is here.
my ($policy) = $readme =~ /^## A policy .*?^```\n(.*?)^```/ms;
ok(defined $policy, 'the README has a policy');
spew("$dir/readme.rules", $policy =~ s,/etc/postfix/,$dir/,r);
$said = `$vratar rules --explain $dir/readme.rules 2>&1`;
is($?, 0, 'it loads') or diag $said;

# What is said to be printed is printed.
my @shown = $readme =~ /^```\n\$ (.*?)^```/msg;
ok(scalar @shown, 'examples of commands: ' . @shown);
for my $shown (@shown) {
	my ($command, $output) = $shown =~ /\A((?:[^\n]*[|\\]\n)*[^\n]*\n)(.*)\z/s;
	$command =~ s,\./vratar\b,$vratar,;
	is(`$command`, $output, "the output of $command");
}

# Step by step: the files that are copied, where the README has them copied.
my ($steps) = $readme =~ /^## In front of Postfix.*?^```\n(.*?)^```/ms;
my @steps = grep { /^(?:mkdir|cp) / } split /\n/, $steps // '';
is(scalar @steps, 3, 'steps that can be taken here');
mkdir "$dir/etc";
for my $step (@steps) {
	is(system($step =~ s,/etc/,$dir/etc/,gr), 0, $step);
}
for my $file (glob "$dir/etc/vratar/*") {
	my $text = slurp($file);
	$text =~ s,/etc/(?:ssl|postfix)/(?:mx1(?=\.))?,"$dir/" . ($& =~ /mx1/ ? 'mx' : ''),ge;
	$text =~ s,/etc/vratar/,$dir/etc/vratar/,g;
	$text =~ s/"vratar"/"nobody"/;
	spew($file, $text);
}
spew("$dir/relay_recipients", "joe\@example.org OK\n");
spew("$dir/message", "Subject: x\n\nx\n");
$said = `$vratar check -c $dir/etc/vratar/vratar.conf 2>&1`;
is("$? $said", '0 ', 'vratar check has nothing to say');
my ($try) = $readme =~ /`(vratar test -c [^`]+)`/;
$try =~ s,^vratar,$vratar,;
$try =~ s,/etc/vratar/,$dir/etc/vratar/,;
$try =~ s,/path/to/a/message,$dir/message,;
$try =~ s/\s+/ /g;
$try =~ s/ann\@example\.net/''/;	# whose domain DNS is not asked about here
like(`$try`, qr/^RCPT <joe\@example\.org> 250 /m, $try);
like(`@{[$try =~ s/joe/jim/r]}`, qr/^RCPT <jim\@example\.org> 550 5\.1\.1 /m,
    'and somebody who is not there');

my %target = map { $_ => 1 } $readme =~ /(?:^|[`"])make ([a-z]+)/mg;
is_deeply([sort keys %target], [qw(check demo install run)], 'make targets');
my $makefile = slurp('Makefile');
like($makefile, qr/^$_:/m, "make $_ exists") for sort keys %target;

for my $file (glob 'README.md */README.md proxy/*/README.md') {
	my $text = slurp($file);
	my $base = dirname($file);
	my %path = map { $_ => 1 } $text =~ m{`((?:[\w.-]+/)*[\w-]+(?:/|\.(?:c|h|def|md|p[lm]|sh|t|conf)))`}g,
	    $text =~ /\]\(([^):]+)\)/g;
	delete @path{grep { m{^/|^run/|NNN|NAME|^vratar\.conf} } keys %path};
	for my $path (sort keys %path) {
		ok(-e $path || -e "$base/$path" || -e "proxy/smtp/$path" ||
		    -e "contrib/examples/$path",
		    "$file names $path");
	}
}
done_testing;
