# Proxy - the daemon under test, in its own temporary directory.
#
#	my $proxy = Proxy->start(backend => $mta->address);
#	my $c = $proxy->client;
#
# start() writes a configuration file, starts `vratar serve` and returns when
# it listens. Unless a test says otherwise there is one worker, any domain is
# relayed to, and identity is "none": the tests about those say otherwise.
#
#	backend   an address, or a reference to several
#	set       { setting => value } of the top level; an array is a list,
#	          undef leaves the default of this file out
#	listen    { … } of the listener; or [ { … }, … ] for several, each with
#	          an optional address => "unix:…"
#	mta       { … } of the backend block
#	tls       a Cert: gives the listeners a certificate
#	extra     text for the end of the configuration
#	options   [ … ] of the command line, instead of a configuration file
#	crashes   true: a worker may die; else that fails the test
package Proxy;

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use IO::Socket::UNIX;
use POSIX qw(WNOHANG);
use Scalar::Util qw(weaken);
use Test::More ();
use Client;
use Wait;

our $PROGRAM = abs_path($ENV{VRATAR} || './vratar');
our $HOSTNAME = 'mx.test.example';

my @running;	# weak references, for END

sub start
{
	my ($class, %o) = @_;
	my $self = $class->prepare(%o);

	$self->run('serve', @{$self->{args}});
	if (!$self->wait_ready) {
		my $log = $self->log;
		$self->stop;
		die "the proxy does not start:\n$log";
	}
	return $self;
}

# The configuration without the program.
sub prepare
{
	my ($class, %o) = @_;
	my $dir = tempdir(CLEANUP => 1);
	my $self = bless {
		dir => $dir, log => [], buffer => '', seen => 0,
		control => "$dir/control", crashes => $o{crashes},
	}, $class;

	chmod 0755, $dir;
	if ($o{options}) {
		$self->{args} = [@{$o{options}}, '--control',
		    $self->{control}];
	} else {
		$self->write('vratar.conf', $self->configuration(%o));
		$self->{args} = ['-c', "$dir/vratar.conf", '--foreground'];
	}
	return $self->registered;
}

# Finished at the end of the test, however it ends.
sub registered
{
	my ($self) = @_;

	push @running, $self;
	weaken $running[-1];
	return $self;
}

# A file in our directory. Returns its path.
sub write
{
	my ($self, $name, $text) = @_;
	my $path = "$self->{dir}/$name";

	open my $out, '>', $path or die "$path: $!";
	print $out $text;
	CORE::close $out or die "$path: $!";
	return $path;
}

sub value
{
	my ($v) = @_;

	return '{ ' . join(', ', map { value($_) } @$v) . ' }' if ref $v;
	return $v if $v =~ /\A(?:true|false|-?\d+)\z/;
	$v =~ s/(["\\])/\\$1/g;
	return "\"$v\"";
}

sub settings
{
	my ($indent, %set) = @_;

	return join '', map { "$indent$_ = " . value($set{$_}) . "\n" }
	    grep { defined $set{$_} } sort keys %set;
}

sub configuration
{
	my ($self, %o) = @_;
	my %set = (
		hostname => $HOSTNAME, workers => 1, log => 'stderr',
		'control-socket' => $self->{control},
		'relay-domains' => ['*'], 'spool-directory' => $self->{dir},
		# Nobody answers there: a test that needs names says where.
		'dns-servers' => ['127.0.0.1@9'], %{$o{set} // {}},
	);
	my $text = settings('', %set);
	my @listen = ref($o{listen} // '') eq 'ARRAY' ? @{$o{listen}} :
	    ($o{listen} // {});
	my %mta = (identity => 'none', %{$o{mta} // {}});

	for my $i (0 .. $#listen) {
		my %l = %{$listen[$i]};
		my $address = delete $l{address} //
		    '127.0.0.' . ($i + 1) . ':0';
		if ($o{tls}) {
			$l{'tls-certificate'} //= $o{tls}->cert;
			$l{'tls-key'} //= $o{tls}->key;
		}
		$text .= "listen \"$address\" {\n" . settings("\t", %l) .
		    "}\n";
	}
	$mta{address} = ref $o{backend} ? $o{backend} : [$o{backend}]
	    if $o{backend};
	$text .= "backend \"mta\" {\n" . settings("\t", %mta) . "}\n" .
	    "route \"*\" { backend = \"mta\" }\n" if $mta{address};
	return $text . ($o{extra} // '');
}

# Start it by a piece of shell, in which "$@" is the program and its arguments.
sub run_by
{
	my ($self, $shell) = @_;

	$self->{program} = $self->write('run.sh',
	    "#!/bin/sh\nset -- $PROGRAM \"\$@\"\n$shell\n");
	chmod 0755, $self->{program};
}

# The program, with its log on a pipe to us.
sub run
{
	my ($self, @args) = @_;

	pipe my $log, my $write or die "pipe: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		open STDIN, '<', '/dev/null';
		open STDOUT, '>&', $write;
		open STDERR, '>&', $write;
		exec $self->{program} // $PROGRAM, @args or
		    POSIX::_exit(127);
	}
	CORE::close $write;
	$log->blocking(0);
	$self->{pid} = $pid;
	$self->{pipe} = $log;
	Wait::pump($log, $self, 'read_log');
}

sub read_log
{
	my ($self) = @_;
	my $n = sysread $self->{pipe}, $self->{buffer}, 1 << 20,
	    length $self->{buffer};

	if (!$n && (defined $n || !Wait::again())) {
		Wait::unpump($self->{pipe});
		CORE::close delete $self->{pipe};
	}
	push @{$self->{log}}, $1 while $self->{buffer} =~ s/\A(.*?)\n//;
}

# "ready listen=ADDR:PORT listen=…"
sub wait_ready
{
	my ($self) = @_;

	my $line = Wait::wait_until(sub {
		for (@{$self->{log}}) {
			return $_ if /\bready listen=|"event":"ready"/;
		}
		# It has given up: no use in waiting.
		return $self->{pipe} ? undef : 'gone';
	}) // '';
	@{$self->{listen}} = $line =~ /listen"?[=:]"?([^\s"]+)/g;
	return @{$self->{listen}} > 0;
}

# The address of the n-th listener, and its port.
sub address { return $_[0]{listen}[$_[1] // 0]; }

sub port
{
	my ($self, $n) = @_;

	return $self->address($n) =~ /:(\d+)\z/ ? $1 : undef;
}

# A connected client; options as for Client->connect, and listener => n.
sub client
{
	my ($self, %o) = @_;
	my $n = delete $o{listener};

	my ($host, $port) = $self->address($n) =~ /\A(.*):(\d+)\z/;
	my $c = Client->connect(host => $host, port => $port, %o);
	# Nobody stops the daemon under a client that is still talking to it.
	$c->{proxy} = $self;
	return $c;
}

# Everything logged so far, or the lines that match.
sub log
{
	my ($self, $like) = @_;

	Wait::drain();
	my @lines = grep { !$like || $_ =~ $like } @{$self->{log}};
	return wantarray ? @lines : join "\n", @lines;
}

# Wait for a line, among those after the last one found here. A check.
sub log_like
{
	my ($self, $like, $name) = @_;

	my $found = Wait::wait_until(sub {
		for my $i ($self->{seen} .. $#{$self->{log}}) {
			next unless $self->{log}[$i] =~ $like;
			$self->{seen} = $i + 1;
			return $self->{log}[$i];
		}
		return undef;
	});
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	Test::More::ok(defined $found, $name // "logged $like");
	return $found;
}

# No line like this, so far.
sub log_unlike
{
	my ($self, $like, $name) = @_;
	my @found = $self->log($like);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	Test::More::is("@found", '', $name // "nothing logged $like");
}

# One command to the control socket; returns all it answers.
sub control
{
	my ($self, $command) = @_;
	my $s = IO::Socket::UNIX->new(Peer => $self->{control}) or
	    die "control socket: $!";
	my $answer = '';

	syswrite $s, "$command\n";
	shutdown $s, 1;
	while (Wait::wait_readable($s)) {
		sysread $s, $answer, 65536, length $answer or last;
	}
	return $answer;
}

# Move the time of all processes of the daemon forward.
sub clock
{
	my ($self, $ms) = @_;
	my $answer = $self->control("clock $ms");

	die "clock: $answer" if $answer !~ /^ok/m;
}

# The process ids of the workers.
sub workers
{
	my ($self) = @_;

	return $self->control('workers') =~ /\b(\d+)\b/g;
}

# A signal for the master. (Process 0 would be the test itself and all its
# helpers.)
sub signal
{
	my ($self, $signal) = @_;

	die 'the daemon has ended' unless $self->{pid};
	kill $signal, $self->{pid};
}

# The program has ended, and all its children with it: nobody holds the pipe.
sub wait_end
{
	my ($self, $seconds) = @_;

	Wait::wait_until(sub { !$self->{pipe}; }, $seconds) or return 0;
	waitpid delete $self->{pid}, 0 if $self->{pid};
	$self->{status} = $?;
	return 1;
}

# Ask it to end. Returns its wait status; undef if it had to be killed.
sub stop
{
	my ($self) = @_;

	return $self->{status} unless $self->{pid};
	kill 'TERM', $self->{pid};
	return $self->{status} if $self->wait_end(5);
	$self->{killed} = 1;
	kill 'KILL', $self->{pid}, $self->children;
	$self->wait_end(5);
	return undef;
}

# The children of the master, from the kernel and not from itself.
sub children
{
	my ($self) = @_;

	open my $in, '<', "/proc/$self->{pid}/task/$self->{pid}/children"
	    or return;
	return split ' ', <$in> // '';
}

# What no test may leave behind in the log.
sub complaints
{
	my ($self) = @_;
	my $like = qr/Sanitizer|runtime error:|[Aa]ssert(?:ion)?\b.*failed/;

	return grep { $_ =~ $like } @{$self->{log}};
}

sub DESTROY
{
	my ($self) = @_;

	local ($?, $!, $@);
	return if ${^GLOBAL_PHASE} eq 'DESTRUCT';
	$self->finish;
}

sub finish
{
	my ($self) = @_;

	return if $self->{finished}++ || !$self->{log};
	$self->stop;
	my @complaints = $self->complaints;
	Test::More::fail('the daemon has no complaint at the end')
	    if @complaints;
	my $bad = @complaints || !Test::More->builder->is_passing;
	Test::More::diag("log of the daemon:\n", map { "  $_\n" }
	    @{$self->{log}}) if $bad;
	return !@complaints;
}

END {
	my $status = $?;

	for (grep { defined } @running) {
		$status ||= 1 if defined $_->finish && $_->complaints;
	}
	$? = $status;
}

1;
