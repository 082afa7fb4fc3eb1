#!/usr/bin/perl
# The same message with the same milter arrives the same, or is refused in the
# same words, through Postfix with smtpd_milters and through vratar.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Milter;
use Postfix;
use Twins;

Postfix::possible() or plan skip_all => $Postfix::why;

# Commands and what is answered to them; the rest is "c". Edits are for E.
my @cases = (
	['nothing', {}],
	# Fields at the end
	map({ ["add $_->[0]", { E => [add('X-N', $_->[1]), 'c'] }] }
	    ['plain', 'v'], ['a space', ' v'], ['two spaces', '  v'],
	    ['folded', "a\n b"], ['folded by a tab', "a\n\tb"],
	    ['with colons', 'a: b: c'], ['dots', '.'], ['spaces behind', 'a  '],
	    ['three lines', "a\n b\n c"]),
	['add two', { E => [add('X-N', '1'), add('X-N', '2'), 'c'] }],
	['add and accept', { E => [add('X-N', '1'), 'a'] }],
	['add Subject', { E => [add('Subject', 'third'), 'c'] }],
	['add, progress between', { E => ['p', add('X-N', '1'), 'p', add('X-N', '2'), 'p', 'c'] }],
	# Fields in front
	map({ ["insert at $_", { E => [insert($_, 'X-N', 'v'), 'c'] }] }
	    0, 1, 2, 3, 5, 6, 7, 8, 99),
	map({ ["insert twice at $_", { E => [insert($_, 'X-N', '1'), insert($_, 'X-N', '2'), 'c'] }] }
	    0, 1, 2, 99),
	['insert 1 then 2', { E => [insert(1, 'X-N', '1'), insert(2, 'X-N', '2'), 'c'] }],
	['insert 2 then 1', { E => [insert(2, 'X-N', '1'), insert(1, 'X-N', '2'), 'c'] }],
	['insert folded', { E => [insert(1, 'X-N', "a\n\tb"), 'c'] }],
	['insert and add', { E => [insert(1, 'X-N', '1'), add('X-N', '2'), insert(1, 'X-N', '3'), 'c'] }],
	# Fields changed
	map({ ["change Subject $_", { E => [change($_, 'Subject', 'new'), 'c'] }] }
	    0, 1, 2, 3, 99),
	['change in capitals', { E => [change(1, 'SUBJECT', 'new'), 'c'] }],
	['change what is not there', { E => [change(1, 'X-N', 'new'), 'c'] }],
	['change a folded one', { E => [change(1, 'X-Folded', "x\n y"), 'c'] }],
	['change twice', { E => [change(1, 'Subject', 'a'), change(1, 'Subject', 'b'), 'c'] }],
	['change both', { E => [change(1, 'Subject', 'a'), change(2, 'Subject', 'b'), 'c'] }],
	['change what was added', { E => [add('X-N', '1'), change(1, 'X-N', '2'), 'c'] }],
	['change what was inserted', { E => [insert(1, 'Subject', '0'), change(1, 'Subject', 'a'), change(2, 'Subject', 'b'), 'c'] }],
	['change Received', { E => [change(1, 'Received', 'new'), 'c'] }],
	# Fields deleted
	map({ ["delete Subject $_", { E => [change($_, 'Subject', ''), 'c'] }] }
	    0, 1, 2, 3),
	['delete upwards', { E => [change(1, 'Subject', ''), change(2, 'Subject', ''), 'c'] }],
	['delete downwards', { E => [change(2, 'Subject', ''), change(1, 'Subject', ''), 'c'] }],
	['delete 1 twice', { E => [change(1, 'Subject', ''), change(1, 'Subject', ''), 'c'] }],
	['delete what is not there', { E => [change(1, 'X-N', ''), 'c'] }],
	['delete and add', { E => [change(1, 'X-A', ''), add('X-A', 'again'), 'c'] }],
	['delete a folded one', { E => [change(1, 'X-Folded', ''), 'c'] }],
	['delete, insert', { E => [change(1, 'Subject', ''), insert(2, 'X-N', 'v'), 'c'] }],
	['delete what was added', { E => [add('X-N', '1'), change(1, 'X-N', ''), 'c'] }],
	# Body
	['body', { E => [body("new\r\nbody\r\n"), 'c'] }],
	['body in pieces', { E => [body('ne'), body("w\r\nbo"), body("dy\r\n"), 'c'] }],
	['body without an end', { E => [body('no end'), 'c'] }],
	['empty body', { E => [body(''), 'c'] }],
	['body of dots', { E => [body(".\r\n..\r\n.x\r\n"), 'c'] }],
	['large body', { E => [map({ body("line $_\r\n" x 5000) } 1 .. 3), 'c'] }],
	['body and fields', { E => [add('X-N', 'v'), change(1, 'Subject', 'new'), body("new\r\n"), 'c'] }],
	# Envelope
	['add rcpt', { E => [add_rcpt('<d@example.com>'), 'c'] }],
	['add rcpt without <>', { E => [add_rcpt('d@example.com'), 'c'] }],
	['add rcpt with args', { E => [add_rcpt('<d@example.com>', 'NOTIFY=NEVER'), 'c'] }],
	['delete rcpt', { E => [del_rcpt('<b@example.com>'), 'c'] }],
	['delete rcpt without <>', { E => [del_rcpt('b@example.com'), 'c'] }],
	['delete nobody', { E => [del_rcpt('<x@example.com>'), 'c'] }],
	['delete and add', { E => [del_rcpt('<b@example.com>'), add_rcpt('<d@example.com>'), 'c'] }],
	['from', { E => [from('<new@example.org>'), 'c'] }],
	['from without <>', { E => [from('new@example.org'), 'c'] }],
	['from nobody', { E => [from('<>'), 'c'] }],
	['from with args', { E => [from('<new@example.org>', 'RET=HDRS'), 'c'] }],
	['everything', { E => [from('<new@example.org>'), add_rcpt('<d@example.com>'),
	    del_rcpt('<c@example.com>'), insert(0, 'X-N', '1'), add('X-N', '2'),
	    change(2, 'Subject', ''), body("new\r\n"), 'c'] }],
	# All recipients gone: taken, and nothing arrives
	['delete all', { E => [del_rcpt('<b@example.com>'), del_rcpt('<c@example.com>'), 'c'] }, 'nothing'],
	# Answers at each command
	map({
		my $at = $_;
		map({ ["$at: $_->[0]", { $at => [$_->[1]] }, $_->[2]] }
		    ['accept', 'a'], ['reject', 'r'], ['tempfail', 't'],
		    ['discard', 'd', 'nothing'],
		    ['code', reply('554 5.7.9 go away')],
		    ['code 4xx', reply('452 4.2.2 full, 100%% of it')],
		    ['lines', reply("550-5.7.1 one\r\n550 5.7.1 two")]);
	} 'M', 'R <b@example.com>', 'T', 'L From', 'N', 'B', 'E'),
	['L: skip', { 'L From' => ['s'] }],
	['B: skip', { B => ['s'], E => [add('X-N', 'v'), 'c'] }],
	['edits and reject', { E => [add('X-N', 'v'), 'r'] }],
	['both recipients refused', { R => ['r'] }],
);

# The sender says which case it is.
sub milter
{
	my ($protocol) = @_;

	return Milter->start(offer => [6, 0x1ff, $protocol], any => sub {
		my ($fh, $report, $state, $command, $rest) = @_;
		return 'c' unless ($state->{from} // '') =~ /^<case(\d+)\@/;
		my $do = $cases[$1][1];
		my ($about) = split /\0/, $rest;
		my $answer = $do->{"$command " . ($about // '')} // $do->{$command};
		return $answer ? @$answer : 'c';
	});
}

# Without a leading space in fields, and with it.
my @milters = map { milter($_) } 0, 0x100000;
my $twins = Twins->new(map { $_->socket } @milters);
for my $n (0, 1) {
	my $arrived = $twins->agree($n, map { {
		name => $cases[$_][0], from => "case$_", nothing => $cases[$_][2],
	} } 0 .. $#cases);

	cmp_ok($arrived, '>=', 60, 'messages that have arrived');
}

done_testing;
