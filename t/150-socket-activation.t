#!/usr/bin/perl
# Sockets from the service manager are used as they are, found by their
# address, shared by all workers, and who came before us is served.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX qw(dup2);
use Socket qw(SOCK_DGRAM SOMAXCONN);
use Test::More;
use Backend;
use Client;
use Proxy;
use Wait;

my $mta = Backend->start;

sub tcp_socket
{
	my ($host) = @_;

	return IO::Socket::INET->new(Listen => SOMAXCONN,
	    LocalAddr => $host // '127.0.0.1', LocalPort => 0) || die $!;
}

# Started as systemd does it, with these sockets from descriptor 3 on. They go
# there in the new process: here somebody else is at home.
sub start_with
{
	my ($sockets, $names, %o) = @_;
	my $proxy = Proxy->prepare(backend => $mta->address, %o);
	my $last = $#$sockets;

	dup2(fileno $sockets->[$_], 60 + $_) for 0 .. $last;
	$proxy->run_by('exec perl -MPOSIX=dup2 -e \'' .
	    "dup2(60 + \$_, 3 + \$_), POSIX::close(60 + \$_) for 0 .. $last;" .
	    '@ENV{qw(LISTEN_PID LISTEN_FDS LISTEN_FDNAMES)} = ' .
	    "(\$\$, $last + 1, \"$names\"); exec \@ARGV' \"\$@\"");
	$proxy->run('serve', @{$proxy->{args}});
	POSIX::close(60 + $_) for 0 .. $last;
	return $proxy;
}

subtest 'sockets are given' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my $tcp = tcp_socket();
	my $port = $tcp->sockport;
	my $unix = IO::Socket::UNIX->new(Local => "$dir/smtp", Listen => 5);
	my $early = Client->connect(port => $port);
	my $proxy = start_with([$tcp, $unix], 'vratar.socket:vratar.socket',
	    set => { workers => 2 }, listen =>
	    [{ address => "unix:$dir/smtp" },
	    { address => "127.0.0.1:$port" }]);

	close $tcp;
	close $unix;
	ok($proxy->wait_ready, 'it starts');
	is_deeply($proxy->{listen}, ["unix:$dir/smtp", "127.0.0.1:$port"],
	    'where the sockets are');
	$early->hello;
	$early->deliver('a@example.org', 'b@example.com');
	$early->quit;
	my @clients = map { $proxy->client(listener => 1) } 1 .. 20;
	$_->greeting for @clients;
	Client->connect(unix => "$dir/smtp")->greeting;
	my %served = map { /^\S+ (\w{8})\w+ connect / ? ($1 => 1) : () }
	    $proxy->log;
	cmp_ok(scalar keys %served, '<=', 2, 'by the workers');
	is($proxy->control('reload'), "ok\n", 'reload');
	$proxy->client(listener => 1)->greeting;
	kill 'USR2', $proxy->{pid};
	$proxy->log_like(qr/ upgrade pid=/, 'upgrade');
	my ($pid) = ($proxy->log(qr/ ready /))[1] =~ /pid=(\d+)/;
	waitpid $proxy->{pid}, 0;
	is($?, 0, 'done');
	$proxy->{pid} = $pid;
	$proxy->client(listener => 1)->hello;
	Client->connect(unix => "$dir/smtp")->greeting;
	$proxy->signal('TERM');
	ok($proxy->wait_end, 'stops');
	ok(-e "$dir/smtp", 'a file that was not ours stays');
};

subtest 'one is given, one is not' => sub {
	my $tcp = tcp_socket();
	my $port = $tcp->sockport;
	my $proxy = start_with([$tcp], 'x', listen =>
	    [{ address => '127.0.0.2:0' },
	    { address => "127.0.0.1:$port" }]);

	ok($proxy->wait_ready, 'it starts');
	is($proxy->port(1), $port, 'with the one');
	isnt($proxy->port(0), $port, 'and its own');
	$proxy->client(host => '127.0.0.2')->greeting;
	$proxy->client(listener => 1)->greeting;
	is($proxy->stop, 0, 'stops with 0');
};

subtest 'what is given and cannot be used' => sub {
	my ($tcp, $other) = (tcp_socket(), tcp_socket('127.0.0.5'));
	my $port = $tcp->sockport;
	my $unused = '127.0.0.5:' . $other->sockport;
	my $dgram = IO::Socket::UNIX->new(Type => SOCK_DGRAM) or die $!;
	my $proxy = start_with([$dgram, $other, $tcp], 'x:x:x',
	    listen => { address => "127.0.0.1:$port" });

	close $tcp;
	ok($proxy->wait_ready, 'it starts');
	$proxy->client->greeting;
	like(scalar $proxy->log, qr/socket fd=3 problem=.*no listening/,
	    'no listening socket');
	like(scalar $proxy->log, qr/socket listen=\Q$unused\E problem=/,
	    'not in the configuration');
	is($proxy->stop, 0, 'stops with 0');
};

subtest 'meant for another process' => sub {
	my $proxy = Proxy->prepare(backend => $mta->address);

	$proxy->run_by('LISTEN_PID=1 LISTEN_FDS=1 exec "$@"');
	$proxy->run('serve', @{$proxy->{args}});
	ok($proxy->wait_ready, 'it starts');
	$proxy->log_unlike(qr/socket/, 'and looks at nothing');
	$proxy->client->greeting;
};

subtest 'more than there is' => sub {
	my $proxy = Proxy->prepare(backend => $mta->address);

	$proxy->run_by('LISTEN_PID=$$ LISTEN_FDS=50 exec "$@"');
	$proxy->run('serve', @{$proxy->{args}});
	ok($proxy->wait_ready, 'it starts');
	$proxy->log_like(qr/LISTEN_FDS: /, 'with a complaint');
	$proxy->client->greeting;
};

subtest 'what the service manager hears' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my $manager = IO::Socket::UNIX->new(Local => "$dir/notify",
	    Type => SOCK_DGRAM) or die $!;
	local $ENV{NOTIFY_SOCKET} = "$dir/notify";
	my $proxy = Proxy->start(backend => $mta->address);
	my $heard = sub {
		Wait::wait_readable($manager) or return '';
		$manager->recv(my $text, 4096);
		return $text;
	};

	like($heard->(), qr/^READY=1$/m, 'ready');
	is($proxy->control('reload'), "ok\n", 'reload');
	like($heard->(), qr/^RELOADING=1\nMONOTONIC_USEC=\d+$/m, 'reloading');
	like($heard->(), qr/^READY=1$/m, 'ready again');
	$proxy->write('vratar.conf', "no-such-setting = 1\n");
	like($proxy->control('reload'), qr/^error/, 'a reload that fails');
	like($heard->(), qr/^RELOADING=1$/m, 'reloading');
	like($heard->(), qr/^READY=1$/m, 'ready all the same');
	is($proxy->stop, 0, 'stops with 0');
	like($heard->(), qr/^STOPPING=1$/m, 'stopping');
};

done_testing;
