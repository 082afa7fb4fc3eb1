#!/usr/bin/perl
# Nothing that a peer sends can make a line in the log, or break one.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Cert;
use Dns;
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
		check($format, $proxy->log);
	};
}

# A backend that will not have us says why, and the reason is logged.
for my $format ('logfmt', 'json') {
	subtest "greetings, $format" => sub {
		my $mta   = Backend->start;
		my $proxy = Proxy->start(backend => $mta->address,
		    set => { 'log-format' => $format });

		for my $evil (@hostile) {
			$mta->set(CONNECT => { raw => '554 ' .
			    ($evil =~ s/\n/\r/gr) . "\r\n" });
			my $c = $proxy->client;
			$c->hello;
			$c->send('MAIL FROM:<a@example.org>',
			    'RCPT TO:<b@example.com>');
			$c->reply for 1 .. 2;
			$c->quit;
		}
		$proxy->stop;
		my @lines = $proxy->log;
		cmp_ok(scalar(grep { /state\b.*greeting.*forged/ } @lines),
		    '>=', @hostile / 2, 'the reason is there');
		check($format, @lines);
	};
}

# Nothing in these lines is anything but ours.
sub check
{
	my ($format, @lines) = @_;

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
}

# Names of clients come from whoever owns the address.
for my $format ('logfmt', 'json') {
	subtest "names, $format" => sub {
		my (%records, @names);
		my $n = 1;
		for my $evil (@hostile, 'x' x 63 . '.example', "a\\.b\r\nQUIT") {
			my $name = substr($evil, 0, 60) . '.forged=yes.example';
			my $ip = '127.0.1.' . ++$n;
			$records{join('.', reverse split /\./, $ip) .
			    '.in-addr.arpa PTR'} = $name;
			$records{"$name A"} = $ip;
			push @names, $ip;
		}
		push @names, '127.0.1.99';
		my $dns = Dns->start(%records, 'good.example A' => '127.0.1.99',
		    '99.1.0.127.in-addr.arpa PTR' => 'good.example');
		my $mta = Backend->start(xclient => 'NAME ADDR HELO REVERSE_NAME');
		my $proxy = Proxy->start(backend => $mta->address,
		    mta => { identity => 'xclient' },
		    listen => { 'accept-xclient-from' => ['127.0.0.0/8'] },
		    set => { 'log-format' => $format, 'log-level' => 'debug',
		    'dns-servers' => [$dns->server], 'error-limit' => 1000 });
		for my $ip (@names) {
			my $c = $proxy->client(from => $ip);
			$c->hello;
			$c->deliver('a@example.org', 'b@example.com');
			$c->quit;
		}
		is(scalar $mta->commands(qr/\bNAME=good\.example\b/), 1,
		    'a good name is passed on');
		is(scalar(grep { /[\0-\37\177-\377]/ || / NAME=.*forged/ }
		    $mta->commands(qr/XCLIENT/)), 0, 'nor to the backend');
		# Who may use XCLIENT may still be fooled himself.
		for my $evil (@hostile) {
			my $xtext = $evil =~
			    s/([^!-*,-<>-~])/sprintf '+%02X', ord $1/ger;
			for my $attr (qw(NAME HELO LOGIN REVERSE_NAME ADDR)) {
				my $c = $proxy->client;
				$c->hello;
				$c->send("XCLIENT $attr=$xtext");
				my ($code) = $c->reply;
				next if $code != 220;
				$c->hello;
				$c->send('MAIL FROM:<a@example.org>',
				    'RCPT TO:<b@example.com>');
				$c->reply for 1 .. 2;
				$c->close;
			}
		}
		$proxy->stop;
		check($format, $proxy->log);
	};
}

# PROXY headers, TLS and its server name, and what is no SMTP at all.
subtest 'before SMTP begins' => sub {
	my $mta = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address, tls => Cert->shared,
	    set => { 'log-level' => 'debug' }, listen => [
	    { 'accept-proxy-from' => ['127.0.0.0/8'] },
	    { address => '127.0.0.2:0', tls => 'implicit' }]);

	for my $evil (@hostile) {
		for my $head ("PROXY TCP4 $evil 1.2.3.4 1 2\r\n",
		    "PROXY $evil\r\n", "\r\n\r\n\0\r\nQUIT\n\x21\x11" .
		    pack('n', length $evil) . $evil, $evil) {
			for my $listener (0, 1) {
				my $c = $proxy->client(listener => $listener,
				    first => $head);
				$c->half_close;
				1 while $c->fill;
			}
		}
		my $c = $proxy->client(listener => 1);
		$c->handshake(SSL_hostname => $evil =~ s/\0//gr);
		$c->close;
	}
	$proxy->stop;
	check('logfmt', $proxy->log);
};

# Passwords, also when they come where none should be.
subtest 'credentials' => sub {
	my $mta = Backend->start(auth => 'PLAIN LOGIN XOAUTH2',
	    'AUTH PLAIN d3Jvbmc' => '535 5.7.8 wrong d3Jvbmc');
	my $proxy = Proxy->start(backend => $mta->address, tls => Cert->shared,
	    set => { 'log-level' => 'debug', 'error-limit' => 1000 });
	my $secret = 'SeCrEt';
	my @steps = (
		["AUTH PLAIN ${secret}1"],
		["AUTH PLAIN ${secret}2 ${secret}3"],
		["AUTH PLAIN %${secret}4"], ["AUTH $secret"],
		["AUTH LOGIN", "${secret}5", "${secret}6"],
		["AUTH LOGIN ${secret}7", "${secret}8"],
		["AUTH LOGIN", "%${secret}9"], ["AUTH LOGIN", "*"],
		["AUTH PLAIN", "AUTH PLAIN ${secret}10"],
		["AUTH XOAUTH2 $secret" . 'A' x 9000],
		["AUTH XOAUTH2 $secret" . 'A' x 20_000],
		["AUTH PLAIN $secret\0"], ["auth\tplain $secret"],
		["AUTHPLAIN $secret"], [" AUTH PLAIN $secret"],
	);

	for my $tls (0, 1) {
		for (@steps) {
			my $c = $proxy->client;
			$c->hello;
			$c->starttls, $c->hello if $tls;
			for my $line (@$_) {
				$c->send($line);
				$c->reply;
			}
			$c->close;
		}
	}
	# The backend may not bring it into the log either.
	$mta->set('AUTH PLAIN' => "535 5.7.8 no: ${secret}");
	my $c = $proxy->client;
	$c->hello;
	$c->starttls;
	$c->hello;
	$c->send("AUTH PLAIN ${secret}11");
	$c->expect(qr/^535 /);
	$c->quit;
	$proxy->stop;
	is(join("\n", $proxy->log(qr/$secret/i)), '', 'nothing of it is logged');
	cmp_ok(scalar(() = $proxy->log(qr/ auth /)), '>', 2,
	    'but that it was tried');
};

done_testing;
