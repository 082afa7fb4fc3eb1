#!/usr/bin/perl
# Filters may change the envelope: the backend hears it again, as a whole, and
# if it does not take all of it nobody has the message.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use Test::More;
use Backend;
use Module;
use Proxy;

my @says = (
	'eom add@ add-rcpt=extra@example.com continue',
	'eom delete@ delete-rcpt=b@example.com continue',
	'eom deleteall@ delete-rcpt=b@example.com delete-rcpt=c@example.com continue',
	'eom from@ from=new@example.net continue',
	'eom null@ from= continue',
	'eom same@ add-rcpt=b@example.com delete-rcpt=nobody@example.com from=same@example.org continue',
	'eom late@ add-rcpt=extra@example.com later=10 continue',
	'eom refused@ add-rcpt=extra@example.com reject',
	'eom bad@ add-rcpt=no@example.com continue',
	'eom utf8@ add-rcpt=ä@example.com continue',
	'rcpt early@ add-rcpt=extra@example.com continue',
	'eom mixed@ add-rcpt=extra@example.com delete-rcpt=b@example.com from=x@example.org continue',
);

my %want = (
	add	=> ['add@example.org', 'b@example.com', 'c@example.com', 'extra@example.com'],
	delete	=> ['delete@example.org', 'c@example.com'],
	from	=> ['new@example.net', 'b@example.com', 'c@example.com'],
	null	=> ['', 'b@example.com', 'c@example.com'],
	same	=> ['same@example.org', 'b@example.com', 'c@example.com'],
	late	=> ['late@example.org', 'b@example.com', 'c@example.com', 'extra@example.com'],
	mixed	=> ['x@example.org', 'c@example.com', 'extra@example.com'],
);

for my $extensions ([@Backend::EXTENSIONS], ['8BITMIME', 'DSN']) {
	my $mta = Backend->start(extensions => $extensions,
	    'RCPT TO:<no@' => '550 5.1.1 not that one');
	my $proxy = Proxy->start(backend => $mta->address,
	    Module::script(\@says), set => { 'error-limit' => 1000 });

	subtest "a backend with @$extensions" => sub {
		my $c = $proxy->client;

		$c->hello;
		for my $name (sort keys %want) {
			my ($from, @rcpts) = @{$want{$name}};
			$mta->forget;
			$c->deliver("$name\@example.org",
			    ['b@example.com', 'c@example.com'], "X: y\r\n\r\n$name\r\n");
			my $m = $mta->last;
			is($m->{from}, "<$from>", "$name: sender");
			is_deeply($m->{rcpts}, [map { "<$_>" } @rcpts], 'recipients');
			is($m->{content}, "X: y\r\n\r\n$name\r\n", 'content');
			is(scalar $mta->messages, 1, 'once');
			is(scalar $mta->commands(qr/^RSET/), $name eq 'same' ? 0 : 1,
			    $name eq 'same' ? 'nothing to change' : 'said again');
		}
		$mta->forget;
		$c->deliver('add@example.org', 'b@example.com');
		ok((grep { /extra.*NOTIFY=NEVER/ } $mta->commands), 'parameters are said')
		    if $extensions->[-1] eq 'DSN' || @$extensions > 2;
	};

	subtest 'what goes wrong' => sub {
		my $c = $proxy->client;
		my %like = (refused => qr/^554 5\.7\.1/, bad => qr/^451 4\.3\.0/,
		    utf8 => qr/^451 4\.3\.0/);

		$c->hello;
		for my $name (sort keys %like) {
			$mta->forget;
			$c->envelope("$name\@example.org", 'b@example.com');
			$c->message("x\r\n");
			$c->expect($like{$name}, $name);
			is(scalar $mta->messages, 0, 'nobody has it');
			$c->deliver('fine@example.org', 'b@example.com');
			is_deeply($mta->last->{rcpts}, ['<b@example.com>'],
			    'and the next one is not touched');
		}
		$mta->forget;
		$c->deliver('deleteall@example.org', ['b@example.com', 'c@example.com']);
		is(scalar $mta->messages, 0, 'without recipients it is discarded');
		$proxy->log_like(qr/ discard from=deleteall/, 'loudly');
	};

	subtest 'the backend goes away while it hears it again' => sub {
		my $c = $proxy->client;

		$c->hello;
		for my $at ('RSET', 'MAIL FROM:<add@', 'RCPT TO:<extra@') {
			$mta->forget;
			$c->envelope('add@example.org', 'b@example.com');
			$mta->set($at => { close => 1 });
			$c->message("x\r\n");
			$c->expect(qr/^451 4\.4\.2/, "at $at");
			$mta->unset($at);
			is(scalar $mta->messages, 0, 'nobody has it');
		}
		$c->envelope('add@example.org', 'b@example.com');
		$mta->set('MAIL FROM:<add@' => '451 4.3.0 full');
		$c->message("x\r\n");
		$c->expect(qr/^451 4\.3\.0/, 'MAIL is refused now');
		$mta->unset('MAIL FROM:<add@');
		$c->deliver('fine@example.org', 'b@example.com');
	};
}

subtest 'an edit at rcpt is done at the end' => sub {
	my $mta = Backend->start;
	my $proxy = Proxy->start(backend => $mta->address,
	    Module::script(\@says));
	my $c = $proxy->client;

	$c->hello;
	$c->deliver('a@example.org', ['early@example.com', 'b@example.com']);
	is_deeply($mta->last->{rcpts}, ['<early@example.com>', '<b@example.com>',
	    '<extra@example.com>'], 'three recipients');
	$c->deliver('a@example.org', 'b@example.com');
	is_deeply($mta->last->{rcpts}, ['<b@example.com>'], 'the next one has its own');
};

subtest 'a policy redirects' => sub {
	my $mta = Backend->start;
	my $file = File::Temp->new(SUFFIX => '.rules');
	print $file <<'END';
at rcpt
    redirect recipient "c@example.com" if rcpt.local is "old"
    add recipient "copy@example.com" if rcpt.local is "copied"
END
	close $file;
	my $proxy = Proxy->start(backend => $mta->address,
	    listen => { chain => ['policy'] },
	    extra => "filter \"policy\" { type = \"policy\" file = \"$file\" }\n");
	my $c = $proxy->client;

	$c->hello;
	$c->deliver('a@example.org', ['b@example.com', 'old@example.com']);
	is_deeply($mta->last->{rcpts}, ['<c@example.com>'], 'to one');
	$c->deliver('a@example.org', ['copied@example.com']);
	is_deeply($mta->last->{rcpts}, ['<copied@example.com>',
	    '<copy@example.com>'], 'to one more');
};

done_testing;
