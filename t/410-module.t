#!/usr/bin/perl
# A filter of one's own: the example in contrib/, built with the installed
# headers, is loaded and does what it says; what cannot be loaded is a mistake.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Module;
use Proxy;
use Run;

my $source = 'contrib/examples/subject.c';
my $so = Module::build($source);
my $mta = Backend->start;

sub block
{
	my ($path, $rows) = @_;

	return "load-module = { \"$path\" }\n" .
	    "filter \"no-prizes\" { type = \"subject\" $rows }\n";
}

subtest 'it works' => sub {
	my $p = Proxy->start(backend => $mta->address,
	    listen => { chain => ['no-prizes'] },
	    extra => block($so, 'words = { "prize", "lottery" } reply = "no"'));
	my $c = $p->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->message("From: x\r\nSubject: you won the\r\n big PRIZE\r\n\r\nx\r\n");
	$c->expect(qr/^554 5\.7\.1 no$/, 'the word is found');
	$p->log_like(qr/decision .* at=header by=prize .*filter\.no-prizes=reject\@header,/,
	    'the record names it');
	$c->deliver('a@example.org', 'b@example.com',
	    "Subject: hello\r\n\r\nSubject: prize\r\n");
};

# Each configuration, and the mistake behind its place.
my @bad = (
	['its setup refuses', block($so, ''), qr/filter "no-prizes": it has no words/],
	['a setting it has not', block($so, 'wrds = { "x" }'),
	    qr/unknown setting "wrds" of a filter of type "subject" \(did you mean "words"\?\)/],
	['a list for one value', block($so, 'words = { "x" } reply = { "a", "b" }'),
	    qr/reply: one value, not a list/],
	['a bad common setting', block($so, 'words = { "x" } timeout = "soon"'),
	    qr/timeout: "soon" is not a duration/],
	['a bad direction', block($so, 'words = { "x" } on-failure = "continue"'),
	    qr/on-failure: "continue" is not one of "accept", "reject", "tempfail"/],
	['no such file', block('/nonexistent.so', 'words = { "x" }'),
	    qr{load-module: /nonexistent\.so: cannot open}],
	['no such type', "filter \"x\" { type = \"sbject\" }\n" .
	    block($so, 'words = { "x" }'),
	    qr/there is no filter type "sbject" \(did you mean "subject"\?\)/],
	['not in the chain', "load-module = { \"$so\" }\n",
	    qr/chain: there is no filter "no-prizes"/],
);
for my $row (@bad) {
	my ($name, $extra, $like) = @$row;
	my $p = Proxy->prepare(backend => $mta->address,
	    listen => { chain => ['no-prizes'] }, extra => $extra);
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c',
	    "$p->{dir}/vratar.conf");
	is($status >> 8, 2, "$name: a mistake");
	like($said, qr/vratar\.conf:\d+: .*$like/, '… with its place');
}

subtest 'a module of another version, or of nothing' => sub {
	my $tmp = File::Temp->newdir;
	my $write = sub {
		my ($name, $text) = @_;
		open my $out, '>', "$tmp/$name" or die;
		print $out $text;
		close $out;
		return "$tmp/$name";
	};
	my $old = Module::build($write->('old.c', "#include \"filters/filter.h\"\n" .
	    'const struct filter vratar_filter = { .abi = FILTER_ABI + 1, ' .
	    ".name = \"x\" };\n"));
	my $none = Module::build($write->('none.c', "extern int x; int x;\n"));
	my $text = $write->('text.so', "hello\n");
	my $twice = Module::build($write->('twice.c',
	    "#include \"filters/filter.h\"\n" .
	    'const struct filter vratar_filter = { .abi = FILTER_ABI, ' .
	    ".name = \"subject\" };\n"));

	for my $row ([$old, qr/is made for version \d+ of the filter interface, and this is version \d+/],
	    [$none, qr/does not export vratar_filter/],
	    [$text, qr/invalid ELF header|file too short/],
	    ["$so\", \"$twice", qr/there is one of that name already/]) {
		my $p = Proxy->prepare(backend => $mta->address,
		    extra => "load-module = { \"$row->[0]\" }\n");
		my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c',
		    "$p->{dir}/vratar.conf");
		is($status >> 8, 2, 'refused');
		like($said, qr/load-module: .*$row->[1]/, 'and why');
	}
};

done_testing;
