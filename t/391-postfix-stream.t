#!/usr/bin/perl
# A large message streamed to a real Postfix, by BDAT and by DATA, is delivered
# whole or, when it is refused or torn, not at all.
use strict;
use warnings;
use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use Test::More;
use Module;
use Postfix;
use Proxy;

for my $way ('BDAT', 'DATA') {
	subtest "by $way" => sub {
		my $postfix = Postfix->start(main => { $way eq 'BDAT' ? () :
		    (smtpd_discard_ehlo_keywords => 'chunking') }) or
		    plan skip_all => $Postfix::why;
		play($way, $postfix);
		$postfix->finish;
	};
}

sub large
{
	my ($id, $octets) = @_;

	return "Subject: $id\r\n\r\n" .
	    (".dot\r\n..\r\n" . 'x' x 500 . "\r\n") x ($octets / 512);
}

sub play
{
	my ($way, $postfix) = @_;
	my $proxy = Proxy->start(backend => $postfix->address,
	    Module::script(['eom bad@ reject']),
	    mta => { identity => 'auto' },
	    set => { 'hold-size' => '64K', 'error-limit' => 1000,
	    'log-level' => 'debug' });
	my $c = $proxy->client;

	$c->hello;
	$c->deliver('a@example.org', 'alice@example.com',
	    large('whole', 1_500_000));
	ok(scalar $proxy->log(qr/stream by=$way/), "streamed by $way");
	my $mail = $postfix->wait_mail('alice', qr/^Subject: whole/m) // '';
	(my $want = large('whole', 1_500_000)) =~ s/\r//g;
	is(sha256_hex($mail =~ s/\A.*?\n\n//sr),
	    sha256_hex($want =~ s/\A.*?\n\n//sr), 'whole');

	$c->envelope('bad@example.org', 'alice@example.com');
	$c->message(large('refused', 1_500_000));
	$c->expect(qr/^554 5\.7\.1/, 'refused at its end');
	$c->envelope('a@example.org', 'alice@example.com');
	$c->message(large('bare', 700_000) . "bare\nLF\r\n" .
	    large('bare', 700_000));
	$c->expect(qr/^550 5\.5\.2/, 'a bare LF in the middle');
	$c->envelope('a@example.org', 'alice@example.com');
	$c->bdat(large('chunk', 700_000));
	$c->expect(qr/^250 2\.0\.0/, 'a chunk');
	$c->send('RSET');
	$c->expect(qr/^250 /, 'RSET in the middle');
	for my $at (100_000, 1_000_003) {
		my $d = $proxy->client;
		$d->hello;
		$d->envelope('a@example.org', 'alice@example.com');
		$d->send('DATA');
		$d->expect(qr/^354/);
		$d->octets(substr Client::stuff(large('torn', 1_500_000)), 0,
		    $at);
		$d->close;
		$proxy->log_like(qr/close reason=/, "gone at $at");
	}
	$c->envelope('a@example.org', 'alice@example.com');
	$c->message(large('too much', 2_500_000));
	$c->expect(qr/^552 5\.3\.4/, 'more than its SIZE');
	$c->deliver('a@example.org', 'alice@example.com',
	    large('last', 1_500_000));
	ok($postfix->wait_mail('alice', qr/^Subject: last/m), 'and on');
	is(join(' ', sort map { /^Subject: (.*)/m ? $1 : () }
	    $postfix->mail('alice')), 'last whole', 'nothing else is there');
}

done_testing;
