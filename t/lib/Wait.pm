# Wait - the one place where a test waits.
#
# Nothing sleeps: a test waits until a handle is ready or a condition holds,
# and never longer than DEADLINE. While it waits, the pipes of our helpers (the
# proxy's log, what a scripted backend reports) are read as well, so that no
# helper ever stands still because its pipe is full.
package Wait;

use strict;
use warnings;
use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use Exporter qw(import);
use Scalar::Util qw(weaken);
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

our @EXPORT_OK = qw(now poll wait_until wait_readable wait_writable);

# Long, because it is reached only by a test that fails, and a loaded machine
# is no reason to fail.
our $DEADLINE = $ENV{TEST_DEADLINE} || 20;

my %pumps;	# fileno => [handle, called when it is readable]

$SIG{PIPE} = 'IGNORE';

sub now
{
	return clock_gettime(CLOCK_MONOTONIC);
}

# From now on call $object->$method() whenever $fh is readable during any
# wait. The object is not kept alive by it.
sub pump
{
	my ($fh, $object, $method) = @_;

	weaken $object;
	$pumps{fileno $fh} = [$fh, sub { $object->$method if $object; }];
}

sub unpump
{
	my ($fh) = @_;

	delete $pumps{fileno $fh} if $fh && defined fileno $fh;
}

# One turn: wait at most $seconds for any pump, or for $fh.
sub turn
{
	my ($seconds, $fh, $for_write) = @_;
	my ($r, $w) = ('', '');

	vec($r, $_, 1) = 1 for keys %pumps;
	if ($fh) {
		vec($for_write ? $w : $r, fileno $fh, 1) = 1;
	}
	$seconds = 0 if $seconds < 0;
	my $n = select $r, $w, undef, $seconds;
	return 0 if $n <= 0;
	for my $fd (keys %pumps) {
		next unless vec $r, $fd, 1;
		next if $fh && $fd == fileno $fh;
		$pumps{$fd}[1]->() if $pumps{$fd};
	}
	return $fh ? vec $for_write ? $w : $r, fileno $fh, 1 : 0;
}

# Take in what the pumps have to say now, without waiting.
sub drain
{
	for (1 .. 10_000) {
		my $r = '';

		vec($r, $_, 1) = 1 for keys %pumps;
		last unless %pumps && select($r, undef, undef, 0) > 0;
		turn(0);
	}
}

# Wait until $condition->() is true and return what it returned; undef when
# that did not happen in time.
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $end = now() + ($seconds // $DEADLINE);

	drain();
	while (1) {
		my $value = $condition->();

		return $value if $value;
		return undef if now() >= $end;
		turn($end - now());
	}
}

# The same for a condition that no helper's pipe tells of, such as the content
# of a file: it is asked again and again.
sub poll
{
	my ($condition, $seconds) = @_;
	my $end = now() + ($seconds // $DEADLINE);

	while (1) {
		my $value = $condition->();

		return $value if $value;
		return undef if now() >= $end;
		turn(0.01);
	}
}

sub wait_handle
{
	my ($fh, $for_write, $seconds) = @_;
	my $end = now() + ($seconds // $DEADLINE);

	# At least once, so that 0 seconds mean: is it ready now?
	do {
		return 1 if turn($end - now(), $fh, $for_write);
	} while (now() < $end);
	return 0;
}

sub wait_readable
{
	my ($fh, $seconds) = @_;

	return wait_handle($fh, 0, $seconds);
}

sub wait_writable
{
	my ($fh, $seconds) = @_;

	return wait_handle($fh, 1, $seconds);
}

# Is the error of the last read or write one that goes away by waiting?
sub again
{
	return $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR;
}

1;
