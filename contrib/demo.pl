#!/usr/bin/perl
# demo - play sessions through vratar and show what happens.
#
# Starts contrib/run.sh (vratar in front of a sink) on free ports in run/demo,
# is a client of it, prints what was said, and looks into the sink's Maildir:
# the good message must be there as it was sent, and nothing else. Exits with 0
# when all was as it should be. Needs only the Perl that each Debian has.
use strict;
use warnings;
use File::Basename qw(dirname);
use IO::Socket::INET;

my $dir     = $ENV{DIR} || 'run/demo';
my $message = "From: Ann <ann\@example.net>\r\n"
    . "To: good\@example.org\r\n"
    . "Subject: a good message\r\n\r\n"
    . "Hello,\r\n.. two dots and\r\n. one dot begin these lines.\r\n";
my ($runner, $words, $socket, $wrong) = (0, undef, undef, 0);

sub heading { print "\n", map { "# $_\n" } @_ }

sub wrong
{
	print "!! @_\n";
	$wrong++;
}

sub fail { wrong(@_); exit 1 }

# An answer, all its lines, printed; its text.
sub answer
{
	my $all = '';
	while (defined(my $line = <$socket>)) {
		$line =~ s/\r\n\z//;
		print "S: $line\n";
		$all .= "$line\n";
		return $all if $line =~ /^\d\d\d(?: |\z)/;
	}
	fail('the connection was closed');
}

sub expect
{
	my ($pattern) = @_;
	my $got = answer();
	wrong("wanted an answer like $pattern") unless $got =~ /^$pattern/;
}

# Send commands together, as a pipelining client does; then read the answers.
sub say_and_expect
{
	my @pairs = @_;
	my ($sent, @wanted) = ('');
	while (my ($line, $pattern) = splice @pairs, 0, 2) {
		print "C: $line\n";
		$sent .= "$line\r\n";
		push @wanted, $pattern;
	}
	print $socket $sent or fail("cannot send: $!");
	expect($_) for @wanted;
}

# Send the content of a message. What has CR or LF alone shows it.
sub content
{
	my ($octets, $pattern) = @_;
	(my $shown = $octets) =~ s/(?<!\r)\n/<LF>\n/g;
	print "C: $_\n" for split /\r?\n/, $shown;
	print $socket $octets or fail("cannot send: $!");
	expect($pattern);
}

sub stuffed
{
	my ($octets) = @_;
	$octets =~ s/^\./../mg;
	return "$octets.\r\n";
}

sub stored
{
	my @found;
	for my $file (glob "$dir/mail/new/*") {
		open my $in, '<', $file or fail("$file: $!");
		push @found, join '', <$in>;
	}
	return @found;
}

# Wait for a line of the log, and show it with the line of the policy that it
# names; the alarm ends the wait.
sub logged
{
	my ($pattern) = @_;
	while (1) {
		open my $in, '<', "$dir/serve.log" or fail("serve.log: $!");
		my ($line) = grep { /$pattern/ } <$in>;
		if ($line && $line =~ /$pattern/) {
			my ($file, $n) = ($1, $2);
			open my $policy, '<', "$dir/$file" or
			    fail("$file: $!");
			print "log: $line$file:$n: ", (<$policy>)[$n - 1];
			return;
		}
		select undef, undef, undef, 0.05;
	}
}

sub start
{
	local $ENV{DIR} = $dir;
	local $ENV{LISTEN} = '127.0.0.1:0';
	unlink glob "$dir/mail/*/* $dir/recipients $dir/policy.rules";
	$runner = open $words, '-|', dirname($0) . '/run.sh'
	    or fail("cannot start run.sh: $!");
	while (my $line = <$words>) {
		next unless $line =~ /^vratar serves on (\S+)/;
		$socket = IO::Socket::INET->new(PeerAddr => $1, Timeout => 10)
		    or fail("cannot connect to $1: $@");
		print "vratar serves on $1\n";
		return;
	}
	fail('vratar did not start');
}

END {
	my $status = $?;
	kill TERM => $runner if $runner;
	close $words if $words;		# waits for it to end
	$? = $status;
}

$SIG{ALRM} = sub { fail('no answer for a minute') };
$SIG{INT} = $SIG{TERM} = sub { exit 1 };
$SIG{PIPE} = 'IGNORE';
$| = 1;
alarm 60;
start();

heading('The client greets; the capabilities are what the sink can do, too.');
expect('220 ');
say_and_expect('EHLO client.example.net' => '250-');

heading('One good and two bad recipients, in one group. The first bad one is not',
    'in the table, so the sink is not asked. The second is refused by the',
    'sink, in its own words.');
say_and_expect(
	'MAIL FROM:<ann@example.net>'   => '250 2\.1\.0',
	'RCPT TO:<good@example.org>'    => '250 2\.1\.5',
	'RCPT TO:<unknown@example.org>' => '550 5\.1\.1',
	'RCPT TO:<nobody@example.org>'  => '550 5\.1\.1 .*User unknown',
);

heading('The message. Its 250 is the sink\'s, and has the sink\'s queue id.');
say_and_expect('DATA' => '354 ');
content(stuffed($message), '250 2\.0\.0 .*queued as');

heading('A message that tries to smuggle a second one: LF . LF is no end.');
say_and_expect(
	'MAIL FROM:<ann@example.net>' => '250 2\.1\.0',
	'RCPT TO:<good@example.org>'  => '250 2\.1\.5',
	'DATA'                        => '354 ',
);
content("Subject: outer\r\n\r\nhello\n.\nMAIL FROM:<boss\@example.org>\r\n"
    . "RCPT TO:<good\@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\n"
    . "pay\r\n.\r\n", '550 5\.5\.2');

heading('A sender that the policy does not want. The log says which line of it',
    'decided.');
say_and_expect(
	'MAIL FROM:<offer@bargains.example>' => '250 2\.1\.0',
	'RCPT TO:<good@example.org>'         => '550 5\.7\.1 no mail from',
	'RSET'                               => '250 2\.0\.0',
);
logged(qr/verdict=reject by=(policy\.rules):(\d+)/);

heading('Addresses and commands that are none.');
say_and_expect(
	'MAIL FROM:<ann@@example.net>' => '501 5\.1\.7',
	'FROBNICATE now'               => '500 5\.5\.2',
	'RCPT TO:<good@example.org>'   => '503 5\.5\.1',
	'QUIT'                         => '221 ',
);

heading("What is in the Maildir ($dir/mail/new):");
my @mail = stored();
print map { s/^/| /mgr } @mail;
(my $as_stored = $message) =~ s/\r\n/\n/g;
wrong('wanted one message, found ' . @mail) if @mail != 1;
wrong('the message is not what was sent')
    if @mail && substr($mail[0], -length $as_stored) ne $as_stored;
wrong('the envelope is not the client\'s') if @mail && $mail[0] !~
    /^X-Envelope-From:[ ]<ann\@example\.net>\n(?:X-Mail-Parameters:.*\n)?
     ^X-Envelope-To:[ ]<good\@example\.org>\n
     ^X-Client:[ ]\S+\[127\.0\.0\.1\]:\d+[ ]helo=client\.example\.net/mx;

print $wrong ? "\n$wrong thing(s) went wrong.\n"
    : "\nThe good message is there, unchanged, and nothing else is.\n";
exit($wrong ? 1 : 0);
