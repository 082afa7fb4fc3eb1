#!/usr/bin/perl
# SIGHUP: new settings for new sessions, no connection lost, and nothing at all
# happens when the new settings are wrong.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use Backend;
use Client;
use Proxy;
use Wait;

my $mta = Backend->start;

sub rewrite
{
	my ($proxy, %o) = @_;

	$proxy->write('vratar.conf', $proxy->configuration(
	    backend => $mta->address, %o));
}

sub banner
{
	my ($proxy, @o) = @_;
	my (undef, $text) = $proxy->client(@o)->reply;

	return $text;
}

subtest 'new settings' => sub {
	my $proxy = Proxy->start(backend => $mta->address);
	my @old = $proxy->workers;
	my ($idle, $busy) = ($proxy->client, $proxy->client);

	like($busy->hello && banner($proxy), qr/^220 mx\.test\.example /,
	    'before');
	$idle->hello;
	$busy->envelope('a@example.org', 'b@example.com');
	$busy->send('DATA');
	$busy->expect(qr/^354 /, 'in the middle of a message');
	rewrite($proxy, set => { hostname => 'new.test.example' });
	is($proxy->control('reload'), "ok\n", 'reload');
	like(banner($proxy), qr/^220 new\.test\.example /, 'after, at once');
	$idle->deliver('a@example.org', 'b@example.com');
	$proxy->clock(31_000);
	$idle->expect(qr/^421 4\.3\.2 /, 'old sessions go on, not for ever');
	$busy->octets("Subject: x\r\n\r\n.\r\n");
	$busy->expect(qr/^250 /, 'but not in the middle of a message');
	$busy->expect(qr/^421 4\.3\.2 /, 'only then');
	$_->close for $idle, $busy;
	$proxy->log_like(qr/worker-done pid=$old[0]/, 'the old worker ends');
	isnt(($proxy->workers)[0], $old[0], 'and there is a new one');
};

subtest 'by signal' => sub {
	my $proxy = Proxy->start(backend => $mta->address);

	rewrite($proxy, set => { hostname => 'new.test.example' });
	$proxy->signal('HUP');
	$proxy->log_like(qr/\breloaded listen=127\.0\.0\.1:\d+ workers=1 /,
	    'logged');
	like(banner($proxy), qr/^220 new\.test\.example /, 'done');
	rewrite($proxy, set => { hostname => 'again.test.example' });
	$proxy->signal('HUP') for 1 .. 5;
	like($proxy->control('reload'), qr/^ok/, 'many at the same time');
	like(banner($proxy), qr/^220 again\.test\.example /, 'done');
	is($proxy->stop, 0, 'stops with 0');
};

subtest 'mistakes change nothing' => sub {
	my $proxy = Proxy->start(backend => $mta->address);
	my @old = $proxy->workers;
	my $c = $proxy->client;

	$c->hello;
	rewrite($proxy, set => { 'no-such-setting' => 1, workers => -1 });
	$proxy->signal('HUP');
	$proxy->log_like(qr/configuration mistake=.*no-such-setting/,
	    'a mistake is logged');
	$proxy->log_like(qr/reload-failed/, 'and the result');
	like($proxy->control('reload'), qr/^error .*vratar\.conf:\d+: /,
	    'and answered');
	isnt($proxy->log(qr/mistake=.*workers/) // 0, 0, 'the second, too');
	$proxy->log_like(qr/reload-failed problem=".*unknown setting \\"no-such-setting\\""/,
	    'one value, though it has quotes in it');
	rewrite($proxy, listen => [{}, { address => '203.0.113.1:0' }]);
	like($proxy->control('reload'), qr/^error cannot listen at 203/,
	    'an address that is not ours');
	rewrite($proxy, set => { log => 'file:/no/such/place/log' });
	like($proxy->control('reload'), qr/^ok/, 'not used in the foreground');
	my @now = $proxy->workers;
	rewrite($proxy, set => { 'control-socket' => '/no/such/place' });
	like($proxy->control('reload'), qr/^error no control socket/,
	    'no control socket');
	is_deeply([$proxy->workers], \@now, 'the workers are the same');
	unlink "$proxy->{dir}/vratar.conf";
	like($proxy->control('reload'), qr/^error .*vratar\.conf/, 'no file');
	$c->close;
	$proxy->client->hello;
	is($proxy->stop, 0, 'stops with 0');
};

subtest 'a mistake that only a worker finds' => sub {
	my $proxy = Proxy->prepare(backend => $mta->address);

	# A master that is not root cannot make workers of another user.
	if ($> == 0) {
		my $nobody = getpwnam 'nobody';

		$proxy->run_by("exec setpriv --reuid $nobody " .
		    "--regid $nobody --clear-groups \"\$@\"");
		chown $nobody, -1, $proxy->{dir};
	}
	$proxy->run('serve', @{$proxy->{args}});
	ok($proxy->wait_ready, 'it starts');
	my @old = $proxy->workers;

	rewrite($proxy, set => { user => 'daemon', workers => 2 });
	like($proxy->control('reload'), qr/^error a worker ended before/,
	    'refused');
	$proxy->log_like(qr/cannot become user daemon/, 'with the reason');
	is_deeply([$proxy->workers], \@old, 'the old worker goes on');
	# Sockets for the second worker were made and are gone again.
	$_->greeting for map { $proxy->client } 1 .. 20;
	rewrite($proxy, set => { workers => 2 });
	is($proxy->control('reload'), "ok\n", 'and the next reload is good');
	is($proxy->stop, 0, 'stops with 0');
};

subtest 'listeners come and go' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my $proxy = Proxy->start(backend => $mta->address, listen =>
	    [{ address => '127.0.0.1:0' }, { address => '127.0.0.2:0' },
	    { address => "unix:$dir/a" }]);
	my ($first, $second) = ($proxy->port(0), $proxy->port(1));

	rewrite($proxy, listen => [{ address => '127.0.0.3:0' },
	    { address => '127.0.0.1:0' }, { address => "unix:$dir/b" }]);
	is($proxy->control('reload'), "ok\n", 'reload');
	my $line = $proxy->log_like(qr/\breloaded\b/);
	my ($third) = $line =~ /listen=127\.0\.0\.3:(\d+)/;
	like($line, qr/listen=127\.0\.0\.1:$first /, 'the first has its port');
	Client->connect(port => $first)->greeting;
	Client->connect(port => $third, host => '127.0.0.3')->greeting;
	Client->connect(unix => "$dir/b")->greeting;
	ok(!-e "$dir/a", 'the file of the old one is removed');
	ok(!eval { Client->connect(port => $second, host => '127.0.0.2') },
	    'its port is closed');
};

subtest 'no connection is lost' => sub {
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { workers => 3 });
	my $lost = 0;

	for my $n (1, 4, 2, 3) {
		my @clients = map { $proxy->client } 1 .. 10;

		rewrite($proxy, set => { workers => $n });
		$proxy->signal('HUP');
		push @clients, map { $proxy->client } 1 .. 30;
		for (@clients) {
			my ($code) = $_->reply;
			$lost++ unless $code == 220;
		}
		$proxy->log_like(qr/\breloaded .*workers=$n /,
		    "$n workers");
	}
	is($lost, 0, 'everybody was answered');
	is($proxy->stop, 0, 'stops with 0');
};

subtest 'another control socket' => sub {
	my $proxy = Proxy->start(backend => $mta->address);
	my $old = $proxy->{control};

	rewrite($proxy, set => { 'control-socket' => "$old.new" });
	is($proxy->control('reload'), "ok\n", 'answered at the old one');
	ok(!-e $old, 'which is gone');
	$proxy->{control} = "$old.new";
	like($proxy->control('workers'), qr/^ok \d+$/, 'the new one answers');
	is($proxy->stop, 0, 'stops with 0');
	ok(!-e "$old.new", 'and is removed');
};

subtest 'stop while it reloads' => sub {
	my $proxy = Proxy->start(backend => $mta->address);

	$proxy->signal('HUP');
	$proxy->signal('TERM');
	ok($proxy->wait_end, 'it ends');
	is($proxy->{status}, 0, 'with 0');
};

done_testing;
