#!/usr/bin/perl
# SIGUSR2: a new binary takes over the sockets; nobody is turned away. When it
# cannot start, the old one goes on as if nothing had happened.
use strict;
use warnings;
use lib 't/lib';
use IO::Socket::UNIX;
use File::Temp qw(tempdir);
use Socket qw(SOCK_DGRAM);
use Test::More;
use Backend;
use Client;
use Proxy;
use Wait;

my $mta = Backend->start;

# After an upgrade $proxy is the new master, which is not our child.
sub adopt
{
	my ($proxy) = @_;
	my $line = $proxy->log_like(qr/ ready listen=/, 'the new one is ready');
	my ($pid) = $line =~ / pid=(\d+)/;

	# Only the first one is our child.
	if (waitpid($proxy->{pid}, 0) == $proxy->{pid}) {
		is($?, 0, 'the old one ends with 0');
	} else {
		ok(Wait::poll(sub { has_ended($proxy->{pid}) }),
		    'the old one ends');
	}
	$proxy->{pid} = $pid;
	return $pid;
}

# It may be a zombie for as long as its new parent likes.
sub has_ended
{
	my ($pid) = @_;

	open my $in, '<', "/proc/$pid/stat" or return 1;
	return (<$in> // ') Z') =~ /\) Z/;
}

sub rewrite
{
	my ($proxy, %o) = @_;

	$proxy->write('vratar.conf', $proxy->configuration(
	    backend => $mta->address, %o));
}

# It ends; whose child it is does not matter.
sub stop
{
	my ($proxy) = @_;

	$proxy->signal('TERM');
	ok($proxy->wait_end, 'it stops');
}

subtest 'an upgrade' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my @listen = ({}, { address => '127.0.0.2:0' },
	    { address => "unix:$dir/smtp" });
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { workers => 2 }, listen => \@listen);
	my @ports = ($proxy->port(0), $proxy->port(1));
	my $old = $proxy->{pid};
	my ($idle, $busy) = ($proxy->client, $proxy->client);

	$proxy->log_like(qr/ ready /);
	$idle->hello;
	$busy->hello;
	$busy->envelope('a@example.org', 'b@example.com');
	$busy->send('DATA');
	$busy->expect(qr/^354 /, 'in the middle of a message');
	rewrite($proxy, set => { hostname => 'new.test.example',
	    workers => 3 }, listen => \@listen);
	$proxy->signal('USR2');
	$idle->deliver('a@example.org', 'b@example.com');
	$busy->octets("Subject: x\r\n\r\n.\r\n");
	$busy->expect(qr/^250 /, 'but not in the middle of a message');
	$_->close for $idle, $busy;
	isnt(adopt($proxy), $old, 'another process');
	my @now = map { /listen=(\S+)/g } $proxy->log(qr/ ready /);
	is_deeply([@now[3 .. 5]], [@now[0 .. 2]], 'the same addresses');
	my $c = $proxy->client;
	like($c->greeting, qr/^220 new\.test\.example /, 'a new process');
	$c->hello;
	$c->deliver('a@example.org', 'b@example.com');
	$c->quit;
	Client->connect(host => '127.0.0.2', port => $ports[1])->greeting;
	Client->connect(unix => "$dir/smtp")->greeting;
	is(scalar(my @w = $proxy->workers), 3, 'the control socket is its');
	is($proxy->control('reload'), "ok\n", 'a reload after it');
	my (undef, $text) = $proxy->client->reply;
	like($text, qr/^220 new/, 'served');
	stop($proxy);
	ok(!-e "$dir/smtp" && !-e $proxy->{control}, 'files are removed');
};

subtest 'again and again, and nobody is lost' => sub {
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { workers => 2 });
	my $lost = 0;

	$proxy->log_like(qr/ ready /);
	for my $round (1 .. 4) {
		rewrite($proxy, set => { workers => 1 + $round % 3 });
		$proxy->signal('USR2');
		my @clients = map { $proxy->client } 1 .. 40;
		for (@clients) {
			my ($code) = $_->reply;
			$lost++ unless $code == 220;
		}
		$_->close for @clients;
		adopt($proxy);
	}
	is($lost, 0, 'everybody was answered');
	$proxy->client->hello;
	stop($proxy);
};

subtest 'the new one cannot start' => sub {
	my $proxy = Proxy->start(backend => $mta->address);
	my @workers = $proxy->workers;
	my $c = $proxy->client;

	$proxy->log_like(qr/ ready /);
	$c->hello;
	rewrite($proxy, set => { 'no-such-setting' => 1 });
	$proxy->signal('USR2');
	$proxy->log_like(qr/upgrade problem=.* status=2/,
	    'a mistake in the configuration');
	rewrite($proxy, listen => [{}, { address => '203.0.113.1:0' }]);
	$proxy->signal('USR2');
	$proxy->log_like(qr/upgrade problem=.* status=1/,
	    'an address that is not ours');
	rewrite($proxy, set => { 'control-socket' => '/no/such/place' });
	$proxy->signal('USR2');
	$proxy->log_like(qr/upgrade problem=.* status=1/,
	    'when its workers were ready');
	$c->deliver('a@example.org', 'b@example.com');
	is_deeply([$proxy->workers], \@workers, 'the old one goes on');
	ok(-e $proxy->{control}, 'with its control socket');
	rewrite($proxy);
	$proxy->signal('USR2');
	$c->deliver('a@example.org', 'b@example.com');
	$c->close;
	adopt($proxy);
	stop($proxy);
};

subtest 'there is no new binary' => sub {
	my $proxy = Proxy->prepare(backend => $mta->address);
	my $copy = "$proxy->{dir}/vratar";

	system('cp', $Proxy::PROGRAM, $copy) == 0 or die;
	$proxy->{program} = $copy;
	$proxy->run('serve', @{$proxy->{args}});
	ok($proxy->wait_ready, 'it starts');
	$proxy->log_like(qr/ ready /);
	rename $copy, "$copy.old" or die $!;
	$proxy->signal('USR2');
	$proxy->log_like(qr/upgrade problem="cannot run \Q$copy\E: No such/,
	    'said');
	$proxy->log_like(qr/upgrade problem=.* status=127/);
	$proxy->client->hello;
	system('cp', $Proxy::PROGRAM, $copy) == 0 or die;
	$proxy->signal('USR2');
	adopt($proxy);
	is(readlink "/proc/$proxy->{pid}/exe", $copy, 'the one at its path');
	stop($proxy);
};

subtest 'stop while it upgrades' => sub {
	my $proxy = Proxy->start(backend => $mta->address);

	# The first is taken before the second is looked at.
	$proxy->signal('USR2');
	$proxy->log_like(qr/ ready /);
	$proxy->control('workers');
	$proxy->signal('TERM');
	# Either it was over, and another process serves, or both have ended.
	waitpid $proxy->{pid}, 0;
	is($?, 0, 'ends with 0');
	my $pid = ($proxy->log(qr/ ready /))[1] // '';
	($proxy->{pid}) = $pid =~ /pid=(\d+)/ if $pid;
	stop($proxy);
};

subtest 'the service manager is told' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my $manager = IO::Socket::UNIX->new(Local => "$dir/notify",
	    Type => SOCK_DGRAM) or die $!;
	local $ENV{NOTIFY_SOCKET} = "$dir/notify";
	my $proxy = Proxy->start(backend => $mta->address);
	my $heard = sub {
		my ($want, $name) = @_;
		my $all = '';

		while (Wait::wait_readable($manager, 10)) {
			$manager->recv(my $text, 4096);
			$all .= "$text\n";
			last if $text =~ $want;
		}
		like($all, $want, $name);
	};

	$proxy->log_like(qr/ ready /);
	$heard->(qr/^READY=1$/m, 'ready');
	$proxy->signal('USR2');
	my $pid = adopt($proxy);
	$heard->(qr/^MAINPID=$pid$/m, 'the main process is another one');
	$proxy->signal('TERM');
	$heard->(qr/^STOPPING=1$/m, 'it stops');
	ok($proxy->wait_end, 'and ends');
};

done_testing;
