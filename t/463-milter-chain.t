#!/usr/bin/perl
# Real milters stand in one chain, each sees what those before it wrote:
# opendmarc believes opendkim, and rspamd, clamav-milter and a policy behind them
# have their say, in front of a real Postfix and of a sink.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use Test::More;
use Backend;
use Peer;
use PeerClamavMilter;
use PeerOpendkim;
use PeerOpendmarc;
use PeerRspamd;
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

my $dkim = PeerOpendkim->start;
my $rspamd = PeerRspamd->start(milter => 1);
my $clamav = PeerClamavMilter->start;
my $rules = File::Temp->new(SUFFIX => '.rules');
print $rules "at eom\n" .
    "    reject 554 5.7.1 \"not signed\" if not header(\"Authentication-Results\") ~ /dmarc=pass/\n" .
    "    add header \"X-Policy: seen\" if header(\"X-Virus-Status\") is \"Clean\"\n";
close $rules;
my @chain = qw(opendkim opendmarc rspamd clamav policy);
my $p = $real->proxy(chains => { all => \@chain, sign => ['opendkim'] },
    set => { 'authserv-id' => 'mx.test.example' },
    filters => RealMilter::filter('opendkim', $dkim, 'timeout = 30s') .
    RealMilter::filter('opendmarc', $dmarc) . RealMilter::filter('rspamd', $rspamd) .
    RealMilter::filter('clamav', $clamav) .
    "filter \"policy\" { type = \"policy\" file = \"$rules\" }\n");

# A session of a stranger, whose mail is verified.
sub stranger
{
	my $c = $p->client(listener => $p->{chain}{all}, from => '127.0.0.9');

	$c->hello('client.example');
	return $c;
}

# The message as one of our own users sends it, signed.
sub signed
{
	my ($make) = @_;

	return sub {
		my ($id) = @_;
		my $c = $p->to('sign');
		my $n = () = $real->{sink}->mail;

		$c->envelope_quietly('a@example.org', 'archive@example.net');
		$c->send('DATA');
		$c->reply;
		$c->octets(Client::stuff($make->($id)));
		$c->reply;
		$c->close;
		return $real->arrived('archive@example.net', $id) =~ s/\n/\r\n/gr;
	};
}

# Our results, by somebody who is not us.
my $forged = 'Authentication-Results: mx.test.example; dkim=pass header.d=strict.example';

subtest 'all of them' => sub {
	my $c = stranger();
	my $good = signed(from_domain('example.org'));

	for my $rcpt ($real->recipients) {
		$real->delivers($c, $rcpt, $good, qr/\AAuthentication-Results: mx\.test\.example; dmarc=pass .*
Authentication-Results: mx\.test\.example;
\tdkim=pass (?s:.*)
X-Virus-Status: Clean
X-Policy: seen

hello
\z/, "signed, for $rcpt");
		$real->refuses($c, $rcpt, sub { $good->(@_) =~ s/hello/hullo/r; },
		    qr/^550 5\.7\.1 rejected by DMARC policy for example\.org/, "tampered, for $rcpt");
		$real->refuses($c, $rcpt, from_domain('strict.example'),
		    qr/^550 5\.7\.1 rejected by DMARC policy/, "not signed, for $rcpt");
		$real->refuses($c, $rcpt, from_domain('strict.example', undef, $forged),
		    qr/^550 5\.7\.1 rejected by DMARC policy/, "in our name, for $rcpt");
		$real->refuses($c, $rcpt, signed(from_domain('example.org', $Peer::GTUBE)),
		    qr/^554 5\.7\.1 Gtube pattern/, "spam, for $rcpt");
		$real->refuses($c, $rcpt, signed(from_domain('example.org', $Peer::EICAR)),
		    qr/^550 5\.7\.1 found Eicar/, "a virus, for $rcpt");
		$real->refuses($c, $rcpt, from_domain('other.example'),
		    qr/^554 5\.7\.1 not signed/, "the policy, for $rcpt");
	}
	$c->close;
	$p->log_unlike(qr/misbehaved|filter-failed/);
};

# One of them is gone: nothing of what the others want is done.
subtest 'one of them is gone' => sub {
	my $c = stranger();

	$clamav->stop;
	my $rcpt = ($real->recipients)[-1];
	my $before = () = $real->sunk($rcpt);
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^451 4\.7\.1 a filter failed/, 'at MAIL');
	$clamav->again;
	$p->clock(20_000);
	$c->envelope('a@example.org', $rcpt);
	$c->send('DATA');
	$c->expect(qr/^354 /, 'DATA');
	$clamav->{clamd}->stop;
	$c->octets(Client::stuff(signed(from_domain('example.org'))->(RealMilter::next_id())));
	$c->expect(qr/^451 /, 'at the end');
	is(scalar(() = $real->sunk($rcpt)), $before, 'nothing arrives');
	$c->close;
};

subtest 'the example' => sub {
	my $mta = Backend->start;
	my $q = Scanned->example('opendmarc.conf', $mta->address,
	    'unix:/run/opendkim/opendkim.sock' => $dkim->address,
	    'unix:/run/opendmarc/opendmarc.sock' => $dmarc->address,
	    'mx1.example.org' => 'mx.test.example');
	my $c = $q->client(listener => 0, from => '127.0.0.9');

	$c->hello;
	$c->deliver('a@example.org', 'b@example.org',
	    signed(from_domain('example.org'))->(RealMilter::next_id()));
	like($mta->last->{content}, qr/\AAuthentication-Results: mx\.test\.example; dmarc=pass /,
	    'signed');
	for (from_domain('strict.example'), from_domain('strict.example', undef, $forged)) {
		$c->envelope('a@example.org', 'b@example.org');
		$c->message($_->(RealMilter::next_id()));
		$c->expect(qr/^550 5\.7\.1 rejected by DMARC policy/, 'not signed');
	}
	$c->close;
	$q->log_unlike(qr/filter-failed/);
};

done_testing;
