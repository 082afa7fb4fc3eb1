#!/usr/bin/perl
# Who may be written to: a recipient that is not in the table, or not in one of
# our domains, is refused by us, and the backend never hears of it.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my $mta = Backend->start;

# A table in the words of Postfix, in a file of the proxy's directory.
sub start
{
	my ($table, %set) = @_;
	my $file = File::Temp->new(SUFFIX => '.table');

	print $file $table;
	close $file;
	my $p = Proxy->start(backend => $mta->address, set => {
		'relay-domains' => ['example.com', '.sub.example'],
		recipients => "texthash:$file", 'error-limit' => 10_000,
		'junk-command-limit' => 10_000, %set });
	$p->{table} = $file;
	return $p;
}

# Try recipients in one transaction: address => start of the reply.
sub try
{
	my ($c, @row) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->send('RSET', 'MAIL FROM:<a@example.org>');
	$c->expect(qr/^250 /) for 1 .. 2;
	while (my ($to, $reply) = splice @row, 0, 2) {
		my $before = () = $mta->commands(qr/^RCPT/);
		$c->send("RCPT TO:<$to>");
		$c->expect(qr/^\Q$reply\E/, $to);
		my $heard = $mta->commands(qr/^RCPT/) - $before;
		is($heard, $reply =~ /^2/ ? 1 : 0,
		    $heard ? 'forwarded' : 'the backend never hears of it');
	}
}

my $good    = '250 2.1.5';
my $unknown = '550 5.1.1';
my $relay   = '550 5.7.1';

subtest 'recipients' => sub {
	my $p = start("# ours\nAlice\@example.com  x\nbob\@example.com x\n" .
	    "\@all.sub.example OK\n\"odd one\"\@example.com x\n");
	my $c = $p->client;

	$c->hello;
	try($c,
	    'alice@example.com' => $good, 'ALICE@Example.COM' => $good,
	    'bob@example.com' => $good, 'nobody@example.com' => $unknown,
	    'alice@example.net' => $relay, 'x@all.sub.example' => $good,
	    'x@other.sub.example' => $unknown, 'alice+x@example.com' =>
	    $unknown, 'x@sub.example' => $relay, 'al@example.com' => $unknown,
	    'alice@example.com.evil.example' => $relay,
	    'alice%example.net@example.com' => $relay,
	    'alice@notexample.com' => $relay);
	$c->message("x\r\n");
	$c->expect(qr/^250 /);
	is_deeply($mta->last->{rcpts}, ['<alice@example.com>',
	    '<ALICE@Example.COM>', '<bob@example.com>',
	    '<x@all.sub.example>'], 'the message goes to the known ones');
};

subtest 'postmaster and the null sender' => sub {
	my $p = start("alice\@example.com x\n");
	my $c = $p->client;

	$c->hello;
	try($c, 'postmaster@example.com' => $good,
	    'PostMaster@example.com' => $good, 'Postmaster' => $good,
	    '"postmaster"@x.sub.example' => $good,
	    'postmaster@example.net' => $relay);
	$c->send('RSET', 'MAIL FROM:<>', 'RCPT TO:<alice@example.com>',
	    'RCPT TO:<nobody@example.com>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^250 /, 'the null sender may write');
	$c->expect(qr/^\Q$good\E/);
	$c->expect(qr/^\Q$unknown\E/, 'but not to nobody');
};

subtest 'recipient-delimiter' => sub {
	my $p = start("alice\@example.com x\nbob+list\@example.com x\n",
	    'recipient-delimiter' => '+-');
	my $c = $p->client;

	$c->hello;
	try($c, 'alice+x@example.com' => $good, 'alice-x+y@example.com' =>
	    $good, 'bob+list@example.com' => $good, 'bob@example.com' =>
	    $unknown, 'bob+other@example.com' => $unknown,
	    '+alice@example.com' => $unknown);
};

subtest 'international domains are compared in ASCII' => sub {
	my $p = start("a\@xn--bcher-kva.example x\n",
	    'relay-domains' => ['xn--bcher-kva.example']);
	my $c = $p->client;

	$c->hello;
	$c->send('MAIL FROM:<x@example.org> SMTPUTF8',
	    "RCPT TO:<a\@b\303\274cher.example>",
	    "RCPT TO:<b\@b\303\274cher.example>",
	    'RCPT TO:<a@xn--bcher-kva.example>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^\Q$good\E/, 'U-label');
	$c->expect(qr/^\Q$unknown\E/, 'U-label, unknown');
	$c->expect(qr/^\Q$good\E/, 'A-label');
};

# Postfix sends these on to far.example, and trusts us if it knows no better.
subtest 'a route in the local part' => sub {
	my @routes = ('u%far.example', 'far.example!u', '"u@far.example"',
	    '"u%far.example"', '"far.example!u"', '"far.example\!u"', 'u%');
	my $p = start("\@example.com OK\n");
	my $c = $p->client;

	$c->hello;
	try($c, map({ ("$_\@example.com" => $relay) } @routes),
	    'u@example.com' => $good, '@far.example:u@example.com' => $good,
	    '@example.com:u@far.example' => $relay);
	$p = start("\@example.com OK\n", 'relay-domains' => ['*']);
	$c = $p->client;
	$c->hello;
	try($c, map { ("$_\@example.com" => $good) } @routes);
};

subtest 'relay-domains without recipients' => sub {
	my $p = Proxy->start(backend => $mta->address, set => {
		'relay-domains' => ['example.com'] });
	my $c = $p->client;

	$c->hello;
	try($c, 'any@example.com' => $good, 'any@example.net' => $relay,
	    'any@x.example.com' => $relay, 'any@[127.0.0.1]' => $relay,
	    '@example.com:any@example.net' => $relay);
};

subtest 'no domain at all' => sub {
	my $out = `$Proxy::PROGRAM check -c /nonexistent 2>&1`;

	isnt($?, 0, 'a configuration that is not there is a mistake');
	ok(!eval { Proxy->start(backend => $mta->address,
	    set => { 'relay-domains' => undef }) },
	    'identity none without relay-domains does not start');
	like($@, qr/relay-domains/, 'and says why');
};

subtest 'too many' => sub {
	my $p = Proxy->start(backend => $mta->address,
	    set => { 'recipient-limit' => 10 });
	my $c = $p->client;

	is($c->hello->{LIMITS} // 'RCPTMAX=10', 'RCPTMAX=10', 'announced');
	$c->send('MAIL FROM:<a@example.org>',
	    map { "RCPT TO:<u$_\@example.com>" } 1 .. 12);
	$c->expect(qr/^250 /) for 1 .. 11;
	$c->expect(qr/^452 4\.5\.3/, 'one too many') for 1 .. 2;
	$c->message("x\r\n");
	$c->expect(qr/^250 /, 'the others get it');
	is(scalar @{$mta->last->{rcpts}}, 10, 'ten');
};

done_testing;
