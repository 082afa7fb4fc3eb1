# PeerIcap - a real c-icap: service "virus_scan", which asks a PeerClamd, and
# service "echo", which gives back what it gets.
package PeerIcap;

use strict;
use warnings;
use Peer;
use PeerClamd;

our @ISA = ('Peer');

sub start
{
	my ($class) = @_;
	my $clamd = PeerClamd->start;
	my $self = $class->new(clamd => $clamd);
	my $dir = $self->{dir};
	my $port = Peer::free_port();
	my ($socket) = $clamd->address =~ /\Aunix:(.*)/;

	$self->{address} = "127.0.0.1:$port";
	my ($lib) = glob '/usr/lib/*/c_icap';
	my $user = $> == 0 ? "User root\nGroup root\n" : '';
	$self->write('c-icap.conf', <<"END");
PidFile $dir/pid
CommandsSocket $dir/ctl
Port 127.0.0.1:$port
${user}StartServers 1
MaxServers 1
ThreadsPerChild 5
MinSpareThreads 1
MaxSpareThreads 5
TmpDir $dir
LoadMagicFile /etc/c-icap/c-icap.magic
ModulesDir $lib
ServicesDir $lib
TemplateDir /usr/share/c_icap/templates/
ServerLog $dir/server.log
AccessLog $dir/access.log
Service echo srv_echo.so
Service virus_scan virus_scan.so
Module common clamd_mod.so
clamd_mod.ClamdSocket $socket
virus_scan.DefaultEngine clamd
virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE
virus_scan.SendPercentData 0
virus_scan.MaxObjectSize 5M
END
	return $self->run('/usr/bin/c-icap', '-N', '-f', "$dir/c-icap.conf");
}

1;
