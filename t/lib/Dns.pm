# Dns - a name server of a few lines, for the names of clients.
#
#	my $dns = Dns->start('2.0.0.127.in-addr.arpa PTR' => 'a.example',
#	    'a.example A' => '127.0.0.2');
#	Proxy->start(set => { 'dns-servers' => [$dns->server] }, …);
#
# An MX is "PREFERENCE NAME". What it does not know it denies; the value 'SERVFAIL' is that answer. A name
# may hold any octet: '\.' is a dot inside a label.
package Dns;

use strict;
use warnings;
use IO::Socket::IP;
use POSIX ();
use Socket qw(inet_aton SOCK_DGRAM);

my %type = (A => 1, PTR => 12, MX => 15, TXT => 16, AAAA => 28);
my %type_name = reverse %type;

sub start
{
	my ($class, %records) = @_;
	my $fh = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0,
	    Type => SOCK_DGRAM) or die "socket: $!";
	my $self = bless { port => $fh->sockport }, $class;

	$self->{records} = { map { lc $_ => $records{$_} } keys %records };
	pipe my $read, my $write or die "pipe: $!";
	$self->{life} = $write;	# closed when the test ends, however it ends
	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0) {
		close $write;
		$self->run($fh, $read);
		POSIX::_exit(0);
	}
	return $self;
}

sub server { return "127.0.0.1\@$_[0]{port}"; }

sub run
{
	my ($self, $fh, $life) = @_;

	while (1) {
		my $r = '';
		vec($r, fileno $_, 1) = 1 for $fh, $life;
		next if select($r, undef, undef, undef) < 0;
		return if vec $r, fileno $life, 1;
		my $peer = recv $fh, my $query, 4096, 0;
		my $answer = $self->answer($query);
		send $fh, $answer, 0, $peer if defined $answer;
	}
}

# RFC 1035 section 4: one question, the answers point back to its name.
sub answer
{
	my ($self, $query) = @_;
	my ($id) = unpack 'n', $query;
	my $at = 12;
	my @labels;

	while (my $len = ord substr $query, $at, 1) {
		push @labels, substr $query, $at + 1, $len;
		$at += 1 + $len;
	}
	my ($type) = unpack 'n', substr $query, $at + 1, 2;
	my $question = substr $query, 12, $at + 5 - 12;
	my $name = lc join '.', @labels;
	my $value = $self->{records}{"$name " . lc($type_name{$type} // '')};
	my @values = !defined $value ? () : ref $value ? @$value : $value;
	my $rcode = grep({ /\A\Q$name\E / } keys %{$self->{records}}) ? 0 : 3;

	$rcode = 2, @values = () if "@values" eq 'SERVFAIL';
	return pack('nnnnnn', $id, 0x8580 | $rcode, 1, scalar @values, 0, 0) .
	    $question . join '', map {
		my $data = $type == 1 ? inet_aton($_) : $type == 15 ?
		    wire_mx($_) : $type == 16 ? pack('(C/a*)*', unpack
		    '(a255)*', $_) : wire_name($_);
		pack('nnnNn', 0xc00c, $type, 1, 60, length $data) . $data;
	    } @values;
}

# "10 mx.example"
sub wire_mx
{
	my ($preference, $name) = split / /, $_[0];

	return pack('n', $preference) . wire_name($name);
}

sub wire_name
{
	my ($name) = @_;

	return join('', map { s/\\\././g; chr(length) . $_ }
	    split /(?<!\\)\./, $name) . "\0";
}

sub DESTROY
{
	my ($self) = @_;

	local ($?, $!);
	return unless $self->{pid};
	close delete $self->{life};
	# Another one that was started later has the pipe open as well.
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
}

1;
