# Sink - a real `vratar sink` with its Maildir: a next MTA that keeps what it
# has taken when it is killed.
#
#	my $sink = Sink->start;
#	... $sink->address ...
#	$sink->kill; $sink->restart;
#	my %copies = $sink->ids;	# of "id: NAME" lines in the messages
package Sink;

use strict;
use warnings;
use File::Temp qw(tempdir);
use Proxy;
use Wait;

# What runs and logs is the same program, so this is the same harness.
our @ISA = ('Proxy');

sub start
{
	my ($class, %o) = @_;
	my $dir = tempdir(CLEANUP => 1);
	my $self = bless {
		dir => $dir, maildir => "$dir/mail", log => [], buffer => '',
		seen => 0, port => 0, protocol => $o{protocol} // 'smtp',
	}, $class;

	$self->registered->serve;
	return $self;
}

sub serve
{
	my ($self) = @_;

	$self->{log} = [];
	$self->{seen} = 0;
	$self->run('sink', '--listen', "127.0.0.1:$self->{port}", '--maildir',
	    $self->{maildir}, '--protocol', $self->{protocol});
	$self->wait_ready or die "the sink does not start:\n" . $self->log;
	($self->{port}) = $self->{listen}[0] =~ /:(\d+)\z/;
}

sub port { return $_[0]{port}; }

sub address
{
	my ($self) = @_;

	return "127.0.0.1:$self->{port}" if $self->{protocol} eq 'smtp';
	return "lmtp+127.0.0.1:$self->{port}";
}

# kill -9; what it has said 250 to is in the Maildir.
sub kill
{
	my ($self) = @_;

	CORE::kill('KILL', $self->{pid});
	$self->wait_end;
}

sub restart
{
	my ($self) = @_;

	$self->kill if $self->{pid};
	$self->serve;
}

# The files of the messages.
sub mail
{
	my ($self) = @_;

	return map {
		open my $in, '<', $_ or die "$_: $!";
		local $/;
		scalar <$in>;
	} glob "$self->{maildir}/new/*";
}

# How many messages there are with each "id: NAME" line.
sub ids
{
	my ($self) = @_;
	my %copies;

	for ($self->mail) {
		$copies{/^id: (\S+)$/m ? $1 : 'none'}++;
	}
	return %copies;
}

1;
