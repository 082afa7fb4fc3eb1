#!/usr/bin/perl
# An address is read strictly, and the backend gets our own spelling of it:
# nobody can read it in two ways.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my $mta   = Backend->start;
my $proxy = Proxy->start(backend => $mta->address,
    set => { 'error-limit' => 100_000, 'junk-command-limit' => 100_000 });
my $c = $proxy->client;

$c->hello;

my $long_local  = 'l' x 64;
my $long_domain = join '.', ('d' x 63) x 2, 'd' x 49, 'example';

# what the client writes => what the backend gets
my %valid = (
	'<b@example.com>' => '<b@example.com>',
	'<B.c+d@EXAMPLE.com>' => '<B.c+d@EXAMPLE.com>',
	'<"b"@example.com>' => '<b@example.com>',
	'<"b c"@example.com>' => '<"b c"@example.com>',
	'<"b\"c"@example.com>' => '<"b\"c"@example.com>',
	'<"\b"@example.com>' => '<b@example.com>',
	'<"a@b"@example.com>' => '<"a@b"@example.com>',
	'<"<>"@example.com>' => '<"<>"@example.com>',
	'<@r1.example,@r2.example:b@example.com>' => '<b@example.com>',
	"<!#\$%&'*+-/=?^_`{|}~\@example.com>" =>
	    "<!#\$%&'*+-/=?^_`{|}~\@example.com>",
	'<b@[192.0.2.1]>' => '<b@[192.0.2.1]>',
	'<b@[IPv6:2001:db8::1]>' => '<b@[IPv6:2001:db8::1]>',
	"<$long_local\@example.com>" => "<$long_local\@example.com>",
	"<b\@$long_domain>" => "<b\@$long_domain>",
	'<b@x>' => '<b@x>',
	'<Postmaster>' => '<Postmaster>',
);

# The same for MAIL and RCPT.
my @invalid = (
	'', 'b@example.com', '<b@example.com', 'b@example.com>', '<<b@x>>',
	'<b@>', '<@example.com>', '<b@@example.com>', '<b@c@example.com>',
	'<.b@example.com>', '<b.@example.com>', '<b..c@example.com>',
	'<b c@example.com>', '<b@exam ple.com>', '<"b@example.com>',
	'<b"c@example.com>', '<"b"c@example.com>', '<b@-example.com>',
	'<b@example-.com>', '<b@.example.com>', '<b@example..com>',
	'<b@exa_mple!.com>', '<b@[192.0.2.256]>', '<b@[192.0.2.1>',
	'<b@[IPv6:1::2::3]>', '<b@[IPv6:xyz]>', '<b(comment)@example.com>',
	'<b@example.com>x', '<b@example.com><c@example.com>',
	'<b@example.com>,<c@example.com>', '<@r1.example b@example.com>',
	"<$long_local" . 'l@example.com>', "<b\@d$long_domain>",
	'<b@' . 'd' x 64 . '.example>', "<\344\@example.com>",
	'<"' . "\\\"" x 64 . '"@example.com>',
);

subtest 'valid recipients' => sub {
	for my $path (sort keys %valid) {
		$mta->forget;
		$c->send('RSET', 'MAIL FROM:<a@example.org>', "RCPT TO:$path");
		$c->expect(qr/^250 /) for 1 .. 2;
		$c->expect(qr/^250 2\.1\.5/, $path);
		is(($mta->commands(qr/^RCPT/))[-1], "RCPT TO:$valid{$path}",
		    'canonical');
	}
};

subtest 'valid senders' => sub {
	for my $path (sort grep { !/Postmaster/ } keys %valid) {
		$mta->forget;
		$c->send('RSET', "MAIL FROM:$path", 'RCPT TO:<b@example.com>');
		$c->expect(qr/^250 /) for 1 .. 2;
		$c->expect(qr/^250 2\.1\.5/, $path);
		is(($mta->commands(qr/^MAIL/))[-1], "MAIL FROM:$valid{$path}",
		    'canonical');
	}
	$c->send('RSET', 'mail from:<>', 'rcpt to:<b@example.com>');
	$c->expect(qr/^250 /, 'the null sender') for 1 .. 3;
	is(($mta->commands(qr/^MAIL/))[-1], 'MAIL FROM:<>', 'as it is');
};

subtest 'invalid' => sub {
	$mta->forget;
	for my $path (@invalid) {
		my $name = length $path > 60 ? substr($path, 0, 57) . '...' :
		    $path;
		$c->send('RSET', "MAIL FROM:$path", 'MAIL FROM:<a@example.org>',
		    "RCPT TO:$path");
		$c->expect(qr/^250 /);
		$c->expect(qr/^5\d\d 5\.(?:1\.7|5\.[24]|6\.7)/,
		    "sender $name");
		$c->expect(qr/^250 /);
		$c->expect(qr/^5\d\d 5\.(?:1\.3|5\.[24]|6\.7)/,
		    "recipient $name");
	}
	is(join(' ', $mta->commands(qr/^(?:MAIL|RCPT)/)), '',
	    'the backend heard of none');
	$c->send('RSET', 'MAIL FROM:<a@example.org>', 'RCPT TO:<>');
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^501 5\.1\.3/, 'no null recipient');
};

subtest 'the exact codes' => sub {
	$c->send('RSET', 'MAIL FROM:<a b@example.org>',
	    'MAIL FROM:<a@example.org>', 'RCPT TO:<a..b@example.com>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^501 5\.1\.7 /, 'sender');
	$c->expect(qr/^250 /);
	$c->expect(qr/^501 5\.1\.3 /, 'recipient');
};

subtest 'spaces' => sub {
	my @spaced = ('MAIL FROM: <a@example.org>',
	    'MAIL FROM :<a@example.org>', 'MAIL  FROM:<a@example.org>');
	for my $line (@spaced[0, 1]) {
		$c->send('RSET', $line);
		$c->expect(qr/^250 /);
		$c->expect(qr/^501 5\./, "strict: $line");
	}
	my $p = Proxy->start(backend => $mta->address,
	    set => { 'lenient-paths' => 'true' });
	my $d = $p->client;
	$d->hello;
	$d->send($spaced[0], 'RCPT TO: <b@example.com>');
	$d->expect(qr/^250 /, "lenient: $spaced[0]");
	$d->expect(qr/^250 /, 'and at RCPT');
	is(($mta->commands(qr/^MAIL/))[-1], 'MAIL FROM:<a@example.org>',
	    'the backend gets the strict form');
	$d->send('RSET', 'MAIL FROM:<.a@example.org>', 'RCPT TO:<b..c@x.example>');
	$d->expect(qr/^250 /, 'lenient: odd dots') for 1 .. 3;
	is(($mta->commands(qr/^MAIL/))[-1], 'MAIL FROM:<".a"@example.org>',
	    'a sender with them');
	is(($mta->commands(qr/^RCPT/))[-1], 'RCPT TO:<"b..c"@x.example>',
	    'a recipient');
};

subtest 'SMTPUTF8' => sub {
	my $utf8 = "d\303\274rer\@b\303\274cher.example";

	$mta->forget;
	$c->send('RSET', "MAIL FROM:<$utf8>");
	$c->expect(qr/^250 /);
	$c->expect(qr/^55[03] 5\.6\.7/, 'a sender without the parameter');
	$c->send('MAIL FROM:<a@example.org>', "RCPT TO:<$utf8>");
	$c->expect(qr/^250 /);
	$c->expect(qr/^55[03] 5\.6\.7/, 'a recipient without it');
	is(scalar $mta->commands(qr/[\200-\377]/), 0, 'not forwarded');
	$c->send('RSET', "MAIL FROM:<$utf8> SMTPUTF8", "RCPT TO:<$utf8>");
	$c->expect(qr/^250 /);
	$c->expect(qr/^250 /, 'with it') for 1 .. 2;
	is_deeply([$mta->commands(qr/^(?:MAIL|RCPT)/)],
	    ["MAIL FROM:<$utf8> SMTPUTF8", "RCPT TO:<$utf8>"], 'forwarded');
	for my $bad ("\300\200", "\355\240\200", "\303", "\370\210\200\200\200",
	    "\302\205", "\364\220\200\200") {
		$c->send('RSET', "MAIL FROM:<a$bad\@example.org> SMTPUTF8");
		$c->expect(qr/^250 /);
		$c->expect(qr/^501 5\./, 'bad UTF-8 ' . unpack 'H*', $bad);
	}
	$c->send('RSET', "MAIL FROM:<a\@\342\200\213.example> SMTPUTF8");
	$c->expect(qr/^250 /);
	$c->expect(qr/^501 5\.1\.7/, 'no domain of IDNA');
};

done_testing;
