#!/usr/bin/perl
# "route to" chooses the backend: of the session at connect and helo, of the
# message at mail, of the recipient at rcpt; one transaction has one backend.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use Backend;
use Policy;
use Run;

my $mta = Backend->start;
my %other = map { $_ => Backend->start } qw(two three);
my $lmtp = Backend->start(lmtp => 1);
my @env = (backend => $mta->address, extra => join '',
    map({ "backend \"$_\" { address = \"" . $other{$_}->address .
    "\" identity = \"none\" }\n" } sort keys %other),
    'backend "lmtp" { address = "' . $lmtp->address .
    "\" identity = \"none\" }\n");

# Where a message to this recipient went.
sub where_to
{
	my ($c, $from, $to) = @_;

	$_->forget for $mta, $lmtp, values %other;
	$c->deliver($from, $to);
	my %all = (mta => $mta, lmtp => $lmtp, %other);
	return join ' ', grep { $all{$_}->messages } sort keys %all;
}

my $p = Policy::each([
	"at connect\n    route to two\n",
	"at helo\n    route to two if helo.name is \"two.example\"\n",
	"at mail\n    route to two if mail.local is \"two\"\n" .
	    "    route to three if mail.local ~ /^t/\n",
	"at rcpt\n    route to \"two\" if rcpt.local is \"two\"\n" .
	    "    route to three if rcpt.domain is \"three.example\"\n" .
	    "    route to lmtp if rcpt.domain is \"lmtp.example\"\n",
	"at connect\n    route to two\nat mail\n    route to three if mail.local is \"three\"\n" .
	    "at rcpt\n    route to mta if rcpt.local is \"one\"\n",
	"for domain three.example {\nat rcpt\n    route to three\n}\n" .
	    "at rcpt\n    observe route to two\n",
    ], @env);

# listener, HELO, sender, recipient, backend
my @rows = (
	[0, 'x', 'a@example.org', 'b@example.com', 'two'],
	[1, 'x', 'a@example.org', 'b@example.com', 'mta'],
	[1, 'two.example', 'a@example.org', 'b@example.com', 'two'],
	[2, 'x', 'two@example.org', 'b@example.com', 'two'],
	[2, 'x', 'three@example.org', 'b@example.com', 'three'],
	[2, 'x', 'a@example.org', 'b@example.com', 'mta'],
	[3, 'x', 'a@example.org', 'two@example.com', 'two'],
	[3, 'x', 'a@example.org', 'two@three.example', 'two'],
	[3, 'x', 'a@example.org', 'b@three.example', 'three'],
	[3, 'x', 'a@example.org', 'b@lmtp.example', 'lmtp'],
	[3, 'x', 'a@example.org', 'b@example.com', 'mta'],
	[4, 'x', 'a@example.org', 'b@example.com', 'two'],
	[4, 'x', 'three@example.org', 'b@example.com', 'three'],
	[4, 'x', 'three@example.org', 'one@example.com', 'mta'],
	[5, 'x', 'a@example.org', 'b@three.example', 'three'],
	[5, 'x', 'a@example.org', 'b@example.com', 'mta'],
);

my %session;
for my $row (@rows) {
	my ($n, $helo, $from, $to, $want) = @$row;
	# One session for all that say the same HELO: nothing sticks.
	my $c = $session{"$n $helo"} //= do {
		my $new = $p->client(listener => $n);
		$new->hello($helo);
		$new;
	};
	is(where_to($c, $from, $to), $want, "$n: $helo, $from, $to");
}
$_->close for values %session;

subtest 'one transaction, one backend' => sub {
	my $c = $p->client(listener => 3);

	$c->hello;
	$_->forget for $mta, $lmtp, values %other;
	$c->send('MAIL FROM:<a@example.org>', map({ "RCPT TO:<$_>" }
	    'two@example.com', 'b@example.com', 'b@three.example',
	    'two@three.example'), 'DATA');
	$c->expect($_) for qr/^250/, qr/^250/, qr/^451 4\.3\.0/, qr/^451 4\.3\.0/,
	    qr/^250/, qr/^354/;
	$c->octets("x\r\n.\r\n");
	$c->expect(qr/^250/);
	is_deeply($other{two}->last->{rcpts}, ['<two@example.com>',
	    '<two@three.example>'], 'those of the first backend');
	is(scalar $mta->messages + $other{three}->messages, 0, 'no other has it');
	is(scalar $mta->commands(qr/^RCPT/), 0, 'or has heard of it');
	$p->log_like(qr/ rcpt to=b\@example\.com verdict=reject by=route reply="451 4\.3\.0/,
	    'in the log');
	$c->send('MAIL FROM:<a@example.org>', map { "RCPT TO:<$_>" }
	    'b@lmtp.example', 'c@lmtp.example');
	$c->expect($_) for qr/^250/, qr/^250/, qr/^452 4\.5\.3/;
	$c->close;
};

subtest 'the first one is refused there, the second goes elsewhere' => sub {
	my $c = $p->client(listener => 3);

	$other{two}->set('RCPT TO:<two@' => '550 5.1.1 no');
	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<two@example.com>');
	$c->expect($_) for qr/^250/, qr/^550 5\.1\.1/;
	$_->forget for $mta, values %other;
	$c->send('RCPT TO:<b@three.example>');
	$c->expect(qr/^250/);
	$c->message("x\r\n");
	$c->expect(qr/^250/);
	is($other{three}->last->{from}, '<a@example.org>', 'with its sender');
	$other{two}->unset('RCPT TO:<two@');
	$c->close;
};

subtest 'a backend that is down takes its own recipients with it' => sub {
	my $down = Backend::nobody();
	my $q = Policy::start("at rcpt\n    route to down if rcpt.local is \"down\"\n",
	    backend => $mta->address, extra =>
	    "backend \"down\" { address = \"$down\" identity = \"none\" }\n");
	my $c = $q->client;

	$c->hello;
	$c->send('MAIL FROM:<a@example.org>', 'RCPT TO:<down@example.com>');
	$c->expect($_) for qr/^250/, qr/^451 4\.4\.1/;
	$c->send('RSET', 'MAIL FROM:<a@example.org>', 'RCPT TO:<b@example.com>');
	$c->expect($_) for qr/^250/, qr/^250/, qr/^250/;
	$c->close;
};

subtest 'a backend that is not there is a mistake' => sub {
	my $q = Policy::prepare(["at connect\n    route to tow\n" .
	    "at rcpt\n    route to \"nowhere\" if rcpt.local is \"x\"\n"], @env);
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c',
	    "$q->{dir}/vratar.conf");
	is($status >> 8, 2, 'check');
	like($said, qr/p0\.rules:2:14: there is no backend "tow".*\n    route to tow\n +\^$/m, 'with its place');
	like($said, qr/p0\.rules:4:14: there is no backend "nowhere"/, 'both');
};

done_testing;
