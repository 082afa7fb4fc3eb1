# Run - another program, with a deadline, while our helpers go on working.
#
#	my ($status, $output) = Run::run('swaks', '--server', …);
package Run;

use strict;
use warnings;
use POSIX ();
use Wait;

# The wait status (0 is good; -1 when it took too long) and what it wrote to
# standard output and standard error.
sub run
{
	my (@command) = @_;
	my $seconds = ref $command[0] ? ${shift @command} : $Wait::DEADLINE;
	my $self = bless { output => '' };

	pipe my $read, my $write or die "pipe: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		open STDIN, '<', '/dev/null';
		open STDOUT, '>&', $write;
		open STDERR, '>&', $write;
		exec @command or POSIX::_exit(127);
	}
	close $write;
	$read->blocking(0);
	$self->{pipe} = $read;
	Wait::pump($read, $self, 'take');
	my $done = Wait::wait_until(sub { $self->{done}; }, $seconds);
	if (!$done) {
		kill 'KILL', $pid;
		Wait::unpump($read);
	}
	waitpid $pid, 0;
	return ($done ? $? : -1, $self->{output});
}

sub take
{
	my ($self) = @_;
	my $n = sysread $self->{pipe}, $self->{output}, 65536,
	    length $self->{output};

	return if $n || !defined $n && Wait::again();
	Wait::unpump($self->{pipe});
	$self->{done} = 1;
}

# Is there such a program?
sub which
{
	my ($name) = @_;

	return (grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}),
	    '/usr/sbin')[0];
}

1;
