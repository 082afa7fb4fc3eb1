#!/usr/bin/perl
# "vratar check" says nothing about the examples, and everything about a file
# with many mistakes: each one in one run, at its place, and exit status 2.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use Cert;
use Run;

my $vratar = $ENV{VRATAR} || './vratar';
my $dir    = tempdir(CLEANUP => 1);
my $cert   = Cert->shared;

sub slurp
{
	my ($file) = @_;
	open my $in, '<', $file or die "$file: $!";
	local $/;
	return scalar <$in>;
}

# A file in our directory. Returns its path.
sub spew
{
	my ($name, $text) = @_;
	open my $out, '>', "$dir/$name" or die "$dir/$name: $!";
	print $out $text;
	close $out or die "$dir/$name: $!";
	return "$dir/$name";
}

# Exit status and what it said.
sub check
{
	my ($status, $said) = Run::run($vratar, 'check', @_);
	return ($status >> 8, $said);
}

# What a machine of example.org has and this one has not.
sub localized
{
	my ($text) = @_;
	my $me = getpwuid $<;
	my ($pem, $key, $ca) = ($cert->cert, $cert->key, $cert->ca);

	$text =~ s,/etc/ssl/ca\.pem,$ca,g;
	$text =~ s,/etc/ssl/\w+\.pem,$pem,g;
	$text =~ s,/etc/ssl/\w+\.key,$key,g;
	$text =~ s,/etc/(?:postfix|vratar)/,$dir/,g;
	$text =~ s,"vratar","$me",g;
	return $text;
}

spew('relay_recipients', "joe\@example.org OK\n");
spew($_, localized(slurp("contrib/examples/$_")))
    for qw(postfix-front.rules bad_clients.cidr verified.rules leaving.rules marking.rules);
my @examples = glob 'contrib/examples/*.conf';
cmp_ok(scalar @examples, '>=', 3, "examples: @examples");
for my $example (@examples) {
	my $text = localized(slurp($example));
	my $file = spew('example.conf', $text);
	my @how = ($text =~ /(--milter)\b/, '-c', $file);
	is_deeply([check(@how)], [0, ''], "$example is good");
	# The same file must be able to fail.
	spew('example.conf', "$text\nclient-timeot = 1");
	is((check(@how))[0], 2, '  and not with one more line');
}

# Mistakes of every kind; the text behind "#!" is what is expected.
my $file = spew('bad.conf', <<'END');
hostname = "mx_1"	#! hostname: "mx_1" is not a host name (try mx1.example.org)
client-timeout = "5x"	#! client-timeout: "5x" is not a duration (try 300s, 5m)
client-timeot = 3m	#! unknown setting "client-timeot" (did you mean "client-timeout"?)
relay-domain = { "a.example",	#! unknown setting "relay-domain" (did you mean "relay-domains"?)
    "b.example" }
/* a comment of
   two lines */ workers = 9999	#! workers: "9999" is more than 1024
line-endings = pass	#! line-endings: "pass" is not one of "reject", "normalize"
plugh "x" { a = 1 b = { 2, 3 } c { d = 4 } }	#! unknown setting "plugh"
include("more.conf")
recipients = "texthash:/nonexistent"	#! recipients: /nonexistent: No such file or directory
listen "0.0.0.0:25" {
	startls = required	#! unknown setting "startls" in "listen" (did you mean "starttls"?)
	tls = implicit	#! tls: "implicit" needs tls-certificate
	chain = { "policy", "spam" }	#! chain: there is no filter "spam"
	accept-proxy-from = { "10.0.0.0/8",
	    "10.0.0.1/8" }	#! accept-proxy-from: "10.0.0.1/8" is no network: host bits set
}
listen "unix:/run/x" {
	tls-certificate = "/nonexistent.pem"	#! cannot read certificate /nonexistent.pem: No such file or directory
}
backend "postfix" {
	address = { "127.0.0.1:10025", "mx" }	#! address: "mx": mx is not available in this version
	identity = "none"	#! backend "postfix" would be an open relay: set relay-domains, or identity = "xclient"
}
backend "us" {
	address = { "127.0.0.3:25",	#! address: "127.0.0.3:25" is where we listen ourselves
	    "192.0.2.1:25", "127.0.0.3:26", "[::1]:25", "0.0.0.0:25" }	#! address: "0.0.0.0:25" is where we listen ourselves
}
backend "far" {	#! backend "far" has no address
	identity = "tproxy"	#! identity: "tproxy" is not available in this version
}
route "*" { backend = "postfx" }	#! backend: there is no backend "postfx" (did you mean "postfix"?)
filter "policy" { type = "polcy" file = "x" }	#! type: there is no filter type "polcy" (did you mean "policy"?)
END
spew('more.conf', <<'END');
# included
nul = maybe	#! nul: "maybe" is not one of "reject", "accept"
END

# The same with their places, in order; the included file stands in the middle.
sub expected
{
	my ($name) = @_;
	my (@want, $line);
	for (split /\n/, slurp("$dir/$name")) {
		$line++;
		push @want, expected($1) if /^include\("(.*)"\)/;
		push @want, "$dir/$name:$line: $1" if /#! (.*)/;
	}
	return @want;
}

my ($status, $said) = check('-c', $file);
is($status, 2, 'mistakes: exit status 2');
is_deeply([split /\n/, $said], [expected('bad.conf')],
    'all of them, in order');

# Options have mistakes as well.
is_deeply([check('--listen', '127.0.0.1:0', '--backend', '127.0.0.1:25',
    '--hostname', 'mx.example.org')], [0, ''], 'options need no file');
($status, $said) = check('--listen', '127.0.0.1:0', '--backend',
    '127.0.0.1:25', '--hostname', 'mx.example.org', '--identity', 'none');
is_deeply([$status, $said], [2, '--identity: backend "backend" would be an '
    . "open relay: set relay-domains, or identity = \"xclient\"\n"],
    'identity none is no accident');
is_deeply([check('--listen', '127.0.0.1:0', '--backend', '127.0.0.1:25',
    '--hostname', 'mx.example.org', '--identity', 'none',
    '--relay-domains', 'example.org')], [0, ''],
    'and fine with relay-domains');

# A filter that is written down and never asked is a policy that does nothing.
my $idle = spew('idle.conf', <<"END");
listen "127.0.0.1:0" { chain = { "used" } }
listen "127.0.0.2:0" { }
backend "b" { address = "127.0.0.1:25" }
filter "used" { type = "policy" file = "$dir/empty.rules" }

filter "idle" { type = "policy" file = "$dir/empty.rules" }
END
spew('empty.rules', '');
is_deeply([check('-c', $idle)], [0, "$idle:6: warning: filter \"idle\" is in "
    . "the chain of no listener: nobody asks it\n"], 'a filter without a chain');
like((check('-c', $idle, '--listen', '127.0.0.1:0'))[1],
    qr/:4: warning: filter "used" is in .*\n.*:6: warning: filter "idle" is/,
    '--listen takes the place of listeners and their chains');
is_deeply([check('-c', $idle, '--policy', "$dir/empty.rules")], [0, ''],
    '--policy takes the place of filters');
is_deeply([check('-c', "$dir/none.conf")],
    [2, "$dir/none.conf: No such file or directory\n"], 'no file');
is((check('--help'))[0], 0, '--help');
done_testing;
