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
# .Fl -listen is the mdoc of --listen.
for my $file (glob 'proxy/cmd_*.c proxy/conf_opt*.c') {
	my %seen;
	for my $option (slurp($file) =~
	    /\{\s*"([a-z-]+)",\s*(?:no|required|optional)_argument/g) {
		(my $mdoc = $option) =~ s/-/(?:\\\\-|-)/g;
		like($manual, qr/\bFl (?:\\-|-)$mdoc\b/,
		    "vratar(8) describes --$option of $file")
		    unless $seen{$option}++;
	}
}
done_testing;
