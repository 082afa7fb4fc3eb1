#!/usr/bin/perl
# The manual pages are well-formed, and say something about every verb, every
# option of a verb, and every setting.
use strict;
use warnings;
use Test::More;

sub slurp
{
	my ($file) = @_;
	open my $in, '<', $file or die "$file: $!";
	local $/;
	return scalar <$in>;
}

my @pages = glob 'contrib/man/*.[1-8]';
ok(scalar @pages, 'there are manual pages');
for my $page (@pages) {
	SKIP: {
		skip 'no mandoc here', 1
		    if system('command -v mandoc >/dev/null') != 0;
		is(`mandoc -T lint -W warning $page 2>&1`, '', "$page is clean");
	}
}

my $manual = join '', map { slurp($_) } grep { /\.8$/ } @pages;
my @verbs  = slurp('proxy/cmd.h') =~ /^int cmd_(\w+)\(/mg;
ok(scalar @verbs, "proxy/cmd.h names verbs: @verbs");
for my $verb (@verbs) {
	like($manual, qr/^\.(?:Nm vratar )?(?:Cm|It Cm|Nm vratar Cm) \Q$verb\E\b/m,
	    "vratar(8) describes $verb");
}
# .Fl -listen is the mdoc of --listen. Tables of options begin their rows with
# { "--name" or, for getopt_long(3), { "name", required_argument.
for my $file ('proxy/main.c', 'proxy/conf_options.c', glob 'proxy/cmd_*.c') {
	my $source = slurp($file);
	my %option = map { $_ => 1 }
	    $source =~ /(?:\{|verb,) "--([a-z-]+)"/g,
	    $source =~ /\{ "([a-z-]+)",\s*(?:no|required|optional)_argument/g;
	for my $option (sort keys %option) {
		like($manual, qr/\bFl -\Q$option\E\b/,
		    "vratar(8) describes --$option of $file");
	}
}
done_testing;
