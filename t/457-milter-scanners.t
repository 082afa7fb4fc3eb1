#!/usr/bin/perl
# The scanners among the real milters, clamav-milter, rspamd and spamass-milter,
# work behind the proxy: what is clean passes with their fields, what is bad is
# refused in their words, and without them on-failure says what happens.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Peer;
use PeerClamavMilter;
use PeerRspamd;
use PeerSpamassMilter;
use RealMilter;

my $real = RealMilter->new;

sub mail_with
{
	my ($text, @fields) = @_;

	return sub {
		my ($id) = @_;
		my $mail = Peer::mail($text) =~ s/^(Message-ID:) .*?\r$/$1 <$id>\r/mr;
		return join('', map { "$_\r\n" } @fields) . $mail;
	};
}

my $clean = mail_with('hello');

# The example works as it is.
sub example
{
	my ($file, $socket, $peer, $bad, $refused) = @_;
	my $mta = Backend->start;
	my $p = Scanned->example($file, $mta->address, $socket => $peer->address);

	for ([$clean, qr/^250 /, 'clean'], [$bad, $refused, 'bad']) {
		my ($make, $like, $name) = @$_;
		my $c = $p->sent('example', $make->('1@example.org'), 'b@example.org');
		$c->expect($like, "$file: $name");
		$c->close;
	}
	is(scalar $mta->messages, 1, 'one message has arrived');
	$p->log_unlike(qr/filter-failed/);
}

subtest 'clamav-milter' => sub {
	my $clamav = PeerClamavMilter->start;
	my @bad = (mail_with($Peer::EICAR), qr/^550 5\.7\.1 found Eicar-Test-Signature/);

	$real->shows($clamav, refused => \@bad,
	    clean => [$clean, qr/^X-Virus-Scanned: clamav-milter .*\nX-Virus-Status: Clean\n\nhello\n\z/m]);
	example('clamav-milter.conf', 'unix:/run/clamav/clamav-milter.ctl', $clamav, @bad);
};

subtest 'rspamd' => sub {
	my $rspamd = PeerRspamd->start(milter => 1);
	my @bad = (mail_with($Peer::GTUBE), qr/^554 5\.7\.1 Gtube pattern/);

	$real->shows($rspamd, refused => \@bad,
	    clean => [mail_with('hello', 'X-Edit: yes', 'X-Last: 1'),
	    qr/\AX-Two: two\nFrom: .*\nX-One: one\n\nhello\n\z/s]);
	example('rspamd-milter.conf', 'inet:11332@127.0.0.1', $rspamd, @bad);
	my $p = $real->proxy(chains => { it => ['it'] }, filters => RealMilter::filter('it', $rspamd));
	my $c = $p->to('it');
	for my $rcpt ($real->recipients) {
		$real->delivers($c, $rcpt, mail_with('hello', 'X-Score: 7'),
		    qr/^X-Spam: Yes$/m, "marked, for $rcpt");
		$real->delivers($c, $rcpt, mail_with('hello', 'X-Score: 9'),
		    qr/^Subject: \[spam\] a word$/m, "another subject, for $rcpt");
		$real->refuses($c, $rcpt, mail_with('hello', 'X-Action: soft reject', 'X-Say: later'),
		    qr/^451 4\.7\.1 later/, "later, for $rcpt");
		$real->refuses($c, $rcpt, mail_with('hello', 'X-Action: reject', 'X-Say: in so many words'),
		    qr/^554 5\.7\.1 in so many words/, "in its words, for $rcpt");
	}
	$c->close;
};

subtest 'spamass-milter' => sub {
	my $spamass = PeerSpamassMilter->start;

	$real->shows($spamass,
	    clean => [$clean, qr/^X-Spam-Status: No, score=/m],
	    refused => [mail_with($Peer::GTUBE), qr/^550 5\.7\.1 Blocked by SpamAssassin/]);
	my $p = $real->proxy(chains => { it => ['it'] }, filters => RealMilter::filter('it', $spamass));
	my $c = $p->to('it');
	for my $rcpt ($real->recipients) {
		$real->delivers($c, $rcpt, mail_with('hello', 'X-Points: xxxxx'),
		    qr/\nX-Spam-Flag: YES\n.*\n\nhello\n\z/s, "marked, for $rcpt");
	}
	$c->close;
};

done_testing;
