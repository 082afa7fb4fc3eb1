#!/usr/bin/perl
# What "make demo" does: good mail gets through to the Maildir of the sink and
# bad mail is refused, on free ports and without a network.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;

my $dir = tempdir(CLEANUP => 1);
$ENV{DIR} = "$dir/demo";
my $said = `contrib/demo.pl 2>&1`;
is($?, 0, 'the demo ends well') or diag $said;
like($said, qr/^S: 550 5\.1\.1 .*\n.*User unknown/m,
    'it shows our refusal and the one of the backend');
like($said, qr/^S: 250 2\.0\.0 Ok: queued as /m, 'and the queue id');
like($said, qr/^The good message is there, unchanged/m, 'and what came of it');

# Nothing stays behind: both programs close their logs when they end.
my @left = grep { /\Q$dir\E/ } `ps -eo args`;
is("@left", '', 'no process is left');

# It has to notice when something is wrong.
$ENV{VRATAR} = '/bin/false';
$said = `contrib/demo.pl 2>&1`;
isnt($?, 0, 'without a program it fails');
done_testing;
