#!/usr/bin/perl
# kill -9 of a worker while messages stream through it, again and again: what
# was promised is there, nothing is there twice, and nothing is torn.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Proxy;
use Wait;

my $size = 400_000;

sub text
{
	my ($id) = @_;

	return "id: $id\r\n" . ("$id " . 'x' x 900 . "\r\n") x ($size / 900) .
	    "end of $id\r\n";
}

sub connect_again
{
	my ($proxy) = @_;

	return Wait::wait_until(sub {
		my $c = eval { $proxy->client } or return undef;
		return $c->fill ? $c : undef;
	});
}

# The octets are sent a piece of each at a time, so that a kill falls into the
# middle of all of them.
sub round
{
	my ($proxy, $round, $n) = @_;
	my (@c, %promised);

	for my $i (1 .. $n) {
		my $c = connect_again($proxy) or next;
		my $id = "r$round-$i";
		$c->octets("EHLO x\r\nMAIL FROM:<a\@example.org>\r\n" .
		    "RCPT TO:<b\@example.com>\r\n" . ($i % 2 ? "DATA\r\n" : ''));
		my ($code) = $c->reply;		# of the greeting
		($code) = $c->reply for 1 .. ($i % 2 ? 4 : 3);
		next if $code != ($i % 2 ? 354 : 250);
		$c->{id} = $id;
		$c->{wire} = $i % 2 ? Client::stuff(text($id)) :
		    'BDAT ' . length(text($id)) . " LAST\r\n" . text($id);
		push @c, $c;
	}
	my $kill_at = int rand 30;
	for my $turn (0 .. 29) {
		my @workers = $turn == $kill_at ? $proxy->workers : ();
		kill 'KILL', $workers[rand @workers] if @workers;
		for my $c (@c) {
			my $n = int length($c->{wire}) / (30 - $turn);
			$c->octets(substr $c->{wire}, 0, $n, '');
		}
	}
	for my $c (@c) {
		my ($code) = $c->reply;
		$promised{$c->{id}} = 1 if $code == 250;
		$c->close;
	}
	return keys %promised;
}

for my $ext (['PIPELINING', 'CHUNKING'], ['PIPELINING']) {
	my $seed = srand;

	subtest "@$ext, seed $seed" => sub {
		my $mta   = Backend->start(extensions => $ext);
		my $proxy = Proxy->start(backend => $mta->address,
		    crashes => 1, set => { workers => 2,
		    'hold-size' => '50K' });
		local $SIG{PIPE} = 'IGNORE';
		my @promised = map { round($proxy, $_, 6) } 1 .. 6;
		my (%there, @torn);

		for ($mta->messages) {
			my ($id) = $_->{content} =~ /^id: (\S+)/;
			$there{$id}++;
			push @torn, $id if $_->{content} ne text($id);
		}
		cmp_ok(scalar @promised, '>', 0, 'some were promised');
		is(join(' ', grep { !$there{$_} } @promised), '',
		    'and all of those are there');
		is(join(' ', grep { $there{$_} > 1 } sort keys %there), '',
		    'nothing is there twice');
		is("@torn", '', 'all of them are whole');
	};
}

done_testing;
