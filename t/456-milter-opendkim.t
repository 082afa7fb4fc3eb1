#!/usr/bin/perl
# A real opendkim works behind the proxy: it signs and verifies as in the example.
use strict;
use warnings;
use lib 't/lib';
use MIME::Base64;
use Test::More;
use Backend;
use Cert;
use PeerOpendkim;
use RealMilter;
use Scanned;

my $mta = Backend->start(auth => 'PLAIN');
my $cert = Cert->shared;
my $mail = "From: A <a\@example.org>\r\nTo: b\@example.com\r\nSubject: a word\r\n" .
    "X-Gone: 1\r\nDate: Mon, 1 Jan 2024 12:00:00 +0000\r\n" .
    "Message-ID: <1\@example.org>\r\n\r\nhello\r\n.\r\n";

# What arrives of a message from this address.
sub through
{
	my ($p, $from, $message) = @_;
	my $c = $p->client(listener => 0, from => $from);

	$mta->forget;
	$c->hello('client.example');
	$c->deliver('a@example.org', 'b@example.org', $message);
	$c->quit;
	return $mta->last->{content};
}

subtest 'opendkim' => sub {
	my $dkim = PeerOpendkim->start or plan skip_all => $PeerOpendkim::why;
	my $p = Scanned->example('opendkim.conf', $mta->address,
	    'unix:/run/opendkim/opendkim.sock' => $dkim->address,
	    '/etc/ssl/mx1.pem' => $cert->cert, '/etc/ssl/mx1.key' => $cert->key);

	my $signed = through($p, '127.0.0.1', $mail);
	like($signed, qr/\ADKIM-Signature: v=1;.*? d=example\.org; s=sel;/s, 'signed, on top');
	is($signed =~ s/\ADKIM-Signature: .*?\r\n(?=\S)//sr, $mail, 'and nothing else');
	my $verified = through($p, '127.0.0.9', $signed);
	like($verified, qr/^Authentication-Results: mx\.test\.example;\r\n\tdkim=pass /m, 'verified');
	is($verified =~ s/^Authentication-Results: .*?\r\n(?=\S)//msr, $signed, 'and nothing else');
	for (['body', 'hello', 'hullo'], ['Subject', 'a word', 'another']) {
		my ($what, $from, $to) = @$_;
		(my $tampered = $signed) =~ s/$from/$to/;
		like(through($p, '127.0.0.9', $tampered),
		    qr/^Authentication-Results: .*\r\n\tdkim=fail /m, "$what is another one");
	}
	# One of ours who is elsewhere.
	my $user = $p->client(listener => 1, from => '127.0.0.9');
	$user->hello;
	$user->starttls;
	$user->hello;
	$user->send('AUTH PLAIN ' . encode_base64("\0alice\0secret", ''));
	$user->expect(qr/^235 /, 'login');
	$user->deliver('a@example.org', 'b@elsewhere.example', $mail);
	$user->quit;
	like($mta->last->{content}, qr/\ADKIM-Signature: v=1;/, 'signed for who has logged in');
	# Several messages over one connection.
	my $c = $p->client(listener => 0);
	$c->hello('client.example');
	for (1 .. 3) {
		$c->deliver('a@example.org', 'b@example.org', $mail);
		like($mta->last->{content}, qr/\ADKIM-Signature: /, "message $_");
	}
	$c->quit;
	$p->log_unlike(qr/filter-failed|misbehaved/);
};

subtest 'in front of Postfix and of a sink' => sub {
	my $dkim = PeerOpendkim->start or plan skip_all => $PeerOpendkim::why;

	RealMilter->new->shows($dkim, clean => [
		sub { $mail =~ s/<1\@example\.org>/<$_[0]>/r; },
		qr/\ADKIM-Signature: v=1;(?s:.*)\n\nhello\n\.\n\z/,
	]);
};

done_testing;
