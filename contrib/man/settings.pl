#!/usr/bin/perl
# The settings in vratar.conf(5), made from proxy/conf.def and, for the types of
# filters, from the rows in filters/*.c:
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
	for my $file (glob "$top/filters/*.c") {
		my $text = slurp($file);
		while ($text =~ /^(?:static )?const char \*const (\w+)\[\] = \{(.*?)\};/msg) {
			my ($name, $in) = ($1, $2);
			$words{$name} = [$in =~ /"([^"]*)"/g];
		}
	}
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

# A macro with rows that several filters have, PEERS_SETTINGS and the like, as
# the function of its arguments.
sub shared_rows
{
	my %shared;

	for my $file (glob "$top/filters/*.h") {
		(my $text = slurp($file)) =~ s/\s*\\\n/ /g;
		while ($text =~ /^#define (\w+_SETTINGS)\(([^)]*)\)(.*)$/mg) {
			$shared{$1} = [$3, split /,\s*/, $2];
		}
	}
	return %shared;
}

# The rows of one type of filter, as rows() has them.
sub filter_rows
{
	my ($file) = @_;
	my ($text) = slurp($file) =~
	    /^static const struct setting \w+\[\] = \{(.*?)^\};/ms or return;
	my %shared = shared_rows();
	my $args = qr/(\((?:[^()"]|"(?:[^"\\]|\\.)*"|(?-1))*\))/;
	my @rows;

	1 while $text =~ s{(\w+_SETTINGS)$args}{
		my ($body, @names) = @{$shared{$1}};
		my @values = arguments(substr $2, 1, -1);
		for my $i (0 .. $#names) {
			$body =~ s/\b\Q$names[$i]\E(?!\w)/$values[$i]/g;
		}
		$body;
	}gex;
	while ($text =~ /\bSETTING$args/g) {
		my (undef, $member, $name, $type, @more) =
		    arguments(substr $1, 1, -1);
		my %o = map { /^\.(\w+)\s*=\s*(.*)/s } @more;
		my $allowed = $o{words} ? "WORDS($o{words})" : $o{min} ?
		    "RANGE($o{min}, $o{max})" : 'ANY';
		push @rows, [$member, $name, $type, $o{def} // 'NULL', $allowed,
		    $o{help}];
	}
	return @rows;
}

# A section for each type that is compiled in.
sub filter_sections
{
	my ($words) = @_;
	my $text = '';

	for my $type (slurp("$top/filters/filters.c") =~ /^\t&filter_(\w+),/mg) {
		my @rows = filter_rows("$top/filters/$type.c");
		$text .= ".Ss filter \\(dqNAME\\(dq of type $type\n" .
		    ".Bl -tag -width Ds\n" .
		    join('', map { item($words, @$_) } @rows) . ".El\n"
		    if @rows;
	}
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
	return "$text.El\n" . filter_sections(\%words);
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
