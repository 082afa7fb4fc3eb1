#!/usr/bin/perl
# RSET, NOOP and the ends of transactions leave nothing behind, in whatever
# order they come.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;

my $mta   = Backend->start(
    'RCPT TO:<no@' => '550 5.1.1 no');
my $proxy = Proxy->start(backend => $mta->address,
    set => { 'error-limit' => 100_000, 'junk-command-limit' => 100_000 });

subtest 'RSET anywhere' => sub {
	my $c = $proxy->client;

	$mta->forget;
	$c->hello;
	for my $n (0 .. 4) {
		my @steps = ('MAIL FROM:<a@example.org>',
		    'RCPT TO:<b@example.com>', 'RCPT TO:<no@example.com>',
		    'RCPT TO:<c@example.com>');
		$c->send(@steps[0 .. $n - 1], 'RSET', 'NOOP');
		$c->expect($steps[$_] =~ /no\@/ ? qr/^550/ : qr/^250 /)
		    for 0 .. $n - 1;
		$c->expect(qr/^250 2\.0\.0/, "RSET after $n commands");
		$c->expect(qr/^250 2\.0\.0/, 'NOOP');
		$c->send('DATA');
		$c->expect(qr/^503 5\.5\.1/, 'no transaction is left');
	}
	$c->deliver('z@example.org', 'last@example.com');
	is_deeply($mta->last->{rcpts}, ['<last@example.com>'], 'one recipient');
	is($mta->last->{from}, '<z@example.org>', 'one sender');
	is(scalar $mta->messages, 1, 'one message');
};

subtest 'after a refused end of data' => sub {
	my $refusing = Backend->start('.' => ['554 5.7.1 spam', '250 2.0.0 ok'],
	    LAST => ['554 5.7.1 spam', '250 2.0.0 ok']);
	my $p = Proxy->start(backend => $refusing->address);
	my $c = $p->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->message("one\r\n");
	$c->expect(qr/^554 5\.7\.1 spam$/, "the backend's verdict");
	$c->send('RCPT TO:<c@example.com>', 'DATA');
	$c->expect(qr/^503 5\.5\.1/, 'the transaction ended with it');
	$c->expect(qr/^503 5\.5\.1/, 'and no second content follows');
	$c->deliver('d@example.org', 'e@example.com', "two\r\n");
	is($refusing->last->{content}, "two\r\n", 'the next one is taken');
	is_deeply($refusing->last->{rcpts}, ['<e@example.com>'],
	    'with its own recipient');
};

# A model of what the state must be, and random walks through it with a fixed
# seed.
subtest 'random walks' => sub {
	my $seed = 4711;
	my $next = sub {
		$seed = ($seed * 1103515245 + 12345) & 0x7fffffff;
		return int($seed / 65536) % $_[0];
	};
	my $sent = 0;

	$mta->forget;
	for my $walk (1 .. 20) {
		my $c = $proxy->client;
		my ($mail, $rcpts) = (0, 0);
		my (@lines, @want);

		$c->hello;
		for (1 .. 40) {
			my $what = (qw(MAIL RCPT RCPT NO RSET NOOP VRFY EHLO
			    XXXX BDAT))[$next->(10)];
			if ($what eq 'MAIL') {
				push @lines, 'MAIL FROM:<a@example.org>';
				push @want, $mail ? 503 : 250;
				$mail = 1;
			} elsif ($what eq 'RCPT' || $what eq 'NO') {
				push @lines, $what eq 'NO' ?
				    'RCPT TO:<no@example.com>' :
				    'RCPT TO:<b@example.com>';
				push @want, !$mail ? 503 :
				    $what eq 'NO' ? 550 : 250;
				$rcpts++ if $mail && $what eq 'RCPT';
			} elsif ($what eq 'BDAT') {
				push @lines, "BDAT 3 LAST\r\nx";
				push @want, $rcpts ? 250 : 5;
				$sent++ if $rcpts;
				$mail = $rcpts = 0 if $rcpts;
			} elsif ($what eq 'EHLO' || $what eq 'RSET') {
				push @lines, $what eq 'EHLO' ? 'EHLO x' : $what;
				push @want, 250;
				$mail = $rcpts = 0;
			} else {
				push @lines, $what eq 'VRFY' ? 'VRFY x' : $what;
				push @want, { NOOP => 250, VRFY => 252,
				    XXXX => 500 }->{$what};
			}
			# A refused BDAT is not part of the model.
			if ($want[-1] == 5) {
				push @lines, 'RSET';
				push @want, 250;
				$mail = $rcpts = 0;
			}
		}
		$c->send(@lines);
		my @got = map { ($c->reply)[0] } @want;
		for (0 .. $#want) {
			$got[$_] = 5 if $want[$_] == 5 && $got[$_] =~ /^5/;
		}
		is("@got", "@want", "walk $walk") or
		    diag(join "\n", @lines);
		$c->close;
	}
	is(scalar $mta->messages, $sent, "$sent messages, no more and no less");
	is(scalar(grep { $_->{content} ne "x\r\n" } $mta->messages), 0,
	    'each with its content');
};

subtest 'QUIT, and QUIT again' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->send('QUIT', 'QUIT', 'MAIL FROM:<a@example.org>');
	$c->expect(qr/^221 2\.0\.0/, 'QUIT');
	is($c->expect_close, '', 'and no reply after it');
};

subtest 'a backend whose RSET fails is used no more' => sub {
	my $bad = Backend->start(RSET => '503 5.5.1 never');
	my $p = Proxy->start(backend => $bad->address);
	my $c = $p->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('RSET');
	$c->expect(qr/^250 2\.0\.0/, 'our RSET');
	$c->deliver('c@example.org', 'd@example.com');
	my $m = $bad->last;
	is_deeply($m->{rcpts}, ['<d@example.com>'], 'a clean transaction');
	my @first = grep { $_->{line} =~ /<b\@/ } $bad->events('command');
	isnt($m->{conn}, $first[0]{conn}, 'on another connection');
};

done_testing;
