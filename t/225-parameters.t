#!/usr/bin/perl
# Every parameter of an extension that the backend has reaches it as the
# client wrote it; without the extension it is refused.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Cert;
use Proxy;

my @all = ('PIPELINING', 'SIZE 10240000', 'ENHANCEDSTATUSCODES', '8BITMIME',
    'SMTPUTF8', 'DSN', 'CHUNKING', 'REQUIRETLS', 'DELIVERBY 240',
    'MT-PRIORITY MIXER', 'LIMITS RCPTMAX=500', 'AUTH PLAIN', 'BINARYMIME');

# keyword, command, parameters that are taken, parameters that are bad
my @row = (
	['SIZE', 'MAIL', ['SIZE=1000', 'size=0', 'SIZE=00001000'],
	    ['SIZE=', 'SIZE', 'SIZE=x', 'SIZE=-1', 'SIZE=1 SIZE=2']],
	['8BITMIME', 'MAIL', ['BODY=8BITMIME', 'BODY=7BIT', 'body=8bitmime'],
	    ['BODY=', 'BODY=9BIT', 'BODY', 'BODY=7BIT BODY=7BIT']],
	['SMTPUTF8', 'MAIL', ['SMTPUTF8', 'SMTPUTF8 BODY=8BITMIME'],
	    ['SMTPUTF8=yes', 'SMTPUTF8 SMTPUTF8']],
	['DSN', 'MAIL', ['RET=FULL', 'RET=hdrs', 'ENVID=QQ314159',
	    'RET=FULL ENVID=a+2Bb+3D', 'ENVID=' . 'x' x 100],
	    ['RET=', 'RET=HALF', 'ENVID=', 'ENVID=a+b', 'ENVID=a+2',
	    'ENVID=' . 'x' x 101, 'RET=FULL RET=FULL']],
	['DSN', 'RCPT', ['NOTIFY=NEVER', 'NOTIFY=SUCCESS,FAILURE,DELAY',
	    'notify=success', 'ORCPT=rfc822;a+2Bb@example.com',
	    'NOTIFY=FAILURE ORCPT=rfc822;x@y.example'],
	    ['NOTIFY=', 'NOTIFY=NEVER,SUCCESS', 'NOTIFY=MAYBE', 'ORCPT=',
	    'ORCPT=a@example.com', 'ORCPT=rfc822;a+b',
	    'ORCPT=rfc822;' . 'x' x 494, 'NOTIFY=NEVER NOTIFY=NEVER']],
	['DELIVERBY', 'MAIL', ['BY=240;R', 'BY=-120;NT', 'BY=1000;NT'],
	    ['BY=', 'BY=x;R', 'BY=240', 'BY=240;X']],
	['MT-PRIORITY', 'MAIL', ['MT-PRIORITY=3', 'MT-PRIORITY=-9'],
	    ['MT-PRIORITY=10', 'MT-PRIORITY=', 'MT-PRIORITY=x']],
	['REQUIRETLS', 'MAIL', ['REQUIRETLS'], ['REQUIRETLS=yes']],
	['AUTH', 'MAIL', ['AUTH=<>', 'AUTH=a+2Bb@example.com'],
	    ['AUTH=', 'AUTH=a+b@example.com', 'AUTH']],
);

# Open a session over TLS, where everything may be offered.
sub tls_client
{
	my ($proxy) = @_;
	my $c = $proxy->client;

	$c->hello;
	$c->starttls;
	$c->hello;
	return $c;
}

sub start
{
	my (@ext) = @_;
	my $mta = Backend->start(extensions => [@ext]);

	return ($mta, Proxy->start(backend => $mta->address,
	    tls => Cert->shared, set => { 'error-limit' => 10_000,
	    'junk-command-limit' => 10_000 }));
}

my ($mta, $proxy) = start(@all);
my $c = tls_client($proxy);

is(join(' ', sort grep { !/STARTTLS|XCLIENT/ } keys %{$c->{ext}}),
    join(' ', sort map { /(\S+)/ } @all), 'all of them are offered');
is($c->{ext}{LIMITS}, 'RCPTMAX=100', 'LIMITS is the smaller of both');
like($c->{ext}{DELIVERBY}, qr/^240$/, 'DELIVERBY with its minimum');
is($c->{ext}{'MT-PRIORITY'}, 'MIXER', 'MT-PRIORITY with its profile');
is($c->{ext}{SIZE}, 10_240_000, "SIZE is the backend's");

for (@row) {
	my ($keyword, $verb, $good, $bad) = @$_;

	subtest "$keyword at $verb" => sub {
		for my $param (@$good) {
			my $mail = 'MAIL FROM:<a@example.org>';
			my $rcpt = 'RCPT TO:<b@example.com>';
			($verb eq 'MAIL' ? $mail : $rcpt) .= " $param";
			$mta->forget;
			$c->send('RSET', $mail, $rcpt);
			$c->expect(qr/^250 /) for 1 .. 2;
			$c->expect(qr/^250 2\.1\.5/, $param);
			is(($mta->commands(qr/^$verb/))[-1],
			    $verb eq 'MAIL' ? $mail : $rcpt, 'verbatim');
		}
		for my $param (@$bad) {
			$mta->forget;
			$c->send('RSET', 'MAIL FROM:<a@example.org>' .
			    ($verb eq 'MAIL' ? " $param" : ''),
			    'RCPT TO:<b@example.com> ' . ($verb eq 'RCPT' ?
			    $param : ''), 'NOOP');
			$c->expect(qr/^250 /);
			$verb eq 'MAIL' ?
			    $c->expect(qr/^501 5\.5\.4|^555 5\.5\.4/, $param) :
			    $c->expect(qr/^250 /);
			$verb eq 'MAIL' ? $c->expect(qr/^503 /) :
			    $c->expect(qr/^501 5\.5\.4|^555 5\.5\.4/, $param);
			$c->expect(qr/^250 /);
			is(scalar $mta->commands(qr/\Q$param\E$/), 0,
			    'the backend never hears of it');
		}
	};
}

subtest 'what no extension has' => sub {
	for my $param ('X=1', 'FOO', 'SIZEX=1', 'XSIZE=1', '=1', 'A==',
	    'BODY8BITMIME', 'NOTIFY=NEVER', "X=\344") {
		$c->send('RSET', "MAIL FROM:<a\@example.org> $param");
		$c->expect(qr/^250 /);
		$c->expect(qr/^5(?:55|01) 5\.5\.[24]/, "MAIL $param");
	}
	for my $param ('X=1', 'SIZE=1', 'BODY=7BIT', 'SMTPUTF8') {
		$c->send('RSET', 'MAIL FROM:<a@example.org>',
		    "RCPT TO:<b\@example.com> $param");
		$c->expect(qr/^250 /) for 1 .. 2;
		$c->expect(qr/^5(?:55|01) 5\.5\.4/, "RCPT $param");
	}
};

subtest 'all in one line' => sub {
	my $mail = 'MAIL FROM:<a@example.org> SIZE=1000 BODY=8BITMIME ' .
	    'SMTPUTF8 RET=HDRS ENVID=' . 'e' x 100 . ' BY=300;R ' .
	    'MT-PRIORITY=1 REQUIRETLS AUTH=<>';
	my $rcpt = 'RCPT TO:<b@example.com> NOTIFY=SUCCESS,FAILURE,DELAY ' .
	    'ORCPT=rfc822;' . 'o' x 493;

	$mta->forget;
	$c->send('RSET', $mail, $rcpt);
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->expect(qr/^250 2\.1\.5/, 'accepted');
	is_deeply([$mta->commands(qr/^(?:MAIL|RCPT)/)], [$mail, $rcpt],
	    'verbatim and in order');
	$c->message("x\r\n");
	$c->expect(qr/^250 /);
};

subtest 'not offered when the backend has it not' => sub {
	my ($mta2, $proxy2) = start('PIPELINING');
	my $d = tls_client($proxy2);

	is(join(' ', sort keys %{$d->{ext}}),
	    'CHUNKING ENHANCEDSTATUSCODES PIPELINING SIZE',
	    'what needs no backend');
	for (@row) {
		my ($keyword, $verb, $good) = @$_;
		# SIZE is our own; it needs no backend.
		next if $keyword eq 'SIZE';
		for my $param (@$good) {
			$d->send('RSET', 'MAIL FROM:<a@example.org>' .
			    ($verb eq 'MAIL' ? " $param" : ''));
			$d->expect(qr/^250 /);
			$d->expect($verb eq 'MAIL' ? qr/^555 5\.5\.4/ :
			    qr/^250 /, $param);
			next if $verb eq 'MAIL';
			$d->send("RCPT TO:<b\@example.com> $param");
			$d->expect(qr/^555 5\.5\.4/, $param);
		}
	}
	is(scalar $mta2->commands(qr/^(?:MAIL|RCPT)/), 0,
	    'the backend heard nothing');
	$d->send('RSET', 'MAIL FROM:<a@example.org> SIZE=100',
	    'RCPT TO:<b@example.com>');
	$d->expect(qr/^250 /) for 1 .. 3;
	is(($mta2->commands(qr/^MAIL/))[-1], 'MAIL FROM:<a@example.org>',
	    'SIZE stays with us');
};

subtest 'SMTPUTF8 only together with 8BITMIME' => sub {
	for my $ext ('SMTPUTF8', '8BITMIME') {
		my (undef, $p) = start('PIPELINING', $ext);
		my $offered = $p->client->hello;
		ok(!exists $offered->{SMTPUTF8}, "not with $ext alone");
	}
};

subtest 'REQUIRETLS only over TLS' => sub {
	my $d = $proxy->client;

	ok(!exists $d->hello->{REQUIRETLS}, 'not in plain text');
	$d->send('MAIL FROM:<a@example.org> REQUIRETLS');
	$d->expect(qr/^5(?:55|30|01) /, 'nor accepted');
};

subtest 'unknown keywords are dropped' => sub {
	my (undef, $p) = start('PIPELINING', 'XEXCH50', 'X-EXPS GSSAPI NTLM',
	    'ETRN', 'VRFY', 'EXPN', 'XFOO bar', 'XCLIENT NAME ADDR',
	    'XFORWARD NAME', 'BURL imap', 'STARTTLS');
	my $d = $p->client;

	# We have a certificate, so STARTTLS is ours.
	is(join(' ', sort keys %{$d->hello}),
	    'CHUNKING ENHANCEDSTATUSCODES PIPELINING SIZE STARTTLS',
	    'an allow-list');
};

subtest 'SIZE' => sub {
	$c->send('RSET', 'MAIL FROM:<a@example.org> SIZE=10240001',
	    'MAIL FROM:<a@example.org> SIZE=99999999999999999999',
	    'MAIL FROM:<a@example.org> SIZE=123456789012345678901',
	    'MAIL FROM:<a@example.org> SIZE=10240000');
	$c->expect(qr/^250 /);
	$c->expect(qr/^552 5\.3\.4/, 'declared too big');
	$c->expect(qr/^552 5\.3\.4/, 'by far');
	$c->expect(qr/^5(?:52|01) 5\./, 'more digits than the grammar has');
	$c->expect(qr/^250 /, 'exactly the limit');
};

done_testing;
