# Backend - a scripted next MTA in a process of its own, which reports all it
# hears.
#
#	my $mta = Backend->start('RCPT TO:<nobody@' => '550 5.1.1 no user');
#	... $mta->address ...
#	is_deeply($mta->last->{rcpts}, ['<b@example.com>'], 'one recipient');
#
# Arguments in capitals (and ".") are rules, the others are options.
#
# A rule is the start of a command line, in any case; the longest that fits
# wins. Beside commands there are CONNECT (the greeting), "." (the end of DATA;
# with LMTP ".<rcpt>" too), "LAST" (the end of BDAT), "CONTENT" (a piece of
# DATA content arrived) and "AUTH+" (a line of an AUTH dialogue). Its value is
#	'550 5.1.1 no'		a reply; several lines are separated by "\n"
#	[ … ]			one after the other, the last one for ever
#	undef			no reply at all
#	{ raw => "…" }		these octets
#	{ hold => NAME, reply => … }  nothing until ->release(NAME), nor what
#				comes after it
#	{ reply => …, then => 'close' | 'reset' }
#	{ close => 1 } { reset => 1 }  at once, without a reply
#	{ reply => …, drip => 1 }  one octet with each write
#	{ endless => "250-x\r\n" }  for ever, as fast as it is read
#	sub { my ($conn, $line) = @_; … }  runs in the backend; returns a value
#
# The backend is strict: CR LF "." CR LF alone ends DATA, BDAT is counted.
# It reports before it replies, so that a test whose client has seen the
# reply finds the report.
package Backend;

use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use IO::Socket::SSL;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(AF_UNIX IPPROTO_TCP PF_UNSPEC SOCK_STREAM SOL_SOCKET SO_LINGER
    TCP_NODELAY);
use Storable qw(freeze thaw);
use Wait;

our @EXTENSIONS = ('PIPELINING', 'SIZE 10240000', 'ENHANCEDSTATUSCODES',
    '8BITMIME', 'SMTPUTF8', 'DSN', 'CHUNKING');

# Options: extensions (array), starttls (a Cert), inject (octets in plain text
# behind the 220 to STARTTLS), xclient ("NAME ADDR …"), xclient_once, xforward,
# auth ("PLAIN …"), proxy (expect a PROXY header), lmtp, unix (path), port.
sub start
{
	my ($class, %arg) = @_;
	my $self = bless { events => [], buffer => '', given => 0 }, $class;

	for my $key (keys %arg) {
		my $where = $key =~ /\A[a-z]/ ? 'option' : 'rules';
		$self->{$where}{$where eq 'rules' ? uc $key : $key} =
		    $arg{$key};
	}
	$self->{rules} //= {};
	$self->{option}{extensions} //= [@EXTENSIONS];
	$self->{option}{name} //= 'mta.test.example';
	$self->listen;
	$self->spawn;
	return $self;
}

# An address where nobody listens: connections are refused.
sub nobody
{
	my $s = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0,
	    Type => SOCK_STREAM) or die "socket: $!";

	# Bound and never listening, for as long as the test runs.
	push our(@bound), $s;
	return '127.0.0.1:' . $s->sockport;
}

sub listen
{
	my ($self) = @_;
	my $o = $self->{option};

	if ($o->{unix}) {
		unlink $o->{unix};
		$self->{listener} = IO::Socket::UNIX->new(Local => $o->{unix},
		    Listen => 1024, Type => SOCK_STREAM);
	} else {
		$self->{listener} = IO::Socket::IP->new(
		    LocalHost => '127.0.0.1', LocalPort => $o->{port} // 0,
		    Listen => 1024, ReuseAddr => 1, Type => SOCK_STREAM);
	}
	die "cannot listen: $!" unless $self->{listener};
	$o->{port} = $self->{listener}->sockport unless $o->{unix};
}

sub spawn
{
	my ($self) = @_;

	socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC
	    or die "socketpair: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		$self->{control} = $theirs;
		eval { $self->run; };
		print STDERR "# Backend: $@" if $@;
		POSIX::_exit(0);
	}
	close $theirs;
	close delete $self->{listener};
	$ours->blocking(0);
	$self->{control} = $ours;
	$self->{pid} = $pid;
	Wait::pump($ours, $self, 'read_reports');
}

sub port { return $_[0]{option}{port}; }

# What goes into --backend or an address of a backend block.
sub address
{
	my ($self) = @_;
	my $o = $self->{option};
	my $where = $o->{unix} ? "unix:$o->{unix}" : "127.0.0.1:$o->{port}";

	return ($o->{lmtp} ? 'lmtp+' : '') . $where;
}

# What the test asks

sub read_reports
{
	my ($self) = @_;
	my $n = sysread $self->{control}, $self->{buffer}, 1 << 20,
	    length $self->{buffer};

	if (!$n && (defined $n || !Wait::again())) {
		Wait::unpump($self->{control});
		return;
	}
	while (length $self->{buffer} >= 4) {
		my $len = unpack 'N', $self->{buffer};
		last if length $self->{buffer} < 4 + $len;
		substr($self->{buffer}, 0, 4) = '';
		push @{$self->{events}},
		    thaw(substr $self->{buffer}, 0, $len, '');
	}
}

# All reports so far: { type, conn, … }; of one type when it is given. Types:
# connect, proxy, tls, command (line, read), xclient, auth, data (354 was said),
# message, held, close (state).
sub events
{
	my ($self, $type) = @_;

	Wait::drain();
	return grep { !$type || $_->{type} eq $type } @{$self->{events}};
}

# The command lines that match, of all connections.
sub commands
{
	my ($self, $like) = @_;

	return grep { !$like || $_ =~ $like }
	    map { $_->{line} } $self->events('command');
}

# The messages the backend took: { from, mail, rcpts, rcpt_lines, content,
# wire, by, reply, conn, tls, xclient, xforward, helo, auth, body }.
sub messages { return grep { $_->{taken} } $_[0]->events('message'); }

sub last { return ($_[0]->messages)[-1]; }

# Forget what was reported.
sub forget
{
	my ($self) = @_;

	Wait::drain();
	$self->{events} = [];
	$self->{given} = 0;
}

# Wait until a report satisfies $match->($report).
sub wait_event
{
	my ($self, $type, $match) = @_;

	return Wait::wait_until(sub {
		for (@{$self->{events}}) {
			return $_ if $_->{type} eq $type &&
			    (!$match || $match->($_));
		}
		return undef;
	});
}

sub wait_command
{
	my ($self, $like) = @_;

	return $self->wait_event('command', sub { $_[0]{line} =~ $like; });
}

sub wait_held
{
	my ($self, $name) = @_;

	return $self->wait_event('held', sub { $_[0]{name} eq $name; });
}

sub wait_close { return $_[0]->wait_event('close', $_[1]); }

# The next message that was taken and not yet returned by this method.
sub wait_message
{
	my ($self) = @_;

	return Wait::wait_until(sub {
		my @m = grep { $_->{type} eq 'message' && $_->{taken} }
		    @{$self->{events}};
		return @m > $self->{given} ? $m[$self->{given}++] : undef;
	});
}

# What the test orders

sub order
{
	my ($self, @order) = @_;
	my $frozen = freeze(\@order);

	$self->{control}->blocking(1);
	syswrite $self->{control}, pack('N', length $frozen) . $frozen;
	$self->{control}->blocking(0);
	# Wait until it is known there, or the next command would race it.
	my $serial = ++$self->{serial};
	$self->wait_event('done', sub { $_[0]{serial} == $serial; }) or
	    die 'the scripted backend does not answer';
}

sub release { $_[0]->order('release', $_[1]); }

# Other rules from now on; no code references.
sub set
{
	my ($self, %rules) = @_;

	%rules = map { uc $_ => $rules{$_} } keys %rules;
	$self->{rules} = { %{$self->{rules}}, %rules };
	$self->order('set', \%rules) if $self->{pid};
}

# The default again for these.
sub unset
{
	my ($self, @keys) = @_;

	@keys = map { uc } @keys;
	delete @{$self->{rules}}{@keys};
	$self->order('unset', \@keys) if $self->{pid};
}

sub extensions
{
	my ($self, @ext) = @_;

	$self->{option}{extensions} = [@ext];
	$self->order('extensions', \@ext);
}

# Close all its connections, as a crash of a child of the MTA would.
sub drop { $_[0]->order('drop'); }

# kill -9: the listener is gone as well.
sub kill
{
	my ($self) = @_;

	my $pid = delete $self->{pid} or return;
	CORE::kill('KILL', $pid);
	waitpid $pid, 0;
	Wait::drain();
	Wait::unpump($self->{control});
	CORE::close($self->{control});
}

# Again at the same address.
sub restart
{
	my ($self) = @_;

	$self->kill;
	$self->listen;
	$self->{buffer} = '';
	$self->{serial} = 0;
	$self->{events} = [grep { $_->{type} ne 'done' } @{$self->{events}}];
	$self->spawn;
}

sub DESTROY
{
	my ($self) = @_;

	local ($?, $!);
	return if !$self->{pid} || $self->{control} &&
	    !defined fileno $self->{control};
	$self->kill;
}

# The process of the backend. Everything below runs there.

sub run
{
	my ($self) = @_;

	$self->close_inherited;
	$SIG{$_} = 'DEFAULT' for qw(INT TERM);
	$self->{conns} = {};
	$self->{ids} = 0;
	$self->{listener}->blocking(0);
	while (1) {
		my ($r, $w) = $self->wait_for_work;
		$self->read_orders if vec $r, fileno $self->{control}, 1;
		$self->accept if vec $r, fileno $self->{listener}, 1;
		for my $c (values %{$self->{conns}}) {
			my $fd = fileno $c->{fh};
			next unless defined $fd;
			$self->serve($c) if vec $r, $fd, 1;
			$self->flush($c) if $c->{fh} && vec $w, $fd, 1;
		}
	}
}

# Handles of the test that came along by fork would keep its connections open.
sub close_inherited
{
	my ($self) = @_;
	my %keep = map { $_ => 1 } 0 .. 2, fileno $self->{control},
	    fileno $self->{listener};

	opendir my $dir, '/proc/self/fd' or die "/proc/self/fd: $!";
	my @fds = grep { /\A\d+\z/ && !$keep{$_} } readdir $dir;
	closedir $dir;
	POSIX::close($_) for @fds;
}

sub wait_for_work
{
	my ($self) = @_;
	my ($r, $w) = ('', '');

	vec($r, fileno $self->{control}, 1) = 1;
	vec($r, fileno $self->{listener}, 1) = 1;
	for my $c (values %{$self->{conns}}) {
		vec($r, fileno $c->{fh}, 1) = 1;
		vec($w, fileno $c->{fh}, 1) = 1 if length $c->{out};
	}
	1 while select($r, $w, undef, undef) < 0;
	return ($r, $w);
}

sub report
{
	my ($self, $type, %more) = @_;
	my $frozen = freeze({ type => $type, %more });
	my $octets = pack('N', length $frozen) . $frozen;

	while (length $octets) {
		my $n = syswrite $self->{control}, $octets;
		POSIX::_exit(0) unless defined $n;
		substr($octets, 0, $n) = '';
	}
}

sub read_exactly
{
	my ($fh, $len) = @_;
	my $octets = '';

	while (length $octets < $len) {
		sysread $fh, $octets, $len - length $octets, length $octets
		    or POSIX::_exit(0);	# the test has ended, and so do we
	}
	return $octets;
}

sub read_orders
{
	my ($self) = @_;
	my $len = unpack 'N', read_exactly($self->{control}, 4);
	my ($what, $arg) = @{thaw(read_exactly($self->{control}, $len))};

	if ($what eq 'set') {
		$self->{rules} = { %{$self->{rules}}, %$arg };
	} elsif ($what eq 'unset') {
		delete @{$self->{rules}}{@$arg};
	} elsif ($what eq 'extensions') {
		$self->{option}{extensions} = $arg;
	} elsif ($what eq 'drop') {
		$self->hang_up($_) for values %{$self->{conns}};
	} elsif ($what eq 'release') {
		for my $c (values %{$self->{conns}}) {
			for (@{$c->{queue}}) {
				delete $_->{hold}
				    if ($_->{hold} // '') eq $arg;
			}
			$self->move_queue($c);
		}
	}
	$self->report('done', serial => ++$self->{serial});
}

sub accept
{
	my ($self) = @_;

	while (my $fh = $self->{listener}->accept) {
		setsockopt $fh, IPPROTO_TCP, TCP_NODELAY, 1
		    unless $self->{option}{unix};
		$fh->blocking(0);
		my $c = {
			id => ++$self->{ids}, fh => $fh, in => '', out => '',
			queue => [], reads => 0, state => 'command',
		};
		$self->{conns}{$c->{id}} = $c;
		forget_transaction($c);
		$self->report('connect', conn => $c->{id});
		if ($self->{option}{proxy}) {
			$c->{state} = 'proxy';
		} else {
			$self->answer($c, 'CONNECT',
			    "220 $self->{option}{name} ESMTP Backend");
			$self->move_queue($c);
		}
	}
}

sub hang_up
{
	my ($self, $c, $reset) = @_;

	return unless $c->{fh};
	setsockopt $c->{fh}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0
	    if $reset;
	delete $self->{conns}{$c->{id}};
	$self->report('close', conn => $c->{id}, state => $c->{state},
	    content => $c->{content}, rcpts => $c->{rcpts}, left => $c->{in});
	my $fh = delete $c->{fh};
	my $fd = fileno $fh;
	$fh->isa('IO::Socket::SSL') ? $fh->close(SSL_no_shutdown => 1)
	    : CORE::close($fh);
	# Perl counts users of a descriptor, and those that went away in
	# close_inherited() as well; then the line above closes nothing.
	POSIX::close($fd);
}

# Output: a queue, because a held reply holds back those behind it.

sub lines
{
	my ($text) = @_;
	my @lines = split /\n/, $text, -1;
	my ($code) = $lines[0] =~ /\A(\d\d\d)/;

	return "$text\r\n" if @lines < 2 || !defined $code;
	$lines[$_] =~ s/\A(?!\d\d\d[- ])/$code / for 1 .. $#lines;
	s/\A(\d\d\d)[ -]/$1-/ for @lines[0 .. $#lines - 1];
	s/\A(\d\d\d)[ -]/$1 / for $lines[-1];
	return join '', map { "$_\r\n" } @lines;
}

# The code this value sends, 0 for none.
sub code_of
{
	my ($value) = @_;

	$value = $value->{reply} // $value->{raw} if ref $value eq 'HASH';
	return defined $value && $value =~ /\A(\d\d\d)/ ? $1 : 0;
}

# What the script says to this command; the default when it says nothing.
sub look_up
{
	my ($self, $c, $line, $default) = @_;
	my $text = uc $line;
	my $value = $default;
	my $best = -1;

	for my $key (keys %{$self->{rules}}) {
		next if length $key <= $best;
		next if substr($text, 0, length $key) ne $key;
		# The end of data is no prefix of anything.
		next if $key eq '.' && $text ne '.' && $text !~ /\A\.</;
		$best = length $key;
		$value = $self->{rules}{$key};
	}
	if (ref $value eq 'ARRAY') {
		$value = @$value > 1 ? shift @$value : $value->[0];
	}
	$value = $value->($c, $line) if ref $value eq 'CODE';
	return $value;
}

# Queue what the script or the default says. Returns its code.
sub answer
{
	my ($self, $c, $line, $default) = @_;

	return $self->say($c, $self->look_up($c, $line, $default));
}

sub say
{
	my ($self, $c, $value) = @_;

	return 0 unless defined $value;
	my %item = ref $value ? %$value : (reply => $value);
	if ($item{close} || $item{reset}) {
		%item = (%item, octets => '',
		    then => $item{reset} ? 'reset' : 'close');
	} elsif ($item{endless}) {
		$c->{endless} = $item{endless};
		$item{octets} = $item{endless};
	} else {
		$item{octets} = $item{raw} // (defined $item{reply} ?
		    lines($item{reply}) : '');
	}
	push @{$c->{queue}}, \%item;
	$self->report('held', conn => $c->{id}, name => $item{hold})
	    if defined $item{hold};
	return code_of($value);
}

sub move_queue
{
	my ($self, $c) = @_;

	return unless $c->{fh};
	while (@{$c->{queue}} && !defined $c->{queue}[0]{hold}) {
		my $item = shift @{$c->{queue}};
		if ($item->{drip}) {
			$self->flush($c);
			$self->drip($c, $item->{octets});
		} else {
			$c->{out} .= $item->{octets};
		}
		if ($item->{then}) {
			$self->flush($c);
			$self->hang_up($c, $item->{then} eq 'reset');
			return;
		}
		if ($item->{starttls}) {
			$self->flush($c);
			$self->accept_tls($c);
		}
	}
	$self->flush($c);
}

sub drip
{
	my ($self, $c, $octets) = @_;

	$c->{fh}->blocking(1);
	syswrite $c->{fh}, $_ for split //, $octets;
	$c->{fh}->blocking(0);
}

sub flush
{
	my ($self, $c) = @_;

	return unless $c->{fh};
	while (length $c->{out}) {
		my $n = syswrite $c->{fh}, $c->{out};
		if (!defined $n) {
			$self->hang_up($c) unless Wait::again();
			return;
		}
		substr($c->{out}, 0, $n) = '';
		# One piece a turn, or nobody else would be served.
		last if $c->{endless};
	}
	$c->{out} = $c->{endless} x 100
	    if $c->{endless} && length $c->{out} < 100;
}

sub accept_tls
{
	my ($self, $c) = @_;
	my $cert = $self->{option}{starttls};

	$c->{fh}->blocking(1);
	my $tls = IO::Socket::SSL->start_SSL($c->{fh}, SSL_server => 1,
	    SSL_cert_file => $cert->cert, SSL_key_file => $cert->key,
	    Timeout => 10);
	if (!$tls) {
		$self->report('tls', conn => $c->{id}, error => "$SSL_ERROR");
		$self->hang_up($c);
		return;
	}
	$tls->blocking(0);
	$c->{fh} = $tls;
	$c->{tls} = $tls->get_sslversion;
	$c->{sni} = $tls->get_servername;
	$self->report('tls', conn => $c->{id}, version => $c->{tls},
	    sni => $c->{sni});
}

# Input

sub serve
{
	my ($self, $c) = @_;

	while ($c->{fh}) {
		my $n = sysread $c->{fh}, my $octets, 65536;
		if (!$n) {
			return if !defined $n && Wait::again();
			$self->hang_up($c);
			return;
		}
		$c->{reads}++;
		$c->{in} .= $octets;
		$self->work($c);
		return unless $c->{fh} && $c->{fh}->isa('IO::Socket::SSL');
	}
}

sub work
{
	my ($self, $c) = @_;
	my %state = (
		proxy => \&take_proxy, command => \&take_command,
		data => \&take_data, bdat => \&take_bdat, auth => \&take_auth,
	);

	while ($c->{fh} && length $c->{in} || $c->{state} eq 'bdat' &&
	    $c->{chunk} == 0) {
		last unless $state{$c->{state}}->($self, $c);
		last unless $c->{fh};
	}
	$self->move_queue($c);
}

sub take_line
{
	my ($c) = @_;

	return undef unless $c->{in} =~ s/\A(.*?)\r\n//s;
	return $1;
}

sub take_proxy
{
	my ($self, $c) = @_;
	my $header;

	if ($c->{in} =~ /\A\r\n\r\n\0\r\nQUIT\n/) {
		return 0 if length $c->{in} < 16;
		my $len = 16 + unpack 'x14n', $c->{in};
		return 0 if length $c->{in} < $len;
		$header = substr $c->{in}, 0, $len, '';
	} else {
		$header = take_line($c) // return 0;
	}
	$c->{proxy} = $header;
	$c->{state} = 'command';
	$self->report('proxy', conn => $c->{id}, header => $header);
	$self->answer($c, 'CONNECT', "220 $self->{option}{name} ESMTP Backend");
	return 1;
}

sub forget_transaction
{
	my ($c) = @_;

	$c->{mail} = $c->{from} = undef;
	$c->{rcpts} = [];
	$c->{rcpt_lines} = [];
	$c->{content} = $c->{wire} = '';
	$c->{bdat_failed} = 0;
	$c->{by} = '';
	$c->{xforward} = undef;
}

sub take_command
{
	my ($self, $c) = @_;
	my $line = take_line($c) // return 0;
	my ($verb) = $line =~ /\A([A-Za-z]*)/;
	my $do = $self->can('do_' . lc $verb) || \&do_unknown;

	$self->report('command', conn => $c->{id}, line => $line,
	    read => $c->{reads}, tls => $c->{tls});
	$do->($self, $c, $line);
	return 1;
}

sub do_unknown
{
	my ($self, $c, $line) = @_;

	$self->answer($c, $line, '500 5.5.2 backend: unknown command');
}

sub do_ehlo
{
	my ($self, $c, $line) = @_;
	my $o = $self->{option};
	my @ext = @{$o->{extensions}};

	push @ext, "XCLIENT $o->{xclient}" if may_xclient($self, $c);
	push @ext, "XFORWARD $o->{xforward}" if $o->{xforward};
	push @ext, "AUTH $o->{auth}" if $o->{auth} &&
	    (!$o->{auth_needs_tls} || $c->{tls});
	push @ext, 'STARTTLS' if $o->{starttls} && !$c->{tls};
	forget_transaction($c);
	(undef, $c->{helo}) = split / /, $line, 2;
	$self->answer($c, $line, join "\n", "250 $o->{name}", @ext);
}

sub do_helo
{
	my ($self, $c, $line) = @_;

	forget_transaction($c);
	(undef, $c->{helo}) = split / /, $line, 2;
	$self->answer($c, $line, "250 $self->{option}{name}");
}

sub do_lhlo
{
	my ($self, $c, $line) = @_;

	return $self->do_unknown($c, $line) unless $self->{option}{lmtp};
	$self->do_ehlo($c, $line);
}

sub do_mail
{
	my ($self, $c, $line) = @_;
	my $default = defined $c->{mail} ?
	    '503 5.5.1 backend: nested MAIL' : '250 2.1.0 sender ok';

	if ($self->answer($c, $line, $default) =~ /\A2/) {
		$c->{mail} = $line;
		($c->{from}) = $line =~ /\AMAIL FROM:(<[^ ]*)/i;
	}
}

sub do_rcpt
{
	my ($self, $c, $line) = @_;
	my $default = defined $c->{mail} ? '250 2.1.5 recipient ok' :
	    '503 5.5.1 backend: need MAIL';

	if ($self->answer($c, $line, $default) =~ /\A2/) {
		push @{$c->{rcpt_lines}}, $line;
		push @{$c->{rcpts}}, $1 if $line =~ /\ARCPT TO:(<[^ ]*)/i;
	}
}

sub do_data
{
	my ($self, $c, $line) = @_;
	my $default = @{$c->{rcpts}} ? '354 go ahead' :
	    '554 5.5.1 backend: no valid recipients';

	$default = '503 5.5.1 backend: BDAT is on its way' if $c->{by};
	if ($self->answer($c, $line, $default) =~ /\A3/) {
		$c->{state} = 'data';
		$c->{by} = 'DATA';
		$self->report('data', conn => $c->{id});
	}
}

sub take_data
{
	my ($self, $c) = @_;

	if (exists $self->{rules}{CONTENT}) {
		$self->answer($c, 'CONTENT', undef);
		$self->move_queue($c);
		return 0 unless $c->{fh};
	}
	my $end = $c->{in} =~ /\A\.\r\n/ ? 0 : index $c->{in}, "\r\n.\r\n";
	return 0 if $end < 0;
	my $wire = substr $c->{in}, 0, $end ? $end + 5 : 3, '';
	$c->{wire} = $wire;
	substr($wire, -3) = '';
	$wire =~ s/(\A|\r\n)\./$1/g;
	$c->{content} = $wire;
	$c->{state} = 'command';
	$self->end_of_data($c, '.');
	return 1;
}

sub do_bdat
{
	my ($self, $c, $line) = @_;
	my ($size, $last) = $line =~ /\ABDAT (\d+)( LAST)?\z/i or
	    return $self->answer($c, $line, '501 5.5.4 backend: BDAT syntax');

	$c->{chunk} = $size;
	$c->{is_last} = defined $last;
	$c->{chunk_line} = $line;
	$c->{bdat_failed} = 1 if !@{$c->{rcpts}};
	$c->{state} = 'bdat';
	$c->{by} = 'BDAT';
}

sub take_bdat
{
	my ($self, $c) = @_;

	if ($c->{chunk} && exists $self->{rules}{CONTENT}) {
		$self->answer($c, 'CONTENT', undef);
		$self->move_queue($c);
		return 0 unless $c->{fh};
	}
	return 0 if length $c->{in} < $c->{chunk};
	$c->{content} .= substr $c->{in}, 0, $c->{chunk}, '';
	$c->{wire} = $c->{content};
	$c->{chunk} = -1;
	$c->{state} = 'command';
	if ($c->{bdat_failed}) {
		$self->answer($c, $c->{chunk_line},
		    '503 5.5.1 backend: no valid recipients');
	} elsif ($c->{is_last}) {
		$self->end_of_data($c, 'LAST');
	} else {
		my $code = $self->answer($c, $c->{chunk_line},
		    '250 2.0.0 chunk ok');
		$c->{bdat_failed} = 1 if $code !~ /\A2/;
	}
	return 1;
}

sub end_of_data
{
	my ($self, $c, $key) = @_;
	my @for = $self->{option}{lmtp} ?
	    map { "$key$_" } @{$c->{rcpts}} : ($key);
	my $queued = sprintf '250 2.0.0 queued as B%05d', ++$self->{queued};
	my @values = map { $self->look_up($c, $_, $queued) } @for;

	# The report first: see above.
	$self->report('message', conn => $c->{id},
	    (map { $_ => $c->{$_} } qw(mail from rcpts rcpt_lines content wire
	    by tls helo auth xclient xforward proxy)),
	    reply => ref $values[0] ? $values[0]{reply} : $values[0],
	    taken => scalar grep { code_of($_) =~ /\A2/ } @values);
	forget_transaction($c);
	$self->say($c, $_) for @values;
}

sub do_rset
{
	my ($self, $c, $line) = @_;

	forget_transaction($c);
	$self->answer($c, $line, '250 2.0.0 reset');
}

sub do_noop
{
	my ($self, $c, $line) = @_;

	$self->answer($c, $line, '250 2.0.0 ok');
}

sub do_quit
{
	my ($self, $c, $line) = @_;

	$self->answer($c, $line,
	    { reply => '221 2.0.0 bye', then => 'close' });
}

sub do_starttls
{
	my ($self, $c, $line) = @_;

	return $self->do_unknown($c, $line)
	    if !$self->{option}{starttls} || $c->{tls};
	my $value = $self->look_up($c, $line, '220 2.0.0 ready for TLS');
	return $self->say($c, $value) if code_of($value) ne '220';
	my $octets = lines(ref $value ? $value->{reply} : $value);
	forget_transaction($c);
	$self->say($c, { raw => $octets . ($self->{option}{inject} // ''),
	    starttls => 1 });
	$c->{in} = '';
	$self->move_queue($c);
}

# Once, if it is told an address that may not do that, as with Postfix.
sub may_xclient
{
	my ($self, $c) = @_;
	my $o = $self->{option};

	return $o->{xclient} && !($o->{xclient_once} && $c->{xclient});
}

sub do_xclient
{
	my ($self, $c, $line) = @_;

	return $self->do_unknown($c, $line) unless $self->{option}{xclient};
	return $self->answer($c, $line, '550 5.7.0 insufficient authorization')
	    unless may_xclient($self, $c);
	my %attr = attributes($line);
	$c->{xclient} = { %{$c->{xclient} // {}}, %attr };
	$self->report('xclient', conn => $c->{id}, attr => \%attr,
	    line => $line);
	forget_transaction($c);
	$self->answer($c, $line, "220 $self->{option}{name} ESMTP Backend");
}

sub do_xforward
{
	my ($self, $c, $line) = @_;

	return $self->do_unknown($c, $line) unless $self->{option}{xforward};
	$c->{xforward} = { %{$c->{xforward} // {}}, attributes($line) };
	$self->answer($c, $line, '250 2.0.0 ok');
}

# NAME=value pairs, xtext undone.
sub attributes
{
	my ($line) = @_;
	my %attr;

	for (split / +/, $line) {
		next unless /\A([A-Za-z_]+)=(.*)\z/s;
		my ($name, $value) = (uc $1, $2);
		$value =~ s/\+([0-9A-F]{2})/chr hex $1/ge;
		$attr{$name} = $value;
	}
	return %attr;
}

# AUTH: by default a dialogue as the mechanism has it, ending in 235. The rule
# "AUTH" answers the command, "AUTH+" each line of the dialogue.
my %dialogue = (
	PLAIN => ['334 '],
	LOGIN => ['334 VXNlcm5hbWU6', '334 UGFzc3dvcmQ6'],
	'SCRAM-SHA-1' => ['334 ', '334 cj1mYWtl', '334 dj1mYWtl'],
	'SCRAM-SHA-256' => ['334 ', '334 cj1mYWtl', '334 dj1mYWtl'],
	XOAUTH2 => ['334 '],
	OAUTHBEARER => ['334 '],
);

sub do_auth
{
	my ($self, $c, $line) = @_;
	my ($mech, $initial) = $line =~ /\AAUTH ([^ ]+)(?: (.*))?\z/i;

	$c->{dialogue} = [@{$dialogue{uc($mech // '')} // []},
	    '235 2.7.0 welcome'];
	shift @{$c->{dialogue}} if defined $initial;
	$c->{mech} = $mech;
	$self->auth_step($c, $line);
}

sub auth_step
{
	my ($self, $c, $line) = @_;
	my $code = $self->answer($c, $line, shift @{$c->{dialogue}} //
	    '535 5.7.8 backend: the dialogue is over');

	$c->{state} = $code eq '334' ? 'auth' : 'command';
	$c->{auth} = $c->{mech} if $code eq '235';
}

sub take_auth
{
	my ($self, $c) = @_;
	my $line = take_line($c) // return 0;

	$self->report('auth', conn => $c->{id}, line => $line);
	if ($line eq '*') {
		$c->{state} = 'command';
		$self->answer($c, 'AUTH*', '501 5.7.0 backend: cancelled');
		return 1;
	}
	$self->auth_step($c, "AUTH+$line");
	return 1;
}

1;
