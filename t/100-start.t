#!/usr/bin/perl
# The daemon says when it serves and where, stops when it is told without
# cutting anybody off, and says what is wrong when it cannot start.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use Backend;
use Client;
use Proxy;
use Run;
use Wait;

my $mta = Backend->start;

sub vratar
{
	my ($status, $output) = Run::run($Proxy::PROGRAM, @_);

	return ($status >> 8, $output, $status & 255);
}

subtest 'verbs' => sub {
	my ($status, $output) = vratar('--version');

	is($status, 0, '--version');
	like($output, qr/\Avratar \d\S*\n\z/, 'a name and a number');
	($status, $output) = vratar('--help');
	is($status, 0, '--help');
	like($output, qr/^  $_ /m, "names $_") for qw(serve check sink);
	for my $bad ([], ['dance'], ['--dance'], ['']) {
		($status, $output) = vratar(@$bad);
		is($status, 2, "wrong usage: vratar @$bad");
		like($output, qr/^usage: /m, 'with the usage');
	}
	($status, $output) = vratar('serve', '--dance');
	is($status, 2, 'an option that serve does not have');
	($status, $output) = vratar('serve', '--help');
	is($status, 0, 'serve --help');
};

subtest 'ready' => sub {
	my $proxy = Proxy->prepare(backend => $mta->address,
	    set => { workers => 2 },
	    listen => [{}, map { { address => $_ } } '127.0.0.2:0', '[::1]:0']);

	$proxy->run('serve', @{$proxy->{args}});
	ok($proxy->wait_ready, 'it starts');
	my ($line) = $proxy->log(qr/\bready\b/);
	like($line, qr/^\S+ master ready listen=127\.0\.0\.1:\d+ /,
	    'in one line');
	like($line, qr/ workers=2 pid=$proxy->{pid}\z/, 'and who we are');
	is(scalar @{$proxy->{listen}}, 3, 'with all listeners');
	isnt($proxy->port($_), 0, 'and real ports') for 0 .. 2;
	for my $n (0 .. 2) {
		my $c = $proxy->client(listener => $n,
		    host => ('127.0.0.1', '127.0.0.2', '::1')[$n]);
		$c->greeting;
	}
	is($proxy->stop, 0, 'stops with 0');
};

subtest 'without a file' => sub {
	my $proxy = Proxy->start(options => ['--listen', '127.0.0.1:0',
	    '--backend', $mta->address, '--identity', 'none',
	    '--relay-domains', '*', '--workers', 2]);

	is(scalar(my @w = $proxy->workers), 2, 'two workers');
	$proxy->client->hello;
	is($proxy->stop, 0, 'stops with 0');
};

subtest 'files of sockets' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my $proxy = Proxy->start(backend => $mta->address,
	    listen => { address => "unix:$dir/smtp" });

	is($proxy->address, "unix:$dir/smtp", 'said in the ready line');
	Client->connect(unix => "$dir/smtp")->hello;
	is((stat $proxy->{control})[2] & 07777, 0600, 'control socket');
	is($proxy->control('dance'), "error unknown command\n", 'commands');
	is($proxy->control(''), "error unknown command\n", 'an empty one');
	is($proxy->control('workers now'), "error unknown command\n",
	    'with an argument too much');
	is($proxy->control("clock $_"), "error clock wants milliseconds\n",
	    "clock $_") for '', -1, 'x', '1x', 0, '9' x 30;
	is($proxy->control("workers\nsessions") =~ tr/\n//, 2,
	    'two in one connection');
	like($proxy->control('sessions'), qr/^ok \d+$/, 'sessions');
	is($proxy->stop, 0, 'stops with 0');
	ok(!-e "$dir/smtp" && !-e $proxy->{control}, 'files are removed');
};

subtest 'stop' => sub {
	my $proxy = Proxy->start(backend => $mta->address);
	my ($idle, $busy) = ($proxy->client, $proxy->client);

	$idle->hello;
	$busy->hello;
	$busy->envelope('a@example.org', 'b@example.com');
	$busy->send('DATA');
	$busy->expect(qr/^354 /, 'in the middle of a message');
	$proxy->signal('TERM');
	$idle->expect(qr/^421 4\.3\.2 /, 'a waiting client is told');
	$idle->expect_close('and closed');
	ok(!eval { $proxy->client }, 'no new clients');
	$busy->octets("Subject: last\r\n\r\n.\r\n");
	$busy->expect(qr/^250 /, 'the message goes through');
	like($mta->last->{content}, qr/^Subject: last/, 'to the backend');
	$busy->expect(qr/^421 4\.3\.2 /, 'and then');
	$busy->expect_close('the end');
	ok($proxy->wait_end(10), 'the daemon has ended');
	is($proxy->{status}, 0, 'with 0');
};

subtest 'stop, and a client that does not end' => sub {
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { 'drain-timeout' => '30s' });
	my $c = $proxy->client;

	$c->hello;
	$c->envelope('a@example.org', 'b@example.com');
	$c->send('DATA');
	$c->expect(qr/^354 /, 'in the middle of a message');
	$proxy->signal('TERM');
	$proxy->log_like(qr/\bstopping\b/);
	$proxy->clock(29_000);
	$c->octets("Subject: x\r\n");
	$c->expect_nothing('has its time');
	$proxy->clock(2_000);
	$c->expect_close('and not more');
	ok($proxy->wait_end(10), 'the daemon has ended');
	is($proxy->{status}, 0, 'with 0');
};

# Whatever is wrong, it ends, says so, and nothing is left.
sub refuses
{
	my ($name, $want, $like, %o) = @_;
	my $proxy = Proxy->prepare(backend => $mta->address, %o);

	$proxy->run('serve', @{$proxy->{args}});
	ok($proxy->wait_end(10), "$name: it ends");
	is($proxy->{status} >> 8, $want, "with $want");
	like(scalar $proxy->log, $like, 'and says why');
	unlike(scalar $proxy->log, qr/\bready\b/, 'it was never ready');
	ok(!-e $proxy->{control}, 'no control socket');
}

subtest 'cannot start' => sub {
	my $first = Proxy->start(backend => $mta->address);
	my $address = '127.0.0.1:' . $first->port;

	refuses('a mistake in the file', 2, qr/no-such-setting/,
	    set => { 'no-such-setting' => 1 });
	refuses('a port in use', 1, qr/cannot listen at \Q$address\E/,
	    listen => { address => $address });
	refuses('no directory for the control socket', 1,
	    qr{/no/such/place}, set => {
		'control-socket' => '/no/such/place/control' });
	refuses('a control socket in use', 1, qr/in use/,
	    set => { 'control-socket' => $first->{control} });
	ok(-e $first->{control}, 'which the first one still has');
	like($first->control('workers'), qr/^ok \d+$/, 'and uses');
	refuses('no directory for the log', 1, qr{/no/such/place},
	    options => ['--listen', '127.0.0.1:0', '--backend',
	    $mta->address, '--relay-domains', '*', '--identity', 'none',
	    '--set', 'log=file:/no/such/place/log']);
	refuses('nobody by that name', 2, qr/no-such-user/,
	    set => { user => 'no-such-user' });
};

subtest 'privileges' => sub {
	plan skip_all => 'not root' if $> != 0;
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { user => 'nobody', workers => 2 });
	my $uid = getpwnam 'nobody';

	for my $pid ($proxy->workers) {
		open my $in, '<', "/proc/$pid/status" or die $!;
		my %status = map { /^(\w+):\s*(.*)/ } <$in>;
		is($status{Uid}, join("\t", ($uid) x 4), 'user');
		is((split ' ', $status{Gid})[0], (getpwnam 'nobody')[3],
		    'group');
		unlike(" $status{Groups} ", qr/ 0 /, 'groups');
		is($status{CapEff} =~ tr/0//dr, '', 'no capabilities');
	}
	$proxy->log_unlike(qr/as root/, 'no warning');
	$proxy->client->hello;
};

# Not with the first large message.
subtest 'directories that the workers cannot write into' => sub {
	my $dir = tempdir(CLEANUP => 1);

	mkdir "$dir/$_", 0555 or die $! for qw(spool kept);
	chmod 0755, $dir;
	my $proxy = Proxy->start(backend => $mta->address,
	    set => { $> == 0 ? (user => 'nobody') : (),
	    'spool-directory' => "$dir/spool",
	    quarantine => "maildir:$dir/kept" });
	$proxy->log_like(qr{spool-directory path=$dir/spool problem="Perm},
	    'the spool');
	$proxy->log_like(qr{quarantine path=$dir/kept problem="Perm},
	    'the quarantine');
	$proxy->client->hello;
};

# What is in the file, when it is like that.
sub content
{
	my ($path, $like) = @_;

	return Wait::poll(sub {
		open my $in, '<', $path or return undef;
		my $text = join '', <$in>;
		return $text =~ $like ? $text : undef;
	}) // '';
}

subtest 'log file' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my @user = $> == 0 ? ('--set', 'user=nobody') : ();
	my $proxy = Proxy->prepare(options => ['--listen', '127.0.0.1:0',
	    '--backend', $mta->address, '--identity', 'none',
	    '--relay-domains', '*', '--workers', 2, @user,
	    '--set', "log=file:$dir/log"]);

	# The directory is root's: a worker cannot make a file there.
	chmod 0755, $dir;
	$proxy->run('serve', @{$proxy->{args}});
	my ($port) = content("$dir/log", qr/\bready\b/) =~
	    /listen=127\.0\.0\.1:(\d+)/;
	ok($port, 'ready, said in the file');
	rename "$dir/log", "$dir/log.1" or die $!;
	$proxy->signal('USR1');
	ok(Wait::poll(sub { -e "$dir/log" }), 'a new file');
	# In the channel to each worker this is behind "reopen".
	like($proxy->control('sessions'), qr/^ok/, 'all have heard it');
	Client->connect(port => $port)->greeting for 1 .. 10;
	like(content("$dir/log", qr/(?:connect client=.*\n[^\0]*){10}/),
	    qr/\bconnect client=/, 'workers write to the new file');
	unlike(content("$dir/log.1", qr/ready/), qr/connect client=/,
	    'and not to the old one');
	is($proxy->log, '', 'nothing on standard error');
	is($proxy->stop, 0, 'stops with 0');
};

subtest 'without standard error' => sub {
	my $dir = tempdir(CLEANUP => 1);
	my $proxy = Proxy->prepare(options => ['--listen', '127.0.0.1:0',
	    '--backend', $mta->address, '--identity', 'none',
	    '--relay-domains', '*', '--set', "log=file:$dir/log"]);

	$proxy->run_by('exec "$@" <&- 2>&-');
	$proxy->run('serve', @{$proxy->{args}});
	ok(content("$dir/log", qr/\bready\b/), 'it starts');
	for my $pid ($proxy->{pid}, $proxy->workers) {
		is(readlink "/proc/$pid/fd/$_", '/dev/null',
		    "nothing else is descriptor $_") for 0, 2;
	}
	is($proxy->stop, 0, 'stops with 0');
};

done_testing;
