#!/usr/bin/perl
# The same message with the same two milters arrives the same, or is refused in
# the same words, through Postfix with smtpd_milters and through vratar: the
# second sees what the first has changed.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Milter;
use Postfix;
use Twins;

Postfix::possible() or plan skip_all => $Postfix::why;

# What the first does, and the second; the rest is "c". Not compared, since they are
# oddities of Postfix: after a quarantine it does not ask the second, and when
# the first inserts at 0 the second sees the Received in place of that.
my @cases = (
	map({ ["first $_->[0]", { E => [@$_[1 .. $#$_], 'c'] }, {}] }
	    ['nothing'], ['add', add('X-N', 'v')], ['add folded', add('X-N', "a\n\tb")],
	    ['add two', add('X-N', '1'), add('X-M', '2')],
	    map({ ["insert at $_", insert($_, 'X-N', 'v')] } 1, 2, 4, 99),
	    ['insert two', insert(1, 'X-N', '1'), insert(1, 'X-N', '2')],
	    map({ ["change Subject $_", change($_, 'Subject', 'new')] } 1, 2, 3),
	    map({ ["delete Subject $_", change($_, 'Subject', '')] } 1, 2),
	    ['delete a folded one', change(1, 'X-Folded', '')],
	    ['delete the first', change(1, 'From', '')],
	    ['body', body("new\r\nbody\r\n")], ['body without an end', body('no end')],
	    ['empty body', body('')], ['body of dots', body(".\r\n..\r\n")],
	    ['large body', map({ body("line $_\r\n" x 5000) } 1 .. 3)],
	    ['body and fields', add('X-N', 'v'), change(1, 'Subject', ''), body("new\r\n")],
	    ['envelope', add_rcpt('<d@example.com>'), from('<new@example.org>')]),
	# The numbers of the second are about what the first has left.
	map({ ["insert Subject, then delete $_", { E => [insert(1, 'Subject', 's0'), 'c'] },
	    { E => [change($_, 'Subject', ''), 'c'] }] } 1, 2, 3),
	map({ ["insert Subject, then change $_", { E => [insert(1, 'Subject', 's0'), 'c'] },
	    { E => [change($_, 'Subject', 'new'), 'c'] }] } 1, 2, 3, 4),
	map({ ["delete Subject $_->[0], then change $_->[1]", { E => [change($_->[0], 'Subject', ''), 'c'] },
	    { E => [change($_->[1], 'Subject', 'new'), 'c'] }] } [1, 1], [1, 2], [2, 1], [2, 2]),
	map({ ["insert at $_->[0], then at $_->[1]", { E => [insert($_->[0], 'X-N', '1'), 'c'] },
	    { E => [insert($_->[1], 'X-N', '2'), 'c'] }] }
	    [1, 0], [1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3], [99, 1], [99, 99], [3, 99]),
	map({ ["delete, then insert at $_", { E => [change(1, 'Subject', ''), 'c'] },
	    { E => [insert($_, 'X-N', 'v'), 'c'] }] } 1, 3, 4),
	['add, then change', { E => [add('X-N', '1'), 'c'] }, { E => [change(1, 'X-N', '2'), 'c'] }],
	['add, then delete', { E => [add('X-N', '1'), 'c'] }, { E => [change(1, 'X-N', ''), 'c'] }],
	['add two, then delete one', { E => [add('X-N', '1'), add('X-N', '2'), 'c'] },
	    { E => [change(1, 'X-N', ''), 'c'] }],
	['change, then change', { E => [change(1, 'Subject', '1'), 'c'] },
	    { E => [change(1, 'Subject', '2'), 'c'] }],
	['delete, then add', { E => [change(1, 'X-A', ''), 'c'] }, { E => [change(1, 'X-A', 'again'), 'c'] }],
	['body, then body', { E => [body("one\r\n"), 'c'] }, { E => [body("two\r\n"), 'c'] }],
	['body, then fields', { E => [body("one\r\n"), 'c'] }, { E => [add('X-N', 'v'), 'c'] }],
	['fields, then body', { E => [add('X-N', 'v'), 'c'] }, { E => [body("two\r\n"), 'c'] }],
	['add rcpt, then delete', { E => [add_rcpt('<d@example.com>'), 'c'] },
	    { E => [del_rcpt('<d@example.com>'), 'c'] }],
	['delete rcpt, then add', { E => [del_rcpt('<b@example.com>'), 'c'] },
	    { E => [add_rcpt('<b@example.com>'), 'c'] }],
	['from, then from', { E => [from('<one@example.org>'), 'c'] },
	    { E => [from('<two@example.org>'), 'c'] }],
	# What the first says …
	map({ my $at = $_; map({ ["first at $at: $_->[0]", { $at => [$_->[1]] },
	    { E => [add('X-M', 'v'), 'c'] }, $_->[2]] }
	    ['accept', 'a'], ['reject', 'r'], ['tempfail', 't'], ['discard', 'd', 'nothing'],
	    ['skip', $at eq 'B' ? 's' : 'c']) } 'M', 'L From', 'N', 'B', 'E'),
	['first accepts with edits', { E => [add('X-N', '1'), body("new\r\n"), 'a'] },
	    { E => [add('X-M', 'v'), 'c'] }],
	['first refuses with edits', { E => [add('X-N', '1'), 'r'] }, {}],
	# … and the second, when the first has edited
	map({ my $at = $_; map({ ["second at $at: $_->[0]", { E => [add('X-N', '1'),
	    change(1, 'Subject', 'new'), 'c'] }, { $at => [$_->[1]] }, $_->[2]] }
	    ['accept', 'a'], ['reject', 'r'], ['tempfail', 't'], ['discard', 'd', 'nothing'],
	    ['code', reply('554 5.7.9 go away')]) } 'M', 'L X-N', 'N', 'B', 'E'),
	['second sees no field that is gone', { E => [change(1, 'X-A', ''), 'c'] },
	    { 'L X-A' => ['r'] }],
	['second sees the new body', { E => [body("new\r\n"), 'c'] }, { 'B new' => ['r'] }],
);

# Where the body is cut is nobody's business.
sub seen
{
	my ($seen) = @_;

	$seen =~ s/[\0\r\n]/|/g;
	return length $seen < 900 ? $seen : length $seen;
}

# The sender says which case it is. The second adds what it has seen of the
# content, if it comes to that.
sub milter
{
	my ($which) = @_;

	return Milter->start(offer => [6, 0x1ff, 0], any => sub {
		my ($fh, $report, $state, $command, $rest) = @_;
		return 'c' unless ($state->{from} // '') =~ /^<case(\d+)\@/;
		my $do = $cases[$1][$which];
		$state->{seen} = '' if $command eq 'M';
		$state->{seen} .= "$command$rest" if $command =~ /[LB]/;
		my ($about) = split /\0/, $rest =~ s/\r\n.*//sr;
		my $answer = $do->{"$command " . ($about // '')} // $do->{$command};
		my @packets = $answer ? @$answer : 'c';
		unshift @packets, add('X-Seen', seen($state->{seen}))
		    if $which == 2 && $command eq 'E';
		return @packets;
	});
}

my @milters = map { milter($_) } 1, 2;
my $twins = Twins->new(join ',', map { $_->socket } @milters);
my $arrived = $twins->agree(0, map { {
	name => $cases[$_][0], from => "case$_", nothing => $cases[$_][3],
} } 0 .. $#cases);

cmp_ok($arrived, '>=', 60, 'messages that have arrived');
done_testing;
