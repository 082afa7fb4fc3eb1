#!/usr/bin/perl
# A milter on libmilter and one on another library, which speaks version 2 of the
# protocol, do everything a milter can do at every stage, and what a client is
# told and what arrives is what it is with Postfix.
use strict;
use warnings;
use lib 't/lib';
use Cwd qw(getcwd);
use Test::More;
use Peer;
use Postfix;
use Twins;

Postfix::possible() or plan skip_all => $Postfix::why;

sub start
{
	my @command = @_;
	my $peer = Peer->new;

	$peer->{address} = "unix:$peer->{dir}/socket";
	$peer->run(map { $_ eq 'SOCKET' ? $peer->{address} : $_ } @command);
	# Postfix is not root when it comes.
	chmod 0666, "$peer->{dir}/socket";
	return $peer;
}

# Those who ask for these at this stage.
sub wants
{
	my ($stage, $actions) = @_;

	return map { {
		name => "$stage: $_", from => "$stage.$_", nothing => $_ eq 'discard',
	} } @$actions;
}

my @verdicts = qw(accept reject tempfail code later);
my @edits = map { {
	name => "eom: $_", from => "eom.$_",
} } qw(nothing add change delete to body progress all);

# Those who ask earlier: by their name, and by their address.
sub early
{
	my %client = @_;

	return (map({ {
		name => "helo: $_", helo => "$_.helo.example", from => 'a',
	} } @verdicts, 'bye'), map({ {
		name => "connect: $client{$_}", client => "127.0.0.$_", from => 'a',
	} } sort keys %client));
}

my %client = (11 => 'accept', 12 => 'reject', 13 => 'tempfail', 14 => 'code',
    15 => 'later', 17 => 'bye');

my @python = ('/usr/bin/python3', getcwd() . '/t/lib/actions-milter.py', 'SOCKET');
my @milters = (map({ start(@python, $_) } qw(all quiet few)),
    start('perl', getcwd() . '/t/lib/actions-milter.pl', 'SOCKET'));
my $twins = Twins->new(map { $_->address } @milters);
my @more = map { {
	name => "eom: $_", from => "eom.$_",
} } qw(insert from fromargs toargs);

# At least so many messages of these have arrived.
sub agree
{
	my ($n, $least, @cases) = @_;

	cmp_ok($twins->agree($n, @cases), '>=', $least, 'messages');
}

subtest 'libmilter' => sub {
	agree(0, 30, early(%client, 16 => 'lines'), @edits, @more,
	    map({ wants($_, [@verdicts, qw(discard lines unlike)]) }
	    qw(mail rcpt rcpt2 data header eoh body eom)),
	    wants('header', ['skip']), wants('body', ['skip']));
};
subtest 'libmilter without answers' => sub {
	agree(1, 13, @edits, @more, wants('eom', [@verdicts, 'discard']));
};
subtest 'libmilter without events' => sub {
	agree(2, 13, @edits, @more, wants('eom', [@verdicts, 'discard']));
};
subtest 'PMilter' => sub {
	agree(3, 25, early(%client), @edits,
	    map { wants($_, [@verdicts, 'discard']) }
	    qw(mail rcpt rcpt2 header eoh body eom));
};

done_testing;
