#!/usr/bin/perl
# The settings in vratar.conf(5), made from proxy/conf.def:
#
#	contrib/man/settings.pl		print the page as it should be
#	contrib/man/settings.pl -i	write it
#
# What stands between the two marks in the page is replaced; the rest is
# written by hand. t/035-settings.t fails when the page is not up to date.
use strict;
use warnings;
use FindBin;

my $top  = "$FindBin::Bin/../..";
my $page = "$FindBin::Bin/vratar.conf.5";

sub slurp
{
	my ($file) = @_;
	open my $in, '<', $file or die "$file: $!";
	local $/;
	return scalar <$in>;
}

# The words of each WORD setting, from the arrays in conf_rows.c.
sub words
{
	my %words;
	my $rows = slurp("$top/proxy/conf_rows.c");
	while ($rows =~ /^static const char \*const (\w+)\[\] = \{(.*?)\};/msg) {
		my ($name, $in) = ($1, $2);
		$words{$name} = [$in =~ /"([^"]*)"/g];
	}
	$words{IDENTITY_WORDS} = $words{word_identity};
	return %words;
}

# The rows with the headings between them: [heading] or
# [member, name, type, default, allowed, help].
sub rows
{
	my $def  = slurp("$top/proxy/conf.def");
	my $args = qr/(\((?:[^()"]|"(?:[^"\\]|\\.)*"|(?-1))*\))/;
	my @rows;
	while ($def =~ m{^/\* (.*) \*/$|^(CONF|LISTEN|BACKEND|ROUTE|FILTER)$args}mg) {
		push @rows, defined $1 ? [$1] : [arguments(substr $3, 1, -1)];
	}
	return @rows;
}

# Cut at the commas that are in no string and in no parentheses.
sub arguments
{
	my ($text) = @_;
	my ($depth, @args) = (0, '');
	for my $piece ($text =~ /"(?:[^"\\]|\\.)*"|./gs) {
		$depth++ if $piece eq '(';
		$depth-- if $piece eq ')';
		if ($piece eq ',' && $depth == 0) {
			push @args, '';
		} else {
			$args[-1] .= $piece;
		}
	}
	return map { s/^\s+|\s+$//gr } @args;
}

# C strings, joined; undef for NULL.
sub string
{
	my ($c) = @_;
	return undef if $c eq 'NULL';
	return join '', map { s/\\(.)/$1/gr } $c =~ /"((?:[^"\\]|\\.)*)"/g;
}

my %argument = (
	STRING   => '.Ar text',
	BOOL     => 'yes | no',
	COUNT    => '.Ar number',
	SIZE     => '.Ar size',
	DURATION => '.Ar duration',
	LIST     => '{ Ar text , ... No }',
	NETWORKS => '{ Ar network , ... No }',
);

sub item
{
	my ($words, $member, $name, $type, $def, $allowed, $help) = @_;
	my $value = $argument{$type};
	if ($type eq 'WORD') {
		my ($list) = $allowed =~ /^(?:WORDS\()?(\w+)\)?$/;
		$value = join ' | ', @{$words->{$list}};
	}
	$value =~ s/^\.//;
	my $text = '.It Cm ' . string($name) . " No = $value\n";
	$text .= s/\.\s+(?=[A-Z"])/.\n/gr . "\n" for string($help);
	$def = string($def);
	my @facts;
	push @facts, $def eq '' ? 'Default: empty' : "Default: $def"
	    if defined $def;
	push @facts, "from $1 to $2"
	    if $allowed =~ /^RANGE\("(.*)", "(.*)"\)$/;
	$text .= join('; ', @facts) . ".\n" if @facts;
	return $text;
}

sub settings
{
	my %words = words();
	my ($text, $open) = ('', 0);
	for my $row (rows()) {
		if (@$row == 1) {
			$text .= ".El\n" if $open;
			$open = 0;
			$text .= ".Ss $row->[0]\n" =~ s/"/\\(dq/gr;
			next;
		}
		$text .= ".Bl -tag -width Ds\n" unless $open++;
		$text .= item(\%words, @$row);
	}
	return "$text.El\n";
}

my $old = slurp($page);
my $new = settings();
$old =~ s/^(\.\\" settings: .*?\n).*?^(\.\\" end of settings\n)/$1$new$2/ms
    or die "$page: no marks\n";
if (@ARGV && $ARGV[0] eq '-i') {
	open my $out, '>', $page or die "$page: $!";
	print $out $old;
} else {
	print $old;
}
