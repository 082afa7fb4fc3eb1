# Postfix - a real one from the distribution, as its own instance: own queue,
# own configuration, own port, below a temporary directory. It delivers mail
# for example.com into Maildirs and relays for nobody but SASL users.
#
#	my $postfix = Postfix->start or plan skip_all => $Postfix::why;
#	... $postfix->address ...
#	$postfix->log_like(qr/client=real\.example/, 'the real client');
package Postfix;

use strict;
use warnings;
use File::Temp qw(tempdir);
use IO::Socket::IP;
use POSIX ();
use Scalar::Util qw(weaken);
use Socket qw(SOCK_STREAM);
use Test::More ();
use Wait;

our $why = '';
our @users = qw(alice bob postmaster);

my @running;

# Postfix only starts as root, and may not be installed.
sub possible
{
	$why = 'not root, so Postfix cannot be started' if $> != 0;
	$why = 'Postfix is not installed' unless -x '/usr/sbin/postfix';
	$why = 'no user postfix' unless defined getpwnam 'postfix';
	return $why eq '';
}

# Options: main => { parameter => value } over ours, tls => a Cert, sasl =>
# { user => password }, smtpd => [ "-o name=value" … ], more => [ the same for
# each further port ].
sub start
{
	my ($class, %o) = @_;

	return undef unless possible();
	my $dir = tempdir('postfix-XXXXXX', TMPDIR => 1, CLEANUP => 1);
	chmod 0755, $dir;
	my $self = bless {
		dir => $dir, log => [], buffer => '', seen => 0,
		ports => [map { free_port() } 0, @{$o{more} // []}],
	}, $class;
	mkdir "$dir/$_" for qw(etc etc/sasl queue data mail);
	chown scalar getpwnam('postfix'), -1, "$dir/data";
	chown 65534, 65534, "$dir/mail";
	$self->write('etc/users', join '', map { "$_\@example.com $_/\n" }
	    @users, "d\303\274rer");
	$self->sasl(%{$o{sasl}}) if $o{sasl};
	$self->write('etc/main.cf', $self->main_cf(%o));
	$self->write('etc/master.cf', $self->master_cf(%o));
	$self->write('maillog', '');
	$self->follow_log;
	push @running, $self;
	weaken $running[-1];
	$self->command('start') == 0 or
	    die "Postfix does not start:\n" . join "\n", @{$self->{log}};
	$self->wait_port;
	return $self;
}

sub free_port
{
	my $s = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0,
	    Listen => 1, ReuseAddr => 1) or die "socket: $!";

	return $s->sockport;
}

sub write
{
	my ($self, $name, $text) = @_;

	open my $out, '>', "$self->{dir}/$name" or die "$name: $!";
	print $out $text;
	close $out;
}

sub main_cf
{
	my ($self, %o) = @_;
	my $dir = $self->{dir};
	my %p = (
		compatibility_level => '3.6',
		queue_directory => "$dir/queue",
		data_directory => "$dir/data",
		maillog_file => "$dir/maillog",
		maillog_file_prefixes => $dir,
		multi_instance_enable => 'yes',
		myhostname => 'postfix.test.example',
		mydestination => '',
		# The proxy's own address is to be trusted for nothing else
		# than telling who the client is.
		mynetworks => '192.0.2.250/32',
		smtpd_authorized_xclient_hosts => '127.0.0.0/8 [::1]',
		inet_interfaces => '127.0.0.1',
		inet_protocols => 'all',
		smtputf8_enable => 'yes',
		alias_maps => '', alias_database => '',
		virtual_mailbox_domains => 'example.com',
		virtual_mailbox_maps => "texthash:$dir/etc/users",
		virtual_mailbox_base => "$dir/mail",
		virtual_uid_maps => 'static:65534',
		virtual_gid_maps => 'static:65534',
		virtual_minimum_uid => 1,
		transport_maps => 'inline:{ elsewhere.example=discard: }',
		smtpd_relay_restrictions =>
		    'permit_sasl_authenticated, reject_unauth_destination',
		smtpd_peername_lookup => 'no',
		# Milliseconds count: a delayed reply is a slow test.
		smtpd_error_sleep_time => 0,
		smtpd_client_connection_count_limit => 0,
		in_flow_delay => 0,
		message_size_limit => 2_000_000,
		# All the tests do is local; nothing may wait for a name server.
		smtp_host_lookup => 'native',
		disable_dns_lookups => 'yes',
		notify_classes => '',
	);

	if ($o{tls}) {
		$p{smtpd_tls_security_level} = 'may';
		$p{smtpd_tls_cert_file} = $o{tls}->cert;
		$p{smtpd_tls_key_file} = $o{tls}->key;
		$p{smtpd_tls_loglevel} = 1;
	}
	if ($o{sasl}) {
		$p{smtpd_sasl_auth_enable} = 'yes';
		$p{smtpd_sasl_path} = 'smtpd';
		$p{smtpd_sasl_local_domain} = 'test.example';
	}
	%p = (%p, %{$o{main} // {}});
	return join '', map { "$_ = $p{$_}\n" } sort keys %p;
}

# No chroot anywhere: it would need copies of system files.
sub master_cf
{
	my ($self, %o) = @_;
	my @smtpd = ($o{smtpd} // [], @{$o{more} // []});
	my @rows = map { [split] } split /\n/, <<'END';
pickup unix n - 60 1 pickup
cleanup unix n - - 0 cleanup
qmgr unix n - 300 1 qmgr
tlsmgr unix - - 1000? 1 tlsmgr
rewrite unix - - - - trivial-rewrite
bounce unix - - - 0 bounce
defer unix - - - 0 bounce
trace unix - - - 0 bounce
verify unix - - - 1 verify
flush unix n - 1000? 0 flush
proxymap unix - - - - proxymap
smtp unix - - - - smtp
relay unix - - - - smtp
showq unix n - - - showq
error unix - - - - error
retry unix - - - - error
discard unix - - - - discard
local unix - n - - local
virtual unix - n - - virtual
lmtp unix - - - - lmtp
anvil unix - - - 1 anvil
scache unix - - - 1 scache
postlog unix-dgram n - - 1 postlogd
END
	my $text = join '', map {
		"127.0.0.1:$self->{ports}[$_] inet n - n - - smtpd\n" .
		    join '', map { "  $_\n" } @{$smtpd[$_]};
	} 0 .. $#smtpd;

	for (@rows) {
		my ($name, $type, $private, $unpriv, @rest) = @$_;
		$text .= "$name $type $private $unpriv n @rest\n";
	}
	return $text;
}

# Passwords in a sasldb of our own; no saslauthd. The library looks for its
# configuration below that of Postfix.
sub sasl
{
	my ($self, %users) = @_;
	my $db = "$self->{dir}/sasldb2";

	for my $user (sort keys %users) {
		open my $to, '|-', 'saslpasswd2', '-p', '-c', '-f', $db, '-u',
		    'test.example', $user or die "saslpasswd2: $!";
		print $to $users{$user};
		close $to or die "saslpasswd2 failed: $?";
	}
	chown scalar getpwnam('postfix'), -1, $db;
	$self->write('etc/sasl/smtpd.conf', <<"END");
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: $db
mech_list: PLAIN LOGIN SCRAM-SHA-1 SCRAM-SHA-256
END
}

sub command
{
	my ($self, @args) = @_;
	my $pid = fork // die "fork: $!";

	if ($pid == 0) {
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', "$self->{dir}/output";
		open STDERR, '>&', \*STDOUT;
		exec '/usr/sbin/postfix', '-c', "$self->{dir}/etc", @args
		    or POSIX::_exit(127);
	}
	waitpid $pid, 0;
	return $?;
}

# The log is a file; tail(1) makes something of it that one can wait for.
sub follow_log
{
	my ($self) = @_;

	$self->{tail} = open my $fh, '-|', 'tail', '-n', '+1', '-s', '0.05',
	    '-f', "$self->{dir}/maillog" or die "tail: $!";
	$fh->blocking(0);
	$self->{pipe} = $fh;
	Wait::pump($fh, $self, 'read_log');
}

sub read_log
{
	my ($self) = @_;
	my $n = sysread $self->{pipe}, $self->{buffer}, 65536,
	    length $self->{buffer};

	Wait::unpump($self->{pipe}) if !$n && (defined $n || !Wait::again());
	push @{$self->{log}}, $1 while $self->{buffer} =~ s/\A(.*?)\n//;
}

sub wait_port
{
	my ($self) = @_;

	Wait::wait_until(sub {
		return grep { /daemon started/ } @{$self->{log}};
	}) or die "Postfix does not start:\n" . join "\n", @{$self->{log}};
}

# The first one, or the n-th of more.
sub port    { return $_[0]{ports}[$_[1] // 0]; }
sub address { return '127.0.0.1:' . $_[0]->port($_[1]); }

# Wait for a line behind the last one found here. A check.
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
	Test::More::ok(defined $found, $name // "Postfix logs $like") or
	    Test::More::diag(map { "$_\n" } @{$self->{log}});
	return $found;
}

sub log
{
	my ($self, $like) = @_;

	Wait::drain();
	return grep { !$like || $_ =~ $like } @{$self->{log}};
}

# The messages in the Maildir of a user. Wait for status=sent in the log before.
sub mail
{
	my ($self, $user) = @_;

	return map {
		open my $in, '<', $_ or die "$_: $!";
		local $/;
		scalar <$in>;
	} glob "$self->{dir}/mail/$user/new/*";
}

# Wait until there is one that matches; returns it.
sub wait_mail
{
	my ($self, $user, $like) = @_;

	return Wait::wait_until(sub {
		return (grep { $_ =~ $like } $self->mail($user))[0];
	});
}

# kill -9 of everything, as when the machine fails.
sub kill
{
	my ($self) = @_;

	my $group = $self->master or return;
	CORE::kill('KILL', -$group, $group);
}

sub master
{
	my ($self) = @_;

	open my $in, '<', "$self->{dir}/queue/pid/master.pid" or return undef;
	return <$in> =~ /(\d+)/ ? $1 : undef;
}

sub finish
{
	my ($self) = @_;

	return if $self->{finished}++;
	my $group = $self->master;
	$self->command('stop') if $group;
	# Its children are in its process group; none may outlive the test.
	CORE::kill('KILL', -$group) if $group;
	if ($self->{pipe}) {
		Wait::unpump($self->{pipe});
		CORE::kill('TERM', $self->{tail});
		close delete $self->{pipe};
	}
}

sub DESTROY
{
	my ($self) = @_;

	local ($?, $!, $@);
	$self->finish if ${^GLOBAL_PHASE} ne 'DESTRUCT';
}

END {
	local $?;
	$_->finish for grep { defined } @running;
}

1;
