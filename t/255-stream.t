#!/usr/bin/perl
# A large message goes on to the backend while it comes, all but its end: what
# is refused, torn or abandoned is never delivered, and what was promised is.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use Test::More;
use Backend;
use Cert;
use Module;
use Proxy;
use Wait;

my @bdat = ('PIPELINING', 'SIZE 100000000', 'CHUNKING');
my @data = ('PIPELINING', 'SIZE 100000000');
my %way  = (BDAT => \@bdat, DATA => \@data);

# Lines with dots in all the wrong places.
sub large
{
	my ($octets, $id) = @_;
	my $line = ".dots\r\n..\r\nand text\r\n" . 'x' x 900 . "\r\n";

	return 'id: ' . ($id // 'x') . "\r\n\r\n" .
	    $line x ($octets / length $line);
}

sub start
{
	my ($mta, %more) = @_;

	return Proxy->start(backend => $mta->address, %more,
	    set => { 'hold-size' => '100K', 'error-limit' => 10_000,
	    %{$more{set} // {}} });
}

# The session with the client is over, and all of it is known.
sub gone
{
	my ($proxy, $n) = @_;

	return Wait::wait_until(sub {
		return scalar(() = $proxy->log(qr/close reason=/)) >= $n;
	});
}

for my $way (sort keys %way) {
	subtest "by $way" => sub {
		my $mta   = Backend->start(extensions => $way{$way});
		my $proxy = start($mta);
		my $c     = $proxy->client;
		my $text  = large(2_000_000);

		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		$c->send('DATA');
		$c->expect(qr/^354/);
		my $wire = Client::stuff($text);
		$c->octets(substr $wire, 0, 1_000_000);
		ok($mta->wait_command(qr/^$way/), 'it begins before its end');
		is(scalar $mta->commands(qr/LAST/), 0, 'and does not end');
		$c->octets(substr $wire, 1_000_000);
		$c->expect(qr/^250 2\.0\.0 queued/, 'its end is passed on');
		ok($mta->last->{content} eq $text, 'whole');
		is($mta->last->{by}, $way, "by $way");
		$c->envelope('a@example.org', 'b@example.com');
		$c->bdat(large(300_000));
		$c->expect(qr/^250 2\.0\.0/, 'a chunk is answered by us');
		$c->bdat("end\r\n", 1);
		$c->expect(qr/^250 2\.0\.0 queued/, 'the last by the backend');
		ok($mta->last->{content} eq large(300_000) . "end\r\n",
		    'whole');
		is(scalar $mta->events('connect'), 2, 'one session, and the '
		    . 'probe');
		# What is small is held.
		$mta->forget;
		$c->deliver('a@example.org', 'b@example.com');
		is(scalar $mta->commands(qr/^BDAT \d+$/), 0, 'small ones not');
	};

	subtest "refused, by $way" => sub {
		my $mta   = Backend->start(extensions => $way{$way});
		my $proxy = start($mta, Module::script(['eom bad@ reject',
		    'eom later@ later=1 reject', 'eom drop@ discard']));
		my $c     = $proxy->client;

		$c->hello;
		for my $from ('bad', 'later', 'drop') {
			$c->envelope("$from\@example.org", 'b@example.com');
			$c->message(large(400_000));
			$c->expect($from eq 'drop' ? qr/^250 / :
			    qr/^554 5\.7\.1/, "$from: the filter's word");
		}
		$c->envelope('a@example.org', 'b@example.com');
		$c->message(large(400_000) . "bare\nLF\r\n" . large(400_000));
		$c->expect(qr/^550 5\.5\.2/, 'a bare LF in the middle');
		is(scalar $mta->messages, 0, 'nothing is delivered');
		$c->deliver('good@example.org', 'b@example.com',
		    large(400_000));
		is(scalar $mta->messages, 1, 'what is good is');
		is(scalar $mta->commands(qr/^RSET/), 4, 'a refusal is RSET')
		    if $way eq 'BDAT';
		is(scalar(grep { $_->{state} eq 'data' }
		    $mta->events('close')), $way eq 'BDAT' ? 0 : 4,
		    'or the end of the connection');
	};

	subtest "the backend refuses in the middle, by $way" => sub {
		my $mta   = Backend->start(extensions => $way{$way});
		my $proxy = start($mta);
		my $c     = $proxy->client;

		$mta->set('BDAT ' => '452 4.3.1 full', DATA => '452 4.3.1 full');
		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		$c->message(large(2_000_000));
		$c->expect(qr/^452 4\.3\.1 full/, 'told at the end of DATA');
		$c->envelope('a@example.org', 'b@example.com');
		$c->bdat(large(2_000_000));
		$c->expect(qr/^452 4\.3\.1 full/, 'or of the chunk');
		$c->bdat(large(2_000_000), 1);
		$c->expect(qr/^503 5\.5\.1/, 'not taken any more');
		$c->send('RSET');
		$c->expect(qr/^250 /);
		$mta->unset('BDAT ', 'DATA');
		is(scalar $mta->messages, 0, 'nothing is delivered');
		$c->deliver('a@example.org', 'b@example.com',
		    large(2_000_000));
		is(scalar $mta->messages, 1, 'the next one is');
	};

	# At random octets, which are said when it fails.
	for my $who ('client', 'backend') {
		my @at = map { int rand 1_500_000 } 1 .. 6;

		subtest "the $who goes, $way, at @at" => sub {
			leaves($way, $who, @at);
		};
	}
}

sub leaves
{
	my ($way, $who, @at) = @_;
	my $mta   = Backend->start(extensions => $way{$way});
	my $proxy = start($mta);
	my $wire  = Client::stuff(large(1_500_000));
	my $n     = 0;

	for my $at (@at) {
		my $c = $proxy->client;

		$c->hello;
		$c->envelope('a@example.org', 'b@example.com');
		$c->send('DATA');
		$c->expect(qr/^354/);
		if ($who eq 'client') {
			$c->octets(substr $wire, 0, $at);
			$at % 2 ? $c->close : $c->reset;
		} else {
			$c->octets(substr $wire, 0, $at);
			$mta->drop;
			$c->octets(substr $wire, $at);
			# It may have been lost while it was held, or begun
			# behind that.
			$c->expect(qr/^4(?:51|21) 4\.[34]\.\d/, "lost at $at");
			$c->close;
		}
		ok(gone($proxy, ++$n), 'that session is over');
	}
	is(scalar $mta->messages, 0, 'nothing is delivered');
	my $c = $proxy->client;
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com', large(1_500_000));
	is(scalar $mta->messages, 1, 'the next one is');
}

subtest 'LMTP' => sub {
	my $mta   = Backend->start(extensions => \@data, lmtp => 1);
	my $proxy = start($mta);
	my $c     = $proxy->client;

	$c->hello;
	$c->deliver('a@example.org', 'b@example.com', large(600_000));
	ok($mta->last->{content} eq large(600_000), 'whole');
};

subtest 'TLS on both sides' => sub {
	for my $way (sort keys %way) {
		my $mta   = Backend->start(extensions => $way{$way},
		    starttls => Cert->shared);
		my $proxy = start($mta, tls => Cert->shared,
		    mta => { tls => 'encrypt' });
		my $c     = $proxy->client;
		my $text  = large(3_000_000);

		$c->hello;
		$c->starttls;
		$c->hello;
		$c->deliver('a@example.org', 'b@example.com', $text);
		ok($mta->last->{content} eq $text, "whole, by $way");
		ok($mta->last->{tls}, 'encrypted');
	}
};

subtest 'a mailbox line in pieces' => sub {
	my $mta   = Backend->start(extensions => \@bdat);
	my $proxy = start($mta, set => { 'hold-size' => '1M' });
	my $c     = $proxy->client;
	# Announced as large, so that it may go on at once.
	my $envelope = sub {
		$c->send('MAIL FROM:<a@example.org> SIZE=2000000',
		    'RCPT TO:<b@example.com>');
		$c->expect(qr/^250 /) for 1, 2;
	};

	$c->hello;
	for my $n (1, 4, 5, 6) {
		$envelope->();
		my $text = "From joe\r\nSubject: x\r\n\r\n";
		$c->bdat(substr $text, 0, $n);
		$c->expect(qr/^250 /, "the first $n octets");
		$c->bdat(substr($text, $n), 1);
		$c->expect(qr/^250 /, 'and the others');
		is($mta->last->{by}, 'DATA', 'it is read as filters read it');
	}
	$envelope->();
	$c->bdat('Fr');
	$c->expect(qr/^250 /, 'a long line behind it');
	$c->bdat("om joe\r\n\r\n" . 'x' x 2000 . "\r\n", 1);
	$c->expect(qr/^554 5\.6\.0/, 'cannot go by DATA');
	$c->quit;
	ok(!$proxy->log(qr/worker-died/), 'all workers live');
};

subtest 'a policy that edits nothing lets it go on' => sub {
	my $mta  = Backend->start(extensions => \@bdat);
	my $file = File::Temp->new;

	print $file "at eom\n    reject 554 5.7.1 \"no\"  if " .
	    "header(\"Subject\") is \"spam\"\n";
	$file->flush;
	my $proxy = start($mta, listen => { chain => ['p'] }, extra =>
	    "filter \"p\" {\n\ttype = \"policy\"\n\tfile = \"$file\"\n}\n");
	my $c = $proxy->client;
	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->message("Subject: spam\r\n" . large(500_000));
	$c->expect(qr/^554 5\.7\.1 no/, 'refused');
	ok($mta->wait_command(qr/^BDAT \d+$/), 'while it was under way');
	is(scalar $mta->messages, 0, 'and it is not there');
};

done_testing;
