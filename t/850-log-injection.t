#!/usr/bin/perl
# Nothing that a peer sends can make a line in the log, or break one.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my @hostile = (
	"\n2026-01-01T00:00:00Z 0000 message forged=yes",
	"\r\nforged=yes", "\e[2J\e[31mforged=yes", "\0forged=yes",
	"\x9b31mforged=yes", "\xe2\x80\xae forged=yes", "\tforged=yes",
	"x forged=yes", "\" forged=yes", "\\\" forged=yes", '%s%n%99999d',
	"\177forged=yes", "\302\205forged=yes",
);

# Try each of them wherever something could be logged.
sub play
{
	my ($mta, $proxy) = @_;

	for my $evil (@hostile) {
		my $line = $evil =~ s/[\r\n]+/ /gr;
		my $c = $proxy->client;
		$c->greeting;
		$c->octets("EHLO a$evil\r\n");
		$c->octets("EHLO b\r\nMAIL FROM:<\"a$line\"\@example.org> " .
		    "SMTPUTF8\r\nMAIL FROM:<a\@example.org> ENVID=$line\r\n");
		$c->octets("RSET\r\nMAIL FROM:<a\@example.org>\r\n" .
		    "RCPT TO:<\"b$line\"\@example.com>\r\n" .
		    "RCPT TO:<\"b$line\"\@elsewhere.example>\r\n" .
		    "VRFY $line\r\nXXXX $line\r\n$evil\r\nQUIT\r\n");
		$c->half_close;
		1 while $c->fill;
		$mta->set(RCPT => { raw => "550 5.1.1 " .
		    ($evil =~ s/\n/\r/gr) . "\r\n" },
		    LAST => { raw => "250 2.0.0 queued as " .
		    ($evil =~ s/\n/\r/gr) . "\r\n" });
		$c = $proxy->client;
		$c->hello;
		$c->send('MAIL FROM:<a@example.org>',
		    'RCPT TO:<b@example.com>');
		$c->reply for 1 .. 2;
		$mta->unset('RCPT');
		$c->send('RCPT TO:<c@example.com>');
		$c->reply;
		$c->message("x\r\n");
		$c->reply;
		$mta->unset('LAST');
		$c->quit;
	}
}

for my $format ('logfmt', 'json') {
	subtest $format => sub {
		my $mta   = Backend->start;
		my $proxy = Proxy->start(backend => $mta->address,
		    set => { 'log-format' => $format, 'log-level' => 'debug',
		    'error-limit' => 1000,
		    'relay-domains' => ['example.com'] });

		play($mta, $proxy);
		$proxy->stop;
		my @lines = $proxy->log;
		cmp_ok(scalar @lines, '>', 50, 'much was logged');
		my @bad = grep { /[\000-\010\011\013-\037\177]/ } @lines;
		is("@bad[0 .. ($#bad > 2 ? 2 : $#bad)]", '',
		    'no control characters');
		is(join("\n", grep { /\x9b|\xc2\x85/ } @lines), '',
		    'nor those of eight bits');
		if ($format eq 'logfmt') {
			# "forged=yes" as a pair of its own, outside quotes.
			my @forged = grep {
				my $rest = s/"(?:[^"\\]|\\.)*"//gr;
				$rest =~ /(?:^| )forged=yes/;
			} @lines;
			is("@forged", '', 'no forged pair');
			my @shape = grep { !/\A\d{4}-\d\d-\d\dT[\d:.]+Z \S+ \S/
			    } @lines;
			is("@shape", '', 'each line is one of ours');
		} else {
			require JSON::PP;
			my @broken = grep { !eval { ref JSON::PP->new->utf8->
			    decode($_) eq 'HASH' } } @lines;
			is("@broken", '', 'each line is one object');
			my @forged = grep { exists JSON::PP->new->utf8->
			    decode($_)->{forged} } @lines;
			is("@forged", '', 'no forged key');
		}
	};
}

done_testing;
