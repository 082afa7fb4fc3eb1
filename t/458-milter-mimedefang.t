#!/usr/bin/perl
# A real mimedefang works behind the proxy: its filter takes an attachment out
# of a message, writes fields, and refuses senders, recipients and messages.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use PeerMimedefang;
use RealMilter;

my $real = RealMilter->new;
my $defang = PeerMimedefang->start;

# A message with an attachment of this name.
sub with
{
	my ($name) = @_;

	return sub {
		my ($id) = @_;
		return <<"END" =~ s/\n/\r\n/gr;
From: a\@example.org
To: b\@example.com
Subject: a word
X-Gone: 1
Date: Mon, 1 Jan 2024 12:00:00 +0000
Message-ID: <$id>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

hello
.
--b
Content-Type: application/octet-stream; name="$name"
Content-Disposition: attachment; filename="$name"

MZ
--b--
END
	};
}

# Its fields, in this order, and a body.
sub seen
{
	my ($body) = @_;

	return qr/\AFrom: .*\nTo: .*\nSubject: \[seen\] a word\n(?!X-Gone)(?s:.*)\nX-Defanged: yes\nX-Scanned-By: MIMEDefang .*\n\n$body\n--b--\n\z/;
}

subtest 'shows' => sub {
	$real->shows($defang, refused => [with('a.exe'), qr/^554 5\.7\.1 no programs here/],
	    clean => [with('a.txt'), seen('--b\n(?s:.*)\nhello\n\.\n--b\n(?s:.*)\n\nMZ')]);
};

subtest 'all it can do' => sub {
	my $p = $real->proxy(chains => { it => ['it'] }, filters => RealMilter::filter('it', $defang));
	my $c = $p->to('it');

	for my $rcpt ($real->recipients) {
		# Its lines end in LF alone when they come.
		my $like = seen('--b\n(?s:.*)a\.scr was taken out\n(?s:.*)\nhello\n\.(?!(?s:.*)MZ)');
		$real->delivers($c, $rcpt, with('a.scr'), $like, "taken out, for $rcpt");
		$c->send('MAIL FROM:<nobody@example.org>');
		$c->expect(qr/^554 5\.7\.1 nobody writes/, 'a sender');
		$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<none@example.com>',
		    'RCPT TO:<later@example.net>', "RCPT TO:<$rcpt>");
		$c->expect($_) for qr/^250 /, qr/^554 5\.7\.1 none of us/,
		    qr/^451 4\.3\.0 later/, qr/^250 /;
		$c->send('RSET');
		$c->expect(qr/^250 /, 'RSET');
		$real->delivers($c, $rcpt, with('b.txt'), seen('(?s:.*)MZ'), "the next, for $rcpt");
	}
	$c->close;
	# Without its workers it turns away who connects, which MAIL is told.
	$defang->{workers}->stop;
	$c = $p->to('it');
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^451 4\.7\.1 Service unavailable/, 'no workers');
	$c->close;
	$p->log_unlike(qr/misbehaved|filter-failed/);
};

done_testing;
