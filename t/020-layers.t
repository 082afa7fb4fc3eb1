#!/usr/bin/perl
# The arrows in the README point one way: no file includes a layer above it.
use strict;
use warnings;
use Test::More;

my %may_include = (
	'proxy/base' => [qw(base)],
	'proxy/smtp' => [qw(base smtp)],
	'rules'      => [qw(base rules)],
	'filters'    => [qw(base smtp rules filters)],
	'proxy'      => [qw(base smtp rules filters proxy)],
);

# The layers that these lines include and a file of this layer must not.
sub upwards
{
	my ($layer, @lines) = @_;
	my %ok = map { $_ => 1 } @{ $may_include{$layer} };
	return grep { !$ok{$_} } map { m{^\s*#\s*include\s+"(?:proxy/)?(base|smtp)/}
	    ? $1 : m{^\s*#\s*include\s+"(\w+)/} ? $1 : () } @lines;
}

is_deeply([upwards('proxy/smtp', qq(#include "proxy/conn.h"\n))], ['proxy'],
    'an arrow upwards is seen');
is_deeply([upwards('rules', qq(#include "smtp/dot.h"\n))], ['smtp'],
    'so is one to the side');
is_deeply([upwards('proxy/base', qq(#include "base/mem.h"\n),
    qq(#include <event2/event.h>\n))], [], 'its own layer is no arrow');

for my $layer (sort keys %may_include) {
	for my $file (glob "$layer/*.[ch] $layer/*.def") {
		next if $file =~ /\*/;
		open my $in, '<', $file or die "$file: $!";
		is(join(' ', upwards($layer, <$in>)), '',
		    "$file stays within @{$may_include{$layer}}");
	}
}

# What waits for peers is in proxy/ and proxy/base/; the rest is pure.
for my $file (glob 'proxy/smtp/*.[ch] rules/*.[ch]') {
	open my $in, '<', $file or die "$file: $!";
	my @io = grep { m{^#include <(event2/|poll\.h|netdb\.h)} } <$in>;
	is("@io", '', "$file waits for nobody");
}
done_testing;
