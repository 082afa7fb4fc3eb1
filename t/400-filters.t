#!/usr/bin/perl
# What a filter says at each stage is what the client sees, and what it refuses
# the backend never hears of.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Module;
use Proxy;

my $mta = Backend->start('RCPT TO:<nobody@' => '550 5.1.1 not here');

sub start
{
	my ($says, %o) = @_;
	my $more = delete $o{more} // {};
	my %module = Module::script($says, %$more);
	my %listen = (%{$module{listen}}, %{delete $o{listen} // {}});

	return Proxy->start(backend => $mta->address, %module,
	    listen => \%listen, %o);
}

subtest 'connect' => sub {
	my $p = start(['connect 127.0.0.2 reject 550 5.7.1 not you',
	    'connect 127.0.0.3 tempfail 450 4.7.1 not now',
	    'connect 127.0.0.4 reject 521 no mail here',
	    'connect 127.0.0.5 reject', 'connect 127.0.0.6 accept',
	    'mail * reject', 'helo * reject']);

	my %want = (2 => '554 5.7.1 not you', 3 => '421 4.7.1 not now',
	    4 => '521 no mail here', 5 => '554 5.7.1 you are not welcome here');
	for my $n (sort keys %want) {
		my $c = $p->client(from => "127.0.0.$n");
		my (undef, $text) = $c->reply;
		is($text, $want{$n}, 'instead of the banner');
		$c->send('EHLO x');
		is($c->expect_close, '', 'and nothing more');
	}
	$p->log_like(qr/verdict filter=script at=connect verdict=reject rule=127\.0\.0\.2 reply="554 5\.7\.1 not you"/,
	    'logged as it was said');
	# Accept at connect: no filter is asked any more, or it would refuse.
	my $c = $p->client(from => '127.0.0.6');
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
};

subtest 'helo' => sub {
	my $p = start(['helo bad reject 550 5.7.1 bad name',
	    'helo later tempfail 450 4.7.1 later', 'helo end tempfail 421 4.7.0 go']);
	my $c = $p->client;

	$c->greeting;
	for my $verb ('EHLO', 'HELO') {
		$c->send("$verb bad.example");
		$c->expect(qr/^550 5\.7\.1 bad name$/, "$verb is refused");
		$c->send('MAIL FROM:<a@example.org>');
		$c->expect(qr/^503 /, 'and counts for nothing');
		$c->send("$verb later.example");
		$c->expect(qr/^450 4\.7\.1 later$/, "$verb later");
	}
	$c->hello('good.example');
	$c->send('EHLO bad.example', 'MAIL FROM:<a@example.org>');
	$c->expect(qr/^550 /, 'a later EHLO may be refused');
	$c->expect(qr/^503 /, 'and takes the good one back');
	$c->hello('good.example');
	$c->deliver('a@example.org', 'b@example.com');
	$c->send('EHLO end', 'NOOP', 'NOOP');
	$c->expect(qr/^421 4\.7\.0 go$/, 'the reply is 421');
	is($c->expect_close, '', 'closes');
};

subtest 'mail' => sub {
	my $p = start(['mail bad@ reject 550 5.7.1 not from you',
	    'mail default@ reject', 'mail later@ tempfail 451 4.7.1 later',
	    'mail end@ tempfail 421 4.7.0 go', 'mail gone@ discard',
	    'mail good@ accept', 'rcpt * reject']);
	my $c = $p->client;

	$c->hello;
	$mta->forget;
	$c->send('MAIL FROM:<bad@example.org>', 'RCPT TO:<b@example.com>',
	    'MAIL FROM:<default@example.org>', 'MAIL FROM:<later@example.org>',
	    'DATA');
	$c->expect(qr/^550 5\.7\.1 not from you$/, 'refused');
	$c->expect(qr/^503 /, 'no transaction');
	$c->expect(qr/^550 5\.7\.1 refused by policy$/, 'without a text');
	$c->expect(qr/^451 4\.7\.1 later$/, 'temporarily');
	$c->expect(qr/^503 /, 'no DATA');
	is(scalar $mta->commands(qr/^MAIL/), 0, 'the backend hears nothing');
	$p->log_like(qr/decision from=bad\@example\.org accepted=0 refused=0 verdict=reject at=mail by=bad\@ reply="550 5\.7\.1 not from you" id=\w+\.\d+ filter\.script=reject\@mail,\d+us,bad\@/,
	    'the decision record');
	# Accept at mail: the recipients are not asked about.
	$c->deliver('good@example.org', 'b@example.com');
	$c->send('MAIL FROM:<other@example.org>', 'RCPT TO:<b@example.com>',
	    'RSET');
	$c->expect(qr/^250 /);
	$c->expect(qr/^550 /, 'of the next message they are');
	$c->expect(qr/^250 /);
	$mta->forget;
	$c->deliver('gone@example.org', ['b@example.com', 'nobody@example.com']);
	is(scalar $mta->messages, 0, 'discarded: 250, and nobody has it');
	is(scalar $mta->commands(qr/^(?:MAIL|RCPT|DATA|BDAT)/), 0,
	    'the backend hears nothing');
	$p->log_like(qr/discard from=gone\@example\.org nrcpt=2 size=24 \(the client .*\) level=warn/,
	    'loudly');
	$p->log_like(qr/decision from=gone\@.* verdict=discard at=mail/,
	    'and in the record');
	$c->send('MAIL FROM:<end@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect(qr/^421 4\.7\.0 go$/, 'the reply is 421');
	is($c->expect_close, '', 'closes');
};

subtest 'rcpt' => sub {
	my $p = start(['rcpt bad reject 550 5.1.1 bad', 'rcpt later tempfail',
	    'rcpt slow later=20 continue', 'rcpt waits later=20 reject',
	    'rcpt dropped discard']);
	my $c = $p->client;
	my @row = (
		['good1@example.com', qr/^250 2\.1\.5/],
		['bad1@example.com', qr/^550 5\.1\.1 bad$/],
		['nobody@example.com', qr/^550 5\.1\.1 not here$/],
		['slow1@example.com', qr/^250 2\.1\.5/],
		['later1@example.com', qr/^451 4\.7\.1/],
		['waits1@example.com', qr/^550 5\.7\.1/],
		['broken address', qr/^501/],
		['good2@example.com', qr/^250 2\.1\.5/],
		['bad2@example.com', qr/^550 5\.1\.1 bad$/],
	);
	my @group = (@row) x 2;

	$c->hello;
	$mta->forget;
	$c->send('MAIL FROM:<a@example.org>',
	    (map { "RCPT TO:<$_->[0]>" } @group), 'DATA');
	$c->expect(qr/^250 /);
	$c->expect($_->[1], $_->[0]) for @group;
	$c->expect(qr/^354/);
	$c->octets(Client::stuff("Subject: x\r\n\r\nhello\r\n"));
	$c->expect(qr/^250 /);
	is_deeply($mta->last->{rcpts}, [map { "<$_\@example.com>" }
	    qw(good1 slow1 good2) x 2], 'the good ones get it, in order');
	is(scalar $mta->commands(qr/bad|later|waits/), 0,
	    'the backend never heard of the others');
	$mta->forget;
	$c->deliver('a@example.org', ['good1@example.com',
	    'dropped@example.com', 'good2@example.com']);
	is(scalar $mta->messages, 0, 'discard at rcpt: of the whole message');
};

subtest 'data' => sub {
	my $p = start(['data bad@ reject 554 5.7.1 no data',
	    'data later@ later=10 tempfail', 'data gone@ discard',
	    'data slow@ later=10 continue', 'data good@ accept',
	    'eom good@ reject']);
	my $c = $p->client;

	$c->hello;
	for my $how ('DATA', "BDAT 3 LAST\r\nx\r\n") {
		my $reply = $how eq 'DATA' ? qr/^354/ : qr/^250/;
		$mta->forget;
		$c->envelope('bad@example.org', 'b@example.com');
		$c->send($how =~ s/\r\n\z//r);
		$c->expect(qr/^554 5\.7\.1 no data$/, 'refused');
		$c->send('RSET');
		$c->expect(qr/^250/);
		$c->envelope('later@example.org', 'b@example.com');
		$c->send($how =~ s/\r\n\z//r);
		$c->expect(qr/^451 4\.7\.1 not now/, 'temporarily');
		$c->send('RSET');
		$c->expect(qr/^250/);
		is(scalar $mta->commands(qr/^(?:DATA|BDAT)/), 0,
		    'the backend hears nothing of it');
		for my $from ('slow@example.org', 'good@example.org',
		    'gone@example.org') {
			$c->envelope($from, 'b@example.com');
			$c->send($how =~ s/\r\n\z//r);
			$c->expect($reply, "$from: data");
			if ($how eq 'DATA') {
				$c->send('x', '.');
				$c->expect(qr/^250/, "$from: taken");
			}
		}
		is(scalar $mta->messages, 2, 'one of them is thrown away');
	}
	$c->envelope('slow@example.org', 'b@example.com');
	$c->send('DATA', 'x', '.');
	$c->expect(qr/^554 5\.5\.0/, 'who does not wait for 354 is found out');
	$c->expect_close;
};

my @content = (
	header => 'Subject: bad', eoh => 'bad@', body => 'badbody',
	eom => 'bad@',
);
while (my ($event, $match) = splice @content, 0, 2) {
	subtest $event => sub {
		my ($m) = $match =~ /(\S+)\z/;
		my $p = start(["$event $m reject 554 5.7.1 bad $event"]);
		my $c = $p->client;
		my $from = $match =~ /@/ ? 'bad@example.org' : 'a@example.org';
		my $message = "X: y\r\nSubject: " .
		    ($event eq 'header' ? 'bad' : 'x') . "\r\n\r\n" .
		    ($event eq 'body' ? 'badbody' : 'hello') . "\r\n";

		$c->hello;
		$mta->forget;
		$c->envelope($from, 'b@example.com');
		$c->message($message);
		$c->expect(qr/^554 5\.7\.1 bad $event$/, 'DATA is refused');
		$c->envelope($from, 'b@example.com');
		$c->bdat($message, 1);
		$c->expect(qr/^554 5\.7\.1 bad $event$/, 'BDAT is refused');
		$c->envelope($from, 'b@example.com');
		$c->bdat(substr($message, 0, 10), 0);
		$c->expect(qr/^250/, 'the first chunk');
		$c->bdat(substr($message, 10), 1);
		$c->expect(qr/^554 5\.7\.1 bad $event$/, 'all of it is not');
		is(scalar $mta->messages, 0, 'the backend has none');
		$p->log_like(qr/message from=\S+ nrcpt=1 .* reply="554 5\.7\.1 bad $event"/,
		    'logged');
		$p->log_like(qr/decision .* verdict=reject at=$event by=\S+ reply="554 5\.7\.1 bad $event"/,
		    'and in the record');
		$c->deliver('good@example.org', 'b@example.com');
	};
}

subtest 'two filters' => sub {
	my $so = Module::build('t/module/script.c');
	my $p = Proxy->start(backend => $mta->address,
	    listen => [{ chain => ['one', 'two'] }, { chain => ['two'] }, {}],
	    extra => qq(load-module = { "$so" }\n) .
	    'filter "one" { type = "script" says = { ' .
	    '"rcpt x@ accept", "rcpt y@ later=5 continue", "rcpt z@ reject 550 one" } }' .
	    "\n" . 'filter "two" { type = "script" says = { ' .
	    '"rcpt * reject 550 two" } }' . "\n");

	my @want = (['one', qr/^250/], ['one', qr/^550 5\.\d\.\d two/],
	    ['one', qr/^550 5\.\d\.\d one/]);
	my $c = $p->client;
	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', map { "RCPT TO:<$_\@example.com>" }
	    qw(x y z));
	$c->expect(qr/^250/);
	$c->expect($_->[1]) for @want;
	for my $n (1, 2) {
		$c = $p->client(listener => $n);
		$c->hello;
		$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<x@example.com>');
		$c->expect(qr/^250/);
		$c->expect($n == 1 ? qr/^550 .*two/ : qr/^250/,
		    'each listener has its own chain');
	}
};

subtest 'observe' => sub {
	my $p = start(['connect * reject', 'helo * reject', 'mail * reject',
	    'rcpt * add-rcpt=spy@example.com reject 550 5.1.1 no',
	    'data * tempfail', 'header * reject', 'eom * discard'],
	    more => { mode => 'observe' });
	my $c = $p->client;

	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	is_deeply($mta->last->{rcpts}, ['<b@example.com>'],
	    'nothing happens to the message');
	$p->log_like(qr/observe filter=script at=$_/, "$_ would have") for
	    qw(connect helo mail rcpt), 'rcpt would=reject rule=\* reply="550 5.1.1 no"',
	    qw(data header), 'eom would=discard';
};

subtest 'reply-id' => sub {
	my $p = start(['mail bad@ reject', 'rcpt bad@ reject 550 5.1.1 no',
	    'eom * reject', 'connect 127.0.0.2 reject'],
	    set => { 'reply-id' => 'true', 'relay-domains' => ['example.com'] });
	my $c = $p->client;

	$c->hello;
	my ($id) = $p->log_like(qr/ connect client=/) =~ / (\w+) connect /;
	$c->send('MAIL FROM:<bad@example.org>', 'MAIL FROM:<a@example.org>',
	    'RCPT TO:<bad@example.com>', 'RCPT TO:<x@example.net>',
	    'RCPT TO:<b@example.com>');
	$c->expect(qr/^550 .*\($id\.1\)$/, 'sender');
	$c->expect(qr/^250 /);
	$c->expect(qr/^550 .*\($id\.2\)$/, 'recipient');
	$c->expect(qr/^550 5\.7\.1 .*\($id\.2\)$/, 'relay access');
	$c->expect(qr/^250 /);
	$c->message("x\r\n");
	$c->expect(qr/^554 .*\($id\.2\)$/, 'message');
	for my $n (1, 2) {
		my $like = qr{ decision .*verdict=reject.* id=$id\.$n };
		$p->log_like($like, 'the log has it under this id');
		is(scalar(() = $p->log($like)), 1, 'once');
	}
	$c = $p->client(from => '127.0.0.2');
	$c->expect(qr/^554 .*\(\w+\)$/, 'connection');
	$c = $p->client;
	$c->hello;
	$c->send('RCPT TO:<x@y>');
	$c->expect(qr/^503 [^(]*$/, 'no refusal by policy, no id');
};

subtest 'facts' => sub {
	my $p = start(['connect * note continue', 'mail * note continue'],
	    more => { name => 'yes' });
	my $c = $p->client;

	$c->hello;
	$c->send('FOO', 'MAIL FROM:<a@example.org>');
	$c->expect(qr/^500/);
	$c->expect(qr/^250/);
	$p->log_like(qr/note subject=127\.0\.0\.1 name=localhost tls=- errors=0/,
	    'the name of the client is known at connect');
	$p->log_like(qr/note subject=a\@example\.org name=localhost tls=- errors=1/,
	    'and errors are counted');
};

done_testing;
