#!/usr/bin/perl
# A backend that dies at any point costs the client a temporary failure and
# nothing else: no message is lost, none is invented, the next session works.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my @chunking = ('PIPELINING', 'CHUNKING');
my @plain    = ('PIPELINING');

# Where it dies, and with which extensions.
my @points = (
	['CONNECT', \@plain], ['EHLO', \@plain], ['MAIL', \@plain],
	['RCPT', \@plain], ['DATA', \@plain], ['CONTENT', \@plain],
	['.', \@plain], ['CONTENT', \@chunking], ['LAST', \@chunking],
	['RSET', \@plain], ['QUIT', \@plain],
);

for my $how ('close', 'reset') {
	for (@points) {
		my ($where, $ext) = @$_;

		subtest "$how at $where" . ($ext == \@chunking ? ' (BDAT)' :
		    '') => sub { dies($where, $ext, $how); };
	}
}

sub dies
{
	my ($where, $ext, $how) = @_;
	my $mta   = Backend->start(extensions => $ext);
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;
	my $code;

	# The capabilities are known; now it begins to die. What is warm goes.
	$c->hello;
	$mta->set($where => { $how => 1 });
	$mta->drop;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 2\.1\.0/, 'MAIL is ours');
	($code, my $text) = $c->reply;
	if ($where =~ /CONNECT|EHLO|MAIL|RCPT/) {
		like($text, qr/^4(?:51|21) 4\.[34]\.\d/,
		    'the recipient may come back');
	} else {
		is($code, 250, 'the recipient is accepted');
	}
	if ($code == 250) {
		$c->message("Subject: x\r\n\r\nhello\r\n");
		($code, $text) = $c->reply;
		if ($where eq 'RSET' || $where eq 'QUIT') {
			is($code, 250, 'nothing has died yet');
			is(scalar $mta->messages, 1, 'the message is there');
		} else {
			like($text, qr/^4(?:51|21) 4\.[34]\.\d/,
			    'the message may come again');
			is(scalar $mta->messages, $where =~ /^(?:\.|LAST)/ ?
			    scalar $mta->messages : 0, 'and is not there');
		}
	}
	$c->send('RSET', 'QUIT');
	$c->expect_close('the session comes to an end');

	$mta->unset($where);
	$c = $proxy->client;
	$c->hello;
	$mta->forget;
	$c->deliver('next@example.org', 'b@example.com');
	is($mta->last->{from}, '<next@example.org>', 'the next session works');
	is(scalar $mta->messages, 1, 'with its own message only');
}

subtest 'between messages of a session' => sub {
	my $mta   = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	$c->hello;
	for (1 .. 3) {
		$c->deliver('a@example.org', 'b@example.com', "n: $_\r\n");
		$mta->drop;
	}
	is(scalar $mta->messages, 3, 'the client does not notice');
};

# A backend may end a session that has done its work at any time, also when the
# next command is on its way: nothing was done, so all of it is said again.
subtest 'at the first command of the next message' => sub {
	for my $how ('close', 'reset') {
		my $mta = Backend->start(MAIL => sub {
			return $_[0]{used}++ ? { $how => 1 } :
			    '250 2.1.0 sender ok';
		});
		my $proxy = Proxy->start(backend => $mta->address);
		my $c     = $proxy->client;

		$c->hello;
		$c->deliver('a@example.org', 'b@example.com') for 1 .. 2;
		$c->quit;
		$c = $proxy->client;
		$c->hello;
		$c->deliver('a@example.org', 'b@example.com');
		is(scalar $mta->messages, 3, "$how: nobody notices");
		is(scalar(grep { !$_->{rcpts} || @{$_->{rcpts}} != 1 }
		    $mta->messages), 0, 'each recipient once');
	}
};

subtest 'not there at all' => sub {
	my $proxy = Proxy->start(backend => Backend->nobody);
	my $c     = $proxy->client;

	my $ext = $c->hello;
	is(join(' ', sort keys %$ext),
	    'CHUNKING ENHANCEDSTATUSCODES PIPELINING SIZE',
	    'only what needs no backend is offered');
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>',
	    'RCPT TO:<c@example.com>', 'DATA', 'NOOP');
	$c->expect(qr/^250 /);
	$c->expect(qr/^451 4\.4\.1/, 'unreachable') for 1 .. 2;
	$c->expect(qr/^554 5\.5\.1/, 'no DATA');
	$c->expect(qr/^250 /, 'the session lives');
};

subtest 'comes back' => sub {
	my $mta   = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	$mta->kill;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^250 /);
	$c->expect(qr/^451 4\.4\.1/, 'gone');
	$mta->restart;
	$c->send('RSET');
	$c->expect(qr/^250 /);
	$c->deliver('a@example.org', 'b@example.com');
	$proxy->clock(2000);
	my $d = $proxy->client;
	ok(exists $d->hello->{DSN}, 'its extensions are known again');
};

# I2: what the client did not finish is never finished by us.
subtest 'the client dies' => sub {
	for my $ext (\@plain, \@chunking) {
		my $mta   = Backend->start(extensions => $ext);
		my $proxy = Proxy->start(backend => $mta->address);

		for my $how ('close', 'reset') {
			for my $sent ("DATA\r\n", "DATA\r\nhalf a line",
			    "DATA\r\nline\r\n.", "DATA\r\nline\r\n.\r",
			    "DATA\r\n" . 'x' x 70_000) {
				my $c = $proxy->client;
				my ($data, $rest) = split /(?<=DATA\r\n)/,
				    $sent;
				$c->hello;
				$c->envelope('a@example.org',
				    'b@example.com');
				$c->octets($data);
				$c->expect(qr/^354/);
				$c->octets($rest // '');
				$c->$how;
				$proxy->log_like(qr/close reason=/,
				    "$how in content is noticed");
			}
		}
		is(scalar $mta->events('message'), 0, 'nothing is delivered');
		my $c = $proxy->client;
		$c->hello;
		$c->deliver('a@example.org', 'b@example.com');
		is(scalar $mta->messages, 1, 'the next session works');
	}
};

subtest 'the client is gone when the backend says yes' => sub {
	my $mta   = Backend->start(LAST => { hold => 'end',
	    reply => '250 2.0.0 queued as LATE' });
	my $proxy = Proxy->start(backend => $mta->address);
	my $c     = $proxy->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->message("x\r\n");
	ok($mta->wait_held('end'), 'the backend has it');
	$c->close;
	$mta->release('end');
	$proxy->log_like(qr/LATE/, 'the log has the queue id');
	is(scalar $mta->messages, 1, 'delivered once');
};

done_testing;
