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

my %target = map { $_ => 1 } $readme =~ /(?:^|[`"])make ([a-z]+)/mg;
is_deeply([sort keys %target], [qw(check demo install run)], 'make targets');
my $makefile = slurp('Makefile');
like($makefile, qr/^$_:/m, "make $_ exists") for sort keys %target;

for my $file (glob 'README.md */README.md proxy/*/README.md') {
	my $text = slurp($file);
	my $base = dirname($file);
	my %path = map { $_ => 1 } $text =~ m{`((?:[\w.-]+/)*[\w-]+(?:/|\.(?:c|h|def|md|p[lm]|sh|t|conf)))`}g,
	    $text =~ /\]\(([^):]+)\)/g;
	delete @path{grep { m{^/|^run/|NNN|NAME} } keys %path};
	for my $path (sort keys %path) {
		ok(-e $path || -e "$base/$path" || -e "proxy/smtp/$path",
		    "$file names $path");
	}
}
done_testing;
