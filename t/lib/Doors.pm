# Doors - the same message at the doors of the same chain: a session of the
# daemon, "vratar test", and Postfix with "vratar milter".
#
#	my $door = Doors->new($proxy, $listener);
#	my @seen = $door->served(client => '192.0.2.1', helo => 'c.example',
#	    from => 'a@example.org', rcpts => ['b@example.com'],
#	    message => "Subject: x\n\nhello\n");
#	my ($status, @same) = $door->tested(…);
#	$door->agree(NAME, …);			# a check
#	$door->agree_with($postfix, NAME, …);	# another: that of the third door
#
# The listener, and Postfix, have to accept XCLIENT.
package Doors;

use strict;
use warnings;
use File::Temp;
use Test::More ();
use Proxy;
use Run;

our %DEFAULT = (client => '127.0.0.1', helo => 'c.example',
    from => 'a@example.org', rcpts => ['b@example.com'],
    message => "From: a\@example.org\nSubject: hello\n\nhello\n.dot\n");

sub new
{
	my ($class, $proxy, $listener) = @_;

	return bless { proxy => $proxy, listener => $listener }, $class;
}

# What a client of the daemon sees, as "vratar test" prints it.
sub served
{
	my ($self, %o) = @_;

	return play($self->{proxy}->client(listener => $self->{listener}), %o);
}

sub play
{
	my ($c, %o) = ($_[0], %DEFAULT, @_[1 .. $#_]);
	my @seen;
	my $ask = sub {
		my ($step, @lines) = @_;
		$c->send(@lines) if @lines;
		my ($code, $text) = $c->reply;
		push @seen, "$step $text" if $step && $code;
		return $code;
	};

	my $message = $o{message};
	$message =~ s/\n/\r\n/g unless $message =~ /\r\n/;
	my $size = length $message;
	my $utf8 = "$o{from}@{$o{rcpts}}" =~ /[^\0-\177]/ ? ' SMTPUTF8' : '';
	my $body = $message =~ /[^\0-\177]/ ? ' BODY=8BITMIME' : '';
	my $addr = $o{client} =~ /:/ ? "IPV6:$o{client}" : $o{client};
	my $who = "ADDR=$addr" . ($o{name} ? " NAME=$o{name}" : '') .
	    ($o{login} ? " LOGIN=$o{login}" : '');
	# The banner is that for the client who is meant.
	my $code = $ask->('');
	return ("CONNECT $code") if $code != 220;
	return @seen if $ask->('CONNECT', "XCLIENT $who") != 220;
	return @seen if $ask->('EHLO', "EHLO $o{helo}") != 250;
	$seen[-1] =~ s/\n.*//s;
	$seen[-1] =~ s/^EHLO 250-/EHLO 250 /;
	return @seen if $ask->('MAIL',
	    "MAIL FROM:<$o{from}> SIZE=$size$body$utf8") != 250;
	my $good = grep { $ask->("RCPT <$_>", "RCPT TO:<$_>") == 250 }
	    @{$o{rcpts}};
	return @seen unless $good;
	if ($ask->('DATA', 'DATA') != 354) {
		return @seen;
	}
	pop @seen;
	$c->octets(Client::stuff($message));
	$ask->('DATA');
	return @seen;
}

# Exit status and output.
sub run
{
	my ($self, %o) = ($_[0], %DEFAULT, @_[1 .. $#_]);
	my $file = File::Temp->new;

	print $file $o{message};
	close $file;
	my ($status, $said) = Run::run('/bin/sh', '-c',
	    'exec "$@" 2>/dev/null', 'sh', $Proxy::PROGRAM, 'test', '-c',
	    "$self->{proxy}{dir}/vratar.conf", '--client', $o{client}, '--helo',
	    $o{helo}, '--from', $o{from}, (map { ('--rcpt', $_) } @{$o{rcpts}}),
	    ($o{name} ? ('--client-name', $o{name}) : ()),
	    ($o{login} ? ('--login', $o{login}) : ()),
	    (defined $self->{listener} ? ('--listener',
	    Policy::address($self->{listener})) : ()),
	    @{$o{options} // []}, "$file");
	return ($status >> 8, $said);
}

# The exit status that follows from what the client sees.
sub status_of
{
	my (@seen) = @_;
	my @codes = map { /^(?:RCPT <.*?>|\S+) (\d)/ ? $1 : () } @seen;

	return 0 if $seen[-1] =~ /^DATA 2/;
	return $codes[-1] == 4 ? 75 : 1 if $seen[-1] !~ /^RCPT/;
	return (grep { $_ == 4 } @codes) ? 75 : 1;
}

# Both doors say the same. Returns what "vratar test" printed.
sub agree
{
	my ($self, $name, %o) = @_;
	my @served = $self->served(%o);
	my ($status, $said) = $self->run(%o);
	my @tested = split /\n/, (split /\n\n/, $said, 2)[0];

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	# The backend's words are its own.
	s/^(DATA 250).*/$1/ for @served, @tested;
	Test::More::is_deeply(\@tested, \@served, "$name: the same") or
	    Test::More::diag($said);
	Test::More::is($status, status_of(@served), "$name: exit status");
	return $said;
}

# The third one says it in Postfix's words where it is no refusal. A client that is
# refused gets its banner, and a name is refused when it says MAIL.
sub agree_with
{
	my ($self, $postfix, $name, %o) = @_;
	my @served = map { in_short($_) } $self->served(%o);
	my $c = Client->connect(host => '127.0.0.1', port => $postfix->port);
	my @said = map { in_short($_) } play($c, %o);

	if ($served[-1] =~ /^CONNECT ([45]\d\d)/) {
		@served = ($1);
		@said = $said[-1] =~ /^CONNECT ([45]\d\d) .* not accepting/;
	} elsif ($served[-1] =~ /^EHLO ([45].*)/s) {
		@served = ($1);
		@said = map { s/^\S+ //r } grep { /^\S+ [45]/ } @said;
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	Test::More::is_deeply(\@said, \@served, "$name: the same by way of a milter");
}

sub in_short { return $_[0] =~ s/^(\S+(?: <.*?>)?) ([23]\d\d) .*/$1 $2/sr; }

1;
