#!/usr/bin/perl
# In front of a real Postfix: it knows the real client, and everything the two
# ends agreed on survives the hop.
use strict;
use warnings;
use lib 't/lib';
use MIME::Base64;
use Test::More;
use Cert;
use Dns;
use Postfix;
use Proxy;

my $postfix = Postfix->start(tls => Cert->shared,
    sasl => { alice => 'wonderland' }) or plan skip_all => $Postfix::why;
my $dns   = Dns->start('8.7.6.10.in-addr.arpa PTR' => 'real.example',
    'real.example A' => '10.6.7.8');
my $proxy = Proxy->start(backend => $postfix->address,
    tls => Cert->shared, mta => { identity => 'auto' },
    listen => { 'accept-proxy-from' => ['127.0.0.9'] },
    set => { 'relay-domains' => undef, 'dns-servers' => [$dns->server],
    'error-limit' => 1000 });

sub tls_client
{
	my $c = $proxy->client(@_);

	$c->hello;
	$c->starttls;
	$c->hello;
	return $c;
}

subtest 'EHLO' => sub {
	my $c = $proxy->client;
	my $ext = $c->hello;

	is(join(' ', sort keys %$ext), '8BITMIME CHUNKING DSN ' .
	    'ENHANCEDSTATUSCODES LIMITS PIPELINING SIZE SMTPUTF8 STARTTLS',
	    'ours and its') if exists $ext->{LIMITS};
	is(join(' ', sort grep { $_ ne 'LIMITS' } keys %$ext), '8BITMIME ' .
	    'CHUNKING DSN ENHANCEDSTATUSCODES PIPELINING SIZE SMTPUTF8 ' .
	    'STARTTLS', 'nothing else');
	is($ext->{SIZE}, 2_000_000, 'its SIZE');
};

subtest 'XCLIENT: the real client is in its log and headers' => sub {
	my $c = $proxy->client(from => '127.0.0.9',
	    first => "PROXY TCP4 10.6.7.8 10.9.9.9 4711 25\r\n");

	$c->hello('helo.example');
	$c->deliver('a@example.org', 'alice@example.com',
	    "Subject: real\r\n\r\nhello\r\n");
	$postfix->log_like(qr/client=real\.example\[10\.6\.7\.8\]/,
	    'client=real.example[10.6.7.8]');
	$postfix->log_like(qr/status=sent \(delivered to maildir/,
	    'delivered');
	like($postfix->wait_mail('alice', qr/Subject: real/) // '',
	    qr/^Received:\ from\ helo\.example\ \(
		real\.example\ \[10\.6\.7\.8\]\)/mx,
	    'Received');
	$c->quit;

	$c = $proxy->client(from => '127.0.0.66');
	$c->hello;
	$c->deliver('a@example.org', 'bob@example.com');
	$postfix->log_like(qr/client=\S*\[127\.0\.0\.66\]/,
	    'the next client is another one');
	$postfix->log_like(qr/to=<bob\@example\.com>.*status=sent/);
};

subtest 'its own words' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>');
	$c->expect(qr/^250 /);
	$c->send('RCPT TO:<nobody@example.com>');
	$c->expect(qr/^550\ 5\.1\.1\ <nobody\@example\.com>:\ Recipient\ address
	    \ rejected:\ User\ unknown\ in\ virtual\ mailbox\ table$/x,
	    'an unknown user');
	$c->send('RCPT TO:<x@example.net>');
	$c->expect(qr/^[45]54\ [45]\.7\.1\ <x\@example\.net>:
	    \ Relay\ access\ denied$/x,
	    'another domain');
	$c->send('RCPT TO:<alice@example.com>');
	$c->expect(qr/^250 2\.1\.5 Ok$/);
	$c->message("Subject: words\r\n\r\nx\r\n");
	$c->expect(qr/^250 2\.0\.0 Ok: (?:\d+ bytes )?queued as \w+$/,
	    'its queue id');
	$proxy->log_like(qr/queue-id=\w+/, 'which is in our log');
	$c->send('MAIL FROM:<a@example.org> SIZE=2000001');
	$c->expect(qr/^552 5\.3\.4/, 'too big by SIZE');
};

subtest 'DSN' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->send('MAIL FROM:<bob@example.com> RET=HDRS ENVID=test+2B4711',
	    'RCPT TO:<alice@example.com> NOTIFY=SUCCESS ' .
	    'ORCPT=rfc822;orig+40other.example');
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->message("Subject: notify\r\n\r\nsecret body\r\n");
	$c->expect(qr/^250 /);
	my $dsn = $postfix->wait_mail('bob',
	    qr/multipart\/report; report-type=delivery-status/) // '';
	like($dsn, qr/^Original-Envelope-Id: test\+4711/m, 'ENVID');
	like($dsn, qr/^Original-Recipient: rfc822;orig\@other\.example/m,
	    'ORCPT');
	like($dsn, qr/^Action: delivered/m, 'NOTIFY=SUCCESS');
	unlike($dsn, qr/secret body/, 'RET=HDRS');
};

subtest 'SMTPUTF8 and 8BITMIME' => sub {
	my $c = $proxy->client;
	my $to = "d\303\274rer\@example.com";

	$c->hello;
	$c->send("MAIL FROM:<\303\244\@example.org> SMTPUTF8 BODY=8BITMIME",
	    "RCPT TO:<$to>");
	$c->expect(qr/^250 /) for 1 .. 2;
	$c->message("Subject: gr\303\274\303\237e\r\nMIME-Version: 1.0\r\n" .
	    "Content-Type: text/plain; charset=utf-8\r\n" .
	    "Content-Transfer-Encoding: 8bit\r\n\r\n\303\226l\r\n");
	$c->expect(qr/^250 /);
	$postfix->log_like(qr/to=<d\303\274rer\@example\.com>.*status=sent/,
	    'delivered');
	my $mail = $postfix->wait_mail("d\303\274rer", qr/\303\226l/) // '';
	like($mail, qr/^Subject: gr\303\274\303\237e$/m, 'header');
	like($mail, qr/^\303\226l$/m, 'body');
};

subtest 'BDAT' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->envelope('a@example.org', 'alice@example.com');
	$c->bdat("Subject: chunks\r\n\r\n.one");
	$c->expect(qr/^250 /);
	$c->bdat("\r\n..two\r\n.\r\n");
	$c->expect(qr/^250 /);
	$c->bdat("three\r\n", 1);
	$c->expect(qr/^250 2\.0\.0 Ok: .*queued/);
	like($postfix->wait_mail('alice', qr/Subject: chunks/) // '',
	    qr/\n\n\.one\n\.\.two\n\.\nthree\n\z/, 'content');
};

subtest 'SIZE' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->envelope('a@example.org', 'alice@example.com');
	$c->message("Subject: big\r\n\r\n" . ('x' x 70 . "\r\n") x 30_000);
	$c->expect(qr/^552 5\.3\.4/, 'too big in fact');
	$c->deliver('a@example.org', 'alice@example.com');
};

my %login = (
	PLAIN => ["\0alice\@test.example\0wonderland"],
	LOGIN => ['alice@test.example', 'wonderland'],
);

subtest 'AUTH' => sub {
	my $c = tls_client();

	like($c->{ext}{AUTH} // '', qr/PLAIN/, 'offered over TLS');
	like($c->{ext}{AUTH} // '', qr/SCRAM-SHA-256(?!-PLUS)/, 'SCRAM too');
	for my $mech (sort keys %login) {
		$c = tls_client(from => '127.0.0.67');
		$c->send("AUTH $mech");
		for (@{$login{$mech}}) {
			$c->expect(qr/^334/);
			$c->send(encode_base64($_, ''));
		}
		$c->expect(qr/^235 2\.7\.0/, $mech);
		$c->send('MAIL FROM:<alice@example.com>',
		    'RCPT TO:<x@elsewhere.example>');
		$c->expect(qr/^250 /) for 1 .. 2;
		$c->message("Subject: x\r\n\r\nx\r\n");
		$c->expect(qr/^250 /, 'may relay');
		$postfix->log_like(qr/\[127\.0\.0\.67\],
		    \ sasl_method=$mech,\ sasl_username=alice/x,
		    'Postfix knows who');
	}
	$c = tls_client();
	$c->send('AUTH PLAIN ' . encode_base64("\0alice\0wrong", ''));
	$c->expect(qr/^535 5\.7\.8/, 'a wrong password');
	$c->send('MAIL FROM:<alice@example.com>',
	    'RCPT TO:<x@elsewhere.example>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^[45]54 [45]\.7\.1/, 'may not');
	$proxy->log_unlike(qr/wonderland|d29uZGVybGFuZA/, 'nothing logged');
};

subtest 'SCRAM-SHA-256' => sub {
	my $c = tls_client();

	scram($c, 'alice@test.example', 'wonderland');
	$c->send('MAIL FROM:<alice@example.com>',
	    'RCPT TO:<x@elsewhere.example>');
	$c->expect(qr/^250 /) for 1 .. 2;
};

# RFC 5802, RFC 7677.
sub scram
{
	my ($c, $user, $password) = @_;
	require Digest::SHA;
	my $hmac = sub { Digest::SHA::hmac_sha256($_[1], $_[0]); };
	my $bare = "n=$user,r=abcdefghijkl";

	$c->send('AUTH SCRAM-SHA-256 ' . encode_base64("n,,$bare", ''));
	my ($text) = $c->expect(qr/^334 \S+/) =~ /^334 (.*)/;
	my $first = decode_base64($text);
	my ($nonce, $salt, $i) = $first =~ /r=([^,]*),s=([^,]*),i=(\d+)/;
	my $u = $hmac->($password, decode_base64($salt) . "\0\0\0\1");
	my $salted = $u;
	for (2 .. $i) {
		$u = $hmac->($password, $u);
		$salted ^= $u;
	}
	my $without = "c=biws,r=$nonce";
	my $key = $hmac->($salted, 'Client Key');
	my $proof = $key ^ $hmac->(Digest::SHA::sha256($key),
	    "$bare,$first,$without");
	$c->send(encode_base64("$without,p=" . encode_base64($proof, ''),
	    ''));
	($text) = $c->expect(qr/^(?:334|235)/) =~ /^(\d+)/;
	if ($text eq '334') {
		$c->send('');
		$c->expect(qr/^235 2\.7\.0/, 'SCRAM-SHA-256');
	} else {
		is($text, '235', 'SCRAM-SHA-256');
	}
}

subtest 'one connection for many messages' => sub {
	my $c = $proxy->client(from => '127.0.0.68');

	$c->hello;
	$c->deliver('a@example.org', 'alice@example.com',
	    "Subject: many $_\r\n\r\nx\r\n") for 1 .. 20;
	for my $n (1 .. 20) {
		$postfix->wait_mail('alice', qr/Subject: many $n\n/) or
		    fail("message $n is not there");
	}
	my @mail = grep { /Subject: many/ } $postfix->mail('alice');
	is(scalar @mail, 20, 'each once');
	is(scalar(grep { !/\[127\.0\.0\.68\]/ } @mail), 0,
	    'each with the client');
};

subtest 'over TLS to Postfix' => sub {
	my $p = Proxy->start(backend => $postfix->address,
	    mta => { identity => 'auto', tls => 'verify',
	    'tls-ca-file' => Cert->shared->ca },
	    set => { 'relay-domains' => undef,
	    'dns-servers' => [$dns->server] });
	my $c = $p->client(from => '127.0.0.69');

	$c->hello;
	$c->deliver('a@example.org', 'alice@example.com');
	$postfix->log_like(qr/TLS connection established/, 'TLS');
	$postfix->log_like(qr/client=\S*\[127\.0\.0\.69\]/, 'and XCLIENT');
};

subtest 'a Postfix that does not authorize us' => sub {
	my $strict = Postfix->start(main => {
	    smtpd_authorized_xclient_hosts => '' });
	my $p = Proxy->start(backend => $strict->address,
	    mta => { identity => 'auto' }, set => {
	    'relay-domains' => undef, 'dns-servers' => [$dns->server] });
	my $c = $p->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>',
	    'RCPT TO:<alice@example.com>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^451 4\.3\.0/, 'gets no mail');
	$p->log_like(qr/smtpd_authorized_xclient_hosts/,
	    'the log says what it needs');
};

done_testing;
