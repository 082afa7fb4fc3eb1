#!/usr/bin/perl
# What a message says of its way: our Received when it is wanted, messages that
# go in circles, and Authentication-Results that somebody wrote in our name.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use Test::More;
use Backend;
use Cert;
use Module;
use Proxy;

my $mta = Backend->start('RCPT TO:<no@' => '550 5.1.1 no');

sub delivered
{
	my ($c, $content, @to) = @_;

	$mta->forget;
	$c->deliver('a@example.org', @to > 1 ? [@to] : $to[0] // 'b@example.com', $content);
	return $mta->last->{content};
}

my $date = qr/\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000/;

subtest 'our Received' => sub {
	my $cert = Cert->make;
	my $proxy = Proxy->start(backend => $mta->address, set => { received => 'yes' },
	    listen => { 'tls-certificate' => $cert->cert, 'tls-key' => $cert->key });
	my $c = $proxy->client;

	$c->hello('client.example');
	my $got = delivered($c, "A: b\r\n\r\nx\r\n");
	like($got, qr/\AReceived: from client\.example \(\S+ \[127\.0\.0\.1\]\)\r
\tby \S+ \(vratar\) with ESMTP id [0-9a-f]+\r
\tfor <b\@example\.com>; $date\r
A: b\r\n\r\nx\r\n\z/, 'on top');
	my ($id) = $got =~ / id ([0-9a-f]+)/;
	$proxy->log_like(qr/ $id message from=/, 'its id is the one of the log');
	like(delivered($c, "A: b\r\n\r\nx\r\n", 'b@example.com', 'c@example.com'),
	    qr/ id [0-9a-f]+; $date\r\nA: b\r\n/, 'of two recipients none is named');
	like(delivered($c, "\r\nx\r\n"), qr/; $date\r\n\r\nx\r\n\z/, 'without a header');
	like(delivered($c, "From x\r\nA: b\r\n\r\nx\r\n"), qr/\AFrom x\r\nReceived: /, 'below a mailbox line');

	$c = $proxy->client;
	$c->greeting;
	$c->send('HELO [127.0.0.1]');
	$c->expect(qr/^250/, 'HELO');
	like(delivered($c, "A: b\r\n\r\nx\r\n"), qr/from \[127\.0\.0\.1\] .* with SMTP id /s, 'SMTP');

	$c = $proxy->client;
	$c->hello('client.example');
	$c->starttls;
	$c->hello('client.example');
	like(delivered($c, "A: b\r\n\r\nx\r\n"), qr/\r\n\t\(using TLSv1\.3 with cipher \S+ \(256\/256 bits\)\)\r
\tby \S+ \(vratar\) with ESMTPS id /, 'TLS');
};

subtest 'a message that goes in circles' => sub {
	for my $case ([{}, 49], [{ received => 'yes' }, 48], [{ 'hopcount-limit' => 3 }, 2]) {
		my ($set, $most) = @$case;
		my $proxy = Proxy->start(backend => $mta->address, set => $set);
		my $c = $proxy->client;
		my $hop = "Received: from x\r\n\tby y; z\r\n";

		$c->hello;
		delivered($c, $hop x $most . "\r\n" . $hop x 60);
		$mta->forget;
		$c->envelope('a@example.org', 'b@example.com');
		$c->message("A: b\r\n" . $hop x $most . "recEIVED : x\r\n\r\nx\r\n");
		$c->expect(qr/^554 5\.4\.6/, 'one more than ' . $most);
		is(scalar $mta->messages, 0, 'nobody has it');
		delivered($c, "A: b\r\n\r\nx\r\n");
	}
};

my $forged = "Authentication-Results: mx.example.org; spf=pass\r\n" .
    "A: b\r\n" .
    "authentication-results: (x) \"MX.example.org\" 1;\r\n\tdkim=pass\r\n" .
    "Authentication-Results: other.example; spf=pass\r\n\r\nx\r\n";
my $cleaned = "A: b\r\nAuthentication-Results: other.example; spf=pass\r\n\r\nx\r\n";
my @says = ('header Authentication-Results header=add,0,X-Seen,y continue',
    'eom change@ header=change,1,Authentication-Results,mine continue');

subtest 'Authentication-Results, and nobody asks' => sub {
	my $proxy = Proxy->start(backend => $mta->address, set => { hostname => 'mx.example.org' });
	my $c = $proxy->client;

	$c->hello;
	is(delivered($c, $forged), $forged, 'nothing is touched');
};

subtest 'authserv-id' => sub {
	my $proxy = Proxy->start(backend => $mta->address, set => { 'authserv-id' => 'mx.example.org' });
	my $c = $proxy->client;

	$c->hello;
	is(delivered($c, $forged), $cleaned, 'is nobody else\'s');
	is(delivered($c, $cleaned), $cleaned, 'others are not touched');

	$proxy = Proxy->start(backend => $mta->address, Module::script(\@says),
	    set => { 'authserv-id' => 'mx.example.org' });
	$c = $proxy->client;
	$c->hello;
	is(delivered($c, $forged), $cleaned =~ s/\r\n\r\n/\r\nX-Seen: y\r\n\r\n/r, 'filters see what is left');
	$mta->forget;
	$c->deliver('change@example.org', 'b@example.com', $forged);
	is($mta->last->{content}, "A: b\r\nAuthentication-Results: mine\r\nX-Seen: y\r\n\r\nx\r\n", 'and count that');
};

subtest 'a policy that adds one' => sub {
	my $file = File::Temp->new(SUFFIX => '.rules');
	print $file "at eom\n    insert header \"Authentication-Results: %{local.name}; none\"\n";
	close $file;
	my $proxy = Proxy->start(backend => $mta->address, set => { hostname => 'mx.example.org' },
	    listen => { chain => ['policy'] },
	    extra => "filter \"policy\" { type = \"policy\" file = \"$file\" }\n");
	my $c = $proxy->client;

	$c->hello;
	is(delivered($c, $forged), "Authentication-Results: mx.example.org; none\r\n$cleaned",
	    'speaks for hostname, and nobody else does');
};
done_testing;
