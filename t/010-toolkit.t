#!/usr/bin/perl
# The toolkit itself: what the scripted client sends is what the scripted
# backend records, and each trick of the backend's script works. Without this a
# fault of the toolkit would look like a fault, or a virtue, of the proxy.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Cert;
use Client;

sub backend_client
{
	my ($mta) = @_;

	return Client->connect(port => $mta->port);
}

subtest 'a message, by DATA and by BDAT' => sub {
	my $mta = Backend->start;
	my $c = backend_client($mta);
	my $content = "Subject: x\r\n\r\n.dot\r\n..\r\n.\r\nend\r\n";

	$c->hello;
	ok(exists $c->{ext}{CHUNKING}, 'EHLO keywords');
	$c->envelope('a@example.org', 'b@example.com', 'c@example.com');
	$c->message($content);
	$c->expect(qr/^250 2\.0\.0 queued/, 'accepted');
	is($mta->last->{content}, $content, 'content without stuffing');
	like($mta->last->{wire}, qr/\r\n\.\.dot\r\n\.\.\.\r\n\.\.\r\n/,
	    'wire with stuffing');
	is_deeply($mta->last->{rcpts}, ['<b@example.com>', '<c@example.com>'],
	    'recipients');
	is($mta->last->{from}, '<a@example.org>', 'sender');

	$c->envelope('', 'b@example.com');
	$c->bdat("one\n.\n");
	$c->expect(qr/^250 /, 'chunk');
	$c->bdat('', 1);
	$c->expect(qr/^250 2\.0\.0 queued/, 'last chunk');
	is($mta->last->{content}, "one\n.\n", 'BDAT content');
	is(scalar $mta->messages, 2, 'two messages');
	$c->quit;
};

subtest 'only CR LF "." CR LF ends data' => sub {
	my $mta = Backend->start;
	my $c = backend_client($mta);

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354/);
	$c->pieces(1, "a\n.\nb\r.\rc\r\n.\nd\n.\r\ne\r\n.\r\n");
	$c->expect(qr/^250 /);
	is($mta->last->{wire}, "a\n.\nb\r.\rc\r\n.\nd\n.\r\ne\r\n.\r\n",
	    'all of it is content');
	$c->envelope('a@example.org', 'b@example.com');
	$c->message('');
	$c->expect(qr/^250 /);
	is($mta->last->{content}, '', 'an empty message');
};

subtest 'rules' => sub {
	my $mta = Backend->start(
	    'RCPT TO:<nobody@' => '550 5.1.1 no such user',
	    'RCPT TO:<slow@' => { hold => 'slow',
		reply => '250 2.1.5 at last' },
	    'NOOP' => ['250 first', "250 second\nline"],
	    'VRFY' => { raw => "2x" , then => 'close' });
	my $c = backend_client($mta);

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('RCPT TO:<Nobody@example.com>');
	$c->expect(qr/^550 5\.1\.1 no such user$/, 'a reply for a prefix');
	$c->send('NOOP', 'NOOP', 'NOOP');
	$c->expect(qr/^250 first$/, 'the first of a list');
	$c->expect(qr/^250-second\n250 line$/, 'several lines');
	$c->expect(qr/^250-second\n250 line$/, 'the last of a list stays');

	$c->send('RCPT TO:<slow@example.com>', 'NOOP');
	ok($mta->wait_held('slow'), 'held');
	$c->expect_nothing('nothing while held');
	$mta->release('slow');
	$c->expect(qr/^250 2\.1\.5 at last/, 'released');
	$c->expect(qr/^250-second/, 'and what came behind it');

	$mta->set(NOOP => '421 4.3.2 going');
	$c->send('NOOP');
	$c->expect(qr/^421 4\.3\.2 going/, 'another rule');
	is(scalar $mta->commands(qr/^RCPT/), 3, 'commands are recorded');

	$c->send('VRFY x');
	is($c->expect_close('closed by the script'), '2x', 'in a reply');
	is($mta->wait_close->{state}, 'command', 'reported');
};

subtest 'reset, silence, kill and restart' => sub {
	my $mta = Backend->start(CONNECT => [{ reset => 1 }, '220 hi'],
	    NOOP => undef, RSET => { reply => '250 drip', drip => 1 });
	my $c = backend_client($mta);

	$c->expect_close('reset instead of a greeting');
	$c = backend_client($mta);
	$c->hello;
	$c->send('NOOP', 'RSET');
	$c->expect(qr/^250 drip/, 'no reply to NOOP');
	$mta->kill;
	$c->expect_close('killed');
	$mta->set(CONNECT => '220 new');
	$mta->restart;
	$c = backend_client($mta);
	$c->hello;
};

subtest 'STARTTLS, AUTH, XCLIENT' => sub {
	my $mta = Backend->start(starttls => Cert->shared,
	    auth => 'PLAIN LOGIN', xclient => 'NAME ADDR');
	my $c = backend_client($mta);

	$c->hello;
	$c->starttls;
	ok(!exists $c->hello->{STARTTLS}, 'not offered twice');
	$c->send('AUTH LOGIN');
	$c->expect(qr/^334 /);
	$c->send('YQ==');
	$c->expect(qr/^334 /);
	$c->send('Yg==');
	$c->expect(qr/^235 /, 'AUTH LOGIN');
	is_deeply([map { $_->{line} } $mta->events('auth')],
	    ['YQ==', 'Yg=='], 'the dialogue is recorded');
	$c->send('XCLIENT ADDR=192.0.2.1 NAME=a+2Bb');
	$c->expect(qr/^220 /, 'XCLIENT');
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	is_deeply($mta->last->{xclient}, { ADDR => '192.0.2.1',
	    NAME => 'a+b' }, 'attributes');
	like($mta->last->{tls}, qr/^TLSv1/, 'TLS');
};

subtest 'LMTP, unix socket, PROXY header, nobody' => sub {
	my $mta = Backend->start(lmtp => 1, '.<c@' => '550 5.2.2 full');
	my $c = backend_client($mta);

	$c->hello('x', 'LHLO');
	$c->envelope('a@example.org', 'b@example.com', 'c@example.com');
	$c->message("x\r\n");
	$c->expect(qr/^250 /, 'for the first recipient');
	$c->expect(qr/^550 5\.2\.2/, 'for the second');

	$mta = Backend->start(proxy => 1);
	$c = Client->connect(port => $mta->port,
	    first => "PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n");
	$c->hello;
	like(($mta->events('proxy'))[0]{header}, qr/TCP4 192\.0\.2\.1/,
	    'PROXY header');
	my ($port) = Backend->nobody =~ /(\d+)$/;
	ok(!eval { Client->connect(port => $port) }, 'refused');
};

done_testing;
