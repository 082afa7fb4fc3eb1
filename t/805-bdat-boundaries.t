#!/usr/bin/perl
# A BDAT chunk has exactly as many octets as it says, dots mean nothing in it,
# and its line ends are judged like those of DATA.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my @all    = (@Backend::EXTENSIONS, 'BINARYMIME');
my %mta    = (
	BDAT => Backend->start(extensions => [@all]),
	DATA => Backend->start(extensions =>
	    [grep { !/CHUNKING|BINARY/ } @all]),
);
my @endings = ("\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r", "\n", "\r\r\n",
    "\n\r");

sub client
{
	my ($mta, %set) = @_;
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { 'error-limit' => 100_000, %set });
	my $c = $proxy->client;

	$c->hello;
	return $c;
}

sub shown { return $_[0] =~ s/([^!-~])/sprintf '<%02x>', ord $1/ger; }

for my $by (sort keys %mta) {
	my $mta = $mta{$by};

	subtest "bare CR and LF, rejected, $by" => sub {
		my $c = client($mta);
		$mta->forget;
		for my $end (@endings) {
			my $octets = "x${end}MAIL FROM:<evil\@x.example>\r\n";
			for my $at (1 .. 1 + length $end) {
				$c->send('MAIL FROM:<a@example.org>',
				    'RCPT TO:<b@example.com>');
				$c->reply for 1 .. 2;
				$c->bdat(substr $octets, 0, $at);
				$c->reply;
				$c->bdat(substr($octets, $at), 1);
				my (undef, $text) = $c->reply;
				like($text, qr/^550 5\.5\.2/, shown($end) .
				    " split at $at");
			}
		}
		is(scalar $mta->messages, 0, 'nothing was sent');
		is(scalar $mta->commands(qr/evil/), 0, 'nor done');
		$c->deliver('a@example.org', 'b@example.com');
	};

	subtest "bare CR and LF, normalized, $by" => sub {
		my $c = client($mta, 'line-endings' => 'normalize');
		for my $end (@endings) {
			my $octets = "x${end}y\r\n";
			my %got;
			for my $at (0 .. length $octets) {
				$c->send('MAIL FROM:<a@example.org>',
				    'RCPT TO:<b@example.com>');
				$c->reply for 1 .. 2;
				$c->bdat(substr $octets, 0, $at);
				$c->reply;
				$c->bdat(substr($octets, $at), 1);
				$c->reply;
				$got{$mta->last->{content}}++;
			}
			is(scalar keys %got, 1, shown($end) .
			    ': the same for every split');
			unlike((keys %got)[0], qr/\r(?!\n)|(?<!\r)\n/,
			    'canonical');
		}
	};

	subtest "the last octet, $by" => sub {
		my $c = client($mta, 'line-endings' => 'normalize');
		for (['x', 'x'], ["x\r", 'x '], ["x\n", "x\r\n"],
		    ["x\r\n", "x\r\n"], ['.', '.'], ["\r\n.", "\r\n."]) {
			my ($in, $want) = @$_;
			# DATA cannot carry a line without its end.
			$want .= "\r\n"
			    if $by eq 'DATA' && $want !~ /\r\n\z/;
			$c->envelope('a@example.org', 'b@example.com');
			$c->bdat($in, 1);
			$c->expect(qr/^250 /);
			is($mta->last->{content}, $want, shown($in));
		}
	};

	subtest "commands in chunks, $by" => sub {
		my $c = client($mta);
		my $evil = "\r\n.\r\nRSET\r\nMAIL FROM:<evil\@x.example>\r\n" .
		    "BDAT 5 LAST\r\nQUIT\r\n";
		$mta->forget;
		for my $size (1 .. 20) {
			$c->send('MAIL FROM:<a@example.org>',
			    'RCPT TO:<b@example.com>');
			my $rest = $evil;
			while (length $rest > $size) {
				$c->bdat(substr $rest, 0, $size, '');
			}
			$c->bdat($rest, 1);
			my $n = 2 + int((length($evil) + $size - 1) / $size);
			my @codes = map { ($c->reply)[0] } 1 .. $n;
			is(scalar(grep { $_ != 250 } @codes), 0,
			    "chunks of $size");
			is($mta->last->{content}, $evil, 'are content');
		}
		is(scalar $mta->commands(qr/evil|QUIT/), 0, 'no commands');
	};
}

subtest 'NUL' => sub {
	for my $by (sort keys %mta) {
		my $c = client($mta{$by});
		$c->envelope('a@example.org', 'b@example.com');
		$c->bdat("a\0b\r\n", 1);
		$c->expect(qr/^55[04] 5\.6\.\d/, "$by: refused by default");
		$c->envelope('a@example.org', 'b@example.com');
		$c->message("a\0b\r\n");
		$c->expect(qr/^55[04] 5\.6\.\d/, 'by DATA too');
		$c = client($mta{$by}, nul => 'accept');
		$c->envelope('a@example.org', 'b@example.com');
		$c->bdat("a\0b\r\n", 1);
		$c->expect(qr/^250 /, "$by: accepted if set");
		is($mta{$by}->last->{content}, "a\0b\r\n", 'whole');
	}
};

subtest 'what DATA cannot carry' => sub {
	my $c = client($mta{DATA});

	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat('x' x 2000 . "\r\n", 1);
	$c->expect(qr/^55[04] 5\.6\.\d/, 'a line over the limit');
	$c = client($mta{BDAT});
	$c->envelope('a@example.org', 'b@example.com');
	$c->bdat('x' x 2000 . "\r\n", 1);
	$c->expect(qr/^250 /, 'goes by BDAT');
};

subtest 'split at every octet of the dialogue' => sub {
	my $mta = $mta{BDAT};
	my $c = client($mta);
	my $other = $c->{proxy}->client;
	my $octets = "MAIL FROM:<a\@example.org>\r\n" .
	    "RCPT TO:<b\@example.com>\r\nBDAT 4\r\na\r\nbBDAT 5 LAST\r\n" .
	    "\r\n.\r\nNOOP\r\n";

	$other->hello;
	$mta->forget;
	for my $at (1 .. length($octets) - 1) {
		$c->octets(substr $octets, 0, $at);
		$other->send('NOOP');
		$other->reply;
		$c->octets(substr $octets, $at);
		my @codes = map { ($c->reply)[0] } 1 .. 5;
		is("@codes", '250 250 250 250 250', "at $at") or last;
	}
	my %content = map { $_->{content} => 1 } $mta->messages;
	is(join('', keys %content), "a\r\nb\r\n.\r\n", 'always the same');
	is(scalar $mta->messages, length($octets) - 1, 'each once');
};

done_testing;
