# Cert - a small certificate authority for one test, made by openssl(1) in a
# temporary directory: a CA, a server certificate for our test names, and one
# for somebody else.
package Cert;

use strict;
use warnings;
use File::Temp qw(tempdir);

my $shared;

# The same one for a whole test: making keys costs time.
sub shared
{
	return $shared //= Cert->make;
}

sub make
{
	my ($class) = @_;
	my $self = bless { dir => tempdir(CLEANUP => 1) }, $class;

	chmod 0755, $self->{dir};
	$self->openssl(qw(req -x509 -newkey ec -pkeyopt
	    ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj),
	    '/CN=Test CA', '-keyout', $self->path('ca.key'),
	    '-out', $self->path('ca.pem'));
	$self->issue('server',
	    'DNS:localhost,DNS:mx.test.example,DNS:mta.test.example,' .
	    'IP:127.0.0.1,IP:::1');
	return $self;
}

# Make NAME.pem and NAME.key for these subjectAltNames.
sub issue
{
	my ($self, $name, $names) = @_;
	my $ext = $self->path("$name.ext");

	open my $out, '>', $ext or die "$ext: $!";
	print $out "subjectAltName=$names\n";
	close $out;
	$self->openssl(qw(req -newkey ec -pkeyopt
	    ec_paramgen_curve:prime256v1 -nodes -subj), "/CN=$name",
	    '-keyout', $self->path("$name.key"),
	    '-out', $self->path("$name.csr"));
	$self->openssl(qw(x509 -req -days 36500 -CAcreateserial),
	    '-in', $self->path("$name.csr"), '-CA', $self->path('ca.pem'),
	    '-CAkey', $self->path('ca.key'), '-extfile', $ext,
	    '-out', $self->path("$name.pem"));
	chmod 0644, $self->path("$name.key");
	return ($self->path("$name.pem"), $self->path("$name.key"));
}

sub openssl
{
	my ($self, @args) = @_;
	my $log = $self->path('openssl.log');
	my $pid = fork // die "fork: $!";

	if ($pid == 0) {
		open STDOUT, '>>', $log;
		open STDERR, '>>', $log;
		exec 'openssl', @args or die "openssl: $!";
	}
	waitpid $pid, 0;
	die "openssl @args failed, see $log" if $? != 0;
}

sub path
{
	my ($self, $name) = @_;

	return "$self->{dir}/$name";
}

sub ca   { return $_[0]->path('ca.pem'); }
sub cert { return $_[0]->path('server.pem'); }
sub key  { return $_[0]->path('server.key'); }

1;
