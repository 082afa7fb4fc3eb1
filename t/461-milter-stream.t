#!/usr/bin/perl
# A milter that has negotiated no changes, or is not asked, does not keep a large message from
# going on while it comes, nor the filters behind it from seeing it meanwhile;
# what it refuses is delivered to nobody.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Milter;
use Scanned;

my $body = "and text\r\n" . ('x' x 900 . "\r\n") x 2000;
my $files;

sub start
{
	my ($mta, $milters, %set) = @_;

	return Scanned->start(backend => $mta->address,
	    chains => { it => [map { "m$_" } 0 .. $#$milters] },
	    filters => join('', map { "filter \"m$_\" {\n\ttype = \"milter\"\n\tsocket = \"" .
		$milters->[$_][0]->address . "\"\n\t" . ($milters->[$_][1] // '') . "\n}\n" }
		0 .. $#$milters),
	    set => { 'hold-size' => '100K', %set });
}

# Refuses at the end what comes from bad@.
sub milter
{
	my ($actions, @edits) = @_;

	return Milter->start(offer => [6, $actions, 0x1000 * 0x80 | 0xff080], E => sub {
		return $_[2]{from} =~ /^<bad\@/ ? 'r' : (@edits, 'c');
	});
}

# Half of a message, which all of the milters see if "while", and no end.
sub half
{
	my ($p, $from, @sees) = @_;
	my $c = $p->to('it');

	$c->envelope_quietly($from, 'b@example.com');
	$c->send('DATA');
	$c->reply;
	$c->octets("Subject: x\r\n\r\n$body");
	$_->wait_report(qr/^B/) for @sees;
	return $c;
}

for my $way (['BDAT', 'PIPELINING', 'SIZE 100000000', 'CHUNKING'], ['DATA', 'PIPELINING', 'SIZE 100000000']) {
	my ($verb, @extensions) = @$way;

	subtest "streams by $verb" => sub {
		my $mta = Backend->start(extensions => \@extensions);
		my $milter = milter(0);
		my $p = start($mta, [[$milter]]);
		my $c = half($p, 'a@example.org', $milter);

		ok($mta->wait_command(qr/^$verb/), 'it goes on before its end');
		$c->octets("$body.\r\n");
		$c->expect(qr/^250 /, 'its end as well');
		is($mta->last->{content}, "Subject: x\r\n\r\n$body$body", 'whole');
		$mta->forget;
		$c = half($p, 'bad@example.org', $milter);
		ok($mta->wait_command(qr/^$verb/), 'so does what it will refuse');
		$c->octets("$body.\r\n");
		$c->expect(qr/^550 5\.7\.1 /, 'refused at its end');
		is(scalar $mta->messages, 0, 'nobody has it');
		ok($mta->wait_command(qr/^RSET/), 'RSET') if $verb eq 'BDAT';
		ok($mta->wait_close, 'or the connection ends') if $verb eq 'DATA';
		$c->deliver('a@example.org', 'b@example.com', "Subject: y\r\n\r\n$body");
		is($mta->last->{content}, "Subject: y\r\n\r\n$body", 'the next one');
		$p->log_unlike(qr/filter-failed|misbehaved/);
	};
}

my $mta = Backend->start(extensions => ['PIPELINING', 'SIZE 100000000', 'CHUNKING']);
my @cases = (
	# the actions of each milter, its settings; is it held, who sees it while it comes
	['quarantine, which is refused here', [[0x20]], 0, [0]],
	['quarantine', [[0x20, 'quarantine = yes']], 1, [0]],
	['fields', [[0x1]], 1, [0]],
	['a new body', [[0x2]], 1, [0]],
	['recipients', [[0x4]], 1, [0]],
	['the sender', [[0x40]], 1, [0]],
	['macros', [[0x100]], 0, [0]],
	['fields, but observed', [[0x1, 'mode = "observe"']], 0, [0]],
	['fields, not asked', [[0x1, 'when = \'mail.local is "x"\'']], 0, []],
	['fields, not asked, nothing', [[0x1, 'when = \'mail.local is "x"\''], [0]], 0, [1]],
	['nothing, nothing', [[0], [0]], 0, [0, 1]],
	['nothing, then fields', [[0], [0x10]], 1, [0, 1]],
	['recipients, then nothing', [[0x8], [0]], 1, [0, 1]],
	['fields, then nothing', [[0x1], [0]], 1, [0]],
	['fields, nothing, fields', [[0x1], [0], [0x1]], 1, [0]],
	['nothing, fields, nothing', [[0], [0x1], [0]], 1, [0, 1]],
);

for my $case (@cases) {
	my ($name, $actions, $held, $while) = @$case;

	subtest $name => sub {
		my @milters = map { [milter($_->[0]), $_->[1]] } @$actions;
		my $p = start($mta, \@milters, quarantine => 'redirect:q@example.com');
		$mta->forget;
		my $c = half($p, 'a@example.org', map { $milters[$_][0] } @$while);

		if ($held) {
			is(scalar $mta->commands(qr/^BDAT/), 0, 'held');
		} else {
			ok($mta->wait_command(qr/^BDAT/), 'streams');
		}
		is(scalar(grep { my $m = $_; grep { /^B/ } $m->[0]->reports } @milters),
		    @$while, 'who sees it while it comes');
		$c->octets("$body.\r\n");
		$c->expect(qr/^250 /, 'accepted');
		is($mta->last->{content}, "Subject: x\r\n\r\n$body$body", 'whole');
		$_->[0]->wait_report(qr/^E/) for grep { ($_->[1] // '') !~ /when/ } @milters;
	};
}

subtest 'a milter that has accepted the client' => sub {
	for my $at ('C', 'H', 'M') {
		my $milter = Milter->start(offer => [6, 0x1ff, 0], $at => ['a']);
		my $p = start($mta, [[$milter]]);
		$mta->forget;
		my $c = half($p, 'a@example.org');
		if ($at eq 'M') {
			is(scalar $mta->commands(qr/^BDAT/), 0, "$at: held");
		} else {
			ok($mta->wait_command(qr/^BDAT/), "$at: streams");
		}
		$c->octets(".\r\n");
		$c->expect(qr/^250 /, 'accepted');
	}
};

subtest 'a milter that lies' => sub {
	for my $lie (['a field', add('X-A', 'b')], ['a body', body("new\r\n")],
	    ['a recipient', add_rcpt('<c@example.com>')]) {
		my ($name, $edit) = @$lie;
		my $milter = milter(0, $edit);
		my $p = start($mta, [[$milter]]);
		$mta->forget;
		my $c = half($p, 'a@example.org');
		$c->octets(".\r\n");
		$c->expect(qr/^451 4\.7\.1 /, "$name: fails");
		$p->log_like(qr/filter-failed filter=m0 at=eom why="an edit that it did not declare"/);
		is(scalar $mta->messages, 0, 'nobody has it');
	}
};

# The next connection of the same session may say something else.
subtest 'a milter that comes again as another' => sub {
	my $milter = Milter->start(raw => sub {
		my ($fh, $report, $n) = @_;
		my $actions = $n == 1 ? 0 : 1;
		while (defined(my $p = Milter::receive($fh))) {
			my $command = substr $p, 0, 1;
			next if $command =~ /[DA]/;
			return if $command eq 'Q' || ($n == 1 && $command eq 'E');
			$report->($command);
			Milter::say_packets($fh, $command eq 'O' ? 'O' . pack('N3', 6, $actions, 0) :
			    $command eq 'E' ? (add('X-A', 'b'), 'c') : 'c');
		}
	});
	my $p = start($mta, [[$milter]]);
	$mta->forget;
	my $c = half($p, 'a@example.org', $milter);
	ok($mta->wait_command(qr/^BDAT/), 'it edits nothing: streams');
	$c->octets(".\r\n");
	$c->expect(qr/^451 4\.7\.1 /, 'it is lost');
	$mta->forget;
	$c->deliver('a@example.org', 'b@example.com', "Subject: x\r\n\r\n$body");
	is($mta->last->{content}, "Subject: x\r\nX-A: b\r\n\r\n$body", 'the other one may edit');
};

done_testing;
