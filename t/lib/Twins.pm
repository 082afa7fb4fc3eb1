# Twins - a real Postfix with a milter in smtpd_milters and vratar with the same
# one: both are to say the same to a client, and the same is to arrive behind
# them.
#
#	my $twins = Twins->new('127.0.0.1:8891', 'unix:/another/one');
#	$twins->agree(0, { name => 'reject', from => 'reject' }, …);
#
# Of several milters agree() says which one is meant; "one,two" are two of which
# the second stands behind the first.
#
# A case is a message: from is the local part of its sender, so that the milter
# knows the case. With helo => NAME or client => 127.0.0.N it has a session of its own,
# whose greeting and EHLO count, too. nothing => 1: it is taken, and nothing arrives.
package Twins;

use strict;
use warnings;
use Test::More ();
use Backend;
use Client;
use Dns;
use Postfix;
use Scanned;
use Wait;

# NUMBER becomes that of the case.
our $MAIL = "From: A <a\@example.org>\r\nTo: b\@example.com\r\nSubject: s1\r\n" .
    "Subject: s2\r\nX-A: 1\r\nX-Folded: one\r\n two\r\n\tthree\r\n" .
    "Date: Mon, 1 Jan 2024 12:00:00 +0000\r\nMessage-ID: <NUMBER\@example.org>\r\n" .
    "\r\nhello\r\n.\r\n..dots\r\n\r\nbye\r\n";

# Where the milters are, as our configuration has it.
sub new
{
	my ($class, @milters) = @_;
	my $self = bless {}, $class;
	my @options = (extensions =>
	    ['PIPELINING', '8BITMIME', 'SIZE 10240000', 'DSN']);

	$self->{behind_postfix} = Backend->start(@options);
	$self->{behind_us} = Backend->start(@options);
	my ($relay) = $self->{behind_postfix}->address =~ /:(\d+)$/;
	$self->{postfix} = Postfix->start(main => {
		virtual_mailbox_domains => '', relay_domains => 'example.com',
		transport_maps => "inline:{ { example.com = smtp:[127.0.0.1]:$relay } }",
		smtpd_soft_error_limit => 1000, smtpd_hard_error_limit => 1000,
		smtpd_delay_reject => 'no',
	}, more => [map { ["-o smtpd_milters=" . join ',', map {
	    /^unix:/ ? $_ : "inet:$_" } split /,/] } @milters]);
	# Clients have no names, which it takes no time to find out.
	$self->{dns} = Dns->start;
	my (%chains, $filters);
	for my $n (0 .. $#milters) {
		for my $socket (split /,/, $milters[$n]) {
			my $name = "milter$n" . '_' . @{$chains{$n} //= []};
			push @{$chains{$n}}, $name;
			$filters .= "filter \"$name\" { type = \"milter\" " .
			    "socket = \"$socket\" }\n";
		}
	}
	$self->{us} = Scanned->start(backend => $self->{behind_us}->address,
	    chains => \%chains, filters => $filters,
	    set => { 'error-limit' => 1000,
	    'dns-servers' => [$self->{dns}->server] });
	return $self;
}

# Success is success, whatever it is called.
sub plain
{
	return $_[0] =~ s/^(2|35)(\d+).*/$1$2/sr =~ s/ Error://r;
}

# The replies to a message in a session.
sub play
{
	my ($c, $case, $number) = @_;
	my @said;

	$c->send("MAIL FROM:<$case->{from}\@example.org>");
	push @said, ($c->reply)[1];
	if ($said[-1] =~ /^2/) {
		for ('b', 'c') {
			$c->send("RCPT TO:<$_\@example.com>");
			push @said, ($c->reply)[1];
		}
		$c->send('DATA');
		push @said, ($c->reply)[1];
		if ($said[-1] =~ /^354/) {
			$c->octets(Client::stuff($MAIL =~ s/NUMBER/$number/r));
			push @said, ($c->reply)[1];
		}
		$c->send('RSET');
		$c->reply;
	}
	return join ' / ', map { plain($_) } @said;
}

# A session up to EHLO; and the codes of the two replies.
sub session
{
	my ($address, $case) = @_;
	my ($host, $port) = split /:/, $address;
	my $c = Client->connect(host => $host, port => $port,
	    $case->{client} ? (from => $case->{client}) : ());
	my ($banner) = $c->reply;

	$c->{greeted} = 1;
	return ($c, $banner) if $banner != 220;
	$c->send('EHLO ' . ($case->{helo} // 'client.example'));
	my ($hello) = $c->reply;
	return ($c, "$banner / $hello");
}

sub play_all
{
	my ($address, @cases) = @_;
	my ($common) = session($address, {});
	my @said;

	for my $i (0 .. $#cases) {
		my $case = $cases[$i];
		if (!$case->{helo} && !$case->{client}) {
			push @said, play($common, $case, $i);
			next;
		}
		my ($c, $first) = session($address, $case);
		push @said, $first =~ /250$/ ?
		    "$first / " . play($c, $case, $i) : $first;
		$c->close;
	}
	$common->quit;
	return @said;
}

sub shown
{
	my ($m) = @_;

	# What Postfix has to say of itself.
	(my $content = $m->{content}) =~
	    s/^Received: from \S+ \(.*?\r\n(?=\S)//ms;
	# Of the parameters those that a milter may set.
	my @params = map { uc } grep { /^(?:RET|NOTIFY)=/i }
	    map { split } $m->{mail}, @{$m->{rcpt_lines}};
	return join "\n", $m->{from}, join(' ', sort @{$m->{rcpts}}), "@params",
	    $content;
}

# Number of the case => what has arrived.
sub arrived
{
	my ($mta) = @_;
	my %by;

	for my $m ($mta->messages) {
		$by{$1} .= shown($m) if $m->{content} =~ /^Message-ID: <(\d+)\@/m;
	}
	return %by;
}

# Two checks for each case. Returns how many messages have arrived.
sub agree
{
	my ($self, $n, @cases) = @_;
	my $ours_at = $self->{us}->address($self->{us}{chain}{$n});

	$_->forget for $self->{behind_postfix}, $self->{behind_us};
	my @theirs = play_all($self->{postfix}->address($n + 1), @cases);
	my @ours = play_all($ours_at, @cases);
	my %ours = arrived($self->{behind_us});
	my $due = grep { $theirs[$_] =~ m{/ 250\z} && !$cases[$_]{nothing} }
	    0 .. $#cases;
	my %theirs;

	Wait::wait_until(sub {
		%theirs = arrived($self->{behind_postfix});
		return keys %theirs >= $due;
	});
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $i (0 .. $#cases) {
		my $name = $cases[$i]{name};
		Test::More::is($ours[$i], $theirs[$i], "$name: said");
		Test::More::is($ours{$i} // 'nothing', $theirs{$i} // 'nothing',
		    "$name: arrived");
	}
	return scalar keys %theirs;
}

1;
