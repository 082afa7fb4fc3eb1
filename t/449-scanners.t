#!/usr/bin/perl
# What all scanners have in common: a server that takes no connection costs one
# connect-timeout and not one for each message, all filters together have one
# budget of time, and a rule that reads what nobody finds out is noticed.
use strict;
use warnings;
use lib 't/lib';
use File::Temp;
use IO::Socket::IP;
use Socket qw(SOCK_STREAM);
use Test::More;
use Backend;
use Peer;
use Run;
use Scanned;

my $mta = Backend->start('RCPT' => '250 2.1.5 Ok', '.' => '250 2.0.0 Ok');
my $clean = Peer::mail('hello');

sub filter
{
	my ($type, $name, $address, @rows) = @_;

	return "filter \"$name\" {\n\ttype = \"$type\"\n" .
	    "\taddress = { \"$address\" }\n" .
	    join('', map { "\t$_\n" } @rows) . "}\n";
}

# A port whose queue is full: who connects now waits.
sub full_port
{
	my $listen = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1)
	    or die "listen: $!";
	my @held = ($listen);

	for (1 .. 20) {
		my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
		    PeerPort => $listen->sockport, Type => SOCK_STREAM,
		    Blocking => 0);
		push @held, $s;
		last unless Wait::wait_writable($s, 0.2);
	}
	return ('127.0.0.1:' . $listen->sockport, @held);
}

my ($full, @held) = full_port();
for my $type (qw(clamd rspamd spamd icap)) {
	subtest "$type takes no connection" => sub {
		my $p = Scanned->start(backend => $mta->address,
		    chains => { it => ['it'] },
		    filters => filter($type, 'it', $full));
		my $c = $p->sent('it', $clean);
		# Another session has been served: the first is waiting.
		$p->to('it')->close;
		$p->clock(1_900);
		$c->expect_nothing('connect-timeout is 2 s');
		$p->clock(100);
		$c->expect(qr/^451 4\.7\.1 a filter failed/, 'then it has failed');
		$p->log_like(qr/filter=it server="\Q$full\E" unreachable="no connection in time"/);
		$p->says('it', $clean, qr/^451 /, 'the next does not wait');
		$p->clock(10_000);
		$c = $p->sent('it', $clean);
		$p->to('it')->close;
		# While one tries, the others do not.
		$p->says('it', $clean, qr/^451 /, 'nor do others while it is tried');
		$c->expect_nothing('which takes its time');
		$p->clock(2_000);
		$c->expect(qr/^451 /, 'in vain');
	};
}

subtest 'one budget' => sub {
	my $silent = Peer->script(sub {
		my ($fh, $report) = @_;
		Peer::upto($fh, 'hello');
		$report->('has it');
		Peer::linger($fh);
	});
	my @filters = map { filter('clamd', $_, $silent->address,
	    'timeout = 30s', 'on-failure = "accept"') } qw(a b c d);
	my $p = Scanned->start(backend => $mta->address,
	    set => { 'filter-budget' => '70s' },
	    chains => { it => [qw(a b c d)] }, filters => "@filters");
	my $c = $p->sent('it', $clean);

	# All four see the message while it comes; then each has its turn.
	Wait::wait_until(sub { 4 == grep { $_ } $silent->reports(qr/has it/); });
	$p->clock(30_000) for 1, 2;
	$p->log_like(qr/filter-failed filter=b at=eom why="no answer in time"/);
	$p->clock(9_000);
	$c->expect_nothing;
	$p->clock(1_000);
	$c->expect(qr/^250 /, 'no filter has more than is left');
	$p->log_like(qr/filter-failed filter=$_ at=eom why="no answer within the filter-budget"/,
	    $_) for 'c', 'd';
};

# A chain of the scanner, which fails to "accept", and rules behind it that
# refuse what it has scanned.
sub scanned
{
	my ($filter, $type, %set) = @_;
	my $rules = File::Temp->new(SUFFIX => '.rules');

	print $rules "at eom\n    reject \"scanned\" if $type.scanned\n";
	close $rules;
	return (Scanned->start(backend => $mta->address, set => \%set,
	    chains => { it => ['it', 'policy'] }, filters => $filter .
	    "filter \"policy\" { type = \"policy\" file = \"$rules\" }\n"),
	    $rules);
}

# A server that is well from its second conversation on, and the end of a
# message in each.
my %well = (clamd => "stream: OK\0", icap => "ICAP/1.0 204 No Content\r\n\r\n");
for my $type (sort keys %well) {
	subtest "$type hangs up while the message comes" => sub {
		my $peer = Peer->script(sub {
			my ($fh, $report, $n) = @_;
			Peer::octets($fh, 20);
			return if $n == 1;
			syswrite $fh, $well{$type};
			Peer::linger($fh);
		});
		my ($p) = scanned(filter($type, 'it', $peer->address,
		    'on-failure = "accept"'), $type);
		my $c = $p->to('it');
		$c->envelope('a@example.org', 'b@example.com');
		$c->send('DATA');
		$c->expect(qr/^354/);
		$c->octets("Subject: x\r\n\r\n");
		ok(Wait::poll(sub {
			$c->octets("a line\r\n");
			$p->log(qr/filter-failed filter=it at=content/);
		}), 'it has failed');
		$c->octets("a line\r\n" x 1000);
		$p->to('it')->close;	# that has been heard
		$c->send('.');
		$c->expect(qr/^250 /, 'it goes on as on-failure says');
		$p->log_like(qr/decision .* filter\.it=failed/, 'a failure');
		is(scalar(() = $p->log(qr/decision .*scanned=/)), 0,
		    'and not as if it had been scanned');
		is(scalar $peer->reports(qr/connected/), 1, 'asked once');
	};
}

# They keep the message; there is no place for it any more.
for my $type (qw(rspamd spamd exec)) {
	subtest "$type cannot keep the message" => sub {
		my $peer = Peer->script(sub { Peer::linger($_[0]); });
		my $filter = filter($type, 'it', $peer->address,
		    'on-failure = "accept"');
		$filter =~ s/address = .*/command = { "\/bin\/true" }/
		    if $type eq 'exec';
		my $dir = File::Temp->newdir;
		my ($p) = scanned($filter, $type, 'spool-memory' => '10M',
		    'spool-directory' => "$dir");
		undef $dir;
		$p->says('it', Peer::mail("a line\r\n" x 50_000), qr/^250 /,
		    'it goes on as on-failure says');
		$p->log_like(qr/filter-failed filter=it at=content why="451 4\.3\.0 \S+: No such file/,
		    'the log says why');
		$p->log_like(qr/decision .* filter\.it=failed/, 'a failure');
		is(scalar(() = $p->log(qr/decision .*scanned=/)), 0,
		    'and not as if it had been scanned');
		is(scalar $peer->reports(qr/connected/), 0, 'nor asked about a part');
	};
}

subtest 'rules behind no scanner' => sub {
	my $rules = File::Temp->new(SUFFIX => '.rules');
	print $rules "at eom\n    reject if rspamd.score > 5 or clamd.virus\n";
	close $rules;
	my $p = Proxy->prepare(backend => $mta->address,
	    listen => { chain => ['first', 'policy', 'late'] },
	    extra => filter('clamd', 'first', '127.0.0.1:1') .
	    filter('rspamd', 'late', '127.0.0.1:1') .
	    "filter \"policy\" { type = \"policy\" file = \"$rules\" }\n");
	my ($status, $said) = Run::run($Proxy::PROGRAM, 'check', '-c',
	    "$p->{dir}/vratar.conf");
	is($status, 0, 'no mistake');
	like($said, qr/warning: listener "127\.0\.0\.1:0": filter "policy" reads rspamd\.score, but no filter of type rspamd stands in front of it/,
	    'but a warning');
	unlike($said, qr/clamd/, 'not about the one that does');
};

done_testing;
