#!/usr/bin/perl
# vratar.conf(5) has every setting of conf.def with its default, in the words of
# conf.def, and vratar(8) every option that serve and check have in common.
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

my $page = slurp('contrib/man/vratar.conf.5');
is($page, scalar `contrib/man/settings.pl`,
    'the page is up to date (else: contrib/man/settings.pl -i)');

# Not with the help of settings.pl, which might leave one out.
(my $def = slurp('proxy/conf.def')) =~ s{/\*.*?\*/}{}gs;
my @rows = $def =~ /^(?:CONF|LISTEN|BACKEND|ROUTE|FILTER)\(
    [\w.]+,\s* "([\w-]+)",\s* (\w+),\s* ("[^"]*"|NULL),/xmg;
my $count = () = $def =~ /^(?:CONF|LISTEN|BACKEND|ROUTE|FILTER)\(/mg;
is(@rows / 3, $count, 'every row is understood');
while (my ($name, $type, $default) = splice @rows, 0, 3) {
	my @items = $page =~ /^(\.It Cm \Q$name\E No = .*?)(?=^\.(?:It|El))/msg;
	ok(scalar @items, "$name is in vratar.conf(5)");
	next if $default eq 'NULL';
	$default =~ tr/"//d;
	$default = 'empty' if $default eq '';
	ok(scalar(grep { /^Default: \Q$default\E[;.]/m } @items),
	    "  with its default $default");
}

SKIP: {
	skip 'vratar(8) is not here', 1 unless -e 'contrib/man/vratar.8';
	my $manual = slurp('contrib/man/vratar.8');
	for my $option (slurp('proxy/conf_options.c') =~ /\{ "-(-?[\w-]+)",/g) {
		(my $mdoc = $option) =~ s/-/(?:\\\\-|-)/g;
		like($manual, qr/\bFl $mdoc\b/, "vratar(8) has -$option");
	}
}
done_testing;
