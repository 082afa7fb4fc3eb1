#!/usr/bin/perl
# A client that does not read its replies is not read any more either; when it
# reads, it gets every one of them.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Cert;
use Proxy;
use Wait;

my $mta   = Backend->start;
my $proxy = Proxy->start(backend => $mta->address, tls => Cert->shared,
    set => { 'junk-command-limit' => 1_000_000 });
my $bystander = $proxy->client;

$bystander->hello;

# Send as much as is taken, up to $most commands: no more when nothing went
# although the others had a hundred turns. Returns the number of commands.
sub fill_up
{
	my ($c, $most) = @_;
	my $octets = "VRFY x\r\n" x $most;
	my ($sent, $turns) = (0, 0);

	while ($sent < length $octets && $turns < 100) {
		my $n = syswrite $c->{fh}, $octets, 65536, $sent;
		if (defined $n) {
			$sent += $n;
			$turns = 0;
			next;
		}
		last unless Wait::again();
		$turns++;
		$bystander->send('NOOP');
		$bystander->reply;
	}
	return ($sent / 8, $turns);
}

sub count_replies
{
	my ($c, $want) = @_;
	my $n = 0;

	while ($n < $want) {
		my ($code) = $c->reply;
		last if $code != 252;
		$n++;
	}
	return $n;
}

for my $most (100, 5000, 20_000) {
	my $c = $proxy->client;

	$c->hello;
	my ($sent) = fill_up($c, $most);
	is(count_replies($c, int $sent), int $sent,
	    "$most commands, and then the replies");
	$c->close;
}

subtest 'more than anybody keeps' => sub {
	my $c = $proxy->client;

	$c->hello;
	my ($sent, $turns) = fill_up($c, 8_000_000);
	is($turns, 100, 'is not read');
	$bystander->deliver('a@example.org', 'b@example.com');
	is(count_replies($c, int $sent), int $sent, 'no reply is missing');
	$c->send('');
	$c->close;
};

subtest 'over TLS' => sub {
	my $c = $proxy->client;

	$c->hello;
	$c->starttls;
	$c->hello;
	my ($sent) = fill_up($c, 5000);
	is(count_replies($c, int $sent), int $sent, 'no reply is missing');
};

subtest 'it goes instead' => sub {
	for my $how ('close', 'reset') {
		my $c = $proxy->client;
		$c->hello;
		fill_up($c, 100_000);
		$c->$how;
		$bystander->send('NOOP');
		$bystander->expect(qr/^250 /, "$how: the others go on");
	}
};

done_testing;
