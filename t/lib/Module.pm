# Module - a filter from a shared object, built as an administrator would build
# it: with the installed headers, and nothing else of ours.
#
#	my $so = Module::build('t/module/script.c');
#	my $proxy = Proxy->start(Module::script(\@says, …), …);
package Module;

use strict;
use warnings;
use Cwd qw(abs_path getcwd);
use File::Temp qw(tempdir);
use Run;

my $dir = tempdir(CLEANUP => 1);
my %built;

# Where "make install" puts the headers.
sub headers
{
	my $include = "$dir/usr/local/include/vratar";

	return $include if -d $include;
	my ($status, $said) = Run::run(\60, 'make', '-s', 'install-headers',
	    "DESTDIR=$dir", 'PREFIX=/usr/local');
	die "make install-headers: $said" if $status;
	return $include;
}

# The path of the shared object; dies with what the compiler said. defines:
# FILTER_ABI=99 and the like.
sub build
{
	my ($source, @defines) = @_;
	my $key = join ' ', $source, @defines;
	my $name = keys(%built) . '.so';

	return $built{$key} if $built{$key};
	my ($status, $said) = Run::run(\60, $ENV{CC} || 'cc', '-shared',
	    '-fPIC', '-Wall', '-Wextra', '-Werror', '-D_GNU_SOURCE',
	    (map { "-D$_" } @defines), '-I' . headers(), '-o', "$dir/$name",
	    $source);
	die "$source does not compile:\n$said" if $status;
	return $built{$key} = "$dir/$name";
}

# Options for Proxy->start: a filter "script" that says this. more: other rows
# of its block.
sub script
{
	my ($says, %more) = @_;
	my $so = build('t/module/script.c');
	my $rows = join ', ', map { "\"$_\"" } @$says;

	return (
		listen => { chain => ['script'] },
		extra => "load-module = { \"$so\" }\n" .
		    "filter \"script\" {\n\ttype = \"script\"\n" .
		    "\tsays = { $rows }\n" .
		    join('', map { "\t$_ = \"$more{$_}\"\n" } sort keys %more) .
		    "}\n",
	);
}

1;
