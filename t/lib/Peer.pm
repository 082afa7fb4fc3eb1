# Peer - a server that filters ask: a real one from the distribution (PeerClamd
# and the like), or one that does what a test wants.
#
#	my $peer = Peer->script(sub {
#		my ($fh, $report, $n) = @_;	# the n-th connection, from 1
#		...
#	});
#	... $peer->address ...
#	$peer->wait_report(qr/connected/);
#
# Each connection of a scripted one is a process of its own; the connection is
# closed when the function returns.
package Peer;

use strict;
use warnings;
use File::Temp qw(tempdir);
use IO::Socket::IP;
use IO::Socket::UNIX;
use POSIX ();
use Wait;

my @running;	# process ids, for END

# A real one

# Its directory, readable for users without privileges.
sub new
{
	my ($class, %o) = @_;
	my $dir = tempdir('peer-XXXXXX', TMPDIR => 1, CLEANUP => 1);

	chmod 0755, $dir;
	return bless { dir => $dir, %o }, $class;
}

sub write
{
	my ($self, $name, $text) = @_;

	open my $out, '>', "$self->{dir}/$name" or die "$name: $!";
	print $out $text;
	close $out or die "$name: $!";
	return "$self->{dir}/$name";
}

# Run a program in the foreground and wait until it can be reached; dies with
# what it wrote if it cannot.
sub run
{
	my ($self, @command) = @_;
	my $log = "$self->{dir}/output";
	my $pid = fork // die "fork: $!";

	$self->{command} = \@command;
	if ($pid == 0) {
		setpgrp;
		chdir $self->{dir};
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $log;
		open STDERR, '>&', \*STDOUT;
		exec @command or POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	push @running, $pid;
	# Loading takes some seconds on a busy machine.
	Wait::poll(sub { $self->reachable || waitpid($pid, POSIX::WNOHANG()); },
	    6 * $Wait::DEADLINE);
	return $self if $self->reachable;
	open my $in, '<', $log;
	die "$command[0] does not start:\n", <$in>;
}

# host:port or unix:path, as a configuration has it.
sub address { return $_[0]{address}; }

sub connected
{
	my ($self) = @_;

	return $self->{address} =~ /\Aunix:(.*)/ ?
	    IO::Socket::UNIX->new(Peer => $1) :
	    IO::Socket::IP->new(PeerAddr => $self->{address});
}

sub reachable { return defined $_[0]->connected; }

# A port of 127.0.0.1 that nobody has.
sub free_port
{
	my $s = IO::Socket::IP->new(LocalHost => '127.0.0.1', Listen => 1)
	    or die "no port: $!";

	return $s->sockport;
}

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;

	# The process and its children.
	kill 'KILL', -$pid;
	waitpid $pid, 0;
	@running = grep { $_ != $pid } @running;
}

# The same program at the same address, after stop().
sub again
{
	my ($self) = @_;

	unlink $1 if $self->{address} =~ /\Aunix:(.*)/;
	return $self->run(@{$self->{command}});
}

# A scripted one

sub script
{
	my ($class, $serve, %o) = @_;
	my $self = $class->new(reports => [], buffer => '');
	my $listen;

	if ($o{unix}) {
		# A path, or one of our own.
		my $path = $o{unix} =~ m{/} ? $o{unix} : "$self->{dir}/socket";
		unlink $path;
		$listen = IO::Socket::UNIX->new(Listen => 100, Local => $path);
		$self->{address} = "unix:$path";
	} else {
		$listen = IO::Socket::IP->new(LocalHost => '127.0.0.1',
		    LocalPort => $o{port} // 0, Listen => 100, ReuseAddr => 1);
		$self->{address} = '127.0.0.1:' . $listen->sockport if $listen;
	}
	die "cannot listen: $!" unless $listen;
	pipe my $read, my $write or die "pipe: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		setpgrp;
		close $read;
		accept_all($listen, $write, $serve);
	}
	setpgrp $pid, $pid;
	close $write;
	$read->blocking(0);
	$self->{pid} = $pid;
	push @running, $pid;
	$self->{pipe} = $read;
	Wait::pump($read, $self, 'take');
	return $self;
}

sub accept_all
{
	my ($listen, $write, $serve) = @_;
	my $n = 0;

	$SIG{CHLD} = 'IGNORE';
	while (my $fh = $listen->accept) {
		$n++;
		my $pid = fork // POSIX::_exit(1);
		next if $pid;
		my $report = sub { syswrite $write, "@_\n"; };
		close $listen;
		$report->("connected $n");
		eval { $serve->($fh, $report, $n); 1; } or
		    $report->("died: $@");
		close $fh;
		POSIX::_exit(0);
	}
	POSIX::_exit(0);
}

sub take
{
	my ($self) = @_;
	my $n = sysread $self->{pipe}, $self->{buffer}, 65536,
	    length $self->{buffer};

	Wait::unpump($self->{pipe}) if !$n && (defined $n || !Wait::again());
	push @{$self->{reports}}, $1 while $self->{buffer} =~ s/\A(.*?)\n//;
}

# What was reported and matches.
sub reports
{
	my ($self, $like) = @_;

	Wait::drain();
	return grep { !$like || $_ =~ $like } @{$self->{reports}};
}

sub wait_report
{
	my ($self, $like) = @_;

	return Wait::wait_until(sub {
		(grep { $_ =~ $like } @{$self->{reports}})[0];
	});
}

# For the functions of scripts: exactly so many octets, or what came before the
# end.
sub octets
{
	my ($fh, $want) = @_;
	my $got = '';

	while (length $got < $want) {
		sysread $fh, $got, $want - length $got, length $got or last;
	}
	return $got;
}

# Up to this text and with it.
sub upto
{
	my ($fh, $end) = @_;
	my $got = '';

	while ($got !~ /\Q$end\E\z/) {
		sysread $fh, $got, 1, length $got or last;
	}
	return $got;
}

# Until the other side leaves.
sub linger
{
	my ($fh) = @_;
	my $x;

	1 while sysread $fh, $x, 65536;
}

sub DESTROY
{
	my ($self) = @_;

	local ($?, $!, $@);
	$self->stop if ${^GLOBAL_PHASE} ne 'DESTRUCT';
	Wait::unpump($self->{pipe}) if $self->{pipe};
}

END {
	local $?;
	kill 'KILL', map { -$_ } @running;
}

# Mail that every scanner knows

# In two halves, so that no scanner takes this file away.
our $EICAR = 'X5O!P%@AP[4\PZX54(P^)7CC)7}' .
    '$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*';
our $GTUBE = 'XJS*C4JDBQADN1.NSBN3*2IDNEN*' .
    'GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X';

sub mail
{
	my ($text) = @_;

	return "From: a\@example.org\r\nTo: b\@example.com\r\n" .
	    "Subject: a word\r\nDate: Mon, 1 Jan 2024 12:00:00 +0000\r\n" .
	    "Message-ID: <1\@example.org>\r\nMIME-Version: 1.0\r\n" .
	    "Content-Type: text/plain; charset=us-ascii\r\n\r\n$text\r\n";
}

1;
