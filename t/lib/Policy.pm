# Policy - the daemon with a policy, or with many of them.
#
#	my $p = Policy::start($text, backend => $mta->address);
#	$p->log_like(qr/\Q$p->{name}\E:3/);
#	my $p = Policy::each([@texts], backend => $mta->address);
#	my $c = $p->client(listener => 2);	# has the third of them
#
# Options are those of Proxy->start, and rows: text for the filter block. A
# policy may be [text, rows].
package Policy;

use strict;
use warnings;
use MIME::Base64;
use Test::More ();
use Wait;
use Proxy;

# The step of a session at which the client hears of what is decided at a stage.
our %STEP = (connect => 'CONNECT', helo => 'EHLO', auth => 'AUTH',
    mail => 'MAIL', rcpt => 'RCPT', data => 'DATA', header => '.',
    body => '.', eom => '.');

# A file of this name in the proxy's directory, and its filter block.
sub block
{
	my ($p, $name, $text, $rows) = @_;
	my $file = $p->write("$name.rules", $text);

	return "filter \"$name\" { type = \"policy\" file = \"$file\" " .
	    ($rows // '') . " }\n";
}

# One daemon in which the n-th listener has the n-th policy, the file p0.rules
# and so on. late: another policy behind each of them.
sub each
{
	my ($texts, %o) = @_;
	my $p = prepare($texts, %o);

	$p->run('serve', @{$p->{args}});
	die "the proxy does not start:\n" . $p->log unless $p->wait_ready;
	return $p;
}

# The same without the daemon.
sub prepare
{
	my ($texts, %o) = @_;
	my ($rows, $late) = delete @o{qw(rows late)};
	my $more = delete $o{extra} // '';
	my $listen = delete $o{listen} // {};
	my @late = defined $late ? ('late') : ();
	my @listen = map { { chain => ["p$_", @late], address => address($_),
	    %$listen } } 0 .. $#$texts;

	my $p = Proxy->prepare(%o, listen => \@listen);
	my $text = $p->configuration(%o, listen => \@listen) . $more;
	for (0 .. $#$texts) {
		my ($policy, $its) = ref $texts->[$_] ? @{$texts->[$_]} :
		    $texts->[$_];
		$text .= block($p, "p$_", $policy, $its // $rows);
	}
	$text .= block($p, 'late', $late) if @late;
	$p->write('vratar.conf', $text);
	$p->{name} = 'p0.rules';
	return $p;
}

# The title of the n-th listen block.
sub address { return '127.0.0.' . ($_[0] + 1) . ':0'; }

sub start
{
	my ($text, %o) = @_;

	return Policy::each([$text], %o);
}

# Play a session with the n-th listener until something is refused: it logs in
# and sends a message. Returns [step, reply] for each step, and what the log has
# of the session. before->(STEP) is called before the reply to it is read.
sub play
{
	my ($p, $n, $before) = @_;
	Wait::drain();
	my $since = $p->{seen} = @{$p->{log}};
	my $c = $p->client(listener => $n);
	my $login = encode_base64("\0joe\0secret", '');
	my @said = ([CONNECT => ''], [EHLO => 'EHLO c.example'],
	    [AUTH => "AUTH PLAIN $login"],
	    [MAIL => 'MAIL FROM:<a@example.org>'],
	    [RCPT => 'RCPT TO:<b@example.com>'], [DATA => 'DATA'],
	    ['.' => "Subject: x\r\n\r\nhello\r\n."], [QUIT => 'QUIT']);
	my @heard;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for (@said) {
		my ($name, $line) = @$_;
		$c->send($line) if $line ne '';
		$before->($name) if $before;
		my ($code, $text) = $c->reply;
		$text =~ s/\n.*//s;
		push @heard, [$name, $text];
		last if $code == 0 || $name ne 'QUIT' && $code >= 400;
	}
	my $port = $c->port;
	$c->expect_close('closed') if $heard[-1][1] =~ /^421/ || @heard == 1;
	$c->close;
	my ($id) = ($p->log_like(qr/ connect client=127\.0\.0\.1:$port /,
	    'a session') // '') =~ / (\w+) connect /;
	$p->{seen} = $since;
	$p->log_like(qr/ $id close /, 'the session ends');
	return (\@heard, [$p->log(qr/ $id /)]);
}

1;
