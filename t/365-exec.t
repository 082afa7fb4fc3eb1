#!/usr/bin/perl
# A backend can be a program that speaks SMTP on its standard input and output;
# it ends with its session and leaves no zombie.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use Proxy;
use Wait;

my $dir   = tempdir(CLEANUP => 1);
my $proxy = Proxy->start(backend =>
    "exec:exec perl t/lib/stdio-mta.pl $dir/mail");

# The processes whose parent is the worker, with their states.
sub children
{
	my ($worker) = $proxy->workers;
	my @found;

	for my $file (glob '/proc/[0-9]*/stat') {
		open my $in, '<', $file or next;
		my ($state, $parent) = (<$in> // '') =~ /\) (\S) (\d+)/
		    or next;
		push @found, $state if $parent == $worker;
	}
	return @found;
}

sub content
{
	open my $in, '<', "$dir/mail" or return '';
	local $/;
	return scalar <$in>;
}

my $c = $proxy->client;
$c->hello;
$c->deliver('a@example.org', 'b@example.com', "Subject: x\r\n\r\n.dot\r\n");
is(content(), "Subject: x\r\n\r\n..dot\r\n", 'the message is there');
$c->quit;
$proxy->clock(20_000);		# it was kept warm
ok(Wait::poll(sub { !children() }), 'no process is left')
    or diag "states: @{[children()]}";

$proxy = Proxy->start(backend => 'exec:exit 1');
$c = $proxy->client;
$c->hello;
$c->send('MAIL FROM:<a@example.org>');
$c->expect(qr/^250 /, 'MAIL');
$c->send('RCPT TO:<b@example.com>');
$c->expect(qr/^451 4\.4\.1 /, 'a program that ends is no backend');
done_testing;
