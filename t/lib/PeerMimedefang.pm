# PeerMimedefang - a real mimedefang, with a filter in Perl that refuses *.exe,
# takes *.scr out of messages, writes a Subject and a field of its own, and
# refuses senders called "nobody" and recipients called "none".
package PeerMimedefang;

use strict;
use warnings;
use Peer;

our @ISA = ('Peer');

sub start
{
	my ($class) = @_;
	my $self = $class->new;
	my $dir = $self->{dir};
	my @user;

	# It does not run as root.
	if ($> == 0) {
		@user = ('-U', 'defang');
		chown scalar getpwnam('defang'), -1, $dir;
	}
	$self->write('filter', <<'END');
sub filter_sender {
	my ($sender) = @_;
	return ('REJECT', 'nobody writes') if $sender =~ /nobody/;
	return ('CONTINUE', 'ok');
}
sub filter_recipient {
	my ($rcpt) = @_;
	return ('REJECT', 'none of us') if $rcpt =~ /none/;
	return ('TEMPFAIL', 'later') if $rcpt =~ /later/;
	return ('CONTINUE', 'ok');
}
sub filter_begin { }
sub filter {
	my ($entity, $name, $ext, $type) = @_;
	return action_bounce("no programs here") if $ext eq '.exe';
	return action_drop_with_warning("$name was taken out") if $ext eq '.scr';
	return action_accept();
}
sub filter_end {
	action_change_header('Subject', "[seen] $Subject");
	action_add_header('X-Defanged', 'yes');
	action_delete_header('X-Gone');
}
1;
END
	$self->write('program', "#!/bin/sh\n" .
	    "exec /usr/bin/mimedefang.pl -f $dir/filter \"\$@\"\n");
	chmod 0755, "$dir/program";
	$self->{workers} = PeerMimedefang::Workers->new(
	    address => "unix:$dir/workers");
	$self->{workers}->run('/usr/bin/mimedefang-multiplexor', '-D', @user,
	    '-m', 1, '-x', 2, '-z', $dir, '-s', "$dir/workers", '-f',
	    "$dir/program");
	$self->{address} = "unix:$dir/socket";
	# Its workers are asked about senders and recipients, too.
	return $self->run('/usr/bin/mimedefang', '-D', @user, '-m',
	    "$dir/workers", '-z', $dir, '-s', '-t', '-p', "$dir/socket");
}

# Its workers, which are there when one of them is free: before that it has no
# time for anybody.
package PeerMimedefang::Workers;

our @ISA = ('Peer');

sub reachable
{
	my ($self) = @_;
	my $fh = $self->connected or return 0;

	print $fh "free\n";
	return (<$fh> // '') =~ /\A[1-9]/;
}

1;
