# Milter - a milter that says what a test wants, in front of Peer.
#
#	my $milter = Milter->start(offer => [6, 0x1ff, 0],
#	    M => ['c'], E => [add('X-A', 'b'), 'c']);
#	... $milter->socket ...
#	$milter->wait_report(qr/^M <a\@example.org>/);
#
# A key is a command, or a command and a recipient or field that it is about
# ("R <b\@example.com>", "L Subject"), or "any"; its value is what is answered:
# packets without their length, or code that returns them. What is not there is
# answered by "c"; with the bit NR_ for it by nothing. Each command is reported, with NULs as "|", and each
# list of macros as "D C j=…|…".
package Milter;

use strict;
use warnings;
use Exporter 'import';
use Peer;

our @ISA = ('Exporter', 'Peer');
our @EXPORT = qw(add insert change add_rcpt del_rcpt from body reply);

my %nr = (C => 0x1000, H => 0x2000, M => 0x4000, R => 0x8000, T => 0x10000,
    U => 0x20000, N => 0x40000, L => 0x80, B => 0x80000);

# Options: offer => [version, actions, protocol, lists], unix, port, raw => code
# that has the connection to itself.
sub start
{
	my ($class, %o) = @_;
	my %socket = map { $_ => delete $o{$_} }
	    grep { exists $o{$_} } qw(unix port);
	my $self = $class->SUPER::script(sub { serve(\%o, @_); }, %socket);

	return $self;
}

sub socket { return $_[0]{address}; }

# Packets

sub add { return "h$_[0]\0$_[1]\0"; }
sub insert { return pack('a N Z* Z*', 'i', @_); }
sub change { return pack('a N Z* Z*', 'm', @_); }
sub add_rcpt { return defined $_[1] ? "2$_[0]\0$_[1]\0" : "+$_[0]\0"; }
sub del_rcpt { return "-$_[0]\0"; }
sub from { return defined $_[1] ? "e$_[0]\0$_[1]\0" : "e$_[0]\0"; }
sub body { return "b$_[0]"; }
sub reply { return "y$_[0]\0"; }

sub packet { return pack('N/a*', $_[0]); }

# The next packet of the MTA, or nothing at the end.
sub receive
{
	my ($fh) = @_;
	my $length = Peer::octets($fh, 4);

	return length $length == 4 ? Peer::octets($fh, unpack 'N', $length) :
	    undef;
}

sub say_packets
{
	my ($fh, @packets) = @_;

	syswrite $fh, join('', map { packet($_) } @packets) if @packets;
}

sub serve
{
	my ($o, $fh, $report, $n) = @_;
	my $protocol = 0;
	my %state = (n => $n);	# for code: what this connection has seen

	if ($o->{raw}) {
		return $o->{raw}->($fh, $report, $n);
	}
	while (defined(my $p = receive($fh))) {
		my ($command, $rest) = (substr($p, 0, 1), substr $p, 1);
		if ($command eq 'O') {
			my @offer = @{$o->{offer} // [6, 0x1ff, 0]};
			$protocol = $offer[2];
			$report->('O ' . join ' ', map { sprintf '%x', $_ }
			    unpack 'N3', $rest);
			say_packets($fh, 'O' . pack('N3', @offer) .
			    ($offer[3] // ''));
			next;
		}
		if ($command eq 'D') {
			my ($for, %macros) = (substr($rest, 0, 1),
			    split /\0/, substr $rest, 1);
			$report->("D $for " . join '|', map { "$_=$macros{$_}" }
			    sort keys %macros);
			next;
		}
		$state{from} = $rest =~ s/\0.*//sr if $command eq 'M';
		(my $shown = $rest) =~ tr/\0\r\n/|$~/;
		$shown = length($rest) . ' octets' if length $rest > 2000;
		$report->("$command $shown");
		return if $command eq 'Q';
		next if $command eq 'A';
		my ($about) = split /\0/, $rest;
		my $answer = $o->{"$command " . ($about // '')} //
		    $o->{$command} // $o->{any};
		next if !$answer && ($nr{$command} // 0) & $protocol;
		my @packets = !$answer ? 'c' : ref $answer eq 'CODE' ?
		    $answer->($fh, $report, \%state, $command, $rest) :
		    @$answer;
		say_packets($fh, @packets);
	}
	$report->('gone');
}

1;
