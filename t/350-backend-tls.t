#!/usr/bin/perl
# TLS to the backend: none, if it is offered, always, or always and to the
# right one.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Cert;
use Proxy;

my $cert  = Cert->shared;
my $other = Cert->make;

sub try
{
	my ($mta, %set) = @_;
	my $proxy = Proxy->start(backend => $set{address} // $mta->address,
	    mta => { %set, address => undef });
	my $c = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->reply;
	my ($code, $text) = $c->reply;
	if ($code == 250) {
		$c->message("x\r\n");
		($code, $text) = $c->reply;
	}
	return ($text, $proxy);
}

sub sent { return scalar $_[0]->commands(qr/^(?:MAIL|RCPT|DATA|BDAT)/); }

subtest 'off' => sub {
	my $mta = Backend->start(starttls => $cert);
	my ($text) = try($mta, tls => 'off');

	like($text, qr/^250 /, 'accepted');
	is($mta->last->{tls}, undef, 'in plain text');
};

subtest 'may' => sub {
	my $mta = Backend->start(starttls => $cert);
	my ($text) = try($mta, tls => 'may');

	like($text, qr/^250 /, 'accepted');
	like($mta->last->{tls} // '', qr/^TLSv1/, 'over TLS');
	is(scalar grep({ !$_->{tls} && $_->{line} =~ /^MAIL/ }
	    $mta->events('command')), 0, 'no MAIL in plain text');
	my @ehlo = grep { $_->{line} =~ /^EHLO/ && $_->{tls} }
	    $mta->events('command');
	ok(scalar @ehlo, 'EHLO again after it');

	$mta = Backend->start;
	($text) = try($mta, tls => 'may');
	like($text, qr/^250 /, 'without the offer, in plain text');
};

subtest 'encrypt' => sub {
	my $mta = Backend->start(starttls => $other);
	my ($text) = try($mta, tls => 'encrypt');

	like($text, qr/^250 /, 'any certificate');
	like($mta->last->{tls} // '', qr/^TLSv1/, 'over TLS');
	for my $bad (Backend->start, Backend->start(starttls => $cert,
	    STARTTLS => '454 4.7.0 not now')) {
		my ($answer) = try($bad, tls => 'encrypt');
		like($answer, qr/^4\d\d 4\./, 'no TLS, no mail');
		is(sent($bad), 0, 'nothing in plain text');
	}
};

subtest 'verify' => sub {
	my %set = (tls => 'verify', 'tls-ca-file' => $cert->ca);
	my $mta = Backend->start(starttls => $cert);
	my ($text) = try($mta, %set);

	like($text, qr/^250 /, 'the right one, by address');
	($text) = try($mta, %set, address => 'localhost:' . $mta->port);
	like($text, qr/^250 /, 'the right one, by name');
	my ($tls) = grep { $_->{sni} } $mta->events('tls');
	is($tls && $tls->{sni}, 'localhost', 'which it was told (SNI)');

	my $stranger = Backend->start(starttls => $other);
	($text) = try($stranger, %set);
	like($text, qr/^4\d\d 4\./, 'signed by somebody else');
	is(sent($stranger), 0, 'hears nothing');

	$cert->issue('elsewhere', 'DNS:elsewhere.example');
	my $wrong = bless { %$cert }, 'WrongName';
	my $named = Backend->start(starttls => $wrong);
	($text, my $proxy) = try($named, %set);
	like($text, qr/^4\d\d 4\./, 'a certificate for another name');
	is(sent($named), 0, 'hears nothing');
	$proxy->log_like(qr/tls|certificate|verify/i, 'the log says why');
};

# CVE-2021-38371, nginx CVE-2026-1642: what came in plain text behind the 220
# is not a reply that came over TLS.
subtest 'injection by the backend, or by who sits before it' => sub {
	for my $inject ("250 injected\r\n",
	    "250-injected\r\n250 AUTH PLAIN\r\n" x 3,
	    "250 mta\r\n250 ok\r\n250 ok\r\n354 go\r\n250 stolen\r\n") {
		my $mta = Backend->start(starttls => $cert,
		    inject => $inject);
		my ($text, $proxy) = try($mta, tls => 'encrypt');
		if ($text =~ /^250 /) {
			is(scalar $mta->messages, 1,
			    'accepted means the backend has it');
			unlike($text, qr/injected|stolen/,
			    'the reply is the real one');
		} else {
			like($text, qr/^4\d\d 4\./, 'refused for now');
			is(scalar $mta->messages, 0, 'and not sent');
		}
		my $offered = $proxy->client->hello;
		ok(!exists $offered->{AUTH}, 'no extension came that way');
	}
};

subtest 'the handshake fails' => sub {
	for my $tls ('may', 'encrypt') {
		my $mta = Backend->start(extensions => ['STARTTLS'],
		    STARTTLS => { raw => "220 go\r\nthis is no TLS\r\n",
		    then => 'close' });
		my ($text) = try($mta, tls => $tls);
		like($text, qr/^(?:4\d\d 4\.|250 )/, "$tls: an answer");
		is(sent($mta), 0, 'nothing in plain text')
		    if $tls eq 'encrypt';
	}
};

{
	# A Cert that shows the certificate for another name.
	package WrongName;
	sub cert { return "$_[0]{dir}/elsewhere.pem"; }
	sub key  { return "$_[0]{dir}/elsewhere.key"; }
}

done_testing;
