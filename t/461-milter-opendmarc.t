#!/usr/bin/perl
# A real opendmarc works behind the proxy, in front of a real Postfix and of a
# sink.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Peer;
use PeerOpendmarc;
use RealMilter;

my $real = RealMilter->new;
my $dmarc = PeerOpendmarc->start;

# A message of somebody at this domain.
sub from_domain
{
	my ($domain, $text, @fields) = @_;

	return sub {
		my ($id) = @_;
		my $mail = Peer::mail($text // 'hello') =~ s/^(Message-ID:) .*?\r$/$1 <$id>\r/mr;

		$mail =~ s/^(From: a\@)\S+/$1$domain/;
		return join('', map { "$_\r\n" } @fields) . $mail;
	};
}

sub results
{
	return "Authentication-Results: upstream.example; $_[0]";
}

subtest 'opendmarc' => sub {
	# What is in the message is from a verifier that it believes.
	$real->shows($dmarc,
	    clean => [from_domain('example.org', undef, results('dkim=pass header.d=example.org')),
	    qr/\AAuthentication-Results: mx\.test\.example; dmarc=pass \(p=reject dis=none\) header\.from=example\.org\n/],
	    refused => [from_domain('strict.example', undef, results('dkim=pass header.d=example.org')),
	    qr/^550 5\.7\.1 rejected by DMARC policy for strict\.example/]);
};

done_testing;
