#!/usr/bin/perl
# A server of a table that is dead, silent or lying fails the question in the
# direction that on-failure says, at each stage, within its deadline, and costs
# no other session anything.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Policy;
use Socketmap;

my @stages = qw(connect helo auth mail rcpt data header body eom);
my $mta = Backend->start(auth => 'PLAIN');
my %server = (
	silent	 => Socketmap->start(sub { undef }),
	closing	 => Socketmap->start(sub { \'' }),
	garbage	 => Socketmap->start(sub { \"250 hello\r\n" }),
	endless	 => Socketmap->start(sub { \'99999999999:OK ' }),
	short	 => Socketmap->start(sub { \'3:OK x,' }),
	nonsense => Socketmap->start(sub { 'WHAT x' }),
	temp	 => Socketmap->start(sub { 'TEMP broken' }),
	perm	 => Socketmap->start(sub { 'PERM broken' }),
	timeout	 => Socketmap->start(sub { 'TIMEOUT broken' }),
	huge	 => Socketmap->start(sub { 'OK ' . 'x' x 200_000 }),
);
my %address = (dead => Backend::nobody(),
    map { $_ => $server{$_}->address } keys %server);

my %reply = (
	tempfail => sub { $_[0] eq 'connect' ? '421 4.7.1' :
	    $_[0] eq 'auth' ? '454 4.7.0' : '451 4.7.1' },
	reject	 => sub { $_[0] eq 'auth' ? '535 5.7.8' : '554 5.7.1' },
	accept	 => sub { undef },
);

for my $kind (sort keys %address) {
	subtest $kind => sub {
		my @rows = map { my $f = $_; map { [$f, $_] } @stages }
		    sort keys %reply;
		my @texts = map { [
			"table t \"socketmap:inet:$address{$kind}:map\"\n" .
			"at $_->[1]\n" .
			"    reject 550 5.9.9 \"found\" if lookup(t, \"key\")\n" .
			"    reject 550 5.9.9 \"not found\" if \"key\" not in t\n",
			"on-failure = \"$_->[0]\""] } @rows;
		# The last listener asks nobody.
		my $p = Policy::each([@texts, "at rcpt\n    accept\n"],
		    backend => $mta->address,
		    set => { 'auth-without-tls' => 'true' });

		for my $n (0 .. $#rows) {
			my ($failure, $stage) = @{$rows[$n]};
			my $want = $reply{$failure}->($stage);
			subtest "on-failure = $failure, $stage" => sub {
				one($p, $n, $kind, $stage, $want, $#texts + 1);
			};
		}
	};
}

# Somebody else, at the same time.
sub bystander
{
	my ($p, $n) = @_;
	my $c = $p->client(listener => $n);

	$c->hello;
	$c->deliver('other@example.org', 'b@example.com');
	$c->close;
}

sub one
{
	my ($p, $n, $kind, $stage, $want, $other) = @_;
	my ($heard, $log) = Policy::play($p, $n, sub {
		return if $_[0] ne $Policy::STEP{$stage};
		return if $kind ne 'silent';
		ok($server{silent}->wait_asked('key'), 'asked');
		bystander($p, $other);
		$server{silent}{asked} = [];
		$p->clock(10_000);
	});

	bystander($p, $other) if $stage eq 'rcpt';
	if (defined $want) {
		is($heard->[-1][0], $Policy::STEP{$stage}, 'refused there');
		like($heard->[-1][1], qr/^\Q$want\E a filter failed/, 'its reply');
	} else {
		is($heard->[-1][0], 'QUIT', 'goes on');
		like($heard->[-1][1], qr/^221/, 'to its end');
	}
	is(scalar(grep { / policy-failed at=$stage why=".*" rule=p$n\.rules:[34] / } @$log), 1,
	    'logged with its place');
	is(scalar(grep { / filter-failed filter=p$n at=(?:$stage|content) / } @$log), 1,
	    'logged with what follows');
}

subtest 'a server that comes back' => sub {
	my $dead = 1;
	my $map = Socketmap->start(sub { $dead ? \'' : 'NOTFOUND ' });
	my $p = Policy::start("table t \"socketmap:inet:@{[$map->address]}:map\"\n" .
	    "at rcpt\n    reject 550 5.1.1 \"no\" if rcpt not in t\n",
	    backend => $mta->address);
	my $c = $p->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect($_) for qr/^250/, qr/^451/;
	$dead = 0;
	$c->send('RCPT TO:<b@example.com>');
	$c->expect(qr/^550 5\.1\.1/, 'the same session asks again');
};

done_testing;
