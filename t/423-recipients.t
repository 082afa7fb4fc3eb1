#!/usr/bin/perl
# Of recipients that come in one group each has its own verdict: by a rule, a
# table, a server that takes its time, or the backend. Replies are in order and
# the backend hears of nobody who was not approved.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Policy;
use Socketmap;

my $mta = Backend->start('RCPT TO:<mta5' => '550 5.1.1 not here',
    'RCPT TO:<mta4' => '450 4.2.1 full');

# Two servers are asked about the same recipient, and answer when reply() says.
my %maps = map { $_ => Socketmap->start(sub {
	return $_[1] =~ /.@./ ? undef : 'NOTFOUND ' }) }
    qw(one two);

sub answers
{
	my ($map, $key) = @_;

	return $key =~ /^temp/ ? 'TEMP broken' : $key =~ /^listed/ ? "OK $map" :
	    'NOTFOUND ';
}

my $policy = <<"END";
table one "socketmap:inet:@{[$maps{one}->address]}:map"
table two "socketmap:inet:@{[$maps{two}->address]}:map"

at rcpt
    accept if rcpt.local is "postmaster"
    delay 5ms if rcpt.local ~ /^slow/
    reject 550 5.7.1 "<%{rcpt}> by rule" if rcpt.local ~ /^rule5|^slowbad/
    tempfail 450 4.7.1 "<%{rcpt}> later" if rcpt.local ~ /^rule4/
    accept if rcpt.local !~ /^listed|^unlisted|^temp/
    reject 550 5.1.1 "<%{rcpt}> in %{lookup(one, rcpt)}" if rcpt in one and rcpt in two
END

my $p = Policy::start($policy, backend => $mta->address,
    set => { 'error-limit' => 100000, 'relay-domains' => ['example.com'] });

# Name, reply, taken by the backend.
my %kind = (
	good	   => [qr/^250/, 1],
	postmaster => [qr/^250/, 1],
	slow	   => [qr/^250/, 1],
	unlisted   => [qr/^250/, 1],
	rule5	   => [qr/^550 5\.7\.1 <%s> by rule$/, 0],
	rule4	   => [qr/^450 4\.7\.1 <%s> later$/, 0],
	slowbad	   => [qr/^550 5\.7\.1 <%s> by rule$/, 0],
	listed	   => [qr/^550 5\.1\.1 <%s> in one$/, 0],
	temp	   => [qr/^451 4\.7\.1 /, 0],
	mta5	   => [qr/^550 5\.1\.1 not here$/, 0],
	mta4	   => [qr/^450 4\.2\.1 full$/, 0],
);

# The next reply. Meanwhile both servers answer as soon as both were asked,
# the one that was asked last first.
sub reply
{
	my ($c) = @_;

	while ($c->{in} !~ /\n/) {
		for my $key ($maps{two}->waiting) {
			next unless grep { $_ eq $key } $maps{one}->waiting;
			$maps{$_}->answer($key, answers($_, $key))
			    for qw(two one);
		}
		next unless Wait::turn($Wait::DEADLINE, $c->{fh});
		last unless $c->fill;
	}
	return ($c->reply)[1];
}

srand 423;
for my $round (1 .. 25) {
	subtest "group $round" => sub {
		my $n = 1 + int rand 40;
		my @kinds = map { (sort keys %kind)[rand keys %kind] } 1 .. $n;
		my @rcpts;
		my $c = $p->client;
		my @want;

		$mta->forget;
		@rcpts = map { ($kinds[$_] eq 'postmaster' ? 'postmaster' :
		    "$kinds[$_]$round-$_") . '@example.com' } 0 .. $#kinds;
		$c->hello;
		$c->send('MAIL FROM:<a@example.org>',
		    (map { "RCPT TO:<$_>" } @rcpts), 'DATA');
		like(reply($c), qr/^250/, 'MAIL');
		for my $i (0 .. $#rcpts) {
			my ($like, $taken) = @{$kind{$kinds[$i]}};
			$like =~ s/%s/\Q$rcpts[$i]\E/;
			like(reply($c), qr/$like/, "$rcpts[$i]");
			push @want, "<$rcpts[$i]>" if $taken;
		}
		if (@want) {
			like(reply($c), qr/^354/, 'DATA');
			$c->octets("Subject: x\r\n\r\nx\r\n.\r\n");
			like(reply($c), qr/^250/, 'message');
			is_deeply($mta->last->{rcpts}, \@want, 'recipients');
		} else {
			like(reply($c), qr/^55[0-9]/, 'nobody to send it to');
		}
		my @heard = map { /TO:<([a-z]+)/ } $mta->commands(qr/^RCPT/);
		is(join(' ', grep { !/^(?:good|postmaster|slow|unlisted|mta)/ }
		    @heard), '', 'the backend heard of nobody else');
		$c->quit;
	};
}

subtest 'two sessions, the second is answered first' => sub {
	my $map = Socketmap->start(sub { $_[1] =~ /^held/ ? undef : 'NOTFOUND ' });
	my $q = Policy::start("table t \"socketmap:inet:@{[$map->address]}:map\"\n" .
	    "at rcpt\n    reject 550 5.1.1 \"not in it\" if rcpt not in t\n",
	    backend => $mta->address);
	my ($one, $two) = map { $q->client } 1 .. 2;

	$_->hello for $one, $two;
	$one->send('MAIL FROM:<a@example.org>', 'RCPT TO:<held1@example.com>',
	    'RCPT TO:<no@example.com>', 'NOOP');
	$two->send('MAIL FROM:<a@example.org>', 'RCPT TO:<held2@example.com>',
	    'RCPT TO:<no@example.com>', 'NOOP');
	$_->expect(qr/^250/) for $one, $two;
	ok($map->wait_asked("held$_\@example.com"), "asked for $_") for 1, 2;
	$one->expect_nothing;
	$two->expect_nothing;
	$map->answer('held2@example.com', 'OK x');
	$two->expect($_) for qr/^250/, qr/^550 5\.1\.1/, qr/^250/;
	$one->expect_nothing;
	$map->answer('held1@example.com', 'OK x');
	$one->expect($_) for qr/^250/, qr/^550 5\.1\.1/, qr/^250/;
	$two->send('DATA');
	$two->expect(qr/^354/);
	$two->octets("x\r\n.\r\n");
	$two->expect(qr/^250/);
	is_deeply($mta->last->{rcpts}, ['<held2@example.com>'], 'its own');
};

subtest 'all are refused: the next message has others' => sub {
	my $c = $p->client;

	$c->hello;
	$mta->forget;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<rule5@example.com>',
	    'RCPT TO:<rule4@example.com>', 'DATA', 'RSET',
	    'MAIL FROM:<b@example.org>', 'RCPT TO:<good@example.com>', 'DATA');
	like(reply($c), $_) for qr/^250/, qr/^550/, qr/^450/, qr/^554 5\.5\.1/;
	# DATA ends a group: what follows came too early only after a 354.
	like(reply($c), $_) for qr/^250/, qr/^250/, qr/^250/, qr/^354/;
	$c->octets("x\r\n.\r\n");
	$c->expect(qr/^250/);
	is($mta->last->{from}, '<b@example.org>', 'the second sender');
	is_deeply($mta->last->{rcpts}, ['<good@example.com>'], 'the second recipient');
	is(scalar $mta->commands(qr/MAIL FROM:<a@/), 0, 'the first is unknown');
};

done_testing;
